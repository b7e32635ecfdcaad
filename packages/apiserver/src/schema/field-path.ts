/** Where a walk over an object is; written out only when there is something to say of the place. */
export class FieldPath {
  readonly #steps: (string | number)[] = [];
  /** Of steps that are texts: keys of maps, which are written in brackets. */
  readonly #isKey: boolean[] = [];

  get depth(): number {
    return this.#steps.length;
  }

  /** The first step. */
  get root(): string | number | undefined {
    return this.#steps[0];
  }

  /** To a field of an object, or to the item of a list with this index. */
  enter(step: string | number): void {
    this.#steps.push(step);
    this.#isKey.push(false);
  }

  /** To the value of a map. */
  enterKey(key: string): void {
    this.#steps.push(key);
    this.#isKey.push(true);
  }

  leave(): void {
    this.#steps.pop();
    this.#isKey.pop();
  }

  /** As Kubernetes writes it: `spec.waves[1].percent`. */
  toString(): string {
    return this.#steps.reduce<string>((text, step, i) => {
      if (typeof step === 'number' || this.#isKey[i]) return `${text}[${step}]`;
      return text === '' ? step : `${text}.${step}`;
    }, '');
  }

  /** Of a field of the object that the walk is at. */
  ofField(name: string): string {
    const path = this.toString();
    return path === '' ? name : `${path}.${name}`;
  }
}

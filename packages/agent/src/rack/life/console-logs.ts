const mostCharacters = 64 * 1024;
const mostMachines = 100;

/** What inspection systems wrote lately: the end of it for each machine, in memory only. */
export class ConsoleLogs {
  /** The one that wrote last, last. */
  readonly #texts = new Map<string, string>();
  readonly #listeners = new Map<string, Set<(text: string) => void>>();

  append(key: string, text: string): void {
    const before = this.#texts.get(key) ?? '';
    this.#texts.delete(key);
    this.#texts.set(key, `${before}${text}`.slice(-mostCharacters));
    const [oldest] = this.#texts.keys();
    if (this.#texts.size > mostMachines && oldest !== undefined) this.#texts.delete(oldest);
    for (const listener of this.#listeners.get(key) ?? []) listener(text);
  }

  /** '' when it wrote nothing. */
  text(key: string): string {
    return this.#texts.get(key) ?? '';
  }

  /** Returns the unsubscriber. */
  listen(key: string, listener: (text: string) => void): () => void {
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(key);
    };
  }
}

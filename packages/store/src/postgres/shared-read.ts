/** Callers at the same time share one read, but never one that began before they asked. */
export class SharedRead<Value> {
  readonly #read: () => Promise<Value>;
  #running: Promise<void> | undefined;
  #next: Promise<Value> | undefined;

  constructor(read: () => Promise<Value>) {
    this.#read = read;
  }

  get(): Promise<Value> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.#start();
    });
    return this.#next;
  }

  #start(): Promise<Value> {
    const read = this.#read();
    const running: Promise<void> = read.then(
      () => this.#end(running),
      () => this.#end(running),
    );
    this.#running = running;
    return read;
  }

  #end(running: Promise<void>): void {
    if (this.#running === running) this.#running = undefined;
  }
}

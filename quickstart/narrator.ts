import { styleText } from 'node:util';

/** Tells a person what happens, step by step, with times. */
export class Narrator {
  readonly #stream: NodeJS.WritableStream;

  constructor(stream: NodeJS.WritableStream = process.stdout) {
    this.#stream = stream;
  }

  heading(text: string): void {
    this.#write(`\n${this.#style('bold', text)}\n`);
  }

  /** Says what begins, and how long it took when it is done. `said` gets its own line below the step. */
  async step<T>(title: string, action: (say: (line: string) => void) => Promise<T>): Promise<T> {
    const started = performance.now();
    const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
    this.#write(`${this.#style('cyan', '●')} ${title}\n`);
    try {
      const result = await action((line) => this.note(line));
      this.#write(`  ${this.#style('green', '✓')} ${this.#style('dim', seconds())}\n`);
      return result;
    } catch (error) {
      this.#write(`  ${this.#style('red', '✗')} failed after ${seconds()}\n`);
      throw error;
    }
  }

  note(line: string): void {
    this.#write(`    ${line}\n`);
  }

  command(line: string): void {
    this.#write(`    ${this.#style('dim', '$')} ${this.#style('bold', line)}\n`);
  }

  problem(text: string): void {
    this.#write(`${this.#style('red', text)}\n`);
  }

  #style(format: Parameters<typeof styleText>[0], text: string): string {
    return styleText(format, text, { stream: this.#stream });
  }

  #write(text: string): void {
    this.#stream.write(text);
  }
}

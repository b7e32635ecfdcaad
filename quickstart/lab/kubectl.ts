import { findTool } from '@selvedge/testkit';
import { runProgram, tryProgram } from './run-program.ts';

/** kubectl with the hub's admin kubeconfig. */
export class Kubectl {
  /** Undefined when there is none on this machine. */
  readonly path = findTool('kubectl');
  readonly #env: NodeJS.ProcessEnv;

  constructor(kubeconfig: string, cacheDir: string) {
    this.#env = { ...process.env, KUBECONFIG: kubeconfig, KUBECACHEDIR: cacheDir };
  }

  /** Stdout; throws with kubectl's words when it fails. */
  run(...args: readonly string[]): Promise<string> {
    return runProgram([this.#program(), ...args], { env: this.#env });
  }

  try(...args: readonly string[]): Promise<{ code: number | string; stdout: string; stderr: string }> {
    return tryProgram([this.#program(), ...args], { env: this.#env });
  }

  async apply(yaml: string): Promise<string> {
    return await runProgram([this.#program(), 'apply', '-f', '-'], { env: this.#env, input: yaml });
  }

  #program(): string {
    if (this.path === undefined) throw new Error('kubectl is missing; put it on PATH, or set KUBECTL');
    return this.path;
  }
}

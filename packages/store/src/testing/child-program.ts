import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';

export interface ChildProgram {
  readonly process: ChildProcess;
  readonly lines: Interface;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
}

/** Starts a program of this folder under the Node of the test. */
export function startProgram(file: string, args: readonly string[]): ChildProgram {
  const child = spawn(process.execPath, [join(import.meta.dirname, file), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  return {
    process: child,
    lines: createInterface({ input: child.stdout }),
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ApiAddress } from './connection.ts';
import type { LoadJob, LoadResult } from './load-jobs.ts';

/** The load program, started once so that it is warm. One job at a time. */
export class LoadProcess {
  readonly #child: ChildProcess = fork(join(import.meta.dirname, 'load-program.ts'));

  async run(address: ApiAddress, job: LoadJob): Promise<LoadResult> {
    const answer = Promise.race([
      once(this.#child, 'message'),
      once(this.#child, 'exit').then(() => Promise.reject(new Error('the load program has ended'))),
    ]);
    this.#child.send({ address, job });
    const [{ result, error }] = (await answer) as [{ result?: LoadResult; error?: string }];
    if (result === undefined) throw new Error(`the load program failed: ${error}`);
    return result;
  }

  close(): void {
    this.#child.kill();
  }
}

import { Worker } from 'node:worker_threads';
import { StatusError } from '@selvedge/api';
import type { WorkerAnswer, WorkerOptions, WorkerRequest, WorkerTasks } from './store-worker.ts';

/** Beside this file in the sources; in a bundle beside the bundle, under this name (tools/build.ts). */
const program = new URL(
  import.meta.url.endsWith('.ts') ? './store-worker.ts' : './selvedge-store-worker.mjs',
  import.meta.url,
);

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: StatusError) => void;
}

/**
 * A second thread for what takes long. It is started by the first task; when it dies, the tasks under way fail with
 * `InternalError` and the next one starts another.
 */
export class StoreWorker {
  readonly #options: () => WorkerOptions;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 1;

  /** @param options asked when the thread starts. */
  constructor(options: () => WorkerOptions) {
    this.#options = options;
  }

  run<Task extends keyof WorkerTasks>(
    task: Task,
    ...args: Parameters<WorkerTasks[Task]>
  ): Promise<ReturnType<WorkerTasks[Task]>> {
    const request: WorkerRequest = { id: this.#nextId++, task, argument: args[0] };
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve, reject });
      const worker = this.#started();
      worker.ref(); // the process must not end while somebody waits
      worker.postMessage(request);
    });
  }

  /** Ends the thread, after the step of the engine that it is in. Tasks under way fail. */
  async stop(): Promise<void> {
    await this.#worker?.terminate();
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(program, {
      workerData: this.#options(),
      resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 8 },
    });
    this.#worker = worker;
    worker.on('message', (answer: WorkerAnswer) => this.#settle(answer));
    worker.on('error', (error) => this.#lost(worker, error));
    worker.on('exit', () => this.#lost(worker, undefined));
    return worker;
  }

  #settle(answer: WorkerAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('reason' in answer) waiting?.reject(new StatusError(answer.reason, answer.message));
    else waiting?.resolve(answer.value as never);
    if (this.#waiting.size === 0) this.#worker?.unref();
  }

  #lost(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) {
      reject(new StatusError('InternalError', 'the second thread of the store has ended', { cause }));
    }
    this.#waiting.clear();
  }
}

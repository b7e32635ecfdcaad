import { lastLogLines } from './container-logs.ts';
import type { Problem } from '../item-state.ts';
import type { LibpodClient } from './libpod-client.ts';
import type { ObservedPod } from './observe.ts';
import type { PodStatus } from './pod-status.ts';
import { problemOfError } from './problem-of-error.ts';
import type { TaskRunner } from '../task-runner.ts';

/** A pod of the item that is to stay. */
export interface SuspectPod {
  readonly pod: ObservedPod;
  readonly status: PodStatus;
  /** Belongs to the release in force. */
  readonly isCurrent: boolean;
}

/** Finds the one thing that people should be told, with the log lines of the container at fault. */
export class ProblemFinder {
  readonly #client: LibpodClient;
  readonly #tasks: TaskRunner;
  /** By pod and container: of which container in which state, and what it said. */
  readonly #logs = new Map<string, { readonly mark: string; readonly lines: readonly string[] }>();

  constructor(client: LibpodClient, tasks: TaskRunner) {
    this.#client = client;
    this.#tasks = tasks;
  }

  /** @param taskKeys steps whose failure counts, most telling first. */
  async find(taskKeys: readonly string[], suspects: readonly SuspectPod[]): Promise<Problem | undefined> {
    // Logs are taken while the container is there, whether or not something else is told first.
    const ofPods = await this.#ofPods(suspects);
    const failures = taskKeys
      .map((key) => this.#tasks.failureOf(key))
      .filter((failure) => failure !== undefined);
    return failures.map(problemOfError).find((problem) => problem !== undefined) ?? ofPods;
  }

  async #ofPods(suspects: readonly SuspectPod[]): Promise<Problem | undefined> {
    const seen = new Set<string>();
    let first: Problem | undefined;
    for (const { pod, status } of suspects.toSorted((a, b) => Number(b.isCurrent) - Number(a.isCurrent))) {
      const { problem } = status;
      const container = pod.containers.find((c) => c.name === problem?.container);
      if (!problem || !container) continue;
      const key = `${pod.name}/${container.name}`;
      const mark = `${container.id} ${container.state} ${problem.reason}`;
      seen.add(key);
      if (this.#logs.get(key)?.mark !== mark) {
        this.#logs.set(key, { mark, lines: await lastLogLines(this.#client, container.id) });
      }
      first ??= { ...problem, logs: this.#logs.get(key)?.lines ?? [] };
    }
    for (const key of this.#logs.keys()) if (!seen.has(key)) this.#logs.delete(key);
    return first;
  }
}

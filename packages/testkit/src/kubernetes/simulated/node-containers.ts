import type { Clock } from '@selvedge/api';
import { ContainerProcess } from './container-process.ts';
import { behaviourOf } from './pod-script.ts';
import type { Container, Pod } from './workload-objects.ts';

/** The containers with behaviour `process` of all nodes; the others are only told of. */
export class NodeContainers {
  readonly #clock: Clock;
  readonly #processes = new Map<string, Promise<ContainerProcess>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts those of the pod that do not run yet. */
  async start(pod: Pod): Promise<void> {
    for (const container of pod.spec.containers) {
      const key = keyOf(pod, container);
      if (behaviourOf(pod, container) !== 'process' || this.#processes.has(key)) continue;
      this.#processes.set(key, ContainerProcess.start(container, this.#clock));
    }
    await Promise.all(this.#of(pod));
  }

  /** Without a name: the first of the pod. Undefined: it is not a process. */
  async find(pod: Pod, name?: string): Promise<ContainerProcess | undefined> {
    const container = pod.spec.containers.find((one) => name === undefined || one.name === name);
    return container && this.#processes.get(keyOf(pod, container));
  }

  async end(pod: Pod): Promise<void> {
    const processes = this.#of(pod);
    for (const container of pod.spec.containers) this.#processes.delete(keyOf(pod, container));
    await closeAll(processes);
  }

  async close(): Promise<void> {
    const processes = [...this.#processes.values()];
    this.#processes.clear();
    await closeAll(processes);
  }

  #of(pod: Pod): Promise<ContainerProcess>[] {
    return pod.spec.containers.flatMap((container) => this.#processes.get(keyOf(pod, container)) ?? []);
  }
}

async function closeAll(processes: readonly Promise<ContainerProcess>[]): Promise<void> {
  await Promise.all(processes.map(async (process) => (await process).close()));
}

const keyOf = ({ metadata }: Pod, { name }: Container) => `${metadata.uid}/${name}`;

import {
  type Clock,
  type KubeObject,
  type Logger,
  type Machine,
  type MachineErrorReason,
  type MachinePhase,
  machines,
  type ObjectClient,
  type OperationalStatus,
} from '@selvedge/api';
import type { Informer } from '@selvedge/kube';
import { createProjectingInformer } from '../informers/projecting-informer.ts';

/** A Machine without what is large: what a contact with its rack is judged by. */
export interface KnownMachine extends KubeObject {
  readonly spec: Pick<Machine['spec'], 'siteName' | 'identity' | 'accepted'>;
  readonly reportSeq?: number;
  /** Its rack has spoken of it under its uid. */
  readonly isOrdered: boolean;
  readonly phase?: MachinePhase;
  readonly operationalStatus?: OperationalStatus;
  readonly errorReason?: MachineErrorReason;
}

/** The Machines of each site, in memory: looked at on every contact with a rack. */
export class MachineDirectory {
  readonly #client: ObjectClient;
  readonly #informer: Informer<KnownMachine>;
  readonly #bySite = new Map<string, Map<string, KnownMachine>>();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: { client: ObjectClient; clock: Clock; logger: Logger }) {
    this.#client = options.client;
    this.#informer = createProjectingInformer({ ...options, resource: machines }, knownMachine);
    this.#informer.onChange({
      add: (machine) => this.#put(machine),
      update: (machine, previous) => {
        this.#remove(previous);
        this.#put(machine);
      },
      delete: (machine) => this.#remove(machine),
    });
  }

  async start(): Promise<void> {
    this.#running = this.#informer.run(this.#stop.signal);
    await this.#informer.synced;
  }

  /** As last heard, by uid; may lag by an instant. */
  ofSite(site: string): ReadonlyMap<string, KnownMachine> {
    return this.#bySite.get(site) ?? none;
  }

  /** As it is now. */
  async findNow(name: string): Promise<KnownMachine | undefined> {
    const machine = await this.#client.find<Machine>(machines, { name });
    return machine && knownMachine(machine);
  }

  list(): readonly KnownMachine[] {
    return this.#informer.list();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #put(machine: KnownMachine): void {
    const { siteName } = machine.spec;
    const known = this.#bySite.get(siteName) ?? new Map<string, KnownMachine>();
    this.#bySite.set(siteName, known.set(machine.metadata.uid ?? '', machine));
  }

  #remove({ metadata, spec }: KnownMachine): void {
    const known = this.#bySite.get(spec.siteName);
    known?.delete(metadata.uid ?? '');
    if (known?.size === 0) this.#bySite.delete(spec.siteName);
  }
}

const none: ReadonlyMap<string, KnownMachine> = new Map();

function knownMachine({ apiVersion, kind, metadata, spec, status }: Machine): KnownMachine {
  const { name, uid, resourceVersion, annotations, deletionTimestamp } = metadata;
  const { siteName, identity, accepted } = spec;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
    spec: { siteName, identity, ...(accepted === undefined ? {} : { accepted }) },
    ...(status?.reportSeq === undefined ? {} : { reportSeq: status.reportSeq }),
    isOrdered: status?.observedGeneration !== undefined,
    ...(status?.phase === undefined ? {} : { phase: status.phase }),
    ...(status?.operationalStatus === undefined ? {} : { operationalStatus: status.operationalStatus }),
    ...(status?.error === undefined ? {} : { errorReason: status.error.reason }),
  };
}

import { createHash } from 'node:crypto';
import {
  type Clock,
  type Event,
  events,
  isAlreadyExists,
  isStatusError,
  type KubeObject,
  type Logger,
  type ObjectClient,
} from '@selvedge/api';

export interface EventFacts {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase. */
  readonly reason: string;
  readonly message: string;
}

/** Where events of objects without a namespace go, as in Kubernetes. */
const defaultNamespace = 'default';
const maxMessageLength = 1024;
const maxNameLength = 200;

/**
 * Writes core/v1 Events, for people to find with `kubectl describe`. The same fact again counts up the same Event. Nothing
 * depends on an Event, so one that cannot be written is logged and forgotten.
 */
export class EventRecorder {
  readonly #client: ObjectClient;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #open = new Set<Promise<void>>();

  constructor(options: { client: ObjectClient; clock: Clock; logger: Logger }) {
    this.#client = options.client;
    this.#clock = options.clock;
    this.#log = options.logger.child({ component: 'events' });
  }

  /** Returns at once. */
  record(about: KubeObject, facts: EventFacts): void {
    const writing = this.#write(about, facts).catch((error: unknown) => {
      const isExpected = isStatusError(error, 'Forbidden') || isStatusError(error, 'NotFound');
      this.#log[isExpected ? 'debug' : 'warn']('event not written', { reason: facts.reason, error });
    });
    this.#open.add(writing);
    void writing.finally(() => this.#open.delete(writing));
  }

  /** Resolves when everything recorded so far is written. */
  async flush(): Promise<void> {
    await Promise.all(this.#open);
  }

  async #write(about: KubeObject, facts: EventFacts): Promise<void> {
    const { metadata, kind, apiVersion } = about;
    const now = this.#clock.now().toISOString();
    const namespace = metadata.namespace ?? defaultNamespace;
    const message = facts.message.slice(0, maxMessageLength);
    const name = nameOf(about, { ...facts, message });
    const repeat = async (present: Event) => {
      const patch = { count: (present.count ?? 1) + 1, lastTimestamp: now };
      await this.#client.mergePatch(events, { namespace, name }, patch);
    };
    const present = await this.#client.find<Event>(events, { namespace, name });
    if (present) return repeat(present);
    try {
      await this.#client.create<Event>(events, {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace },
        involvedObject: {
          apiVersion,
          kind,
          name: metadata.name,
          ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
          ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
          ...(metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }),
        },
        type: facts.type,
        reason: facts.reason,
        message,
        count: 1,
        firstTimestamp: now,
        lastTimestamp: now,
        source: { component: 'selvedge-hub' },
        reportingComponent: 'selvedge.dev/hub',
      });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await repeat(await this.#client.get<Event>(events, { namespace, name }));
    }
  }
}

/** The same for the same fact about the same object. */
function nameOf({ metadata }: KubeObject, { type, reason, message }: EventFacts): string {
  const hash = createHash('sha256').update(JSON.stringify([metadata.uid, type, reason, message]));
  return `${metadata.name.slice(0, maxNameLength)}.${hash.digest('hex').slice(0, 16)}`;
}

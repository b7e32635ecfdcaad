import { createHash } from 'node:crypto';
import {
  type Event,
  events,
  isAlreadyExists,
  isStatusError,
  type KubeObject,
  type Logger,
  type ObjectClient,
} from '@selvedge/api';
import type { SiteKey } from '@selvedge/store';

const maxNameLength = 200;
/** Where events of objects without a namespace go, as in Kubernetes. */
const defaultNamespace = 'default';

/** Events of what agents tell, each made once: the name follows from the agent's key and what it is about. */
export class AgentEvents {
  readonly #client: ObjectClient;
  readonly #log: Logger;

  constructor(options: { client: ObjectClient; logger: Logger }) {
    this.#client = options.client;
    this.#log = options.logger;
  }

  /** Resolves when it is durable, also when it was there before. */
  async save(key: SiteKey, event: Event): Promise<void> {
    try {
      await this.#client.create<Event>(events, event);
    } catch (error) {
      if (isAlreadyExists(error)) return;
      // A namespace that is being deleted takes no more Events: nobody will look for one there.
      if (isStatusError(error, 'Forbidden') || isStatusError(error, 'NotFound')) {
        this.#log.warn('what happened at a site is not recorded as Event', {
          site: key.site,
          event: event.metadata.name,
          error,
        });
        return;
      }
      throw error;
    }
  }
}

/** The same `what` of the same key is the same Event. */
export function eventAbout(
  { metadata, kind, apiVersion }: KubeObject,
  key: SiteKey,
  what: number | string,
): Pick<
  Event,
  | 'apiVersion'
  | 'kind'
  | 'metadata'
  | 'involvedObject'
  | 'source'
  | 'reportingComponent'
  | 'reportingInstance'
> {
  const hash = createHash('sha256').update(JSON.stringify([key.siteUid, key.fingerprint, what]));
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      name: `${metadata.name.slice(0, maxNameLength)}.act-${hash.digest('hex').slice(0, 16)}`,
      namespace: metadata.namespace ?? defaultNamespace,
    },
    involvedObject: {
      apiVersion,
      kind,
      name: metadata.name,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
    },
    source: { component: 'selvedge-agent', host: key.site },
    reportingComponent: 'selvedge.dev/agent',
    reportingInstance: key.site,
  };
}

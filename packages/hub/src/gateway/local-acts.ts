import { createHash } from 'node:crypto';
import {
  type Application,
  applications,
  type Clock,
  type Event,
  events,
  isAlreadyExists,
  isStatusError,
  type KubeObject,
  type LocalAct,
  type Logger,
  type ObjectClient,
  type Site,
} from '@selvedge/api';
import type { SiteKey } from '@selvedge/store';
import type { SiteStatusWriter } from './site-status.ts';

const maxMessageLength = 1_024;
const maxNameLength = 200;
/** Where events of objects without a namespace go, as in Kubernetes. */
const defaultNamespace = 'default';

const eventOf: Readonly<Record<LocalAct['kind'], { reason: string; type: 'Normal' | 'Warning' }>> = {
  Hold: { reason: 'HeldAtSite', type: 'Normal' },
  Release: { reason: 'ReleasedAtSite', type: 'Normal' },
  Rollback: { reason: 'RolledBackAtSite', type: 'Warning' },
  WentBack: { reason: 'WentBack', type: 'Warning' },
  RemovalRefused: { reason: 'RemovalRefused', type: 'Warning' },
};

/** Highest number of an act of this key that the hub knows durably; 0: none. */
export function acknowledgedActs(site: Site, key: Pick<SiteKey, 'fingerprint'>): number {
  const acts = site.status?.acts;
  // A new key is a new life of the agent, and counts from 1.
  return acts?.keyFingerprint === key.fingerprint ? acts.acknowledged : 0;
}

/**
 * Turns what was done at a site into Events, each act once: the Event's name follows from the agent's key and the act's number, and
 * the number is kept on the Site. So the same acts again, after a lost answer or a crash in between, make nothing new.
 */
export class LocalActs {
  readonly #client: ObjectClient;
  readonly #status: SiteStatusWriter;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(options: {
    client: ObjectClient;
    status: SiteStatusWriter;
    clock: Clock;
    logger: Logger;
  }) {
    this.#client = options.client;
    this.#status = options.status;
    this.#clock = options.clock;
    this.#log = options.logger;
  }

  /**
   * Resolves when the acts are durable, with the number up to which they are. Throws when they cannot be kept now: the agent
   * sends them again.
   */
  async record(site: Site, key: SiteKey, acts: readonly LocalAct[]): Promise<number> {
    const known = acknowledgedActs(site, key);
    const news = acts.filter((act) => act.seq > known);
    const last = news.at(-1)?.seq;
    if (last === undefined) return known;
    for (const act of news) await this.#write(site, key, act);
    const { fingerprint: keyFingerprint } = key;
    const written = await this.#status.change(key, (present) =>
      acknowledgedActs(present, key) >= last ? undefined : { acts: { keyFingerprint, acknowledged: last } },
    );
    this.#log.info('acts at the site recorded', { site: key.site, acts: news.length });
    return written === undefined ? last : acknowledgedActs(written, key);
  }

  async #write(site: Site, key: SiteKey, act: LocalAct): Promise<void> {
    await this.#create(site, key, act);
    const application = await this.#findApplication(act.item);
    if (application !== undefined) await this.#create(application, key, act);
  }

  /** `undefined` also for an item whose Application this hub does not know. */
  async #findApplication(item: string | undefined): Promise<Application | undefined> {
    const [kind, namespace, name] = item?.split('/') ?? [];
    if (kind !== 'Application' || namespace === undefined || name === undefined) return undefined;
    return this.#client.find<Application>(applications, { namespace, name });
  }

  async #create(about: KubeObject, key: SiteKey, act: LocalAct): Promise<void> {
    try {
      await this.#client.create<Event>(events, this.#eventFor(about, key, act));
    } catch (error) {
      if (isAlreadyExists(error)) return;
      // A namespace that is being deleted takes no more Events: nobody will look for one there.
      if (isStatusError(error, 'Forbidden') || isStatusError(error, 'NotFound')) {
        this.#log.warn('act at a site not recorded as Event', { site: key.site, act: act.seq, error });
        return;
      }
      throw error;
    }
  }

  #eventFor(about: KubeObject, key: SiteKey, act: LocalAct): Event {
    const { metadata, kind, apiVersion } = about;
    const hash = createHash('sha256').update(JSON.stringify([key.siteUid, key.fingerprint, act.seq]));
    const where = kind === 'Site' ? '' : `${key.site}: `;
    const who = act.by === undefined || act.message.includes(act.by) ? '' : ` (by ${act.by})`;
    const why = act.reason === undefined || act.message.includes(act.reason) ? '' : `: ${act.reason}`;
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
      ...eventOf[act.kind],
      // Events are kept for a day from when they are heard of, however long the site was away.
      message: `${where}${act.message}${who}, at ${act.time}${why}`.slice(0, maxMessageLength),
      count: 1,
      firstTimestamp: act.time,
      lastTimestamp: this.#clock.now().toISOString(),
      source: { component: 'selvedge-agent', host: key.site },
      reportingComponent: 'selvedge.dev/agent',
      reportingInstance: key.site,
    };
  }
}

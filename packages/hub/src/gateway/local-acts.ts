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
import type { FleetStore, SiteKey } from '@selvedge/store';
import { SiteAllowance } from './site-allowance.ts';
import type { SiteStatusWriter } from './site-status.ts';

const maxMessageLength = 1_024;
const maxNameLength = 200;
const hourMilliseconds = 3_600_000;
/** Acts of a site that become Events: so many at once, and so many per hour. */
const actsPerHour = 60;
/** Where events of objects without a namespace go, as in Kubernetes. */
const defaultNamespace = 'default';

const eventOf: Readonly<Record<LocalAct['kind'], { reason: string; type: 'Normal' | 'Warning' }>> = {
  Hold: { reason: 'HeldAtSite', type: 'Normal' },
  Release: { reason: 'ReleasedAtSite', type: 'Normal' },
  Rollback: { reason: 'RolledBackAtSite', type: 'Warning' },
  WentBack: { reason: 'WentBack', type: 'Warning' },
  Import: { reason: 'StateImported', type: 'Normal' },
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
  readonly #fleet: Pick<FleetStore, 'listDeliveries'>;
  readonly #allowance: SiteAllowance;

  constructor(options: {
    client: ObjectClient;
    fleet: Pick<FleetStore, 'listDeliveries'>;
    status: SiteStatusWriter;
    clock: Clock;
    logger: Logger;
  }) {
    this.#client = options.client;
    this.#status = options.status;
    this.#clock = options.clock;
    this.#log = options.logger;
    this.#fleet = options.fleet;
    const perSecond = (actsPerHour * 1000) / hourMilliseconds;
    this.#allowance = new SiteAllowance(options.clock, { burst: actsPerHour, perSecond });
  }

  forget(site: string): void {
    this.#allowance.forget(site);
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
    const told = this.#allowance.take(key.site, news.length);
    for (const act of news.slice(0, told)) await this.#write(site, key, act);
    if (told < news.length) await this.#tellUntold(site, key);
    const { fingerprint: keyFingerprint } = key;
    const written = await this.#status.change(key, (present) =>
      acknowledgedActs(present, key) >= last ? undefined : { acts: { keyFingerprint, acknowledged: last } },
    );
    this.#log.info('acts at the site recorded', { site: key.site, acts: news.length });
    return written === undefined ? last : acknowledgedActs(written, key);
  }

  async #write(site: Site, key: SiteKey, act: LocalAct): Promise<void> {
    await this.#create(site, key, act);
    const application = await this.#findApplication(key.site, act.item);
    if (application !== undefined) await this.#create(application, key, act);
  }

  /** The site did more than is told: one Event says so, however often that is. */
  async #tellUntold(site: Site, key: SiteKey): Promise<void> {
    const now = this.#clock.now();
    const time = now.toISOString();
    const hour = Math.floor(now.getTime() / hourMilliseconds);
    await this.#save(key, {
      ...this.#about(site, key, `more-${hour}`),
      type: 'Warning',
      reason: 'ActsNotTold',
      message: `More than ${actsPerHour} acts an hour: others since ${time} are told only at the site, by selvedge-agent status.`,
      count: 1,
      firstTimestamp: time,
      lastTimestamp: time,
    });
  }

  /** `undefined` for an item that this hub never gave the site, or whose Application it does not know. */
  async #findApplication(site: string, item: string | undefined): Promise<Application | undefined> {
    const [kind, namespace, name] = item?.split('/') ?? [];
    if (kind !== 'Application' || namespace === undefined || name === undefined) return undefined;
    const { rows } = await this.#fleet.listDeliveries({ site, namespace, application: name });
    return rows.length === 0 ? undefined : this.#client.find<Application>(applications, { namespace, name });
  }

  #create(about: KubeObject, key: SiteKey, act: LocalAct): Promise<void> {
    return this.#save(key, this.#eventFor(about, key, act));
  }

  async #save(key: SiteKey, event: Event): Promise<void> {
    try {
      await this.#client.create<Event>(events, event);
    } catch (error) {
      if (isAlreadyExists(error)) return;
      // A namespace that is being deleted takes no more Events: nobody will look for one there.
      if (isStatusError(error, 'Forbidden') || isStatusError(error, 'NotFound')) {
        this.#log.warn('act at a site not recorded as Event', {
          site: key.site,
          event: event.metadata.name,
          error,
        });
        return;
      }
      throw error;
    }
  }

  #eventFor(about: KubeObject, key: SiteKey, act: LocalAct): Event {
    const where = about.kind === 'Site' ? '' : `${key.site}: `;
    const who = act.by === undefined || act.message.includes(act.by) ? '' : ` (by ${act.by})`;
    const why = act.reason === undefined || act.message.includes(act.reason) ? '' : `: ${act.reason}`;
    return {
      ...this.#about(about, key, act.seq),
      ...eventOf[act.kind],
      // Events are kept for a day from when they are heard of, however long the site was away.
      message: `${where}${act.message}${who}, at ${act.time}${why}`.slice(0, maxMessageLength),
      count: 1,
      firstTimestamp: act.time,
      lastTimestamp: this.#clock.now().toISOString(),
    };
  }

  /** The same `what` of the same key is the same Event. */
  #about(
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
}

import {
  type Application,
  applications,
  type Clock,
  type Event,
  type KubeObject,
  type LocalAct,
  type Logger,
  type ObjectClient,
  type Site,
} from '@selvedge/api';
import type { FleetStore, SiteKey } from '@selvedge/store';
import { AgentEvents, eventAbout } from './agent-events.ts';
import { SiteAllowance } from './site-allowance.ts';
import type { SiteStatusWriter } from './site-status.ts';

const maxMessageLength = 1_024;
const hourMilliseconds = 3_600_000;
/** Acts of a site that become Events: so many at once, and so many per hour. */
const actsPerHour = 60;

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
  readonly #events: AgentEvents;

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
    this.#events = new AgentEvents(options);
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
    await this.#events.save(key, {
      ...eventAbout(site, key, `more-${hour}`),
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
    return this.#events.save(key, this.#eventFor(about, key, act));
  }

  #eventFor(about: KubeObject, key: SiteKey, act: LocalAct): Event {
    const where = about.kind === 'Site' ? '' : `${key.site}: `;
    const who = act.by === undefined || act.message.includes(act.by) ? '' : ` (by ${act.by})`;
    const why = act.reason === undefined || act.message.includes(act.reason) ? '' : `: ${act.reason}`;
    return {
      ...eventAbout(about, key, act.seq),
      ...eventOf[act.kind],
      // Events are kept for a day from when they are heard of, however long the site was away.
      message: `${where}${act.message}${who}, at ${act.time}${why}`.slice(0, maxMessageLength),
      count: 1,
      firstTimestamp: act.time,
      lastTimestamp: this.#clock.now().toISOString(),
    };
  }
}

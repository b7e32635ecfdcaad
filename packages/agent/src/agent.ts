import { join, resolve } from 'node:path';
import type { AgentInfo, Clock, KubeObject, LinkAccess, Logger, SecretValue } from '@selvedge/api';
import { keyFingerprint } from '@selvedge/api/node';
import type { Depot } from './depot/depot.ts';
import { LazyDepot, type LazyDepotOptions } from './depot/lazy-depot.ts';
import { SealedStore } from './credentials/sealed-store.ts';
import { KeptLogins, type SiteLogins } from './credentials/site-logins.ts';
import type { Driver } from './drivers/driver.ts';
import { enrol } from './enrolment/enrol.ts';
import { EnrolmentRefused } from './enrolment/enrolment-refused.ts';
import { type EnrolmentToken, parseEnrolmentToken } from './enrolment/enrolment-token.ts';
import { HubClock } from './hub-connection/hub-clock.ts';
import type { ProxySettings } from './hub-connection/proxy-settings.ts';
import { firstKeyFile, loadOrMakeAgentKey, nextKeyFile } from './identity/agent-key.ts';
import { SealingKeys } from './identity/sealing-keys.ts';
import { secretValues, type SecretVersions } from './life/item-secrets.ts';
import type { RackOptions, RackRole } from './rack/rack-role.ts';
import { SiteSession } from './site-session.ts';
import { AgentDatabase, isStorageFull } from './state/agent-database.ts';
import { makePrivateDirectory, removeLeftovers } from './state/atomic-file.ts';
import { ContactRecord } from './state/contact-record.ts';
import { ContentStore } from './state/content-store.ts';
import { noteDepotFolder } from './state/depot-folder.ts';
import { type Enrolment, findEnrolment, findMeta, putMeta, saveEnrolment } from './state/enrolment-record.ts';
import { ReportBook } from './state/report-book.ts';
import { SpaceReserve } from './state/space-reserve.ts';
import type { StateKeeper } from './state/state-keeper.ts';
import { lockStateDirectory } from './state/state-lock.ts';

/** What a driver is made for. */
export interface DriverContext {
  readonly site: { readonly name: string; readonly uid: string };
  /** Manifests by digest, from this machine only. */
  findManifests(digest: string): Promise<readonly KubeObject[] | undefined>;
  /** Values of Secrets of an item by name and version, from this machine only; undefined when one is not here. */
  findSecrets(item: string, versions: SecretVersions): ReadonlyMap<string, SecretValue> | undefined;
  /** For the runtime's own way to pull. */
  readonly logins: SiteLogins;
  /** Where the site's images come from; absent: straight from their registries. */
  readonly depot?: Depot | undefined;
}

/** Where a site keeps its images, and to whom it serves them. */
export type DepotOptions = Pick<
  LazyDepotOptions,
  'directory' | 'listen' | 'insecureRegistries' | 'reserveBytes'
>;

export interface AgentOptions {
  readonly stateDir: string;
  /** Text of the token; needed for the first enrolment, and to enrol again when the key was refused. */
  readonly token?: string;
  /** Absent: what is on this disk is all there is. */
  readonly keeper?: StateKeeper | undefined;
  readonly createDriver: (context: DriverContext) => Driver;
  readonly machine: Omit<AgentInfo, 'runtime'>;
  readonly proxies: ProxySettings;
  /** CAs (PEM, one each) of proxies on the way to the hub, beside those that this machine trusts. */
  readonly extraCas?: readonly string[];
  /** Addresses of the hub in order of preference, instead of those in the token or those kept since enrolment; they are kept. */
  readonly hubs?: readonly URL[];
  /** What the site itself allows over the service link; `Full` when absent: then `Site.spec.link` alone decides. */
  readonly link?: LinkAccess;
  /** Absent: the site has no depot. */
  readonly depot?: DepotOptions | undefined;
  /** Absent: this agent looks after no machines. */
  readonly rack?: RackOptions | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Longest wait of one poll. */
  readonly longestWaitSeconds?: number;
  readonly keyRefusedRetryMs?: number;
  /** Milliseconds that never jump; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
}

/**
 * One site's agent. `run` ends when the signal fires (containers go on running) or with an error: `EnrolmentRefused` when a person
 * has to act. What was accepted before is driven before the hub is asked for anything.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { stateDir, keeper } = options;
  const keysDir = join(stateDir, 'keys');
  await makePrivateDirectory(stateDir);
  const lock = lockStateDirectory(stateDir);
  try {
    await keeper?.restore(signal);
    if (signal.aborted) return;
    await makePrivateDirectory(keysDir);
    await removeLeftovers(keysDir);
    await removeLeftovers(stateDir);
    const database = await openDatabase(options, signal);
    if (database === undefined) return;
    try {
      const agent = await Agent.open({ ...options, keysDir, database });
      await runKept(agent, keeper, signal);
    } finally {
      database.close();
    }
  } finally {
    lock.release();
  }
}

/** Ends with the error of whichever of the two fails first. */
async function runKept(agent: Agent, keeper: StateKeeper | undefined, signal: AbortSignal): Promise<void> {
  if (keeper === undefined) return agent.run(signal);
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  const end = () => ended.abort('ended');
  const results = await Promise.allSettled([agent.run(either).finally(end), keeper.run(either).finally(end)]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Waits for space when even the reserve is not enough; undefined when the signal fired meanwhile. */
async function openDatabase(options: AgentOptions, signal: AbortSignal): Promise<AgentDatabase | undefined> {
  const reserve = new SpaceReserve(options.stateDir);
  while (!signal.aborted) {
    try {
      const database = AgentDatabase.open(options.stateDir);
      reserve.keep();
      return database;
    } catch (error) {
      if (!isStorageFull(error)) throw error;
      options.logger.error('the disk is full; free some space, the agent goes on by itself', { error });
      reserve.release();
      await options.clock.sleep(fullDiskRetryMs, signal);
    }
  }
  return undefined;
}

const fullDiskRetryMs = 1000;

type OpenOptions = AgentOptions & { keysDir: string; database: AgentDatabase };

class Agent {
  readonly #options: OpenOptions;
  readonly #clock: HubClock;
  readonly #content: ContentStore;
  readonly #book: ReportBook;
  readonly #contact: ContactRecord;

  private constructor(options: OpenOptions, content: ContentStore) {
    const { database, clock, stateDir, logger } = options;
    this.#options = options;
    this.#content = content;
    this.#clock = new HubClock({
      clock,
      savedOffsetMs: Number(findMeta(database, 'clockOffsetMs') ?? 0),
      ...(options.monotonicMs === undefined ? {} : { monotonicMs: options.monotonicMs }),
    });
    this.#book = new ReportBook(database);
    this.#contact = new ContactRecord({ stateDir, clock: this.#clock, logger });
  }

  static async open(options: OpenOptions): Promise<Agent> {
    const { database, keysDir, keeper } = options;
    const content = await ContentStore.open(database, keysDir);
    keeper?.attach({ database, content });
    return new Agent(options, content);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const known = this.#findEnrolment();
    const token = this.#readToken(known);
    if (known !== undefined) {
      await this.#serve(known, token, signal);
      return;
    }
    if (token === undefined) {
      throw new EnrolmentRefused(
        'this agent is not enrolled yet; give it a token: --token-file FILE (made by "selvedge site token NAME")',
      );
    }
    try {
      await this.#serve(await this.#enrol(token, undefined, signal), undefined, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      logger.info('stopped before the enrolment was done');
    }
  }

  /** With the addresses that this start was given, which are kept for the next. */
  #findEnrolment(): Enrolment | undefined {
    const { database, hubs, logger } = this.#options;
    const known = findEnrolment(database);
    if (known === undefined || hubs === undefined || hubs.length === 0) return known;
    const given = hubs.map((hub) => hub.href);
    if (given.join(' ') === known.hubs.join(' ')) return known;
    const enrolment = { ...known, hubs: given };
    saveEnrolment(database, enrolment);
    logger.info('the hub has other addresses from now on', { hubs: hubs.map((hub) => hub.origin) });
    return enrolment;
  }

  /** A token matters only when this state directory is not enrolled, or no longer. */
  #readToken(known: Enrolment | undefined): EnrolmentToken | undefined {
    const { token: text, logger } = this.#options;
    if (text === undefined) return undefined;
    if (known === undefined) return parseEnrolmentToken(text);
    let token: EnrolmentToken;
    try {
      token = parseEnrolmentToken(text);
    } catch (error) {
      // The applications of an enrolled site do not stop for a typing error.
      logger.warn('the token is not used: the agent is enrolled already', { site: known.site, error });
      return undefined;
    }
    if (token.fleetKeyFingerprint !== keyFingerprint(known.fleetKey)) {
      throw new EnrolmentRefused(
        `${this.#options.stateDir} belongs to site ${known.site} of another hub than the token; use another --state directory for the other hub, or leave the token out`,
      );
    }
    if (known.keyRefusal !== undefined && token.digest !== known.tokenDigest) return token;
    logger.info('the token is not used: the agent is enrolled already', { site: known.site });
    return undefined;
  }

  /** Drives and syncs until the signal; with a token, the key was refused and the site is enrolled again meanwhile. */
  async #serve(enrolment: Enrolment, token: EnrolmentToken | undefined, signal: AbortSignal): Promise<void> {
    const { options, session: first } = await this.#openSession(enrolment);
    let session = first;
    try {
      await session.startDriver(signal);
      if (token !== undefined) {
        const renewed = await this.#enrolAgain(token, enrolment, signal);
        if (renewed !== undefined) {
          await session.stopDriver();
          session = (await this.#openSession(renewed)).session;
          await session.startDriver(signal);
        }
      }
      if (!signal.aborted) await session.sync(signal);
    } finally {
      await session.stopDriver();
      options.logger.info('agent stopped; containers go on running');
    }
  }

  async #openSession(enrolment: Enrolment): Promise<{ options: OpenOptions; session: SiteSession }> {
    const { keysDir, database, createDriver, logger } = this.#options;
    const content = this.#content;
    const sealingKeys = await SealingKeys.open(keysDir, enrolment.keyFile);
    const { formerSiteUids } = enrolment;
    const opening = { owner: enrolment, formerSiteUids, keys: sealingKeys };
    const sealed = await SealedStore.load({ database, logger, ...opening });
    let open: SiteSession | undefined;
    const listed = () => open?.listedValues ?? [];
    const logins = new KeptLogins({ store: sealed, clock: this.#clock, listed });
    const depot = this.#makeDepot();
    const rack = await this.#openRack({ sealed, depot });
    const driver = createDriver({
      depot,
      site: { name: enrolment.site, uid: enrolment.siteUid },
      findManifests: async (digest) => {
        const bytes = content.find(digest);
        return bytes && (JSON.parse(bytes.toString('utf8')) as readonly KubeObject[]);
      },
      findSecrets: (item, versions) => secretValues(sealed, item, versions),
      logins,
    });
    open = await SiteSession.open({
      enrolment,
      key: await loadOrMakeAgentKey(keysDir, enrolment.keyFile),
      database,
      content,
      sealingKeys,
      sealed,
      logins,
      book: this.#book,
      contact: this.#contact,
      driver,
      depot,
      rack,
      hubClock: this.#clock,
      options: this.#options,
    });
    return { options: this.#options, session: open };
  }

  /** Loaded only here: an agent without it stays small. */
  async #openRack(beside: { sealed: SealedStore; depot: Depot | undefined }): Promise<RackRole | undefined> {
    const { rack, stateDir, database, logger } = this.#options;
    if (rack === undefined) return undefined;
    const { Rack } = await import('./rack/rack.ts');
    const [content, clock] = [this.#content, this.#clock];
    return await Rack.open({ ...rack, ...beside, stateDir, database, content, clock, logger });
  }

  #makeDepot(): LazyDepot | undefined {
    const { depot, proxies, extraCas = [], clock, logger, monotonicMs, database } = this.#options;
    noteDepotFolder(database, depot && resolve(depot.directory));
    if (depot === undefined) return undefined;
    return new LazyDepot({
      ...depot,
      proxies,
      extraCas,
      clock,
      logger: logger.child({ component: 'depot' }),
      monotonicMs: monotonicMs ?? (() => performance.now()),
    });
  }

  async #enrol(
    token: EnrolmentToken,
    former: Enrolment | undefined,
    signal: AbortSignal,
  ): Promise<Enrolment> {
    const { keysDir, database, machine, proxies, extraCas = [], logger, keeper } = this.#options;
    const hubs = this.#options.hubs?.length ? this.#options.hubs : token.hubs;
    const keyFile = former === undefined ? firstKeyFile : nextKeyFile(former.keyFile);
    const key = await loadOrMakeAgentKey(keysDir, keyFile);
    const { present: sealingKey } = await SealingKeys.open(keysDir, keyFile);
    // Before the hub binds the site to it: a key that is lost then makes the token worthless.
    await keeper?.keep(signal);
    const { identity, site, siteUid } = await enrol({
      token: { ...token, hubs },
      key,
      agentInfo: { ...machine, sealingKey: sealingKey.publicKey },
      proxies,
      extraCas,
      clock: this.#clock,
      logger,
      signal,
      onWaiting: (message) => this.#contact.failed(message),
    });
    if (former !== undefined && former.site !== site) {
      throw new EnrolmentRefused(
        `${this.#options.stateDir} holds the applications of site ${former.site}, and the token was for site ${site}; use an empty --state directory for another site`,
      );
    }
    const enrolment: Enrolment = {
      hubs: hubs.map((hub) => hub.href),
      hubId: identity.hubId,
      fleetKey: identity.fleetKey,
      caCertificate: identity.caCertificate,
      site,
      siteUid,
      formerSiteUids: formerUids(former, siteUid),
      keyFile,
      tokenDigest: token.digest,
    };
    database.transaction(() => {
      saveEnrolment(database, enrolment);
      putMeta(database, 'clockOffsetMs', String(Math.round(this.#clock.offsetMs)));
      this.#book.startAt(this.#clock.now().getTime());
    });
    await keeper?.keep(signal);
    logger.info('enrolled', { site, hub: hubs[0]?.origin, key: key.fingerprint });
    return enrolment;
  }

  /** Undefined when the hub said no: then all stays as it is, and the applications run on. */
  async #enrolAgain(
    token: EnrolmentToken,
    former: Enrolment,
    signal: AbortSignal,
  ): Promise<Enrolment | undefined> {
    const { logger } = this.#options;
    logger.info('the hub had refused the key of this agent; enrolling again with the new token');
    try {
      return await this.#enrol(token, former, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof EnrolmentRefused)) throw error;
      logger.error('enrolling again failed; applications run on without the hub', { error: error.message });
      return undefined;
    }
  }
}

function formerUids(former: Enrolment | undefined, siteUid: string): string[] {
  if (former === undefined) return [];
  return [...new Set([...former.formerSiteUids, former.siteUid])].filter((uid) => uid !== siteUid);
}

import { X509Certificate } from 'node:crypto';
import type { AgentInfo, KubeObject, SealedName } from '@selvedge/api';
import { keyFingerprint } from '@selvedge/api/node';
import type { AgentOptions } from './agent.ts';
import { DepotNeeds } from './depot/depot-needs.ts';
import type { LazyDepot } from './depot/lazy-depot.ts';
import type { Driver } from './drivers/driver.ts';
import { CarriedIntake } from './carry/carried-intake.ts';
import { HubApi, type Speaker } from './hub-connection/hub-api.ts';
import type { HubClock } from './hub-connection/hub-clock.ts';
import { type HubAnswer, HubConnection } from './hub-connection/hub-connection.ts';
import { fetchHubIdentity, isIdentityOf } from './hub-connection/hub-identity.ts';
import { WaitLimit } from './hub-connection/wait-limit.ts';
import type { SealedStore } from './credentials/sealed-store.ts';
import type { KeptLogins } from './credentials/site-logins.ts';
import type { AgentKey } from './identity/agent-key.ts';
import type { SealingKeys } from './identity/sealing-keys.ts';
import { LinkKeeper } from './link/link-keeper.ts';
import { MirrorSender } from './mirror/mirror-sender.ts';
import type { RackRole } from './rack/rack-role.ts';
import type { AgentDatabase } from './state/agent-database.ts';
import { unlessStorageFull } from './state/agent-database.ts';
import type { ContactRecord } from './state/contact-record.ts';
import type { ContentStore } from './state/content-store.ts';
import { type Enrolment, putMeta, saveEnrolment } from './state/enrolment-record.ts';
import { HeldState } from './state/held-state.ts';
import { LocalBell } from './state/local-bell.ts';
import type { ReportBook } from './state/report-book.ts';
import { ContentFetcher } from './sync/content-fetcher.ts';
import { SealedFetcher } from './sync/sealed-fetcher.ts';
import { SiteWork } from './sync/site-work.ts';
import { StateIntake } from './sync/state-intake.ts';
import { type ContactEvent, SyncLoop } from './sync/sync-loop.ts';
import { WakeUp } from './sync/wake-up.ts';

export interface SiteSessionOptions {
  readonly enrolment: Enrolment;
  readonly key: AgentKey;
  readonly database: AgentDatabase;
  readonly content: ContentStore;
  readonly sealingKeys: SealingKeys;
  readonly sealed: SealedStore;
  readonly logins: KeptLogins;
  readonly book: ReportBook;
  readonly contact: ContactRecord;
  readonly driver: Driver;
  readonly depot?: LazyDepot | undefined;
  readonly rack?: RackRole | undefined;
  readonly hubClock: HubClock;
  readonly options: Pick<
    AgentOptions,
    | 'machine'
    | 'proxies'
    | 'extraCas'
    | 'link'
    | 'logger'
    | 'longestWaitSeconds'
    | 'keyRefusedRetryMs'
    | 'monotonicMs'
    | 'stateDir'
    | 'keeper'
  >;
}

/** An enrolled agent at work: the driver with what was accepted, and the conversation with the hub beside it. */
export class SiteSession {
  readonly #parts: SiteSessionOptions;
  readonly #work: SiteWork;
  readonly #connection: HubConnection;
  #enrolment: Enrolment;
  #lastTrustRefreshMs = -Infinity;
  #onLocal: () => void = () => {};
  readonly #stopped = new AbortController();
  #living: Promise<void> = Promise.resolve();

  private constructor(parts: SiteSessionOptions, held: HeldState) {
    const { enrolment, book, database, content, sealed, logins, driver, hubClock, options } = parts;
    this.#parts = parts;
    this.#enrolment = enrolment;
    this.#work = new SiteWork({
      held,
      book,
      database,
      content,
      sealed,
      logins,
      driver,
      clock: hubClock,
      logger: options.logger,
      siteName: enrolment.site,
      depotNeeds: parts.depot && depotNeeds(parts.depot, parts),
      rack: parts.rack,
      monotonicMs: options.monotonicMs ?? (() => performance.now()),
    });
    this.#connection = new HubConnection({
      hubs: enrolment.hubs.map((hub) => new URL(hub)),
      hubCa: new X509Certificate(enrolment.caCertificate),
      proxies: options.proxies,
      extraCas: options.extraCas ?? [],
      clock: hubClock,
      logger: options.logger,
    });
    this.#bindDepot();
  }

  static async open(parts: SiteSessionOptions): Promise<SiteSession> {
    const held = await HeldState.load({
      database: parts.database,
      content: parts.content,
      owner: parts.enrolment,
      formerSiteUids: parts.enrolment.formerSiteUids,
      logger: parts.options.logger,
    });
    return new SiteSession(parts, held);
  }

  #bindDepot(): void {
    const { depot, enrolment, hubClock: clock, key } = this.#parts;
    const speaker = { key, hubId: enrolment.hubId, site: enrolment.site };
    const api = new HubApi({ connection: this.#connection, speaker, clock });
    const { held } = this.#work;
    depot?.bind({
      policy: () => held.policy.depot ?? {},
      hubRegistries: () => [
        ...enrolment.hubs.map((hub) => new URL(hub).host),
        ...(held.policy.depot?.hubRegistries ?? []),
      ],
      openAtHub: (path, how) => api.open(path, how),
      logins: this.#parts.logins,
    });
  }

  /** Values that this site may have, by their present version. */
  get listedValues(): readonly SealedName[] {
    return this.#work.listedValues;
  }

  /** Needs no hub: after a reboot the applications come back from this machine's own disk. */
  async startDriver(signal: AbortSignal): Promise<void> {
    this.#work.resume();
    const either = AbortSignal.any([signal, this.#stopped.signal]);
    this.#living = Promise.all([this.#work.life.run(either), this.#watchLocal(either)]).then(() => {});
    this.#living.catch(() => {
      // `sync` ends with it.
    });
    // What is in the depot is there for the nodes of the site, hub or not. A disk that hangs does not keep the driver waiting.
    void this.#parts.depot?.start();
    this.#parts.rack?.start();
    await this.#parts.driver.start(signal);
    this.#parts.options.logger.info('driving the last accepted desired state', {
      site: this.#enrolment.site,
      epoch: this.#work.held.acceptedMark.epoch,
      items: this.#work.life.itemsHere.length,
    });
  }

  /** Containers go on running. Bounded: a driver that hangs does not keep the machine from shutting down. */
  async stopDriver(): Promise<void> {
    const { driver, hubClock, rack } = this.#parts;
    const stopped = new AbortController();
    const isStopped = Promise.all([driver.stop(), rack?.close()]).finally(() => stopped.abort());
    await Promise.race([isStopped, hubClock.sleep(longestStopMs, stopped.signal)]);
    this.#stopped.abort();
    await this.#living.catch(() => {});
    await this.#parts.depot?.close();
    this.#work.stop();
    this.#connection.close();
  }

  /** A person at the site used a command: what it wrote is taken up within a second or two. */
  async #watchLocal(signal: AbortSignal): Promise<void> {
    const { hubClock, options } = this.#parts;
    const rung = new WakeUp();
    const bell = new LocalBell(options.stateDir, () => rung.ring());
    try {
      while (!signal.aborted) {
        const over = new AbortController();
        const either = AbortSignal.any([signal, over.signal]);
        const longestMs = bell.isWatching ? slowLookMs : quickLookMs;
        await Promise.race([
          hubClock.sleep(longestMs * (0.75 + Math.random() / 2), either),
          rung.wait(either),
        ]);
        over.abort();
        if (signal.aborted) break;
        this.#work.noticeLocal();
        this.#onLocal();
      }
    } finally {
      bell.close();
    }
  }

  /** Until the signal fires. */
  async sync(signal: AbortSignal): Promise<void> {
    const { content, hubClock: clock, key, options } = this.#parts;
    const { logger, keeper } = options;
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const speaker = { key, hubId: this.#enrolment.hubId, site: this.#enrolment.site };
    const api = new HubApi({ connection: this.#connection, speaker, clock });
    const intake = new StateIntake({
      work: this.#work,
      owner: this.#enrolment,
      clock,
      logger,
      signal: either,
      keepFirst: keeper && ((change) => keeper.keepFirst(change, either)),
    });
    const fetcher = new ContentFetcher({ api, content, work: this.#work, clock, logger });
    const { database } = this.#parts;
    const carried = new CarriedIntake({
      database,
      intake,
      work: this.#work,
      keepSealed: (name, signed) => this.#parts.sealed.keep(name, signed, clock.now()),
      clock,
      logger,
    });
    this.#onLocal = () => carried.wake();
    const values = this.#makeSealedFetcher(api);
    const link = this.#makeLinkKeeper(speaker);
    intake.onAccepted(() => {
      link.checkPolicy();
      this.#work.collectGarbage();
      fetcher.wake();
      values.wake();
    });
    this.#work.onContentWanted(() => fetcher.reconsider());
    const mirrors = new MirrorSender({
      api,
      news: this.#work.mirrors,
      clock,
      logger,
      onDoubt: () => this.#work.tellHub(),
    });
    let wasAway = false;
    const loop = new SyncLoop({
      api,
      work: this.#work,
      intake,
      waitLimit: new WaitLimit(options.longestWaitSeconds),
      clock,
      logger,
      agentInfo: () => this.#describeAgent(either),
      onContact: async (event) => {
        if (event.kind === 'answered' && wasAway) {
          fetcher.wake();
          values.wake();
        }
        wasAway = event.kind !== 'answered';
        if (event.kind === 'key-refused') link.end('the hub refuses the key of this agent');
        await this.#noteContact(event, either);
      },
      onLinkWished: () => link.wish(),
      onContents: (state) => fetcher.takeDeltas(state),
      onMirrorsWished: (uids) => mirrors.send(uids),
      waitUntilReachable: (waitSignal) => this.#connection.waitUntilReachable(waitSignal),
      ...(options.keyRefusedRetryMs === undefined ? {} : { keyRefusedRetryMs: options.keyRefusedRetryMs }),
    });
    try {
      await Promise.all([
        loop.run(either),
        fetcher.run(either),
        values.run(either),
        carried.run(either),
        link.run(either),
        mirrors.run(either),
        this.#returnToPreferred(either),
        this.#living,
      ]);
    } finally {
      stop.abort();
    }
  }

  #makeSealedFetcher(api: HubApi): SealedFetcher {
    const { sealed: store, logins, hubClock: clock, options } = this.#parts;
    const fetcher = new SealedFetcher({
      api,
      store,
      listed: () => this.#work.listedValues,
      onTrouble: (id, message) => this.#work.secrets.noteTrouble(id, message),
      clock,
      logger: options.logger,
    });
    logins.onRefresh((name, signal) => fetcher.refresh(name, signal));
    return fetcher;
  }

  #makeLinkKeeper(speaker: Speaker): LinkKeeper {
    const { contact, driver, hubClock: clock, options } = this.#parts;
    return new LinkKeeper({
      connection: this.#connection,
      speaker,
      clock,
      logger: options.logger,
      limits: () => ({ site: this.#work.held.link, local: options.link ?? 'Full' }),
      openDoor: async () => {
        const door = await driver.openDoor();
        return this.#parts.rack?.openDoor(door) ?? door;
      },
      onEvent: (event) => {
        const trouble = event.kind === 'failed' ? { trouble: event.message } : {};
        void contact.link({ isOpen: event.kind === 'open', ...trouble });
      },
    });
  }

  async #returnToPreferred(signal: AbortSignal): Promise<void> {
    if (this.#enrolment.hubs.length < 2) return;
    const fleetKeyFingerprint = keyFingerprint(this.#enrolment.fleetKey);
    const isHub = (answer: HubAnswer) =>
      isIdentityOf(answer, { fleetKeyFingerprint, hub: this.#connection.hub });
    await this.#connection.returnToPreferred(isHub, signal);
  }

  async #describeAgent(signal: AbortSignal): Promise<AgentInfo> {
    const { driver, hubClock, options } = this.#parts;
    const none = hubClock.sleep(longestDescribeMs, signal).then(() => undefined);
    const described = await Promise.race([driver.describe().catch(() => undefined), none]);
    const sealingKey = this.#parts.sealingKeys.present.publicKey;
    const runtime = described === undefined ? {} : { runtime: described.runtime };
    return { ...options.machine, sealingKey, ...runtime };
  }

  async #noteContact(event: ContactEvent, signal: AbortSignal): Promise<void> {
    const { contact, options } = this.#parts;
    switch (event.kind) {
      case 'answered':
        this.#saveClockOffset();
        if (this.#enrolment.keyRefusal !== undefined) {
          const { keyRefusal: _past, ...enrolment } = this.#enrolment;
          this.#keepEnrolment(enrolment);
          options.logger.info('the hub takes the key of this agent again');
        }
        await contact.answered(this.#connection.hub.origin);
        return;
      case 'key-refused':
        if (this.#enrolment.keyRefusal === undefined) {
          options.logger.error(
            'the hub refuses the key of this agent; applications run on. To join again: start the agent with a new --token',
            { error: event.message },
          );
          this.#keepEnrolment({ ...this.#enrolment, keyRefusal: event.message });
        }
        await contact.failed(`the hub refuses the key of this agent: ${event.message}`);
        return;
      case 'failed':
        await contact.failed(event.message);
        if (event.isUntrusted) await this.#refreshTrust(signal);
    }
  }

  /** The hub may have a new CA. The fleet key, which this agent knows, has to vouch for it. */
  async #refreshTrust(signal: AbortSignal): Promise<void> {
    const { hubClock, options } = this.#parts;
    const nowMs = performance.now();
    if (nowMs - this.#lastTrustRefreshMs < trustRefreshMs) return;
    this.#lastTrustRefreshMs = nowMs;
    try {
      const identity = await fetchHubIdentity({
        hubs: this.#enrolment.hubs.map((hub) => new URL(hub)),
        fleetKeyFingerprint: keyFingerprint(this.#enrolment.fleetKey),
        proxies: options.proxies,
        extraCas: options.extraCas ?? [],
        clock: hubClock,
        logger: options.logger,
        signal,
      });
      const isNew = identity.caCertificate !== this.#enrolment.caCertificate;
      if (identity.hubId !== this.#enrolment.hubId || !isNew) return;
      this.#connection.trust(new X509Certificate(identity.caCertificate));
      this.#keepEnrolment({ ...this.#enrolment, caCertificate: identity.caCertificate });
      options.logger.info('the hub has a new CA, signed by its fleet key; trusting it from now on');
    } catch (error) {
      options.logger.debug('the identity of the hub could not be asked', { error: (error as Error).message });
    }
  }

  #keepEnrolment(enrolment: Enrolment): void {
    this.#enrolment = enrolment;
    unlessStorageFull(() => saveEnrolment(this.#parts.database, enrolment));
  }

  #saveClockOffset(): void {
    const offsetMs = Math.round(this.#parts.hubClock.offsetMs);
    if (offsetMs === this.#savedOffsetMs) return;
    unlessStorageFull(() => {
      putMeta(this.#parts.database, 'clockOffsetMs', String(offsetMs));
      this.#savedOffsetMs = offsetMs;
    });
  }

  #savedOffsetMs: number | undefined;
}

function depotNeeds(depot: LazyDepot, { content, enrolment, options }: SiteSessionOptions): DepotNeeds {
  return new DepotNeeds({
    depot,
    siteName: enrolment.site,
    hasContent: (digest) => content.has(digest),
    findContent: (digest) => {
      const bytes = content.find(digest);
      return bytes && (JSON.parse(bytes.toString('utf8')) as readonly KubeObject[]);
    },
    monotonicMs: options.monotonicMs ?? (() => performance.now()),
    logger: options.logger,
  });
}

const longestStopMs = 8000;
/** Where the bell works, only in case it does not ring. */
const slowLookMs = 60_000;
const quickLookMs = 1500;
const longestDescribeMs = 5000;
const trustRefreshMs = 60_000;

import { type Clock, type Logger, StatusError, type SyncRequest, type SyncResponse } from '@selvedge/api';
import { encodeContent } from '@selvedge/api/node';
import type { FleetStore } from '@selvedge/store';
import type { SiteLinks } from '../link/site-links.ts';
import { Limiter } from '../concurrency/limiter.ts';
import type { AdmissionControl, Place } from './admission-control.ts';
import type { AgentAuthentication, AuthenticatedAgent } from './agent-authentication.ts';
import { checkBodyHash } from './agent-jwt.ts';
import type { ContentEncodings } from './content-encodings.ts';
import { changesSince, chooseOffer, type Offer } from './desired-state.ts';
import { isHubBehind } from '../resources/site-hold.ts';
import { acceptedEncodings } from './content-endpoint.ts';
import { type Answer, type HttpExchange, parseJsonBody } from './http-exchange.ts';
import { acknowledgedActs, type LocalActs } from './local-acts.ts';
import type { SignedStates, SiteSummary } from './signed-states.ts';
import type { PollOutcome, SitePoll, SitePolls } from './site-polls.ts';
import type { SiteInventories } from './site-inventories.ts';
import type { MachinesAnswer, SiteMachines } from './site-machines.ts';
import type { SiteMirrors } from './site-mirrors.ts';
import type { SiteRacks } from './site-racks.ts';
import type { SiteRecovery } from './site-recovery.ts';
import type { SiteStatusWriter } from './site-status.ts';
import {
  type CheckedSyncRequest,
  heldBodyLimitBytes,
  parseSyncRequest,
  syncBodyLimitBytes,
} from './sync-request.ts';

export interface SyncEndpointOptions {
  readonly fleet: FleetStore;
  /** `Store.instance`. */
  readonly instance: string;
  readonly authentication: AgentAuthentication;
  readonly admission: AdmissionControl;
  readonly states: SignedStates;
  readonly encodings: ContentEncodings;
  readonly polls: SitePolls;
  readonly status: SiteStatusWriter;
  readonly acts: LocalActs;
  readonly recovery: SiteRecovery;
  readonly inventories: SiteInventories;
  readonly mirrors: SiteMirrors;
  readonly racks: SiteRacks;
  readonly machines: SiteMachines;
  readonly links: Pick<SiteLinks, 'isWanted' | 'told'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** Longest wait of a poll. */
  readonly waitSeconds: number;
}

/** Beyond this the same state, sent again and again, comes no slower. */
const maxResendDelaySeconds = 60;
/** Polls that are answered at once after a change; each holds the whole state of its site meanwhile. */
const wokenAtOnce = 32;
/** The answer that asked may have been lost. */
const askAgainMilliseconds = 600_000;
/** Before a state is sent again that was too large to be read beside another. */
const restAfterStateSeconds = 5;
/** Before the rest of the reports of machines, when they were too many at once. */
const restAfterPartSeconds = 5;
/** Of the wait after a site has reported. */
const shortestWaitSeconds = 10;

/** `POST /sync/v1`: takes reports in, gives desired state out, and waits in between. */
export class SyncEndpoint {
  readonly #o: SyncEndpointOptions;
  readonly #log: Logger;
  readonly #woken = new Limiter(wokenAtOnce);
  /** A large body is on its way; one at a time, for it is held in memory. */
  #readsState = false;
  /** Per site: for which pair of digests all reports were asked, so a difference that stays is seldom asked for. */
  readonly #askedReports = new Map<string, { pair: string; time: number }>();
  /** Per site: when it brought reports last, while that is less than a whole wait ago. */
  readonly #reportedAt = new Map<string, number>();
  /** Per site: what was sent last and how often. */
  readonly #sent = new Map<string, { what: string; times: number }>();

  constructor(options: SyncEndpointOptions) {
    this.#o = options;
    this.#log = options.logger;
  }

  async handle(exchange: HttpExchange, place: Place): Promise<void> {
    const agent = await this.#o.authentication.authenticate(exchange.header('authorization'));
    const body = await place.outside(() => this.#readBody(exchange, agent));
    checkBodyHash(agent.claims, body);
    const request = parseSyncRequest(parseJsonBody(body));
    const poll = this.#o.polls.open(agent.site.metadata.name, exchange.gone);
    try {
      const response = await this.#converse({ agent, request, poll, place });
      const isLast = this.#o.admission.isClosing;
      exchange.answer({ code: 200, ...(await encodeAnswer(response, exchange)), isLast });
    } finally {
      poll.close();
    }
  }

  async #readBody(exchange: HttpExchange, { site }: AuthenticatedAgent): Promise<Buffer> {
    const isLarge = Number(exchange.header('content-length') ?? 0) > syncBodyLimitBytes;
    if (!isLarge || !this.#o.recovery.awaitsState(site)) return exchange.readBody(syncBodyLimitBytes);
    if (this.#readsState) {
      const retryAfterSeconds = restAfterStateSeconds * (1 + this.#o.random());
      const message = 'another site sends what it follows at this moment: send it again a little later';
      throw new StatusError('ServiceUnavailable', message, { details: { retryAfterSeconds } });
    }
    this.#readsState = true;
    try {
      return await exchange.readBody(heldBodyLimitBytes);
    } finally {
      this.#readsState = false;
    }
  }

  /** After the site is gone. */
  forget(site: string): void {
    this.#askedReports.delete(site);
    this.#reportedAt.delete(site);
    this.#sent.delete(site);
    this.#o.recovery.forget(site);
    this.#o.status.forget(site);
    this.#o.acts.forget(site);
    this.#o.inventories.forget(site);
    this.#o.mirrors.forget(site);
    this.#o.racks.forget(site);
    this.#o.machines.forget(site);
  }

  async #converse({ agent, request, poll, place }: Conversation): Promise<SyncResponse> {
    const { site: name } = agent.key;
    const deadline = this.#o.clock.now().getTime() + this.#waitMilliseconds(name, request);
    if (request.reports.length > 0) await this.#saveReports(name, request);
    // After its reports: who reads that the site was heard of finds what it said.
    this.#touch(name, request);
    const ackActs = await this.#saveActs(agent, request);
    let summary = await this.#summaryFor(agent, request);
    if (request.reportsDigest === summary.reportsDigest) this.#touch(name, request, request.observedTime);
    await this.#o.status.observe(agent.site, { request, key: agent.key, hub: summary });
    const asksInventory = await this.#saveInventory(agent, request);
    const { mirrors } = request;
    const asksMirrors = mirrors === undefined ? [] : await this.#o.mirrors.take(agent.key, mirrors);
    await this.#o.racks.take(agent.site, agent.key, request);
    const machines = await this.#o.machines.take(agent, request, summary);
    let isBehind: boolean | undefined;
    if (this.#o.recovery.concerns(agent.site, request)) {
      isBehind = await this.#o.recovery.receive(agent.key, request);
      // Rows may have come that reports were there for before.
      this.#askedReports.delete(name);
      summary = await this.#o.states.freshSummary(agent.key.site, agent.key.siteUid);
    }
    const said = { agent, request, ackActs, asksInventory, asksMirrors, machines };
    const first = { ...said, summary, ...(isBehind === undefined ? {} : { isBehind }) };
    let response = await this.#respondIfDue({ ...first, outcome: 'changed' });
    if (response === undefined) place.giveBack();
    while (response === undefined) {
      const outcome = await poll.wait(Math.max(0, deadline - this.#o.clock.now().getTime()));
      // A change may wake the whole fleet; new requests have to get through all the same.
      response = await this.#woken.run(() => this.#lookAgain({ ...said, outcome }));
    }
    return response;
  }

  async #lookAgain(look: Omit<Look, 'summary'>): Promise<SyncResponse | undefined> {
    const { agent, request, outcome } = look;
    const { authentication } = this.#o;
    const confirmed =
      outcome === 'changed' ? await authentication.confirm(agent) : authentication.asKnown(agent);
    const summary = await this.#summaryFor(agent, request);
    return this.#respondIfDue({ ...look, agent: confirmed, summary });
  }

  /**
   * An agent that seems to know more than the hub has often only been at another hub a moment ago, so the store itself
   * is asked before anything is made of it.
   */
  async #summaryFor({ key }: AuthenticatedAgent, request: SyncRequest): Promise<SiteSummary> {
    const summary = await this.#o.states.summary(key.site, key.siteUid);
    const isAhead = request.epoch > summary.epoch || request.reportsDigest !== summary.reportsDigest;
    return isAhead ? this.#o.states.freshSummary(key.site, key.siteUid) : summary;
  }

  /** `undefined` while there is nothing to say but the wait is not over. */
  async #respondIfDue(look: Look): Promise<SyncResponse | undefined> {
    const { agent, request, summary, outcome } = look;
    const offer = chooseOffer(request, { ...summary, isBehind: look.isBehind ?? isHubBehind(agent.site) });
    const asksReports = request.reports.length === 0 && this.#misses(agent.key.site, request, summary);
    const asksState = isDoubtful(offer, request) && this.#o.recovery.needsState(agent.site, request);
    // Who brought something waits to hear that it is kept, not for news.
    const hasSent =
      request.reports.length > 0 ||
      (request.acts ?? []).length > 0 ||
      request.site !== undefined ||
      request.inventory !== undefined ||
      request.mirrors !== undefined ||
      request.rack !== undefined ||
      request.machines !== undefined ||
      request.inventoryFault !== undefined;
    const asksLink = this.#o.links.isWanted(agent.key.site);
    const asksAny = asksReports || asksState || asksLink || look.machines.asksAll;
    const isDue = outcome !== 'changed' || hasSent || isUrgent(offer) || asksAny;
    return isDue ? this.#respond({ ...look, offer, asksReports, asksState }) : undefined;
  }

  async #respond(answer: DueLook): Promise<SyncResponse> {
    const { agent, request, summary, offer, outcome, ackActs, machines } = answer;
    const name = agent.key.site;
    const hasState = offer === 'Full' || offer === 'Difference' || offer === 'Refused';
    const isEnded = outcome === 'superseded' || outcome === 'closing' || outcome === 'gone';
    const isSent = hasState && !isEnded && !answer.asksState;
    const state = isSent ? await this.#stateFor(agent, request, offer) : undefined;
    if (answer.asksReports) {
      this.#askedReports.set(name, { pair: pairOf(request, summary), time: this.#o.clock.now().getTime() });
    }
    if (answer.asksState) this.#o.recovery.noteAsked(agent.site, request);
    return {
      hubTime: this.#o.clock.now().toISOString(),
      ...(state ? { state } : {}),
      instance: this.#o.instance,
      ...(ackActs > 0 ? { ackActs } : {}),
      ...(answer.asksState ? { sendState: true } : {}),
      ...(this.#asksLink(name, isEnded) ? { openLink: true } : {}),
      ...(answer.asksInventory ? { sendInventory: true } : {}),
      ...(answer.asksMirrors.length > 0 ? { sendMirrors: [...answer.asksMirrors] } : {}),
      ...(machines.acknowledged > 0 ? { ackMachines: machines.acknowledged } : {}),
      ...(machines.asksAll ? { sendAllMachines: true } : {}),
      ackSeq: Math.max(summary.reportSeq, ...request.reports.map((r) => r.seq)),
      ...(answer.asksReports ? { sendAllReports: true } : {}),
      retryAfterSeconds: this.#restSeconds(answer, { isEnded, state }),
    };
  }

  #restSeconds(
    { agent, outcome, asksState, machines }: DueLook,
    { isEnded, state }: { isEnded: boolean; state: SyncResponse['state'] },
  ): number {
    if (asksState && !isEnded) return 0;
    const seconds = this.#retryAfterSeconds(agent.key.site, outcome, state);
    return machines.isPartial ? Math.max(restAfterPartSeconds, seconds) : seconds;
  }

  /** An answer that ends a poll may be for a stranger, or for nobody. */
  #asksLink(site: string, isEnded: boolean): boolean {
    if (isEnded || !this.#o.links.isWanted(site)) return false;
    this.#o.links.told(site);
    return true;
  }

  async #stateFor(
    agent: AuthenticatedAgent,
    request: SyncRequest,
    offer: Offer,
  ): Promise<NonNullable<SyncResponse['state']>> {
    const { state, signed } = await this.#o.states.signedState(agent.key.site, agent.siteUid);
    const full = offer !== 'Difference';
    const { items, tombstones } = full ? state : changesSince(state, request.epoch);
    const { variables, policy } = state;
    const contents = full ? [] : await this.#o.encodings.findDeltas(items);
    return {
      signed,
      full,
      variables,
      policy,
      items,
      tombstones,
      ...(contents.length === 0 ? {} : { contents }),
    };
  }

  #retryAfterSeconds(site: string, outcome: PollOutcome, state: SyncResponse['state']): number {
    if (outcome === 'closing') return this.#o.admission.retryAfterSeconds(this.#o.polls.size);
    // Two machines with one key would otherwise end each other's polls without a pause.
    if (outcome === 'superseded') return 5 + Math.round(this.#o.random() * 50) / 10;
    if (state === undefined) {
      this.#sent.delete(site);
      return 0;
    }
    const what = `${state.signed} ${state.full}`;
    const last = this.#sent.get(site);
    const times = last?.what === what ? last.times + 1 : 0;
    this.#sent.set(site, { what, times });
    return times === 0 ? 0 : Math.min(maxResendDelaySeconds, 2 ** (times - 1));
  }

  async #saveReports(site: string, request: SyncRequest): Promise<void> {
    const rows = await this.#o.fleet.saveReports(site, request.reports, this.#o.clock.now().toISOString());
    this.#log.debug('reports saved', { site, reports: request.reports.length, rows: rows.length });
  }

  /** Highest number that is durably known. */
  async #saveActs({ site, key }: AuthenticatedAgent, { acts = [] }: SyncRequest): Promise<number> {
    return acts.length === 0 ? acknowledgedActs(site, key) : this.#o.acts.record(site, key, acts);
  }

  /** Whether the site is to send all of it. */
  async #saveInventory({ site, key }: AuthenticatedAgent, request: CheckedSyncRequest): Promise<boolean> {
    const { inventory, inventoryFault } = request;
    if (inventoryFault !== undefined) {
      this.#log.warn('an inventory was left out', { site: key.site, error: inventoryFault.slice(0, 1_000) });
    }
    return inventory !== undefined && this.#o.inventories.take(site, key, inventory);
  }

  #misses(site: string, request: SyncRequest, summary: SiteSummary): boolean {
    if (request.reportsDigest === summary.reportsDigest) return false;
    const asked = this.#askedReports.get(site);
    if (asked?.pair !== pairOf(request, summary)) return true;
    return this.#o.clock.now().getTime() - asked.time > askAgainMilliseconds;
  }

  /** `observedTime`: given once it is known that the agent speaks of the very reports that the hub has. */
  #touch(site: string, request: SyncRequest, observedTime?: string): void {
    const lastSeenAt = this.#o.clock.now().toISOString();
    this.#o.fleet.touch({
      site,
      lastSeenAt,
      agentEpoch: request.epoch,
      agentStateDigest: request.stateDigest,
      ...(observedTime === undefined ? {} : { observedAt: earlierOf(observedTime, lastSeenAt) }),
    });
  }

  /**
   * A little less than the whole wait at random, so that a fleet that came at once spreads out. A site that reported a while ago
   * is heard of again after as long a while: whether a change lasts is asked soon after it.
   */
  #waitMilliseconds(site: string, request: SyncRequest): number {
    const now = this.#o.clock.now().getTime();
    if (request.reports.length > 0) this.#reportedAt.set(site, now);
    const sinceReport = (now - (this.#reportedAt.get(site) ?? Number.NEGATIVE_INFINITY)) / 1000;
    if (sinceReport > this.#o.waitSeconds) this.#reportedAt.delete(site);
    const seconds = Math.min(
      this.#o.waitSeconds,
      request.maxWaitSeconds ?? Number.POSITIVE_INFINITY,
      Math.max(shortestWaitSeconds, sinceReport),
    );
    return seconds * 1000 * (0.9 + 0.1 * this.#o.random());
  }
}

interface Conversation {
  readonly agent: AuthenticatedAgent;
  readonly request: CheckedSyncRequest;
  readonly poll: SitePoll;
  readonly place: Place;
}

interface Look {
  readonly agent: AuthenticatedAgent;
  readonly request: CheckedSyncRequest;
  readonly summary: SiteSummary;
  /** `changed` also for the first look. */
  readonly outcome: PollOutcome;
  readonly ackActs: number;
  readonly asksInventory: boolean;
  /** Uids of mirrors. */
  readonly asksMirrors: readonly string[];
  readonly machines: MachinesAnswer;
  /** As found out by this very request; absent: what the Site says. */
  readonly isBehind?: boolean;
}

interface DueLook extends Look {
  readonly offer: Offer;
  readonly asksReports: boolean;
  readonly asksState: boolean;
}

/**
 * The agent follows a state, and what the hub has does not follow from it: before it is sent the whole of another one, it is to
 * show its own, for a hub that lost its memory must not take it back in time. An agent that does not know the question gets all.
 */
function isDoubtful(offer: Offer, { epoch }: SyncRequest): boolean {
  return offer === 'HubBehind' || (epoch > 0 && (offer === 'Full' || offer === 'Refused'));
}

/** Smaller ones gain nothing. */
const leastCompressedBytes = 600;

async function encodeAnswer(
  response: SyncResponse,
  exchange: HttpExchange,
): Promise<Pick<Answer, 'headers' | 'body'>> {
  if (response.state === undefined) return { body: response };
  const bytes = Buffer.from(JSON.stringify(response));
  const canRead = acceptedEncodings(exchange.header('accept-encoding')).has('zstd');
  if (!canRead || bytes.length < leastCompressedBytes) return { body: response };
  const headers = { 'content-type': 'application/json', 'content-encoding': 'zstd' };
  return { headers, body: await encodeContent(bytes) };
}

function isUrgent(offer: Offer): boolean {
  return offer === 'Full' || offer === 'Difference';
}

/** Nobody observes the future, whatever the agent's clock says. */
function earlierOf(a: string, b: string): string {
  return Date.parse(a) < Date.parse(b) ? a : b;
}

function pairOf(request: SyncRequest, summary: SiteSummary): string {
  return `${request.reportsDigest} ${summary.reportsDigest}`;
}

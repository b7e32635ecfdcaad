import type {
  AgentInfo,
  ItemReport,
  Logger,
  MachineReport,
  RackReport,
  SyncRequest,
  SyncResponse,
} from '@selvedge/api';
import { isStatusError, StatusError } from '@selvedge/api';
import { ContactError } from '../hub-connection/contact-error.ts';
import { type HubApi, isClockRefusal } from '../hub-connection/hub-api.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { WaitLimit } from '../hub-connection/wait-limit.ts';
import { BackOff } from './back-off.ts';
import { takeBatch } from './report-batch.ts';
import type { SiteWork } from './site-work.ts';
import type { OfferedState } from './merge-state.ts';
import type { StateIntake } from './state-intake.ts';
import { WakeUp } from './wake-up.ts';

/** How the conversation with the hub stands, for `status` and the log. */
export type ContactEvent =
  | { readonly kind: 'answered' }
  | { readonly kind: 'failed'; readonly message: string; readonly isUntrusted: boolean }
  | { readonly kind: 'key-refused'; readonly message: string };

export interface SyncLoopOptions {
  readonly api: HubApi;
  readonly work: SiteWork;
  readonly intake: StateIntake;
  readonly waitLimit: WaitLimit;
  readonly clock: HubClock;
  readonly logger: Logger;
  /** Asked at start; sent until the hub has answered once. */
  readonly agentInfo: () => Promise<AgentInfo>;
  readonly onContact: (event: ContactEvent) => void | Promise<void>;
  /** The hub asks for the service link. */
  readonly onLinkWished: () => void;
  /** Content that came with a state, before that is taken. */
  readonly onContents: (state: OfferedState) => Promise<void>;
  /** The hub asks for what the site has for these mirrors. */
  readonly onMirrorsWished: (uids: readonly string[]) => void;
  readonly waitUntilReachable: (signal: AbortSignal) => Promise<void>;
  readonly backOff?: BackOff;
  readonly keyRefusedRetryMs?: number;
}

interface Poll {
  readonly request: SyncRequest;
  readonly sent: readonly ItemReport[];
  readonly startedMs: number;
  readonly controller: AbortController;
  readonly answer: Promise<SyncResponse>;
}

/**
 * The conversation with the hub: one poll after the other. When reports change while a poll waits, a new request brings
 * them at once and the hub ends the waiting one. Ends only with the signal; whatever happens, it tries again.
 */
export class SyncLoop {
  readonly #options: SyncLoopOptions;
  readonly #backOff: BackOff;
  readonly #reportsChanged = new WakeUp();
  #superseded: Poll | undefined;
  #agentInfo: AgentInfo | undefined;
  #hasFailed = false;
  #hurriedAnswers = 0;
  /** `SiteReport` that the hub has, as text. */
  #toldSite = '';
  /** `RackReport` that the hub has, as text without its time. */
  #toldRack = '';
  #toldRackMs = 0;
  #wantsHeld = false;

  constructor(options: SyncLoopOptions) {
    this.#options = options;
    this.#backOff = options.backOff ?? new BackOff();
    options.work.onReportsChanged(() => this.#reportsChanged.ring());
    options.intake.onChange(() => this.#reportsChanged.ring());
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#agentInfo = await this.#options.agentInfo();
    while (!signal.aborted) {
      this.#options.work.saveReports();
      const poll = this.#startPoll(signal);
      try {
        const answer = await this.#waitForAnswer(poll, signal);
        if (answer === undefined) continue;
        await this.#takeAnswer(poll, answer, signal);
      } catch (error) {
        if (signal.aborted) break;
        await this.#recover(poll, error, signal);
      }
    }
    this.#superseded?.controller.abort();
  }

  #startPoll(signal: AbortSignal): Poll {
    const { work, intake, clock, waitLimit, api } = this.#options;
    const held = this.#wantsHeld ? work.held.findSigned() : undefined;
    const inventory = held === undefined ? work.inventory.take(inventoryBytes) : undefined;
    const allBytes = batchBytes - sizeOf(held) - sizeOf(inventory);
    const mirrors = allBytes < leastBatchBytes ? undefined : work.mirrors.take();
    const spaceBytes = allBytes - sizeOf(mirrors);
    const sent = spaceBytes < leastBatchBytes ? [] : takeBatch(work.book.undelivered(), spaceBytes);
    const machines = takeMachines(work, spaceBytes - sizeOf(sent));
    const rack = work.rack?.report();
    // A hub that had heard too much of it kept the last word in memory only.
    const isOldRack = clock.monotonicNow() - this.#toldRackMs > rackRepeatMs;
    const isNewRack = rack !== undefined && (isOldRack || rackText(rack) !== this.#toldRack);
    const site = work.siteReport;
    const isNewSite = JSON.stringify(site) !== this.#toldSite;
    const acts = spaceBytes < leastBatchBytes ? [] : work.acts.untold();
    const accepted = work.held.accepted;
    const refusal = intake.refusal;
    const observedTime = work.observedTime;
    const request: SyncRequest = {
      epoch: accepted?.epoch ?? 0,
      stateDigest: accepted === undefined ? '' : work.held.acceptedMark.stateDigest,
      agentTime: clock.machineNow().toISOString(),
      ...(this.#agentInfo === undefined ? {} : { agent: this.#agentInfo }),
      reports: sent,
      reportsDigest: work.book.digest(),
      ...(observedTime === undefined ? {} : { observedTime }),
      ...(refusal === undefined ? {} : { refusal }),
      maxWaitSeconds: waitLimit.seconds,
      ...(isNewSite ? { site } : {}),
      ...(isNewRack ? { rack } : {}),
      ...(machines.length > 0 ? { machines } : {}),
      ...(work.rack === undefined ? {} : { machinesDigest: work.rack.machines.digest() }),
      ...(acts.length > 0 ? { acts } : {}),
      ...(inventory === undefined ? {} : { inventory }),
      ...(mirrors === undefined ? {} : { mirrors }),
      ...(held === undefined ? {} : { held }),
      ...(intake.wantsFull ? { full: true } : {}),
    };
    const controller = new AbortController();
    const answer = api.post<SyncResponse>('/sync/v1', request, {
      answerTimeoutMs: (waitLimit.seconds + answerMarginSeconds) * 1000,
      maxBytes: longestAnswerBytes,
      signal: AbortSignal.any([signal, controller.signal]),
    });
    return { request, sent, startedMs: clock.monotonicNow(), controller, answer };
  }

  /** Undefined: the poll was superseded, because there is something to tell the hub. */
  async #waitForAnswer(poll: Poll, signal: AbortSignal): Promise<SyncResponse | undefined> {
    // A request that brings something is answered at once; only one that waits is superseded.
    if (poll.sent.length > 0 || poll.request.machines !== undefined) return poll.answer;
    const answered = new AbortController();
    const either = AbortSignal.any([signal, answered.signal]);
    const news = this.#waitForNews(either).then(() => undefined);
    try {
      const answer = await Promise.race([poll.answer, news]);
      if (answer !== undefined) return answer;
      if (signal.aborted) return await poll.answer;
    } finally {
      answered.abort();
    }
    poll.answer.catch(() => {
      // Nobody waits for it any more.
    });
    this.#superseded?.controller.abort();
    this.#superseded = poll;
    return undefined;
  }

  async #waitForNews(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#waitForBell(signal);
      if (signal.aborted) return;
      // Several items often change together.
      await this.#options.clock.sleep(gatherMs, signal);
      const { work, intake } = this.#options;
      if (signal.aborted || work.book.undelivered().length > 0 || intake.hasNews) return;
      if (this.#hasSiteNews()) return;
    }
  }

  /** Also until an inventory that was not to be sent yet may be. */
  async #waitForBell(signal: AbortSignal): Promise<void> {
    const { work, clock } = this.#options;
    const dueInMs = work.inventory.dueInMs();
    if (dueInMs === undefined) return this.#reportsChanged.wait(signal);
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    await Promise.race([this.#reportsChanged.wait(either), clock.sleep(dueInMs, either)]);
    over.abort();
  }

  #hasSiteNews(): boolean {
    const { work } = this.#options;
    if (work.inventory.dueInMs() === 0 || work.mirrors.hasNews()) return true;
    const { rack } = work;
    if (rack !== undefined && (rack.machines.hasNews() || rackText(rack.report()) !== this.#toldRack))
      return true;
    return work.acts.hasUntold() || JSON.stringify(work.siteReport) !== this.#toldSite;
  }

  async #takeAnswer(poll: Poll, answer: SyncResponse, signal: AbortSignal): Promise<void> {
    const { work, intake, waitLimit, logger, onContact } = this.#options;
    checkShape(answer);
    const tookMs = this.#options.clock.monotonicNow() - poll.startedMs;
    this.#superseded?.controller.abort();
    this.#superseded = undefined;
    this.#agentInfo = undefined;
    this.#backOff.reset();
    waitLimit.answered(tookMs / 1000);
    if (this.#hasFailed) logger.info('the hub answers again');
    this.#hasFailed = false;
    intake.told(poll.request);
    if (poll.request.site !== undefined) this.#toldSite = JSON.stringify(poll.request.site);
    if (poll.request.rack !== undefined) {
      this.#toldRack = rackText(poll.request.rack);
      this.#toldRackMs = poll.startedMs;
    }
    if (answer.ackMachines !== undefined) work.rack?.machines.acknowledge(answer.ackMachines);
    if (answer.sendAllMachines === true) work.rack?.machines.sendAll();
    this.#wantsHeld = answer.sendState === true;
    const { inventory } = poll.request;
    if (inventory !== undefined) work.inventory.answered(inventory, answer.sendInventory === true);
    const { mirrors } = poll.request;
    if (mirrors !== undefined) work.mirrors.answered(mirrors);
    work.heardFromHub(answer);
    work.book.markDelivered(poll.sent);
    if (work.book.renumberAbove(answer.ackSeq)) {
      logger.info('the hub knows later reports of this site; counting on from there', { seq: answer.ackSeq });
    }
    if (answer.sendAllReports) work.book.markAllUndelivered();
    const { state } = answer;
    if (Array.isArray(state?.contents)) await this.#options.onContents(state);
    const tookState = state !== undefined && (await intake.take(state, poll.request));
    await onContact({ kind: 'answered' });
    if (answer.openLink === true) this.#options.onLinkWished();
    if (Array.isArray(answer.sendMirrors)) this.#options.onMirrorsWished(answer.sendMirrors);
    const hasMoved =
      tookState ||
      this.#wantsHeld ||
      poll.request.acts !== undefined ||
      inventory !== undefined ||
      mirrors !== undefined ||
      (poll.request.machines !== undefined && answer.ackMachines !== undefined) ||
      poll.sent.length > 0 ||
      answer.sendAllReports === true ||
      intake.wantsFull;
    await this.#pause(answer, { isHurried: !hasMoved && tookMs < hurriedMs }, signal);
    if (tookState && !intake.wantsFull) await this.#waitForFirstNews(signal);
  }

  /** What comes of a state is often known at once: one request less than to poll before that. */
  async #waitForFirstNews(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    await Promise.race([this.#waitForNews(either), this.#options.clock.sleep(firstNewsMs, either)]);
    over.abort();
  }

  /** As long as the hub asks; and when the hub answers again and again with nothing new, longer and longer. */
  async #pause(answer: SyncResponse, seen: { isHurried: boolean }, signal: AbortSignal): Promise<void> {
    this.#hurriedAnswers = seen.isHurried ? this.#hurriedAnswers + 1 : 0;
    const asked = answer.retryAfterSeconds * 1000;
    const own = this.#hurriedAnswers < 3 ? 0 : Math.min(30_000, 250 * 2 ** (this.#hurriedAnswers - 3));
    const pauseMs = Math.max(asked, own * (0.5 + Math.random() / 2));
    if (pauseMs > 0) await this.#options.clock.sleep(pauseMs, signal);
  }

  async #recover(poll: Poll, error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, logger, onContact, waitLimit } = this.#options;
    const waitedSeconds = (clock.monotonicNow() - poll.startedMs) / 1000;
    const isBroken = error instanceof ContactError && error.phase === 'answer' && poll.sent.length === 0;
    if (isBroken) waitLimit.broke(Math.min(waitedSeconds, poll.request.maxWaitSeconds ?? waitedSeconds));
    else waitLimit.lost();

    this.#options.work.lostHub();
    if (poll.request.held !== undefined && isStatusError(error, 'RequestEntityTooLarge')) {
      // Everything else has to get through. The hub asks again.
      this.#wantsHeld = false;
      logger.error('the state that this site follows is larger than the hub takes', { error: error.message });
    }
    const message = (error as Error).message;
    if (isKeyRefusal(error)) {
      await onContact({ kind: 'key-refused', message });
      await clock.sleep((this.#options.keyRefusedRetryMs ?? 300_000) * (0.75 + Math.random() / 2), signal);
      return;
    }
    const isUntrusted = error instanceof ContactError && error.isUntrusted;
    const askedSeconds = error instanceof StatusError ? error.details.retryAfterSeconds : undefined;
    const waitMs =
      askedSeconds === undefined ? this.#backOff.nextMs() : askedSeconds * 1000 * (1 + Math.random() / 10);
    // Once at each change is enough: a site may be away for weeks.
    const level = this.#hasFailed ? 'debug' : 'warn';
    logger[level]('the hub cannot be reached; applications run on', {
      error: message,
      retryMs: Math.round(waitMs),
    });
    this.#hasFailed = true;
    await onContact({ kind: 'failed', message, isUntrusted });

    const isAway = error instanceof ContactError && error.phase === 'connect' && !isUntrusted;
    const over = new AbortController();
    const waits = [clock.sleep(waitMs, AbortSignal.any([signal, over.signal]))];
    if (isAway) waits.push(this.#options.waitUntilReachable(AbortSignal.any([signal, over.signal])));
    await Promise.race(waits);
    over.abort();
  }
}

const answerMarginSeconds = 10;
const longestAnswerBytes = 64 * 1024 * 1024;
/** Of the 1 MiB that a request may have. */
const batchBytes = 800_000;
const leastBatchBytes = 20_000;
const inventoryBytes = 300_000;
const gatherMs = 150;
const firstNewsMs = 1500;
const hurriedMs = 300;

/** So often a rack says what it said before. */
const rackRepeatMs = 600_000;
/** What one request may bring of machines (sync-protocol.ts). */
const machinesBytes = 256 * 1024;

function takeMachines({ rack }: SiteWork, spaceBytes: number): MachineReport[] {
  // One report alone may be larger than that: it needs what is left between a batch and the limit.
  if (rack === undefined || spaceBytes < machinesBytes) return [];
  return rack.machines.take(machinesBytes);
}

/** All but when it was seen, and what whoever makes up boxes could change with each of them. */
function rackText(report: RackReport): string {
  return JSON.stringify({
    ...report,
    observedTime: '',
    discoveryFull: report.discoveryFull !== undefined,
  });
}

function sizeOf(value: unknown): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}

function isKeyRefusal(error: unknown): boolean {
  if (isClockRefusal(error)) return false;
  return isStatusError(error, 'Unauthorized') || isStatusError(error, 'Forbidden');
}

/** The hub's own answers are complete; a broken one must not break the agent. */
function checkShape(answer: SyncResponse): void {
  const { ackSeq, retryAfterSeconds, state } = answer ?? {};
  const isState =
    state === undefined ||
    (typeof state.signed === 'string' && Array.isArray(state.items) && Array.isArray(state.tombstones));
  if (!isState || !Number.isSafeInteger(ackSeq) || !(retryAfterSeconds >= 0)) {
    throw new ContactError('answer', 'the answer to the sync request is not complete');
  }
}

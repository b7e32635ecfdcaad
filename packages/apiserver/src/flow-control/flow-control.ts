import { type Clock, StatusError } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import type { ServerMetrics } from '../metrics/server-metrics.ts';
import { FairSeats, type Seat } from './fair-seats.ts';
import { type FlowKey, flowOf, weightOf } from './flow.ts';

/** Bounds on what all clients together, and each of them, may ask for at once. */
export interface FlowLimits {
  /** Requests in work at once; the others wait for their turn. */
  readonly maxRequestsInflight: number;
  /** Open watches and other streams, of all users; one user may have half of them. */
  readonly maxWatches: number;
}

export const defaultFlowLimits: FlowLimits = { maxRequestsInflight: 100, maxWatches: 10_000 };

/** Requests of one flow that wait for their turn; kube-apiserver's queues of one flow hold about as many. */
const maxWaiting = 400;
/** Requests held at all (bodies on their way, waiting, in work, answers on their way); half of them of one flow. */
const maxHeld = 4_000;
/** However full the server is, each flow may hold so many. */
const alwaysHeld = 8;
const waitSeconds = 15;
const bodyBytes = 64 * 1024 * 1024;
const answerBytes = 128 * 1024 * 1024;
/** Smaller answers are not worth waiting for memory. */
const bigAnswerBytes = 256 * 1024;
/** One unit of work for so many bytes of an answer. */
const bytesPerCost = 64 * 1024;
/** A kind of answer whose size is not known yet. */
const unknownListBytes = 1024 * 1024;
/** Long lists are sent piece by piece, as fast as they are read. */
const maxPieceBytes = 1024 * 1024;
/** Small reads in one turn of the event loop: some milliseconds. */
const costPerTurn = 16;
const maxKnownSizes = 10_000;

/** Requests that are handed on (`connect` subresources) and not over; a tenth of them of one flow. */
const maxSessions = 2_000;

type Rejection = 'queue-full' | 'time-out' | 'concurrency-limit' | 'watches' | 'bodies' | 'sessions';

interface Held {
  requests: number;
  bodyBytes: number;
  watches: number;
  sessions: number;
}

export interface RequestShape {
  readonly isMutating: boolean;
  readonly isLongRunning: boolean;
  /** Handed on to somewhere else. */
  readonly isSession: boolean;
  /** Requests with the same key have answers of about the same size; absent: small ones. */
  readonly answerKey: string | undefined;
}

/**
 * Decides when a request is served, so that no client can starve the others. A seat stands for work of this process
 * and its store: who waits for its client (a body that comes slowly, an answer that is read slowly, a quiet watch)
 * holds none, only memory, which is bounded apart. Throws `TooManyRequests` with `retryAfterSeconds`.
 */
export class FlowControl {
  readonly #limits: FlowLimits;
  readonly #clock: Clock;
  readonly #metrics: ServerMetrics;
  readonly #seats: FairSeats;
  readonly #flows = new Map<string, Held>();
  readonly #sizes = new Map<string, number>();
  readonly #all: Held = { requests: 0, bodyBytes: 0, watches: 0, sessions: 0 };
  #mutating = 0;

  constructor({ limits, clock, metrics }: { limits: FlowLimits; clock: Clock; metrics: ServerMetrics }) {
    this.#limits = limits;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#seats = new FairSeats({
      seats: limits.maxRequestsInflight,
      answerBytes,
      answerBytesPerFlow: answerBytes / 2,
      costPerTurn,
    });
    metrics.registry.read(
      {
        name: 'apiserver_current_inflight_requests',
        help: 'Requests in work, by kind.',
        type: 'gauge',
        labelNames: ['request_kind'],
      },
      () => [
        [['mutating'], this.#mutating],
        [['readOnly'], this.#seats.taken - this.#mutating],
      ],
    );
    metrics.registry.read(
      {
        name: 'apiserver_flowcontrol_current_inqueue_requests',
        help: 'Requests that wait for a seat.',
        type: 'gauge',
        labelNames: [],
      },
      () => [[[], this.#seats.waiting]],
    );
  }

  /** Before the body is read. */
  enter(user: UserInfo, shape: RequestShape): FlowPlace {
    const flow = flowOf(user);
    const held = this.#flows.get(flow.name) ?? { requests: 0, bodyBytes: 0, watches: 0, sessions: 0 };
    const { maxWatches } = this.#limits;
    if (shape.isLongRunning && (held.watches >= maxWatches / 2 || this.#all.watches >= maxWatches)) {
      throw this.#reject(flow, 'watches', `${flow.name}: too many watches are open`);
    }
    const isOverrun = held.sessions >= maxSessions / 10 || this.#all.sessions >= maxSessions;
    if (shape.isSession && isOverrun) {
      throw this.#reject(flow, 'sessions', `${flow.name}: too many sessions with sites are open`);
    }
    const isFull = held.requests >= maxHeld / 2 || this.#all.requests >= maxHeld;
    if (isFull && held.requests >= alwaysHeld) {
      throw this.#reject(flow, 'concurrency-limit', `${flow.name}: too many requests at once`);
    }
    return new FlowPlace(this.#doorsOf(flow, held), shape);
  }

  #doorsOf(flow: FlowKey, held: Held): Doors {
    const count = (change: Partial<Held>) => {
      for (const total of [held, this.#all]) {
        total.requests += change.requests ?? 0;
        total.bodyBytes += change.bodyBytes ?? 0;
        total.watches += change.watches ?? 0;
        total.sessions += change.sessions ?? 0;
      }
      if (held.requests + held.watches > 0) this.#flows.set(flow.name, held);
      else this.#flows.delete(flow.name);
    };
    return {
      count,
      countBody: (bytes) => {
        const isTooMuch = held.bodyBytes + bytes > bodyBytes / 2 || this.#all.bodyBytes + bytes > bodyBytes;
        if (isTooMuch && held.bodyBytes > 0) {
          throw this.#reject(flow, 'bodies', `${flow.name}: the bodies of its requests take too much memory`);
        }
        count({ bodyBytes: bytes });
      },
      takeSeat: (shape, goneSignal) => this.#takeSeat(flow, shape, goneSignal),
      learn: (key, bytes) => this.#learn(key, bytes),
      countMutating: (change) => {
        this.#mutating += change;
      },
    };
  }

  async #takeSeat(
    flow: FlowKey,
    { answerKey, isMutating }: RequestShape,
    goneSignal: () => AbortSignal,
  ): Promise<Seat | undefined> {
    const foreseen = answerKey === undefined ? 0 : (this.#sizes.get(answerKey) ?? unknownListBytes);
    const request = {
      flow: flow.name,
      weight: weightOf[flow.level],
      cost: 1 + foreseen / bytesPerCost,
      answerBytes: foreseen < bigAnswerBytes ? 0 : Math.min(foreseen, maxPieceBytes),
      isInstant: !isMutating,
    };
    if (this.#seats.waitingOf(flow.name) >= maxWaiting) {
      throw this.#reject(flow, 'queue-full', `${flow.name}: too many requests wait already`);
    }
    const atOnce = this.#seats.tryTake(request);
    if (atOnce) return atOnce;
    const taken = new AbortController();
    const late = new AbortController();
    void this.#clock.sleep(waitSeconds * 1000, taken.signal).then(() => late.abort('late'));
    const gone = goneSignal();
    try {
      const got = await this.#seats.take(request, AbortSignal.any([gone, late.signal]));
      if (!got && !gone.aborted) {
        throw this.#reject(flow, 'time-out', `${flow.name}: no turn within ${waitSeconds} s`);
      }
      return got;
    } finally {
      taken.abort('taken');
    }
  }

  #learn(key: string, bytes: number): void {
    // The newest stand last.
    this.#sizes.delete(key);
    this.#sizes.set(key, bytes);
    if (this.#sizes.size <= maxKnownSizes) return;
    for (const oldest of this.#sizes.keys()) {
      this.#sizes.delete(oldest);
      return;
    }
  }

  #reject(flow: FlowKey, reason: Rejection, message: string): StatusError {
    this.#metrics.rejected.of(flow.level, reason).add();
    return new StatusError('TooManyRequests', `${message}: ask again later`, {
      details: { retryAfterSeconds: 1 },
    });
  }
}

interface Doors {
  readonly count: (change: Partial<Held>) => void;
  readonly countBody: (bytes: number) => void;
  readonly takeSeat: (shape: RequestShape, goneSignal: () => AbortSignal) => Promise<Seat | undefined>;
  readonly learn: (key: string, bytes: number) => void;
  readonly countMutating: (change: 1 | -1) => void;
}

/** One request's way through flow control. */
export class FlowPlace {
  readonly #doors: Doors;
  readonly #shape: RequestShape;
  #seat: Seat | undefined;
  #bodyBytes = 0;
  #isSeated = false;
  #hasLeft = false;

  constructor(doors: Doors, shape: RequestShape) {
    this.#doors = doors;
    this.#shape = shape;
    doors.count(countOf(shape, 1));
  }

  /** As the body comes. Throws `TooManyRequests`. */
  countBody(bytes: number): void {
    if (this.#hasLeft) return;
    this.#doors.countBody(bytes);
    this.#bodyBytes += bytes;
  }

  /** Waits for the turn; false when the client has gone. Throws `TooManyRequests`. */
  async sit(goneSignal: () => AbortSignal): Promise<boolean> {
    const seat = await this.#doors.takeSeat(this.#shape, goneSignal);
    if (!seat) return false;
    this.#seat = seat;
    this.#isSeated = true;
    if (this.#shape.isMutating) this.#doors.countMutating(1);
    return true;
  }

  /** The work is done, or goes on without a seat. */
  stand(): void {
    if (!this.#isSeated) return;
    this.#isSeated = false;
    if (this.#shape.isMutating) this.#doors.countMutating(-1);
    this.#seat?.release();
  }

  /** The objects that are there have been sent; what follows comes piece by piece, and its pieces are bounded. */
  follows(): void {
    this.#hold(0);
    this.stand();
  }

  /** So many bytes wait for the client, which decides how fast it goes on. */
  stalls(waiting: number): void {
    if (!this.#isSeated) return;
    this.#hold(waiting);
    this.stand();
  }

  /** The answer is made: so many bytes in all, so many of them wait for the client. */
  answered(bytes: number, waiting: number): void {
    const { answerKey } = this.#shape;
    if (answerKey !== undefined) this.#doors.learn(answerKey, bytes);
    this.#hold(waiting);
    this.stand();
  }

  #hold(bytes: number): void {
    this.#seat?.holdAnswer(bytes < bigAnswerBytes ? 0 : bytes);
  }

  /** The client has its answer, or is gone. */
  leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#seat?.holdAnswer(0);
    this.stand();
    this.#doors.count({ ...countOf(this.#shape, -1), bodyBytes: -this.#bodyBytes });
  }
}

/** What a request counts as while it is here; a session counts as a watch too. */
function countOf({ isLongRunning, isSession }: RequestShape, change: 1 | -1): Partial<Held> {
  if (!isLongRunning) return { requests: change };
  return isSession ? { watches: change, sessions: change } : { watches: change };
}

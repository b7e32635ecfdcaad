/** What one request asks of the seats. */
export interface SeatRequest {
  readonly flow: string;
  /** Share of the flow when others wait too. */
  readonly weight: number;
  /** Work, in units of a small request. */
  readonly cost: number;
  /** Memory of the answer, as far as it is foreseen; 0: not worth counting. */
  readonly answerBytes: number;
  /** Answered from memory, in the turn of the event loop that it begins in: seats do not bound it, turns do. */
  readonly isInstant: boolean;
}

export interface FairSeatsOptions {
  /** How many are served at once. */
  readonly seats: number;
  /** Memory of answers that are made or wait for their readers: of all flows, and of one. */
  readonly answerBytes: number;
  readonly answerBytesPerFlow: number;
  /**
   * Work of instant requests in one turn of the event loop. Node reads from all connections in each turn, so without a
   * bound who has more of them would get more: the order of connections would decide, not that of flows.
   */
  readonly costPerTurn: number;
}

/** A place in work. Both may be called again. */
export interface Seat {
  /** The work is done: the next one may begin. */
  release(): void;
  /** The memory of the answer as it is now known; 0 when the client has it. */
  holdAnswer(bytes: number): void;
}

interface Waiting {
  readonly request: SeatRequest;
  readonly start: number;
  readonly resolve: (seat: Seat) => void;
}

interface Flow {
  readonly queue: Waiting[];
  /** Virtual time at which all that it has asked for would be done. */
  finish: number;
  answerBytes: number;
  /** Seats and answers that it holds. */
  held: number;
}

/**
 * Shares a number of seats fairly between flows: start-time fair queueing (Goyal, Vin, Cheng 1996). Each request gets a
 * start in virtual time, behind what its flow has asked for before; the earliest start is served next. So a flow with a
 * thousand requests waiting delays another one's by one request, not by a thousand. Requests with big answers also
 * wait until there is memory; every flow may always have one of them.
 */
export class FairSeats {
  readonly #o: FairSeatsOptions;
  readonly #flows = new Map<string, Flow>();
  #taken = 0;
  #waiting = 0;
  #now = 0;
  #answerBytes = 0;
  #turnCost = 0;

  constructor(options: FairSeatsOptions) {
    this.#o = options;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiting;
  }

  waitingOf(flow: string): number {
    return this.#flows.get(flow)?.queue.length ?? 0;
  }

  /** A seat at once, if nobody has to wait. */
  tryTake(request: SeatRequest): Seat | undefined {
    const flow = this.#flowOf(request.flow);
    if (!this.#isRoomFor(flow, request) || (this.#waiting > 0 && this.#earliest())) {
      this.#forgetIdle(request.flow, flow);
      return undefined;
    }
    return this.#seat(flow, request, this.#startOf(flow, request));
  }

  /** Resolves with a seat when it is its turn; with `undefined` when the signal fired first. */
  take(request: SeatRequest, signal: AbortSignal): Promise<Seat | undefined> {
    const flow = this.#flowOf(request.flow);
    const { promise, resolve } = Promise.withResolvers<Seat | undefined>();
    const entry: Waiting = { request, start: this.#startOf(flow, request), resolve };
    const onAbort = () => {
      const at = flow.queue.indexOf(entry);
      if (at < 0) return;
      flow.queue.splice(at, 1);
      this.#waiting -= 1;
      resolve(undefined);
      this.#forgetIdle(request.flow, flow);
      this.#next();
    };
    flow.queue.push(entry);
    this.#waiting += 1;
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    this.#next();
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  #startOf(flow: Flow, { cost, weight }: SeatRequest): number {
    const start = Math.max(this.#now, flow.finish);
    flow.finish = start + cost / weight;
    return start;
  }

  #next(): void {
    while (this.#waiting > 0) {
      const found = this.#earliest();
      if (!found) return;
      const [flow, waiting] = found;
      flow.queue.shift();
      this.#waiting -= 1;
      waiting.resolve(this.#seat(flow, waiting.request, waiting.start));
    }
  }

  #earliest(): [Flow, Waiting] | undefined {
    let best: [Flow, Waiting] | undefined;
    for (const flow of this.#flows.values()) {
      const [head] = flow.queue;
      if (head && (!best || head.start < best[1].start) && this.#isRoomFor(flow, head.request)) {
        best = [flow, head];
      }
    }
    return best;
  }

  #isRoomFor(flow: Flow, { answerBytes, isInstant }: SeatRequest): boolean {
    if (this.#taken >= this.#o.seats) return false;
    if (isInstant && this.#turnCost >= this.#o.costPerTurn) return false;
    if (flow.answerBytes === 0) return true;
    // Others' answers keep nobody from small ones; who does not read its own gets no more of any kind.
    if (flow.answerBytes + answerBytes > this.#o.answerBytesPerFlow) return false;
    return answerBytes === 0 || this.#answerBytes + answerBytes <= this.#o.answerBytes;
  }

  #seat(flow: Flow, request: SeatRequest, start: number): Seat {
    this.#now = Math.max(this.#now, start);
    this.#taken += 1;
    flow.held += 1;
    if (request.isInstant) this.#spendTurn(request.cost);
    let isReleased = false;
    let answerBytes = 0;
    const hold = (bytes: number) => {
      flow.answerBytes += bytes - answerBytes;
      this.#answerBytes += bytes - answerBytes;
      flow.held += (bytes > 0 ? 1 : 0) - (answerBytes > 0 ? 1 : 0);
      answerBytes = bytes;
    };
    hold(request.answerBytes);
    return {
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#taken -= 1;
        flow.held -= 1;
        this.#next();
        this.#forgetIdle(request.flow, flow);
      },
      holdAnswer: (bytes) => {
        if (bytes === answerBytes) return;
        const isLess = bytes < answerBytes;
        hold(bytes);
        if (isLess) this.#next();
        this.#forgetIdle(request.flow, flow);
      },
    };
  }

  #spendTurn(cost: number): void {
    if (this.#turnCost === 0) {
      setImmediate(() => {
        this.#turnCost = 0;
        this.#next();
      });
    }
    this.#turnCost += cost;
  }

  #flowOf(name: string): Flow {
    const found = this.#flows.get(name);
    if (found) return found;
    const flow: Flow = { queue: [], finish: 0, answerBytes: 0, held: 0 };
    this.#flows.set(name, flow);
    return flow;
  }

  #forgetIdle(name: string, flow: Flow): void {
    if (flow.held === 0 && flow.queue.length === 0) this.#flows.delete(name);
  }
}

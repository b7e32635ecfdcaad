import type { ApiRequest, ApiUnderComparison } from './api-under-comparison.ts';
import { isSameAnswer, normalAnswer, type NormalAnswer } from './normal-answer.ts';

type Json = Record<string, unknown>;

/** A request, or how to make one from the last object that the server answered with (for resourceVersion and uid). */
export type Step = ApiRequest | ((last: Json) => ApiRequest);

export interface Divergence {
  readonly step: number;
  readonly request: ApiRequest;
  readonly ours: unknown;
  readonly theirs: unknown;
}

/** What two servers answer to the same requests, side by side. */
export class Comparison {
  readonly ours: ApiUnderComparison;
  readonly theirs: ApiUnderComparison;

  constructor(ours: ApiUnderComparison, theirs: ApiUnderComparison) {
    this.ours = ours;
    this.theirs = theirs;
  }

  /** Sends the steps to both, one after the other; the answers that differ. */
  async run(steps: readonly Step[]): Promise<Divergence[]> {
    const found: Divergence[] = [];
    const ours = new Side(this.ours);
    const theirs = new Side(this.theirs);
    for (const [step, make] of steps.entries()) {
      const [our, their] = await Promise.all([ours.send(make), theirs.send(make)]);
      if (!isSameAnswer(our.answer, their.answer)) {
        found.push({ step, request: their.request, ours: our.answer, theirs: their.answer });
      }
    }
    return found;
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.ours.close(), this.theirs.close()]);
  }
}

class Side {
  readonly #api: ApiUnderComparison;
  #last: Json = {};

  constructor(api: ApiUnderComparison) {
    this.#api = api;
  }

  async send(step: Step): Promise<{ request: ApiRequest; answer: NormalAnswer }> {
    const request = typeof step === 'function' ? step(this.#last) : step;
    const answer = await this.#api.send(request);
    const before = this.#last;
    if (answer.status < 300 && 'metadata' in answer.body && answer.body['kind'] !== 'Status')
      this.#last = answer.body;
    return { request, answer: normalAnswer(answer, before) };
  }
}

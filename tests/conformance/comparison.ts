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

/** What one server answers to the steps, one after the other. */
export async function answersOf(api: ApiUnderComparison, steps: readonly Step[]): Promise<NormalAnswer[]> {
  const side = new Side(api);
  const answers: NormalAnswer[] = [];
  for (const step of steps) answers.push((await side.send(step)).answer);
  return answers;
}

/** Sends the steps to both servers, one after the other; the answers that differ. */
export async function compareAnswers(
  ours: ApiUnderComparison,
  theirs: ApiUnderComparison,
  steps: readonly Step[],
): Promise<Divergence[]> {
  const sides = [new Side(ours), new Side(theirs)] as const;
  const found: Divergence[] = [];
  for (const [step, make] of steps.entries()) {
    const [our, their] = await Promise.all([sides[0].send(make), sides[1].send(make)]);
    if (!isSameAnswer(our.answer, their.answer)) {
      found.push({ step, request: their.request, ours: our.answer, theirs: their.answer });
    }
  }
  return found;
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

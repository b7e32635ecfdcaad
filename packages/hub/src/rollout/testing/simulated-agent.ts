import type { DeliveryState, ItemReport, ItemTerms, Waiting } from '@selvedge/api';
import type { DeliveryRow } from '@selvedge/store';

/** How a release fares at a site. */
export interface Outcome {
  readonly prepare: 'passes' | 'never' | 'fails' | 'refused';
  readonly run: 'healthy' | 'never' | 'crashes';
}
export const healthy: Outcome = { prepare: 'passes', run: 'healthy' };

interface Order {
  readonly epoch: number;
  readonly release: string;
  readonly digest: string;
  readonly terms: ItemTerms;
  readonly deadlineSeconds: number;
}
interface Finding {
  readonly state: DeliveryState;
  readonly reason?: string;
  readonly waiting?: Waiting;
  readonly wentBack?: 'Unhealthy' | 'RolledBackBySite';
}

/**
 * A model of a site's agent as plain data, by the rules of the real one: prepares, activates by the terms, goes back by
 * itself and remembers, needs no hub for any of it. One release runs at a time.
 */
export class SimulatedAgent {
  readonly outcomes = new Map<string, Outcome>();
  windowOpen = true;
  holdsItself = false;
  order: Order | undefined;
  /** What runs. */
  active: string | undefined;
  /** When what runs was activated, and since when it is healthy. */
  activatedAt = 0;
  healthySince: number | undefined;
  /** Releases in the order in which they were activated, with the instant. */
  readonly activations: { readonly digest: string; readonly time: number }[] = [];
  /** Every stretch of healthy running that is over. */
  readonly healthyStretches: { readonly digest: string; readonly from: number; readonly to: number }[] = [];
  #goods: string[] = [];
  readonly #verdicts = new Map<string, { readonly attempt: number; readonly finding: Finding }>();
  #orderedAt = 0;
  #finding: Finding = { state: 'Pending' };
  #since = 0;
  #seq = 1;
  readonly #uid: string;

  constructor(applicationUid: string) {
    this.#uid = applicationUid;
  }

  /** The agent fetches its desired state. */
  take(row: DeliveryRow, now: number): void {
    if (this.order?.epoch === row.epoch) return;
    const { epoch, release, digest, terms, deadlineSeconds } = row;
    this.order = { epoch, release, digest, terms, deadlineSeconds };
    this.#orderedAt = now;
    this.#finding = { state: 'Pending' };
    this.#since = now;
    this.work(now);
  }

  /** Gets on with what it holds, with the hub or without. Twice, as going back is a step of its own. */
  work(now: number): void {
    for (let round = 0; round < 2; round++) {
      const finding = this.#decide(now);
      if (finding.state !== this.#finding.state) this.#since = now;
      this.#finding = finding;
    }
  }

  /** The person at the site takes back what runs. */
  rollBack(now: number): void {
    const { order } = this;
    if (order === undefined || this.active !== order.digest) return;
    const finding: Finding = { state: 'Failed', reason: 'RolledBack', wentBack: 'RolledBackBySite' };
    if (this.#backOut(order, now, finding)) this.work(now);
  }

  /** The disk is lost: nothing runs, nothing is remembered. */
  loseDisk(now: number): void {
    this.#activate(undefined, now);
    this.order = undefined;
    this.#goods = [];
    this.#verdicts.clear();
  }

  report(now: number): ItemReport | undefined {
    const { order } = this;
    if (order === undefined) return undefined;
    this.#seq += 1;
    return {
      id: 'Application/shop/app',
      uid: this.#uid,
      epoch: order.epoch,
      release: order.release,
      digest: order.digest,
      ...this.#finding,
      ...(this.active === undefined ? {} : { runningDigest: this.active }),
      ...(this.active === order.digest ? { activatedTime: iso(this.activatedAt) } : {}),
      sinceTime: iso(this.#since),
      observedTime: iso(now),
      seq: this.#seq,
    };
  }

  /** What it would say now, and since when. */
  get state(): DeliveryState {
    return this.#finding.state;
  }
  get since(): string {
    return iso(this.#since);
  }

  /** Whether it ran that release well at an instant. */
  wasHealthyWith(digest: string, at: number): boolean {
    if (this.active === digest && this.healthySince !== undefined && this.healthySince <= at) return true;
    return this.healthyStretches.some((s) => s.digest === digest && s.from <= at && at <= s.to);
  }

  /** Whether it began to, at that instant at the latest; by now it may have stopped. */
  wasHealthyBefore(digest: string, at: number): boolean {
    return (
      this.wasHealthyWith(digest, at) ||
      this.healthyStretches.some((s) => s.digest === digest && s.from <= at)
    );
  }

  #outcome(digest: string): Outcome {
    return this.outcomes.get(digest) ?? healthy;
  }

  #decide(now: number): Finding {
    const { order } = this;
    if (order === undefined) return { state: 'Pending' };
    if (
      this.active === undefined &&
      order.terms.fallback !== undefined &&
      order.terms.fallback.digest !== order.digest
    ) {
      this.#activate(order.terms.fallback.digest, now);
    }
    this.#watchActive(now);
    if (this.active === order.digest) return this.#observe(order, now);
    const verdict = this.#verdicts.get(order.digest);
    if (verdict !== undefined && verdict.attempt >= order.terms.attempt) return verdict.finding;
    return this.#prepare(order, now);
  }

  #watchActive(now: number): void {
    if (this.active === undefined) return;
    const isHealthy = this.#outcome(this.active).run === 'healthy';
    if (isHealthy && this.healthySince === undefined) {
      this.healthySince = now;
      this.#goods = [this.active, ...this.#goods.filter((good) => good !== this.active)].slice(0, 2);
      this.#verdicts.delete(this.active);
    }
    if (!isHealthy) this.#endStretch(now);
  }

  #observe(order: Order, now: number): Finding {
    if (this.healthySince !== undefined) return { state: 'Running' };
    if (this.#goods.includes(order.digest)) return { state: 'Degraded', reason: 'Unhealthy' };
    const isLate = now >= this.activatedAt + order.deadlineSeconds * 1000;
    if (this.#outcome(order.digest).run === 'never' && !isLate) return { state: 'Activating' };
    const reason = isLate ? 'DeadlineExceeded' : 'Crashed';
    const finding: Finding = { state: 'Failed', reason, wentBack: 'Unhealthy' };
    return this.#backOut(order, now, finding) ? finding : { state: 'Failed', reason };
  }

  /** @returns whether there was something to go back to. */
  #backOut(order: Order, now: number, finding: Finding): boolean {
    const { fallback } = order.terms;
    const back = this.#goods.find((good) => good !== order.digest) ?? fallback?.digest;
    if (back === undefined || back === order.digest) return false;
    this.#verdicts.set(order.digest, { attempt: order.terms.attempt, finding });
    this.#goods = this.#goods.filter((good) => good !== order.digest);
    this.#activate(back, now);
    return true;
  }

  #prepare(order: Order, now: number): Finding {
    switch (this.#outcome(order.digest).prepare) {
      case 'fails':
        return { state: 'Failed', reason: 'ImagePullFailed' };
      case 'refused':
        return { state: 'Refused', reason: 'Unsupported' };
      case 'never':
        if (now < this.#orderedAt + order.terms.prepareSeconds * 1000) return { state: 'Preparing' };
        return { state: 'Failed', reason: 'PrepareDeadlineExceeded' };
      case 'passes':
    }
    const waiting = this.#waiting(order.terms, now);
    if (waiting !== undefined) return { state: 'Prepared', waiting };
    this.#activate(order.digest, now);
    this.#watchActive(now);
    return this.#observe(order, now);
  }

  #waiting({ activate, activateAt }: ItemTerms, now: number): Waiting | undefined {
    if (this.holdsItself) return { reason: 'SiteHold' };
    if (activate === 'Hold') return { reason: 'Hub' };
    if (activate === 'Window' && !this.windowOpen) return { reason: 'ActivateWindow' };
    if (activate === 'At' && now < Date.parse(activateAt ?? '')) {
      return { reason: 'Instant', ...(activateAt === undefined ? {} : { until: activateAt }) };
    }
    return undefined;
  }

  #activate(digest: string | undefined, now: number): void {
    this.#endStretch(now);
    this.active = digest;
    this.activatedAt = now;
    if (digest !== undefined) this.activations.push({ digest, time: now });
  }

  #endStretch(now: number): void {
    if (this.active !== undefined && this.healthySince !== undefined) {
      this.healthyStretches.push({ digest: this.active, from: this.healthySince, to: now });
    }
    this.healthySince = undefined;
  }
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

import type { DeliveryRow } from '@selvedge/store';
import { beganAt, evidenceOf, isOwn, wantedRow } from './evidence.ts';
import type { RolloutInput, SiteFacts } from './rollout-input.ts';
import { judgeSite, type SiteVerdict } from './site-verdict.ts';

/** A site as one plan sees it; made once, since a plan asks for the same over and over. */
export class SiteView {
  readonly name: string;
  readonly facts: SiteFacts;
  /** By which the application is wanted there now, whatever release. */
  readonly row: DeliveryRow | undefined;
  /** The same, when it is this rollout's own assignment. */
  readonly ownRow: DeliveryRow | undefined;
  readonly verdict: SiteVerdict;
  #healthySince: number | undefined;

  constructor(facts: SiteFacts, input: RolloutInput) {
    const row = wantedRow(facts, input);
    this.name = facts.name;
    this.facts = facts;
    this.row = row;
    this.ownRow = isOwn(row, input) ? row : undefined;
    this.verdict = judgeSite(facts, row, input);
  }

  get isInTouch(): boolean {
    return this.facts.connectedSince !== undefined;
  }

  /** Since when the site runs the release well, by its own account; undefined: it does not say so. */
  get healthySince(): number | undefined {
    if (this.#healthySince !== undefined || this.verdict.verdict !== 'succeeded' || !this.ownRow) {
      return this.#healthySince;
    }
    const report = evidenceOf(this.ownRow);
    if (report !== undefined) this.#healthySince = beganAt(report, this.ownRow);
    return this.#healthySince;
  }
}

import { evidenceOf, uptakeOf } from './evidence.ts';
import type { RolloutView } from './rollout-view.ts';
import type { SiteView } from './site-view.ts';

/** A person let the wave go on without soak, threshold and sample, and without who has not answered yet. */
export function isWaived(view: RolloutView, index: number): boolean {
  return view.input.control.waivedWaves.has(view.board.waves[index]?.name ?? '');
}

/** Whether the wave may begin; a wave that has begun may. */
export function isApproved(view: RolloutView, index: number): boolean {
  const wave = view.board.waves[index];
  if (wave === undefined) return false;
  const { approvedWaves } = view.input.control;
  return !wave.isManual || approvedWaves.has(wave.name) || view.before(wave.name)?.startTime !== undefined;
}

/** How far the sites of a wave are with preparing: of those that count, and how many are needed. */
export interface PrepareState {
  readonly ready: number;
  readonly needed: number;
}

/**
 * Sites in touch count; not those that are held, and not failed or blocked ones: these are a matter of the budget.
 */
export function prepareState(view: RolloutView, index: number): PrepareState {
  const { board, strategy } = view;
  let ready = 0;
  let counted = 0;
  for (const { isInTouch, verdict, ownRow } of board.members(index)) {
    if (!isInTouch) continue;
    if (verdict.verdict === 'succeeded' || verdict.verdict === 'prepared') {
      counted += 1;
      ready += 1;
    } else if (verdict.verdict === 'pending') {
      counted += 1;
      if (ownRow !== undefined && uptakeOf(ownRow) === 'taken') ready += 1;
    }
  }
  return { ready, needed: Math.max(1, Math.ceil((counted * (strategy.thresholdPercent ?? 0)) / 100)) };
}

/** Whether the sites of the wave may activate. Once they may, they may. */
export function mayActivate(view: RolloutView, index: number): boolean {
  const { strategy, board } = view;
  if (view.before(board.waves[index]?.name)?.activateTime !== undefined) return true;
  if (strategy.thresholdPercent === undefined || isWaived(view, index)) return true;
  const { ready, needed } = prepareState(view, index);
  return ready >= needed;
}

/** What the sites of a wave have to say to its passing. */
export interface WaveAnswers {
  /** Run the release, and did so to the end of the soak. */
  readonly proofs: number;
  /** In touch, and about to answer. */
  readonly soon: number;
}

export function answersOf(view: RolloutView, index: number): WaveAnswers {
  let proofs = 0;
  let soon = 0;
  for (const site of view.board.members(index)) {
    const answer = answerOf(view, index, site);
    if (answer === 'proof') proofs += 1;
    else if (answer === 'soon') soon += 1;
  }
  return { proofs, soon };
}

function answerOf(view: RolloutView, index: number, site: SiteView): 'proof' | 'soon' | 'none' {
  const { verdict, facts, isInTouch } = site;
  if (verdict.verdict === 'pending' || verdict.verdict === 'prepared') {
    return isWaived(view, index) ? 'none' : 'soon';
  }
  const { healthySince } = site;
  if (healthySince === undefined) return 'none';
  const soak = isWaived(view, index) ? 0 : (view.board.waves[index]?.soakSeconds ?? 0);
  if (soak === 0 || view.hasSpokenSince(facts, healthySince + soak * 1000)) return 'proof';
  // It went silent before its soak was over: what it said stands, but proves nothing about the rest of the soak.
  return isInTouch ? 'soon' : 'none';
}

/** How many proofs the wave needs. */
export function sampleOf(view: RolloutView, index: number): number {
  return view.board.waves[index]?.minSample(view.board.intendedSize(index)) ?? 1;
}

/**
 * Draws sites in touch for those that are silent, held or failed, when the wave could not reach its sample without. For suspects
 * as many as the wave was meant to have, no more: a release that cuts links would go through the fleet that way.
 */
export function drawStandIns(view: RolloutView, index: number): void {
  if (isWaived(view, index) || view.board.members(index).length === 0) return;
  const { proofs, soon } = answersOf(view, index);
  const lacking = sampleOf(view, index) - proofs - soon;
  const size = Math.max(1, view.board.intendedSize(index));
  const count = Math.min(lacking, 2 * size - suspects(view, index).length);
  if (count > 0) view.board.drawStandIns(index, possibleStandIns(view, index).slice(0, count));
}

/** Sites of the wave that fell silent when they had the release or may have had it: perhaps it cut their link. */
export function suspects(view: RolloutView, index: number): SiteView[] {
  const activated = Date.parse(view.before(view.board.waves[index]?.name)?.activateTime ?? '');
  return view.board.members(index).filter((site) => {
    const { ownRow, isInTouch, verdict, facts } = site;
    if (isInTouch || ownRow === undefined || verdict.verdict === 'failed' || verdict.verdict === 'blocked')
      return false;
    if (answerOf(view, index, site) === 'proof') return false;
    if (uptakeOf(ownRow) === 'taken') return true;
    // Held back when it was silent already, it may have activated before.
    const given = ownRow.terms.activate === 'Hold' ? activated : Date.parse(ownRow.assignedAt);
    return facts.lastSeen !== undefined && facts.lastSeen > Math.max(activated, given);
  });
}

/**
 * Whether everybody in the wave who is in touch has answered, and enough of them proved the release. When too few can, and
 * nobody can stand in: a release that somebody has proved goes on, one that nobody has waits. So does a wave whose own sites
 * are not there, or not any more: a name may be mistyped, a label gone.
 */
export function hasPassed(view: RolloutView, index: number): boolean {
  const { board } = view;
  const wave = board.waves[index];
  if (wave === undefined || view.input.sites.length === 0) return false;
  if (board.members(index).length === 0) {
    if (isWaived(view, index)) return true;
    if (wave.draws.kind === 'UpTo') return board.undrawn.length === 0;
    return view.before(wave.name)?.startTime === undefined && wasTried(view, index);
  }
  const { proofs, soon } = answersOf(view, index);
  if (soon > 0) return false;
  if (isWaived(view, index)) return true;
  if (illBefore(view, index).length > 0) return false;
  if (proofs >= sampleOf(view, index)) return true;
  const isTried = proofs > 0 || wasTried(view, index);
  return isTried && possibleStandIns(view, index).length === 0;
}

/** Sites in touch of waves that have passed which fell ill since: until they are well or have failed, nobody goes further. */
export function illBefore({ board }: RolloutView, index: number): SiteView[] {
  return board.waves.flatMap((_, before) =>
    before >= index
      ? []
      : board.members(before).filter(({ ownRow, verdict }) => {
          if (verdict.verdict !== 'pending' || ownRow === undefined) return false;
          return evidenceOf(ownRow)?.state === 'Degraded';
        }),
  );
}

/** Some site of a wave before runs the release. */
function wasTried({ board }: RolloutView, index: number): boolean {
  return board.waves.some(
    (_, before) =>
      before < index && board.members(before).some(({ verdict }) => verdict.verdict === 'succeeded'),
  );
}

function possibleStandIns(view: RolloutView, index: number): SiteView[] {
  return view.board.standIns(index, ({ verdict }) => verdict.verdict !== 'blocked');
}

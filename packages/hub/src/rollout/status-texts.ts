import type { SiteCounts, WaveStatus } from '@selvedge/api';
import type { Excess } from './budgets.ts';
import { counted } from './counted.ts';
import { answersOf, illBefore, prepareState, sampleOf, suspects } from './gates.ts';
import type { PlannedState } from './planned-state.ts';
import type { RevertState } from './revert.ts';
import type { RolloutView } from './rollout-view.ts';
import type { SiteVerdict } from './site-verdict.ts';

const namesInMessage = 3;

interface Figures {
  readonly waves: readonly WaveStatus[];
  readonly sites: SiteCounts;
}

/** One sentence: what it waits for, and what a person can do. */
export function messageOf(state: PlannedState, figures: Figures): string {
  const { view, phase } = state;
  switch (phase) {
    case 'Completed':
      return completed(state, figures.sites);
    case 'Paused':
      return paused(state);
    case 'Aborted':
      return `stopped by a person, sites keep what they have: go on with ${command(view, 'resume')}, or take it back with ${command(view, 'revert')}`;
    case 'Reverting':
      return reverting(state);
    case 'Reverted':
      return reverted(state);
    case 'Blocked':
      return `release ${view.input.release.release} is condemned and not offered to any site: change the Application, or lift it with \`selvedge rollout lift ${view.input.release.release}\``;
    default:
      return progressing(state, figures);
  }
}

/** What was wrong with the release, with the first sites by name; by nobody's failure a person's word. */
export function breachMessage(excess: Excess | undefined): string {
  if (excess === undefined) return 'a person took the release back';
  return excessText(excess);
}

function progressing(state: PlannedState, { waves, sites }: Figures): string {
  const { view, passed } = state;
  if (sites.wanted === 0) return 'no site matches the placement; the first that does begins the rollout';
  const wave = waves[passed];
  if (wave === undefined) return '';
  if (wave.phase === 'AwaitingApproval') {
    return `wave ${wave.name} (${counted(wave.sites, 'site')}) waits for a person: let it begin with ${command(view, 'promote')}`;
  }
  if (wave.phase === 'Soaking' && answersOf(view, passed).soon > 0) {
    const soakSeconds = view.board.waves[passed]?.soakSeconds ?? 0;
    const end = Date.parse(wave.healthySince ?? '') + soakSeconds * 1000;
    return end > view.input.now
      ? `wave ${wave.name} is healthy and soaks until ${iso(end)}`
      : `wave ${wave.name} has soaked and waits to hear of its sites once more`;
  }
  if (wave.phase === 'Preparing') {
    const { ready, needed } = prepareState(view, passed);
    const names = sitesWith(view, passed, (v) => v.verdict === 'pending');
    if (names.length > 0) {
      return `wave ${wave.name} prepares: ${ready} of at least ${counted(needed, 'site')} ready, waits for ${someOf(names)}`;
    }
  }
  const working = sitesWith(view, passed, (v) => isWorking(v) && v.waitsFor === undefined);
  if (working.length > 0) return `wave ${wave.name} waits for ${someOf(working)}`;
  const waiting = sitesWith(view, passed, (v) => isWorking(v) && v.waitsFor !== undefined);
  if (waiting.length > 0)
    return `wave ${wave.name} waits for ${waitText(view, passed)} at ${someOf(waiting)}`;
  const ill = illBefore(view, passed).map(({ name }) => name);
  if (ill.length > 0) return `wave ${wave.name} waits for ${someOf(ill)} of a wave before, which fell ill`;
  const skip = `go on without them with ${command(view, 'promote --skip-gates')}`;
  if (view.board.members(passed).length === 0) {
    return `wave ${wave.name} has no site, so nobody would prove the release: see to the names or labels that it selects, or ${skip}`;
  }
  const silent = suspects(view, passed).map(({ name }) => name);
  if (silent.length > 0) {
    return `wave ${wave.name}: ${someOf(silent)} fell silent with the release, which may have cut the link: look there; ${skip}`;
  }
  const sample = sampleOf(view, passed);
  const held = wave.held > 0 ? `, ${wave.held} held` : '';
  const failed = wave.failed > 0 ? `, ${wave.failed} failed` : '';
  const stuck = `of wave ${wave.name} ${wave.succeeded} of at least ${counted(sample, 'site')} proved the release, ${wave.away} away${held}${failed}`;
  return `${stuck}: the next one to answer goes on with it; ${skip}`;
}

function isWorking(verdict: SiteVerdict): verdict is SiteVerdict & { verdict: 'pending' | 'prepared' } {
  return verdict.verdict === 'pending' || verdict.verdict === 'prepared';
}

/** What the sites of the wave say that they wait for: `the activate window`, or two such. */
function waitText(view: RolloutView, index: number): string {
  const reasons = new Set<string>();
  for (const { verdict } of view.board.members(index)) {
    if (isWorking(verdict) && verdict.waitsFor !== undefined)
      reasons.add(waitNames[verdict.waitsFor] ?? verdict.waitsFor);
  }
  const at = view.strategy.activation.activateAt;
  return [...reasons]
    .sort()
    .join(' and ')
    .replace('the instant', at === undefined ? 'the instant' : `the instant ${at}`);
}

const waitNames: Record<string, string | undefined> = {
  DownloadWindow: 'the download window',
  ActivateWindow: 'the activate window',
  Blackout: 'the end of a blackout',
  Instant: 'the instant',
  Hub: 'the others to have prepared',
};

function completed({ view, budgets }: PlannedState, sites: SiteCounts): string {
  const parts = [`runs at ${sites.running} of ${counted(sites.wanted, 'site')}`];
  const onTheWay = sites.progressing + sites.prepared + sites.waiting;
  if (onTheWay > 0) parts.push(`${onTheWay} on the way`);
  if (sites.held > 0) parts.push(`${sites.held} held`);
  if (sites.failed > 0) parts.push(`${sites.failed} failed`);
  if (sites.away + sites.overdue > 0) parts.push(`${sites.away + sites.overdue} away, to catch up on return`);
  if (view.input.control.isPaused) parts.push(`paused: others get it after ${command(view, 'resume')}`);
  if (budgets.breach !== undefined) parts.push(`take it back with ${command(view, 'revert')}`);
  return parts.join('; ');
}

function paused({ view, budgets }: PlannedState): string {
  if (view.input.control.isPaused) return `paused by a person: go on with ${command(view, 'resume')}`;
  if (budgets.stop === undefined) return '';
  const text = excessText(budgets.stop);
  if (budgets.breach === undefined) {
    return `${text}; that is no fault of the release: see to what these sites lack and it goes on, or ${command(view, 'abort')}`;
  }
  return `${text}; it goes on when they recover, or take it back with ${command(view, 'revert')}`;
}

function excessText({ wave, isWhole, allowed, failures }: Excess): string {
  const named = failures.map(({ site, reason, message }) => `${site} (${reason}: ${message})`);
  const budget = isWhole ? 'the budget' : `the budget of wave ${wave}`;
  return `${counted(failures.length, 'site')} failed, ${budget} allows ${allowed}: ${someOf(named)}`;
}

function reverting({ view, breach, revert }: PlannedState): string {
  const wave = view.board.waves[revert?.wave ?? -1]?.name;
  const where = wave === undefined ? 'sites' : `sites of wave ${wave}`;
  return `${breach?.message ?? 'the release is condemned'}: ${where} go back, waits for ${someOf(revert?.waiting ?? [])}${awayText(revert)}`;
}

function reverted({ view, breach, revert }: PlannedState): string {
  const { release } = view.input.release;
  const stuck =
    revert !== undefined && revert.stuck > 0
      ? `, but ${counted(revert.stuck, 'site')} had nothing to go back to and kept it`
      : '';
  return `${breach?.message ?? 'the release is condemned'}: sites are back at what they ran before${stuck}${awayText(revert)}; change the Application, or lift ${release} with \`selvedge rollout lift ${release}\``;
}

function awayText(revert: RevertState | undefined): string {
  return revert !== undefined && revert.away > 0 ? `; ${revert.away} away go back on return` : '';
}

function sitesWith(
  view: RolloutView,
  index: number,
  has: (verdict: SiteVerdict & { waitsFor?: string }) => boolean,
): string[] {
  return view.board
    .members(index)
    .filter(({ verdict }) => has(verdict))
    .map((site) => site.name);
}

function someOf(names: readonly string[]): string {
  const more = names.length - namesInMessage;
  return names.slice(0, namesInMessage).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** @returns the command for a person, quoted. Rollouts are named `<application>-<n>`. */
function command(
  { input }: RolloutView,
  verb: 'promote' | 'promote --skip-gates' | 'resume' | 'abort' | 'revert',
): string {
  const [name, flag] = verb.split(' ');
  const application = input.rollout.replace(/-\d+$/, '');
  return `\`selvedge rollout ${name} ${application}${flag === undefined ? '' : ` ${flag}`}\``;
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

import type { RolloutInput, SiteFailure } from './rollout-input.ts';
import { RolloutView } from './rollout-view.ts';
import type { SiteView } from './site-view.ts';
import type { WaveBoard } from './wave-board.ts';
import { sitesToDraw } from './wave-plan.ts';

/** What a rollout would do if all its waves began now. Sites that fall silent or ill meanwhile change it. */
export interface RolloutForecast {
  readonly waves: readonly ForecastWave[];
  /** Sites that cannot be given the release. */
  readonly blocked: readonly SiteFailure[];
  readonly held: readonly { readonly site: string; readonly reason: string; readonly message: string }[];
  /** Silent sites: no wave waits for them. */
  readonly away: readonly string[];
}

export interface ForecastWave {
  readonly name: string;
  readonly sites: readonly string[];
  /** It begins when a person says so. */
  readonly isManual: boolean;
  /** Its sites prepare first and activate together. */
  readonly isPrepared: boolean;
  readonly prepareSeconds: number;
  /** How long a site may take at most, once it activated. */
  readonly deadlineSeconds: number;
  readonly soakSeconds: number;
  /** The instant at which its sites activate, when the strategy says one. */
  readonly activateAt?: string;
}

/** For a rollout that has begun: what is drawn stays, the rest is forecast. */
export function forecastRollout(input: RolloutInput): RolloutForecast {
  const view = new RolloutView(input, false);
  const { board, strategy } = view;
  const drawn = forecastDraw(board, () => true);
  const { activateAt } = strategy.activation;
  const waves = board.waves.map((wave, index) => ({
    name: wave.name,
    sites: [...board.members(index), ...(drawn[index] ?? [])].map((site) => site.name),
    isManual: wave.isManual,
    isPrepared: strategy.thresholdPercent !== undefined,
    prepareSeconds: strategy.prepareSeconds,
    deadlineSeconds: strategy.deadlineSeconds,
    soakSeconds: wave.soakSeconds,
    ...(activateAt === undefined ? {} : { activateAt }),
  }));
  const blocked: SiteFailure[] = [];
  const held: { site: string; reason: string; message: string }[] = [];
  const away: string[] = [];
  for (const { name, verdict } of view.sites) {
    if (verdict.verdict === 'away' || verdict.verdict === 'overdue') away.push(name);
    else if (verdict.verdict === 'blocked' || verdict.verdict === 'held') {
      const { reason, message } = verdict;
      (verdict.verdict === 'blocked' ? blocked : held).push({ site: name, reason, message });
    }
  }
  return { waves, blocked, held, away };
}

/** Wave index → sites that it would draw, for the waves that are to draw, one after the other. Nothing is drawn. */
export function forecastDraw(board: WaveBoard, isToDraw: (index: number) => boolean): SiteView[][] {
  let left = board.undrawn.length > 0 ? board.candidates : [];
  let reached = 0;
  return board.waves.map((wave, index) => {
    const own = board.members(index).length;
    reached += own;
    if (left.length === 0 || !isToDraw(index)) return [];
    const taken = sitesToDraw(wave, left, { total: board.total, reached, own });
    const isTaken = new Set(taken.map(({ name }) => name));
    left =
      wave.draws.kind === 'UpTo' ? left.slice(taken.length) : left.filter(({ name }) => !isTaken.has(name));
    reached += taken.length;
    return taken;
  });
}

import type { Rollout, RolloutPhase, SiteCounts, WaveStatus } from '@selvedge/api';
import { type Gate, gatesOf, openWave } from './wave-gates.ts';

/** One rollout as it stands. */
export interface RolloutReport {
  readonly name: string;
  readonly namespace: string;
  readonly application: string;
  readonly release: string;
  readonly observedTime: string;
  readonly phase?: RolloutPhase;
  /** What the hub says that it waits for. */
  readonly message: string;
  readonly startTime?: string;
  readonly completionTime?: string;
  readonly sites?: SiteCounts;
  readonly waves: readonly WaveStatus[];
  /** What the wave under way has to meet. */
  readonly gates: readonly (Gate & { readonly wave: string })[];
  readonly failures: readonly { site: string; reason: string; message: string }[];
  readonly breach?: { time: string; wave: string; reason: string; message: string };
  /** Between the first site that switched and the last so far. */
  readonly activation?: { sites: number; firstTime: string; lastTime: string; skewSeconds: number };
  readonly isTrouble: boolean;
  /** Nothing more happens by itself, but what sites do that come back. */
  readonly isOver: boolean;
  /** What happens next, or has to be done. */
  readonly next: string;
  readonly commands: readonly string[];
}

const troubles: ReadonlySet<RolloutPhase> = new Set(['Reverting', 'Reverted', 'Aborted', 'Blocked']);
const endings: ReadonlySet<RolloutPhase> = new Set([
  'Completed',
  'Reverted',
  'Aborted',
  'Blocked',
  'Superseded',
]);

/** Pure. */
export function rolloutReport(rollout: Rollout, now: Date): RolloutReport {
  const { metadata, spec, status } = rollout;
  const phase = status?.phase;
  const wave = openWave(rollout);
  const isByPerson = spec.paused === true;
  const isBreached = phase === 'Paused' && (status?.failures ?? []).length > 0 && !isByPerson;
  const isTrouble = (phase !== undefined && troubles.has(phase)) || isBreached;
  const gates =
    wave === undefined || phase !== 'Progressing'
      ? []
      : gatesOf(rollout, wave, now).map((gate) => ({ ...gate, wave: wave.name }));
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    application: spec.application,
    release: spec.release,
    observedTime: now.toISOString(),
    ...(phase === undefined ? {} : { phase }),
    message: status?.message ?? 'the hub has not looked at it yet',
    ...(status?.startTime === undefined ? {} : { startTime: status.startTime }),
    ...(status?.completionTime === undefined ? {} : { completionTime: status.completionTime }),
    ...(status?.sites === undefined ? {} : { sites: status.sites }),
    waves: status?.waves ?? [],
    gates,
    failures: status?.failures ?? [],
    ...(status?.breach === undefined ? {} : { breach: status.breach }),
    ...activationOf(status?.activation),
    isTrouble,
    isOver: phase !== undefined && (endings.has(phase) || isBreached),
    ...nextOf(rollout, { isBreached, wave }),
  };
}

function activationOf(
  activation: { firstTime: string; lastTime: string; sites: number } | undefined,
): Pick<RolloutReport, 'activation'> {
  if (activation === undefined) return {};
  const skewSeconds = (Date.parse(activation.lastTime) - Date.parse(activation.firstTime)) / 1000;
  return { activation: { ...activation, skewSeconds } };
}

function nextOf(
  { metadata, spec, status }: Rollout,
  { isBreached, wave }: { isBreached: boolean; wave: WaveStatus | undefined },
): Pick<RolloutReport, 'next' | 'commands'> {
  const inNamespace = `-n ${metadata.namespace ?? 'default'}`;
  const command = (verb: string) => `selvedge rollout ${verb} ${metadata.name} ${inNamespace}`;
  const why = (status?.failures ?? [])
    .slice(0, 2)
    .map(({ site }) => `selvedge why ${site} ${spec.application} ${inNamespace}`);
  switch (status?.phase) {
    case undefined:
      return { next: 'The hub begins it within seconds.', commands: [] };
    case 'Progressing':
      return wave?.phase === 'AwaitingApproval'
        ? { next: `Wave ${wave.name} begins when a person says so.`, commands: [command('promote')] }
        : { next: 'It goes on by itself.', commands: why };
    case 'Paused':
      return isBreached
        ? {
            next: 'Mend the sites or apply a release that works; or accept the failures by a larger spec.strategy.budget of the Rollout.',
            commands: [...why, command('revert')],
          }
        : { next: 'It goes on when a person says so.', commands: [command('resume')] };
    case 'Completed':
      return { next: 'Away sites catch up by themselves when they are back.', commands: why };
    case 'Reverting':
      return { next: 'Sites go back by themselves, those of the last wave first.', commands: why };
    case 'Reverted':
    case 'Blocked':
      return {
        next: 'Apply a release that works. The same content is offered again only when a person lifts its condemnation.',
        commands: [...why, `selvedge rollout lift ${spec.release} ${inNamespace}`],
      };
    case 'Aborted':
      return {
        next: 'Sites keep what they have until a person goes on with it, takes it back, or applies another release.',
        commands: [command('resume'), command('revert')],
      };
    case 'Superseded':
      return {
        next: 'A newer rollout took its place.',
        commands: [`selvedge rollout status ${spec.application} ${inNamespace}`],
      };
  }
}

import { type Rollout, type RolloutPhase, type WaveStatus } from '@selvedge/api';
import { CommandError } from '../program/exit-code.ts';
import { gatesOf, openWave } from './wave-gates.ts';

export type ChangeKind = 'pause' | 'resume' | 'abort' | 'promote' | 'skipGates' | 'revert';

/** What a person's wish comes to. */
export interface RolloutChange {
  /** Merge patch of the Rollout's spec; absent: it is so already. */
  readonly patch?: Record<string, unknown>;
  /** What was done. */
  readonly done: string;
  /** What happens now. */
  readonly next: string;
}

/** Names that messages need. */
interface Named {
  readonly name: string;
  readonly inNamespace: string;
  readonly phase: RolloutPhase | undefined;
}

/**
 * Pure. Throws CommandError when the rollout is in no state for it; its hint says what to do instead. `newest` is the name of
 * the newest rollout of its application.
 */
export function planChange(
  kind: ChangeKind,
  rollout: Rollout,
  { now, newest }: { now: Date; newest: string },
): RolloutChange {
  const { name, namespace } = rollout.metadata;
  const named: Named = { name, inNamespace: `-n ${namespace ?? 'default'}`, phase: rollout.status?.phase };
  if (named.phase === 'Superseded' || name !== newest) {
    throw new CommandError(
      `${name} is history: a newer rollout of ${rollout.spec.application} took its place`,
      `Name the application to mean its newest: selvedge rollout status ${rollout.spec.application} ${named.inNamespace}`,
    );
  }
  return changes[kind](rollout, named, now);
}

const changes: Readonly<Record<ChangeKind, (rollout: Rollout, named: Named, now: Date) => RolloutChange>> = {
  pause({ spec }, { name, inNamespace, phase }) {
    refuseWhenOver({ name, inNamespace, phase }, 'There is nothing to pause');
    const next = `What runs, runs on; sites that are at it finish. It goes on with: selvedge rollout resume ${name} ${inNamespace}`;
    if (spec.paused === true) return { done: `${name} is paused already.`, next };
    return {
      patch: { paused: true },
      done: `${name} is paused: nothing more is offered or activated.`,
      next,
    };
  },

  resume(rollout, { name, inNamespace, phase }) {
    const { spec, status } = rollout;
    if (spec.paused === true || spec.stop === 'Abort') {
      return {
        patch: {
          ...(spec.paused === true ? { paused: false } : {}),
          ...(spec.stop === 'Abort' ? { stop: null } : {}),
        },
        done: `${name} goes on.`,
        next: `See it with: selvedge rollout watch ${name} ${inNamespace}`,
      };
    }
    refuseWhenOver({ name, inNamespace, phase }, 'There is nothing to resume');
    if (phase === 'Paused') {
      throw new CommandError(
        `${name} is not held by its spec.paused: ${status?.message ?? 'it stands still'}`,
        `Mend the sites or apply a release that works; or accept the failures: kubectl patch rollout ${name} ${inNamespace} --type merge -p '{"spec":{"strategy":{"budget":{"failed":N}}}}'. If spec.paused of the application is true: kubectl patch application ${spec.application} ${inNamespace} --type merge -p '{"spec":{"paused":false}}'`,
      );
    }
    return { done: `${name} is not paused (${phase ?? 'not begun'}).`, next: 'Nothing was changed.' };
  },

  abort({ spec }, { name, inNamespace, phase }) {
    const next = `Sites keep what they have; the release is not condemned. selvedge rollout resume ${name} ${inNamespace} goes on, selvedge rollout revert ${name} ${inNamespace} takes it back.`;
    if (spec.stop === 'Abort') return { done: `${name} was aborted already.`, next };
    if (phase === 'Completed') {
      throw new CommandError(
        `${name} is completed: every wave has passed`,
        `To take the release back: selvedge rollout revert ${name} ${inNamespace}; or apply the content of before.`,
      );
    }
    refuseWhenOver({ name, inNamespace, phase }, 'There is nothing to abort');
    return {
      patch: { stop: 'Abort' },
      done: `${name} is aborted: the release goes to no further site.`,
      next,
    };
  },

  revert({ spec }, { name, inNamespace, phase }) {
    const next = `Sites that took ${spec.release} go back, the last first. See it with: selvedge rollout watch ${name} ${inNamespace}`;
    if (spec.stop === 'Revert' || phase === 'Reverting')
      return { done: `${name} is being reverted already.`, next };
    if (phase === 'Reverted') return { done: `${name} was reverted already.`, next: 'Nothing was changed.' };
    refuseWhenOver({ name, inNamespace, phase }, 'There is nothing to revert');
    return {
      patch: { stop: 'Revert' },
      done: `${name} is being reverted: ${spec.release} is condemned and offered to nobody.`,
      next,
    };
  },

  promote(rollout, named, now) {
    const { name, inNamespace } = named;
    const wave = waveUnderWay(rollout, named);
    if (wave.phase !== 'AwaitingApproval') {
      const approved = rollout.spec.approvedWaves?.includes(wave.name) === true;
      if (approved && wave.phase === 'Waiting') {
        return { done: `Wave ${wave.name} is approved already.`, next: 'It begins when its turn has come.' };
      }
      throw new CommandError(
        `no wave of ${name} waits for approval: ${describe(rollout, wave, now)}`,
        `To waive soak, prepare threshold and minSample of ${wave.name}: selvedge rollout promote ${name} ${inNamespace} --skip-gates`,
      );
    }
    return {
      patch: { approvedWaves: [...(rollout.spec.approvedWaves ?? []), wave.name] },
      done: `Wave ${wave.name} of ${name} is approved: it begins with ${sites(wave.sites)}.`,
      next: `See it with: selvedge rollout watch ${name} ${inNamespace}`,
    };
  },

  skipGates(rollout, named) {
    const { name, inNamespace } = named;
    const wave = waveUnderWay(rollout, named);
    if (wave.phase === 'AwaitingApproval') {
      throw new CommandError(
        `wave ${wave.name} of ${name} has not begun: it waits for approval`,
        `Let it begin: selvedge rollout promote ${name} ${inNamespace}`,
      );
    }
    const next = 'Failures still count: the budgets of the wave and of the whole stand.';
    if (rollout.spec.waivedWaves?.includes(wave.name) === true) {
      return { done: `The gates of wave ${wave.name} are waived already.`, next };
    }
    return {
      patch: { waivedWaves: [...(rollout.spec.waivedWaves ?? []), wave.name] },
      done: `Soak, prepare threshold and minSample of wave ${wave.name} of ${name} are waived.`,
      next,
    };
  },
};

const endings: Partial<Record<RolloutPhase, string>> = {
  Reverting: 'is being reverted',
  Reverted: 'was reverted: its release is condemned',
  Blocked: 'is blocked: its release was condemned before',
};

function refuseWhenOver({ name, inNamespace, phase }: Named, nothing: string): void {
  const ending = phase === undefined ? undefined : endings[phase];
  if (ending === undefined) return;
  const lift =
    phase === 'Reverting'
      ? `Watch it: selvedge rollout watch ${name} ${inNamespace}`
      : `Apply a release that works, or allow this one again: selvedge rollout lift RELEASE ${inNamespace}`;
  throw new CommandError(`${name} ${ending}. ${nothing}`, lift);
}

function waveUnderWay(rollout: Rollout, named: Named): WaveStatus {
  const { name, inNamespace, phase } = named;
  refuseWhenOver(named, 'There is no wave to promote');
  if (phase === 'Paused' || phase === 'Aborted') {
    throw new CommandError(
      `${name} is ${phase}: ${rollout.status?.message ?? 'it stands still'}`,
      `First let it go on: selvedge rollout resume ${name} ${inNamespace}`,
    );
  }
  const wave = openWave(rollout);
  if (wave !== undefined) return wave;
  throw new CommandError(
    phase === undefined ? `${name} has not begun yet` : `every wave of ${name} has passed`,
    phase === undefined ? 'Try again in a moment.' : undefined,
  );
}

function describe(rollout: Rollout, wave: WaveStatus, now: Date): string {
  const open = gatesOf(rollout, wave, now).filter(({ isMet }) => !isMet);
  const waits = open.length === 0 ? '' : `; ${open.map(({ text }) => text).join('; ')}`;
  return `${wave.name} is ${wave.phase}${waits}`;
}

function sites(count: number): string {
  return count === 1 ? '1 site' : `${count} sites`;
}

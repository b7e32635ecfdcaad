import type { WaveStatus } from '@selvedge/api';
import { formatAgo } from '../render/age.ts';
import type { WhyFacts } from './why-facts.ts';
import type { WhyStep } from './why-step.ts';

/** The rollout, what ended it, the wave of the site, and what that waits for. */
export function rolloutSteps(facts: WhyFacts): WhyStep[] {
  const { rollout, now } = facts;
  if (rollout === undefined) return [];
  const { status } = rollout;
  const since = status?.startTime === undefined ? '' : `, begun ${formatAgo(status.startTime, now)}`;
  const { breach } = status ?? {};
  const condemned = facts.release?.status?.condemned;
  // What condemned the release is told there, and not again.
  const isTold = breach !== undefined && condemned?.message === breach.message;
  const said = status?.message ?? '';
  const rest =
    isTold && said.startsWith(`${breach.message}: `) ? said.slice(breach.message.length + 2) : said;
  const message = rest === '' ? '' : `: ${rest}`;
  const steps: WhyStep[] = [
    {
      topic: 'Rollout',
      text: `${rollout.metadata.name} is ${status?.phase ?? 'not begun'}${since}${message}`,
      ...(status?.startTime === undefined ? {} : { time: status.startTime }),
    },
  ];
  if (breach !== undefined && !isTold) {
    const where = breach.wave === '' ? '' : ` in wave ${breach.wave}`;
    const text = `${breach.reason}${where} ${formatAgo(breach.time, now)}: ${breach.message}`;
    steps.push({ topic: 'Rollout', text, time: breach.time, isFault: true });
  }
  return [...steps, ...waveSteps(facts), ...gateSteps(facts)];
}

function waveSteps(facts: WhyFacts): WhyStep[] {
  const { ownWave, openWave, nextWave, isAssigned, delivery, failure } = facts;
  if (ownWave !== undefined) return [{ topic: 'Wave', ...describeWave(facts, ownWave) }];
  if (isAssigned) {
    const text = delivery?.spec.wave ? `the site came in with wave ${delivery.spec.wave}` : undefined;
    return text === undefined ? [] : [{ topic: 'Wave', text }];
  }
  const phase = facts.rollout?.status?.phase;
  if (openWave === undefined || (phase !== 'Progressing' && phase !== 'Paused')) return [];
  const open = describeWave(facts, openWave);
  if (failure !== undefined && (facts.missingVariables.length > 0 || facts.missingNodeGroups.length > 0)) {
    const want = facts.missingVariables.length > 0 ? 'the variable' : 'a node group';
    const text = `a wave has drawn the site and counts it as failed, for want of ${want}; under way is ${open.text}`;
    return [{ topic: 'Wave', text, isFault: true }];
  }
  if (openWave.phase === 'Waiting' || openWave.phase === 'AwaitingApproval') {
    return [{ topic: 'Wave', text: `the site is in none yet: the next to draw its sites is ${open.text}` }];
  }
  const next =
    nextWave === undefined
      ? 'the site joins as soon as the rollout goes on'
      : `a wave draws its sites when it begins; the next is ${nextWave.name}, with ${siteCount(nextWave.sites)}`;
  return [
    { topic: 'Wave', text: `the site is in none yet: ${next}` },
    { topic: 'Wave', text: `before it comes ${open.text}`, ...(open.time ? { time: open.time } : {}) },
  ];
}

function describeWave({ now }: WhyFacts, wave: WaveStatus): { text: string; time?: string } {
  const parts = (['succeeded', 'prepared', 'pending', 'failed', 'held', 'away', 'reverted'] as const)
    .filter((field) => wave[field] > 0)
    .map((field) => `${wave[field]} ${field}`);
  const counts = parts.length === 0 ? '' : `: ${parts.join(', ')}`;
  const phase = wave.phase === 'Passed' ? `passed ${formatAgo(wave.passTime, now)}` : wave.phase;
  const time = wave.passTime ?? wave.startTime;
  return {
    text: `${wave.name} (${phase}) of ${siteCount(wave.sites)}${counts}`,
    ...(time === undefined ? {} : { time }),
  };
}

/** What the wave waits for; a gate that is met explains nothing. */
function gateSteps({ gates }: WhyFacts): WhyStep[] {
  const open = gates.filter(({ isMet }) => !isMet);
  return open.length === 0 ? [] : [{ topic: 'Gate', text: open.map(({ text }) => text).join('; ') }];
}

function siteCount(count: number): string {
  return count === 1 ? '1 site' : `${count} sites`;
}

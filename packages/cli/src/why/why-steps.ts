import type { WaveStatus } from '@selvedge/api';
import { formatAge, formatAgo, secondsSince } from '../render/age.ts';
import { soakEnd, type WhyFacts } from './why-facts.ts';

/** One link of the chain. */
export interface WhyStep {
  readonly topic: 'Placement' | 'Release' | 'Rollout' | 'Wave' | 'Assignment' | 'Site' | 'Report' | 'Running';
  readonly text: string;
  /** When what `text` says came to be. */
  readonly time?: string;
  /** This link is what is wrong. */
  readonly isFault?: boolean;
}

/** From what is wanted to what is. */
export function chainOf(facts: WhyFacts): WhyStep[] {
  return [
    placementStep(facts),
    ...releaseSteps(facts),
    ...(facts.isSelected ? [...rolloutSteps(facts), ...waveSteps(facts)] : []),
    ...assignmentSteps(facts),
    ...siteSteps(facts),
    ...reportSteps(facts),
    ...runningSteps(facts),
  ];
}

function placementStep({ isSelected, mismatches }: WhyFacts): WhyStep {
  if (isSelected) return { topic: 'Placement', text: "the application's siteSelector matches the site" };
  const text = `the application's siteSelector does not match the site: ${mismatches.map((m) => m.text).join('; ')}`;
  return { topic: 'Placement', text, isFault: true };
}

function releaseSteps({ application, release, now, ...facts }: WhyFacts): WhyStep[] {
  const steps: WhyStep[] = [];
  const name = application.status?.release;
  if (name !== undefined) {
    const made = release?.metadata.creationTimestamp;
    const digest = release === undefined ? '' : ` (${release.spec.digest.slice(0, 19)}…)`;
    const text = `${name}${digest}${made === undefined ? '' : `, made ${formatAgo(made, now)}`}`;
    steps.push({ topic: 'Release', text, ...(made === undefined ? {} : { time: made }) });
  } else if (facts.sourceFault === undefined) {
    steps.push({ topic: 'Release', text: 'none yet: the hub has not rendered the application' });
  }
  if (facts.sourceFault !== undefined) {
    const text = `the present spec gives no release: ${facts.sourceFault}`;
    steps.push({ topic: 'Release', text, isFault: true });
  } else if (name !== undefined && facts.isUnobserved) {
    steps.push({ topic: 'Release', text: 'the hub has not looked at the newest change of the spec yet' });
  }
  if (facts.missingVariables.length > 0 && facts.isSelected) {
    const list = facts.missingVariables.join(', ');
    const text = `it uses site variables that the site does not define: ${list}`;
    steps.push({ topic: 'Release', text, isFault: true });
  }
  return steps;
}

function rolloutSteps({ rollout, now }: WhyFacts): WhyStep[] {
  if (rollout === undefined) return [];
  const { status } = rollout;
  const since = status?.startTime === undefined ? '' : `, begun ${formatAgo(status.startTime, now)}`;
  const message = status?.message === undefined || status.message === '' ? '' : `: ${status.message}`;
  return [
    {
      topic: 'Rollout',
      text: `${rollout.metadata.name} is ${status?.phase ?? 'not begun'}${since}${message}`,
      ...(status?.startTime === undefined ? {} : { time: status.startTime }),
    },
  ];
}

function waveSteps(facts: WhyFacts): WhyStep[] {
  const { ownWave, openWave, nextWave, isAssigned, delivery } = facts;
  if (ownWave !== undefined) return [{ topic: 'Wave', ...describeWave(facts, ownWave) }];
  if (isAssigned) {
    const text = delivery?.spec.wave ? `the site came in with wave ${delivery.spec.wave}` : undefined;
    return text === undefined ? [] : [{ topic: 'Wave', text }];
  }
  if (openWave === undefined) return [];
  const open = describeWave(facts, openWave);
  if (openWave.phase === 'Waiting')
    return [{ topic: 'Wave', text: `no wave has begun; first is ${open.text}` }];
  const next =
    nextWave === undefined
      ? 'the site joins as soon as the rollout goes on'
      : `a wave draws its sites when it begins; the next is ${nextWave.name}, with ${siteCount(nextWave.sites)}`;
  return [
    { topic: 'Wave', text: `the site is in none yet: ${next}` },
    { topic: 'Wave', text: `before it comes ${open.text}`, ...(open.time ? { time: open.time } : {}) },
  ];
}

function describeWave(facts: WhyFacts, wave: WaveStatus): { text: string; time?: string } {
  const parts = (['succeeded', 'pending', 'failed', 'away'] as const)
    .filter((field) => wave[field] > 0)
    .map((field) => `${wave[field]} ${field}`);
  const counts = parts.length === 0 ? '' : `: ${parts.join(', ')}`;
  const end = wave.phase === 'Soaking' ? soakEnd(facts, wave) : undefined;
  const rest = end === undefined ? 0 : (end.getTime() - facts.now.getTime()) / 1000;
  const soak = rest > 0 ? `; it soaks for another ${formatAge(rest)}` : '';
  const phase = wave.phase === 'Passed' ? `passed ${formatAgo(wave.passTime, facts.now)}` : wave.phase;
  const time = wave.passTime ?? wave.startTime;
  return {
    text: `${wave.name} (${phase}) of ${siteCount(wave.sites)}${counts}${soak}`,
    ...(time === undefined ? {} : { time }),
  };
}

function assignmentSteps({ delivery, application, isAssigned, now }: WhyFacts): WhyStep[] {
  if (delivery === undefined) return [];
  const { spec } = delivery;
  const by = spec.rollout ? ` by ${spec.rollout}${spec.wave ? `, wave ${spec.wave}` : ''}` : '';
  const ago = formatAgo(spec.assignedTime, now);
  if (spec.release === undefined) {
    return [{ topic: 'Assignment', text: `told to remove it ${ago}`, time: spec.assignedTime }];
  }
  const text = isAssigned
    ? `given to the site ${ago}${by}, as epoch ${spec.epoch} of its desired state`
    : `the site is still to run ${spec.release}, given ${ago}${by}, and not ${application.status?.release ?? 'a newer one'} yet`;
  return [{ topic: 'Assignment', text, time: spec.assignedTime }];
}

function siteSteps({ site, connectivity, lastSeenTime, siteFaults, now }: WhyFacts): WhyStep[] {
  const version = site.status?.agent?.version;
  const agent = version === undefined ? '' : `, agent ${version}`;
  const seen = lastSeenTime === undefined ? '' : `, last heard of ${formatAgo(lastSeenTime, now)}`;
  const words = {
    Connected: `in touch${seen}${agent}`,
    Away: `away${seen}${agent}; that is a state, not a fault`,
    Overdue: `silent for longer than the ${site.spec?.connectivity?.expected ?? '24h'} that it may be${seen}${agent}`,
    NeverConnected: 'no agent has ever connected',
  } as const;
  const time = lastSeenTime === undefined ? {} : { time: lastSeenTime };
  const isFault = connectivity === 'Overdue' ? { isFault: true } : {};
  return [
    { topic: 'Site', text: words[connectivity], ...time, ...isFault },
    ...siteFaults.map((text): WhyStep => ({ topic: 'Site', text, isFault: true })),
  ];
}

function reportSteps(facts: WhyFacts): WhyStep[] {
  const { delivery, isAssigned, failure, now } = facts;
  const steps: WhyStep[] = [];
  const observedTime = delivery?.status.observedTime;
  // Pending is the hub's own word while the agent has not spoken of this very assignment.
  if (delivery !== undefined && observedTime !== undefined && delivery.status.state !== 'Pending') {
    const { state, sinceTime, reason, message, pods } = delivery.status;
    const since = sinceTime === undefined ? '' : ` for ${formatAge(secondsSince(sinceTime, now))}`;
    const ready = pods === undefined ? '' : `, ${pods.ready} of ${pods.wanted} pods ready`;
    const why = [reason, message].filter((part) => part).join(': ');
    const isFault = ['Failed', 'Refused', 'Degraded'].includes(state);
    steps.push({
      topic: 'Report',
      text: `${state}${since}${ready}, as the agent saw it ${formatAgo(observedTime, now)}${why === '' ? '' : `; ${why}`}`,
      time: observedTime,
      ...(isFault ? { isFault } : {}),
    });
  } else if (isAssigned) {
    const older =
      observedTime === undefined ? '' : `; what it last said is from ${formatAgo(observedTime, now)}`;
    steps.push({ topic: 'Report', text: `the agent has not said anything of this release yet${older}` });
  }
  if (failure !== undefined && delivery?.status.reason !== failure.reason) {
    const text = `the hub counts the site as failed: ${failure.reason}: ${failure.message}`;
    steps.push({ topic: 'Report', text, isFault: true });
  }
  return steps;
}

function runningSteps({ delivery, application }: WhyFacts): WhyStep[] {
  const running = delivery?.status.runningRelease;
  if (delivery === undefined || delivery.status.observedTime === undefined) return [];
  if (running === application.status?.release) return [];
  const text = running === undefined ? 'nothing of it runs at the site' : `${running} runs at the site`;
  return [{ topic: 'Running', text }];
}

function siteCount(count: number): string {
  return count === 1 ? '1 site' : `${count} sites`;
}

import { formatProgress } from '@selvedge/api';
import { formatAge, formatAgo, secondsSince } from '../render/age.ts';
import { sourceFault } from '../status/status-report.ts';
import type { WhyFacts } from './why-facts.ts';
import { rolloutSteps } from './why-rollout-steps.ts';
import { siteSteps } from './why-site-steps.ts';
import type { WhyStep } from './why-step.ts';

/** From what is wanted to what is. */
export function chainOf(facts: WhyFacts): WhyStep[] {
  return [
    placementStep(facts),
    ...guardSteps(facts),
    ...sourceSteps(facts),
    ...releaseSteps(facts),
    ...(facts.isSelected ? rolloutSteps(facts) : []),
    ...assignmentSteps(facts),
    ...siteSteps(facts),
    ...reportSteps(facts),
    ...driftSteps(facts),
    ...waitingSteps(facts),
    ...localSteps(facts),
    ...runningSteps(facts),
  ];
}

function placementStep({ isSelected, isMirrored, mismatches }: WhyFacts): WhyStep {
  if (isMirrored) {
    const text =
      'the application is taken from this site (spec.source.mirror), or was (status.mirroredSites), so it is not brought there';
    return { topic: 'Placement', text };
  }
  if (isSelected) return { topic: 'Placement', text: "the application's siteSelector matches the site" };
  const text = `the application's siteSelector does not match the site: ${mismatches.map((m) => m.text).join('; ')}`;
  return { topic: 'Placement', text, isFault: true };
}

/** A removal that waits for a person, of this site or of the application from this site. */
function guardSteps({ application, site, isRemovalHeld }: WhyFacts): WhyStep[] {
  if (!isRemovalHeld) return [];
  const held = site.status?.heldRemoval ?? application.status?.heldRemoval;
  if (held === undefined) return [];
  const text = `a removal is held, of ${held.sites} of ${held.of} sites: ${held.message}`;
  return [{ topic: 'Guard', text, time: held.sinceTime, isFault: true }];
}

/** Of an application whose manifests come from elsewhere. */
function sourceSteps({ application, now }: WhyFacts): WhyStep[] {
  const { source } = application.status ?? {};
  const fault = sourceFault(application);
  const steps: WhyStep[] = [];
  if (source !== undefined) {
    const text = `${source.kind} ${source.revision}, read ${formatAgo(source.readTime, now)}`;
    steps.push({ topic: 'Source', text, time: source.readTime });
  }
  if (fault !== undefined) {
    const { reason, message, lastTransitionTime: time } = fault;
    const text = `nothing new has come from it for ${formatAge(secondsSince(time, now))}: ${reason}: ${message}`;
    steps.push({ topic: 'Source', text, time, isFault: true });
  }
  return steps;
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
  const { condemned, lifted } = release?.status ?? {};
  if (condemned !== undefined) {
    const text = `condemned in ${condemned.rollout} ${formatAgo(condemned.time, now)} (${condemned.reason}): ${condemned.message}`;
    steps.push({ topic: 'Release', text, time: condemned.time, isFault: true });
  } else if (lifted !== undefined) {
    const text = `it was condemned once; ${lifted.by} lifted that ${formatAgo(lifted.time, now)}`;
    steps.push({ topic: 'Release', text, time: lifted.time });
  }
  if (facts.missingVariables.length > 0 && facts.isSelected) {
    const list = facts.missingVariables.join(', ');
    const text = `it uses site variables that the site does not define: ${list}`;
    steps.push({ topic: 'Release', text, isFault: true });
  }
  if (facts.overrideFaults.length > 0 && facts.isSelected) {
    const text = `the overrides that the labels of the site select do not go together: ${facts.overrideFaults.join('; ')}`;
    steps.push({ topic: 'Release', text, isFault: true });
  }
  if (facts.missingNodeGroups.length > 0 && facts.isSelected) {
    const text = `its pods run in node groups of which the site has none: ${facts.missingNodeGroups.join(', ')}`;
    steps.push({ topic: 'Release', text, isFault: true });
  }
  return steps;
}

function assignmentSteps(facts: WhyFacts): WhyStep[] {
  const { delivery, application, isAssigned, isCondemned, now } = facts;
  if (delivery === undefined) return [];
  const { spec } = delivery;
  const by = spec.rollout ? ` by ${spec.rollout}${spec.wave ? `, wave ${spec.wave}` : ''}` : '';
  const ago = formatAgo(spec.assignedTime, now);
  if (spec.release === undefined) {
    return [{ topic: 'Assignment', text: `told to remove it ${ago}`, time: spec.assignedTime }];
  }
  const newest = application.status?.release ?? 'a newer one';
  const isCatchingUp = !spec.wave && spec.release === application.status?.approvedRelease;
  const meanwhile = isCatchingUp ? ', the newest that every wave passed' : '';
  const text = isAssigned
    ? `given to the site ${ago}${by}, as epoch ${spec.epoch} of its desired state${termsText(facts)}`
    : `the site is ${isCondemned ? '' : 'still '}to run ${spec.release}${meanwhile}, given ${ago}${by}, and not ${newest}${isCondemned ? '' : ' yet'}`;
  return [{ topic: 'Assignment', text, time: spec.assignedTime }];
}

/** When it may take over; nothing of a site that has done so. */
function termsText({ delivery }: WhyFacts): string {
  const { activate, activateTime } = delivery?.spec ?? {};
  if (activate === undefined || delivery?.status.activatedTime !== undefined) return '';
  switch (activate) {
    case 'Hold':
      return ', to prepare only until its wave is ready';
    case 'Window':
      return '';
    case 'Now':
      return ', to take over at once, windows or not';
    case 'At':
      return `, to take over at ${activateTime ?? 'an instant'}`;
  }
}

function reportSteps(facts: WhyFacts): WhyStep[] {
  const { delivery, isAssigned, failure, now } = facts;
  const steps: WhyStep[] = [];
  const observedTime = delivery?.status.observedTime;
  // Pending is the hub's own word while the agent has not spoken of this very assignment.
  if (delivery !== undefined && observedTime !== undefined && delivery.status.state !== 'Pending') {
    const { state, sinceTime, reason, message, pods, activatedTime } = delivery.status;
    const switched = activatedTime === undefined ? '' : `, switched ${formatAgo(activatedTime, now)}`;
    const since = sinceTime === undefined ? '' : ` for ${formatAge(secondsSince(sinceTime, now))}`;
    const ready = pods === undefined ? '' : `, ${pods.ready} of ${pods.wanted} pods ready`;
    const why = [reason, message].filter((part) => part).join(': ');
    const isFault = ['Failed', 'Refused', 'Degraded'].includes(state);
    steps.push({
      topic: 'Report',
      text: `${state}${since}${ready}${switched}, as the agent saw it ${formatAgo(observedTime, now)}${why === '' ? '' : `; ${why}`}`,
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

/** What others changed at the site, where that is only to be reported. */
function driftSteps({ delivery }: WhyFacts): WhyStep[] {
  return (delivery?.status.drift ?? []).map((line) => {
    return { topic: 'Drift', text: `not as the release says, by others: ${line}`, isFault: true };
  });
}

/** What the site itself says that it waits for, how far preparing is, and what it decided by itself. */
function waitingSteps({ delivery, now }: WhyFacts): WhyStep[] {
  if (delivery === undefined) return [];
  const { state, progress, waiting, wentBack, runningRelease, sinceTime } = delivery.status;
  const steps: WhyStep[] = [];
  if (progress !== undefined && state === 'Preparing') {
    steps.push({ topic: 'Waiting', text: `is being prepared: ${formatProgress(progress, now)}` });
  }
  if (waiting !== undefined) {
    const rest = waiting.until === undefined ? 0 : (Date.parse(waiting.until) - now.getTime()) / 1000;
    const until = rest > 0 ? `, until ${waiting.until} (in ${formatAge(rest)})` : '';
    const message = waiting.message === undefined ? '' : `: ${waiting.message}`;
    steps.push({
      topic: 'Waiting',
      text: `for ${waitingWords[waiting.reason] ?? waiting.reason}${until}${message}`,
    });
  }
  if (wentBack !== undefined) {
    const to = runningRelease === undefined ? '' : ` to ${runningRelease}`;
    const ago = sinceTime === undefined ? '' : ` ${formatAgo(sinceTime, now)}`;
    const who =
      wentBack === 'RolledBackBySite' ? 'a person at the site took it back' : 'the site went back by itself';
    steps.push({
      topic: 'Report',
      text: `${who}${to}${ago}, and does not try this attempt again`,
      ...(sinceTime === undefined ? {} : { time: sinceTime }),
      isFault: true,
    });
  }
  return steps;
}

/** What was decided at the site lately: it went back, a person held it, released it, took it back. */
function localSteps({ localActs, now }: WhyFacts): WhyStep[] {
  return localActs.slice(0, 3).map(({ time, message }) => {
    return { topic: 'Local', text: `${formatAgo(time, now)}: ${message}`, time };
  });
}

const waitingWords: Readonly<Record<string, string>> = {
  DownloadWindow: 'its download window',
  ActivateWindow: 'its activate window',
  Blackout: 'the end of a blackout',
  Instant: 'the instant at which it is to switch',
  SiteHold: 'a person at the site, who holds it',
  HubHold: 'the hold of its Site to end',
  Hub: 'the hub to let its wave activate',
};

function runningSteps({ delivery, application }: WhyFacts): WhyStep[] {
  const running = delivery?.status.runningRelease;
  if (delivery === undefined || delivery.status.observedTime === undefined) return [];
  if (running === application.status?.release) return [];
  const text = running === undefined ? 'nothing of it runs at the site' : `${running} runs at the site`;
  return [{ topic: 'Running', text }];
}

import { formatAge } from '../render/age.ts';
import { deadlineOf, ownSoakEnd, type WhyFacts } from './why-facts.ts';
import type { WhyVerdict } from './why-verdict.ts';

/** What happens next by itself, or has to be done. */
export function nextStep(verdict: WhyVerdict, facts: WhyFacts): string {
  switch (verdict) {
    case 'Running':
      return afterSuccess(facts);
    case 'Progressing':
      return untilDeadline(facts);
    case 'Prepared':
      return whilePrepared(facts);
    case 'Held':
      return heldNext(facts);
    case 'Reverted':
      return revertedNext(facts);
    case 'RemovalHeld':
      return 'Nothing is removed until a person consents to exactly this set; what runs, runs on.';
    case 'Waiting':
      return whileWaiting(facts);
    case 'Away':
      return 'When the site is back it fetches the newest release by itself; nobody waits for it meanwhile, and what runs there goes on.';
    case 'NeverConnected':
      return 'Once an agent has joined as this site it is given the release.';
    case 'Degraded':
      return 'The agent goes on restarting what is unhealthy; a release that works also ends this.';
    case 'Failed':
      return `${goesOn(facts)} ${failedNext(facts)}`;
    case 'Refused':
      return `${goesOn(facts)} Change what the reason names and apply again.`;
    case 'Blocked':
      if (facts.overrideFaults.length > 0) {
        return 'Change the overrides of the application, or the labels of the Site; the site is given the release then.';
      }
      return facts.missingVariables.length > 0
        ? "Set the variable in the Site's spec.variables; the site is given the release then."
        : "Add a group to the Site's spec.nodeGroups, or name one that it has in spec.placement.nodeGroups of the application; the site is given the release then.";
    case 'NotReleased':
      return facts.sourceFault === undefined
        ? 'The hub makes a release within seconds of a change; if it does not, its log says why.'
        : 'Mend the application and apply it again.';
    case 'NotSelected':
      return notSelectedNext(facts);
    case 'Removing':
      return facts.connectivity === 'Connected'
        ? 'The agent removes it now.'
        : 'The site removes it when it is back; until then it goes on running.';
    case 'NotFound':
      return '';
  }
}

/** Commands for a person who wants to know more or to mend it. */
export function nextCommands(verdict: WhyVerdict, facts: WhyFacts): string[] {
  const site = facts.site.metadata.name;
  const { name, namespace } = facts.application.metadata;
  const inNamespace = `-n ${namespace ?? 'default'}`;
  const aboutSite =
    facts.siteFaults.length > 0 || facts.connectivity === 'Overdue' ? [`selvedge site show ${site}`] : [];
  switch (verdict) {
    case 'NotSelected': {
      const mends = facts.mismatches.map((m) => m.mend).filter((mend) => mend !== undefined);
      const isEnough = mends.length === facts.mismatches.length;
      return isEnough ? [`kubectl label site ${site} ${mends.join(' ')} --overwrite`] : [];
    }
    case 'NeverConnected':
      return [`selvedge site token ${site}`];
    case 'Blocked': {
      const own = facts.missingVariables.filter((variable) => !variable.includes('.'));
      if (facts.overrideFaults.length > 0) return [`selvedge render ${name} --site ${site} ${inNamespace}`];
      if (own.length === 0) return [`kubectl edit site ${site}`];
      const variables = Object.fromEntries(own.map((variable) => [variable, 'VALUE']));
      const patch = JSON.stringify({ spec: { variables } });
      return [`kubectl patch site ${site} --type merge -p '${patch}'`];
    }
    case 'NotReleased':
      return [`kubectl describe application ${name} ${inNamespace}`];
    case 'Held':
      return facts.hold?.reason === 'HubHold'
        ? [`selvedge site release ${site}`]
        : facts.hold?.reason === 'HubBehind'
          ? [`selvedge site adopt ${site}`, `selvedge site override ${site}`]
          : [`selvedge site show ${site}`];
    case 'Reverted':
      return [
        ...statusOf(facts),
        ...(facts.release === undefined
          ? []
          : [`selvedge rollout lift ${facts.release.metadata.name} ${inNamespace}`]),
      ];
    case 'RemovalHeld':
      return facts.site.status?.heldRemoval === undefined
        ? [`selvedge removal show ${name} ${inNamespace}`]
        : [`kubectl describe site ${site}`];
    case 'Waiting':
      return facts.application.spec.paused === true
        ? [`kubectl patch application ${name} ${inNamespace} --type merge -p '{"spec":{"paused":false}}'`]
        : [...promote(facts), ...statusOf(facts), ...aboutSite];
    case 'Failed':
    case 'Refused':
    case 'Degraded':
      return [
        `kubectl get delivery ${name}.${site} ${inNamespace} -o yaml`,
        ...statusOf(facts),
        ...aboutSite,
      ];
    default:
      return aboutSite;
  }
}

function afterSuccess(facts: WhyFacts): string {
  if ((facts.delivery?.status.drift ?? []).length > 0) {
    return 'Nothing: what others changed there is left so; spec.apply.drift: Correct puts it back.';
  }
  if (facts.sourceFault !== undefined) return 'Nothing: the newest spec of the application gives no release.';
  const end = ownSoakEnd(facts);
  if (end !== undefined && end > facts.now) {
    const rest = formatAge((end.getTime() - facts.now.getTime()) / 1000);
    const then =
      facts.nextWave === undefined ? 'the rollout is complete' : `wave ${facts.nextWave.name} begins`;
    return `If its wave stays healthy for another ${rest}, ${then}.`;
  }
  return 'Nothing: the site runs what is wanted.';
}

function untilDeadline(facts: WhyFacts): string {
  const waiting = facts.delivery?.status.waiting;
  if (waiting !== undefined) return 'It goes on by itself when that is over; no deadline runs meanwhile.';
  const deadline = deadlineOf(facts);
  if (deadline === undefined) return 'It goes on by itself.';
  const rest = (deadline.at.getTime() - facts.now.getTime()) / 1000;
  if (rest <= 0)
    return `Its time to be ${deadline.step} has passed; unless it is so at once it counts as failed.`;
  const back = deadline.step === 'healthy' ? ', and goes back by itself' : '';
  return `It has another ${formatAge(rest)} to be ${deadline.step}, then it counts as failed${back}.`;
}

function whilePrepared({ delivery, ownWave }: WhyFacts): string {
  switch (delivery?.status.waiting?.reason) {
    case 'Hub':
    case undefined:
      return ownWave?.phase === 'Preparing'
        ? 'It switches when enough sites of its wave have it prepared.'
        : 'It switches when it is its turn.';
    case 'Instant':
      return 'It switches at that instant, link or no link.';
    case 'ActivateWindow':
    case 'Blackout':
      return 'It switches when its window opens, link or no link.';
    default:
      return 'It switches when the hold is over; no deadline runs meanwhile.';
  }
}

function heldNext({ hold }: WhyFacts): string {
  switch (hold?.reason) {
    case 'HubBehind':
      return 'A person decides: adopt takes what the site runs as the truth, override makes it follow this hub.';
    case 'StateRefused':
      return 'The site runs on as it is; what it refuses has to be mended first.';
    case 'HubHold':
      return 'Nothing is activated there until the hold of the Site is taken away; no wave waits for it.';
    default:
      return 'Nothing is activated there until the person at the site releases it (selvedge-agent release); no wave waits for it.';
  }
}

function revertedNext(facts: WhyFacts): string {
  const { delivery } = facts;
  const to = delivery?.spec.release;
  const isBack = to !== undefined && delivery?.status.state === 'Running';
  const back =
    to === undefined || to === facts.application.status?.release
      ? 'The site keeps what it has.'
      : isBack
        ? `The site runs ${to}.`
        : `The site goes back to ${to}.`;
  return `${back} Apply a release that works; this one is offered again only when a person lifts it.`;
}

function failedNext({ rollout, delivery }: WhyFacts): string {
  if (rollout?.status?.phase === 'Reverting') return 'The hub takes the release back everywhere.';
  if (delivery?.status.wentBack === 'RolledBackBySite') {
    return 'A newer release, or a new rollout of this one, is tried there again.';
  }
  return 'Apply a release that works: it goes out by itself.';
}

function statusOf({ rollout, application }: WhyFacts): string[] {
  const { namespace = 'default' } = application.metadata;
  return rollout === undefined ? [] : [`selvedge rollout status ${rollout.metadata.name} -n ${namespace}`];
}

/** When it is a person that everything waits for. */
function promote({ gates, rollout, application }: WhyFacts): string[] {
  if (!gates.some(({ gate, isMet }) => gate === 'Approval' && !isMet)) return [];
  return [
    `selvedge rollout promote ${rollout?.metadata.name ?? ''} -n ${application.metadata.namespace ?? 'default'}`,
  ];
}

function whileWaiting(facts: WhyFacts): string {
  if (facts.application.spec.paused === true) {
    return 'Nothing until spec.paused of the application is false again.';
  }
  const phase = facts.rollout?.status?.phase;
  if (facts.rollout?.spec.paused === true) return 'Nothing until the rollout is resumed.';
  if (phase === 'Paused') return 'Nothing while the rollout stands still: apply a release that works.';
  if (phase === 'Aborted') return 'Nothing: the rollout was aborted; resume it, or apply another release.';
  const turn =
    facts.rollout === undefined
      ? 'The hub begins a rollout of the release, and the site gets it with its wave'
      : 'The site gets the release with its wave';
  const isSilent = facts.connectivity === 'Away' || facts.connectivity === 'Overdue';
  return isSilent ? `${turn}; being silent it holds nobody up, and catches up when it is back.` : `${turn}.`;
}

function goesOn({ delivery, application }: WhyFacts): string {
  const running = delivery?.status.runningRelease;
  if (running === undefined) return 'Nothing of it runs at the site.';
  return running === application.status?.release
    ? 'The parts that are healthy run on.'
    : `${running}, which ran before, runs on.`;
}

function notSelectedNext({ delivery, isMirrored }: WhyFacts): string {
  if (isMirrored)
    return 'Nothing: what runs there is, or was, the source, and what the application brought there before stays.';
  if (delivery?.spec.release !== undefined) return 'The hub tells the site to remove it.';
  return 'Nothing, until the labels of the site or the siteSelector change.';
}

import { formatAge } from '../render/age.ts';
import { deadlineOf, soakEnd, type WhyFacts } from './why-facts.ts';
import type { WhyVerdict } from './why-verdict.ts';

/** What happens next by itself, or has to be done. */
export function nextStep(verdict: WhyVerdict, facts: WhyFacts): string {
  switch (verdict) {
    case 'Running':
      return afterSuccess(facts);
    case 'Progressing':
      return untilDeadline(facts);
    case 'Waiting':
      return whileWaiting(facts);
    case 'Away':
      return 'When the site is back it fetches the newest release by itself; nobody waits for it meanwhile, and what runs there goes on.';
    case 'NeverConnected':
      return 'Once an agent has joined as this site it is given the release.';
    case 'Degraded':
      return 'The agent goes on restarting what is unhealthy; a release that works also ends this.';
    case 'Failed':
      return `${goesOn(facts)} Apply a release that works: it goes out by itself.`;
    case 'Refused':
      return `${goesOn(facts)} Change what the reason names and apply again.`;
    case 'Blocked':
      return "Set the variable in the Site's spec.variables; the site is given the release then.";
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
  const rollout = facts.rollout?.metadata.name;
  const describeRollout = rollout === undefined ? [] : [`kubectl describe rollout ${rollout} ${inNamespace}`];
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
      const variables = Object.fromEntries(facts.missingVariables.map((variable) => [variable, 'VALUE']));
      const patch = JSON.stringify({ spec: { variables } });
      return [`kubectl patch site ${site} --type merge -p '${patch}'`];
    }
    case 'NotReleased':
      return [`kubectl describe application ${name} ${inNamespace}`];
    case 'Waiting':
      return facts.application.spec.paused === true
        ? [`kubectl patch application ${name} ${inNamespace} --type merge -p '{"spec":{"paused":false}}'`]
        : [...describeRollout, ...aboutSite];
    case 'Failed':
    case 'Refused':
    case 'Degraded':
      return [
        `kubectl get delivery ${name}.${site} ${inNamespace} -o yaml`,
        ...describeRollout,
        ...aboutSite,
      ];
    default:
      return aboutSite;
  }
}

function afterSuccess(facts: WhyFacts): string {
  if (facts.sourceFault !== undefined) return 'Nothing: the newest spec of the application gives no release.';
  const { ownWave } = facts;
  const end = ownWave?.phase === 'Soaking' ? soakEnd(facts, ownWave) : undefined;
  if (end !== undefined && end > facts.now) {
    const rest = formatAge((end.getTime() - facts.now.getTime()) / 1000);
    const then =
      facts.nextWave === undefined ? 'the rollout is complete' : `wave ${facts.nextWave.name} begins`;
    return `If its wave stays healthy for another ${rest}, ${then}.`;
  }
  return 'Nothing: the site runs what is wanted.';
}

function untilDeadline(facts: WhyFacts): string {
  const deadline = deadlineOf(facts);
  const rest = deadline === undefined ? 0 : (deadline.getTime() - facts.now.getTime()) / 1000;
  if (rest <= 0) return 'Its deadline has passed; unless it is healthy at once it counts as failed.';
  return `It has another ${formatAge(rest)} to become healthy, then it counts as failed.`;
}

function whileWaiting(facts: WhyFacts): string {
  if (facts.application.spec.paused === true) {
    return 'Nothing until spec.paused of the application is false again.';
  }
  if (facts.rollout?.status?.phase === 'Paused') {
    return 'Nothing while the rollout stands still: apply a release that works.';
  }
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

function notSelectedNext({ delivery }: WhyFacts): string {
  if (delivery?.spec.release !== undefined) return 'The hub tells the site to remove it.';
  return 'Nothing, until the labels of the site or the siteSelector change.';
}

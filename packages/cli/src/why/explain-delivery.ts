import { nearNames } from './near-names.ts';
import { factsOf, type WhyFacts, type WhyInput } from './why-facts.ts';
import { nextCommands, nextStep } from './why-next.ts';
import type { WhyStep } from './why-step.ts';
import { chainOf } from './why-steps.ts';
import { verdictOf, type WhyVerdict } from './why-verdict.ts';

export type { WhyInput } from './why-facts.ts';

/** Why an application at a site is as it is: a chain from what is wanted to what is, and what comes next. */
export interface WhyReport {
  readonly site: string;
  readonly application: string;
  readonly namespace: string;
  readonly observedTime: string;
  readonly verdict: WhyVerdict;
  /** Somebody has to do something. */
  readonly isTrouble: boolean;
  /** One sentence. */
  readonly summary: string;
  /** Causes first. */
  readonly chain: readonly WhyStep[];
  /** Last lines of the container at fault. */
  readonly logs: readonly string[];
  readonly next: string;
  /** Commands that tell more or mend it. */
  readonly commands: readonly string[];
}

const troubles: ReadonlySet<WhyVerdict> = new Set([
  'Degraded',
  'Failed',
  'Refused',
  'Blocked',
  'NotReleased',
  'NotFound',
  'Reverted',
  'RemovalHeld',
]);

/** Pure: the same knowledge gives the same answer. */
export function explainDelivery(input: WhyInput): WhyReport {
  const { site, application } = input;
  if (site === undefined) return unknownSite(input);
  if (application === undefined) return unknownApplication(input);
  const facts = factsOf({ ...input, site, application });
  const verdict = verdictOf(facts);
  const isOutOfReach = facts.connectivity === 'Overdue' || facts.siteFaults.length > 0;
  const isPatient = verdict === 'NotReleased' && facts.sourceFault === undefined;
  return {
    ...subject(input),
    verdict,
    isTrouble: (troubles.has(verdict) && !isPatient) || (isOutOfReach && verdict !== 'NotSelected'),
    summary: summaryOf(verdict, facts),
    chain: chainOf(facts),
    logs: facts.isAssigned ? (facts.delivery?.status.logs ?? []) : [],
    next: nextStep(verdict, facts),
    commands: nextCommands(verdict, facts),
  };
}

function summaryOf(verdict: WhyVerdict, facts: WhyFacts): string {
  const site = facts.site.metadata.name;
  const application = facts.application.metadata.name;
  const isSilent = facts.connectivity === 'Away' || facts.connectivity === 'Overdue';
  const reason = facts.delivery?.status.reason ?? facts.failure?.reason;
  const because = reason === undefined ? '' : `: ${reason}`;
  switch (verdict) {
    case 'Running':
      return isSilent
        ? `${application} ran as wanted at ${site} when it was last heard of; the site is silent now`
        : `${application} runs as wanted at ${site}`;
    case 'Progressing':
      return `${site} is bringing up the wanted release of ${application}`;
    case 'Prepared':
      return `${site} has the wanted release of ${application} prepared and has not switched to it yet`;
    case 'Held':
      return `nothing new is activated at ${site}: ${facts.hold?.message ?? 'it is held'}`;
    case 'Reverted':
      return `the newest release of ${application} was condemned and is offered to no site`;
    case 'RemovalHeld':
      return `${application} is to be removed from ${site}, and a guard holds that for a person to approve`;
    case 'Waiting':
      return `${site} has not been given the wanted release of ${application} yet`;
    case 'Away':
      return `${site} is silent and has not said yet that it runs the wanted release of ${application}`;
    case 'NeverConnected':
      return `no agent has ever connected as ${site}`;
    case 'Degraded':
      return `${application} was healthy at ${site} and is not any more${because}`;
    case 'Failed':
      return `the wanted release of ${application} failed at ${site}${because}`;
    case 'Refused':
      return `${site} cannot honour the wanted release of ${application} and left everything as it was${because}`;
    case 'Blocked':
      return facts.missingVariables.length > 0
        ? `${site} lacks a variable that ${application} needs: ${facts.missingVariables.join(', ')}`
        : `${site} has none of the node groups that ${application} runs in: ${facts.missingNodeGroups.join(', ')}`;
    case 'NotReleased':
      return facts.sourceFault === undefined
        ? `${application} has no release yet`
        : `${application} has no release: ${facts.sourceFault}`;
    case 'NotSelected':
      return `${application} is not meant for ${site}`;
    case 'Removing':
      return `${application} is being removed from ${site}`;
    case 'NotFound':
      return '';
  }
}

function subject(input: WhyInput): Pick<WhyReport, 'site' | 'application' | 'namespace' | 'observedTime'> {
  return {
    site: input.siteName,
    application: input.applicationName,
    namespace: input.namespace,
    observedTime: input.now.toISOString(),
  };
}

function unknownSite(input: WhyInput): WhyReport {
  const near = nearNames(input.siteName, input.knownSites);
  return {
    ...subject(input),
    verdict: 'NotFound',
    isTrouble: true,
    summary: `there is no site ${input.siteName}`,
    chain: [],
    logs: [],
    next: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'Sites are made when an agent joins.',
    commands:
      near.length > 0
        ? near.map((name) => `selvedge why ${name} ${input.applicationName} -n ${input.namespace}`)
        : ['selvedge site list', `selvedge site token ${input.siteName}`],
  };
}

function unknownApplication(input: WhyInput): WhyReport {
  const near = nearApplications(input);
  const { siteName, namespace, applicationName, delivery } = input;
  const isRemoving = delivery?.status.state === 'Removing';
  return {
    ...subject(input),
    verdict: isRemoving ? 'Removing' : 'NotFound',
    isTrouble: !isRemoving,
    summary: isRemoving
      ? `the application ${applicationName} is gone and is being removed from ${siteName}`
      : `there is no application ${applicationName} in namespace ${namespace}`,
    chain: [],
    logs: [],
    next: isRemoving
      ? 'The site carries out the removal when it is in touch.'
      : near.length > 0
        ? `Did you mean ${near.join(' or ')}?`
        : 'Applications are made with kubectl apply.',
    commands:
      near.length > 0 && !isRemoving
        ? near.map((key) => {
            const [nearNamespace, name] = key.split('/');
            return `selvedge why ${siteName} ${name} -n ${nearNamespace}`;
          })
        : ['kubectl get applications -A'],
  };
}

/** The same name in another namespace first, then near names. */
function nearApplications({ namespace, applicationName, knownApplications }: WhyInput): string[] {
  const elsewhere = knownApplications.filter((key) => key.split('/')[1] === applicationName);
  if (elsewhere.length > 0) return elsewhere.slice(0, 3);
  const near = nearNames(
    applicationName,
    knownApplications.map((key) => key.split('/')[1] ?? ''),
  );
  const inNamespace = (key: string) => (key.startsWith(`${namespace}/`) ? 0 : 1);
  return knownApplications
    .filter((key) => near.includes(key.split('/')[1] ?? ''))
    .sort((a, b) => inNamespace(a) - inNamespace(b))
    .slice(0, 3);
}

import {
  type Application,
  type Delivery,
  isMirrored,
  isPlaced,
  parseDuration,
  type Release,
  type ResolveFaults,
  type Rollout,
  type Site,
  type SiteConnectivity,
  type WaveStatus,
} from '@selvedge/api';
import { type Gate, gatesOf, openWave as openWaveOf, plannedWave, soakEnd } from '../rollout/wave-gates.ts';
import { applicationFault, faultyConditions } from '../status/status-report.ts';
import { selectorMismatches } from './selector-mismatch.ts';

/** All that the hub knows of one application at one site; what it does not have is absent. */
export interface WhyInput {
  readonly now: Date;
  readonly siteName: string;
  readonly namespace: string;
  readonly applicationName: string;
  readonly site?: Site;
  readonly application?: Application;
  /** Newest release of the application. */
  readonly release?: Release;
  /** The rollout that brings it out. */
  readonly rollout?: Rollout;
  readonly delivery?: Delivery;
  /** Why the site cannot have the release, where overrides and declared variables decide that. */
  readonly faults?: ResolveFaults;
  /** What was done at the site with this application, by the agent or a person, newest first; as long as events are kept. */
  readonly localActs?: readonly LocalActEvent[];
  /** To find what a mistyped name was meant to be. */
  readonly knownSites: readonly string[];
  /** As `namespace/name`. */
  readonly knownApplications: readonly string[];
}

export interface LocalActEvent {
  readonly time: string;
  readonly message: string;
}

/** What follows from the input at first sight, for a site and an application that exist. */
export interface WhyFacts {
  readonly now: Date;
  readonly site: Site;
  readonly application: Application;
  readonly release?: Release;
  readonly rollout?: Rollout;
  readonly delivery?: Delivery;
  readonly connectivity: SiteConnectivity;
  readonly lastSeenTime?: string;
  readonly mismatches: readonly { text: string; mend?: string }[];
  readonly isSelected: boolean;
  /** The application is taken from this very site. */
  readonly isMirrored: boolean;
  /** The site is told to run the newest release. */
  readonly isAssigned: boolean;
  /** Of spec.variables of the Site by name; others as manifests write them: site.labels.KEY, variables.NAME. */
  readonly missingVariables: readonly string[];
  /** What the overrides that select the site cannot do together, and Helm values that are not rendered. */
  readonly overrideFaults: readonly string[];
  /** Node groups that the release asks for, where the site has none of them. */
  readonly missingNodeGroups: readonly string[];
  /** Why the application's present spec gives no release. */
  readonly sourceFault?: string;
  /** The hub has not looked at the newest spec yet. */
  readonly isUnobserved: boolean;
  /** The rollout's own verdict on this site. */
  readonly failure?: { reason: string; message: string };
  /** Wave of this site, else the first one that has not passed. */
  readonly ownWave?: WaveStatus;
  readonly openWave?: WaveStatus;
  readonly nextWave?: WaveStatus;
  readonly siteFaults: readonly string[];
  /** Why nothing that the hub wants is followed there now, by whom. */
  readonly hold?: { readonly reason: HoldReason; readonly message: string };
  /** What the wave of this site, else the one under way, has to meet. */
  readonly gates: readonly Gate[];
  readonly localActs: readonly LocalActEvent[];
  /** The newest release was condemned: it is offered to no site. */
  readonly isCondemned: boolean;
  /** The site is to lose the application, and a guard waits for a person. */
  readonly isRemovalHeld: boolean;
}

export type HoldReason = 'HubBehind' | 'StateRefused' | 'HubHold' | 'SiteHold' | 'ItemHold';

export function factsOf(input: WhyInput & { site: Site; application: Application }): WhyFacts {
  const { now, site, application, release, rollout, delivery } = input;
  const selector = application.spec.placement.siteSelector;
  const { labels } = site.metadata;
  const waves = rollout?.status?.waves ?? [];
  const openWave = rollout === undefined ? undefined : openWaveOf(rollout);
  const nextWave = openWave === undefined ? undefined : waves[waves.indexOf(openWave) + 1];
  const isAssigned = isOfNewestRelease(delivery, application);
  const isInRollout = isAssigned && delivery?.spec.rollout === rollout?.metadata.name;
  const ownWave = isInRollout ? waves.find((wave) => wave.name === delivery?.spec.wave) : undefined;
  const failure = rollout?.status?.failures?.find((f) => f.site === site.metadata.name);
  const sourceFault = applicationFault(application)?.message;
  const hold = holdOf(
    site,
    `Application/${application.metadata.namespace ?? ''}/${application.metadata.name}`,
  );
  const gateWave = ownWave?.phase === 'Passed' ? undefined : (ownWave ?? openWave);
  const lastSeenTime = site.status?.lastSeenTime ?? delivery?.status.lastSeenTime;
  return {
    now,
    site,
    application,
    ...(release === undefined ? {} : { release }),
    ...(rollout === undefined ? {} : { rollout }),
    ...(delivery === undefined ? {} : { delivery }),
    connectivity: site.status?.connectivity ?? delivery?.status.connectivity ?? 'NeverConnected',
    ...(lastSeenTime === undefined ? {} : { lastSeenTime }),
    isSelected: isPlaced(application, site),
    isMirrored: isMirrored(application, site),
    mismatches: selectorMismatches(labels, selector),
    isAssigned,
    missingVariables: missingVariablesOf(input),
    overrideFaults: overrideFaultsOf(input),
    missingNodeGroups: missingNodeGroupsOf(site, release),
    ...(sourceFault === undefined ? {} : { sourceFault }),
    isUnobserved: (application.status?.observedGeneration ?? 0) < (application.metadata.generation ?? 0),
    ...(failure === undefined ? {} : { failure }),
    ...(ownWave === undefined ? {} : { ownWave }),
    ...(openWave === undefined ? {} : { openWave }),
    ...(nextWave === undefined ? {} : { nextWave }),
    siteFaults: faultyConditions(site).map((condition) => condition.message),
    ...(hold === undefined ? {} : { hold }),
    gates:
      rollout?.status?.phase === 'Progressing' && gateWave !== undefined
        ? gatesOf(rollout, gateWave, now)
        : [],
    localActs: input.localActs ?? [],
    isCondemned: release?.status?.condemned !== undefined,
    isRemovalHeld: isRemovalHeld(input),
  };
}

/** One of those that the release names is enough. */
function missingNodeGroupsOf({ spec }: Site, release: Release | undefined): readonly string[] {
  const wanted = release?.spec.nodeGroups ?? [];
  return spec?.nodeGroups?.some(({ name }) => wanted.includes(name)) === true ? [] : wanted;
}

/** What the site cannot help comes before what people decided, as the hub sees it. */
function holdOf({ metadata, spec, status }: Site, item: string): WhyFacts['hold'] {
  const find = (type: string) => status?.conditions?.find((condition) => condition.type === type);
  const behind = find('HubBehind');
  if (behind?.status === 'True') return { reason: 'HubBehind', message: behind.message };
  const accepted = find('DesiredStateAccepted');
  if (accepted?.status === 'False') return { reason: 'StateRefused', message: accepted.message };
  if (spec?.hold) {
    const message = `held by the hub: ${spec.hold.reason} (selvedge site release ${metadata.name})`;
    return { reason: 'HubHold', message };
  }
  const holds = status?.holds ?? [];
  const own = holds.find((hold) => hold.item === undefined) ?? holds.find((hold) => hold.item === item);
  if (own === undefined) return undefined;
  const what = own.item === undefined ? 'the whole site' : 'this application';
  return {
    reason: own.item === undefined ? 'SiteHold' : 'ItemHold',
    message: `${what} is held at the site by ${own.by} since ${own.sinceTime}: ${own.reason}`,
  };
}

/** The status names only the first sites: whether this one is to leave follows from what is stored. */
function isRemovalHeld({ site, application, delivery }: WhyInput): boolean {
  if (site?.status?.heldRemoval !== undefined) return true;
  if (application?.status?.heldRemoval === undefined || delivery?.spec.release === undefined) return false;
  if (application.metadata.deletionTimestamp !== undefined) return true;
  return site === undefined || !(isPlaced(application, site) || isMirrored(application, site));
}

function isOfNewestRelease(delivery: Delivery | undefined, application: Application): boolean {
  const release = application.status?.release;
  return release !== undefined && delivery?.spec.release === release;
}

/**
 * When the site counts as failed if it is in touch until then and not further; absent: nothing runs against it, for it waits
 * for something that is no fault, or has not been given anything.
 */
export function deadlineOf(facts: WhyFacts): { step: 'prepared' | 'healthy'; at: Date } | undefined {
  const { delivery, rollout } = facts;
  if (delivery === undefined || delivery.status.waiting !== undefined) return undefined;
  const { strategy } = rollout?.spec ?? {};
  const { state, activatedTime } = delivery.status;
  if (state === 'Pending' || state === 'Preparing') {
    const limit = durationMilliseconds(strategy?.prepare?.deadline ?? '1h');
    return { step: 'prepared', at: new Date(Date.parse(delivery.spec.assignedTime) + limit) };
  }
  if (activatedTime === undefined && state !== 'Activating') return undefined;
  const from = Date.parse(activatedTime ?? delivery.status.sinceTime ?? delivery.spec.assignedTime);
  return { step: 'healthy', at: new Date(from + durationMilliseconds(strategy?.deadline ?? '10m')) };
}

/** End of the soak of this site's wave, when it soaks. */
export function ownSoakEnd({ rollout, ownWave }: WhyFacts): Date | undefined {
  if (rollout === undefined || ownWave?.phase !== 'Soaking') return undefined;
  return soakEnd(plannedWave(rollout, ownWave.name), ownWave);
}

function durationMilliseconds(text: string): number {
  return (parseDuration(text) ?? 0) * 1000;
}

/** Whether only the hub can say what a site lacks: it knows what the overrides leave of the manifests. */
export function needsDiffer(release: Release): boolean {
  return (release.spec.overrides ?? []).length + (release.spec.values ?? []).length > 0;
}

function missingVariablesOf({ release, site, faults }: WhyInput): string[] {
  if (release === undefined) return [];
  if (needsDiffer(release)) {
    return (faults?.missingVariables ?? []).map((value) => value.replace(/^site\.variables\./, ''));
  }
  const defined = site?.spec?.variables ?? {};
  return (release.spec.variables ?? []).filter((name) => !Object.hasOwn(defined, name));
}

function overrideFaultsOf({ faults }: WhyInput): string[] {
  if (faults === undefined) return [];
  const { overrides, notRendered } = faults;
  const helm = notRendered.join(' and ');
  return [
    ...overrides.map((fault) => `spec.${fault}`),
    ...(helm === '' ? [] : [`the chart is not rendered for the Helm values of ${helm} together`]),
  ];
}

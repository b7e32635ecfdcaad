import {
  type Application,
  type Delivery,
  matchesLabelSelector,
  parseDuration,
  type Release,
  type Rollout,
  type Site,
  type SiteConnectivity,
  type WaveStatus,
} from '@selvedge/api';
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
  /** To find what a mistyped name was meant to be. */
  readonly knownSites: readonly string[];
  /** As `namespace/name`. */
  readonly knownApplications: readonly string[];
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
  /** The site is told to run the newest release. */
  readonly isAssigned: boolean;
  readonly missingVariables: readonly string[];
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
}

export function factsOf(input: WhyInput & { site: Site; application: Application }): WhyFacts {
  const { now, site, application, release, rollout, delivery } = input;
  const selector = application.spec.placement.siteSelector;
  const { labels } = site.metadata;
  const waves = rollout?.status?.waves ?? [];
  const openIndex = waves.findIndex((wave) => wave.phase !== 'Passed');
  const openWave = waves[openIndex];
  const nextWave = openIndex < 0 ? undefined : waves[openIndex + 1];
  const isAssigned = isOfNewestRelease(delivery, application);
  const isInRollout = isAssigned && delivery?.spec.rollout === rollout?.metadata.name;
  const ownWave = isInRollout ? waves.find((wave) => wave.name === delivery?.spec.wave) : undefined;
  const failure = rollout?.status?.failures?.find((f) => f.site === site.metadata.name);
  const sourceFault = applicationFault(application)?.message;
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
    isSelected: matchesLabelSelector(labels, selector),
    mismatches: selectorMismatches(labels, selector),
    isAssigned,
    missingVariables: (release?.spec.variables ?? []).filter(
      (name) => site.spec?.variables === undefined || !Object.hasOwn(site.spec.variables, name),
    ),
    ...(sourceFault === undefined ? {} : { sourceFault }),
    isUnobserved: (application.status?.observedGeneration ?? 0) < (application.metadata.generation ?? 0),
    ...(failure === undefined ? {} : { failure }),
    ...(ownWave === undefined ? {} : { ownWave }),
    ...(openWave === undefined ? {} : { openWave }),
    ...(nextWave === undefined ? {} : { nextWave }),
    siteFaults: faultyConditions(site).map((condition) => condition.message),
  };
}

function isOfNewestRelease(delivery: Delivery | undefined, application: Application): boolean {
  const release = application.status?.release;
  return release !== undefined && delivery?.spec.release === release;
}

/** End of a wave's soak; absent while not all of it is healthy. */
export function soakEnd(facts: WhyFacts, wave: WaveStatus): Date | undefined {
  if (wave.healthySince === undefined) return undefined;
  const soak = facts.rollout?.spec.strategy.waves?.find((w) => w.name === wave.name)?.soak;
  return new Date(Date.parse(wave.healthySince) + durationMilliseconds(soak ?? '0s'));
}

/** When the site counts as failed if it is in touch until then and not healthy. */
export function deadlineOf(facts: WhyFacts): Date | undefined {
  if (facts.delivery === undefined) return undefined;
  const deadline = facts.rollout?.spec.strategy.deadline ?? '10m';
  return new Date(Date.parse(facts.delivery.spec.assignedTime) + durationMilliseconds(deadline));
}

function durationMilliseconds(text: string): number {
  return (parseDuration(text) ?? 0) * 1000;
}

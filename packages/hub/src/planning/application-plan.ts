import {
  type ApplicationPlanStatus,
  type ImmutableChange,
  type PlannedRemoval,
  type PlannedWave,
  type Site,
  type SitePolicy,
  sitePolicy,
} from '@selvedge/api';
import { judgeApplicationRemoval } from '../controllers/removal/application-guard.ts';
import { releaseFacts, releaseNeeds } from '../controllers/rollout/release-facts.ts';
import { nextRolloutNumber } from '../controllers/rollout/next-rollout-number.ts';
import { siteFacts } from '../controllers/rollout/site-facts.ts';
import { isProvenHubBehind } from '../resources/site-hold.ts';
import { counted } from '../rollout/counted.ts';
import { forecastRollout } from '../rollout/forecast-rollout.ts';
import { resolveStrategy } from '../rollout/resolve-strategy.ts';
import type { RolloutInput, SiteFacts } from '../rollout/rollout-input.ts';
import { lackOfCombination, lacksNodeGroups, siteLack } from '../rollout/site-lack.ts';
import { isKubernetesSite, planImmutableChanges } from './immutable-plan.ts';
import { manifestChanges, rulesChange } from './manifest-changes.ts';
import { type ImageKnowledge, planBytes } from './plan-bytes.ts';
import type { PlanKnowledge } from './plan-knowledge.ts';
import { plannedSites } from './planned-sites.ts';
import { sharedPolicy } from './shared-policy.ts';
import type { FoundReceivers } from './receivers.ts';
import { type SiteChanges, siteChanges } from './site-changes.ts';
import { typicalTimes, waveTimes, type WaveSite } from './wave-times.ts';

/** Sites that the release would be given to, as far as is known now: those that can take it and do not have it wanted. */
export function sitesToGive(knowledge: PlanKnowledge): Site[] {
  const { application, release, stored } = knowledge;
  if (stored?.status?.condemned) return [];
  const { added, changed } = siteChanges(application, release.spec.digest, knowledge);
  const given = new Set([...added, ...changed]);
  const needs = releaseNeeds(release);
  return knowledge.sites.filter(
    (site) => given.has(site.metadata.name) && siteLack(plannedFacts(site, knowledge), needs) === undefined,
  );
}

/** With what the site lacks for the planned release. */
function plannedFacts(site: Site, { resolver }: PlanKnowledge): SiteFacts {
  const { name, labels = {} } = site.metadata;
  const combination = resolver.combinationFor(labels);
  const missing = resolver.missingAt({ name, labels, variables: site.spec?.variables ?? {} }, combination);
  const lack = lackOfCombination({ ...combination, missing }, resolver.rules.variables ?? []);
  return { ...siteFacts(site), ...(lack === undefined ? {} : { lack }) };
}

/** Puts the plan together. Reads and writes nothing. */
export async function applicationPlan(
  knowledge: PlanKnowledge,
  found: FoundReceivers,
  images: ImageKnowledge,
): Promise<ApplicationPlanStatus> {
  const { application, release, stored, base, history } = knowledge;
  const { digest, sizeBytes } = release.spec;
  const sites = siteChanges(application, digest, knowledge);
  const condemned = stored?.status?.condemned;
  const [newest] = history;
  const beginsRollout = newest?.spec.digest !== digest;
  const waves = beginsRollout && condemned === undefined ? forecast(knowledge) : [];
  const { manifests, rules } = knowledge;
  const { namespace = '' } = application.metadata;
  const rulesDiff = rulesChange(base?.rules ?? {}, rules);
  const selected = [...sites.added, ...sites.changed, ...sites.unchanged];
  return {
    change: changeOf(knowledge, beginsRollout, sites.added.length + sites.removed.length),
    release: {
      name: release.metadata.name,
      digest,
      sizeBytes,
      ...(condemned === undefined
        ? {}
        : { condemned: { rollout: condemned.rollout, time: condemned.time, message: condemned.message } }),
    },
    ...(base === undefined ? {} : { base: base.name }),
    sites: {
      added: plannedSites(sites.added),
      changed: plannedSites(sites.changed),
      removed: plannedSites(sites.removed),
      unchanged: plannedSites(sites.unchanged),
    },
    manifests: await manifestChanges(base?.manifests ?? [], manifests, namespace),
    ...(rulesDiff === undefined ? {} : { rules: { diff: rulesDiff } }),
    ...immutableFieldsOf(knowledge, sites),
    waves,
    bytes: planBytes(found.receivers, sizeBytes, images),
    ...(sites.removed.length === 0 ? {} : { removal: removalOf(knowledge, sites) }),
    missingVariables: variablesMissing(knowledge, selected),
    ...nodeGroupsMissing(knowledge, selected),
    notes: notesOf(knowledge, found, { beginsRollout, sites }),
  };
}

function changeOf(
  { previous }: PlanKnowledge,
  beginsRollout: boolean,
  sitesMoved: number,
): ApplicationPlanStatus['change'] {
  if (previous === undefined) return 'Created';
  if (beginsRollout) return 'Changed';
  return sitesMoved > 0 ? 'PlacementOnly' : 'Unchanged';
}

/** Names as manifests write them, but those of spec.variables of the Site: these by themselves. */
function missingVariables({ metadata, spec }: Site, { resolver }: PlanKnowledge): string[] {
  const { name, labels = {} } = metadata;
  const facts = { name, labels, variables: spec?.variables ?? {} };
  const missing = resolver.missingAt(facts, resolver.combinationFor(labels));
  return missing.map((value) => value.replace(/^site\.variables\./, ''));
}

function variablesMissing(
  knowledge: PlanKnowledge,
  names: readonly string[],
): ApplicationPlanStatus['missingVariables'] {
  const selected = new Set(names);
  const lacking = new Map<string, string[]>();
  for (const site of knowledge.sites) {
    if (!selected.has(site.metadata.name)) continue;
    for (const variable of missingVariables(site, knowledge)) {
      const list = lacking.get(variable) ?? [];
      list.push(site.metadata.name);
      lacking.set(variable, list);
    }
  }
  return [...lacking]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([variable, sites]) => ({ variable, ...plannedSites(sites) }));
}

function nodeGroupsMissing(
  { release, sites }: PlanKnowledge,
  names: readonly string[],
): Pick<ApplicationPlanStatus, 'missingNodeGroups'> {
  const selected = new Set(names);
  const needs = releaseNeeds(release);
  const lacking = sites
    .filter((site) => selected.has(site.metadata.name) && lacksNodeGroups(siteFacts(site), needs))
    .map(({ metadata }) => metadata.name);
  if (lacking.length === 0) return {};
  return { missingNodeGroups: { ...plannedSites(lacking), nodeGroups: [...needs.nodeGroups] } };
}

/** Only where something of the application is there already, and Kubernetes looks after it. */
function immutableFieldsOf(
  { application, base, sites, manifests, rules }: PlanKnowledge,
  { changed }: SiteChanges,
): { immutableChanges?: ImmutableChange[] } {
  const concerned = new Set(changed);
  const isConcerned = sites.some((site) => concerned.has(site.metadata.name) && isKubernetesSite(site));
  if (base === undefined || !isConcerned) return {};
  const changes = planImmutableChanges(base, { manifests, rules }, application.metadata.namespace ?? '');
  return changes.length === 0 ? {} : { immutableChanges: changes };
}

/** What the guard would say; a site that is ahead of the hub takes no orders of it. */
function removalOf(
  { application, allRows, sites: known, now }: PlanKnowledge,
  { removed, added, changed, unchanged }: SiteChanges,
): PlannedRemoval {
  const behind = new Set(known.filter(isProvenHubBehind).map(({ metadata }) => metadata.name));
  const targets = removed.filter((site) => !behind.has(site));
  const isEmpty = added.length + changed.length + unchanged.length === 0;
  const wanted = { targets, rows: allRows, ...(isEmpty ? { doubt: 'SelectorEmpty' as const } : {}) };
  const { verdict } = judgeApplicationRemoval(application, wanted, now);
  return {
    isHeld: verdict.kind === 'Held',
    ...plannedSites(removed),
    ...(verdict.kind === 'Held' ? { reason: verdict.reason, message: verdict.message } : {}),
  };
}

/** Waves of the rollout that would begin, drawn by the engine itself. */
function forecast(knowledge: PlanKnowledge): PlannedWave[] {
  const { application, history, now } = knowledge;
  const input = rolloutInput(knowledge);
  const facts = new Map(input.sites.map((site) => [site.name, site]));
  const policies = policyReader(knowledge.sites);
  const waves = forecastRollout(input).waves.map(({ name, sites }) => ({
    name,
    sites: sites.map((site): WaveSite => {
      const known = facts.get(site);
      return {
        name: site,
        isAway: known?.connectedSince === undefined,
        isHeld: known?.held !== undefined,
        policy: policies(site),
      };
    }),
  }));
  return waveTimes(waves, resolveStrategy(application.spec.rollout ?? {}), {
    now,
    typical: typicalTimes(history),
  });
}

/** As the controller would hand it to the engine in the moment in which the rollout begins. */
function rolloutInput(knowledge: PlanKnowledge): RolloutInput {
  const { application, release, stored, history, sites, rows, heartbeats, now } = knowledge;
  const { name, uid = '' } = application.metadata;
  const number = nextRolloutNumber({
    application: knowledge.previous ?? application,
    rollouts: history,
    releases: knowledge.releases,
    rows: knowledge.allRows,
  });
  const changes = siteChanges(application, release.spec.digest, knowledge);
  const selected = new Set([...changes.added, ...changes.changed, ...changes.unchanged]);
  return {
    rollout: `${name}-${number}`,
    number,
    created: now.getTime(),
    applicationUid: uid,
    release: { ...releaseFacts(stored ?? release, history), ...releaseNeeds(release) },
    others: knowledge.releases
      .filter(({ spec }) => spec.digest !== release.spec.digest)
      .map((other) => releaseFacts(other, history)),
    strategy: application.spec.rollout ?? {},
    control: {
      isPaused: application.spec.paused === true,
      approvedWaves: new Set(),
      waivedWaves: new Set(),
    },
    seed: uid,
    sites: sites
      .filter(({ metadata }) => selected.has(metadata.name))
      .map((site): SiteFacts => {
        const lastSeen = heartbeats.get(site.metadata.name)?.lastSeenAt;
        return {
          ...plannedFacts(site, knowledge),
          ...(lastSeen === undefined ? {} : { lastSeen: Date.parse(lastSeen) }),
        };
      }),
    members: new Map(),
    rows,
    status: undefined,
    now: now.getTime(),
  };
}

function policyReader(sites: readonly Site[]): (site: string) => SitePolicy {
  const bySite = new Map(sites.map(({ metadata, spec }) => [metadata.name, sharedPolicy(spec)]));
  return (site) => bySite.get(site) ?? sitePolicy(undefined);
}

function notesOf(
  knowledge: PlanKnowledge,
  found: FoundReceivers,
  { beginsRollout, sites }: { beginsRollout: boolean; sites: SiteChanges },
): string[] {
  const { application, previous, stored, base, history } = knowledge;
  const [newest] = history;
  const phase = newest?.status?.phase;
  const notes: string[] = [];
  const condemned = stored?.status?.condemned;
  if (condemned) {
    notes.push(
      `this content was condemned in ${condemned.rollout} and is offered to no site; selvedge rollout lift ${stored.metadata.name} allows it again`,
    );
  }
  if (previous?.metadata.deletionTimestamp !== undefined) {
    notes.push('the application is being deleted: nothing goes out any more');
  }
  if (application.spec.paused === true) notes.push('spec.paused: nothing goes out until it is false');
  if (newest !== undefined && !beginsRollout) {
    notes.push(
      `the content is that of rollout ${newest.metadata.name} (${phase ?? 'not begun'}): no new rollout begins, and a change of its strategy counts from the next one on`,
    );
    if (sites.added.length > 0 && condemned === undefined) {
      notes.push(
        phase === 'Completed'
          ? 'sites that are added are given the release at once'
          : 'sites that are added join a wave that has not begun, or the last',
      );
    }
  }
  if (newest !== undefined && beginsRollout && isUnderWay(phase)) {
    notes.push(
      `rollout ${newest.metadata.name} is ${phase ?? 'about to begin'}: the new one takes its place`,
    );
  }
  if (base === undefined && previous?.status?.release !== undefined) {
    notes.push(
      `the content of ${previous.status.release} is not there any more: every manifest is shown as added`,
    );
  }
  if (previous === undefined) {
    notes.push('which sites of equal rank a wave takes is settled when the application is made');
  }
  const mirrored = application.spec.source.mirror?.site;
  if (mirrored !== undefined) {
    notes.push(`site ${mirrored} is the source (spec.source.mirror): the application is not brought there`);
  }
  for (const site of application.status?.mirroredSites ?? []) {
    if (site !== mirrored) notes.push(`site ${site} was the source: the application is not brought there`);
  }
  if (sites.added.length + sites.changed.length + sites.unchanged.length === 0) {
    notes.push('no Site matches spec.placement.siteSelector');
  }
  if (found.hiddenImages > 0) {
    notes.push(
      `bytes: ${counted(found.hiddenImages, 'image')} named by variables of sites cannot be looked up: only for users who may list sites`,
    );
  }
  if (found.areOthersLeftOut) {
    notes.push(
      `bytes: of ${counted(found.receivers.length, 'site')} only the images of this application are known to be there`,
    );
  }
  if (found.receivers.length > 0) {
    notes.push('what the runtime of a site cannot honour shows when the site checks the release');
  }
  return notes;
}

function isUnderWay(phase: string | undefined): boolean {
  return phase === undefined || ['Progressing', 'Paused', 'Reverting', 'Aborted'].includes(phase);
}

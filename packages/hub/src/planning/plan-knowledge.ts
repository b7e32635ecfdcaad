import {
  type Application,
  type DeliveryRules,
  type KubeObject,
  type ObjectClient,
  type Release,
  ReleaseResolver,
  type Rollout,
  releases,
  rollouts,
  type Site,
  sites,
  splitReleaseContent,
} from '@selvedge/api';
import type { DeliveryRow, FleetStore, Heartbeat } from '@selvedge/store';
import type { BuiltRelease } from '../controllers/application/build-release.ts';
import { latestFirst } from '../controllers/rollout/rollout-history.ts';

/** What a plan is made of, as it is at one moment. */
export interface PlanKnowledge {
  readonly now: Date;
  /** As it would be stored. */
  readonly application: Application;
  /** As it is; absent: it would be created. */
  readonly previous: Application | undefined;
  /** The release that the content makes, and the stored one with that name when there is one. */
  readonly release: Release;
  readonly manifests: readonly KubeObject[];
  readonly rules: DeliveryRules;
  /** What sites make of it. */
  readonly resolver: ReleaseResolver;
  readonly stored: Release | undefined;
  /** What the manifests are compared with: the newest release, if its content is still there. */
  readonly base:
    | { readonly name: string; readonly manifests: readonly KubeObject[]; readonly rules: DeliveryRules }
    | undefined;
  /** Releases of the application. */
  readonly releases: readonly Release[];
  /** Rollouts of the application, newest first. */
  readonly history: readonly Rollout[];
  readonly sites: readonly Site[];
  /** Wanted rows of this very application, by site. */
  readonly rows: ReadonlyMap<string, DeliveryRow>;
  /** The same and its tombstones. */
  readonly allRows: readonly DeliveryRow[];
  readonly heartbeats: ReadonlyMap<string, Heartbeat>;
}

export interface PlanSources {
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  readonly now: Date;
}

export async function readPlanKnowledge(
  { client, fleet, now }: PlanSources,
  {
    application,
    previous,
    built,
  }: { application: Application; previous: Application | undefined; built: BuiltRelease },
): Promise<PlanKnowledge> {
  const { name, namespace = '', uid } = application.metadata;
  const { release, manifests, rules, content } = built;
  const [siteList, releaseList, rolloutList, { rows }, heartbeats] = await Promise.all([
    client.list<Site>(sites),
    client.list<Release>(releases, { namespace }),
    client.list<Rollout>(rollouts, { namespace }),
    fleet.listDeliveries({ namespace, application: name }),
    fleet.heartbeats(),
  ]);
  const own = releaseList.items.filter(({ spec }) => spec.application === name);
  const stored = own.find(({ metadata, spec }) => {
    return metadata.name === release.metadata.name && spec.digest === release.spec.digest;
  });
  const newest = own.find(({ metadata }) => metadata.name === previous?.status?.release);
  const allRows = rows.filter((row) => row.applicationUid === uid);
  const wanted = allRows.filter((row) => row.phase === 'Wanted');
  return {
    now,
    application,
    previous,
    release,
    manifests,
    rules,
    resolver: new ReleaseResolver(content, { release: release.metadata.name, application: name, namespace }),
    stored,
    base: newest && (await readContent(fleet, newest)),
    releases: own,
    history: previous ? latestFirst(rolloutList.items, previous) : [],
    sites: siteList.items,
    rows: new Map(wanted.map((row) => [row.site, row])),
    allRows,
    heartbeats,
  };
}

async function readContent(
  fleet: FleetStore,
  { metadata, spec }: Release,
): Promise<PlanKnowledge['base'] | undefined> {
  const bytes = await fleet.findBlob(spec.digest);
  if (bytes === undefined) return undefined;
  const content = JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[];
  return { name: metadata.name, ...splitReleaseContent(content) };
}

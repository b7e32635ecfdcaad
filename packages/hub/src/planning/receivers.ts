import {
  type Application,
  type Combination,
  describeManifests,
  findReferences,
  type ObjectClient,
  type Release,
  type ReleaseResolver,
  releases,
  resolveReferences,
  type Site,
} from '@selvedge/api';
import type { DeliveryRow, FleetStore } from '@selvedge/store';
import { knownImageSizes } from '../resources/image-sizes.ts';
import { fullImageName, type Receiver } from './plan-bytes.ts';

/** Of more sites than this only the application's own images are known to be there: reading all rows of a fleet is dear. */
const maxSitesLookedInto = 200;

export interface ReceiverQuestion {
  readonly application: Application;
  readonly release: Release;
  /** What sites make of its content. */
  readonly resolver: ReleaseResolver;
  /** Sites that are to be given the release. */
  readonly sites: readonly Site[];
  /** Rows of this application by site. */
  readonly rows: ReadonlyMap<string, DeliveryRow>;
  /** Releases of this application. */
  readonly releases: readonly Release[];
  /**
   * Whoever asks may read all Sites. Others are not shown the values of sites: images are named as the release writes them,
   * and what other namespaces have at the sites is not looked at.
   */
  readonly mayReadSites: boolean;
}

export interface FoundReceivers {
  readonly receivers: readonly Receiver[];
  /** `fullImageName` → size on disk that a site reported last. */
  readonly reported: ReadonlyMap<string, number>;
  /** Images of other applications at these sites were not looked at. */
  readonly areOthersLeftOut: boolean;
  /** Images that the release names by values of sites, which are not shown. */
  readonly hiddenImages: number;
}

export async function findReceivers(
  sources: { client: ObjectClient; fleet: FleetStore },
  question: ReceiverQuestion,
): Promise<FoundReceivers> {
  const { sites, rows, mayReadSites } = question;
  const { namespace = '' } = question.application.metadata;
  const areOthersLeftOut = sites.length > maxSitesLookedInto;
  const rowsOf = new Map<string, readonly DeliveryRow[]>();
  let known = question.releases;
  if (areOthersLeftOut) {
    for (const [site, row] of rows) rowsOf.set(site, [row]);
  } else if (sites.length > 0) {
    known = (await sources.client.list<Release>(releases, mayReadSites ? {} : { namespace })).items;
    for (const { metadata } of sites) {
      const found = await sources.fleet.listDeliveries({ site: metadata.name });
      rowsOf.set(
        metadata.name,
        found.rows.filter((row) => row.phase === 'Wanted' && (mayReadSites || row.namespace === namespace)),
      );
    }
  }
  const findRelease = releaseFinder(known);
  const neededAt = imagesNeeded(question);
  const namesAt = mayReadSites
    ? imagesAt
    : (site: Site, ...rest: ReleaseOf) => imagesAt(withoutValues(site), ...rest);
  const sizes = knownImageSizes([...rows.values(), ...[...rowsOf.values()].flat()]);
  const reported = new Map([...sizes].map(([name, bytes]) => [fullImageName(name), bytes]));
  const receivers = sites.map((site): Receiver => {
    const own = rowsOf.get(site.metadata.name) ?? [];
    const has = new Set(own.flatMap((row) => digestsThere(row)));
    return {
      site: site.metadata.name,
      architecture: ociArchitecture(site.status?.agent?.architecture),
      needed: neededAt(site),
      held: own
        .flatMap((row) => heldBy(row, findRelease, (...release) => namesAt(site, ...release)))
        .map(fullImageName),
      hasManifests: has.has(question.release.spec.digest),
    };
  });
  const byValues = (question.release.spec.images ?? []).filter(namesValue);
  return { receivers, reported, areOthersLeftOut, hiddenImages: mayReadSites ? 0 : byValues.length };
}

/** Images that a site needs for the planned release: after its overrides, with its values unless these are not shown. */
function imagesNeeded({ resolver, application, mayReadSites }: ReceiverQuestion): (site: Site) => string[] {
  const { namespace = '' } = application.metadata;
  const byCombination = new Map<Combination, string[]>();
  return ({ metadata, spec }) => {
    const { name, labels = {} } = metadata;
    const combination = resolver.combinationFor(labels);
    const images =
      byCombination.get(combination) ?? describeManifests(combination.manifests, namespace).images;
    byCombination.set(combination, images);
    const facts = { name, ...(mayReadSites ? { labels, variables: spec?.variables ?? {} } : noValues) };
    return resolveReferences(images, resolver.valuesAt(facts)).value.map(String);
  };
}

const noValues = { labels: {}, variables: {} };

function namesValue(image: string): boolean {
  return findReferences(image).some(
    ({ kind }) => kind === 'variable' || kind === 'label' || kind === 'declared',
  );
}

function withoutValues({ spec, metadata, ...site }: Site): Site {
  const { labels, variables } = noValues;
  return { ...site, metadata: { ...metadata, labels }, spec: { ...spec, variables } };
}

/** `process.arch` of Node, as agents report it, in the words of OCI images (GOARCH). */
export function ociArchitecture(reported: string | undefined): string {
  const words: Readonly<Record<string, string>> = {
    x64: 'amd64',
    ia32: '386',
    aarch64: 'arm64',
    x86_64: 'amd64',
  };
  return reported === undefined ? 'amd64' : (words[reported] ?? reported);
}

type FindRelease = (row: DeliveryRow, digest: string) => Release | undefined;

function releaseFinder(known: readonly Release[]): FindRelease {
  const byDigest = new Map(
    known.map((release) => [
      `${release.metadata.namespace}/${release.spec.application}/${release.spec.digest}`,
      release,
    ]),
  );
  return (row, digest) => byDigest.get(`${row.namespace}/${row.application}/${digest}`);
}

/** What the site has said that it has, images and all. */
function digestsThere({ report }: DeliveryRow): string[] {
  if (report === undefined) return [];
  const isThere = ['Prepared', 'Activating', 'Running', 'Degraded'].includes(report.state);
  return [
    ...(isThere ? [report.digest] : []),
    ...(report.runningDigest === undefined ? [] : [report.runningDigest]),
  ];
}

type ReleaseOf = [application: Pick<Application, 'metadata'>, release: Release];

function heldBy(
  row: DeliveryRow,
  findRelease: FindRelease,
  namesOf: (...release: ReleaseOf) => string[],
): string[] {
  const releasesThere = digestsThere(row).map((digest) => findRelease(row, digest));
  return [
    ...releasesThere.flatMap((release) =>
      release === undefined
        ? []
        : namesOf({ metadata: { name: row.application, namespace: row.namespace } }, release),
    ),
    ...(row.report?.images ?? []).map(({ name }) => name),
  ];
}

/** With the site's own values in their names. */
function imagesAt(site: Site, ...[application, release]: ReleaseOf): string[] {
  const { value } = resolveReferences(release.spec.images ?? [], {
    siteName: site.metadata.name,
    siteVariables: site.spec?.variables ?? {},
    siteLabels: site.metadata.labels ?? {},
    variables: {},
    releaseName: release.metadata.name,
    applicationName: application.metadata.name,
    applicationNamespace: application.metadata.namespace ?? '',
  });
  return value.map(String);
}

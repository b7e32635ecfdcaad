import { type ApplicationPlanStatus, parseImageReference, type PlannedImage } from '@selvedge/api';
import type { FoundLayers } from '../registry/image-sizes.ts';

/** A site that is to be given the release, and what it has already. */
export interface Receiver {
  readonly site: string;
  /** As OCI names it. */
  readonly architecture: string;
  /** Images that the release names there. */
  readonly needed: readonly string[];
  /** Images that the site is known to have. */
  readonly held: readonly string[];
  /** It has these very manifests. */
  readonly hasManifests: boolean;
}

export interface ImageKnowledge {
  /** `layerKey` → what its registry said. */
  readonly layers: ReadonlyMap<string, FoundLayers>;
  /** `fullImageName` → size on disk, as sites reported. */
  readonly reported: ReadonlyMap<string, number>;
}

const maxSitesNamed = 100;

export const layerKey = (image: string, architecture: string): string =>
  `${architecture} ${fullImageName(image)}`;

/** One name for all ways to write it; what is no image's name stays as it is. */
export function fullImageName(image: string): string {
  const parsed = parseImageReference(image);
  if (parsed === undefined) return image;
  const { registry, repository, reference } = parsed;
  return `${registry}/${repository}${reference.startsWith('sha256:') ? '@' : ':'}${reference}`;
}

/** What has to be looked up for these sites: images that are needed and not held, and those held that may share layers. */
export function imagesToLookUp(receivers: readonly Receiver[]): { image: string; architecture: string }[] {
  const wanted = new Map<string, { image: string; architecture: string }>();
  const add = (image: string, architecture: string) =>
    wanted.set(layerKey(image, architecture), { image: fullImageName(image), architecture });
  for (const { needed, held, architecture } of groupsOf(receivers).map(({ sample }) => sample)) {
    const missing = missingImages(needed, held);
    for (const image of missing) add(image, architecture);
  }
  // Those that are needed come first: whoever asks for few is to learn these.
  for (const { needed, held, architecture } of groupsOf(receivers).map(({ sample }) => sample)) {
    if (missingImages(needed, held).length > 0) for (const image of held) add(image, architecture);
  }
  return [...wanted.values()];
}

/** Pure: what the sites have to fetch, as far as it is known. */
export function planBytes(
  receivers: readonly Receiver[],
  manifestBytes: number,
  knowledge: ImageKnowledge,
): ApplicationPlanStatus['bytes'] {
  const images = new Map<string, PlannedImage>();
  const perSite: ApplicationPlanStatus['bytes']['perSite'] = [];
  for (const { sample, sites } of groupsOf(receivers)) {
    const fetched = fetchedBy(sample, knowledge);
    for (const image of fetched) addTo(images, image, sites.length);
    const own = sample.hasManifests ? 0 : manifestBytes;
    const bytes = own + sum(fetched.map((image) => image.bytes ?? 0));
    const isComplete = fetched.every(({ source }) => source === 'Registry');
    for (const site of sites) perSite.push({ site, bytes, isComplete });
  }
  perSite.sort((a, b) => b.bytes - a.bytes || (a.site < b.site ? -1 : 1));
  const list = [...images.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    manifestsPerSite: manifestBytes,
    manifests: receivers.filter((site) => !site.hasManifests).length * manifestBytes,
    images: list,
    total: sum(perSite.map(({ bytes }) => bytes)),
    perSite: perSite.slice(0, maxSitesNamed),
    isComplete: list.every(({ source }) => source === 'Registry'),
  };
}

interface FetchedImage {
  readonly name: string;
  /** Absent: not known. */
  readonly bytes?: number;
  readonly source: PlannedImage['source'];
  readonly reason?: string;
}

/** Layer by layer: one that another image brought, or the site has, is not fetched again. */
function fetchedBy({ needed, held, architecture }: Receiver, knowledge: ImageKnowledge): FetchedImage[] {
  const there = new Set<string>();
  for (const image of held) {
    const found = knowledge.layers.get(layerKey(image, architecture));
    if (found && 'layers' in found) for (const { digest } of found.layers) there.add(digest);
  }
  return missingImages(needed, held).map((name) => {
    const found = knowledge.layers.get(layerKey(name, architecture));
    if (found && 'layers' in found) {
      const fresh = found.layers.filter(({ digest }) => !there.has(digest));
      const own = new Map(fresh.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
      for (const digest of own.keys()) there.add(digest);
      return { name, bytes: sum([...own.values()]), source: 'Registry' };
    }
    const reason = found?.unknown ?? 'registries are not asked';
    const reported = knowledge.reported.get(name);
    if (reported === undefined) return { name, source: 'Unknown', reason };
    return { name, bytes: reported, source: 'SiteReports', reason };
  });
}

function addTo(images: Map<string, PlannedImage>, found: FetchedImage, sites: number): void {
  const known = images.get(found.name);
  const { name, source, reason } = found;
  const bytes = found.bytes === undefined ? undefined : found.bytes * sites;
  if (known === undefined) {
    images.set(name, {
      name,
      sites,
      source,
      ...(bytes === undefined ? {} : { totalBytes: bytes }),
      ...(reason === undefined ? {} : { reason }),
    });
    return;
  }
  known.sites += sites;
  // Of several architectures the least that is known counts.
  if (certainty[source] < certainty[known.source]) {
    known.source = source;
    if (reason !== undefined) known.reason = reason;
  }
  if (known.totalBytes === undefined || bytes === undefined) delete known.totalBytes;
  else known.totalBytes += bytes;
}

const certainty = { Registry: 2, SiteReports: 1, Unknown: 0 } as const;

function missingImages(needed: readonly string[], held: readonly string[]): string[] {
  const there = new Set(held.map(fullImageName));
  return [...new Set(needed.map(fullImageName))].filter((image) => !there.has(image));
}

/** Sites that need and have the same are alike; there are few kinds of them in a fleet. */
function groupsOf(receivers: readonly Receiver[]): { sample: Receiver; sites: string[] }[] {
  const groups = new Map<string, { sample: Receiver; sites: string[] }>();
  for (const sample of receivers) {
    const { architecture, needed, held, hasManifests } = sample;
    const key = JSON.stringify([architecture, hasManifests, needed.toSorted(), held.toSorted()]);
    const group = groups.get(key);
    if (group) group.sites.push(sample.site);
    else groups.set(key, { sample, sites: [sample.site] });
  }
  return [...groups.values()];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

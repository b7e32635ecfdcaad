import type { Application, ApplicationStatus, Release } from '@selvedge/api';
import type { ImageResolver } from '../../images/image-resolver.ts';
import { isOwnedBy } from './build-release.ts';
import { type ImageDigests, type ImagePlaces, imagesToResolve } from './image-digests.ts';
import { digestOfPlaces } from './release-inputs.ts';

/** `Application.status.images`. */
export type LookedUp = NonNullable<ApplicationStatus['images']>;

export interface ImageFindings {
  readonly digests: ImageDigests;
  /** To be kept, so that the same content has the same digests; absent: there is no tag to look up. */
  readonly lookedUp?: LookedUp;
  /** Images without a digest, with the reason. */
  readonly unknown: readonly string[];
}

export interface ImageKnowledge {
  /** Absent: this hub asks no registry. */
  readonly resolver: ImageResolver | undefined;
  /** Of this Application, the newest first. */
  readonly releases: readonly Release[];
  /** `Release.spec.digest` of the content with these digests. */
  readonly releaseDigest: (digests: ImageDigests) => string;
  readonly signal: AbortSignal;
}

const noFindings: ImageFindings = { digests: new Map(), unknown: [] };

/** All lookups of one release together. */
const lookUpMilliseconds = 30_000;

const wentOutUnknown = 'it went out with its tag before';
const notAsked = 'this hub asks no registry: --no-registry-lookup';

/**
 * Digests of the image tags in the content. Content that was released before has those that it had then. In other content an image of the
 * newest release keeps its digest, and registries are asked for the rest: one that fails never takes a digest away. Throws only when the
 * signal fires.
 */
export async function resolveImages(
  application: Application,
  places: ImagePlaces,
  knowledge: ImageKnowledge,
): Promise<ImageFindings> {
  const { tags = 'ResolveIfPossible' } = application.spec.images ?? {};
  if (tags === 'Keep') return noFindings;
  const images = imagesToResolve(places);
  if (images.length === 0) return noFindings;
  const contentDigest = digestOfPlaces(application, places);
  const last = application.status?.images;
  if (last?.contentDigest === contentDigest) return findingsOf(last);
  const released = findReleased(images, knowledge);
  const isReleased = released !== undefined && (released.size === images.length || tags !== 'Resolve');
  const known = isReleased ? released : knownDigests(application, images, knowledge.releases);
  const isAsked = knowledge.resolver !== undefined || known.size > 0 || tags === 'Resolve';
  // A hub that asks no registry says nothing of tags that no other hub has looked up either.
  if (!isAsked) return noFindings;
  const missing = images.filter((image) => !known.has(image));
  const found = isReleased
    ? missing.map((image) => ({ image, unknown: wentOutUnknown }))
    : await lookUp(application, missing, knowledge);
  const foundOf = new Map(found.map((each) => [each.image, each]));
  return findingsOf({
    contentDigest,
    resolved: images.map((image) => {
      const resolved = known.get(image);
      return resolved === undefined
        ? (foundOf.get(image) ?? { image, unknown: notAsked })
        : { image, resolved };
    }),
  });
}

/** Those that this very Application has made, its newest first. */
export function releasesOf(application: Application, releases: readonly Release[]): Release[] {
  const { metadata, status } = application;
  const own = releases
    .filter((release) => release.spec.application === metadata.name && isOwnedBy(release, application))
    .toSorted((a, b) => timeOf(b).localeCompare(timeOf(a)));
  const isNewest = (release: Release) => release.metadata.name === status?.release;
  return [...own.filter(isNewest), ...own.filter((release) => !isNewest(release))];
}

const timeOf = ({ metadata }: Release): string => metadata.creationTimestamp ?? '';

/** The digests with which exactly this content went out before. */
function findReleased(
  images: readonly string[],
  { releases, releaseDigest }: ImageKnowledge,
): ImageDigests | undefined {
  const tried = new Map<string, string>();
  for (const { spec } of releases) {
    const digests = digestsIn(images, spec.images);
    const key = JSON.stringify([...digests]);
    const digest = tried.get(key) ?? releaseDigest(digests);
    tried.set(key, digest);
    if (digest === spec.digest) return digests;
  }
  return undefined;
}

/** What the newest release says of these images, and what was looked up for content that gave none yet. */
function knownDigests(
  { status }: Application,
  images: readonly string[],
  releases: readonly Release[],
): ImageDigests {
  const newest = releases.find(({ metadata }) => metadata.name === status?.release);
  const lookedUp = (status?.images?.resolved ?? []).flatMap(({ resolved = [] }) => resolved);
  return new Map([...digestsIn(images, newest?.spec.images), ...digestsIn(images, lookedUp)]);
}

function digestsIn(images: readonly string[], released: readonly string[] = []): ImageDigests {
  return new Map(
    images.flatMap((image) => {
      const resolved = released.find((other) => other.startsWith(`${image}@`));
      return resolved === undefined ? [] : [[image, resolved] as const];
    }),
  );
}

async function lookUp(
  { metadata }: Application,
  images: readonly string[],
  { resolver, signal }: ImageKnowledge,
): Promise<LookedUp['resolved']> {
  if (resolver === undefined || images.length === 0) return [];
  const limit = AbortSignal.any([signal, AbortSignal.timeout(lookUpMilliseconds)]);
  const found = await resolver.resolve(metadata.namespace ?? '', images, limit);
  return found.map((each) =>
    'resolved' in each
      ? { image: each.image, resolved: each.resolved }
      : { image: each.image, unknown: each.unknown },
  );
}

function findingsOf(lookedUp: LookedUp): ImageFindings {
  const { resolved } = lookedUp;
  return {
    lookedUp,
    digests: new Map(resolved.flatMap((each) => (each.resolved ? [[each.image, each.resolved]] : []))),
    unknown: resolved.flatMap(({ image, unknown }) =>
      unknown === undefined ? [] : [`${image} (${unknown})`],
    ),
  };
}

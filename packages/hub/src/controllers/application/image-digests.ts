import {
  changeImage,
  type KubeObject,
  mapImages,
  type Override,
  type ReleaseImageChange,
  type ReleaseOverride,
  splitImage,
} from '@selvedge/api';

/** Image as it is named → the same with the digest that its tag has. */
export type ImageDigests = ReadonlyMap<string, string>;

/** Where a release names images. */
export interface ImagePlaces {
  readonly manifests: readonly KubeObject[];
  readonly variants: readonly {
    readonly overrides: readonly string[];
    readonly manifests: readonly KubeObject[];
  }[];
  readonly overrides: readonly ReleaseOverride[];
}

type Patch = NonNullable<Override['patches']>[number];

/** Names whose tags can be looked up, sorted: without those that have a digest already, or take a value of the site. */
export function imagesToResolve(places: ImagePlaces): string[] {
  const found = new Set<string>();
  mapPlaces(places, (image) => {
    if (splitImage(image).digest === undefined && !image.includes('${')) found.add(image);
    return image;
  });
  return [...found].sort();
}

/** The same places with digests, as far as they are known. */
export function withDigests(places: ImagePlaces, digests: ImageDigests): ImagePlaces {
  return mapPlaces(places, (image) => digests.get(image) ?? image);
}

/** Every image that the manifests, or patches of overrides, name; and what image changes of overrides make of them. */
function mapPlaces(places: ImagePlaces, map: (image: string) => string): ImagePlaces {
  const { manifests, variants, overrides } = places;
  const written = writtenImages(places);
  return {
    manifests: mapImages(manifests, map),
    variants: variants.map((variant) => ({ ...variant, manifests: mapImages(variant.manifests, map) })),
    overrides: overrides.map((override) => ({
      ...override,
      ...(override.patches ? { patches: override.patches.map((patch) => mapPatch(patch, map)) } : {}),
      ...(override.images
        ? { images: override.images.map((change) => mapChange(change, { written, map })) }
        : {}),
    })),
  };
}

/** Images that can stand in a manifest when the change of an override comes to it. */
function writtenImages({ manifests, variants, overrides }: ImagePlaces): ReadonlySet<string> {
  const written = new Set<string>();
  const note = (image: string) => {
    written.add(image);
    return image;
  };
  mapImages([...manifests, ...variants.flatMap((variant) => variant.manifests)], note);
  for (const { patches = [], images = [] } of overrides) {
    for (const patch of patches) mapPatch(patch, note);
    for (const change of images) {
      if (change.newTag !== undefined && change.digest === undefined) note(changeImage(change.name, change));
    }
  }
  return written;
}

function mapPatch(patch: Patch, map: (image: string) => string): Patch {
  return {
    ...mapImages(patch, map),
    ...(patch.jsonPatch
      ? { jsonPatch: patch.jsonPatch.map((operation) => mapOperation(operation, map)) }
      : {}),
  };
}

type Operation = NonNullable<Patch['jsonPatch']>[number] & { readonly value?: unknown };

function mapOperation(operation: Operation, map: (image: string) => string): Operation {
  const value = mapValue(operation, map);
  return value === operation.value ? operation : { ...operation, value };
}

/** What is put in may be an image, a container, a list of containers, or something around these. */
function mapValue({ path, value }: Operation, map: (image: string) => string): unknown {
  if (/\/(?:containers|initContainers)\/[^/]+\/image$/.test(path)) {
    return typeof value === 'string' ? map(value) : value;
  }
  if (/\/(?:containers|initContainers)\/[^/]+$/.test(path)) {
    return mapImages({ containers: [value] }, map).containers[0];
  }
  return /\/(?:containers|initContainers)$/.test(path)
    ? mapImages({ containers: value }, map).containers
    : mapImages(value, map);
}

/**
 * The image that a change leads to is known when it names a tag. One that gives only another name leads to as many as there are tags.
 * Digests that were written by hand stay.
 */
function mapChange(
  change: ReleaseImageChange,
  { written, map }: { readonly written: ReadonlySet<string>; readonly map: (image: string) => string },
): ReleaseImageChange {
  if (change.digest !== undefined) return change;
  if (change.newTag !== undefined) {
    const { digest } = splitImage(map(changeImage(change.name, change)));
    return digest?.startsWith('sha256:') ? { ...change, digest } : change;
  }
  if (change.newName === undefined) return change;
  const renamed = [...written].filter((image) => splitImage(image).name === change.name);
  const digests = renamed.flatMap((image) => {
    const { tag = '', digest } = splitImage(map(changeImage(image, change)));
    return digest === undefined ? [] : [[tag, digest] as const];
  });
  // Where nothing was looked up, the name is all that changes.
  const isLookedUp = renamed.some((image) => map(image) !== image) || digests.length > 0;
  return isLookedUp ? { ...change, tagDigests: Object.fromEntries(digests) } : change;
}

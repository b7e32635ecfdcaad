import { type ImageReference, type KubeObject, parseImageReference, ReleaseResolver } from '@selvedge/api';
import type { DeliveryRow, FleetStore, SiteState } from '@selvedge/store';
import type { RegistryContent } from '../content/registry-content.ts';
import { readManifest } from '../content/manifest-contents.ts';

export interface SiteImagesOptions {
  readonly fleet: Pick<FleetStore, 'siteState' | 'findBlob'>;
  readonly content: RegistryContent;
  /** Whether a registry's name in an image is one of this hub. */
  readonly isOwn: (registry: string) => boolean;
  readonly mayApplicationsRead: (namespace: string, repository: string) => boolean;
}

const maxContentsKept = 200;
const maxClosuresKept = 500;
const maxDepth = 4;
const dollar = '$'.charCodeAt(0);

/**
 * What the desired state of a site names in this registry: the site's agent may read these images, with all that belongs to them, and nothing
 * else. A name counts only in an application, or a MachineImage, whose namespace may read the repository.
 */
export class SiteImages {
  readonly #o: SiteImagesOptions;
  /** By digest of a release's content; where it has variables also by site and epoch: what an epoch says never changes. */
  readonly #contents = new Map<string, readonly ImageReference[]>();
  /** By repository and digest of a manifest: immutable. */
  readonly #closures = new Map<string, ReadonlySet<string>>();

  constructor(options: SiteImagesOptions) {
    this.#o = options;
  }

  /** Whether the site may read a manifest, by tag or digest, or a blob of the repository. */
  async mayRead(site: string, repository: string, wanted: string): Promise<boolean> {
    for (const reference of await this.#namedIn(site, repository)) {
      if (reference === wanted) return true;
      if (!wanted.startsWith('sha256:')) continue;
      const manifest = await this.#o.content.findManifest(repository, reference);
      if (manifest === undefined) continue;
      if ((await this.#closureOf(repository, manifest.digest)).has(wanted)) return true;
    }
    return false;
  }

  /** Tags and digests that the site's desired state names in the repository. */
  async #namedIn(site: string, repository: string): Promise<Set<string>> {
    const state = await this.#o.fleet.siteState(site);
    const named = new Set<string>();
    const add = (image: ImageReference) => {
      if (image.repository === repository && this.#o.isOwn(image.registry)) named.add(image.reference);
    };
    for (const { reference } of this.#imagesOfRack(repository, state)) named.add(reference);
    for (const row of state.rows) {
      if (row.phase !== 'Wanted' || !this.#o.mayApplicationsRead(row.namespace, repository)) continue;
      for (const content of [row.digest, row.terms.fallback?.digest]) {
        if (content === undefined) continue;
        for (const image of await this.#imagesOf(content, row, state)) add(image);
      }
    }
    return named;
  }

  /** What the site's machines are installed and inspected with; its policy says by which other names it finds the hub's registry. */
  #imagesOfRack(repository: string, { policy: { rack, depot } }: SiteState): ImageReference[] {
    return [...(rack?.images ?? []), ...(rack?.inspection ?? [])].flatMap(
      ({ namespace = 'default', reference }) => {
        const image = parseImageReference(reference);
        if (image?.repository !== repository) return [];
        const isHere = this.#o.isOwn(image.registry) || depot?.hubRegistries?.includes(image.host) === true;
        return isHere && this.#o.mayApplicationsRead(namespace, repository) ? [image] : [];
      },
    );
  }

  async #imagesOf(digest: string, row: DeliveryRow, state: SiteState): Promise<readonly ImageReference[]> {
    const ofSite = `${digest} ${state.site} ${state.epoch}`;
    const known = this.#contents.get(digest) ?? this.#contents.get(ofSite);
    if (known !== undefined) return known;
    const bytes = await this.#o.fleet.findBlob(digest);
    if (bytes === undefined) return [];
    const content = JSON.parse(Buffer.from(bytes).toString('utf8')) as KubeObject[];
    const images: ImageReference[] = [];
    collectImages(content, images);
    // Names with variables are known only as the site resolves them.
    const differs = bytes.includes(dollar);
    if (differs) collectImages(resolvedFor(content, row, state), images);
    keep(this.#contents, { key: differs ? ofSite : digest, value: images, most: maxContentsKept });
    return images;
  }

  /** The manifest itself, and what it is made of. */
  async #closureOf(repository: string, digest: string, depth = 0): Promise<ReadonlySet<string>> {
    const key = `${repository}@${digest}`;
    const known = this.#closures.get(key);
    if (known !== undefined) return known;
    const closure = new Set([digest]);
    const manifest = await this.#o.content.findManifest(repository, digest);
    if (manifest === undefined || depth > maxDepth) return closure;
    const { blobs, manifests } = readManifest(manifest.bytes);
    for (const blob of blobs) closure.add(blob);
    for (const child of manifests) {
      for (const part of await this.#closureOf(repository, child, depth + 1)) closure.add(part);
    }
    keep(this.#closures, { key, value: closure, most: maxClosuresKept });
    return closure;
  }
}

function resolvedFor(content: readonly KubeObject[], row: DeliveryRow, state: SiteState): unknown {
  const { release, application, namespace } = row;
  const { site: name, variables, policy } = state;
  const resolver = new ReleaseResolver(content, { release, application, namespace });
  const resolved = resolver.resolve({ name, variables, labels: policy.labels ?? {} });
  return resolved.faults ? undefined : resolved.manifests;
}

/** Every text that is an image's name with a registry, wherever it stands: in manifests, variants and overrides alike. */
function collectImages(value: unknown, images: ImageReference[]): void {
  if (typeof value === 'string') {
    const image = value.includes('/') && !value.includes('${') ? parseImageReference(value) : undefined;
    if (image !== undefined && image.registry !== 'docker.io') images.push(image);
  } else if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) collectImages(part, images);
  }
}

function keep<T>(map: Map<string, T>, { key, value, most }: { key: string; value: T; most: number }): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > most && oldest !== undefined) map.delete(oldest);
}

import {
  type ArchivedBlob,
  archivedBlobName,
  canonicalJson,
  type Clock,
  type DesiredState,
  isStatusError,
  type KubeObject,
  mapImages,
  resolveRelease,
  type SignedImages,
  type Site,
  type SiteArchiveHead,
  siteArchiveFormat,
  siteArchiveHeadName,
  StatusError,
} from '@selvedge/api';
import { stateDigest, type TarFile, writeTar } from '@selvedge/api/node';
import type { FleetStore } from '@selvedge/store';
import type { SealedValues } from '../credentials/sealed-values.ts';
import { buildDesiredState } from '../gateway/desired-state.ts';
import type { HubIdentity } from '../identity/hub-identity.ts';
import type { ImageRepositories } from '../registry/image-repositories.ts';
import { isHubBehind } from '../resources/site-hold.ts';
import { collectImages, type CollectedImages, type ImageBlob, type NeededImage } from './archive-images.ts';

export interface SiteExporterOptions {
  readonly fleet: FleetStore;
  /** `Store.instance`. */
  readonly instance: string;
  readonly identity: Pick<HubIdentity, 'hubId' | 'fleetKey'>;
  readonly sealed: Pick<SealedValues, 'seal'>;
  readonly images: ImageRepositories;
  readonly clock: Clock;
}

export interface ExportWish {
  readonly site: Site;
  readonly withImages: boolean;
  /** Digests of blobs of images that the site has already. */
  readonly have: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** Looking images up ends here: whoever asked waits for the first byte. */
const lookUpMilliseconds = 40_000;

/** Makes the archive of a site: see `SiteArchiveHead`. */
export class SiteExporter {
  readonly #o: SiteExporterOptions;

  constructor(options: SiteExporterOptions) {
    this.#o = options;
  }

  /**
   * The archive as a stream; what can be known beforehand is known when it begins. Throws StatusError when there is nothing that this
   * site could take.
   */
  async export(wish: ExportWish): Promise<{ head: SiteArchiveHead; archive: AsyncIterable<Uint8Array> }> {
    const { fleet, identity, instance, clock } = this.#o;
    const { site, signal } = wish;
    const { name } = site.metadata;
    await this.#checkSite(site);
    const siteUid = site.metadata.uid ?? '';
    const state = buildDesiredState(identity.hubId, siteUid, await fleet.siteState(name));
    if (state.epoch === 0) {
      throw new StatusError(
        'Conflict',
        `nothing was ever wanted at site "${name}": there is nothing to carry there`,
      );
    }
    const now = clock.now();
    const contents = await this.#readContents(state);
    const sealed = await this.#seal(site, state);
    const collected = wish.withImages
      ? await this.#collectImages({ site, state, contents: contents.parsed, signal })
      : undefined;
    // Manifests always: by them the site knows which blobs the images consist of.
    const blobs = (collected?.blobs ?? []).filter(({ digest, bytes }) => bytes || !wish.have.has(digest));
    const { hubId } = identity;
    const named = { hubId, site: name, siteUid, epoch: state.epoch };
    const images: SignedImages = { ...named, images: collected?.images ?? [] };
    const head: SiteArchiveHead = {
      format: siteArchiveFormat,
      hubId,
      instance,
      hubTime: now.toISOString(),
      site: name,
      siteUid,
      signed: await this.#sign({ ...named, stateDigest: stateDigest(state) }),
      state,
      contents: contents.blobs,
      sealed: sealed.values.map(({ id, version }) => ({ id, version })),
      ...(collected === undefined ? {} : { signedImages: await this.#sign(images) }),
      blobs: blobs.map(({ digest, sizeBytes }) => ({ digest, sizeBytes })),
      leftOut: [
        ...contents.leftOut,
        ...sealed.leftOut,
        ...(collected?.leftOut ?? ['images: the archive was asked for without them']),
        ...machinesLeftOut(state),
      ],
    };
    const files = this.#files({ head, sealed: sealed.values, collected, blobs, signal });
    return { head, archive: writeTar(files, { modified: now }) };
  }

  async #checkSite(site: Site): Promise<void> {
    const { name, uid } = site.metadata;
    const key = await this.#o.fleet.findSiteKey(name);
    if (key === undefined || key.siteUid !== uid) {
      throw new StatusError(
        'Conflict',
        `site "${name}" has no agent yet, and only an enrolled agent can take an archive: enrol it first`,
      );
    }
    if (isHubBehind(site)) {
      throw new StatusError(
        'Conflict',
        `site "${name}" follows a newer state than this hub knows (condition HubBehind), so it would refuse the archive: adopt or override that first`,
      );
    }
  }

  /** What is wanted, and what the site goes back to when that fails. */
  async #readContents(state: DesiredState): Promise<ReadContents> {
    const blobs: ArchivedBlob[] = [];
    const parsed = new Map<string, readonly KubeObject[]>();
    const leftOut: string[] = [];
    for (const { id, release, digest, terms } of state.items) {
      for (const name of [{ release, digest }, terms.fallback]) {
        if (name === undefined || blobs.some((blob) => blob.digest === name.digest)) continue;
        const bytes = await this.#o.fleet.findBlob(name.digest);
        if (bytes === undefined) {
          leftOut.push(`manifests of ${id}, release ${name.release}: the hub does not have them any more`);
          continue;
        }
        blobs.push({ digest: name.digest, sizeBytes: bytes.length });
        if (name.digest === digest) parsed.set(digest, JSON.parse(Buffer.from(bytes).toString('utf8')));
      }
    }
    return { blobs, parsed, leftOut };
  }

  async #seal(site: Site, state: DesiredState): Promise<{ values: SealedFile[]; leftOut: string[] }> {
    const values: SealedFile[] = [];
    const leftOut: string[] = [];
    const { name, uid = '' } = site.metadata;
    const sealingKey = site.status?.agent?.sealingKey;
    for (const listed of state.policy.sealed ?? []) {
      try {
        if (sealingKey === undefined) {
          throw new StatusError('Conflict', 'the agent has told no key that values could be sealed to');
        }
        const value = await this.#o.sealed.seal({ site: name, siteUid: uid, sealingKey }, listed);
        values.push({ ...listed, bytes: Buffer.from(canonicalJson(value)) });
      } catch (error) {
        if (!isStatusError(error)) throw error;
        leftOut.push(`${listed.id}: ${error.message}`);
      }
    }
    return { values, leftOut };
  }

  async #collectImages(from: {
    site: Site;
    state: DesiredState;
    contents: ReadonlyMap<string, readonly KubeObject[]>;
    signal: AbortSignal;
  }): Promise<CollectedImages> {
    const { clock, images } = this.#o;
    const late = new AbortController();
    const done = new AbortController();
    void clock.sleep(lookUpMilliseconds, done.signal).then(() => late.abort('late'));
    try {
      return await collectImages(images, imagesOf(from.state, from.contents), {
        architectures: architecturesOf(from.site),
        signal: AbortSignal.any([from.signal, late.signal]),
      });
    } finally {
      done.abort('done');
    }
  }

  async *#files(parts: {
    head: SiteArchiveHead;
    sealed: readonly SealedFile[];
    collected: CollectedImages | undefined;
    blobs: readonly ImageBlob[];
    signal: AbortSignal;
  }): AsyncGenerator<TarFile> {
    const { head, sealed, collected, blobs, signal } = parts;
    yield file(siteArchiveHeadName, Buffer.from(JSON.stringify(head)));
    for (const { digest, sizeBytes } of head.contents) {
      const content = await this.#o.fleet.findBlob(digest);
      if (content === undefined) throw new Error(`content ${digest} was deleted meanwhile: export again`);
      yield { name: archivedBlobName('content', digest), sizeBytes, content };
    }
    for (const [at, { bytes }] of sealed.entries()) yield file(`sealed/${at}`, bytes);
    if (collected === undefined) return;
    yield file('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
    yield file('index.json', Buffer.from(JSON.stringify(collected.index)));
    for (const { digest, sizeBytes, bytes, repository } of blobs) {
      const name = archivedBlobName('blobs', digest);
      const content = bytes ?? (await repository.openBlob(digest, { sizeBytes, signal }));
      yield { name, sizeBytes, content };
    }
  }

  #sign(value: object): Promise<string> {
    return this.#o.identity.fleetKey.sign(canonicalJson(value));
  }
}

interface SealedFile {
  readonly id: string;
  readonly version: string;
  readonly bytes: Buffer;
}

interface ReadContents {
  readonly blobs: ArchivedBlob[];
  /** Of what is wanted. */
  readonly parsed: ReadonlyMap<string, readonly KubeObject[]>;
  readonly leftOut: string[];
}

function file(name: string, content: Buffer): TarFile {
  return { name, sizeBytes: content.length, content };
}

/** Images of what this site applies, with its overrides and variables. */
function imagesOf(state: DesiredState, contents: ReadonlyMap<string, readonly KubeObject[]>): NeededImage[] {
  const found = new Map<string, NeededImage>();
  for (const { id, release, digest } of state.items) {
    const content = contents.get(digest);
    if (content === undefined) continue;
    const [, namespace = '', application = ''] = id.split('/');
    const site = { name: state.site, labels: state.policy.labels ?? {}, variables: state.variables };
    const resolved = resolveRelease(content, site, { release, application, namespace });
    // The site refuses it as well, and says why.
    if (!('manifests' in resolved)) continue;
    mapImages(resolved.manifests, (name) => {
      found.set(`${namespace} ${name}`, { name, namespace });
      return name;
    });
  }
  return [...found.values()];
}

/** OCI's names of what the site's machines are; empty: not known. */
function architecturesOf({ status }: Site): Set<string> {
  const names = (status?.inventory?.nodes ?? []).flatMap((node) => node.architecture ?? []);
  const own = status?.agent?.architecture;
  if (names.length === 0 && own !== undefined) names.push(own);
  return new Set(names.flatMap((name) => ociNames[name] ?? []));
}

/** From the names of Kubernetes and of Node; what is none of these says nothing of images. */
const ociNames: Readonly<Record<string, string>> = {
  amd64: 'amd64',
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  '386': '386',
  ia32: '386',
  riscv64: 'riscv64',
  ppc64le: 'ppc64le',
  s390x: 's390x',
  loong64: 'loong64',
};

/** A rack can be told what to do by archive; what it writes on disks is too large for one. */
function machinesLeftOut({ policy: { rack } }: DesiredState): string[] {
  if (rack === undefined) return [];
  return [
    ...[...rack.inspection, ...rack.images].map(({ name }) => `MachineImage ${name}: it comes over the link`),
    ...rack.scripts.map(({ name }) => `MachineScript ${name}: it comes over the link`),
  ];
}

import type { Readable } from 'node:stream';
import { type Clock, KeyedMutex, type ObjectClient } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { DistributionError } from '../distribution-error.ts';
import { checkSharedStorage } from '../shared-storage-check.ts';
import type { BlobStorage } from '../storage/blob-storage.ts';
import { collectGarbage } from './collect-garbage.ts';
import { type ManifestContents, readManifest, referrerOf } from './manifest-contents.ts';
import type {
  Collected,
  Descriptor,
  RegistryContent,
  StoredManifest,
  UploadPart,
  UploadState,
} from './registry-content.ts';
import { ContentKeys as keys } from './content-keys.ts';
import { Uploads } from './uploads.ts';

/** A link that somebody relied on is made new when it is older: what is younger than the grace of a collection stays. */
const freshMilliseconds = 60 * 60_000;

/**
 * Content in a storage of bytes. Blobs are kept once for all repositories; a link in the repository says that it has the blob. Order of writing: blob, link, manifest,
 * referrer, tag; so a crash leaves nothing that refers to what is not there, and what nothing refers to is collected later.
 */
export class KeptContent implements RegistryContent {
  readonly #storage: BlobStorage;
  readonly #clock: Clock;
  readonly #uploads: Uploads;
  /** By digest: who relies on a blob and who collects it take turns. */
  readonly #turns = new KeyedMutex();
  /** By upload: parts come one after the other. */
  readonly #uploadTurns = new KeyedMutex();

  constructor(options: { readonly storage: BlobStorage; readonly clock: Clock }) {
    this.#storage = options.storage;
    this.#clock = options.clock;
    this.#uploads = new Uploads(options.storage);
  }

  get name(): string {
    return this.#storage.name;
  }

  async findManifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    const digest = await this.#digestOf(repository, reference);
    if (digest === undefined) return undefined;
    const bytes = await this.#storage.read(keys.manifest(repository, digest));
    if (bytes === undefined) return undefined;
    // Somebody else may write to a bucket or a shared folder, and disks err.
    if (sha256Digest(bytes) !== digest) throw damaged(`manifest ${digest}`);
    return { digest, mediaType: readManifest(bytes).mediaType, bytes };
  }

  async putManifest(
    repository: string,
    reference: string,
    { mediaType, bytes }: { mediaType: string; bytes: Buffer },
  ): Promise<{ digest: string; subject: string | undefined }> {
    const digest = sha256Digest(bytes);
    const isDigest = reference.startsWith('sha256:');
    if (isDigest && reference !== digest) {
      throw new DistributionError(
        'DIGEST_INVALID',
        `the manifest has the digest ${digest}, not ${reference}`,
      );
    }
    const contents = readManifest(bytes, mediaType);
    await this.#checkParts(repository, contents);
    await this.#storage.put(keys.manifest(repository, digest), bytes);
    if (contents.subject !== undefined) {
      const referrer = referrerOf(digest, bytes, contents);
      await this.#storage.put(keys.referrer(repository, contents.subject, digest), jsonBytes(referrer));
    }
    if (!isDigest) await this.#storage.put(keys.tag(repository, reference), jsonBytes({ digest }));
    return { digest, subject: contents.subject };
  }

  async deleteManifest(repository: string, reference: string): Promise<boolean> {
    if (!reference.startsWith('sha256:')) {
      const key = keys.tag(repository, reference);
      if ((await this.#storage.find(key)) === undefined) return false;
      await this.#storage.delete(key);
      return true;
    }
    const key = keys.manifest(repository, reference);
    const bytes = await this.#storage.read(key);
    if (bytes === undefined) return false;
    for (const tag of (await this.listTags(repository)) ?? []) {
      if ((await this.#digestOf(repository, tag)) === reference)
        await this.#storage.delete(keys.tag(repository, tag));
    }
    const subject = subjectOf(bytes);
    if (subject !== undefined) await this.#storage.delete(keys.referrer(repository, subject, reference));
    await this.#storage.delete(key);
    return true;
  }

  async listTags(repository: string): Promise<string[] | undefined> {
    const tags = await this.#namesIn(keys.tags(repository));
    if (tags.length > 0) return tags.sort();
    for (const folder of [keys.manifests(repository), keys.links(repository)]) {
      for await (const _ of this.#storage.list(folder)) return [];
    }
    return undefined;
  }

  async listReferrers(repository: string, digest: string): Promise<Descriptor[]> {
    const found: Descriptor[] = [];
    const folder = keys.referrers(repository, digest);
    for (const name of (await this.#namesIn(folder)).sort()) {
      const text = await this.#storage.read(`${folder}${name}`);
      if (text === undefined) continue;
      const referrer = JSON.parse(text.toString('utf8')) as Descriptor;
      const isThere = (await this.#storage.find(keys.manifest(repository, referrer.digest))) !== undefined;
      if (isThere) found.push(referrer);
    }
    return found;
  }

  async findBlob(repository: string, digest: string): Promise<{ sizeBytes: number } | undefined> {
    return this.#turns.run(digest, () => this.#rely(repository, digest));
  }

  async openBlob(
    repository: string,
    digest: string,
    range?: { offset: number; length: number },
  ): Promise<Readable | undefined> {
    if ((await this.#storage.find(keys.link(repository, digest))) === undefined) return undefined;
    return this.#storage.open(keys.blob(digest), range);
  }

  async deleteBlob(repository: string, digest: string): Promise<boolean> {
    return this.#turns.run(digest, async () => {
      const link = keys.link(repository, digest);
      if ((await this.#storage.find(link)) === undefined) return false;
      await this.#storage.delete(link);
      return true;
    });
  }

  async mountBlob(repository: string, digest: string, from: string): Promise<boolean> {
    return this.#turns.run(digest, async () => {
      if ((await this.#rely(from, digest)) === undefined) return false;
      await this.#link(repository, digest);
      return true;
    });
  }

  async startUpload(repository: string): Promise<UploadState> {
    return { id: await this.#uploads.start(repository), sizeBytes: 0 };
  }

  async findUpload(repository: string, id: string): Promise<UploadState> {
    return { id, sizeBytes: await this.#uploads.size(repository, id) };
  }

  async appendUpload(repository: string, id: string, part: UploadPart): Promise<UploadState> {
    const append = () => this.#uploads.append(repository, id, part);
    return { id, sizeBytes: await this.#uploadTurns.run(id, append) };
  }

  finishUpload(repository: string, id: string, digest: string): Promise<void> {
    return this.#uploadTurns.run(id, () =>
      this.#turns.run(digest, async () => {
        // Also when there is such a blob already: that one may be about to be collected, this one is new.
        await this.#uploads.finish({ repository, id }, digest, keys.blob(digest));
        await this.#link(repository, digest);
      }),
    );
  }

  cancelUpload(repository: string, id: string): Promise<void> {
    return this.#uploadTurns.run(id, () => this.#uploads.cancel(repository, id));
  }

  async listRepositories(): Promise<string[]> {
    const found = new Set<string>();
    for await (const { key } of this.#storage.list(keys.repositories)) {
      const repository = keys.repositoryOf(key);
      if (repository !== undefined) found.add(repository);
    }
    return [...found].sort();
  }

  async removeNamespace(namespace: string, signal: AbortSignal): Promise<void> {
    const found: string[] = [];
    for await (const { key } of this.#storage.list(keys.namespace(namespace))) found.push(key);
    // What refers to others goes first, so nothing is left that names what is gone. Blobs are collected as those of nobody.
    const rank = (key: string) => (keys.isTag(key) ? 0 : keys.isLink(key) ? 3 : keys.isManifest(key) ? 2 : 1);
    for (const key of found.sort((a, b) => rank(a) - rank(b))) {
      signal.throwIfAborted();
      await this.#storage.delete(key);
    }
  }

  async collect(before: Date, signal: AbortSignal): Promise<Collected> {
    const uploads = await this.#uploads.removeStale(before, signal);
    await this.#storage.removeUnfinished(before);
    return {
      ...(await collectGarbage({ storage: this.#storage, turns: this.#turns, before, signal })),
      uploads,
    };
  }

  checkShared(client: ObjectClient): Promise<void> {
    return checkSharedStorage(this.#storage, client);
  }

  async #digestOf(repository: string, reference: string): Promise<string | undefined> {
    if (reference.startsWith('sha256:')) return reference;
    const text = await this.#storage.read(keys.tag(repository, reference));
    return text && (JSON.parse(text.toString('utf8')) as { digest: string }).digest;
  }

  async #checkParts(repository: string, { blobs, manifests }: ManifestContents): Promise<void> {
    for (const digest of new Set(blobs)) {
      const found = await this.findBlob(repository, digest);
      if (found === undefined) throw missingPart(repository, 'blob', digest);
    }
    for (const digest of new Set(manifests)) {
      const found = await this.#storage.find(keys.manifest(repository, digest));
      if (found === undefined) throw missingPart(repository, 'manifest', digest);
    }
  }

  /** The blob, with a link that no collection takes before its grace is over. To be called in the digest's turn. */
  async #rely(repository: string, digest: string): Promise<{ sizeBytes: number } | undefined> {
    const link = await this.#storage.find(keys.link(repository, digest));
    if (link === undefined) return undefined;
    const age = this.#clock.now().getTime() - link.modifiedAt.getTime();
    if (age > freshMilliseconds) await this.#link(repository, digest);
    const blob = await this.#storage.find(keys.blob(digest));
    return blob && { sizeBytes: blob.sizeBytes };
  }

  async #link(repository: string, digest: string): Promise<void> {
    await this.#storage.put(keys.link(repository, digest), new Uint8Array());
    await this.#storage.delete(keys.condemned(digest));
  }

  async #namesIn(folder: string): Promise<string[]> {
    const names: string[] = [];
    for await (const { key } of this.#storage.list(folder)) names.push(key.slice(folder.length));
    return names;
  }
}

function subjectOf(bytes: Buffer): string | undefined {
  try {
    return readManifest(bytes).subject;
  } catch {
    // Damaged: it goes, and its referrer is not listed without it.
    return undefined;
  }
}

function missingPart(repository: string, what: 'blob' | 'manifest', digest: string): DistributionError {
  return new DistributionError(
    'MANIFEST_BLOB_UNKNOWN',
    `${repository} has no ${what} ${digest}: push it first`,
  );
}

function damaged(what: string): DistributionError {
  return new DistributionError('UNAVAILABLE', `the ${what} in the hub's registry is damaged: push it again`);
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

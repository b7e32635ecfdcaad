import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Clock } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { RegistryLogin } from '../../credentials/registry-logins.ts';
import { DistributionError } from '../distribution-error.ts';
import { RegistryError } from '../registry-error.ts';
import { collect, type OpenAnswer } from '../registry-request.ts';
import { type RemoteRequest, RemoteRepository } from '../remote-repository.ts';
import { readManifest } from './manifest-contents.ts';
import type {
  Descriptor,
  RegistryContent,
  StoredManifest,
  UploadPart,
  UploadState,
} from './registry-content.ts';

export interface ForwardedContentOptions {
  /** `host[:port]` of the other registry. */
  readonly host: string;
  /** Before the names of all repositories. */
  readonly prefix: string;
  /** It speaks http. */
  readonly isInsecure: boolean;
  readonly login: (() => Promise<RegistryLogin>) | undefined;
  /** The same for all hubs of a fleet: 32 bytes. */
  readonly uploadKey: Buffer;
  readonly clock: Clock;
}

const answerMilliseconds = 120_000;
const maxDocumentBytes = 8 * 1024 * 1024;
const maxRepositoriesKept = 200;
const maxTags = 100_000;
/** Pauses before a manifest is sent again that the other registry has refused for what is no fault of it. */
const manifestPauses = [50, 200, 800, 2_000];

/**
 * Content in another registry: everything goes on to it as it comes, nothing is kept here. Where an upload goes on is an address of the other registry;
 * clients carry it sealed, so any hub can go on, and nobody can make a hub send something elsewhere.
 */
export class ForwardedContent implements RegistryContent {
  readonly name: string;
  readonly #o: ForwardedContentOptions;
  readonly #repositories = new Map<string, RemoteRepository>();

  constructor(options: ForwardedContentOptions) {
    this.#o = options;
    this.name = `the registry ${options.host}/${options.prefix}`;
  }

  async findManifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    const signal = AbortSignal.timeout(answerMilliseconds);
    return this.#orUndefined(async () => (await this.#open(repository)).getManifest(reference, { signal }));
  }

  async putManifest(
    repository: string,
    reference: string,
    { mediaType, bytes }: { mediaType: string; bytes: Buffer },
  ): Promise<{ digest: string; subject: string | undefined }> {
    const digest = sha256Digest(bytes);
    if (reference.startsWith('sha256:') && reference !== digest) {
      throw new DistributionError(
        'DIGEST_INVALID',
        `the manifest has the digest ${digest}, not ${reference}`,
      );
    }
    const headers = {
      'content-type': readManifest(bytes, mediaType).mediaType,
      'content-length': String(bytes.length),
    };
    const put = async () => {
      const answer = await this.#ask(repository, {
        method: 'PUT',
        path: `manifests/${reference}`,
        headers,
        body: bytes,
      });
      await this.#expect(answer, [201]);
      return answer;
    };
    const answer = await this.#persist(put);
    // A registry without referrers does not say so: then the client keeps them by itself.
    const subject = answer.headers['oci-subject'];
    return { digest, subject: typeof subject === 'string' ? subject : undefined };
  }

  deleteManifest(repository: string, reference: string): Promise<boolean> {
    return this.#delete(repository, `manifests/${reference}`);
  }

  async listTags(repository: string): Promise<string[] | undefined> {
    const signal = AbortSignal.timeout(answerMilliseconds);
    const tags = await this.#orUndefined(async () =>
      (await this.#open(repository)).listTags(maxTags, signal),
    );
    return tags?.sort();
  }

  async listReferrers(repository: string, digest: string): Promise<Descriptor[]> {
    const answer = await this.#ask(repository, { method: 'GET', path: `referrers/${digest}` });
    const isKnown = answer.status === 200;
    // Registries before 1.1 have them in an index by this tag, where clients put it.
    const index = isKnown
      ? (await this.#expect(answer, [200])).toString('utf8')
      : (await this.findManifest(repository, digest.replace(':', '-')))?.bytes.toString('utf8');
    if (!isKnown) answer.body.destroy();
    if (index === undefined) return [];
    const { manifests } = parseJson(index) as { manifests?: unknown };
    return Array.isArray(manifests) ? (manifests as Descriptor[]) : [];
  }

  async findBlob(repository: string, digest: string): Promise<{ sizeBytes: number } | undefined> {
    const answer = await this.#ask(repository, { method: 'HEAD', path: `blobs/${digest}` });
    answer.body.destroy();
    if (answer.status === 404) return undefined;
    const sizeBytes = Number(answer.headers['content-length'] ?? Number.NaN);
    if (answer.status !== 200 || !Number.isSafeInteger(sizeBytes)) throw this.#failed(answer.status);
    return { sizeBytes };
  }

  async openBlob(
    repository: string,
    digest: string,
    range?: { offset: number; length: number },
  ): Promise<Readable | undefined> {
    const headers: Record<string, string> =
      range === undefined ? {} : { range: `bytes=${range.offset}-${range.offset + range.length - 1}` };
    const answer = await this.#ask(repository, { method: 'GET', path: `blobs/${digest}`, headers });
    if (answer.status === (range === undefined ? 200 : 206)) return answer.body;
    answer.body.destroy();
    if (answer.status === 404) return undefined;
    throw this.#failed(answer.status);
  }

  deleteBlob(repository: string, digest: string): Promise<boolean> {
    return this.#delete(repository, `blobs/${digest}`);
  }

  async mountBlob(repository: string, digest: string, from: string): Promise<boolean> {
    const query = new URLSearchParams({ mount: digest, from: this.#nameOf(from) });
    const answer = await this.#ask(repository, {
      method: 'POST',
      path: `blobs/uploads/?${query.toString()}`,
      headers: { 'content-length': '0' },
    });
    await this.#expect(answer, [201, 202]);
    if (answer.status === 201) return true;
    // It has begun an upload instead, which nobody goes on with.
    await this.#cancel(repository, await this.#locationOf(repository, answer));
    return false;
  }

  async startUpload(repository: string): Promise<UploadState> {
    const headers = { 'content-length': '0' };
    const answer = await this.#ask(repository, { method: 'POST', path: 'blobs/uploads/', headers });
    await this.#expect(answer, [202]);
    return this.#stateOf(repository, answer, 0);
  }

  async findUpload(repository: string, id: string): Promise<UploadState> {
    const path = this.#unseal(repository, id);
    const answer = await this.#ask(repository, { method: 'GET', path });
    await this.#expect(answer, [204, 200]);
    return this.#stateOf(repository, answer, sizeIn(answer));
  }

  async appendUpload(repository: string, id: string, { offset, body }: UploadPart): Promise<UploadState> {
    // Also has the token renewed that it takes: a body can be sent only once.
    const found = await this.findUpload(repository, id);
    if (offset !== undefined && offset !== found.sizeBytes) {
      throw new DistributionError(
        'RANGE_INVALID',
        `the upload goes on at byte ${found.sizeBytes}, not at ${offset}`,
      );
    }
    let sent = 0;
    const counted = async function* () {
      for await (const chunk of body) {
        sent += chunk.length;
        yield chunk;
      }
    };
    const answer = await this.#ask(repository, {
      method: 'PATCH',
      path: this.#unseal(repository, found.id),
      headers: { 'content-type': 'application/octet-stream' },
      body: Readable.from(counted(), { objectMode: false }),
      isUnhurried: true,
    });
    await this.#expect(answer, [202, 204]);
    return this.#stateOf(repository, answer, found.sizeBytes + sent);
  }

  async finishUpload(repository: string, id: string, digest: string): Promise<void> {
    const url = new URL(this.#unseal(repository, id));
    url.searchParams.set('digest', digest);
    const headers = { 'content-length': '0' };
    await this.#expect(await this.#ask(repository, { method: 'PUT', path: url.href, headers }), [201]);
  }

  cancelUpload(repository: string, id: string): Promise<void> {
    return this.#cancel(repository, this.#unseal(repository, id));
  }

  async listRepositories(): Promise<string[]> {
    const remote = await this.#open('');
    const found: string[] = [];
    let path: string | undefined = remote.ownAddress('/v2/_catalog?n=1000');
    while (path !== undefined) {
      const answer: OpenAnswer = await this.#ask('', { method: 'GET', path });
      const { repositories } = parseJson((await this.#expect(answer, [200])).toString('utf8')) as {
        repositories?: unknown;
      };
      const names = Array.isArray(repositories)
        ? repositories.filter((name) => typeof name === 'string')
        : [];
      found.push(...names);
      const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(answer.headers['link'] ?? ''))?.[1];
      path = next === undefined || names.length === 0 ? undefined : remote.ownAddress(next);
    }
    const start = `${this.#o.prefix}/`;
    return found
      .filter((name) => name.startsWith(start))
      .map((name) => name.slice(start.length))
      .sort();
  }

  /** Every manifest that a tag leads to; what the other registry has without one it may collect itself. */
  async removeNamespace(namespace: string, signal: AbortSignal): Promise<void> {
    for (const repository of await this.listRepositories()) {
      if (!repository.startsWith(`${namespace}/`)) continue;
      const digests = new Set<string>();
      for (const tag of (await this.listTags(repository)) ?? []) {
        signal.throwIfAborted();
        await this.#addManifests(repository, tag, digests);
      }
      for (const digest of digests) {
        signal.throwIfAborted();
        await this.deleteManifest(repository, digest);
      }
    }
  }

  /** Those of an index, too. */
  async #addManifests(repository: string, reference: string, digests: Set<string>): Promise<void> {
    const manifest = await this.findManifest(repository, reference);
    if (manifest === undefined || digests.has(manifest.digest)) return;
    digests.add(manifest.digest);
    for (const digest of readManifest(manifest.bytes).manifests) {
      await this.#addManifests(repository, digest, digests);
    }
  }

  /**
   * A manifest has been checked before it is sent. A registry that keeps files and writes them in place (docker-registry) finds a part of it without
   * a digest while another push of that part writes its note, and refuses the manifest with DIGEST_INVALID: so it is sent again.
   */
  async #persist<T>(put: () => Promise<T>): Promise<T> {
    for (const pause of manifestPauses) {
      try {
        return await put();
      } catch (error) {
        if (!(error instanceof DistributionError && error.code === 'DIGEST_INVALID')) throw error;
        await this.#o.clock.sleep(pause, new AbortController().signal);
      }
    }
    return put();
  }

  #nameOf(repository: string): string {
    return repository === '' ? this.#o.prefix : `${this.#o.prefix}/${repository}`;
  }

  async #open(repository: string): Promise<RemoteRepository> {
    const known = this.#repositories.get(repository);
    if (known !== undefined) return known;
    const { host, isInsecure, login } = this.#o;
    const remote = new RemoteRepository({
      image: { registry: host, host, repository: this.#nameOf(repository) },
      named: isInsecure
        ? { insecure: new Set([host]), private: new Set() }
        : { insecure: new Set(), private: new Set([host]) },
      login: await login?.(),
      actions: 'pull,push,delete',
      answerMilliseconds,
    });
    this.#repositories.set(repository, remote);
    const [oldest] = this.#repositories.keys();
    if (this.#repositories.size > maxRepositoriesKept && oldest !== undefined)
      this.#repositories.delete(oldest);
    return remote;
  }

  async #ask(repository: string, request: Omit<RemoteRequest, 'signal'>): Promise<OpenAnswer> {
    try {
      const remote = await this.#open(repository);
      const answer = await remote.send({ ...request, signal: new AbortController().signal });
      // Credentials may have been changed in their file.
      if (answer.status === 401 || answer.status === 403) this.#repositories.delete(repository);
      return answer;
    } catch (error) {
      throw this.#faultOf(repository, error);
    }
  }

  async #orUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof RegistryError && error.fault === 'NotFound') return undefined;
      throw this.#faultOf('', error);
    }
  }

  async #delete(repository: string, path: string): Promise<boolean> {
    const answer = await this.#ask(repository, { method: 'DELETE', path });
    if (answer.status === 404) {
      answer.body.destroy();
      return false;
    }
    await this.#expect(answer, [202, 200, 204]);
    return true;
  }

  async #cancel(repository: string, path: string): Promise<void> {
    const answer = await this.#ask(repository, { method: 'DELETE', path });
    await this.#expect(answer, [204, 202, 200, 404]);
  }

  /** The body of an answer; throws what it says when its status is none of these. */
  async #expect(answer: OpenAnswer, statuses: readonly number[]): Promise<Buffer> {
    const body = await collect(answer.body, maxDocumentBytes, AbortSignal.timeout(answerMilliseconds)).catch(
      (cause: unknown) => {
        throw this.#faultOf('', cause);
      },
    );
    if (statuses.includes(answer.status)) return body;
    throw toldError(answer.status, body) ?? this.#failed(answer.status);
  }

  async #stateOf(repository: string, answer: OpenAnswer, sizeBytes: number): Promise<UploadState> {
    return { id: this.#seal(repository, await this.#locationOf(repository, answer)), sizeBytes };
  }

  async #locationOf(repository: string, answer: OpenAnswer): Promise<string> {
    return (await this.#open(repository)).ownAddress(answer.headers.location ?? '');
  }

  #seal(repository: string, location: string): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#o.uploadKey, nonce).setAAD(Buffer.from(repository));
    const sealed = Buffer.concat([cipher.update(location, 'utf8'), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
  }

  #unseal(repository: string, id: string): string {
    const bytes = Buffer.from(id, 'base64url');
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#o.uploadKey, bytes.subarray(0, 12))
        .setAAD(Buffer.from(repository))
        .setAuthTag(bytes.subarray(12, 28));
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8');
    } catch {
      throw new DistributionError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload: begin it again');
    }
  }

  #failed(status: number): DistributionError {
    return this.#faultOf('', new Error(`it answered ${status}`)) as DistributionError;
  }

  #faultOf(repository: string, error: unknown): unknown {
    if (error instanceof DistributionError) return error;
    if (error instanceof RegistryError && error.fault === 'Denied') this.#repositories.delete(repository);
    // What exactly is wrong is for the operator's log.
    const told =
      error instanceof Error
        ? `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ''}`
        : String(error);
    return new DistributionError(
      'UNAVAILABLE',
      "the storage of the hub's registry cannot be used now: see the log of the hub",
      {
        cause: new Error(`${this.name}: ${told}`, { cause: error }),
      },
    );
  }
}

/** Faults of what the client sent are told to the client as the other registry told them. */
function toldError(status: number, body: Buffer): DistributionError | undefined {
  const { errors } = (parseJson(body.toString('utf8')) ?? {}) as { errors?: unknown };
  const [first] = Array.isArray(errors) ? (errors as { code?: unknown; message?: unknown }[]) : [];
  const message = typeof first?.message === 'string' ? first.message.slice(0, 500) : 'it was refused';
  switch (first?.code) {
    case 'BLOB_UNKNOWN':
    case 'BLOB_UPLOAD_INVALID':
    case 'BLOB_UPLOAD_UNKNOWN':
    case 'DIGEST_INVALID':
    case 'MANIFEST_BLOB_UNKNOWN':
    case 'MANIFEST_INVALID':
    case 'SIZE_INVALID':
    case 'TOOMANYREQUESTS':
    case 'UNSUPPORTED':
      return new DistributionError(first.code, message);
    default:
      return status === 416 ? new DistributionError('RANGE_INVALID', message) : undefined;
  }
}

/** `Range: 0-N`: the last byte that is there; `0-0` before the first. */
function sizeIn(answer: OpenAnswer): number {
  const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(String(answer.headers.range ?? ''))?.[1] ?? 0);
  return last === 0 ? 0 : last + 1;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ImageReference } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { RegistryLogin } from '../credentials/registry-logins.ts';
import type {
  BlobRequest,
  ImageManifest,
  ImageRepository,
  ManifestRequest,
  WholeBlobRequest,
} from './image-repository.ts';
import { indexTypes, manifestTypes } from './media-types.ts';
import { RegistryError } from './registry-error.ts';
import { collect, type OpenAnswer, openRegistry, TooManyBytesError } from './registry-request.ts';
import { fetchToken } from './registry-token.ts';

/** Registries that the operator named, by `host[:port]`: they may be at any address. */
export interface NamedRegistries {
  /** They speak http. */
  readonly insecure: ReadonlySet<string>;
  /** They speak https, and may hand out each other's tokens. */
  readonly private: ReadonlySet<string>;
}

export interface RemoteRepositoryOptions {
  readonly image: Pick<ImageReference, 'registry' | 'host' | 'repository'>;
  readonly named: NamedRegistries;
  /** Absent: as nobody in particular. */
  readonly login?: RegistryLogin | undefined;
  /** Default: pull. */
  readonly actions?: 'pull' | 'pull,push' | 'pull,push,delete';
  /** For a document, and for the head of what is streamed. Default: 5 s. */
  readonly answerMilliseconds?: number;
}

export interface RemoteRequest {
  readonly method: string;
  /** Below `v2/REPOSITORY/`, or a whole address that this registry gave. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream can be sent once: there is no second try with a new token. */
  readonly body?: Uint8Array | Readable;
  readonly signal: AbortSignal;
  readonly isUnhurried?: boolean;
}

const defaultAnswerMilliseconds = 5_000;
/** Of a body that is streamed: longer silence ends it. */
const silenceMilliseconds = 60_000;
const defaultMaxManifestBytes = 4 * 1024 * 1024;
const maxRedirects = 3;
const tagsPerPage = 1_000;
const maxTagPages = 100;
const maxTagPageBytes = 1024 * 1024;
const acceptedTypes = [...indexTypes, ...manifestTypes].join(', ');
const digestPattern = /^sha256:[0-9a-f]{64}$/;

/**
 * One repository of a registry elsewhere, as a client: OCI distribution specification 1.1, with Basic and Bearer
 * authentication. It may be anybody's registry: what it says is not believed but by digest, and it cannot make the hub speak to
 * addresses that the operator did not name. Throws RegistryError; messages tell apart what a registry says of images, not why
 * there was no answer: that would describe the hub's network to whoever may choose the name.
 */
export class RemoteRepository implements ImageRepository {
  readonly #o: RemoteRepositoryOptions;
  readonly #origin: string;
  readonly #isNamed: boolean;
  #authorization: string | undefined;

  constructor(options: RemoteRepositoryOptions) {
    const { image, named } = options;
    this.#o = options;
    this.#origin = `${named.insecure.has(image.registry) ? 'http' : 'https'}://${image.host}/`;
    this.#isNamed = named.insecure.has(image.registry) || named.private.has(image.registry);
  }

  async getManifest(reference: string, request: ManifestRequest): Promise<ImageManifest> {
    const { signal, accept = [], maxBytes = defaultMaxManifestBytes } = request;
    const headers = { accept: [acceptedTypes, ...accept].join(', ') };
    const answer = await this.send({ method: 'GET', path: `manifests/${reference}`, headers, signal });
    this.#check(answer, 'image');
    const bytes = await this.#collect(answer, maxBytes, signal);
    const digest = sha256Digest(bytes);
    if (reference.startsWith('sha256:') && digest !== reference) throw this.#mismatch();
    return { digest, mediaType: mediaTypeOf(answer, bytes), bytes };
  }

  async findDigest(reference: string, signal: AbortSignal): Promise<string> {
    const headers = { accept: acceptedTypes };
    const answer = await this.send({ method: 'HEAD', path: `manifests/${reference}`, headers, signal });
    answer.body.destroy();
    const digest = answer.headers['docker-content-digest'];
    if (answer.status === 200 && typeof digest === 'string' && digestPattern.test(digest)) return digest;
    // Not every registry says it, and some answer HEAD otherwise than GET.
    return (await this.getManifest(reference, { signal })).digest;
  }

  async openBlob(digest: string, request: BlobRequest): Promise<Readable> {
    const { offset = 0, sizeBytes, signal } = request;
    const headers = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const answer = await this.send({ method: 'GET', path: `blobs/${digest}`, headers, signal });
    if (offset > 0 && answer.status === 200) {
      answer.body.destroy();
      throw new RegistryError('Invalid', `${this.#name} does not send parts of a blob`);
    }
    this.#check(answer, 'blob');
    return Readable.from(this.#verified(answer, { digest, sizeBytes, offset, signal }), {
      objectMode: false,
    });
  }

  async readBlob(digest: string, { maxBytes, signal }: WholeBlobRequest): Promise<Buffer> {
    const answer = await this.send({ method: 'GET', path: `blobs/${digest}`, signal });
    this.#check(answer, 'blob');
    if (Number(answer.headers['content-length'] ?? 0) > maxBytes) {
      answer.body.destroy();
      throw this.#tooLarge('a blob', maxBytes);
    }
    const bytes = await this.#collect(answer, maxBytes, signal);
    if (sha256Digest(bytes) !== digest) throw this.#mismatch();
    return bytes;
  }

  async listTags(most: number, signal: AbortSignal): Promise<string[]> {
    const tags: string[] = [];
    let path: string | undefined = `tags/list?n=${Math.min(most, tagsPerPage)}`;
    for (let page = 0; path !== undefined && page < maxTagPages; page += 1) {
      const answer: OpenAnswer = await this.send({ method: 'GET', path, signal });
      this.#check(answer, 'repository');
      const found = tagsIn(await this.#collect(answer, maxTagPageBytes, signal));
      if (found === undefined)
        throw this.cannotBeAsked(new Error('it answered something that is no list of tags'));
      tags.push(...found);
      if (tags.length > most) throw this.#tooLarge('the list of tags', most, 'tags');
      const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(answer.headers['link'] ?? ''))?.[1];
      path = next === undefined || found.length === 0 ? undefined : this.ownAddress(next);
    }
    return tags;
  }

  /** Any request of the distribution API; redirects of a GET are followed, and the token that is asked for is fetched. */
  async send(request: RemoteRequest): Promise<OpenAnswer> {
    let answer = await this.#open(request);
    if (answer.status === 401 && !(request.body instanceof Readable)) {
      const challenge = answer.headers['www-authenticate'] ?? '';
      answer.body.destroy();
      const hadAuthorization = this.#authorization !== undefined;
      this.#authorization = await this.#answerTo(challenge, request.signal);
      if (this.#authorization !== undefined) answer = await this.#open(request);
      else if (hadAuthorization) throw this.#denied();
    }
    for (let n = 0; request.method === 'GET' && isRedirect(answer.status); n += 1) {
      answer.body.destroy();
      if (n === maxRedirects) throw this.cannotBeAsked(new Error('too many redirects'));
      answer = await this.#follow(answer.headers.location ?? '', request);
    }
    return answer;
  }

  /** An address that this registry gave (`Location`), if it is one of its own. */
  ownAddress(location: string): string {
    const url = URL.parse(location, this.#origin);
    if (url?.origin !== new URL(this.#origin).origin || url.username !== '') {
      throw new RegistryError('Invalid', `${this.#name} names an address that is not its own`);
    }
    return url.href;
  }

  cannotBeAsked(cause: unknown): RegistryError {
    return new RegistryError('Unavailable', `${this.#name} cannot be asked`, { cause });
  }

  /** Throws when the answer is none of success. */
  #check(answer: OpenAnswer, what: 'image' | 'blob' | 'repository'): void {
    const { status } = answer;
    if (status === 200 || status === 206) return;
    answer.body.destroy();
    if (status === 401 || status === 403) throw this.#denied();
    if (status === 404) throw new RegistryError('NotFound', `${this.#name} has no such ${what}`);
    if (status === 429) {
      throw new RegistryError('TooManyRequests', `${this.#name} wants fewer questions now`);
    }
    throw this.cannotBeAsked(new Error(`it answered ${status}`));
  }

  get #name(): string {
    return this.#o.image.registry;
  }

  #denied(): RegistryError {
    return new RegistryError(
      'Denied',
      this.#o.login === undefined
        ? `${this.#name} asks for credentials`
        : `${this.#name} refuses the credentials of its RegistryCredential`,
    );
  }

  #tooLarge(what: string, most: number, unit = 'bytes'): RegistryError {
    return new RegistryError('LimitExceeded', `${what} of ${this.#name} has more than ${most} ${unit}`);
  }

  #mismatch(): RegistryError {
    const cause = new Error('it answered something with another digest');
    return new RegistryError('DigestMismatch', `${this.#name} cannot be asked`, { cause });
  }

  async #open(request: RemoteRequest): Promise<OpenAnswer> {
    const { method, path, headers = {}, body, signal, isUnhurried = false } = request;
    const url = new URL(
      URL.canParse(path) ? this.ownAddress(path) : `v2/${this.#o.image.repository}/${path}`,
      this.#origin,
    );
    const authorization = this.#authorization === undefined ? {} : { authorization: this.#authorization };
    return this.#ask(url, {
      method,
      headers: { ...headers, ...authorization },
      isNamed: this.#isNamed,
      signal,
      body,
      ...(isUnhurried ? { isUnhurried } : {}),
    });
  }

  async #ask(
    url: URL,
    options: Parameters<typeof openRegistry>[1] & { isUnhurried?: boolean },
  ): Promise<OpenAnswer> {
    const late = new AbortController();
    const patience = this.#o.answerMilliseconds ?? defaultAnswerMilliseconds;
    const timer = options.isUnhurried === true ? undefined : abortAfter(late, patience);
    try {
      return await openRegistry(url, { ...options, signal: AbortSignal.any([options.signal, late.signal]) });
    } catch (cause) {
      throw this.cannotBeAsked(cause);
    } finally {
      timer?.stop();
    }
  }

  /** Content is often elsewhere. Without our credentials, and only to a public address or one that the operator named. */
  async #follow(location: string, request: RemoteRequest): Promise<OpenAnswer> {
    const { named } = this.#o;
    const url = URL.parse(location, this.#origin);
    const isOwn = url?.origin === new URL(this.#origin).origin;
    if (!url || url.username !== '' || (url.protocol !== 'https:' && !(isOwn && this.#isBlob(request)))) {
      throw this.cannotBeAsked(new Error('it sends elsewhere, and not to an address of https'));
    }
    const isNamed = (isOwn && this.#isNamed) || (this.#isNamed && named.private.has(url.host));
    const authorization =
      isOwn && this.#authorization !== undefined ? { authorization: this.#authorization } : {};
    const headers = { ...request.headers, ...authorization };
    return this.#ask(url, { method: 'GET', headers, isNamed, signal: request.signal });
  }

  #isBlob({ path }: RemoteRequest): boolean {
    return path.startsWith('blobs/');
  }

  async #answerTo(challenge: string, signal: AbortSignal): Promise<string | undefined> {
    const { image, named, login, actions = 'pull' } = this.#o;
    if (/^basic\b/i.test(challenge)) {
      if (login === undefined) throw this.#denied();
      return basicAuthorization(login);
    }
    const token = await fetchToken({
      registry: image.registry,
      origin: this.#origin,
      named,
      isNamed: this.#isNamed,
      challenge,
      scope: `repository:${image.repository}:${actions}`,
      authorization: login && basicAuthorization(login),
      signal,
    });
    return `Bearer ${token}`;
  }

  async #collect(answer: OpenAnswer, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
    const late = AbortSignal.timeout(this.#o.answerMilliseconds ?? defaultAnswerMilliseconds);
    try {
      return await collect(answer.body, maxBytes, AbortSignal.any([signal, late]));
    } catch (cause) {
      if (cause instanceof TooManyBytesError) throw this.#tooLarge('an answer', maxBytes);
      throw this.cannotBeAsked(cause);
    }
  }

  async *#verified(
    answer: OpenAnswer,
    expected: { digest: string; sizeBytes: number; offset: number; signal: AbortSignal },
  ): AsyncGenerator<Buffer> {
    const { digest, sizeBytes, offset, signal } = expected;
    // The digest of a part says nothing: whoever resumes verifies the whole.
    const hash = offset === 0 ? createHash('sha256') : undefined;
    let bytes = offset;
    answer.body.setTimeout(silenceMilliseconds, () => answer.body.destroy(new Error('it fell silent')));
    const onAbort = () => answer.body.destroy(new Error('given up'));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > sizeBytes) throw this.#mismatch();
        hash?.update(chunk);
        yield chunk;
      }
    } catch (cause) {
      throw cause instanceof RegistryError ? cause : this.cannotBeAsked(cause);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    if (bytes !== sizeBytes) throw this.cannotBeAsked(new Error('the blob ended early'));
    if (hash !== undefined && `sha256:${hash.digest('hex')}` !== digest) throw this.#mismatch();
  }
}

export function basicAuthorization({ username, password }: RegistryLogin): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function tagsIn(bytes: Buffer): string[] | undefined {
  try {
    const { tags } = JSON.parse(bytes.toString('utf8')) as { tags?: unknown };
    if (tags === null) return [];
    return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') ? tags : undefined;
  } catch {
    return undefined;
  }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function mediaTypeOf(answer: OpenAnswer, bytes: Buffer): string {
  const [header = ''] = (answer.headers['content-type'] ?? '').split(';');
  if (header.includes('vnd.')) return header.trim();
  try {
    const { mediaType } = JSON.parse(bytes.toString('utf8')) as { mediaType?: unknown };
    if (typeof mediaType === 'string') return mediaType.slice(0, 200);
  } catch {
    // Whoever reads the document finds that out in words of its own.
  }
  return header.trim();
}

function abortAfter(controller: AbortController, milliseconds: number): { stop(): void } {
  const limit = AbortSignal.timeout(milliseconds);
  const onLate = () => controller.abort(limit.reason);
  limit.addEventListener('abort', onLate, { once: true });
  return { stop: () => limit.removeEventListener('abort', onLate) };
}

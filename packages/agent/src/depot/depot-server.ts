import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Logger } from '@selvedge/api';
import { type BlobFiles, digestPattern } from './blob-files.ts';
import { registryOfPath } from './registry-path.ts';
import { allBlobs, type ImageRecords, type UsedImage } from './image-records.ts';

export interface DepotServerOptions {
  readonly files: BlobFiles;
  readonly records: ImageRecords;
  /** Someone reads of this image. */
  readonly onUse: (image: UsedImage) => void;
  readonly logger: Logger;
}

const mostConnections = 512;

interface Question {
  readonly registry: string | undefined;
  readonly repository: string;
  readonly kind: 'manifests' | 'blobs' | 'tags';
  readonly reference: string;
}

/**
 * The depot as a registry (OCI distribution specification), read only: GET and HEAD of manifests and blobs of the images that are here. Which registry an image is of
 * is the first part of its path (`/v2/registry.example/shop/till/…`) or `?ns=registry.example`, as containerd asks mirrors; without either it is Docker Hub's.
 */
export class DepotServer {
  readonly #o: DepotServerOptions;
  readonly #server: Server;

  constructor(options: DepotServerOptions) {
    this.#o = options;
    this.#server = createServer((req, res) => void this.#serve(req, res));
    this.#server.maxConnections = mostConnections;
    this.#server.requestTimeout = 30_000;
  }

  /** The port. Rejects when the address cannot be had. */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#server.on('error', (error) =>
      this.#o.logger.warn('the depot has trouble with its port', { error }),
    );
    // An agent that has nothing else to do may end.
    this.#server.unref();
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    req.resume();
    try {
      await this.#answer(req, res);
    } catch (error) {
      // The client went away in mid-answer, or the disk cannot be read.
      if (res.headersSent) res.destroy();
      else sendError(res, 500, 'UNKNOWN');
      if (!res.destroyed || !res.headersSent) this.#o.logger.warn('the depot could not answer', { error });
    }
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    res.setHeader('docker-distribution-api-version', 'registry/2.0');
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.setHeader('allow', 'GET, HEAD');
      sendError(res, 405, 'UNSUPPORTED');
      return;
    }
    const url = URL.parse(req.url ?? '', 'http://depot');
    if (url?.pathname === '/v2/' || url?.pathname === '/v2') {
      res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      return;
    }
    const question = url === null ? undefined : readQuestion(url);
    if (question === undefined) {
      sendError(res, 404, 'NAME_UNKNOWN');
      return;
    }
    const images = (await this.#o.records.all()).filter((image) => isAskedFor(image, question));
    if (images.length === 0) sendError(res, 404, 'NAME_UNKNOWN');
    else if (question.kind === 'manifests') await this.#sendManifest(question, images, { req, res });
    else if (question.kind === 'blobs') await this.#sendBlob(question, images, { req, res });
    else await this.#sendTags(question, images, res);
  }

  async #sendManifest(
    { reference }: Question,
    images: readonly UsedImage[],
    { req, res }: { req: IncomingMessage; res: ServerResponse },
  ): Promise<void> {
    const byUse = images.toSorted((a, b) => b.usedMs - a.usedMs);
    const isDigest = digestPattern.test(reference);
    // A name with a tag alone says what the tag means; beside a digest it only was so when that was made.
    const tagged =
      byUse.find((image) => image.tag === reference && image.key.endsWith(`:${reference}`)) ??
      byUse.find((image) => image.tag === reference);
    const image = isDigest
      ? byUse.find(({ manifests }) => manifests.some(({ digest }) => digest === reference))
      : tagged;
    const digest = isDigest ? reference : image?.digest;
    const manifest = image?.manifests.find((one) => one.digest === digest);
    if (image === undefined || manifest === undefined || !(await this.#o.files.has(manifest))) {
      sendError(res, 404, 'MANIFEST_UNKNOWN');
      return;
    }
    this.#o.onUse(image);
    await this.#send(manifest, manifest.mediaType, { req, res });
  }

  async #sendBlob(
    { reference }: Question,
    images: readonly UsedImage[],
    answer: { req: IncomingMessage; res: ServerResponse },
  ): Promise<void> {
    for (const image of images) {
      const blob = allBlobs(image).find(({ digest }) => digest === reference);
      if (blob === undefined || !(await this.#o.files.has(blob))) continue;
      this.#o.onUse(image);
      await this.#send(blob, 'application/octet-stream', answer);
      return;
    }
    sendError(answer.res, 404, 'BLOB_UNKNOWN');
  }

  async #sendTags(question: Question, images: readonly UsedImage[], res: ServerResponse): Promise<void> {
    const tags = [...new Set(images.flatMap(({ tag }) => tag ?? []))].sort();
    const body = JSON.stringify({ name: question.repository, tags });
    res.writeHead(200, { 'content-type': 'application/json' }).end(body);
  }

  async #send(
    { digest, sizeBytes }: { digest: string; sizeBytes: number },
    contentType: string,
    { req, res }: { req: IncomingMessage; res: ServerResponse },
  ): Promise<void> {
    const range = readRange(req.headers.range, sizeBytes);
    if (range === 'beyond') {
      res.setHeader('content-range', `bytes */${sizeBytes}`);
      sendError(res, 416, 'BLOB_UPLOAD_INVALID');
      return;
    }
    const { start, end } = range ?? { start: 0, end: sizeBytes - 1 };
    res.writeHead(range === undefined ? 200 : 206, {
      'content-type': contentType,
      'content-length': end - start + 1,
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${sizeBytes}` }),
    });
    if (req.method === 'HEAD' || sizeBytes === 0) res.end();
    else await pipeline(this.#o.files.stream(digest, { start, end }), res).catch(() => res.destroy());
  }
}

/** `docker.io` is what is meant where no registry is named: whoever asks so takes the depot for a mirror of it. */
const dockerHub = 'docker.io';

function readQuestion(url: URL): Question | undefined {
  const found = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/]+)$/.exec(url.pathname);
  const [, name = '', kind, reference = ''] = found ?? [];
  if (kind !== 'manifests' && kind !== 'blobs' && kind !== 'tags') return undefined;
  if (kind === 'tags' && reference !== 'list') return undefined;
  const asked = { kind, reference: decode(reference) } as const;
  const ns = url.searchParams.get('ns');
  if (ns !== null && ns !== '') return { ...asked, registry: ns, repository: name };
  const [first = '', ...rest] = name.split('/');
  const registry = registryOfPath(decode(first));
  if (registry !== undefined && rest.length > 0) return { ...asked, registry, repository: rest.join('/') };
  return { ...asked, registry: dockerHub, repository: name };
}

function isAskedFor(image: UsedImage, { registry, repository }: Question): boolean {
  return image.registry === registry && image.repository === repository;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** One range of bytes; anything else is answered with all of them, as RFC 9110 allows. */
function readRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'beyond' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (from === '' && to === '') return undefined;
  const start = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === '' || to === '' ? size - 1 : Math.min(size - 1, Number(to));
  return start > end ? 'beyond' : { start, end };
}

function sendError(res: ServerResponse, status: number, code: string): void {
  const message = status === 405 ? 'this registry is read only' : 'not in the depot of this site';
  res
    .writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify({ errors: [{ code, message }] }));
}

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { sha256Digest } from '@selvedge/api/node';

export interface MadeImage {
  readonly manifestDigest: string;
  readonly layers: readonly Buffer[];
}

/** A registry in memory, whose faults are chosen by the test. */
export class ImageRegistry implements AsyncDisposable {
  readonly requests: { readonly path: string; readonly range?: string; readonly authorization?: string }[] =
    [];
  /** Bytes of blobs that were sent. */
  blobBytes = 0;
  /** Closes the connection after so many bytes of a blob; counts down the times. */
  cut: { afterBytes: number; times: number } | undefined;
  /** Milliseconds per 64 KiB of a blob. */
  pauseMs = 0;
  /** Sends blobs byte by byte, this many milliseconds apart. */
  dripMs: number | undefined;
  ignoresRange = false;
  isDown = false;
  /** Answers blobs with these instead. */
  readonly lies = new Map<string, Buffer>();
  /** Asked of whoever wants anything: `Basic` by itself, or `Bearer` with a token that is handed out for this login. */
  login: { scheme: 'Basic' | 'Bearer'; username: string; password: string } | undefined;
  /** Blobs are to be had at this address. */
  redirectsTo: string | undefined;
  token = 'token-1';
  /** What a login that is not the right one is answered with; ECR says 403. */
  refusalStatus = 401;
  readonly #blobs = new Map<string, Buffer>();
  readonly #types = new Map<string, string>();
  readonly #tags = new Map<string, string>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<ImageRegistry> {
    const server = createServer();
    const registry = new ImageRegistry(server);
    server.on('request', (req, res: ServerResponse) => void registry.#answer(req, res));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  /** `host:port`. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Paths that were asked for, with this in them. */
  asked(part: string): string[] {
    return this.requests.map(({ path }) => path).filter((path) => path.includes(part));
  }

  /** An image of layers; each is random bytes of that size, or given bytes. */
  addImage(name: string, layers: readonly (number | Buffer)[], architecture = 'amd64'): MadeImage {
    const bytes = layers.map((layer) => (typeof layer === 'number' ? randomBytes(layer) : layer));
    const config = Buffer.from(
      JSON.stringify({ architecture, os: 'linux', salt: randomBytes(4).toString('hex') }),
    );
    const describe = (blob: Buffer, mediaType: string) => ({
      mediaType,
      digest: this.#add(blob),
      size: blob.length,
    });
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: describe(config, 'application/vnd.oci.image.config.v1+json'),
        layers: bytes.map((layer) => describe(layer, 'application/vnd.oci.image.layer.v1.tar')),
      }),
    );
    const manifestDigest = this.#add(manifest, mediaType);
    this.#tags.set(name, manifestDigest);
    return { manifestDigest, layers: bytes };
  }

  /** An artifact of files: one layer for each, by its title. @returns the digest of its manifest. */
  addArtifact(name: string, files: Readonly<Record<string, Buffer>>): string {
    const layers = Object.entries(files).map(([title, bytes]) => ({
      mediaType: 'application/octet-stream',
      digest: this.#add(bytes),
      size: bytes.length,
      annotations: { 'org.opencontainers.image.title': title },
    }));
    const empty = Buffer.from('{}');
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: 'application/vnd.selvedge.machine-image.v1',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: this.#add(empty), size: 2 },
      layers,
    };
    return this.addManifest(name, Buffer.from(JSON.stringify(manifest)));
  }

  /** An index of images that are here, by architecture. */
  addIndex(name: string, images: Readonly<Record<string, MadeImage>>): string {
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const manifests = Object.entries(images).map(([architecture, { manifestDigest }]) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: manifestDigest,
      size: this.#blobs.get(manifestDigest)?.length,
      platform: { os: 'linux', architecture },
    }));
    const digest = this.#add(
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests })),
      mediaType,
    );
    this.#tags.set(name, digest);
    return digest;
  }

  /** A manifest of any bytes. */
  addManifest(name: string, bytes: Buffer): string {
    const digest = this.#add(bytes, 'application/vnd.oci.image.manifest.v1+json');
    this.#tags.set(name, digest);
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #add(bytes: Buffer, type = 'application/octet-stream'): string {
    const digest = sha256Digest(bytes);
    this.#blobs.set(digest, bytes);
    this.#types.set(digest, type);
    return digest;
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const path = req.url ?? '';
    const { range, authorization } = req.headers;
    this.requests.push({
      path,
      ...(range === undefined ? {} : { range }),
      ...(authorization === undefined ? {} : { authorization }),
    });
    if (this.isDown) res.destroy();
    else if (path.startsWith('/token')) this.#sendToken(authorization, res);
    else if (!this.#isAllowed(authorization)) this.#challenge(authorization, res);
    else if (path === '/v2/') res.writeHead(200).end();
    else await this.#send(path, range, res);
  }

  async #send(path: string, range: string | undefined, res: ServerResponse): Promise<void> {
    const [, name = '', kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(path) ?? [];
    const digest = reference.startsWith('sha256:') ? reference : this.#tags.get(`${name}:${reference}`);
    const bytes = this.lies.get(digest ?? '') ?? this.#blobs.get(digest ?? '');
    if (digest === undefined || bytes === undefined) {
      res.writeHead(404).end();
      return;
    }
    if (kind === 'manifests') {
      const type = this.#types.get(digest) ?? '';
      res.writeHead(200, { 'content-type': type, 'docker-content-digest': digest }).end(bytes);
      return;
    }
    if (this.redirectsTo !== undefined) {
      res.writeHead(307, { location: `${this.redirectsTo}${path}` }).end();
      return;
    }
    const start = this.ignoresRange ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    if (start >= bytes.length && start > 0) {
      res.writeHead(416).end();
      return;
    }
    const isPart = start > 0;
    res.writeHead(isPart ? 206 : 200, {
      'content-length': bytes.length - start,
      ...(isPart ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    await this.#sendBytes(bytes.subarray(start), res);
  }

  async #sendBytes(bytes: Buffer, res: ServerResponse): Promise<void> {
    const { cut } = this;
    const isCut = cut !== undefined && cut.times > 0 && cut.afterBytes < bytes.length;
    const end = isCut ? cut.afterBytes : bytes.length;
    let at = 0;
    for (; this.dripMs !== undefined && at < end && !res.destroyed; at++) {
      res.write(bytes.subarray(at, at + 1));
      await wait(this.dripMs);
    }
    for (; at < end && !res.destroyed; at += chunkBytes) {
      const chunk = bytes.subarray(at, Math.min(end, at + chunkBytes));
      this.blobBytes += chunk.length;
      if (!res.write(chunk)) await drained(res);
      if (this.pauseMs > 0) await wait(this.pauseMs);
    }
    if (!isCut) {
      res.end();
      return;
    }
    cut.times -= 1;
    // What was written goes out before the connection does.
    res.socket?.end();
  }

  #isAllowed(authorization: string | undefined): boolean {
    const { login, token } = this;
    if (login === undefined) return true;
    return authorization === (login.scheme === 'Bearer' ? `Bearer ${token}` : basic(login));
  }

  #challenge(authorization: string | undefined, res: ServerResponse): void {
    const realm =
      this.login?.scheme === 'Bearer'
        ? `Bearer realm="http://${this.address}/token",service="test"`
        : 'Basic realm="test"';
    const status = authorization === undefined ? 401 : this.refusalStatus;
    res.writeHead(status, status === 401 ? { 'www-authenticate': realm } : {}).end();
  }

  #sendToken(authorization: string | undefined, res: ServerResponse): void {
    if (this.login === undefined || authorization !== basic(this.login)) res.writeHead(401).end();
    else res.writeHead(200).end(JSON.stringify({ token: this.token }));
  }
}

const chunkBytes = 64 * 1024;

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Or closed. */
async function drained(res: ServerResponse): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([once(res, 'drain', { signal }), once(res, 'close', { signal })]).catch(() => {});
  over.abort();
}

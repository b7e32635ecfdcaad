import { readFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
}

const chunkBytes = 256 * 1024;

/** Serves images without TLS, from folders as `podman save --format oci-dir` writes them. */
export class TestRegistry implements AsyncDisposable {
  /** Milliseconds per 256 KiB of a blob. */
  pauseMs = 0;
  /** Answers nothing any more. */
  isDown = false;
  /** Paths that were asked for. */
  readonly requests: string[] = [];
  readonly #images = new Map<string, { folder: string; manifest: Descriptor }>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<TestRegistry> {
    const server = createServer();
    const registry = new TestRegistry(server);
    server.on('request', (req, res: ServerResponse) => void registry.#answer(req.url ?? '', res));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  /** `host:port`. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Serves the image of a folder as `<address>/<name>:1`. @returns its digest. */
  async add(name: string, folder: string): Promise<string> {
    const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as {
      manifests: Descriptor[];
    };
    const [manifest] = index.manifests;
    if (!manifest) throw new Error(`there is no image in ${folder}`);
    this.#images.set(name, { folder, manifest });
    return manifest.digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(url: string, res: ServerResponse): Promise<void> {
    this.requests.push(url);
    if (this.isDown) {
      res.destroy();
      return;
    }
    const [, name = '', kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
    const image = this.#images.get(name);
    if (!image) {
      res.writeHead(url === '/v2/' ? 200 : 404).end();
      return;
    }
    const digest = kind === 'manifests' ? image.manifest.digest : reference;
    const bytes = await readFile(join(image.folder, 'blobs', digest.replace(':', '/')));
    const type = kind === 'manifests' ? image.manifest.mediaType : 'application/octet-stream';
    res.writeHead(200, {
      'content-type': type,
      'content-length': bytes.length,
      'docker-content-digest': digest,
    });
    for (let at = 0; at < bytes.length && !res.destroyed; at += chunkBytes) {
      res.write(bytes.subarray(at, at + chunkBytes));
      if (this.pauseMs > 0) await wait(this.pauseMs);
    }
    res.end();
  }
}

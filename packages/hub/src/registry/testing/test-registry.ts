import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sha256Digest } from '@selvedge/api/node';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

export interface TestImage {
  /** Architecture → name of layer → size. One architecture without index: `single`. */
  readonly layers: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly isSingle?: boolean;
}

/**
 * A registry on loopback that speaks the part of the OCI distribution API that sizes are asked by: manifests and indexes by
 * tag and digest, and bearer tokens for anonymous pulls.
 */
export class TestRegistry implements AsyncDisposable {
  readonly host: string;
  /** Method and path of every request, in order. */
  readonly requests: string[] = [];
  /** Connections that were opened. */
  connections = 0;
  /** Most requests in work at once. */
  mostAtOnce = 0;
  wantsToken = false;
  /** Answers instead of the registry's own. */
  override: ((req: IncomingMessage, res: ServerResponse) => boolean) | undefined;
  readonly #server: Server;
  readonly #manifests = new Map<string, { type: string; body: string }>();
  #atOnce = 0;

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<TestRegistry> {
    const started: { registry?: TestRegistry } = {};
    const server = createServer((req, res) => started.registry?.answer(req, res));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const registry = new TestRegistry(server);
    started.registry = registry;
    server.on('connection', () => {
      registry.connections += 1;
    });
    return registry;
  }

  /** Returns the name by which it can be asked for. */
  add(repository: string, tag: string, { layers, isSingle = false }: TestImage): string {
    const manifests = Object.entries(layers).map(([architecture, sizes]) => {
      const body = JSON.stringify({
        schemaVersion: 2,
        mediaType: manifestType,
        config: {
          mediaType: 'application/vnd.oci.image.config.v1+json',
          ...layer(`config ${tag} ${architecture}`, 100),
        },
        layers: Object.entries(sizes).map(([name, size]) => layer(name, size)),
      });
      const digest = sha256Digest(body);
      this.#manifests.set(`${repository} ${digest}`, { type: manifestType, body });
      const platform = { os: 'linux', architecture };
      return { body, entry: { mediaType: manifestType, digest, size: body.length, platform } };
    });
    const [only] = manifests;
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: indexType,
      manifests: manifests.map(({ entry }) => entry),
    });
    const top = isSingle && only ? { type: manifestType, body: only.body } : { type: indexType, body: index };
    this.#manifests.set(`${repository} ${tag}`, top);
    this.#manifests.set(`${repository} ${sha256Digest(top.body)}`, top);
    return `${this.host}/${repository}:${tag}`;
  }

  answer(req: IncomingMessage, res: ServerResponse): void {
    this.requests.push(`${req.method} ${req.url}`);
    this.#atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    res.on('close', () => {
      this.#atOnce -= 1;
    });
    if (this.override?.(req, res)) return;
    const url = new URL(req.url ?? '/', `http://${this.host}`);
    if (url.pathname === '/token') {
      const scope = url.searchParams.get('scope') ?? '';
      res.end(JSON.stringify({ token: `for ${scope}`.replaceAll(' ', '-') }));
      return;
    }
    const [, repository = '', reference = ''] = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(url.pathname) ?? [];
    if (this.wantsToken && req.headers.authorization !== `Bearer for-repository:${repository}:pull`) {
      const challenge = `Bearer realm="http://${this.host}/token",service="test",scope="repository:${repository}:pull"`;
      res.writeHead(401, { 'www-authenticate': challenge }).end('{}');
      return;
    }
    const found = this.#manifests.get(`${repository} ${reference}`);
    if (found === undefined) {
      res.writeHead(404).end(JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN' }] }));
      return;
    }
    res.writeHead(200, { 'content-type': found.type }).end(found.body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

function layer(name: string, size: number): { digest: string; size: number } {
  return { digest: sha256Digest(name), size };
}

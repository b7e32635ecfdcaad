import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sha256Digest } from '@selvedge/api/node';
import { packTar } from 'modern-tar';
import { gzipSync } from 'node:zlib';

/** Files by path, over http at loopback: a chart repository, or what is read of a registry. */
export class FileServer implements AsyncDisposable {
  readonly host: string;
  /** `METHOD path` of every request, with the status of the answer. */
  readonly requests: string[] = [];
  login: { username: string; password: string } | undefined;
  readonly #server: Server;
  readonly #files = new Map<string, { bytes: Buffer; headers: Record<string, string> }>();

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<FileServer> {
    const started: { server?: FileServer } = {};
    const server = createServer((req, res) => started.server?.answer(req, res));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    started.server = new FileServer(server);
    return started.server;
  }

  set(path: string, content: string | Uint8Array, headers: Record<string, string> = {}): void {
    const bytes = Buffer.from(content);
    this.#files.set(path, { bytes, headers: { etag: `"${sha256Digest(bytes)}"`, ...headers } });
  }

  delete(path: string): void {
    this.#files.delete(path);
  }

  /** An artifact of a registry: its layers, and its manifest by tag and digest. Returns the digest. */
  addArtifact(
    repository: string,
    tag: string,
    layers: readonly { mediaType: string; content: string | Uint8Array; title?: string }[],
  ): string {
    const add = (content: string | Uint8Array) => {
      const bytes = Buffer.from(content);
      const digest = sha256Digest(bytes);
      this.set(`/v2/${repository}/blobs/${digest}`, bytes);
      return { digest, size: bytes.length };
    };
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', ...add('{}') },
      layers: layers.map(({ mediaType, content, title }) => ({
        mediaType,
        ...add(content),
        ...(title === undefined ? {} : { annotations: { 'org.opencontainers.image.title': title } }),
      })),
    });
    const digest = sha256Digest(manifest);
    const headers = { 'content-type': type, 'docker-content-digest': digest };
    this.set(`/v2/${repository}/manifests/${tag}`, manifest, headers);
    this.set(`/v2/${repository}/manifests/${digest}`, manifest, headers);
    return digest;
  }

  answer(req: IncomingMessage, res: ServerResponse): void {
    const [path = ''] = (req.url ?? '').split('?');
    const status = this.#status(req, path);
    this.requests.push(`${req.method} ${path} ${status}`);
    const file = this.#files.get(path);
    const headers = status === 401 ? { 'www-authenticate': 'Basic realm="test"' } : (file?.headers ?? {});
    res.writeHead(status, {
      ...headers,
      ...(status === 200 ? { 'content-length': file?.bytes.length } : {}),
    });
    res.end(status === 200 && req.method !== 'HEAD' ? file?.bytes : undefined);
  }

  #status(req: IncomingMessage, path: string): number {
    const { login } = this;
    const wanted = login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
    if (wanted !== undefined && req.headers.authorization !== wanted) return 401;
    const file = this.#files.get(path);
    if (!file) return 404;
    return req.headers['if-none-match'] === file.headers['etag'] ? 304 : 200;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export async function packFiles(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const entries = Object.entries(files).map(([name, text]) => ({
    header: { name, size: Buffer.byteLength(text), type: 'file' as const },
    body: text,
  }));
  return gzipSync(await packTar(entries));
}

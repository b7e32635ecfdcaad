import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { loopbackCertificate } from '../loopback-certificate.ts';
import { getTool } from '../require-tool.ts';
import { plainGitEnvironment } from './git-repository.ts';

export interface GitHttpServerOptions {
  /** Repositories are below it. */
  readonly folder: string;
  /** https, with a certificate that nobody knows. */
  readonly isSecure?: boolean;
  /** Who may read and push; default everybody. */
  readonly login?: { readonly username: string; readonly password: string };
  /** Called before git is; true: it has answered itself. */
  readonly intercept?: (req: IncomingMessage, res: ServerResponse) => boolean;
  /** Older versions of the protocol, whatever is asked for. */
  readonly isOld?: boolean;
}

export interface GitHttpServer {
  /** Address of a repository below the folder. */
  url(path: string): string;
  readonly port: number;
  /** PEM; with `isSecure`. */
  readonly certificate: string;
  /** `METHOD path?query` of every request. */
  readonly requests: readonly string[];
  /** Bytes that it has sent. */
  readonly sentBytes: number;
  close(): Promise<void>;
}

/** git's own server, git-http-backend, at a loopback address; others can push to it. */
export async function startGitHttpServer(options: GitHttpServerOptions): Promise<GitHttpServer> {
  const requests: string[] = [];
  const sent = { bytes: 0 };
  const handle: RequestListener = (req, res) => {
    requests.push(`${req.method} ${req.url}`);
    if (options.intercept?.(req, res)) return;
    if (options.login !== undefined && req.headers.authorization !== basic(options.login)) {
      res.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
      return;
    }
    answerByGit(req, res, { ...options, sent });
  };
  const { key, certificate } = options.isSecure ? await loopbackCertificate() : { key: '', certificate: '' };
  const server = options.isSecure
    ? createSecureServer({ key, cert: certificate }, handle)
    : createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: (path) => `${options.isSecure ? 'https' : 'http'}://127.0.0.1:${port}/${path}`,
    port,
    certificate,
    requests,
    get sentBytes() {
      return sent.bytes;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function answerByGit(
  req: IncomingMessage,
  res: ServerResponse,
  { folder, login, isOld, sent }: GitHttpServerOptions & { sent: { bytes: number } },
): void {
  const url = new URL(req.url ?? '/', 'http://host');
  const child = spawn(getTool('git'), ['http-backend'], {
    env: {
      ...plainGitEnvironment(),
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: req.method ?? 'GET',
      CONTENT_TYPE: req.headers['content-type'] ?? '',
      CONTENT_LENGTH: req.headers['content-length'] ?? '',
      HTTP_CONTENT_ENCODING: String(req.headers['content-encoding'] ?? ''),
      REMOTE_USER: login?.username ?? 'test',
      REMOTE_ADDR: '127.0.0.1',
      ...(isOld ? {} : { GIT_PROTOCOL: String(req.headers['git-protocol'] ?? '') }),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.on('error', () => res.destroy());
  child.stdin.on('error', () => undefined);
  res.on('close', () => child.kill());
  req.pipe(child.stdin);
  let head = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    sent.bytes += chunk.length;
    if (res.headersSent) {
      res.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) return;
    let status = 200;
    for (const line of head.subarray(0, end).toString('latin1').split('\r\n')) {
      const [name = '', value = ''] = line.split(/:\s*/, 2);
      if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
      else res.setHeader(name, value);
    }
    res.writeHead(status);
    res.write(head.subarray(end + 4));
  });
  child.stdout.on('end', () => res.end());
}

import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { request } from 'node:http';
import { connect as connectTls, getCACertificates } from 'node:tls';

export interface TunnelOptions {
  readonly host: string;
  readonly port: number;
  readonly proxy: URL | undefined;
  /** CAs (PEM) for an `https:` proxy, beside those that Node trusts. */
  readonly proxyCas?: readonly string[];
  /** Silence longer than this ends the attempt. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A TCP connection to the host, through the proxy when there is one. A black hole is noticed after `timeoutMs`. */
export async function openTunnel(options: TunnelOptions): Promise<Socket> {
  const { proxy } = options;
  if (proxy === undefined) return connect({ host: options.host, port: options.port }, options);
  const proxyPort = Number(proxy.port) || (proxy.protocol === 'https:' ? 443 : 80);
  const toProxy = await connect({ host: unbracket(proxy.hostname), port: proxyPort }, options);
  const socket = proxy.protocol === 'https:' ? await startProxyTls(toProxy, proxy, options) : toProxy;
  try {
    return await askForTunnel(socket, proxy, options);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** `[::1]`, as URLs write it, to `::1`. */
export function unbracket(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/** Resolves when `event` came; destroys the socket and rejects on error, silence or the signal. */
export function waitForSocket(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  options: Pick<TunnelOptions, 'timeoutMs' | 'signal'> & { what: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      stop();
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const onTimeout = () => fail(new Error(`${options.what}: no answer within ${options.timeoutMs} ms`));
    const onAbort = () => fail(new Error(`${options.what}: stopped`));
    const onClose = () => fail(new Error(`${options.what}: the other side closed the connection`));
    const onReady = () => {
      stop();
      resolve();
    };
    const stop = () => {
      socket.setTimeout(0);
      socket.off('timeout', onTimeout).off('error', fail).off('close', onClose).off(event, onReady);
      options.signal.removeEventListener('abort', onAbort);
    };
    socket.setTimeout(options.timeoutMs);
    socket.on('timeout', onTimeout).on('error', fail).on('close', onClose).on(event, onReady);
    options.signal.addEventListener('abort', onAbort);
    if (options.signal.aborted) onAbort();
  });
}

async function connect(address: { host: string; port: number }, options: TunnelOptions): Promise<Socket> {
  const socket = connectTcp({
    ...address,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    noDelay: true,
  });
  await waitForSocket(socket, 'connect', {
    ...options,
    what: `connecting to ${address.host}:${address.port}`,
  });
  return socket;
}

async function startProxyTls(socket: Socket, proxy: URL, options: TunnelOptions): Promise<Socket> {
  const host = unbracket(proxy.hostname);
  const extra = options.proxyCas ?? [];
  const secure = connectTls({
    socket,
    host,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(extra.length === 0 ? {} : { ca: [...getCACertificates('default'), ...extra] }),
  });
  try {
    await waitForSocket(secure, 'secureConnect', { ...options, what: `TLS with the proxy ${proxy.host}` });
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    const isDistrust = /CERT|ISSUER|SIGNATURE/.test(code);
    const hint = isDistrust ? '; a CA of your own is given with --ca-file' : '';
    throw new Error(`the proxy ${proxy.host}: ${message}${hint}`, { cause });
  }
  return secure;
}

function askForTunnel(socket: Socket, proxy: URL, options: TunnelOptions): Promise<Socket> {
  const target = `${options.host.includes(':') ? `[${options.host}]` : options.host}:${options.port}`;
  return new Promise((resolve, reject) => {
    const ask = request({
      method: 'CONNECT',
      path: target,
      createConnection: () => socket,
      headers: { host: target, ...proxyAuthorization(proxy) },
      signal: options.signal,
    });
    ask.setTimeout(options.timeoutMs, () =>
      ask.destroy(new Error(`the proxy ${proxy.host} did not answer within ${options.timeoutMs} ms`)),
    );
    ask.once('connect', (response, tunnel, head) => {
      if (response.statusCode !== 200) {
        const hint = response.statusCode === 407 ? '; put user and password into HTTPS_PROXY' : '';
        reject(
          new Error(`the proxy ${proxy.host} refused the way to ${target}: ${response.statusCode}${hint}`),
        );
        return;
      }
      tunnel.setTimeout(0);
      if (head.length > 0) tunnel.unshift(head);
      resolve(tunnel as Socket);
    });
    ask.once('response', (response) => {
      response.resume();
      reject(new Error(`the proxy ${proxy.host} refused the way to ${target}: ${response.statusCode}`));
    });
    ask.once('error', reject);
    ask.end();
  });
}

function proxyAuthorization(proxy: URL): Record<string, string> {
  if (proxy.username === '') return {};
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
}

/** The kernel asks a silent other side whether it still lives. */
const keepAliveMs = 15_000;

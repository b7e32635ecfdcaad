import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { FuzzRequest } from './fuzz-request.ts';

export interface FuzzServer {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  /** Of somebody who may do everything: so the fuzzer gets everywhere. */
  readonly key: string;
  readonly cert: string;
}

/** Beyond, the server hangs. */
const patienceMs = 60_000;
/** A stream that goes on is good enough. */
const enoughBytes = 1024 * 1024;

/** An HTTP/2 connection that is made anew when the server (or its own client library) has closed it. */
export class FuzzConnection {
  readonly #server: FuzzServer;
  #session: ClientHttp2Session | undefined;

  constructor(server: FuzzServer) {
    this.#server = server;
  }

  /** The status; 0 when the server or the client library refused the request as a whole. Rejects when there is no answer. */
  async send({ method, path, headers, body }: FuzzRequest): Promise<number> {
    const session = await this.#open();
    return new Promise((resolve, reject) => {
      let stream: ReturnType<ClientHttp2Session['request']>;
      try {
        stream = session.request({ ...headers, ':method': method, ':path': path || '/' });
      } catch {
        // What cannot be put on the wire by this library goes over raw connections.
        resolve(0);
        return;
      }
      let status = 0;
      let bytes = 0;
      const timer = setTimeout(() => {
        stream.destroy();
        reject(new Error(`no answer within ${patienceMs} ms`));
      }, patienceMs);
      stream.on('response', (answer) => (status = Number(answer[':status'])));
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > enoughBytes) stream.close();
      });
      stream.on('error', () => {});
      stream.on('close', () => {
        clearTimeout(timer);
        resolve(status);
      });
      stream.end(body);
    });
  }

  close(): void {
    this.#session?.destroy();
  }

  async #open(): Promise<ClientHttp2Session> {
    const present = this.#session;
    if (present && !present.closed && !present.destroyed) return present;
    const { host, port, ca, key, cert } = this.#server;
    const session = connect(`https://${host}:${port}`, { ca, key, cert });
    session.on('error', () => {});
    await once(session, 'connect');
    this.#session = session;
    return session;
  }
}

/** Sends bytes as they are over a new TLS connection; what the server said within a moment of silence. */
export async function sendRaw(
  server: FuzzServer,
  protocol: 'http/1.1' | 'h2',
  bytes: Uint8Array,
): Promise<Buffer> {
  const { host, port, ca, key, cert } = server;
  const socket: TLSSocket = connectTls({ host, port, ca, key, cert, ALPNProtocols: [protocol] });
  const chunks: Buffer[] = [];
  let size = 0;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size < enoughBytes) chunks.push(chunk);
  });
  await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]);
  socket.write(bytes);
  // Long enough for an answer, short enough for thousands of them; the server's own time-outs are tested elsewhere.
  const silent = new Promise((resolve) => setTimeout(resolve, 50));
  await Promise.race([silent, once(socket, 'close')]);
  socket.destroy();
  return Buffer.concat(chunks);
}

import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { once } from 'node:events';

/** Where an API is and who asks, as it crosses to the load program. */
export interface ApiAddress {
  readonly server: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly insecureSkipTlsVerify: boolean;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
}

/** As Go's transport, which client-go uses: 4 MiB for a stream, 1 GiB for the connection. */
const streamWindow = 4 << 20;
const connectionWindow = 1 << 30;

/** One HTTP/2 connection, as client-go keeps one to a server. Asks for no compression. */
export class Connection {
  readonly #session: ClientHttp2Session;
  readonly #headers: Readonly<Record<string, string>>;

  private constructor(session: ClientHttp2Session, token: string | undefined) {
    this.#session = session;
    this.#headers = {
      accept: 'application/json',
      'user-agent': 'selvedge-bench',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
  }

  static async open({
    server,
    token,
    insecureSkipTlsVerify,
    ca,
    cert,
    key,
  }: ApiAddress): Promise<Connection> {
    const session = connect(server, {
      ca,
      cert,
      key,
      rejectUnauthorized: !insecureSkipTlsVerify,
      settings: { initialWindowSize: streamWindow },
    });
    await once(session, 'connect');
    session.setLocalWindowSize(connectionWindow);
    return new Connection(session, token);
  }

  /** The whole answer as text. Throws when its status is not 2xx. */
  async request(call: Call): Promise<string> {
    const chunks: Buffer[] = [];
    await this.drain(call, (chunk) => chunks.push(chunk));
    const [only] = chunks;
    return (chunks.length === 1 && only ? only : Buffer.concat(chunks)).toString('utf8');
  }

  /**
   * Hands out the bytes of the answer as they come; resolves behind the last. `onBegun`: its head is there. Throws when
   * its status is not 2xx.
   */
  drain(call: Call, onChunk: (chunk: Buffer) => void, onBegun = () => {}): Promise<void> {
    const { method, path, body, contentType = 'application/json' } = call;
    const stream = this.#session.request(
      {
        ...this.#headers,
        ':method': method,
        ':path': path,
        ...(body === undefined ? {} : { 'content-type': contentType }),
      },
      { endStream: body === undefined },
    );
    if (body !== undefined) stream.end(body);
    return new Promise((resolve, reject) => {
      let status = 0;
      let refusal = '';
      stream.on('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => {
        status = headers[':status'] ?? 0;
        if (status < 300) onBegun();
      });
      stream.on('data', (chunk: Buffer) => {
        if (status < 300) onChunk(chunk);
        else refusal += chunk.toString();
      });
      stream.on('end', () => {
        if (status >= 200 && status < 300) resolve();
        else reject(new Error(`${method} ${path}: ${status} ${refusal.slice(0, 500)}`));
      });
      stream.on('error', reject);
    });
  }

  /** An answer that has no end, as a watch: `begun` when its head is there. */
  open(call: Call): { begun: Promise<void>; end: () => void } {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stream = this.#session.request({ ...this.#headers, ':method': call.method, ':path': call.path });
    stream.on('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => {
      if (headers[':status'] === 200) resolve();
      else reject(new Error(`${call.method} ${call.path}: ${headers[':status']}`));
    });
    stream.on('error', reject);
    stream.resume();
    return { begun: promise, end: () => stream.destroy() };
  }

  close(): void {
    this.#session.destroy();
  }
}

import { request as requestPlain } from 'node:http';
import { Agent, request as requestTls } from 'node:https';

export interface ApiRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** A text is sent as it is, anything else as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly warnings: readonly string[];
}

export interface ApiAddress {
  readonly name: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly ca?: Buffer;
  readonly close: () => Promise<void>;
}

/** One of the servers whose answers are compared. */
export class ApiUnderComparison {
  readonly name: string;
  readonly #address: ApiAddress;
  readonly #agent: Agent | undefined;

  constructor(address: ApiAddress) {
    this.name = address.name;
    this.#address = address;
    if (address.ca) this.#agent = new Agent({ keepAlive: true, ca: address.ca, maxSockets: 4 });
  }

  send({ method, path, body, contentType = 'application/json' }: ApiRequest): Promise<ApiAnswer> {
    const { url, headers } = this.#address;
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    const options = {
      method,
      headers: {
        ...headers,
        accept: 'application/json',
        'user-agent': 'comparison/1.0',
        ...(text === undefined
          ? {}
          : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
      },
      ...(this.#agent ? { agent: this.#agent } : {}),
    };
    return new Promise((resolve, reject) => {
      const send = this.#agent ? requestTls : requestPlain;
      const req = send(`${url}${path}`, options, (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk)).once('error', reject);
        res.once('end', () => {
          const warning = res.headers['warning'];
          const warnings = warning === undefined ? [] : warning.split(/, (?=299 - )/);
          resolve({ status: res.statusCode ?? 0, body: parse(Buffer.concat(chunks).toString()), warnings });
        });
      });
      req.once('error', reject).end(text);
    });
  }

  /** For kubectl. */
  kubeconfig(): object {
    const { url, headers, ca } = this.#address;
    const token = headers?.['authorization']?.replace('Bearer ', '');
    const cluster = { server: url, ...(ca ? { 'certificate-authority-data': ca.toString('base64') } : {}) };
    return {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: this.name, cluster }],
      users: [{ name: this.name, user: token === undefined ? {} : { token } }],
      contexts: [{ name: this.name, context: { cluster: this.name, user: this.name } }],
      'current-context': this.name,
    };
  }

  async close(): Promise<void> {
    this.#agent?.destroy();
    await this.#address.close();
  }
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { text };
  }
}

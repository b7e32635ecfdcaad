import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** As ECR: twelve hours. */
const lifetimeMs = 12 * 3_600_000;
/** As AWS: a signature counts for five minutes either way. */
const toleratedMs = 300_000;

export interface FakeEcrOptions {
  readonly region: string;
  /** Secret key by access key id. */
  readonly keys: Readonly<Record<string, string>>;
  /** When it is, for it and for whoever signs. */
  readonly now: () => Date;
}

/** The one call of ECR that a login needs, with signatures proven as AWS documents them (SigV4), on loopback. */
export class FakeEcr implements AsyncDisposable {
  /** Tokens that were given, the newest last. */
  readonly tokens: string[] = [];
  /** Requests that came, whatever became of them. */
  requests = 0;
  /** Answers like a service in trouble. */
  isBroken = false;
  readonly #options: FakeEcrOptions;
  readonly #server: Server;

  private constructor(options: FakeEcrOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on('request', (req, res) => {
      void this.#answer(req).then(({ status, body }) => {
        res.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body));
      });
    });
  }

  static async start(options: FakeEcrOptions): Promise<FakeEcr> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FakeEcr(options, server);
  }

  /** `host:port`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get endpoint(): string {
    return `http://${this.host}/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(req: IncomingMessage): Promise<{ status: number; body: object }> {
    this.requests += 1;
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (this.isBroken)
      return { status: 503, body: { __type: 'ServiceUnavailableException', message: 'try later' } };
    const target = req.headers['x-amz-target'];
    if (target !== 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken') {
      return { status: 400, body: { __type: 'UnknownOperationException', message: String(target) } };
    }
    const fault = this.#findFault(req, body);
    if (fault !== undefined)
      return { status: 400, body: { __type: 'com.amazonaws#' + fault, message: fault } };
    const token = `token-${this.tokens.length + 1}-of-${createHash('sha256').update(this.host).digest('hex')}`;
    this.tokens.push(token);
    const expiresAt = (this.#options.now().getTime() + lifetimeMs) / 1000;
    const authorizationToken = Buffer.from(`AWS:${token}`).toString('base64');
    return {
      status: 200,
      body: { authorizationData: [{ authorizationToken, expiresAt, proxyEndpoint: this.endpoint }] },
    };
  }

  /** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
  #findFault(req: IncomingMessage, body: Buffer): string | undefined {
    const match =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/ecr\/aws4_request, *SignedHeaders=([^,]+), *Signature=([0-9a-f]{64})$/.exec(
        req.headers.authorization ?? '',
      );
    if (match === null) return 'IncompleteSignatureException';
    const [, keyId = '', date = '', region = '', names = '', signature = ''] = match;
    const secret = this.#options.keys[keyId];
    if (secret === undefined || region !== this.#options.region) return 'UnrecognizedClientException';
    const time = String(req.headers['x-amz-date'] ?? '');
    const iso = time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
    const ageMs = Math.abs(this.#options.now().getTime() - Date.parse(iso));
    if (!(ageMs <= toleratedMs) || !time.startsWith(date)) return 'InvalidSignatureException';
    const signed = names.split(';');
    if (!signed.includes('host') || !signed.includes('x-amz-date')) return 'InvalidSignatureException';
    const headers = signed.map(
      (name) =>
        `${name}:${String(req.headers[name] ?? '')
          .trim()
          .replaceAll(/ +/g, ' ')}\n`,
    );
    const path = new URL(req.url ?? '/', this.endpoint).pathname;
    const canonical = [req.method, path, '', headers.join(''), names, sha256(body)].join('\n');
    const scope = `${date}/${region}/ecr/aws4_request`;
    const text = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n');
    const key = [date, region, 'ecr', 'aws4_request'].reduce<Buffer>(hmac, Buffer.from(`AWS4${secret}`));
    const isRight = timingSafeEqual(hmac(key, text), Buffer.from(signature, 'hex'));
    return isRight ? undefined : 'InvalidSignatureException';
  }
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

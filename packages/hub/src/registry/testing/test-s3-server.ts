import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface S3Object {
  readonly bytes: Buffer;
  readonly modifiedAt: Date;
}

interface Multipart {
  readonly key: string;
  readonly startedAt: Date;
  readonly parts: Map<number, Buffer>;
}

interface S3Call {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly req: IncomingMessage;
  readonly body: Buffer;
}

class S3Fault extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

/** S3 refuses smaller parts but the last; tests have less to send. */
const smallestPartBytes = 64 * 1024;
const pageSize = 3;

/**
 * An object store on loopback that speaks the part of the S3 API that a registry is kept by, and is strict about it: every signature (Signature
 * Version 4, over the whole payload) is verified, parts have a least size, lists come in small pages.
 */
export class TestS3Server implements AsyncDisposable {
  readonly endpoint: URL;
  readonly bucket = 'images';
  readonly credentials = { accessKeyId: 'registry', secretAccessKey: 'a-secret-of-the-bucket' };
  readonly objects = new Map<string, S3Object>();
  readonly multiparts = new Map<string, Multipart>();
  /** `METHOD key` of every request, in order. */
  readonly requests: string[] = [];
  /** Largest body of a request. */
  largestBody = 0;
  /** Answers instead, when it returns a status. */
  failing: ((method: string, key: string) => number | undefined) | undefined;
  /** When objects are said to be written. */
  now: () => Date = () => new Date();
  readonly #server: Server;
  #uploads = 0;

  private constructor(server: Server) {
    this.#server = server;
    this.endpoint = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  static async start(): Promise<TestS3Server> {
    const started: { store?: TestS3Server } = {};
    const server = createServer((req, res) => void started.store?.answer(req, res));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    started.store = new TestS3Server(server);
    return started.store;
  }

  async answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', this.endpoint);
    const [, bucket = '', key = ''] = /^\/([^/]+)(?:\/(.*))?$/.exec(url.pathname) ?? [];
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of req) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks);
      this.requests.push(`${req.method} ${key}`);
      this.largestBody = Math.max(this.largestBody, body.length);
      const fault = this.failing?.(req.method ?? '', key);
      if (fault !== undefined) throw new S3Fault(fault, 'SlowDown');
      this.#checkSignature(req, url, body);
      if (bucket !== this.bucket) throw new S3Fault(404, 'NoSuchBucket');
      this.#route({ method: req.method ?? '', key, query: url.searchParams, req, body }, res);
    } catch (error) {
      const { status, code } = error instanceof S3Fault ? error : new S3Fault(500, 'InternalError');
      res.writeHead(status).end(req.method === 'HEAD' ? undefined : `<Error><Code>${code}</Code></Error>`);
    }
  }

  #route(call: S3Call, res: ServerResponse): void {
    const { method, key, query } = call;
    const kind = `${method}${key === '' ? ' bucket' : ''}${query.has('uploads') ? ' uploads' : ''}${query.has('uploadId') ? ' upload' : ''}`;
    const routes: Record<string, () => void> = {
      'GET bucket': () => this.#list(query, res),
      'GET bucket uploads': () => this.#listUploads(res),
      'POST uploads': () => {
        const id = `upload&${++this.#uploads}`;
        this.multiparts.set(id, { key, startedAt: this.now(), parts: new Map() });
        res.end(`<Result><UploadId>${id.replace('&', '&amp;')}</UploadId></Result>`);
      },
      'PUT upload': () => this.#putPart(call, res),
      'POST upload': () => this.#complete(call, res),
      'DELETE upload': () =>
        res.writeHead(this.multiparts.delete(query.get('uploadId') ?? '') ? 204 : 404).end(),
      PUT: () => {
        const bytes = this.#copied(call) ?? call.body;
        this.objects.set(key, { bytes, modifiedAt: this.now() });
        res.writeHead(200, { etag: etagOf(bytes) }).end('<CopyObjectResult></CopyObjectResult>');
      },
      GET: () => this.#get(call, res),
      HEAD: () => {
        const { bytes, modifiedAt } = this.#object(key);
        res
          .writeHead(200, { 'content-length': bytes.length, 'last-modified': modifiedAt.toUTCString() })
          .end();
      },
      DELETE: () => {
        this.objects.delete(key);
        res.writeHead(204).end();
      },
    };
    const route = routes[kind];
    if (route === undefined) throw new S3Fault(501, 'NotImplemented');
    route();
  }

  #object(key: string): S3Object {
    const found = this.objects.get(key);
    if (found === undefined) throw new S3Fault(404, 'NoSuchKey');
    return found;
  }

  #get({ key, req }: S3Call, res: ServerResponse): void {
    const { bytes } = this.#object(key);
    const [, first = '', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? [];
    if (first === '') {
      res.writeHead(200, { 'content-length': bytes.length }).end(bytes);
      return;
    }
    if (Number(first) >= bytes.length) throw new S3Fault(416, 'InvalidRange');
    const part = bytes.subarray(Number(first), last === '' ? undefined : Number(last) + 1);
    res.writeHead(206, { 'content-length': part.length }).end(part);
  }

  #copied({ req }: S3Call): Buffer | undefined {
    const source = req.headers['x-amz-copy-source'];
    if (typeof source !== 'string') return undefined;
    const { bytes } = this.#object(source.replace(`/${this.bucket}/`, ''));
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(String(req.headers['x-amz-copy-source-range'])) ?? [];
    return first === undefined ? bytes : bytes.subarray(Number(first), Number(last) + 1);
  }

  #putPart(call: S3Call, res: ServerResponse): void {
    const upload = this.#multipart(call);
    const bytes = this.#copied(call) ?? call.body;
    upload.parts.set(Number(call.query.get('partNumber')), bytes);
    res.writeHead(200, { etag: etagOf(bytes) });
    res.end(`<CopyPartResult><ETag>${etagOf(bytes).replaceAll('"', '&quot;')}</ETag></CopyPartResult>`);
  }

  #complete(call: S3Call, res: ServerResponse): void {
    const upload = this.#multipart(call);
    const listed = [
      ...call.body.toString('utf8').matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]*)<\/ETag>/g),
    ];
    const parts = listed.map(([, number, etag = ''], i) => {
      const bytes = upload.parts.get(Number(number));
      if (bytes === undefined || etagOf(bytes) !== etag.replaceAll('&quot;', '"'))
        throw new S3Fault(400, 'InvalidPart');
      if (bytes.length < smallestPartBytes && i < listed.length - 1) throw new S3Fault(400, 'EntityTooSmall');
      return bytes;
    });
    if (parts.length === 0 || parts.length !== upload.parts.size) throw new S3Fault(400, 'MalformedXML');
    this.objects.set(call.key, { bytes: Buffer.concat(parts), modifiedAt: this.now() });
    this.multiparts.delete(call.query.get('uploadId') ?? '');
    res.end('<CompleteMultipartUploadResult></CompleteMultipartUploadResult>');
  }

  #multipart({ key, query }: S3Call): Multipart {
    const upload = this.multiparts.get(query.get('uploadId') ?? '');
    if (upload?.key !== key) throw new S3Fault(404, 'NoSuchUpload');
    return upload;
  }

  #list(query: URLSearchParams, res: ServerResponse): void {
    if (query.get('list-type') !== '2') throw new S3Fault(501, 'NotImplemented');
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? '';
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, pageSize);
    const contents = page.map((key) => {
      const { bytes, modifiedAt } = this.#object(key);
      return `<Contents><Key>${key}</Key><LastModified>${modifiedAt.toISOString()}</LastModified><Size>${bytes.length}</Size></Contents>`;
    });
    const isTruncated = keys.length > page.length;
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    res.end(
      `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`,
    );
  }

  #listUploads(res: ServerResponse): void {
    const uploads = [...this.multiparts].map(
      ([id, { key, startedAt }]) =>
        `<Upload><Key>${key}</Key><UploadId>${id.replace('&', '&amp;')}</UploadId><Initiated>${startedAt.toISOString()}</Initiated></Upload>`,
    );
    res.end(`<ListMultipartUploadsResult>${uploads.join('')}</ListMultipartUploadsResult>`);
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
  #checkSignature(req: IncomingMessage, url: URL, body: Buffer): void {
    const [, id, day, region, names = '', signature] =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
        req.headers.authorization ?? '',
      ) ?? [];
    const payload = createHash('sha256').update(body).digest('hex');
    if (id !== this.credentials.accessKeyId) throw new S3Fault(403, 'InvalidAccessKeyId');
    if (req.headers['x-amz-content-sha256'] !== payload) throw new S3Fault(400, 'XAmzContentSHA256Mismatch');
    const signed = names.split(';');
    if (!['host', 'x-amz-content-sha256', 'x-amz-date'].every((name) => signed.includes(name))) {
      throw new S3Fault(403, 'AccessDenied');
    }
    const encoded = (text: string) =>
      encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
    const query = [...url.searchParams]
      .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
      .sort()
      .join('&');
    const headers = signed.map((name) => `${name}:${String(req.headers[name] ?? '').trim()}\n`).join('');
    const canonical = [req.method, url.pathname, query, headers, names, payload].join('\n');
    const date = String(req.headers['x-amz-date']);
    const text = `AWS4-HMAC-SHA256\n${date}\n${day}/${region}/s3/aws4_request\n${createHash('sha256').update(canonical).digest('hex')}`;
    const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();
    const parts = [day ?? '', region ?? '', 's3', 'aws4_request'];
    const key = parts.reduce<string | Buffer>(hmac, `AWS4${this.credentials.secretAccessKey}`);
    if (hmac(key, text).toString('hex') !== signature) throw new S3Fault(403, 'SignatureDoesNotMatch');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

function etagOf(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

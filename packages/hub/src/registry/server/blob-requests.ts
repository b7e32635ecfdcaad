import type { Logger } from '@selvedge/api';
import { parseRange } from '../../gateway/content-endpoint.ts';
import type { RegistryContent, UploadState } from '../content/registry-content.ts';
import { DistributionError } from '../distribution-error.ts';
import type { RegistryExchange } from './registry-exchange.ts';
import { checkRepository, isDigest, type RegistryRoute } from './registry-route.ts';

type BlobRoute = Extract<RegistryRoute, { kind: 'blob' | 'uploads' | 'upload' }>;

export interface BlobCaller {
  readonly who: string;
  /** Whether a blob may be mounted from that repository. */
  readonly mayRead: (repository: string) => Promise<boolean>;
}

/** Blobs of a repository and their uploads: in one request, or in parts that go on where the last one ended. */
export class BlobRequests {
  readonly #content: RegistryContent;
  readonly #log: Logger;

  constructor({ content, logger }: { readonly content: RegistryContent; readonly logger: Logger }) {
    this.#content = content;
    this.#log = logger;
  }

  async handle(exchange: RegistryExchange, route: BlobRoute, caller: BlobCaller): Promise<void> {
    const { method } = exchange;
    const isRead = method === 'GET' || method === 'HEAD';
    if (route.kind === 'blob' && isRead) await this.#get(exchange, route);
    else if (route.kind === 'blob' && method === 'DELETE') await this.#delete(exchange, route, caller);
    else if (route.kind === 'uploads' && method === 'POST')
      await this.#start(exchange, route.repository, caller);
    else if (route.kind === 'upload' && method === 'GET') await this.#status(exchange, route);
    else if (route.kind === 'upload' && method === 'PATCH') await this.#append(exchange, route);
    else if (route.kind === 'upload' && method === 'PUT') await this.#finish(exchange, route);
    else if (route.kind === 'upload' && method === 'DELETE') {
      await this.#content.cancelUpload(route.repository, route.id);
      exchange.answer({ status: 204 });
    } else throw new DistributionError('UNSUPPORTED', `${method} is not for this path`);
  }

  async #get(exchange: RegistryExchange, route: { repository: string; digest: string }): Promise<void> {
    const { repository, digest } = route;
    const blob = await this.#content.findBlob(repository, digest);
    if (blob === undefined) throw unknownBlob(repository, digest);
    const { sizeBytes } = blob;
    const headers = {
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'cache-control': 'private, max-age=31536000, immutable',
      'content-type': 'application/octet-stream',
    };
    const range = exchange.method === 'HEAD' ? undefined : parseRange(exchange.header('range'), sizeBytes);
    if (range === 'unsatisfiable') {
      exchange.answer({ status: 416, headers: { ...headers, 'content-range': `bytes */${sizeBytes}` } });
      return;
    }
    if (exchange.method === 'HEAD') {
      exchange.answer({ status: 200, headers: { ...headers, 'content-length': sizeBytes } });
      return;
    }
    const { start, end } = range ?? { start: 0, end: sizeBytes - 1 };
    const length = end - start + 1;
    const body = await this.#content.openBlob(
      repository,
      digest,
      range === undefined ? undefined : { offset: start, length },
    );
    if (body === undefined) throw unknownBlob(repository, digest);
    await exchange.stream({
      status: range === undefined ? 200 : 206,
      headers: {
        ...headers,
        'content-length': length,
        ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${sizeBytes}` }),
      },
      body,
    });
  }

  async #delete(
    exchange: RegistryExchange,
    { repository, digest }: { repository: string; digest: string },
    { who }: BlobCaller,
  ): Promise<void> {
    if (!(await this.#content.deleteBlob(repository, digest))) throw unknownBlob(repository, digest);
    this.#log.info('blob deleted', { repository, digest, user: who });
    exchange.answer({ status: 202 });
  }

  async #start(exchange: RegistryExchange, repository: string, { mayRead }: BlobCaller): Promise<void> {
    const { query } = exchange;
    const mount = query.get('mount');
    const from = query.get('from');
    if (mount !== null && from !== null && isDigest(mount)) {
      checkRepository(from);
      // Without the right to read it there, it is as if it were not there: the client uploads it.
      if ((await mayRead(from)) && (await this.#content.mountBlob(repository, mount, from))) {
        created(exchange, repository, mount);
        return;
      }
    }
    const digest = query.get('digest');
    const upload = await this.#content.startUpload(repository);
    if (digest !== null) {
      await this.#finish(exchange, { repository, id: upload.id });
      return;
    }
    exchange.answer({ status: 202, headers: { ...uploadHeaders(repository, upload), 'content-length': 0 } });
  }

  async #status(
    exchange: RegistryExchange,
    { repository, id }: { repository: string; id: string },
  ): Promise<void> {
    const upload = await this.#content.findUpload(repository, id);
    exchange.answer({ status: 204, headers: uploadHeaders(repository, upload) });
  }

  async #append(
    exchange: RegistryExchange,
    { repository, id }: { repository: string; id: string },
  ): Promise<void> {
    const upload = await this.#receive(exchange, { repository, id });
    exchange.answer({ status: 202, headers: { ...uploadHeaders(repository, upload), 'content-length': 0 } });
  }

  async #finish(exchange: RegistryExchange, upload: { repository: string; id: string }): Promise<void> {
    const { repository, id } = upload;
    const digest = exchange.query.get('digest') ?? undefined;
    if (!isDigest(digest))
      throw new DistributionError('DIGEST_INVALID', 'the sha256 digest of the blob is missing');
    const received = hasBody(exchange) ? await this.#receive(exchange, upload) : { id };
    await this.#content.finishUpload(repository, received.id, digest);
    created(exchange, repository, digest);
  }

  /** Takes the body of the request as the next part. */
  async #receive(
    exchange: RegistryExchange,
    { repository, id }: { repository: string; id: string },
  ): Promise<UploadState> {
    const offset = offsetOf(exchange);
    const before = exchange.bytes.received;
    const upload = await this.#content.appendUpload(repository, id, { offset, body: exchange.body() });
    const length = exchange.header('content-length');
    const received = exchange.bytes.received - before;
    if (exchange.gone.aborted || (length !== undefined && Number(length) !== received)) {
      throw new DistributionError(
        'BLOB_UPLOAD_INVALID',
        `the part was cut off; the upload goes on at byte ${upload.sizeBytes}`,
      );
    }
    return upload;
  }
}

function hasBody(exchange: RegistryExchange): boolean {
  const length = exchange.header('content-length');
  if (length !== undefined) return Number(length) > 0;
  return exchange.header('transfer-encoding') !== undefined || exchange.request.httpVersionMajor > 1;
}

/** `Content-Range: FIRST-LAST` of the distribution specification, or that of HTTP. */
function offsetOf(exchange: RegistryExchange): number | undefined {
  const text = exchange.header('content-range');
  if (text === undefined) return undefined;
  const [, first, last] = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(text.trim()) ?? [];
  const length = exchange.header('content-length');
  const isWhole = length === undefined || Number(last) - Number(first) + 1 === Number(length);
  if (first === undefined || !isWhole) {
    throw new DistributionError('RANGE_INVALID', 'Content-Range must be FIRST-LAST and fit Content-Length');
  }
  return Number(first);
}

function uploadHeaders(repository: string, { id, sizeBytes }: UploadState): Record<string, string> {
  return {
    location: `/v2/${repository}/blobs/uploads/${id}`,
    range: `0-${Math.max(0, sizeBytes - 1)}`,
    // Long ids are another registry's addresses.
    ...(id.length > 100 ? {} : { 'docker-upload-uuid': id }),
  };
}

function created(exchange: RegistryExchange, repository: string, digest: string): void {
  exchange.answer({
    status: 201,
    headers: {
      location: `/v2/${repository}/blobs/${digest}`,
      'docker-content-digest': digest,
      'content-length': 0,
    },
  });
}

function unknownBlob(repository: string, digest: string): DistributionError {
  return new DistributionError('BLOB_UNKNOWN', `${repository} has no blob ${digest}`);
}

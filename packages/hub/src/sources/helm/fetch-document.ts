import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { collect, TooManyBytesError } from '../../registry/registry-request.ts';
import type { SourceHosts } from '../source-hosts.ts';
import { SourceError } from '../source-reading.ts';

export interface DocumentRequest {
  readonly hosts: SourceHosts;
  /** Sent to the origin of the first address alone. */
  readonly login?: { readonly username: string; readonly password: string } | undefined;
  /** PEM: the only authorities believed, at that origin. */
  readonly authorities?: string | undefined;
  /** Of a former answer: the answer is then undefined when nothing has changed. */
  readonly etag?: string | undefined;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export interface FetchedDocument {
  readonly bytes: Uint8Array;
  readonly etag: string | undefined;
}

const timeoutMilliseconds = 60_000;
const maxRedirects = 5;

/** GETs a file over https; `undefined`: as it was. Follows redirects to hosts that are allowed. Throws `SourceError`. */
export async function fetchDocument(
  address: URL,
  request: DocumentRequest,
): Promise<FetchedDocument | undefined> {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMilliseconds)]);
  let url = address;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const isFirst = url.origin === address.origin;
    const answer = await ask(url, { ...request, signal, isFirst });
    if ('location' in answer) url = answer.location;
    else return answer.document;
  }
  throw new SourceError('SourceUnavailable', `${address.host} redirects without end.`);
}

type Answer = { readonly location: URL } | { readonly document: FetchedDocument | undefined };

async function ask(url: URL, request: DocumentRequest & { isFirst: boolean }): Promise<Answer> {
  const { hosts, login, authorities, etag, maxBytes, signal, isFirst } = request;
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new SourceError(
      'SourceUnavailable',
      `${url.host} is named with ${url.protocol}, only https: is read.`,
    );
  }
  const isTls = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port || (isTls ? 443 : 80));
  const addresses = await hosts.resolve({ protocol: isTls ? 'https' : 'http', host, port });
  const headers: Record<string, string> = { 'user-agent': 'selvedge-hub', accept: '*/*' };
  if (isFirst && login) {
    headers['authorization'] =
      `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  }
  if (isFirst && etag !== undefined) headers['if-none-match'] = etag;
  const settings = {
    agent: false as const,
    lookup: pinned(addresses),
    headers,
    signal,
    ...(isFirst && authorities !== undefined ? { ca: authorities } : {}),
  };
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const send = isTls ? requestHttps : requestHttp;
      send(url, settings, (res) => {
        const { statusCode = 0 } = res;
        const location = URL.parse(res.headers.location ?? '', url.href);
        const fault = faultOf(url, statusCode);
        if (statusCode === 200) {
          collect(res, maxBytes, signal).then(
            (bytes) => resolve({ document: { bytes, etag: res.headers.etag } }),
            reject,
          );
          return;
        }
        res.resume();
        if (statusCode === 304) resolve({ document: undefined });
        else if (statusCode >= 300 && statusCode < 400 && location) resolve({ location });
        else reject(fault);
      })
        .on('error', reject)
        .end();
    });
  } catch (cause) {
    request.signal.throwIfAborted();
    if (cause instanceof SourceError) throw cause;
    if (cause instanceof TooManyBytesError) {
      throw new SourceError('LimitExceeded', `What ${url.host} answers is larger than ${maxBytes} bytes.`, {
        cause,
      });
    }
    throw new SourceError('SourceUnavailable', `${url.host} cannot be reached: ${reasonOf(cause)}.`, {
      cause,
    });
  }
}

function faultOf(url: URL, status: number): SourceError {
  if (status === 401 || status === 403) {
    return new SourceError(
      'AuthenticationFailed',
      `${url.host} refuses the credentials, or asks for some: check secretRef.`,
    );
  }
  if (status === 404 || status === 410) {
    return new SourceError('NotFound', `${url.host} has no ${url.pathname}.`);
  }
  return new SourceError('SourceUnavailable', `${url.host} answered with status ${status}.`);
}

/** The code tells what happened; messages may hold addresses and more. */
function reasonOf(cause: unknown): string {
  const { code, name } = cause as { code?: unknown; name?: unknown };
  if (name === 'TimeoutError' || name === 'AbortError')
    return `no answer within ${timeoutMilliseconds / 1000} s`;
  return typeof code === 'string' ? code : 'the connection failed';
}

function pinned(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_hostname, options, callback) => {
    const [first] = found;
    if (!first) callback(new Error('no address'), '', 0);
    else if (options.all === true) callback(null, found);
    else callback(null, first.address, first.family);
  };
}

import { StatusError } from '@selvedge/api';
import { parseAvailableDictionary, sha256Digest } from '@selvedge/api/node';
import type { DeliveryRow, FleetStore } from '@selvedge/store';
import type { AgentAuthentication } from './agent-authentication.ts';
import { checkBodyHash } from './agent-jwt.ts';
import type { ContentEncodings, EncodedContent } from './content-encodings.ts';
import type { HttpExchange } from './http-exchange.ts';

export const contentPrefix = '/content/v1/blobs/';

/**
 * `GET /content/v1/blobs/{digest}`: bytes that the agent's own site is to have; compressed, and as a difference to content that the
 * site has, for who can read that. A range is one of the bytes as they are sent: each form has an ETag of its own.
 */
export class ContentEndpoint {
  readonly #fleet: FleetStore;
  readonly #authentication: AgentAuthentication;
  readonly #encodings: ContentEncodings;

  constructor(options: {
    fleet: FleetStore;
    authentication: AgentAuthentication;
    encodings: ContentEncodings;
  }) {
    this.#fleet = options.fleet;
    this.#authentication = options.authentication;
    this.#encodings = options.encodings;
  }

  async handle(exchange: HttpExchange): Promise<void> {
    const agent = await this.#authentication.authenticate(exchange.header('authorization'));
    checkBodyHash(agent.claims, noBytes);
    const digest = decodeURIComponentOr(exchange.path.slice(contentPrefix.length), '');
    const content = await this.#findContent(agent.key.site, digest, exchange);
    if (content === undefined) {
      throw new StatusError(
        'NotFound',
        `the desired state of site "${agent.key.site}" names no content ${digest.slice(0, 80)}`,
      );
    }
    const { bytes, encoding } = content;
    // What another version of zlib made of it may be other bytes: a range of these must not go on there.
    const form = encoding === undefined ? '' : `;${encoding};${sha256Digest(bytes).slice(7, 23)}`;
    const etag = `"${digest}${form}"`;
    const headers = {
      etag,
      // Named by its digest, so it never changes; but only this site may read it.
      'cache-control': 'private, max-age=31536000, immutable',
      'accept-ranges': 'bytes',
      vary: 'accept-encoding, available-dictionary',
      ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
    };
    if (matches(exchange.header('if-none-match'), etag)) {
      exchange.answer({ code: 304, headers });
      return;
    }
    const ifRange = exchange.header('if-range');
    const isRangeValid = ifRange === undefined || ifRange === etag;
    const range = isRangeValid ? parseRange(exchange.header('range'), bytes.length) : undefined;
    if (range === undefined) {
      exchange.answer({ code: 200, headers, body: bytes });
    } else if (range === 'unsatisfiable') {
      exchange.answer({ code: 416, headers: { ...headers, 'content-range': `bytes */${bytes.length}` } });
    } else {
      const contentRange = `bytes ${range.start}-${range.end}/${bytes.length}`;
      exchange.answer({
        code: 206,
        headers: { ...headers, 'content-range': contentRange },
        body: bytes.subarray(range.start, range.end + 1),
      });
    }
  }

  /** Nothing for who may not have it: neither as content nor, by what is left out, as a dictionary. */
  async #findContent(
    site: string,
    digest: string,
    exchange: HttpExchange,
  ): Promise<EncodedContent | undefined> {
    if (!/^sha256:[0-9a-f]{64}$/.test(digest)) return undefined;
    const { rows, policy } = await this.#fleet.siteState(site);
    const wanted = rows.filter((row) => row.phase === 'Wanted');
    const isScript = policy.rack?.scripts.some((script) => script.digest === digest) ?? false;
    if (!isScript && !wanted.some((row) => row.digest === digest)) return undefined;
    const accepted = acceptedEncodings(exchange.header('accept-encoding'));
    const named = accepted.has('dcz')
      ? parseAvailableDictionary(exchange.header('available-dictionary'))
      : undefined;
    const isHeld = named !== undefined && named !== digest && wanted.some((row) => isAt(row, named));
    return this.#encodings.find(digest, {
      canZstd: accepted.has('zstd'),
      dictionary: isHeld ? named : undefined,
    });
  }
}

/** The site was given this content. What it says that it runs does not count: the length of a difference tells what is in the dictionary. */
function isAt({ digest, terms }: DeliveryRow, named: string): boolean {
  return digest === named || terms.fallback?.digest === named;
}

/** Those that a client can read, by name; `q=0` takes one away. */
export function acceptedEncodings(header: string | undefined): ReadonlySet<string> {
  const accepted = new Set<string>();
  for (const part of header?.toLowerCase().split(',') ?? []) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim());
    if (!parameters.some((text) => /^q=0(?:\.0*)?$/.test(text))) accepted.add(name);
  }
  return accepted;
}

const noBytes = new Uint8Array();

/** One range of RFC 9110 14.1.2; `undefined`: send all (none asked, or several, which a server may ignore). */
export function parseRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return undefined;
  if (start >= size) return 'unsatisfiable';
  return { start, end: last === '' ? size - 1 : Math.min(Number(last), size - 1) };
}

function matches(header: string | undefined, etag: string): boolean {
  return header?.split(',').some((tag) => tag.trim() === etag || tag.trim() === `W/${etag}`) ?? false;
}

function decodeURIComponentOr(text: string, fallback: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fallback;
  }
}

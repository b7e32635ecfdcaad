import { StatusError } from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import type { AgentAuthentication } from './agent-authentication.ts';
import { checkBodyHash } from './agent-jwt.ts';
import type { HttpExchange } from './http-exchange.ts';

export const contentPrefix = '/content/v1/blobs/';

/** `GET /content/v1/blobs/{digest}`: bytes that the agent's own site is to have. */
export class ContentEndpoint {
  readonly #fleet: FleetStore;
  readonly #authentication: AgentAuthentication;

  constructor(options: { fleet: FleetStore; authentication: AgentAuthentication }) {
    this.#fleet = options.fleet;
    this.#authentication = options.authentication;
  }

  async handle(exchange: HttpExchange): Promise<void> {
    const agent = await this.#authentication.authenticate(exchange.header('authorization'));
    checkBodyHash(agent.claims, noBytes);
    const digest = decodeURIComponentOr(exchange.path.slice(contentPrefix.length), '');
    const bytes = await this.#findBlob(agent.key.site, digest);
    if (bytes === undefined) {
      throw new StatusError(
        'NotFound',
        `the desired state of site "${agent.key.site}" names no content ${digest.slice(0, 80)}`,
      );
    }
    const etag = `"${digest}"`;
    const headers = {
      etag,
      // Named by its digest, so it never changes; but only this site may read it.
      'cache-control': 'private, max-age=31536000, immutable',
      'accept-ranges': 'bytes',
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

  async #findBlob(site: string, digest: string): Promise<Uint8Array | undefined> {
    if (!/^sha256:[0-9a-f]{64}$/.test(digest)) return undefined;
    const { rows } = await this.#fleet.siteState(site);
    const isWanted = rows.some((row) => row.phase === 'Wanted' && row.digest === digest);
    return isWanted ? this.#fleet.findBlob(digest) : undefined;
  }
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

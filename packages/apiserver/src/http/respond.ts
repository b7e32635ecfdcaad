import { createHash } from 'node:crypto';
import type { ApiRequest, ApiResponse } from './exchange.ts';

export interface Answer {
  readonly status?: number;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

export function sendJson(res: ApiResponse, body: unknown, answer: Answer = {}): void {
  send(res, Buffer.from(`${JSON.stringify(body)}\n`), answer);
}

export function send(res: ApiResponse, body: Buffer, answer: Answer = {}): void {
  for (const [name, value] of Object.entries(answer.headers ?? {})) res.setHeader(name, value);
  res.setHeader('Content-Type', answer.contentType ?? 'application/json');
  res.setHeader('Content-Length', body.length);
  res.writeHead(answer.status ?? 200);
  res.end(body);
}

/** A body that changes seldom: the client may keep it and ask whether it still holds. */
export interface CachedBody {
  readonly bytes: Buffer;
  readonly contentType: string;
  /** Quoted, as in the header. */
  readonly etag: string;
  readonly cacheControl: string;
}

/** Kept, but asked for again before each use. */
const revalidate = 'no-cache, private';

export function cachedBody(bytes: Buffer, contentType: string): CachedBody {
  const digest = createHash('sha256')
    .update(contentType)
    .update(bytes)
    .digest('hex')
    .slice(0, 40)
    .toUpperCase();
  return { bytes, contentType, etag: `"${digest}"`, cacheControl: revalidate };
}

export function sendCached(req: ApiRequest, res: ApiResponse, body: CachedBody): void {
  const caching = { 'Cache-Control': body.cacheControl, Vary: 'Accept', ETag: body.etag };
  if (hasEtag(req.headers['if-none-match'], body.etag)) {
    for (const [name, value] of Object.entries(caching)) res.setHeader(name, value);
    res.writeHead(304);
    res.end();
    return;
  }
  send(res, body.bytes, { contentType: body.contentType, headers: caching });
}

function hasEtag(header: string | undefined, etag: string): boolean {
  return (header ?? '').split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

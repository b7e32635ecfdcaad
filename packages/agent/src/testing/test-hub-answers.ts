import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { hubTimeHeader, type StatusReason, StatusError } from '@selvedge/api';
import { type ContentDictionary, encodeContent } from '@selvedge/api/node';

export function answer(res: ServerResponse, content: { status: number; body: unknown }, now: Date): void {
  const { status, body } = content;
  if (res.destroyed) return;
  res.writeHead(status, { 'content-type': 'application/json', [hubTimeHeader]: now.toISOString() });
  res.end(JSON.stringify(body));
}

export function oneHeader(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

export async function readAll(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export interface SentContent {
  readonly bytes: Buffer;
  readonly dictionary: ContentDictionary | undefined;
  /** As the hub does for who can read it: compressed, and as a difference. */
  readonly isEncoded: boolean;
  /** The answer ends after so many bytes. */
  readonly cutsAfter: number | undefined;
  readonly now: Date;
}

export async function sendContent(
  req: IncomingMessage,
  res: ServerResponse,
  content: SentContent,
): Promise<void> {
  const { bytes, dictionary, cutsAfter } = content;
  const headers: Record<string, string> = { [hubTimeHeader]: content.now.toISOString() };
  let form = bytes;
  if (content.isEncoded && req.headers['accept-encoding'] === 'dcz, zstd') {
    form = await encodeContent(bytes, dictionary);
    headers['content-encoding'] = dictionary === undefined ? 'zstd' : 'dcz';
    headers['etag'] = `"${headers['content-encoding']} of the content"`;
  }
  const isSame = req.headers['if-range'] === undefined || req.headers['if-range'] === headers['etag'];
  const from = isSame ? Number(/^bytes=(\d+)-$/.exec(req.headers.range ?? '')?.[1] ?? 0) : 0;
  res.writeHead(from > 0 ? 206 : 200, headers);
  const end = cutsAfter === undefined ? form.length : from + cutsAfter;
  if (end >= form.length) res.end(form.subarray(from));
  else res.write(form.subarray(from, end), () => res.destroy());
}

export function statusBody(reason: StatusReason, message: string): { status: number; body: unknown } {
  const error = new StatusError(reason, message);
  return { status: error.code, body: error.toBody() };
}

export function refuseUpgrade(socket: Duplex, error: unknown, now: Date): void {
  const status =
    error instanceof StatusError ? error : new StatusError('InternalError', (error as Error).message);
  const time = `${hubTimeHeader}: ${now.toISOString()}`;
  socket.end(`HTTP/1.1 ${status.code} No\r\n${time}\r\n\r\n${JSON.stringify(status.toBody())}`);
}

/** As a Status, as the hub does. */
export function refuseWith(res: ServerResponse, error: unknown, now: Date): void {
  const status =
    error instanceof StatusError ? error : new StatusError('InternalError', (error as Error).message);
  answer(res, { status: status.code, body: status.toBody() }, now);
}

import { setImmediate } from 'node:timers/promises';
import { type Clock, maxObjectBytes, StatusError } from '@selvedge/api';
import { tooLarge } from '../admission/limits.ts';
import type { ApiRequest } from './exchange.ts';

/** How long a client may take to send a body. */
const bodyTimeoutMs = 60_000;
/** So much of a refused body is still read, for the client to come to read the answer. */
const maxDiscardedBytes = 16 * 1024 * 1024;

/**
 * Reads the whole body, whatever its length claims to be. Throws `RequestEntityTooLarge`, `Timeout`, `BadRequest`, and
 * what `onBytes` throws, which is told of each piece.
 */
export async function readBody(
  req: ApiRequest,
  clock: Clock,
  onBytes: (bytes: number) => void = () => {},
): Promise<Buffer> {
  const claimed = Number(req.headers['content-length'] ?? 0);
  if (claimed > maxObjectBytes) {
    discardRest(req, 0);
    throw tooLarge('the request body');
  }
  const body = collect(req, onBytes);
  // Nearly every body is there, or about to be, with its head: it is not worth a timer.
  const soon = await Promise.race([body.bytes, setImmediate()]);
  if (soon) return soon;
  const waiting = new AbortController();
  const isLate = clock.sleep(bodyTimeoutMs, waiting.signal).then(() => {
    const message = `the request body did not arrive within ${bodyTimeoutMs / 1000} s`;
    if (!waiting.signal.aborted) body.refuse(new StatusError('Timeout', message));
  });
  try {
    return await body.bytes;
  } finally {
    waiting.abort('read');
    await isLate;
  }
}

/** `refuse`: gives up the body, so that `bytes` rejects; the request stays open for its answer. */
function collect(
  req: ApiRequest,
  onBytes: (bytes: number) => void,
): { bytes: Promise<Buffer>; refuse: (why: unknown) => void } {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const refuse = (why: unknown) => {
    req.off('data', onData);
    discardRest(req, size);
    reject(why);
  };
  const onData = (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxObjectBytes) {
      refuse(tooLarge('the request body'));
      return;
    }
    try {
      onBytes(chunk.length);
      chunks.push(chunk);
    } catch (error) {
      refuse(error);
    }
  };
  const onBroken = (cause?: unknown) => {
    // Every request closes, most of them after their end.
    if (!req.readableEnded) reject(new StatusError('BadRequest', 'the request body broke off', { cause }));
  };
  req.on('data', onData);
  req.once('end', () => resolve(Buffer.concat(chunks)));
  req.once('error', onBroken);
  req.once('aborted', onBroken);
  req.once('close', onBroken);
  return { bytes: promise, refuse };
}

function discardRest(req: ApiRequest, alreadyRead: number): void {
  let bytes = alreadyRead;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxDiscardedBytes) req.destroy();
  });
  req.on('error', () => req.destroy());
}

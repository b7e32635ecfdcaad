import { type Clock, StatusError } from '@selvedge/api';
import { maxObjectBytes, tooLarge } from '../admission/limits.ts';
import type { ApiRequest } from './exchange.ts';

/** How long a client may take to send a body. */
const bodyTimeoutMs = 60_000;
/** So much of a refused body is still read, for the client to come to read the answer. */
const maxDiscardedBytes = 16 * 1024 * 1024;

/** Reads the whole body, whatever its length claims to be. Throws `RequestEntityTooLarge`, `Timeout`, `BadRequest`. */
export async function readBody(req: ApiRequest, clock: Clock): Promise<Buffer> {
  const claimed = Number(req.headers['content-length'] ?? 0);
  if (claimed > maxObjectBytes) {
    discardRest(req, 0);
    throw tooLarge('the request body');
  }
  const timeout = new AbortController();
  const isLate = clock.sleep(bodyTimeoutMs, timeout.signal).then(() => {
    if (!timeout.signal.aborted) {
      req.destroy(
        new StatusError('Timeout', `the request body did not arrive within ${bodyTimeoutMs / 1000} s`),
      );
    }
  });
  try {
    return await collect(req);
  } finally {
    timeout.abort();
    await isLate;
  }
}

function collect(req: ApiRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxObjectBytes) {
        chunks.push(chunk);
        return;
      }
      req.off('data', onData);
      discardRest(req, bytes);
      reject(tooLarge('the request body'));
    };
    req.on('data', onData);
    req.once('end', () => resolve(Buffer.concat(chunks)));
    req.once('error', (cause) =>
      reject(
        cause instanceof StatusError
          ? cause
          : new StatusError('BadRequest', 'the request body broke off', { cause }),
      ),
    );
    const onBroken = () => reject(new StatusError('BadRequest', 'the request body broke off'));
    req.once('aborted', onBroken);
    req.once('close', onBroken);
  });
}

function discardRest(req: ApiRequest, alreadyRead: number): void {
  let bytes = alreadyRead;
  req.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxDiscardedBytes) req.destroy();
  });
  req.on('error', () => req.destroy());
}

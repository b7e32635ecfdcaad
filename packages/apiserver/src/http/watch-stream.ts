import { type Clock, isStatusError, type KubeObject, type Logger, StatusError } from '@selvedge/api';
import type { ResourceEvent } from '../registry/watch.ts';
import type { ApiResponse } from './exchange.ts';

/** A watcher that takes nothing for so long is dropped: it lists again when it is back. */
const drainTimeoutMs = 30_000;
const bookmarkEveryMs = 60_000;

export interface WatchStream {
  readonly res: ApiResponse;
  readonly events: AsyncIterable<ResourceEvent>;
  /** Ends the watch: aborted here when the client is gone or too slow. */
  readonly stop: AbortController;
  readonly bookmarks: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The wire form of an object or a bookmark. */
  readonly present: (object: KubeObject) => unknown;
  readonly bookmark: (revision: number, endsInitialEvents: boolean) => unknown;
}

/** Writes events as they come, one JSON document per line, until the watch ends. */
export async function streamEvents(stream: WatchStream): Promise<void> {
  const { res, stop, logger } = stream;
  res.once('close', () => stop.abort());
  res.once('error', () => stop.abort());
  res.setHeader('Content-Type', 'application/json');
  res.setHeader('Cache-Control', 'no-cache, private');
  res.writeHead(200);
  // The client counts the watch as begun when it has the headers.
  res.flushHeaders?.();
  try {
    await writeAll(stream);
  } catch (error) {
    if (!stop.signal.aborted) {
      const status = isStatusError(error)
        ? error
        : new StatusError('InternalError', 'the watch failed', { cause: error });
      if (status !== error) logger.error('watch failed', { error });
      await write(stream, { type: 'ERROR', object: status.toBody() });
    }
  } finally {
    stop.abort();
    res.end();
  }
}

async function writeAll(stream: WatchStream): Promise<void> {
  const { events, stop, clock, bookmarks } = stream;
  // Spread, so that watches which began together do not bookmark together.
  let nextBookmark = clock.now().getTime() + bookmarkEveryMs * Math.random();
  for await (const event of events) {
    if (stop.signal.aborted) return;
    if (event.type !== 'BOOKMARK') {
      await write(stream, { type: event.type, object: stream.present(event.object) });
      continue;
    }
    const now = clock.now().getTime();
    if (!event.endsInitialEvents && (!bookmarks || now < nextBookmark)) continue;
    if (!event.endsInitialEvents) nextBookmark = now + bookmarkEveryMs;
    const object = stream.bookmark(event.revision, event.endsInitialEvents ?? false);
    await write(stream, { type: 'BOOKMARK', object });
  }
}

async function write({ res, stop, clock, logger }: WatchStream, event: unknown): Promise<void> {
  if (res.destroyed || res.write(`${JSON.stringify(event)}\n`)) return;
  const drained = new AbortController();
  const onDrain = () => drained.abort();
  res.once('drain', onDrain);
  await clock.sleep(drainTimeoutMs, AbortSignal.any([drained.signal, stop.signal]));
  res.off('drain', onDrain);
  if (drained.signal.aborted || stop.signal.aborted) return;
  logger.info('slow watcher dropped');
  stop.abort();
  res.destroy();
}

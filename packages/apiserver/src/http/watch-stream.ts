import { type Clock, isStatusError, type KubeObject, type Logger, StatusError } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import { type ResourceEvent, treeOf } from '../registry/watch.ts';
import { CachedObject } from '../watch-cache/cached-object.ts';
import type { ApiResponse } from './exchange.ts';
import { PacedWriter } from './paced-writer.ts';
import type { Presenter } from './presenter.ts';

const bookmarkEveryMs = 60_000;
const maxWriteBytes = 128 * 1024;
/** More than this waiting for a client, and nothing more is made for it. */
const maxWaitingBytes = 64 * 1024;

export interface WatchStream {
  readonly res: ApiResponse;
  readonly events: AsyncIterable<readonly ResourceEvent[]>;
  readonly resource: Pick<Resource, 'decorate' | 'isDecorated'>;
  readonly presenter: Presenter;
  /** Ends the watch: aborted here when the client is gone or too slow. */
  readonly stop: AbortController;
  readonly bookmarks: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** So many more events were sent. */
  readonly onSent: (events: number) => void;
  /** The present objects were sent, if they were to be. */
  readonly onInitialSent: () => void;
}

/** Writes events as they come, one JSON document per line, until the watch ends. */
export async function streamEvents(stream: WatchStream): Promise<void> {
  const { res, stop, logger } = stream;
  res.once('close', () => stop.abort());
  res.once('error', () => stop.abort());
  // Gone before anybody listened: no event will say so.
  if (res.destroyed) stop.abort();
  res.setHeader('Content-Type', 'application/json');
  res.setHeader('Cache-Control', 'no-cache, private');
  res.writeHead(200);
  // The client counts the watch as begun when it has the headers.
  res.flushHeaders?.();
  const writer = new PacedWriter({ res, clock: stream.clock, maxWaitingBytes });
  try {
    await writeAll(stream, writer);
  } catch (error) {
    if (!stop.signal.aborted) {
      const status = isStatusError(error)
        ? error
        : new StatusError('InternalError', 'the watch failed', { cause: error });
      if (status !== error) logger.error('watch failed', { error });
      await writer.write(`${JSON.stringify({ type: 'ERROR', object: status.toBody() })}\n`);
    }
  } finally {
    if (writer.isDropped) logger.info('slow watcher dropped');
    stop.abort();
    res.end();
  }
}

async function writeAll(stream: WatchStream, writer: PacedWriter): Promise<void> {
  const { events, stop } = stream;
  const encoder = new EventEncoder(stream);
  for await (const batch of events) {
    let lines: Buffer[] = [];
    let bytes = 0;
    const flush = async () => {
      const isTaken = lines.length === 0 || (await writer.write(joined(lines)));
      stream.onSent(lines.length);
      lines = [];
      bytes = 0;
      return isTaken && !stop.signal.aborted;
    };
    for (const event of batch) {
      const encoded = encoder.encode(event);
      const line = encoded instanceof Promise ? await encoded : encoded;
      if (!line) continue;
      lines.push(line);
      bytes += line.length;
      if (bytes >= maxWriteBytes && !(await flush())) return;
    }
    if (!(await flush())) return;
    if (batch.length === 0) encoder.endInitial();
  }
}

const joined = (lines: readonly Buffer[]): Buffer => {
  const [only] = lines;
  return lines.length === 1 && only ? only : Buffer.concat(lines);
};

/** Events of one stream as lines. What other streams get too is encoded once for all of them. */
class EventEncoder {
  readonly #stream: WatchStream;
  #isFirst = true;
  #nextBookmark: number;
  #isInitial = true;

  constructor(stream: WatchStream) {
    this.#stream = stream;
    // Spread, so that watches which began together do not bookmark together.
    this.#nextBookmark = stream.clock.now().getTime() + bookmarkEveryMs * Math.random();
  }

  /** `undefined`: nothing to be sent. */
  encode(event: ResourceEvent): Buffer | Promise<Buffer> | undefined {
    if (event.type === 'BOOKMARK') return this.#bookmark(event);
    if (event.type !== 'ADDED' || event.change) this.endInitial();
    const { presenter } = this.#stream;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    const make = () => this.#line(event, isFirst);
    if (!event.change) return make();
    // Only a table's first event differs.
    const place = isFirst && !presenter.isPlain ? 'first/' : '';
    return event.change.encoded(`${presenter.key}/${place}${event.type}`, make);
  }

  #line(
    { type, object }: Exclude<ResourceEvent, { type: 'BOOKMARK' }>,
    isFirst: boolean,
  ): Buffer | Promise<Buffer> {
    const { presenter, resource } = this.#stream;
    const head = `{"type":"${type}","object":`;
    const line = (tree: KubeObject) => Buffer.from(`${head}${presenter.event(tree, isFirst)}}\n`);
    if (!(object instanceof CachedObject)) return line(object);
    if (!presenter.isPlain || resource.isDecorated) return treeOf(resource, object).then(line);
    return Buffer.concat([Buffer.from(head), object.json, lineEnd]);
  }

  #bookmark(event: ResourceEvent & { type: 'BOOKMARK' }): Buffer | undefined {
    const { revision } = event;
    const endsInitialEvents = event.endsInitialEvents === true;
    this.endInitial();
    const { clock, bookmarks, presenter } = this.#stream;
    const now = clock.now().getTime();
    if (!endsInitialEvents) {
      if (!bookmarks || now < this.#nextBookmark) return undefined;
      this.#nextBookmark = now + bookmarkEveryMs;
    }
    return Buffer.from(`{"type":"BOOKMARK","object":${presenter.bookmark(revision, endsInitialEvents)}}\n`);
  }

  endInitial(): void {
    if (!this.#isInitial) return;
    this.#isInitial = false;
    this.#stream.onInitialSent();
  }
}

const lineEnd = Buffer.from('}\n');

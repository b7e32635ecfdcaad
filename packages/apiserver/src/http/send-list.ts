import { setImmediate as turn } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import { StatusError } from '@selvedge/api';
import { type ListPage, treesOf } from '../registry/list.ts';
import { CachedObject } from '../watch-cache/cached-object.ts';
import { PacedWriter } from './paced-writer.ts';
import { type Presenter, presenterFor } from './presenter.ts';
import type { Call } from './resource-call.ts';
import { send } from './respond.ts';
import { acceptsGzip } from './response-meter.ts';

const chunkBytes = 256 * 1024;
const maxWaitingBytes = 2 * chunkBytes;
const comma = Buffer.from(',');

/**
 * Answers with a list in the form that the client asked for. A long one is put together and sent piece by piece, as
 * fast as the client reads, so that it costs little memory.
 */
export async function sendList(call: Call, page: ListPage): Promise<void> {
  const presenter = presenterFor(call);
  const { resource } = call;
  const isText = presenter.isPlain && !resource.isDecorated && isCached(page.objects);
  const items = isText ? cachedItems(page.objects) : presentedItems(presenter, call, page);
  const pieces = inChunks(frame(presenter, page, items));
  const first = await pieces.next();
  const second = await pieces.next();
  if (first.done || second.done) {
    send(call.res, first.value ?? Buffer.alloc(0), {});
    return;
  }
  await sendPieces(call, [first.value, second.value], pieces);
}

async function sendPieces(call: Call, begun: readonly Buffer[], rest: AsyncGenerator<Buffer>): Promise<void> {
  const { req, res, registry } = call;
  res.setHeader('Content-Type', 'application/json');
  if (req.method === 'HEAD') {
    res.writeHead(200);
    res.end();
    return;
  }
  const writer = new PacedWriter({ res, clock: registry.clock, maxWaitingBytes });
  const all = concatenated(begun, rest);
  if (acceptsGzip(req.headers['accept-encoding'])) {
    res.setHeader('Content-Encoding', 'gzip');
    res.setHeader('Vary', 'Accept-Encoding');
    res.writeHead(200);
    await writeCompressed(writer, all);
  } else {
    res.writeHead(200);
    for await (const piece of all) if (!(await writer.write(piece))) break;
  }
  if (writer.isDropped)
    registry.logger.info('slow reader of a list dropped', { resource: call.resource.name });
  else if (!writer.isOver) res.end();
}

async function writeCompressed(writer: PacedWriter, pieces: AsyncIterable<Buffer>): Promise<void> {
  // As kube-apiserver: the time of a higher level is not won back on the way.
  const gzip = createGzip({ level: 1, chunkSize: chunkBytes });
  const compressed = gzip[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const feeding = (async () => {
    for await (const piece of pieces) {
      if (writer.isOver) break;
      await new Promise<void>((resolve, reject) => {
        gzip.write(piece, (error) => (error ? reject(error) : resolve()));
      });
    }
    gzip.end();
  })();
  try {
    for (;;) {
      const { value, done } = await compressed.next();
      if (done || !(await writer.write(value))) break;
    }
  } finally {
    gzip.destroy();
  }
  await feeding.catch((cause: unknown) => {
    if (!writer.isOver) throw new StatusError('InternalError', 'the list could not be compressed', { cause });
  });
}

async function* concatenated(begun: readonly Buffer[], rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield* begun;
  yield* rest;
}

const isCached = (objects: ListPage['objects']): objects is readonly CachedObject[] =>
  objects.length === 0 || objects[0] instanceof CachedObject;

type Batch = Iterable<Buffer>;

function* cachedItems(objects: readonly CachedObject[]): Generator<Batch> {
  yield objects.values().map(({ json }) => json);
}

async function* presentedItems(
  presenter: Presenter,
  { resource }: Call,
  { objects }: ListPage,
): AsyncGenerator<Batch> {
  for await (const trees of treesOf(resource, objects)) {
    yield trees.values().map((object) => Buffer.from(presenter.listItem(object)));
  }
}

async function* frame(
  presenter: Presenter,
  { metadata }: ListPage,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
): AsyncGenerator<Batch> {
  yield [Buffer.from(presenter.listHead(metadata))];
  let isFirst = true;
  for await (const batch of batches) {
    yield withCommas(batch, isFirst);
    isFirst = false;
  }
  yield [Buffer.from(presenter.listTail)];
}

/** A comma before each item, but not before the first of the list. */
function* withCommas(items: Batch, isFirstBatch: boolean): Generator<Buffer> {
  let isFirst = isFirstBatch;
  for (const item of items) {
    if (!isFirst) yield comma;
    isFirst = false;
    yield item;
  }
}

/** Joins small parts; the last chunk is what is left. Others get their turn between chunks. */
async function* inChunks(batches: AsyncIterable<Batch>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const batch of batches) {
    for (const part of batch) {
      waiting.push(part);
      bytes += part.length;
      if (bytes < chunkBytes) continue;
      yield Buffer.concat(waiting, bytes);
      waiting = [];
      bytes = 0;
      await turn();
    }
  }
  if (bytes > 0) yield Buffer.concat(waiting, bytes);
}

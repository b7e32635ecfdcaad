import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import type { ResourceEvent } from '../registry/watch.ts';
import type { ApiResponse } from './exchange.ts';
import { streamEvents } from './watch-stream.ts';

/** The other end of a connection, which reads when it is told to. */
class Receiver extends Writable {
  readonly chunks: string[] = [];
  isReading: boolean;
  #waiting: (() => void)[] = [];
  statusCode = 0;
  headersSent = false;
  setHeader = () => {};
  getHeader = () => undefined;
  writeHead = (status: number) => {
    this.statusCode = status;
  };

  constructor(isReading: boolean) {
    super({ highWaterMark: 100 });
    this.isReading = isReading;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk.toString());
    if (this.isReading) done();
    else this.#waiting.push(done);
  }

  get types(): unknown[] {
    return this.chunks.map((line) => (JSON.parse(line) as { type: unknown }).type);
  }
}

const logger = createLogger({ level: 'silent' });
const added: ResourceEvent = {
  type: 'ADDED',
  object: { apiVersion: 'v1', kind: 'X', metadata: { name: 'x'.repeat(70_000) } },
};

function stream(receiver: Receiver, events: AsyncIterable<readonly ResourceEvent[]>, clock: FakeClock) {
  const stop = new AbortController();
  const res: ApiResponse = receiver;
  const done = streamEvents({
    res,
    stop,
    events,
    bookmarks: true,
    clock,
    logger,
    resource: { decorate: async (objects) => objects, isDecorated: false },
    presenter: {
      key: 'object',
      isPlain: true,
      object: JSON.stringify,
      listHead: () => '',
      listItem: JSON.stringify,
      listTail: '',
      event: (object) => JSON.stringify(object),
      bookmark: (revision) => JSON.stringify({ revision }),
    },
    onSent: () => {},
    onInitialSent: () => {},
  });
  return { stop, done };
}

describe('streamEvents', () => {
  test('drops a watcher that reads nothing, not one that is slow', async () => {
    async function* many(): AsyncGenerator<ResourceEvent[]> {
      for (let i = 0; i < 5; i++) yield [added];
    }
    const clock = new FakeClock();
    const receiver = new Receiver(false);
    const { stop, done } = stream(receiver, many(), clock);
    await clock.advance(29_000);
    assert.equal(receiver.destroyed, false);
    await clock.advance(2_000);
    await done;
    assert.ok(receiver.destroyed);
    assert.ok(stop.signal.aborted, 'the watch behind it ends too');
    assert.equal(receiver.chunks.length, 1);

    const reading = new Receiver(true);
    await stream(reading, many(), clock).done;
    assert.deepEqual(reading.types, ['ADDED', 'ADDED', 'ADDED', 'ADDED', 'ADDED']);
    assert.ok(reading.writableEnded);
  });

  test('passes a bookmark about once in a minute, and the one that ends a list at once', async () => {
    const clock = new FakeClock();
    async function* progress(): AsyncGenerator<ResourceEvent[]> {
      yield [{ type: 'BOOKMARK', revision: 0, endsInitialEvents: true }];
      for (let revision = 1; revision <= 600; revision++) {
        await clock.sleep(1_000);
        yield [{ type: 'BOOKMARK', revision }];
      }
    }
    const receiver = new Receiver(true);
    const { done } = stream(receiver, progress(), clock);
    await clock.advance(600_000);
    await done;
    assert.match(receiver.chunks[0] ?? '', /"revision":0/);
    const rest = receiver.chunks.length - 1;
    assert.ok(rest >= 9 && rest <= 11, `${rest} bookmarks in ten minutes`);
  });

  test('a failure in the middle is the last event', async () => {
    async function* failing(): AsyncGenerator<ResourceEvent[]> {
      yield [added];
      throw new Error('a fault with a secret');
    }
    const receiver = new Receiver(true);
    await stream(receiver, failing(), new FakeClock()).done;
    assert.deepEqual(receiver.types, ['ADDED', 'ERROR']);
    assert.doesNotMatch(receiver.chunks.join(), /secret/);
  });

  test('ends at once for a client that went away before', async () => {
    const receiver = new Receiver(true);
    receiver.destroy();
    await new Promise((resolve) => receiver.once('close', resolve));
    const clock = new FakeClock();
    async function* silent(): AsyncGenerator<ResourceEvent[]> {
      await clock.sleep(3_600_000, ended.signal);
      yield [];
    }
    const ended = new AbortController();
    const { stop, done } = stream(receiver, silent(), clock);
    assert.ok(stop.signal.aborted);
    ended.abort();
    await done;
  });

  test('ends when the client goes away', async () => {
    const receiver = new Receiver(true);
    const clock = new FakeClock();
    async function* endless(): AsyncGenerator<ResourceEvent[]> {
      for (;;) {
        yield [added];
        if (stop.signal.aborted) return;
        await clock.sleep(1_000);
      }
    }
    const { stop, done } = stream(receiver, endless(), clock);
    await clock.advance(5_000);
    receiver.destroy();
    await clock.advance(5_000);
    await done;
    assert.ok(stop.signal.aborted);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isExpired, isStatusError } from '@selvedge/api';
import fc from 'fast-check';
import { readWatchEvents } from './watch-stream.ts';

async function* chunksOf(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    yield bytes.subarray(from, cut);
    from = Math.max(from, cut);
  }
  yield bytes.subarray(from);
}

const read = (text: string, cuts: readonly number[] = []) =>
  Array.fromAsync(readWatchEvents(chunksOf(new TextEncoder().encode(text), cuts)));

describe('watch stream', () => {
  test('events come whole wherever the chunks break, within a character too', async () => {
    const events = ['Zürich', '東京', '🧵', 'x'].map((name, i) => ({
      type: 'ADDED' as const,
      object: { apiVersion: 'v1', kind: 'Site', metadata: { name, resourceVersion: String(i) } },
    }));
    const text = `${events.map((e) => JSON.stringify(e)).join('\n')}\n`;
    const length = new TextEncoder().encode(text).length;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(length), { maxLength: 20 }), async (cuts) => {
        assert.deepEqual(await read(text, cuts), events);
      }),
    );
  });

  test('an event cut short at the end and empty lines are dropped', async () => {
    assert.deepEqual(await read('\n\r\n{"type":"ADDED","obj'), []);
  });

  test('a bookmark carries only its resourceVersion', async () => {
    const line = JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '42' } } });
    assert.deepEqual(await read(`${line}\n`), [{ type: 'BOOKMARK', resourceVersion: '42' }]);
  });

  test('an ERROR event is thrown as the error that it carries', async () => {
    const gone = { kind: 'Status', reason: 'Expired', message: 'too old resource version', code: 410 };
    await assert.rejects(read(`${JSON.stringify({ type: 'ERROR', object: gone })}\n`), isExpired);
    await assert.rejects(read(`${JSON.stringify({ type: 'ERROR', object: { code: 410 } })}\n`), (e) =>
      isStatusError(e, 'Gone'),
    );
  });

  test('what is no event is an InternalError', async () => {
    for (const line of [
      '<html>',
      '{"type":"HELLO","object":{}}',
      '{"type":"BOOKMARK","object":{"metadata":{}}}',
    ]) {
      await assert.rejects(read(`${line}\n`), (e) => isStatusError(e, 'InternalError'));
    }
  });
});

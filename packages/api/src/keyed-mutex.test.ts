import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedMutex } from './keyed-mutex.ts';

test('work of one key runs in order, also after a failure; other keys do not wait', async () => {
  const mutex = new KeyedMutex();
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = mutex.run('a', async () => {
    await gate.promise;
    log.push('first');
    throw new Error('no');
  });
  const second = mutex.run('a', async () => log.push('second'));
  await mutex.run('b', async () => log.push('other'));
  gate.resolve();
  await assert.rejects(first);
  await second;
  assert.deepEqual(log, ['other', 'first', 'second']);
});

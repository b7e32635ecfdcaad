import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WakeUp } from './wake-up.ts';

const never = new AbortController().signal;

test('a ring before anybody listens is heard', async () => {
  const bell = new WakeUp();
  bell.ring();
  await bell.wait(never);
  const gone = new AbortController();
  const next = bell.wait(gone.signal).then(() => 'woken');
  assert.equal(await Promise.race([next, Promise.resolve('waits')]), 'waits');
  gone.abort();
});

test('who listens anew in the moment in which the last listener gives up hears the next ring', async () => {
  const bell = new WakeUp();
  const first = new AbortController();
  const former = bell.wait(first.signal);
  first.abort();
  const next = bell.wait(never);
  await former;
  bell.ring();
  await next;
});

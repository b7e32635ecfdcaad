import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@selvedge/testkit';
import { ReplayGuard } from './replay-guard.ts';

test('an id is new once, until it has expired', () => {
  const clock = new FakeClock('2026-01-01T00:00:00.000Z');
  const guard = new ReplayGuard(clock);
  const expiry = clock.now().getTime() / 1000 + 300;
  assert.equal(guard.isFirstUse('a', expiry), true);
  assert.equal(guard.isFirstUse('a', expiry), false);
  clock.setTime('2026-01-01T00:05:59.000Z');
  assert.equal(guard.isFirstUse('a', expiry), false);
  clock.setTime('2026-01-01T00:07:30.000Z');
  assert.equal(guard.isFirstUse('a', expiry), true);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStatusError } from '@selvedge/api';
import { AdmissionControl } from './admission-control.ts';

test('beyond its limit the hub asks to come back later, spread by the size of the fleet', () => {
  const admission = new AdmissionControl({ maxInWork: 1, random: () => 0.5 });
  const place = admission.enter(0);
  assert.throws(
    () => admission.enter(10_000),
    (e) => isStatusError(e, 'ServiceUnavailable') && e.details.retryAfterSeconds === 26,
  );
  place.leave();
  admission.enter(0);
});

test('who waits for the other side, or polls, holds no place in work', async () => {
  const admission = new AdmissionControl({ maxInWork: 1, random: () => 0 });
  const gate = Promise.withResolvers<void>();
  const slow = admission.enter(0);
  const waiting = slow.outside(() => gate.promise);
  const polling = admission.enter(0);
  polling.giveBack();
  const quick = admission.enter(0);
  quick.leave();
  gate.resolve();
  await waiting;
  assert.throws(() => admission.enter(0), /busy/);
  slow.leave();
  polling.leave();
  admission.enter(0).leave();
});

test('closing waits for everybody who was let in, and lets nobody in', async () => {
  const admission = new AdmissionControl({ maxInWork: 9, random: () => 0 });
  const place = admission.enter(0);
  place.giveBack();
  let isClosed = false;
  const closed = admission.close().then(() => {
    isClosed = true;
  });
  assert.throws(() => admission.enter(0), /stopping/);
  await Promise.resolve();
  assert.equal(isClosed, false);
  place.leave();
  await closed;
});

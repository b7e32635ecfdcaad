import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { StatusError } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { serveConnect } from './serve-connect.ts';

const path = {
  group: 'selvedge.dev',
  version: 'v1alpha1',
  resource: 'sites',
  namespace: undefined,
  name: 'shop',
  below: '/x',
};

/** A session that lasts until it is told to end. */
function openSession(checkAccess: () => void) {
  const clock = new FakeClock();
  let draining: AbortSignal | undefined;
  const done = serveConnect({
    served: { req: { url: '/sites/shop/proxy/x' }, res: {}, auditId: 'a' },
    connect: {
      connect: async (request: { draining: AbortSignal }) => {
        draining = request.draining;
        if (!draining.aborted) await once(draining, 'abort');
      },
    },
    path,
    user: { name: 'bob', groups: [] },
    onDrain: () => {},
    releaseSeat: () => {},
    clock,
    checkAccess,
  } as unknown as Parameters<typeof serveConnect>[0]);
  return { clock, done, isEnding: () => draining?.aborted };
}

test('a session goes on while its user may have it, and ends within a minute after', async () => {
  let checks = 0;
  let isAllowed = true;
  const session = openSession(() => {
    checks += 1;
    if (!isAllowed) throw new StatusError('Forbidden', 'no longer');
  });
  await session.clock.advance(10 * 60_000);
  assert.equal(checks, 10);
  assert.equal(session.isEnding(), false);
  isAllowed = false;
  await session.clock.advance(60_000);
  await session.done;
  assert.equal(session.isEnding(), true);
  await session.clock.advance(10 * 60_000);
  assert.equal(checks, 11);
});

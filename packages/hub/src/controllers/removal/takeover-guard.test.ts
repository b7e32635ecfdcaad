import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Application, applications, type HeldRemoval } from '@selvedge/api';
import { TestHub } from '../testing/test-hub.ts';

const till = { namespace: 'shop', name: 'till' };
const six = ['shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5', 'shop-6'];

/** Made anew after its finalizer was taken away by force: the sites run on by order of the former one. */
async function remade(names: readonly string[], spec: Partial<Application['spec']>): Promise<TestHub> {
  const hub = await TestHub.start();
  await hub.addSites(...names);
  await hub.apply({ rollout: { waves: [{ name: 'all', percent: 100 }] } });
  await running(hub, names.length);
  await hub.stopControllers();
  await hub.client.delete(applications, till);
  await hub.client.mergePatch(applications, till, { metadata: { finalizers: null } });
  await hub.pass(1_000);
  await hub.apply({ text: 'anew', ...spec });
  hub.startControllers();
  return hub;
}

const running = (hub: TestHub, count: number, uid?: string) =>
  hub.eventually(async () => {
    const rows = (await hub.rows()).filter(
      ({ phase, report, applicationUid }) =>
        phase === 'Wanted' && report?.state === 'Running' && (uid === undefined || applicationUid === uid),
    );
    assert.equal(rows.length, count);
  });

const heldOf = (hub: TestHub, check: (held: HeldRemoval) => boolean = () => true): Promise<HeldRemoval> =>
  hub.eventually(async () => {
    const held = (await hub.application()).status?.heldRemoval;
    assert.ok(held && check(held), JSON.stringify(held));
    return held;
  });

describe('an application that was made anew where a former one was not removed', () => {
  test('replaces it at many sites only when a person approves, and then wave by wave', async () => {
    const waves = [
      { name: 'canary', sites: 1 },
      { name: 'rest', percent: 100 },
    ];
    await using hub = await remade(six, { rollout: { waves } });
    const held = await heldOf(hub);
    assert.deepEqual([held.reason, held.sites, held.of, held.names], ['TooMany', 6, 6, six]);
    assert.match(held.message, /made anew and is to replace what a former till left 6 of 6 sites/);
    await hub.pass(10_000);
    await hub.stopControllers();
    hub.startControllers();
    await hub.pass(2 * 3_600_000);
    const uid = (await hub.application()).metadata.uid ?? '';
    const before = await hub.rows();
    assert.ok(before.every((row) => row.phase === 'Wanted' && row.applicationUid !== uid));
    assert.equal(before.length, 6);

    const { digest } = await heldOf(hub);
    await hub.client.mergePatch(applications, till, { spec: { removal: { approved: { digest } } } });
    await running(hub, 6, uid);
    assert.equal((await hub.application()).status?.heldRemoval, undefined);
  });

  test('replaces it at a few sites, which run what they had while they prepare', async () => {
    const waves = [
      { name: 'canary', sites: 1 },
      { name: 'rest', percent: 100, approval: 'Manual' as const },
    ];
    await using hub = await remade(['shop-1', 'shop-2'], { rollout: { waves, prepare: {} } });
    const former = await hub.rows();
    const uid = (await hub.application()).metadata.uid ?? '';
    await running(hub, 1, uid);
    const taken = (await hub.rows()).find((row) => row.applicationUid === uid);
    assert.equal(taken?.terms.fallback?.digest, former[0]?.digest);
    const waits = (await hub.rows()).filter((row) => row.phase === 'Wanted' && row.applicationUid !== uid);
    assert.equal(waits.length, 1);
  });
});

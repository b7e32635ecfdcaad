import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Rollout, type RolloutPhase, rollouts } from '@selvedge/api';
import { type Behaviour, TestHub } from '../testing/test-hub.ts';

const everywhere = { waves: [{ name: 'all', percent: 100 }] };

async function reached(hub: TestHub, name: string, phase: RolloutPhase): Promise<Rollout> {
  return hub.eventually(async () => {
    const rollout = await hub.rollout(name);
    assert.equal(rollout.status?.phase, phase, rollout.status?.message);
    return rollout;
  });
}

/** As an agent remembers: what failed here at an attempt fails at all up to that, untried. */
function remembers(failed: Map<string, number>, isBad: (release: string) => boolean): Behaviour {
  return ({ release, digest, terms }) => {
    const isRemembered = terms.attempt <= (failed.get(digest) ?? 0);
    if (!isRemembered && !isBad(release)) return { state: 'Running' };
    failed.set(digest, Math.max(terms.attempt, failed.get(digest) ?? 0));
    return { state: 'Failed', reason: 'CrashLoop', message: isRemembered ? 'it failed before' : 'exited' };
  };
}

describe('the number of a rollout', () => {
  test('never comes again when rollouts were deleted by hand: a release that was mended and lifted is tried', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2');
    await hub.apply({ rollout: everywhere });
    await reached(hub, 'till-1', 'Completed');
    const good = (await hub.application()).status?.release;
    let isMended = false;
    for (const name of ['shop-1', 'shop-2']) {
      hub.agent(name).behaviour = remembers(new Map(), (release) => release !== good && !isMended);
    }
    await hub.apply({ rollout: everywhere, text: 'bad' });
    const { spec } = await reached(hub, 'till-2', 'Reverted');

    for (const name of ['till-1', 'till-2']) await hub.client.delete(rollouts, { namespace: 'shop', name });
    await reached(hub, 'till-3', 'Blocked');
    isMended = true;
    await hub.lift(spec.release);
    await reached(hub, 'till-4', 'Completed');
    assert.ok(
      (await hub.rows()).every(({ terms, release }) => terms.attempt === 4 && release === spec.release),
    );
  });

  test('is beyond what sites were told by a hub of which a backup knows nothing', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply({ rollout: everywhere });
    await reached(hub, 'till-1', 'Completed');
    await hub.pass(1_000);
    const row = await hub.row('shop-1');
    assert.ok(row);
    const { namespace, application, applicationUid, release, digest, deadlineSeconds, removal, terms } = row;
    const told = { namespace, application, applicationUid, release, digest, deadlineSeconds, removal };
    const epoch = row.epoch + 7;
    await hub.fleet.adoptSiteState('shop-1', {
      ...(await hub.fleet.siteState('shop-1')),
      epoch,
      rows: [{ ...told, epoch, phase: 'Wanted', terms: { ...terms, attempt: 6 } }],
    });
    await hub.apply({ rollout: everywhere, text: 'two' });
    await reached(hub, 'till-7', 'Completed');
    assert.equal((await hub.row('shop-1'))?.terms.attempt, 7);
  });
});

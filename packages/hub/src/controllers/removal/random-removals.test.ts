import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applications, sites } from '@selvedge/api';
import { TestHub } from '../testing/test-hub.ts';

const names = Array.from({ length: 12 }, (_, n) => `shop-${n}`);
const till = { namespace: 'shop', name: 'till' };
const hour = 3_600_000;
/** Of 12 sites. */
const limit = 3;

for (const seed of [1, 2]) {
  test(`whatever happens to labels, selector and hub, no more leave than the guard allows (seed ${seed})`, async () => {
    await using hub = await TestHub.start();
    await hub.addSites(...names);
    await hub.apply({ rollout: { waves: [{ name: 'all', percent: 100 }] } });
    await hub.eventually(async () => {
      const rows = await hub.rows();
      assert.equal(rows.filter((row) => row.report?.state === 'Running').length, names.length);
    });
    const random = numbersOf(seed);
    const pick = (count: number) => Math.floor(random() * count);
    let approvedAt = Number.NEGATIVE_INFINITY;

    for (let step = 0; step < 24; step++) {
      const act = pick(10);
      if (act < 5) {
        const tier = random() < 0.6 ? 'office' : 'store';
        for (let n = pick(5); n >= 0; n--) {
          const patch = { metadata: { labels: { tier } } };
          await hub.client.mergePatch(sites, { name: names[pick(names.length)] ?? '' }, patch);
        }
      } else if (act < 7) {
        const placement = { siteSelector: { matchLabels: { tier: random() < 0.5 ? 'stroe' : 'store' } } };
        await hub.client.mergePatch(applications, till, { spec: { placement } });
      } else if (act === 7) {
        await hub.stopControllers();
        hub.startControllers(() => random() < 0.1);
      } else if (act === 8) {
        const digest = (await hub.application()).status?.heldRemoval?.digest;
        if (digest !== undefined && random() < 0.5) {
          approvedAt = hub.clock.now().getTime();
          await hub.client.mergePatch(applications, till, { spec: { removal: { approved: { digest } } } });
        }
      }
      for (let n = 0; n < 6; n++) await hub.pass(n < 4 ? 800 : pick(5) * 60_000);

      const now = hub.clock.now().getTime();
      const left = (await hub.rows()).filter(
        (row) => row.phase !== 'Wanted' && Date.parse(row.assignedAt) > now - hour,
      );
      // Consent holds for exactly what it was given for, but all of that counts for an hour.
      if (approvedAt < now - hour) assert.ok(left.length <= limit, `${left.length} left, step ${step}`);
      assert.ok(left.every((row) => row.removal === 'Delete'));
    }
  });
}

function numbersOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

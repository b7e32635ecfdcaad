import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { MachineSoak } from '../machines/soak/machine-soak.ts';
import { RandomLife } from '../machines/soak/random-life.ts';
import { SeededRandom } from './seeded-random.ts';

/**
 * Random wishes of people for many simulated boxes, which break down, come back and lie, while the agent and the hub are killed and the link is cut. `SELVEDGE_SOAK_BOXES`,
 * `SELVEDGE_SOAK_SECONDS` and `SELVEDGE_SOAK_SEED` make it longer than CI does.
 */
const boxes = Number(process.env['SELVEDGE_SOAK_BOXES'] ?? 5);
const seconds = Number(process.env['SELVEDGE_SOAK_SECONDS'] ?? 8);
const seed = Number(process.env['SELVEDGE_SOAK_SEED'] ?? 1);
/** What is said is told after at most ten seconds: who writes again and again does so within this time. */
const quietMs = 12_000;

test(`machines under random faults, seed ${seed}: nothing is lost without consent, and all come to rest`, async () => {
  const random = new SeededRandom(seed);
  const soak = await MachineSoak.start({ boxes, random });
  try {
    const life = new RandomLife(soak, random);
    await life.begin();
    await life.run(seconds);
    life.calm();
    await soak.until('no machine is being worked on', 300, () => life.findBusy());
    await soak.until('all say why they wait', 120, () => life.findDumb());
    await life.wantAll();
    await soak.until('all machines run what is wanted', 300, async () => {
      const unlike = await life.findUnlike();
      if (unlike !== undefined) await life.retryGivenUp();
      return unlike;
    });
    let last = await life.revisions();
    let since = performance.now();
    let written: string[] = [];
    await soak.until('machines at rest are not written', 180, async () => {
      const now = await life.revisions();
      if (!isDeepStrictEqual(now, last)) {
        since = performance.now();
        written = Object.keys(now).filter((name) => now[name] !== last[name]);
      }
      last = now;
      return performance.now() - since > quietMs ? undefined : `written last: ${written.join()}`;
    });
    assert.deepEqual(soak.violations, []);
    assert.deepEqual(await soak.leaks(), []);
  } finally {
    await soak.close();
  }
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { crashKeys, crashRounds, sensitiveResource } from '@selvedge/testkit';
import { bundleProgram } from './testing/bundle-program.ts';
import { folderForTest, type openTestStore } from './testing/open-test-store.ts';

/** In CI some; all 1,000 with `SELVEDGE_CRASH_ROUNDS=1000 node --test packages/store/src/durability.test.ts`. */
const rounds = Number(process.env['SELVEDGE_CRASH_ROUNDS'] ?? 40);

test(`a store that is killed at any instant, ${rounds} times over, has everything that it acknowledged`, async (t) => {
  const folder = folderForTest(t);
  const path = join(folder, 'data', 'store.db');
  const file = await bundleProgram('crash-writer.ts', folder);
  const program = await bundleProgram('open-test-store.ts', folder);
  const bundled = (await import(program)) as { openTestStore: typeof openTestStore };
  const options = { keys: crashKeys(1), sensitiveResources: new Set([sensitiveResource]) };
  const acknowledged = await crashRounds({
    rounds,
    writer: { file, args: [path] },
    open: () => bundled.openTestStore(path, options),
    onRound: (round, count) => {
      if (round % 50 === 0) t.diagnostic(`${round} kills, ${count} writes acknowledged`);
    },
  });
  t.diagnostic(`${rounds} kills, ${acknowledged} writes acknowledged`);
  assert.ok(acknowledged > rounds * 5, `only ${acknowledged} writes were acknowledged`);
});

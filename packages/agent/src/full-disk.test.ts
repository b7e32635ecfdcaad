import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { eventually, makeStateDir, startTestAgent } from './testing/test-agent.ts';
import { TestHub } from './testing/test-hub.ts';

const manifests = [{ kind: 'ConfigMap', metadata: { name: 'x' } }];

function sh(command: string, ...args: string[]) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
}

/** A small disk of its own. */
async function mountSmallDisk() {
  const dir = await makeStateDir();
  sh('mount', '-t', 'tmpfs', '-o', 'size=1536k', 'tmpfs', dir.path);
  const ballast = join(dir.path, 'ballast');
  return {
    path: dir.path,
    fill() {
      for (let size = 1 << 20; size >= 4096; size >>= 1) {
        for (let n = 0; statfsSync(dir.path).bavail * 4096 >= size && n < 100; n++) {
          writeFileSync(ballast, Buffer.alloc(size), { flag: 'a' });
        }
      }
    },
    free: () => rmSync(ballast, { force: true }),
    async [Symbol.asyncDispose]() {
      sh('umount', dir.path);
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe('a site whose disk is full', () => {
  test(
    'says so, keeps what it has, takes nothing by halves, and goes on when there is space',
    requireTool('root', 'mount'),
    async () => {
      await using disk = await mountSmallDisk();
      await using hub = await TestHub.start();
      await using agent = startTestAgent({ stateDir: disk.path, token: hub.token() });
      const till = hub.assign('till', manifests);
      await eventually('it runs', () => hub.reports.size === 1);
      disk.fill();

      const large = [{ kind: 'ConfigMap', metadata: { name: 'large' }, data: { text: 'x'.repeat(300_000) } }];
      const kiosk = hub.assign('kiosk', large);
      const isTold = () =>
        hub.requests.at(-1)?.refusal?.reason === 'StorageFull' ||
        hub.reports.get(`${kiosk.id} ${kiosk.uid}`)?.reason === 'StorageFull';
      await eventually('the hub is told', isTold);
      const { id, uid, epoch, release, digest } = till;
      agent.driver.report({ id, uid, epoch, release, digest, state: 'Degraded', reason: 'WhileFull' });
      await eventually('reports still arrive', () => hub.reports.get(`${id} ${uid}`)?.reason === 'WhileFull');
      assert.deepEqual([...agent.driver.running.keys()], [`${id} ${uid}`]);

      disk.free();
      await eventually('the new application runs', () => agent.driver.running.size === 2, 60);
      await eventually('the refusal is over', () => hub.requests.at(-1)?.refusal === undefined, 60);
      await agent.stop();
      await using again = startTestAgent({ stateDir: disk.path });
      await eventually('everything is there after a restart', () => again.driver.running.size === 2);
      await again.stop();
      await hub.close();
    },
  );

  test('an agent that starts on a full disk drives what it has', requireTool('root', 'mount'), async () => {
    await using disk = await mountSmallDisk();
    await using hub = await TestHub.start();
    await using agent = startTestAgent({ stateDir: disk.path, token: hub.token() });
    hub.assign('till', manifests);
    await eventually('it runs', () => hub.reports.size === 1);
    await agent.stop();
    disk.fill();
    await using again = startTestAgent({ stateDir: disk.path });
    await eventually('it runs', () => again.driver.running.size === 1);
    hub.assign('kiosk', manifests);
    await eventually('the hub hears from it', () => hub.requests.at(-1)?.epoch !== undefined);
  });
});

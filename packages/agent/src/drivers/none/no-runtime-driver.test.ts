import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { eventually, makeStateDir, startTestAgent } from '../../testing/test-agent.ts';
import { TestHub } from '../../testing/test-hub.ts';
import type { DriverItem } from '../driver.ts';
import { NoRuntimeDriver } from './no-runtime-driver.ts';

test('an agent without a runtime says of applications that they cannot run here, and lets go of them', async () => {
  await using dir = await makeStateDir();
  await using hub = await TestHub.start();
  const item = hub.assign('till', [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'till' } }]);
  await using agent = startTestAgent({
    stateDir: join(dir.path, 'state'),
    token: hub.token(),
    createDriver: () => new NoRuntimeDriver(systemClock),
  });
  const report = () => hub.reports.get(`${item.id} ${item.uid}`);
  await eventually('it is refused', () => report()?.state === 'Refused');
  assert.equal(report()?.reason, 'NoRuntime');
  assert.match(report()?.message ?? '', /--runtime none/);
  hub.remove(item);
  await eventually('it is gone', () => report()?.state === 'Removed');
  await agent.stop();
});

test('each release of an item is refused, also under one assignment, and once', () => {
  const driver = new NoRuntimeDriver(systemClock);
  const said: string[] = [];
  driver.onReport(({ epoch, digest, state }) => said.push(`${epoch} ${digest} ${state}`));
  const give = (epoch: number, digest: string) => {
    const item = { id: 'Application/shop/till', uid: 'u', epoch, release: digest, digest };
    driver.setDesired([{ item }] as unknown as readonly DriverItem[]);
  };
  give(1, 'a');
  give(1, 'a');
  give(1, 'b');
  give(2, 'b');
  assert.deepEqual(said, ['1 a Refused', '1 b Refused', '2 b Refused']);
});

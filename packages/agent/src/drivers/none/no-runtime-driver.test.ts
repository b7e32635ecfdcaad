import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { eventually, makeStateDir, startTestAgent } from '../../testing/test-agent.ts';
import { TestHub } from '../../testing/test-hub.ts';
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

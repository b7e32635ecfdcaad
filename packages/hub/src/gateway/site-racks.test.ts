import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RackReport, type Site, sites } from '@selvedge/api';
import { machinesDigest } from '@selvedge/api/node';
import { rackSpec } from './testing/machine-reports.ts';
import { eventually, TestHub } from './testing/test-hub.ts';

test('a word of a rack that came too soon is not written over what it has said to another hub since', async (t) => {
  const hub = await TestHub.start(t, { syncWait: '1s' });
  const { client } = hub.hub;
  const agent = await hub.enrolledAgent('berlin');
  await client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { rack: rackSpec } });
  const start = hub.clock.now().getTime();
  const said = (seconds: number, doneBytes: number): RackReport => ({
    observedTime: new Date(start + seconds * 1000).toISOString(),
    networks: [],
    images: [{ name: 'debian', digest: `sha256:${'1'.repeat(64)}`, state: 'Fetching', doneBytes }],
  });
  const tell = async (rack?: RackReport) => {
    const request = { machinesDigest: machinesDigest([]), maxWaitSeconds: 0, ...(rack && { rack }) };
    const { code, body } = await agent.sync(request);
    assert.equal(code, 200, body.message);
    if (body.state !== undefined) await agent.accept(body.state);
  };
  const shown = async () => (await hub.site('berlin')).status?.rack?.images[0]?.doneBytes;
  let told = 0;
  do {
    assert.ok(told < 1000, 'none came too soon');
    await tell(said(0, ++told));
  } while ((await shown()) === told);
  // As another hub writes it.
  await client.mergePatch<Site>(
    sites,
    { name: 'berlin' },
    { status: { rack: said(1, 5000) } },
    { subresource: 'status' },
  );
  hub.clock.offsetMilliseconds = 60_000;
  await tell();
  await tell();
  assert.equal(await shown(), 5000);
  for (let i = 6001; i <= 6030; i++) await tell(said(2, i));
  hub.clock.offsetMilliseconds = 120_000;
  await eventually(async () => {
    await tell();
    return (await shown()) === 6030;
  });
});

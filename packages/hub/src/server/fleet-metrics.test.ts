import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import { type Site, sites } from '@selvedge/api';
import { loadKubeconfig } from '@selvedge/kube';
import { eventually, TestHub } from '../gateway/testing/test-hub.ts';

async function readMetrics(hub: TestHub): Promise<string> {
  const { ca, cert, key } = await loadKubeconfig(hub.hub.kubeconfigPath);
  return new Promise((resolve, reject) => {
    request(`${hub.hub.url}/metrics`, { ca, cert, key, agent: false }, (res) => {
      let text = '';
      res.on('data', (chunk: Buffer) => (text += chunk));
      res.on('end', () => resolve(text));
    })
      .once('error', reject)
      .end();
  });
}

test('metrics count the sites by connectivity exactly, and those that need somebody', async (t) => {
  const hub = await TestHub.start(t, { syncWait: '1s' });
  const now = hub.clock.now().getTime();
  const silentSeconds: Record<string, number | undefined> = {
    connected: 0,
    away: 3_600,
    overdue: 48 * 3_600,
    patient: 48 * 3_600,
    never: undefined,
  };
  for (const [name, seconds] of Object.entries(silentSeconds)) {
    await hub.hub.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name },
      spec: name === 'patient' ? { connectivity: { expected: '7d' }, hold: { reason: 'works' } } : {},
    });
    if (seconds === undefined) continue;
    const lastSeenAt = new Date(now - seconds * 1000).toISOString();
    hub.hub.fleet.touch({ site: name, lastSeenAt, agentEpoch: 0, agentStateDigest: '' });
  }
  // Connected as long as the test may take.
  const text = await eventually(async () => {
    const lastSeenAt = hub.clock.now().toISOString();
    hub.hub.fleet.touch({ site: 'connected', lastSeenAt, agentEpoch: 0, agentStateDigest: '' });
    const metrics = await readMetrics(hub);
    return /^selvedge_sites\{connectivity="Away"\} 2$/m.test(metrics) && metrics;
  });
  assert.match(text, /^selvedge_sites\{connectivity="Connected"\} 1$/m);
  assert.match(text, /^selvedge_sites\{connectivity="Overdue"\} 1$/m);
  assert.match(text, /^selvedge_sites\{connectivity="NeverConnected"\} 1$/m);
  assert.match(text, /^selvedge_site_silence_seconds_max 1728\d\d(\.\d+)?$/m);
  await eventually(async () => /^selvedge_site_held 1$/m.test(await readMetrics(hub)));
  assert.match(text, /^selvedge_site_hub_behind 0$/m);
  const agent = await hub.enrolledAgent('ahead');
  await agent.sync({ epoch: 9, stateDigest: `sha256:${'1'.repeat(64)}`, maxWaitSeconds: 1 });
  await eventually(async () => /^selvedge_site_hub_behind 1$/m.test(await readMetrics(hub)));
});

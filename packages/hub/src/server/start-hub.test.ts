import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { enrollmentTokens } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { createHttpClient, loadKubeconfig } from '@selvedge/kube';
import { decodeToken } from '../gateway/testing/test-agent.ts';
import { TestHub } from '../gateway/testing/test-hub.ts';
import { startHub } from './start-hub.ts';

const logger = createLogger({ level: 'silent' });

describe('starting a hub', { concurrency: false }, () => {
  test('the admin kubeconfig reaches the API, also for the token text of an EnrollmentToken', async (t) => {
    const hub = await TestHub.start(t, { advertise: ['https://hub.example:8443', 'https://10.0.0.1'] });
    await hub.token('berlin', { siteName: 'berlin' });
    const client = createHttpClient({ kubeconfig: await loadKubeconfig(hub.hub.kubeconfigPath) });
    t.after(() => client.close());
    const answer = await client.request<{ status: { token: string; expirationTimestamp: string } }>({
      method: 'POST',
      path: '/apis/selvedge.dev/v1alpha1/enrollmenttokens/berlin/token',
      body: {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'EnrollmentTokenRequest',
        metadata: { name: 'berlin' },
      },
    });
    assert.deepEqual(decodeToken(answer.status.token).hubs, ['https://hub.example:8443', 'https://10.0.0.1']);
    assert.ok(Date.parse(answer.status.expirationTimestamp) > Date.now());
    const token = await hub.enrollmentToken('berlin');
    assert.ok(!JSON.stringify(token).includes(decodeToken(answer.status.token).secret));
    hub.clock.offsetMilliseconds = 48 * 3_600_000;
    await assert.rejects(
      client.request({
        method: 'POST',
        path: '/apis/selvedge.dev/v1alpha1/enrollmenttokens/berlin/token',
        body: {},
      }),
      /expired at/,
    );
    await hub.hub.client.delete(enrollmentTokens, { name: 'berlin' });
  });

  test('a second hub on the same data is refused and harms nothing', async (t) => {
    const hub = await TestHub.start(t);
    await assert.rejects(
      startHub({ data: hub.data, listen: '127.0.0.1:0', logger }),
      /is in use by another hub: stop that one/,
    );
    await hub.token('still-works', { siteName: 'a' });
  });

  test('a port in use is refused by name, and the data is let go', async (t) => {
    const hub = await TestHub.start(t);
    const other = await TestHub.start(t);
    await other.stop();
    await assert.rejects(
      startHub({ data: other.data, listen: `127.0.0.1:${hub.hub.port}`, logger }),
      /another program uses this port.*--listen/,
    );
    await other.start();
  });

  test('objects, identity and address survive a restart', async (t) => {
    const hub = await TestHub.start(t);
    await hub.token('berlin', { siteName: 'berlin' });
    const { uid } = (await hub.enrollmentToken('berlin')).metadata;
    const ca = readFileSync(`${hub.data}/keys/ca.crt`, 'utf8');
    await hub.stop();
    await hub.start();
    assert.equal((await hub.enrollmentToken('berlin')).metadata.uid, uid);
    assert.equal(readFileSync(`${hub.data}/keys/ca.crt`, 'utf8'), ca);
  });

  test('a stopped hub lets go of its port, also with an idle connection open', async (t) => {
    const hub = await TestHub.start(t);
    const { port } = hub.hub;
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
    await hub.stop();
    const again = await startHub({ data: hub.data, listen: `127.0.0.1:${port}`, logger });
    await again.close();
  });
});

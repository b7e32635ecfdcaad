import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { LibpodClient } from '../libpod-client.ts';
import { PodNetworkAccess } from '../pod-network-access.ts';
import { eventually } from '../testing/test-site.ts';
import { ExecProbes } from './exec-probe.ts';
import { Prober } from './prober.ts';

describe('the prober', () => {
  let server: Server;
  let port: number;
  let code = 200;
  let header: string | undefined;

  before(async () => {
    server = createServer((req, res) => {
      header = req.headers['x-probe'] as string | undefined;
      res.writeHead(code).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  after(() => server.close());

  const open = (onChange: () => void = () => undefined) =>
    new Prober({
      access: {
        exec: new ExecProbes(new LibpodClient('/nonexistent')),
        network: new PodNetworkAccess(false),
      },
      clock: systemClock,
      onChange,
    });
  const target = (containerId: string, probes: object) => ({
    containerId,
    container: { name: 'web', image: 'i', ports: [{ name: 'http', containerPort: port }], ...probes },
    infraPid: 0,
    podIP: '127.0.0.1',
    startedAt: 0,
  });

  test('a container without probes is ready at once; one that is not watched is not', () => {
    const prober = open();
    prober.watch([target('a', {})]);
    assert.equal(prober.stateOf('a').isReady, true);
    assert.equal(prober.stateOf('b').isReady, false);
    prober.stop();
  });

  test('readiness follows the answers, after its thresholds', async () => {
    const prober = open();
    const httpGet = { path: '/', port: 'http', httpHeaders: [{ name: 'X-Probe', value: 'yes' }] };
    prober.watch([target('a', { readinessProbe: { httpGet, periodSeconds: 1, failureThreshold: 2 } })]);
    assert.equal(prober.stateOf('a').isReady, false);
    await eventually(
      async () => prober.stateOf('a'),
      (state) => state.isReady,
    );
    assert.equal(header, 'yes');
    assert.deepEqual(prober.readyContainers(), ['a']);
    code = 503;
    const state = await eventually(
      async () => prober.stateOf('a'),
      ({ isReady }) => !isReady,
    );
    assert.equal(state.message, 'readiness probe failed: HTTP 503');
    code = 200;
    await eventually(
      async () => prober.stateOf('a'),
      ({ isReady, message }) => isReady && message === undefined,
    );
    prober.stop();
  });

  test('a container that was ready before a restart of the agent stays ready until its probe fails', async () => {
    const prober = open();
    prober.remember(['a']);
    const readinessProbe = { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 2 };
    prober.watch([target('a', { readinessProbe }), target('b', { readinessProbe })]);
    assert.equal(prober.stateOf('a').isReady, true);
    assert.equal(prober.stateOf('b').isReady, false);
    await eventually(
      async () => prober.stateOf('a'),
      ({ isReady }) => !isReady,
    );
    prober.stop();
  });

  test('liveness waits for the startup probe, and a startup probe that fails asks for a restart', async () => {
    let changes = 0;
    const prober = open(() => {
      changes += 1;
    });
    const never = { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 2 };
    prober.watch([target('a', { startupProbe: never, livenessProbe: { ...never, failureThreshold: 1 } })]);
    const state = await eventually(
      async () => prober.stateOf('a'),
      ({ mustRestart }) => mustRestart !== undefined,
    );
    assert.match(state.mustRestart ?? '', /startup probe failed: connect ECONNREFUSED/);
    assert.equal(state.isStarted, false);
    assert.ok(changes > 0);
    prober.stop();
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { namespaces } from '@selvedge/api';
import { type ApiServer, createApiServer, type ResourceDefinition } from '@selvedge/apiserver';
import { openSqliteStore, type Store } from '@selvedge/store';
import { requireTool } from '@selvedge/testkit';
import { findKubectls, Kubectl } from './kubectl-program.ts';

const namespaceDefinition: ResourceDefinition = {
  ref: namespaces,
  singular: 'namespace',
  description: 'A namespace.',
  statusSubresource: true,
  columns: [],
  schema: { type: 'object', properties: { spec: { type: 'object' }, status: { type: 'object' } } },
};

/** No kind of the hub has replicas, so this one shows that a kind which has is scaled. */
const machineDefinition: ResourceDefinition = {
  ref: { group: 'example.dev', version: 'v1', plural: 'machines', kind: 'Machine', namespaced: true },
  singular: 'machine',
  description: 'Something of which there may be many.',
  statusSubresource: true,
  columns: [],
  schema: {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { replicas: { type: 'integer', description: 'How many.' } } },
      status: { type: 'object', properties: { replicas: { type: 'integer', description: 'How many.' } } },
    },
  },
  scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
};

const admin = { name: 'admin', groups: ['system:masters'] };

describe('kubectl scale', requireTool('kubectl'), () => {
  let directory: string;
  let store: Store;
  let api: ApiServer;
  const server = createServer((req, res) => void api.handle(req, res, { certificateUser: admin }));
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'selvedge-kubectl-scale-'));
    const logger = createLogger({ level: 'error' });
    store = await openSqliteStore({ path: join(directory, 'store.db'), clock: systemClock, logger });
    const definitions = [namespaceDefinition, machineDefinition];
    api = await createApiServer({ definitions, store: store.objects, clock: systemClock, logger });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(async () => {
    await api.close();
    server.closeAllConnections();
    server.close();
    await store.close();
    rmSync(directory, { recursive: true });
  });

  for (const { version, minor, path } of findKubectls()) {
    test(`${version} scales a kind that has replicas`, async () => {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const kubeconfig = join(directory, `${minor}.kubeconfig`);
      const cluster = { name: 'c', cluster: { server: url } };
      const context = { name: 'c', context: { cluster: 'c', user: '' } };
      writeFileSync(
        kubeconfig,
        JSON.stringify({ clusters: [cluster], contexts: [context], 'current-context': 'c' }),
      );
      const kubectl = new Kubectl(path, { kubeconfig, folder: directory });
      const name = `m${minor}`;
      const input = JSON.stringify({
        apiVersion: 'example.dev/v1',
        kind: 'Machine',
        metadata: { name },
        spec: { replicas: 1 },
      });
      await kubectl.run(['create', '-f', '-'], { input });
      const replicas = () => kubectl.run(['get', 'machine', name, '-o', 'jsonpath={.spec.replicas}']);
      assert.match(await kubectl.run(['scale', `machine/${name}`, '--replicas=3']), /scaled/);
      assert.equal(await replicas(), '3');
      const wrong = ['scale', `machine/${name}`, '--replicas=5', '--current-replicas=2', '--timeout=1s'];
      assert.match(await kubectl.fail(wrong), /[Ee]xpected replicas to be 2, was 3/);
      await kubectl.run(['scale', `machine/${name}`, '--replicas=0', '--current-replicas=3']);
      assert.equal(await replicas(), '0');
      await kubectl.run(['scale', `machine/${name}`, '--replicas=7', '--dry-run=server']);
      assert.equal(await replicas(), '0');
      const patch = ['--subresource=scale', '--type=merge', '-p', '{"spec":{"replicas":2}}'];
      await kubectl.run(['patch', 'machine', name, ...patch]);
      assert.equal(await replicas(), '2');
      assert.match(
        await kubectl.run(['get', 'machine', name, '--subresource=scale']),
        /DESIRED\s+AVAILABLE[\s\S]*\s2\s+0/,
      );
    });
  }
});

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type ConfigMap,
  configMaps,
  type DeliveryRules,
  type KubeObject,
  splitReleaseContent,
} from '@selvedge/api';
import { TestHub } from '../../controllers/testing/test-hub.ts';
import { SourceHosts } from '../source-hosts.ts';
import { FileServer, packFiles } from '../testing/file-server.ts';

const recorded = `apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {values: 'VALUES'}
`;

/** What the newest release is made of. */
async function releasedContent(
  hub: TestHub,
): Promise<{ manifests: readonly KubeObject[]; rules: DeliveryRules }> {
  const { status } = await hub.application();
  const release = await hub.release(status?.release ?? '');
  const bytes = await hub.fleet.findBlob(release.spec.digest);
  return splitReleaseContent(JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[]);
}

const variantsOf = ({ variants = [] }: DeliveryRules): unknown[] =>
  variants.map(({ overrides, set }) => [overrides, set.map((manifest) => (manifest as ConfigMap).data)]);

test('a chart goes out with what overrides make of it, and again when other sites or values come', async () => {
  await using server = await FileServer.start();
  await using hub = await TestHub.start();
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-charts-test-'));
  const packed = await packFiles({ 'shop/Chart.yaml': 'name: shop\n', 'shop/recorded/stdout': recorded });
  server.set('/shop-1.0.0.tgz', packed);
  server.set('/index.yaml', 'entries:\n  shop:\n  - version: 1.0.0\n    urls: [shop-1.0.0.tgz]\n');
  await hub.stopControllers();
  hub.sources = {
    cacheDirectory: folder,
    hosts: new SourceHosts({ hosts: [], insecureHosts: ['127.0.0.1'] }),
    helmProgram: join(import.meta.dirname, '../testing/recorded-helm.sh'),
  };
  hub.startControllers();
  try {
    const values = (text: string): ConfigMap => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'values', namespace: 'shop' },
      data: { 'values.yaml': text },
    });
    await hub.client.create(configMaps, values('color: red'));
    await hub.addSite('s1', { labels: { country: 'de' } });
    await hub.apply({
      source: {
        helm: {
          repository: `http://${server.host}`,
          chart: 'shop',
          interval: '30d',
          valuesFrom: [{ configMapKeyRef: { name: 'values', key: 'values.yaml' } }],
        },
      },
      overrides: [
        { name: 'de', siteSelector: { matchLabels: { country: 'de' } }, helmValues: { language: 'de' } },
        { name: 'big', siteSelector: { matchLabels: { size: 'big' } }, helmValues: { replicas: 3 } },
      ],
    });
    await hub.eventually(async () => {
      const { manifests, rules } = await releasedContent(hub);
      assert.deepEqual((manifests[0] as ConfigMap).data, { values: '{"color":"red"}' });
      assert.deepEqual(variantsOf(rules), [[['de'], [{ values: '{"color":"red"}{"language":"de"}' }]]]);
    });

    await hub.addSite('s2', { labels: { size: 'big' } });
    await hub.eventually(async () => {
      const { rules } = await releasedContent(hub);
      assert.deepEqual(variantsOf(rules), [
        [['big'], [{ values: '{"color":"red"}{"replicas":3}' }]],
        [['de'], [{ values: '{"color":"red"}{"language":"de"}' }]],
      ]);
    });

    const present = await hub.client.get<ConfigMap>(configMaps, { namespace: 'shop', name: 'values' });
    await hub.client.update(configMaps, { ...present, data: { 'values.yaml': 'color: green' } });
    await hub.eventually(async () => {
      const { manifests } = await releasedContent(hub);
      assert.deepEqual((manifests[0] as ConfigMap).data, { values: '{"color":"green"}' });
    });

    await hub.client.delete(configMaps, { namespace: 'shop', name: 'values' });
    await hub.client.create(configMaps, values('color: ['));
    await hub.eventually(async () => {
      const { status } = await hub.application();
      const ready = status?.conditions?.find(({ type }) => type === 'SourceReady');
      assert.equal(ready?.reason, 'RenderFailed');
      assert.match(ready.message, /ConfigMap values, key values.yaml/);
      assert.equal((await releasedContent(hub)).rules.variants?.length, 2);
    });
  } finally {
    await hub.stopControllers();
    await rm(folder, { recursive: true, force: true });
  }
});

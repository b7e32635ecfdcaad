import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeGroup } from '@selvedge/api';
import { describeOnClusters } from './testing/driver-suite.ts';
import { deployments, pods, service, services, workload } from './testing/sample-manifests.ts';

const groupLabel = 'example.com/place';
const outpostTaint = { key: 'outpost', value: 'true', effect: 'NoSchedule' };
const siteNodeGroups = [
  { name: 'region', nodeSelector: { [groupLabel]: 'region' } },
  {
    name: 'outpost',
    nodeSelector: { [groupLabel]: 'outpost' },
    tolerations: [{ key: 'outpost', operator: 'Exists', effect: 'NoSchedule' }],
  },
] as readonly NodeGroup[];
const nodes = [
  { name: 'region-1', labels: { [groupLabel]: 'region' } },
  { name: 'outpost-1', labels: { [groupLabel]: 'outpost' }, taints: [outpostTaint] },
];

describeOnClusters('node groups', { nodes }, (suite) => {
  test('one group pins the pods to its nodes; names stay', async () => {
    await using site = await suite().openSite({ siteNodeGroups });
    site.assign({
      release: 'web-1',
      manifests: [workload(), service()],
      nodeGroups: ['outpost', 'elsewhere'],
    });
    await site.start();
    await site.until('Running');
    assert.deepEqual(await site.names(deployments), ['web']);
    const [name = ''] = await site.names(pods);
    assert.equal((await site.find(pods, name))?.spec?.['nodeName'], 'outpost-1');
  });

  test('several groups get a workload each behind one Service, and become one again', async () => {
    await using site = await suite().openSite({ siteNodeGroups });
    const manifests = [workload(), service()];
    site.assign({ release: 'web-1', manifests, nodeGroups: ['region', 'outpost'] });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    assert.deepEqual(await site.names(deployments), ['web-outpost', 'web-region']);
    assert.deepEqual(await site.names(services), ['web']);
    const { items } = await site.client.list(pods, { namespace: site.namespace, labelSelector: 'app=web' });
    const places = items.map(
      (pod) =>
        `${pod.metadata.labels?.['selvedge.dev/node-group']} ${(pod['spec'] as { nodeName: string }).nodeName}`,
    );
    assert.deepEqual(places.sort(), ['outpost outpost-1', 'region region-1']);
    site.assign({ release: 'web-2', manifests, nodeGroups: ['region'] });
    await site.until('Running', { release: 'web-2' });
    assert.deepEqual(await site.names(deployments), ['web']);
  });

  test('a site that has none of the groups refuses, and says which it has', async () => {
    await using site = await suite().openSite({ siteNodeGroups });
    site.assign({ release: 'web-1', manifests: [workload()], nodeGroups: ['moon'] });
    await site.start();
    const report = await site.until('Refused', { reason: 'NoNodeGroup' });
    assert.match(report.message ?? '', /region/);
    assert.deepEqual(await site.names(deployments), []);
  });

  test('the inventory shows nodes, groups and sums, also while there is no application', async () => {
    await using site = await suite().openSite({ siteNodeGroups });
    const driver = await site.start();
    const { eventually } = await import('./testing/kubernetes-test-site.ts');
    const inventory = await eventually(
      async () => driver.inventory(),
      (found) => found?.nodeGroups.length === 2 && found.nodes.length === 2,
      'inventory',
    );
    assert.deepEqual(
      inventory?.nodes.map(({ name, isReady, nodeGroups }) => ({ name, isReady, nodeGroups })),
      [
        { name: 'outpost-1', isReady: true, nodeGroups: ['outpost'] },
        { name: 'region-1', isReady: true, nodeGroups: ['region'] },
      ],
    );
    assert.equal(inventory?.cluster?.kind, 'kubernetes');
    assert.equal(inventory?.nodeGroups[0]?.readyNodes, 1);
    let changes = 0;
    driver.onInventory(() => {
      changes += 1;
    });
    await suite().workloads.setNode({ ...(nodes[0] as (typeof nodes)[number]), isReady: false });
    await eventually(
      async () => driver.inventory()?.nodeGroups[0]?.readyNodes,
      (ready) => ready === 0,
      'loss of a node',
    );
    assert.ok(changes > 0);
    await suite().workloads.setNode(nodes[0] as (typeof nodes)[number]);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { InventoryNode, Site, SiteInventoryStatus } from '@selvedge/api';
import { plainPaint } from '../program/terminal.ts';
import { ago, now, sampleDelivery, sampleSite } from '../testing/sample-fleet.ts';
import { renderSite } from './render-site.ts';

const allocatable = { cpu: '3920m', memory: '8029380Ki', pods: '110', 'nvidia.com/gpu': '1' };
const node = (name: string, over: Partial<InventoryNode> = {}): InventoryNode => ({
  name,
  roles: ['worker'],
  isReady: true,
  capacity: allocatable,
  allocatable,
  ...over,
});

function siteWith(inventory: Partial<SiteInventoryStatus>, nodeGroups: string[] = []): Site {
  return sampleSite('shop-1', {
    spec: { nodeGroups: nodeGroups.map((name) => ({ name })) },
    status: {
      inventory: structuredClone({
        digest: 'sha256:0',
        observedTime: ago(90),
        nodeCount: 0,
        readyNodes: 0,
        nodes: [],
        ...inventory,
      }),
    },
  });
}

const shown = (site: Site) => renderSite({ site, deliveries: [], now }, plainPaint);

describe('site show, of what a site is made of', () => {
  test('cluster, nodes, groups and storage classes are there, and what is wrong with a node', () => {
    const nodes = [
      node('a', {
        roles: ['control-plane'],
        kubeletVersion: 'v1.33.2',
        os: 'Debian 12',
        architecture: 'amd64',
        nodeGroups: ['edge'],
        accelerators: [{ resource: 'nvidia.com/gpu', count: 1, product: 'L4' }],
      }),
      node('b', {
        isReady: false,
        isUnschedulable: true,
        conditions: [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', message: 'no word' }],
      }),
    ];
    const text = shown(
      siteWith(
        {
          cluster: {
            kind: 'kubernetes',
            version: 'v1.33.2',
            distribution: 'k3s',
            capacity: allocatable,
            allocatable,
          },
          nodes: structuredClone(nodes) as SiteInventoryStatus['nodes'],
          nodeCount: 203,
          readyNodes: 201,
          storageClasses: [{ name: 'local-path', provisioner: 'rancher.io/local-path', isDefault: true }],
          nodeGroups: [{ name: 'edge', nodes: 1, readyNodes: 1, allocatable, accelerators: 1 }],
        },
        ['edge', 'cloud'],
      ),
    );
    assert.match(text, /^Cluster +kubernetes v1\.33\.2 \(k3s\), as found 90s ago$/m);
    assert.match(text, /^For pods +3\.92 cpu, 7\.7 GiB memory, 110 pods, 1 nvidia\.com\/gpu$/m);
    assert.match(text, /^Nodes +203, 201 ready$/m);
    assert.match(
      text,
      /^a +yes +control-plane +edge +3\.92 +7\.7 GiB +1 nvidia\.com\/gpu \(L4\) +v1\.33\.2 +Debian 12, amd64$/m,
    );
    assert.match(text, /^b +no, cordoned +worker .* Ready: NodeStatusUnknown: no word$/m);
    assert.match(text, /^and 201 more$/m);
    assert.match(text, /^edge +1 +1 +3\.92 cpu, 7\.7 GiB memory, .* +1$/m);
    assert.match(text, /^cloud +\? +\?/m);
    assert.match(text, /^local-path \(default\) +rancher\.io\/local-path$/m);
  });

  test('a column in which nothing would stand is left out', () => {
    const text = shown(
      siteWith({ nodes: structuredClone([node('a')]) as SiteInventoryStatus['nodes'], nodeCount: 1 }),
    );
    assert.match(text, /^NODE +READY +ROLES/m);
    assert.doesNotMatch(text, /ACCELERATORS|TROUBLE/);
  });

  test('what the agent may not read is said, and no number is made up', () => {
    const text = shown(
      siteWith({
        cluster: {
          kind: 'kubernetes',
          version: 'v1.33.2',
          unreadable: ['nodes', 'storageClasses'],
          capacity: {},
          allocatable: {},
        },
      }),
    );
    assert.match(text, /^Not known +nodes and storage classes: the agent may not read them there/m);
    assert.doesNotMatch(text, /^Nodes/m);
  });

  test('of a site that told nothing there is nothing', () => {
    assert.doesNotMatch(shown(sampleSite('shop-1')), /NODE|Cluster/);
  });

  test('what others changed at a site stands beside what runs there', () => {
    const site = sampleSite('shop-1');
    const deliveries = [
      sampleDelivery({ drift: ['Deployment/till: spec.replicas', 'Service/till: spec.ports'] }),
    ];
    const text = renderSite({ site, deliveries, now }, plainPaint);
    assert.match(text, /others changed Deployment\/till: spec\.replicas; Service\/till: spec\.ports/);
  });
});

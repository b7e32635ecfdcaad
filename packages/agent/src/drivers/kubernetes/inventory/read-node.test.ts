import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import { composeInventory } from './compose-inventory.ts';
import { guessDistribution } from './distribution.ts';
import { readNode, readStorageClass } from './read-node.ts';

interface NodeParts {
  labels?: Record<string, string>;
  capacity?: Record<string, string>;
  conditions?: object[];
  spec?: object;
}

function node(
  name: string,
  { labels = {}, capacity = {}, conditions = [], spec = {} }: NodeParts = {},
): KubeObject {
  const usual = [
    { type: 'MemoryPressure', status: 'False', reason: 'KubeletHasSufficientMemory', lastHeartbeatTime: 'x' },
    { type: 'DiskPressure', status: 'False' },
    { type: 'EtcdIsVoter', status: 'True' },
    { type: 'Ready', status: 'True', reason: 'KubeletReady' },
  ].filter(({ type }) => !conditions.some((c) => (c as { type: string }).type === type));
  const amounts = {
    cpu: '4',
    memory: '8Gi',
    'ephemeral-storage': '10Gi',
    pods: '110',
    'hugepages-2Mi': '0',
    ...capacity,
  };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec,
    status: {
      capacity: amounts,
      allocatable: { ...amounts, cpu: '3920m' },
      conditions: [...usual, ...conditions],
      nodeInfo: { kubeletVersion: 'v1.33.2+k3s1', osImage: 'Ubuntu 24.04', architecture: 'arm64' },
    },
  };
}

describe('a node in the inventory', () => {
  test('has what does not change by itself', () => {
    assert.deepEqual(
      readNode(
        node('n1', {
          labels: { 'node-role.kubernetes.io/control-plane': '', 'node-role.kubernetes.io/etcd': '' },
        }),
        [],
      ),
      {
        name: 'n1',
        roles: ['control-plane', 'etcd'],
        isReady: true,
        kubeletVersion: 'v1.33.2+k3s1',
        os: 'Ubuntu 24.04',
        architecture: 'arm64',
        capacity: { cpu: '4', 'ephemeral-storage': '10Gi', memory: '8Gi', pods: '110' },
        allocatable: { cpu: '3920m', 'ephemeral-storage': '10Gi', memory: '8Gi', pods: '110' },
      },
    );
  });

  test('shows conditions only when they are not as they should be', () => {
    const found = readNode(
      node('n1', {
        spec: { unschedulable: true },
        conditions: [
          {
            type: 'Ready',
            status: 'Unknown',
            reason: 'NodeStatusUnknown',
            message: 'Kubelet stopped posting node status.',
          },
          { type: 'DiskPressure', status: 'True', reason: 'KubeletHasDiskPressure' },
        ],
      }),
      [],
    );
    assert.equal(found.isReady, false);
    assert.equal(found.isUnschedulable, true);
    assert.deepEqual(found.conditions, [
      { type: 'DiskPressure', status: 'True', reason: 'KubeletHasDiskPressure' },
      {
        type: 'Ready',
        status: 'Unknown',
        reason: 'NodeStatusUnknown',
        message: 'Kubelet stopped posting node status.',
      },
    ]);
  });

  test('without labels of a role is a worker', () =>
    assert.deepEqual(readNode(node('n'), []).roles, ['worker']));

  for (const [capacity, labels, expected] of [
    [
      { 'nvidia.com/gpu': '2' },
      { 'nvidia.com/gpu.product': 'NVIDIA-L4' },
      [{ resource: 'nvidia.com/gpu', count: 2, product: 'NVIDIA-L4' }],
    ],
    [
      { 'nvidia.com/mig-1g.5gb': '7', 'nvidia.com/gpu': '0' },
      {},
      [{ resource: 'nvidia.com/mig-1g.5gb', count: 7 }],
    ],
    [
      { 'amd.com/gpu': '1' },
      { 'amd.com/gpu.product-name': 'MI300X' },
      [{ resource: 'amd.com/gpu', count: 1, product: 'MI300X' }],
    ],
    [
      { 'gpu.intel.com/i915': '1', 'gpu.intel.com/i915_monitoring': '1' },
      {},
      [{ resource: 'gpu.intel.com/i915', count: 1 }],
    ],
    [{ 'habana.ai/gaudi': '8' }, {}, [{ resource: 'habana.ai/gaudi', count: 8 }]],
    [
      { 'aws.amazon.com/neuron': '1', 'aws.amazon.com/neuroncore': '2' },
      { 'node.kubernetes.io/instance-type': 'inf2.xlarge' },
      [{ resource: 'aws.amazon.com/neuron', count: 1, product: 'inf2.xlarge' }],
    ],
    [{ 'example.com/license': '3' }, {}, undefined],
  ] as const) {
    test(`has as accelerators of ${JSON.stringify(capacity)}: ${JSON.stringify(expected)}`, () => {
      assert.deepEqual(readNode(node('n', { capacity, labels }), []).accelerators, expected);
    });
  }
});

describe('an inventory', () => {
  const groups = [
    { name: 'gpu', nodeSelector: { gpu: 'yes' } },
    { name: 'all' },
    { name: 'none', nodeSelector: { no: 'where' } },
  ];
  const gpu = { 'nvidia.com/gpu': '2' };
  const nodes = [
    node('b', { labels: { gpu: 'yes' }, capacity: gpu }),
    node('a'),
    node('c', { labels: { gpu: 'yes' }, capacity: gpu, conditions: [{ type: 'Ready', status: 'False' }] }),
  ].map((n) => readNode(n, groups));
  const inventory = composeInventory({
    version: 'v1.33.2+k3s1',
    distribution: 'k3s',
    nodes,
    storageClasses: [
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'slow' },
        provisioner: 'x/slow',
      },
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: { name: 'local', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
        provisioner: 'x/local',
      },
    ],
    nodeGroups: groups,
    unreadable: [],
  });

  test('sums what is ready', () => {
    assert.deepEqual(inventory.cluster, {
      kind: 'kubernetes',
      version: 'v1.33.2+k3s1',
      distribution: 'k3s',
      capacity: { cpu: '8', 'ephemeral-storage': '20Gi', memory: '16Gi', 'nvidia.com/gpu': '2', pods: '220' },
      allocatable: {
        cpu: '7840m',
        'ephemeral-storage': '20Gi',
        memory: '16Gi',
        'nvidia.com/gpu': '2',
        pods: '220',
      },
    });
  });

  test('has nodes and storage classes by name, and node groups in the order of the site', () => {
    assert.deepEqual(
      inventory.nodes.map(({ name, nodeGroups }) => [name, nodeGroups]),
      [
        ['a', ['all']],
        ['b', ['gpu', 'all']],
        ['c', ['gpu', 'all']],
      ],
    );
    assert.deepEqual(inventory.storageClasses, [
      { name: 'local', provisioner: 'x/local', isDefault: true },
      { name: 'slow', provisioner: 'x/slow' },
    ]);
    assert.deepEqual(
      inventory.nodeGroups.map(({ name, nodes: all, readyNodes, accelerators }) => [
        name,
        all,
        readyNodes,
        accelerators,
      ]),
      [
        ['gpu', 2, 1, 2],
        ['all', 3, 2, 2],
        ['none', 0, 0, undefined],
      ],
    );
    assert.deepEqual(inventory.nodeGroups[2]?.allocatable, {});
  });

  test('is the same whatever order the cluster names its parts in', () => {
    const turned = composeInventory({
      version: 'v1',
      distribution: undefined,
      nodes: nodes.toReversed(),
      storageClasses: [],
      nodeGroups: groups,
      unreadable: ['storageClasses'],
    });
    assert.deepEqual(turned.nodes, inventory.nodes);
    assert.deepEqual(turned.nodeGroups, inventory.nodeGroups);
    assert.deepEqual(turned.cluster?.unreadable, ['storageClasses']);
  });

  test('keeps what a storage class is known by', () => {
    const object = { apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name: 'a' } };
    assert.deepEqual(readStorageClass(object), { name: 'a', provisioner: '' });
  });
});

describe('the distribution', () => {
  for (const [version, labels, spec, expected] of [
    ['v1.33.2+k3s1', {}, {}, 'k3s'],
    ['v1.31.1+rke2r1', {}, {}, 'rke2'],
    ['v1.33.1-eks-1d6f6a9', {}, {}, 'eks'],
    ['v1.32.4-gke.1106000', {}, {}, 'gke'],
    ['v1.33.0', { 'kubernetes.azure.com/cluster': 'x' }, {}, 'aks'],
    ['v1.32.3', { 'microk8s.io/cluster': 'true' }, {}, 'microk8s'],
    ['v1.32.3', { 'juju-application': 'kubernetes-worker' }, {}, 'charmed-kubernetes'],
    ['v1.33.0', {}, { providerID: 'kind://docker/kind/n' }, 'kind'],
    ['v1.33.0', {}, {}, undefined],
  ] as const) {
    test(`of ${version} with ${JSON.stringify(labels)} is ${expected}`, () => {
      assert.equal(guessDistribution(version, [node('n', { labels, spec })]), expected);
    });
  }
});

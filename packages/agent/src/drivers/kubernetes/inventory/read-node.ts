import type {
  InventoryNode,
  InventoryStorageClass,
  KubeObject,
  NodeGroup,
  ResourceAmounts,
} from '@selvedge/api';
import { fieldOf, isObject } from '../drift/json-pointer.ts';
import { findCondition, listAt, textAt, valueAt } from '../health/read-fields.ts';
import { countOf } from './quantity.ts';

/** Resources that everybody has; others count when they are of a vendor (`nvidia.com/gpu`). */
const usualResources = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);

/** Conditions that are bad when they are not False: the kubelet's, and those of the node problem detector. */
const badWhenTrue = /Pressure$|^NetworkUnavailable$|^KernelDeadlock$|^ReadonlyFilesystem$|^Frequent|^Corrupt/;

const accelerator =
  /^(nvidia\.com\/(gpu|gpu\.shared|mig-.+)|amd\.com\/gpu|gpu\.intel\.com\/(i915|xe)|habana\.ai\/gaudi2?|aws\.amazon\.com\/neuron(device|core)?|google\.com\/tpu|qualcomm\.com\/qaic|intel\.com\/fpga.*)$/;

/** Labels in which device plugins and clouds name the product, by the vendor of the resource. */
const productLabels: Readonly<Record<string, readonly string[]>> = {
  'nvidia.com': [
    'nvidia.com/gpu.product',
    'cloud.google.com/gke-accelerator',
    'k8s.amazonaws.com/accelerator',
  ],
  'amd.com': ['amd.com/gpu.product-name', 'beta.amd.com/gpu.product-name'],
  'gpu.intel.com': ['gpu.intel.com/product'],
  'habana.ai': ['habana.ai/product', 'node.kubernetes.io/instance-type'],
  'aws.amazon.com': ['node.kubernetes.io/instance-type'],
  'google.com': ['cloud.google.com/gke-tpu-accelerator'],
};

/** What of a node belongs into the inventory: nothing that changes by itself. */
export function readNode(node: KubeObject, groups: readonly NodeGroup[]): InventoryNode {
  const { name, labels = {} } = node.metadata;
  const conditions = badConditions(node);
  const accelerators = acceleratorsOf(node);
  const nodeGroups = groups.filter((group) => isInGroup(labels, group)).map((group) => group.name);
  const kubeletVersion = textAt(node, 'status.nodeInfo.kubeletVersion');
  const os = textAt(node, 'status.nodeInfo.osImage') ?? textAt(node, 'status.nodeInfo.operatingSystem');
  const architecture = textAt(node, 'status.nodeInfo.architecture');
  return {
    name,
    roles: rolesOf(labels),
    isReady: findCondition(node, 'Ready')?.status === 'True',
    ...(valueAt(node, 'spec.unschedulable') === true ? { isUnschedulable: true as const } : {}),
    ...(conditions.length === 0 ? {} : { conditions }),
    ...(kubeletVersion === undefined ? {} : { kubeletVersion }),
    ...(os === undefined ? {} : { os }),
    ...(architecture === undefined ? {} : { architecture }),
    ...(nodeGroups.length === 0 ? {} : { nodeGroups }),
    capacity: amountsOf(valueAt(node, 'status.capacity')),
    allocatable: amountsOf(valueAt(node, 'status.allocatable')),
    ...(accelerators.length === 0 ? {} : { accelerators }),
  };
}

export function readStorageClass(object: KubeObject): InventoryStorageClass {
  const { name, annotations } = object.metadata;
  const isDefault =
    annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true' ||
    annotations?.['storageclass.beta.kubernetes.io/is-default-class'] === 'true';
  return {
    name,
    provisioner: textAt(object, 'provisioner') ?? '',
    ...(isDefault ? { isDefault: true as const } : {}),
  };
}

export function isInGroup(labels: Readonly<Record<string, string>>, { nodeSelector }: NodeGroup): boolean {
  return Object.entries(nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
}

function rolesOf(labels: Readonly<Record<string, string>>): string[] {
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(labels)
    .filter((label) => label.startsWith(prefix))
    .map((label) => label.slice(prefix.length));
  const named = labels['kubernetes.io/role'];
  const all = new Set([...roles, ...(named === undefined ? [] : [named])].filter((role) => role !== ''));
  return all.size === 0 ? ['worker'] : [...all].sort();
}

function badConditions(node: KubeObject): NonNullable<InventoryNode['conditions']>[number][] {
  return listAt(node, 'status.conditions')
    .filter((condition) => {
      const type = textAt(condition, 'type') ?? '';
      const status = textAt(condition, 'status');
      return type === 'Ready' ? status !== 'True' : badWhenTrue.test(type) && status !== 'False';
    })
    .map((condition) => {
      const reason = textAt(condition, 'reason');
      const message = textAt(condition, 'message');
      return {
        type: textAt(condition, 'type') ?? '',
        status: textAt(condition, 'status') ?? 'Unknown',
        ...(reason === undefined ? {} : { reason }),
        ...(message === undefined ? {} : { message }),
      };
    })
    .toSorted((a, b) => a.type.localeCompare(b.type));
}

function amountsOf(amounts: unknown): ResourceAmounts {
  const entries = isObject(amounts) ? Object.entries(amounts) : [];
  return Object.fromEntries(
    entries
      .filter(
        ([name]) =>
          usualResources.has(name) || (name.includes('/') && !name.startsWith('attachable-volumes')),
      )
      .map(([name, amount]) => [name, String(amount)] as const)
      // A device plugin that is gone leaves its resource with none of it.
      .filter(([name, amount]) => usualResources.has(name) || countOf(amount) > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** One resource of AWS Neuron is shown: the plugin offers the same chips as devices and as cores. */
const neuron = ['aws.amazon.com/neuron', 'aws.amazon.com/neurondevice', 'aws.amazon.com/neuroncore'];

function acceleratorsOf(node: KubeObject): NonNullable<InventoryNode['accelerators']>[number][] {
  const capacity = valueAt(node, 'status.capacity');
  const names = Object.keys(amountsOf(capacity)).filter((name) => accelerator.test(name));
  const neuronShown = neuron.find((name) => names.includes(name));
  return names
    .filter((name) => !neuron.includes(name) || name === neuronShown)
    .map((resource) => {
      const product = productOf(resource, node.metadata.labels ?? {});
      return {
        resource,
        count: countOf(String(fieldOf(capacity, resource))),
        ...(product === undefined ? {} : { product }),
      };
    });
}

function productOf(resource: string, labels: Readonly<Record<string, string>>): string | undefined {
  const vendor = resource.split('/')[0] ?? '';
  return productLabels[vendor]?.map((label) => labels[label]).find((value) => value !== undefined);
}

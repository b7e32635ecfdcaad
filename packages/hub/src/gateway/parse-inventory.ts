import {
  inventoryLimits,
  inventoryText,
  type InventoryCluster,
  type InventoryNode,
  type InventoryNodeGroup,
  type InventoryReport,
  type InventoryStorageClass,
  type ResourceAmounts,
} from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';
import { digestRule } from './parse-report.ts';

type Fields = Readonly<Record<string, unknown>>;

/** All of a site at once, and what is gone. */
const maxParts = inventoryLimits.nodes + inventoryLimits.storageClasses + 2;
const nameRule = {
  max: inventoryLimits.nameCharacters,
  pattern: /^[A-Za-z0-9]([-A-Za-z0-9_.:@]*[A-Za-z0-9])?$/,
  hint: 'must be a name of Kubernetes',
};
const resourceRule = {
  max: 317,
  pattern: /^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$/,
  hint: 'must be the name of a resource, as in nvidia.com/gpu',
};
const amountRule = {
  max: 40,
  pattern: /^-?[0-9.]+([eE][-+]?[0-9]+|[numkMGTPE]i?|Ki)?$/,
  hint: 'must be a quantity, as in 8Gi',
};
const count = { min: 0, max: 1_000_000 };

/** What changed in the inventory of a site. Texts are taken as they are or not at all: the digest is of exactly these. */
export function parseInventory(reader: BodyReader, fields: Fields, path: string): InventoryReport {
  const parts = reader.object(fields['parts'], `${path}.parts`);
  const entries = Object.entries(parts);
  if (entries.length > maxParts) {
    reader.fault(`${path}.parts`, 'FieldValueTooLong', `must have at most ${maxParts} parts`);
  }
  return {
    from: reader.string(fields['from'], `${path}.from`, digestRule),
    to: reader.string(fields['to'], `${path}.to`, digestRule),
    parts: Object.fromEntries(
      entries
        .slice(0, maxParts)
        .map(([key, part]) => [key, parsePart(reader, key, { part, path: `${path}.parts` })]),
    ),
    observedTime: reader.time(fields['observedTime'], `${path}.observedTime`),
  };
}

function parsePart(
  reader: BodyReader,
  key: string,
  { part, path }: { part: unknown; path: string },
): unknown {
  const slash = key.indexOf('/');
  const [kind, name] = slash < 0 ? [key, ''] : [key.slice(0, slash), key.slice(slash + 1)];
  const at = `${path}[${key.slice(0, 300)}]`;
  const isKnown =
    slash < 0 ? ['cluster', 'nodeGroups'].includes(kind) : ['node', 'storageClass'].includes(kind);
  if (!isKnown) {
    reader.fault(at, 'FieldValueNotSupported', 'must be cluster, nodeGroups, node/NAME or storageClass/NAME');
    return null;
  }
  if (slash >= 0) reader.string(name, at, nameRule);
  if (part === null) return null;
  if (kind === 'cluster') return parseCluster(reader, reader.object(part, at), at);
  if (kind === 'nodeGroups') return parseNodeGroups(reader, part, at);
  const fields = reader.object(part, at);
  const parsed = kind === 'node' ? parseNode(reader, fields, at) : parseStorageClass(reader, fields, at);
  if (parsed.name !== name) reader.fault(`${at}.name`, 'FieldValueInvalid', 'must be the name of the part');
  return parsed;
}

function parseCluster(reader: BodyReader, fields: Fields, path: string): InventoryCluster {
  const { distribution, unreadable } = fields;
  return {
    kind: reader.oneOf(fields['kind'], `${path}.kind`, ['kubernetes', 'podman'] as const),
    version: text(reader, fields['version'], `${path}.version`),
    ...(distribution === undefined
      ? {}
      : { distribution: text(reader, distribution, `${path}.distribution`) }),
    ...(unreadable === undefined
      ? {}
      : {
          unreadable: reader
            .list(unreadable, `${path}.unreadable`, 2)
            .map((what, i) =>
              reader.oneOf(what, `${path}.unreadable[${i}]`, ['nodes', 'storageClasses'] as const),
            ),
        }),
    capacity: parseAmounts(reader, fields['capacity'], `${path}.capacity`),
    allocatable: parseAmounts(reader, fields['allocatable'], `${path}.allocatable`),
  };
}

function parseNode(reader: BodyReader, fields: Fields, path: string): InventoryNode {
  const { isUnschedulable, conditions, nodeGroups, accelerators } = fields;
  const optional = (field: 'kubeletVersion' | 'os' | 'architecture') =>
    fields[field] === undefined ? {} : { [field]: text(reader, fields[field], `${path}.${field}`) };
  return {
    name: reader.string(fields['name'], `${path}.name`, nameRule),
    roles: reader
      .list(fields['roles'], `${path}.roles`, inventoryLimits.rolesPerNode)
      .map((role, i) => text(reader, role, `${path}.roles[${i}]`)),
    isReady: reader.boolean(fields['isReady'], `${path}.isReady`),
    ...(isUnschedulable === undefined ? {} : { isUnschedulable: onlyTrue(reader, isUnschedulable, path) }),
    ...(conditions === undefined
      ? {}
      : { conditions: parseConditions(reader, conditions, `${path}.conditions`) }),
    ...optional('kubeletVersion'),
    ...optional('os'),
    ...optional('architecture'),
    ...(nodeGroups === undefined
      ? {}
      : {
          nodeGroups: reader
            .list(nodeGroups, `${path}.nodeGroups`, inventoryLimits.nodeGroups)
            .map((group, i) => reader.string(group, `${path}.nodeGroups[${i}]`, nameRule)),
        }),
    capacity: parseAmounts(reader, fields['capacity'], `${path}.capacity`),
    allocatable: parseAmounts(reader, fields['allocatable'], `${path}.allocatable`),
    ...(accelerators === undefined
      ? {}
      : { accelerators: parseAccelerators(reader, accelerators, `${path}.accelerators`) }),
  };
}

function parseConditions(
  reader: BodyReader,
  value: unknown,
  path: string,
): NonNullable<InventoryNode['conditions']> {
  return reader.list(value, path, inventoryLimits.conditionsPerNode).map((condition, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(condition, at);
    const { reason, message } = fields;
    return {
      type: text(reader, fields['type'], `${at}.type`),
      status: text(reader, fields['status'], `${at}.status`),
      ...(reason === undefined ? {} : { reason: text(reader, reason, `${at}.reason`) }),
      ...(message === undefined ? {} : { message: messageText(reader, message, `${at}.message`) }),
    };
  });
}

function parseAccelerators(
  reader: BodyReader,
  value: unknown,
  path: string,
): NonNullable<InventoryNode['accelerators']> {
  return reader.list(value, path, inventoryLimits.acceleratorsPerNode).map((accelerator, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(accelerator, at);
    const { product } = fields;
    return {
      resource: reader.string(fields['resource'], `${at}.resource`, resourceRule),
      count: reader.integer(fields['count'], `${at}.count`, count),
      ...(product === undefined ? {} : { product: text(reader, product, `${at}.product`) }),
    };
  });
}

function parseStorageClass(reader: BodyReader, fields: Fields, path: string): InventoryStorageClass {
  const { isDefault } = fields;
  return {
    name: reader.string(fields['name'], `${path}.name`, nameRule),
    provisioner: text(reader, fields['provisioner'], `${path}.provisioner`),
    ...(isDefault === undefined ? {} : { isDefault: onlyTrue(reader, isDefault, path) }),
  };
}

function parseNodeGroups(reader: BodyReader, value: unknown, path: string): InventoryNodeGroup[] {
  return reader.list(value, path, inventoryLimits.nodeGroups).map((group, i) => {
    const at = `${path}[${i}]`;
    const fields = reader.object(group, at);
    const { accelerators } = fields;
    return {
      name: reader.string(fields['name'], `${at}.name`, nameRule),
      nodes: reader.integer(fields['nodes'], `${at}.nodes`, count),
      readyNodes: reader.integer(fields['readyNodes'], `${at}.readyNodes`, count),
      allocatable: parseAmounts(reader, fields['allocatable'], `${at}.allocatable`),
      ...(accelerators === undefined
        ? {}
        : { accelerators: reader.integer(accelerators, `${at}.accelerators`, count) }),
    };
  });
}

function parseAmounts(reader: BodyReader, value: unknown, path: string): ResourceAmounts {
  const entries = Object.entries(reader.object(value, path));
  if (entries.length > inventoryLimits.amounts) {
    reader.fault(path, 'FieldValueTooLong', `must have at most ${inventoryLimits.amounts} resources`);
  }
  return Object.fromEntries(
    entries.slice(0, inventoryLimits.amounts).map(([name, amount]) => {
      reader.string(name, path, resourceRule);
      return [name, reader.string(amount, `${path}[${name.slice(0, 100)}]`, amountRule)];
    }),
  );
}

/** What is false is left out. */
function onlyTrue(reader: BodyReader, value: unknown, path: string): true {
  if (value !== true) reader.fault(path, 'FieldValueInvalid', 'what is not so is to be left out');
  return true;
}

function text(reader: BodyReader, value: unknown, path: string): string {
  return plain(reader, reader.string(value, path, { max: inventoryLimits.textCharacters }), path);
}

function messageText(reader: BodyReader, value: unknown, path: string): string {
  return plain(reader, reader.string(value, path, { max: inventoryLimits.messageCharacters }), path);
}

function plain(reader: BodyReader, read: string, path: string): string {
  if (inventoryText(read, read.length) !== read) {
    reader.fault(path, 'FieldValueInvalid', 'must be one line without control characters');
  }
  return read;
}

import type { KubeObject, ObjectList } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import type { PrinterColumn } from '../resource-definition.ts';
import { ageText } from './age-text.ts';

export interface TableOptions {
  readonly resource: Resource;
  readonly now: Date;
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  /** Watches name the columns in their first event only. */
  readonly withoutColumns?: boolean;
}

interface Column extends Omit<PrinterColumn, 'description'> {
  readonly description: string;
  readonly format?: string;
}

const nameColumn: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name, unique in its namespace.',
  value: (object) => object.metadata.name,
};
const ageColumn: Column = {
  name: 'Age',
  type: 'date',
  description: 'Time since the object was created.',
  value: (object) => object.metadata.creationTimestamp,
};

function columnsOf({ definition }: Resource): Column[] {
  const hasAge = definition.columns.some((c) => c.name === 'Age');
  return [nameColumn, ...definition.columns, ...(hasAge ? [] : [ageColumn])];
}

/** `meta.k8s.io/v1 Table`: what `kubectl get` prints. */
export function tableOf(
  objects: readonly KubeObject[],
  metadata: ObjectList['metadata'],
  options: TableOptions,
): object {
  const { resource, now, includeObject, withoutColumns } = options;
  const columns = columnsOf(resource);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: withoutColumns ? null : columns.map(describeColumn),
    rows: objects.map((object) => ({
      cells: columns.map((column) => cellOf(column, object, now)),
      object: rowObject(object, includeObject),
    })),
  };
}

/** Dates are sent as ages, so their type is that of the text. */
function describeColumn({ name, type, format, description, priority }: Column) {
  return {
    name,
    type: type === 'date' ? 'string' : type,
    format: format ?? '',
    description,
    priority: priority ?? 0,
  };
}

function cellOf({ type, value }: Column, object: KubeObject, now: Date): string | number | boolean {
  const cell = value(object, now);
  if (cell === undefined) return type === 'date' ? '<unknown>' : '<none>';
  return type === 'date' ? ageText(String(cell), now) : cell;
}

function rowObject(object: KubeObject, include: TableOptions['includeObject']): object | undefined {
  if (include === 'None') return undefined;
  return include === 'Object' ? object : partialMetadata(object);
}

export function partialMetadata({ metadata }: KubeObject): KubeObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

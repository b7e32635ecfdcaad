import type { KubeObject } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';
import type { PrinterColumn } from '../resource-definition.ts';
import { ageText } from './age-text.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

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
/** A kind that shows when its objects were made in a way of its own gets no age. */
const agesOfKinds = new Set(['Age', 'Created At']);

/** `meta.k8s.io/v1 Table`, what `kubectl get` prints, of one kind: its columns, and objects as rows. */
export class TableForm {
  readonly #columns: readonly Column[];
  readonly #includeObject: IncludeObject;

  constructor({ definition }: Resource, includeObject: IncludeObject) {
    const hasAge = definition.columns.some(({ name }) => agesOfKinds.has(name));
    this.#columns = [nameColumn, ...definition.columns, ...(hasAge ? [] : [ageColumn])];
    this.#includeObject = includeObject;
  }

  get columnDefinitions(): object[] {
    return this.#columns.map(describeColumn);
  }

  row(object: KubeObject, now: Date): object {
    return {
      cells: this.#columns.map((column) => cellOf(column, object, now)),
      object: rowObject(object, this.#includeObject),
    };
  }
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

function rowObject(object: KubeObject, include: IncludeObject): object | undefined {
  if (include === 'None') return undefined;
  return include === 'Object' ? object : partialMetadata(object);
}

export function partialMetadata({ metadata }: KubeObject): KubeObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

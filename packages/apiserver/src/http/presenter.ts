import type { KubeObject, ObjectList } from '@selvedge/api';
import { textOf } from '../registry/wire-text.ts';
import type { Call } from './resource-call.ts';
import { partialMetadata, TableForm } from './table.ts';

type ListMetadata = ObjectList['metadata'];

/** Objects in the form that the client asked for, as JSON text. */
export interface Presenter {
  /** Two clients with the same key get the same texts. */
  readonly key: string;
  /** The text of an object is the object itself, as it is stored. */
  readonly isPlain: boolean;
  readonly object: (object: KubeObject) => string;
  /** A list is its head, its items with commas between, and its tail. */
  readonly listHead: (metadata: ListMetadata) => string;
  readonly listItem: (object: KubeObject) => string;
  readonly listTail: string;
  /** What an event carries; `isFirst`: in its stream, when a table names its columns. */
  readonly event: (object: KubeObject, isFirst: boolean) => string;
  readonly bookmark: (revision: number, endsInitialEvents: boolean) => string;
}

type PresentedCall = Pick<Call, 'form' | 'query' | 'resource' | 'registry'>;

export function presenterFor(call: PresentedCall): Presenter {
  const { apiVersion, ref } = call.resource;
  switch (call.form) {
    case 'object':
      return objectPresenter(apiVersion, ref.kind);
    case 'metadata':
      return metadataPresenter();
    case 'table':
      return tablePresenter(call);
  }
}

function objectPresenter(apiVersion: string, kind: string): Presenter {
  return {
    key: 'object',
    isPlain: true,
    object: textOf,
    ...listOf(apiVersion, `${kind}List`),
    listItem: textOf,
    event: textOf,
    bookmark: (revision, ends) =>
      JSON.stringify({ kind, apiVersion, metadata: bookmarkMetadata(revision, ends) }),
  };
}

function metadataPresenter(): Presenter {
  const apiVersion = 'meta.k8s.io/v1';
  const kind = 'PartialObjectMetadata';
  const text = (object: KubeObject) => JSON.stringify(partialMetadata(object));
  return {
    key: 'metadata',
    isPlain: false,
    object: text,
    ...listOf(apiVersion, `${kind}List`),
    listItem: text,
    event: text,
    bookmark: (revision, ends) =>
      JSON.stringify({ kind, apiVersion, metadata: bookmarkMetadata(revision, ends) }),
  };
}

function listOf(apiVersion: string, kind: string): Pick<Presenter, 'listHead' | 'listTail'> {
  return {
    listHead: (metadata) => `${JSON.stringify({ kind, apiVersion, metadata }).slice(0, -1)},"items":[`,
    listTail: ']}\n',
  };
}

function tablePresenter({ resource, registry, query }: PresentedCall): Presenter {
  const { includeObject } = query;
  const form = new TableForm(resource, includeObject);
  const head = (metadata: object, hasColumns: boolean) => {
    const columnDefinitions = hasColumns ? form.columnDefinitions : null;
    const table = { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata, columnDefinitions };
    return `${JSON.stringify(table).slice(0, -1)},"rows":[`;
  };
  const row = (object: KubeObject) => JSON.stringify(form.row(object, registry.clock.now()));
  const one = (object: KubeObject, hasColumns: boolean) => {
    const { resourceVersion = '' } = object.metadata;
    return `${head({ resourceVersion }, hasColumns)}${row(object)}]}`;
  };
  return {
    key: `table/${includeObject}`,
    isPlain: false,
    object: (object) => one(object, true),
    listHead: (metadata) => head(metadata, true),
    listItem: row,
    listTail: ']}\n',
    event: one,
    bookmark: (revision, ends) => `${head(bookmarkMetadata(revision, ends), false)}]}`,
  };
}

function bookmarkMetadata(revision: number, endsInitialEvents: boolean) {
  const annotations = endsInitialEvents ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
  return { resourceVersion: String(revision), creationTimestamp: null, ...annotations };
}

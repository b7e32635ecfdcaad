import type { KubeObject, ObjectList } from '@selvedge/api';
import type { Call } from './resource-call.ts';
import { partialMetadata, tableOf } from './table.ts';

/** Turns objects into the form that the client asked for. */
export interface Presenter {
  readonly object: (object: KubeObject) => unknown;
  readonly list: (list: ObjectList) => unknown;
  /** As `object`, but a table names its columns only the first time. */
  readonly event: (object: KubeObject) => unknown;
  readonly bookmark: (revision: number, endsInitialEvents: boolean) => unknown;
}

export function presenterFor({ form, query, resource, registry }: Call): Presenter {
  switch (form) {
    case 'object':
      return objectPresenter(resource.apiVersion, resource.ref.kind);
    case 'metadata':
      return metadataPresenter();
    case 'table': {
      const { includeObject } = query;
      let isFirst = true;
      const table = (
        objects: readonly KubeObject[],
        metadata: ObjectList['metadata'],
        withoutColumns = false,
      ) => tableOf(objects, metadata, { resource, now: registry.clock.now(), includeObject, withoutColumns });
      const metadataOf = (object: KubeObject) => ({ resourceVersion: object.metadata.resourceVersion ?? '' });
      return {
        object: (object) => table([object], metadataOf(object)),
        list: (list) => table(list.items, list.metadata),
        event: (object) => {
          const withoutColumns = !isFirst;
          isFirst = false;
          return table([object], metadataOf(object), withoutColumns);
        },
        bookmark: (revision) => table([], { resourceVersion: String(revision) }, true),
      };
    }
  }
}

function objectPresenter(apiVersion: string, kind: string): Presenter {
  return {
    object: (object) => object,
    list: (list) => list,
    event: (object) => object,
    bookmark: (revision, ends) => ({ kind, apiVersion, metadata: bookmarkMetadata(revision, ends) }),
  };
}

function metadataPresenter(): Presenter {
  const apiVersion = 'meta.k8s.io/v1';
  return {
    object: partialMetadata,
    list: (list) => ({
      kind: 'PartialObjectMetadataList',
      apiVersion,
      metadata: list.metadata,
      items: list.items.map(partialMetadata),
    }),
    event: partialMetadata,
    bookmark: (revision, ends) => ({
      kind: 'PartialObjectMetadata',
      apiVersion,
      metadata: bookmarkMetadata(revision, ends),
    }),
  };
}

function bookmarkMetadata(revision: number, endsInitialEvents: boolean) {
  const annotations = endsInitialEvents ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
  return { resourceVersion: String(revision), creationTimestamp: null, ...annotations };
}

import { badRequest, isExpired, type KubeObject, type ObjectList, StatusError } from '@selvedge/api';
import type { StoredObject } from '@selvedge/store';
import { readContinueToken, writeContinueToken } from './continue-token.ts';
import { decode, findRevision, keyOf } from './object-codec.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { parseSelection, type Selection } from './selection.ts';

export interface ListQuery {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: string | undefined;
}

export async function listObjects(
  registry: Registry,
  resource: Resource,
  query: ListQuery,
): Promise<ObjectList> {
  const selection = parseSelection(resource, query);
  const page = resource.source
    ? await readVirtual(resource.source, { query, selection })
    : await readStored(registry, resource, { query, selection });
  return {
    kind: `${resource.ref.kind}List`,
    apiVersion: resource.apiVersion,
    metadata: page.metadata,
    items: [...(await resource.decorate(page.items))],
  };
}

interface Page {
  readonly items: KubeObject[];
  readonly metadata: ObjectList['metadata'];
}

interface Selected {
  readonly query: ListQuery;
  readonly selection: Selection;
}

/** `limit` is not applied: a server may answer with everything, and rows from elsewhere have no old snapshots. */
async function readVirtual(
  source: NonNullable<Resource['source']>,
  { query, selection }: Selected,
): Promise<Page> {
  const { objects, revision } = await source.list(query.namespace);
  return { items: objects.filter(selection.matches), metadata: { resourceVersion: String(revision) } };
}

async function readStored(
  registry: Registry,
  resource: Resource,
  { query, selection }: Selected,
): Promise<Page> {
  const snapshot = await snapshotOf(registry, query);
  if (
    selection.exactName !== undefined &&
    query.namespace !== undefined &&
    snapshot.atRevision === undefined
  ) {
    return readOne(registry, resource, { query, selection });
  }
  const limit = query.limit && query.limit > 0 ? query.limit : undefined;
  const items: KubeObject[] = [];
  let { after, atRevision } = snapshot;
  for (;;) {
    const result = await listSnapshot(registry, {
      resource: resource.name,
      ...(query.namespace === undefined ? {} : { namespace: query.namespace }),
      ...(limit === undefined ? {} : { limit: limit - items.length }),
      ...(after ? { after } : {}),
      ...(atRevision === undefined ? {} : { atRevision }),
    });
    const revision = atRevision ?? result.revision;
    for (const stored of result.objects) {
      const object = decode(stored);
      if (selection.matches(object)) items.push(object);
    }
    const last: StoredObject | undefined = result.objects.at(-1);
    const metadata = { resourceVersion: String(revision) };
    if (limit === undefined || result.remaining === 0 || !last) return { items, metadata };
    atRevision = revision;
    after = last.key;
    if (items.length >= limit) {
      const next = writeContinueToken({ revision, namespace: last.key.namespace, name: last.key.name });
      const count = selection.selectsAll ? { remainingItemCount: result.remaining } : {};
      return { items, metadata: { ...metadata, continue: next, ...count } };
    }
  }
}

async function readOne(
  registry: Registry,
  resource: Resource,
  { query, selection }: Selected,
): Promise<Page> {
  // Read first: the object is then never newer than the list says it is.
  const revision = await registry.store.currentRevision();
  const stored = await registry.store.find(keyOf(resource, query.namespace, selection.exactName ?? ''));
  const object = stored && decode(stored);
  const items = object && selection.matches(object) ? [object] : [];
  return { items, metadata: { resourceVersion: String(Math.max(revision, stored?.revision ?? 0)) } };
}

interface Snapshot {
  atRevision: number | undefined;
  after: { namespace: string; name: string } | undefined;
}

/** Without a continue key or `Exact`, the newest state answers every resourceVersion that is not in the future. */
async function snapshotOf(registry: Registry, query: ListQuery): Promise<Snapshot> {
  if (query.continue) {
    if (query.resourceVersion && query.resourceVersion !== '0') {
      throw badRequest('specifying resource version is not allowed when using continue');
    }
    const { revision, namespace, name } = readContinueToken(query.continue);
    return { atRevision: revision, after: { namespace, name } };
  }
  if (!query.resourceVersion || query.resourceVersion === '0')
    return { atRevision: undefined, after: undefined };
  const revision = findRevision(query.resourceVersion);
  if (revision === undefined) throw badRequest(`invalid resource version "${query.resourceVersion}"`);
  const current = await registry.store.currentRevision();
  if (revision > current) throw tooLargeRevision(revision, current);
  return { atRevision: query.resourceVersionMatch === 'Exact' ? revision : undefined, after: undefined };
}

async function listSnapshot(registry: Registry, query: Parameters<Registry['store']['list']>[0]) {
  try {
    return await registry.store.list(query);
  } catch (cause) {
    if (!isExpired(cause)) throw cause;
    throw new StatusError('Expired', 'the list is too old to be continued: list again from the start', {
      cause,
    });
  }
}

function tooLargeRevision(revision: number, current: number): StatusError {
  return new StatusError('Timeout', `Too large resource version: ${revision}, current: ${current}`, {
    details: { retryAfterSeconds: 1 },
  });
}

import type { FleetStore, ObjectStore, StoreEvent } from '../index.ts';

/** Everything that can be asked of a store, as plain JSON values: to compare two of them. */
export async function observeStore(
  { objects, fleet }: { objects: ObjectStore; fleet: FleetStore },
  names: { resources: readonly string[]; rolloutUids: readonly string[]; fromRevision: number },
): Promise<Record<string, unknown>> {
  const revision = await objects.currentRevision();
  const sites = [...(await fleet.siteEpochs()).keys()].toSorted();
  const digests = (await fleet.blobDigests()).toSorted();
  const from = names.fromRevision;
  return JSON.parse(
    JSON.stringify({
      revision,
      lists: await each(names.resources, (resource) => objects.list({ resource })),
      listsThen: await each(names.resources, (resource) => objects.list({ resource, atRevision: from })),
      events: await each(names.resources, (resource) => eventsSince(objects, resource, from)),
      deliveries: await fleet.listDeliveries({}),
      deliveriesSince: await fleet.listDeliveries({ sinceRevision: from }),
      siteStates: await each(sites, (site) => fleet.siteState(site)),
      siteKeys: await each(sites, (site) => fleet.findSiteKey(site)),
      heartbeats: [...(await fleet.heartbeats())].toSorted(([a], [b]) => (a < b ? -1 : 1)),
      rolloutMembers: await each(names.rolloutUids, (uid) => fleet.rolloutMembers(uid)),
      blobs: await each(digests, async (digest) =>
        Buffer.from((await fleet.findBlob(digest)) ?? []).toString('base64'),
      ),
    }),
  ) as Record<string, unknown>;
}

async function each<T>(
  names: readonly string[],
  ask: (name: string) => Promise<T>,
): Promise<Record<string, T>> {
  const answers: Record<string, T> = {};
  for (const name of names) answers[name] = await ask(name);
  return answers;
}

async function eventsSince(
  objects: ObjectStore,
  resource: string,
  fromRevision: number,
): Promise<StoreEvent[]> {
  const events: StoreEvent[] = [];
  const { signal } = new AbortController();
  for await (const event of objects.watch({ resource, fromRevision, signal })) {
    events.push(event);
    if (event.type === 'progress') break;
  }
  return events;
}

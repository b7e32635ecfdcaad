import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStatusError } from '@selvedge/api';
import type { ObjectKey, ObjectStore, StoredObject, StoreEvent } from '@selvedge/store';
import fc from 'fast-check';
import type { CreateTestDatabase } from './store-under-test.ts';

const resources = ['things.example', 'others'];

const anyKey: fc.Arbitrary<ObjectKey> = fc.record(
  {
    resource: fc.constantFrom(...resources),
    namespace: fc.constantFrom('', 'x', 'y'),
    name: fc.constantFrom('a', 'b', 'a-b'),
  },
  { noNullPrototype: true },
);

type Operation =
  | { readonly type: 'create' | 'update' | 'delete'; readonly key: ObjectKey; readonly stale: boolean }
  | { readonly type: 'compact'; readonly back: number };

const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constantFrom('create' as const, 'update' as const, 'update' as const, 'delete' as const),
      key: anyKey,
      stale: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('compact' as const), back: fc.nat(12) }) },
);

/** Operations of one group are asked for at once. */
const anyHistory = fc.array(fc.array(anyOperation, { minLength: 1, maxLength: 4 }), { maxLength: 20 });

interface Change {
  readonly revision: number;
  readonly key: ObjectKey;
  readonly event: StoreEvent & { type: 'put' | 'delete' };
}

/** What the store must be equal to: every change in a plain list. */
class Model {
  readonly changes: Change[] = [];
  compacted = 1;

  at(resource: string, revision = Infinity): StoredObject[] {
    const living = new Map<string, StoredObject>();
    for (const { key, event, revision: r } of this.changes) {
      if (key.resource !== resource || r > revision) continue;
      const id = `${key.namespace}\n${key.name}`;
      if (event.type === 'put') living.set(id, event.object);
      else living.delete(id);
    }
    return [...living.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  find(key: ObjectKey): StoredObject | undefined {
    return this.at(key.resource).find((o) => o.key.namespace === key.namespace && o.key.name === key.name);
  }

  /** Takes over a write that the store acknowledged; fails when it had to be refused. */
  apply(operation: Operation & { type: 'create' | 'update' | 'delete' }, object: StoredObject): void {
    const previous = this.find(operation.key);
    assert.equal(
      previous === undefined,
      operation.type === 'create',
      'create of what is not there, else of what is',
    );
    assert.equal(object.createRevision, previous?.createRevision ?? object.revision);
    const event =
      operation.type === 'delete'
        ? { type: 'delete' as const, object }
        : { type: 'put' as const, object, ...(previous ? { previous } : {}) };
    this.changes.push({ revision: object.revision, key: operation.key, event });
  }
}

export function objectStoreProperties(createDatabase: CreateTestDatabase): void {
  test('whatever is written, the store equals a plain model: now, then, and as events', async () => {
    await fc.assert(
      fc.asyncProperty(anyHistory, async (history) => {
        const database = await createDatabase();
        const store = await database.open();
        try {
          const model = new Model();
          for (const group of history) await perform(store.objects, model, group);
          await compare(store.objects, model);
        } finally {
          await store.close();
          await database.remove();
        }
      }),
      { numRuns: 25 },
    );
  });

  test('a reader that is cut off again and again and resumes ends with the list', async () => {
    await fc.assert(
      fc.asyncProperty(anyHistory, fc.array(fc.nat(6), { minLength: 1 }), async (history, cuts) => {
        const database = await createDatabase();
        const store = await database.open();
        try {
          const model = new Model();
          const stop = new AbortController();
          const mirror = follow(store.objects, cuts, stop.signal);
          for (const group of history)
            await perform(
              store.objects,
              model,
              group.filter((o) => o.type !== 'compact'),
            );
          await store.objects.create({ resource: 'things.example', namespace: 'z', name: 'last' }, '{}');
          const { objects } = await store.objects.list({ resource: 'things.example' });
          assert.deepEqual(await mirror, objects);
          stop.abort();
        } finally {
          await store.close();
          await database.remove();
        }
      }),
      { numRuns: 25 },
    );
  });
}

async function perform(objects: ObjectStore, model: Model, group: readonly Operation[]): Promise<void> {
  const isAlone = group.length === 1;
  const acknowledged: {
    operation: Operation & { type: 'create' | 'update' | 'delete' };
    object: StoredObject;
  }[] = [];
  await Promise.all(
    group.map(async (operation, index) => {
      if (operation.type === 'compact') {
        const target = Math.max(1, (await objects.currentRevision()) - operation.back);
        await objects.compact(target);
        model.compacted = Math.max(model.compacted, target);
        return;
      }
      const present = model.find(operation.key);
      const expected = (present?.revision ?? 1) - (operation.stale ? 1 : 0);
      const mustFail =
        operation.type === 'create' ? present !== undefined : present === undefined || operation.stale;
      try {
        const object = await write(objects, operation, {
          expected,
          body: `{"n":${model.changes.length},"i":${index}}`,
        });
        assert.ok(!isAlone || !mustFail, `${operation.type} had to be refused`);
        acknowledged.push({ operation, object });
      } catch (error) {
        if (!isStatusError(error)) throw error;
        assert.ok(!isAlone || mustFail, error.message);
        assert.match(error.reason, /^(AlreadyExists|NotFound|Conflict)$/);
      }
    }),
  );
  acknowledged.sort((a, b) => a.object.revision - b.object.revision);
  for (const { operation, object } of acknowledged) model.apply(operation, object);
}

function write(
  objects: ObjectStore,
  operation: Operation & { type: 'create' | 'update' | 'delete' },
  { expected, body }: { expected: number; body: string },
): Promise<StoredObject> {
  if (operation.type === 'create') return objects.create(operation.key, body);
  if (operation.type === 'update') return objects.update(operation.key, body, expected);
  return objects.delete(operation.key, expected);
}

async function compare(objects: ObjectStore, model: Model): Promise<void> {
  const current = await objects.currentRevision();
  assert.equal(current, model.changes.length + 1);
  for (const resource of resources) {
    assert.deepEqual((await objects.list({ resource })).objects, model.at(resource));
    for (let revision = model.compacted; revision <= current; revision++) {
      const { objects: then } = await objects.list({ resource, atRevision: revision });
      assert.deepEqual(then, model.at(resource, revision), `list at ${revision}`);
      const expected = model.changes.filter((c) => c.key.resource === resource && c.revision > revision);
      assert.deepEqual(
        await replay(objects, resource, revision),
        expected.map((change) => change.event),
        `watch from ${revision}`,
      );
    }
  }
}

/** All events from `fromRevision` up to now. */
async function replay(objects: ObjectStore, resource: string, fromRevision: number): Promise<StoreEvent[]> {
  const events: StoreEvent[] = [];
  for await (const event of objects.watch({ resource, fromRevision, signal: new AbortController().signal })) {
    if (event.type === 'progress') break;
    events.push(event);
  }
  return events;
}

/** Builds the list of `things.example` from events alone, with a new watch after each of `cuts` events. */
async function follow(
  objects: ObjectStore,
  cuts: readonly number[],
  signal: AbortSignal,
): Promise<StoredObject[]> {
  const living = new Map<string, StoredObject>();
  let fromRevision = 1;
  for (let round = 0; ; round++) {
    let left = (cuts[round % cuts.length] ?? 0) + 1;
    for await (const event of objects.watch({ resource: 'things.example', fromRevision, signal })) {
      const revision = event.type === 'progress' ? event.revision : event.object.revision;
      assert.ok(revision >= fromRevision, 'events never go back');
      fromRevision = revision;
      if (event.type === 'progress') continue;
      const id = `${event.object.key.namespace}\n${event.object.key.name}`;
      if (event.type === 'put') living.set(id, event.object);
      else living.delete(id);
      if (event.object.key.name === 'last') {
        return [...living.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
      }
      if (--left === 0) break;
    }
  }
}

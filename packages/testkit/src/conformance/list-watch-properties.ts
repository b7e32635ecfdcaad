import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isExpired, isStatusError } from '@selvedge/api';
import type { ObjectKey, ObjectStore, StoredObject } from '@selvedge/store';
import fc from 'fast-check';
import { type CreateTestDatabase, sensitiveResource } from './store-under-test.ts';

const resource = sensitiveResource;
const key = (name: string): ObjectKey => ({ resource, namespace: 'shop', name });

/** One writer's own list of things to do; several writers go through theirs at once. */
const anyWriter = fc.array(
  fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    isDeletion: fc.nat(3).map((n) => n === 0),
    /** Between two steps. */
    pause: fc.boolean(),
  }),
  { maxLength: 12 },
);

/** Writers at once, and maybe a compaction amid them; afterwards the store may be closed and opened. */
const anyPhase = fc.record({
  writers: fc.array(anyWriter, { minLength: 1, maxLength: 4 }),
  compactBack: fc.option(fc.nat(6), { nil: undefined }),
  reopen: fc.boolean(),
});

/** What a client knows that lists once and then follows, as an informer does; lists again when it is told to. */
class Mirror {
  readonly living = new Map<string, StoredObject>();
  revision = 0;
  lists = 0;

  /** Follows until the object `name` is seen. */
  async followUntil(objects: ObjectStore, name: string): Promise<void> {
    for (;;) {
      try {
        if (this.revision === 0) await this.#list(objects);
        if (this.living.has(name)) return;
        await this.#watch(objects, name);
        return;
      } catch (error) {
        if (!isExpired(error)) throw error;
        this.revision = 0;
      }
    }
  }

  async #list(objects: ObjectStore): Promise<void> {
    const list = await objects.list({ resource });
    this.lists += 1;
    this.living.clear();
    for (const object of list.objects) this.living.set(object.key.name, object);
    this.revision = list.revision;
  }

  async #watch(objects: ObjectStore, name: string): Promise<void> {
    const stop = new AbortController();
    const { signal } = stop;
    try {
      for await (const event of objects.watch({ resource, fromRevision: this.revision, signal })) {
        const revision = event.type === 'progress' ? event.revision : event.object.revision;
        assert.ok(revision >= this.revision, 'events never go back');
        assert.ok(event.type === 'progress' || revision > this.revision, 'no event comes twice');
        this.revision = revision;
        if (event.type === 'progress') continue;
        this.#apply(event);
        if (event.object.key.name === name) return;
      }
    } finally {
      stop.abort();
    }
  }

  #apply(event: { type: 'put' | 'delete'; object: StoredObject; previous?: StoredObject }): void {
    const { object, previous } = event;
    const known = this.living.get(object.key.name);
    if (event.type === 'put') {
      assert.deepEqual(previous, known, 'an event carries the state before it');
      this.living.set(object.key.name, object);
    } else {
      assert.equal(object.body, known?.body, 'a deletion carries the last state');
      this.living.delete(object.key.name);
    }
  }
}

/** List and watch together equal the state, whatever goes on. Every implementation runs it. */
export function listWatchProperties(createDatabase: CreateTestDatabase): void {
  test('list and watch equal the state under concurrent writers, compaction and reopening', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyPhase, { minLength: 1, maxLength: 4 }), async (phases) => {
        const database = await createDatabase();
        let store = await database.open();
        try {
          const mirror = new Mirror();
          for (const [index, phase] of phases.entries()) {
            const marker = `marker-${index}`;
            const following = mirror.followUntil(store.objects, marker);
            await Promise.all([
              ...phase.writers.map((writer, number) => write(store.objects, writer, `${index}.${number}`)),
              compactLater(store.objects, phase.compactBack),
            ]);
            const { revision } = await store.objects.create(key(marker), '{}');
            await following;
            await compare(store.objects, mirror, revision);
            if (!phase.reopen) continue;
            await store.close();
            store = await database.open();
            assert.equal(
              await store.objects.currentRevision(),
              revision,
              'the sequence goes on where it was',
            );
          }
        } finally {
          await store.close();
          await database.remove();
        }
      }),
      { numRuns: 20 },
    );
  });
}

async function write(
  objects: ObjectStore,
  steps: readonly { name: string; isDeletion: boolean; pause: boolean }[],
  mark: string,
): Promise<void> {
  for (const [index, { name, isDeletion, pause }] of steps.entries()) {
    const present = await objects.find(key(name));
    const body = JSON.stringify({ mark, index });
    try {
      if (present === undefined) await objects.create(key(name), body);
      else if (isDeletion) await objects.delete(key(name), present.revision);
      else await objects.update(key(name), body, present.revision);
    } catch (error) {
      // Another writer was there first.
      if (!isStatusError(error) || !/^(AlreadyExists|NotFound|Conflict)$/.test(error.reason)) throw error;
    }
    if (pause) await new Promise(setImmediate);
  }
}

async function compactLater(objects: ObjectStore, back: number | undefined): Promise<void> {
  if (back === undefined) return;
  await new Promise(setImmediate);
  await objects.compact(Math.max(1, (await objects.currentRevision()) - back));
}

async function compare(objects: ObjectStore, mirror: Mirror, revision: number): Promise<void> {
  const byName = (a: StoredObject, b: StoredObject) => (a.key.name < b.key.name ? -1 : 1);
  const mirrored = [...mirror.living.values()].toSorted(byName);
  const now = await objects.list({ resource });
  assert.deepEqual(mirrored, now.objects.toSorted(byName));
  assert.equal(now.revision, revision);
  const then = await objects.list({ resource, atRevision: revision });
  assert.deepEqual(then.objects, now.objects);
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { configMaps, type KubeObject, namespaces, type OwnerReference } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import fc from 'fast-check';
import { createApiServer } from '../api-server.ts';
import { sampleDefinitions } from '../testing/sample-definitions.ts';
import { eventually, startTestServer } from '../testing/test-server.ts';

const policies = ['Background', 'Foreground', 'Orphan'] as const;

type Step =
  | { readonly type: 'create'; readonly owners: readonly { pick: number; blocks: boolean }[] }
  | { readonly type: 'delete'; readonly pick: number; readonly policy: (typeof policies)[number] };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('create' as const),
      owners: fc.array(fc.record({ pick: fc.nat(30), blocks: fc.boolean() }), { maxLength: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('delete' as const),
      pick: fc.nat(30),
      policy: fc.constantFrom(...policies),
    }),
  },
);

/** The objects that there are, and what owns each: the rules without time, memory or other servers. */
class Model {
  readonly objects = new Map<string, Set<string>>();

  create(name: string, owners: readonly string[]): void {
    this.objects.set(name, new Set(owners));
    this.#settle();
  }

  delete(name: string, policy: (typeof policies)[number]): void {
    this.objects.delete(name);
    if (policy === 'Orphan') for (const owners of this.objects.values()) owners.delete(name);
    this.#settle();
  }

  #settle(): void {
    for (let changed = true; changed; ) {
      changed = false;
      for (const [name, owners] of this.objects) {
        const living = new Set([...owners].filter((owner) => this.objects.has(owner)));
        if (living.size === owners.size) continue;
        changed = true;
        if (living.size === 0) this.objects.delete(name);
        else this.objects.set(name, living);
      }
    }
  }

  get state(): Record<string, string[]> {
    const entries = [...this.objects].map(([name, owners]): [string, string[]] => [name, [...owners].sort()]);
    return Object.fromEntries(entries);
  }
}

test('whatever is made and deleted, two servers on one store leave what the rules leave', async () => {
  const server = await startTestServer();
  const second = await createApiServer({
    definitions: sampleDefinitions,
    store: server.store.objects,
    clock: systemClock,
    logger: createLogger({ level: 'silent' }),
  });
  let runs = 0;
  const run = async (steps: readonly Step[]) => {
    const namespace = `run-${++runs}`;
    await server.client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
    });
    const model = new Model();
    // Every object there ever was: references to those that are gone are dangling from the start.
    const made: OwnerReference[] = [];
    const state = async () => {
      const { items } = await server.client.list(configMaps, { namespace });
      return Object.fromEntries(
        items.map((item): [string, string[]] => [item.metadata.name, ownersOf(item)]),
      );
    };
    const reachesModel = () =>
      eventually(async () => (isDeepStrictEqual(await state(), model.state) ? true : undefined));

    for (const [index, action] of steps.entries()) {
      if (action.type === 'create') {
        const owners = action.owners.flatMap(({ pick, blocks }) => {
          const reference = made[pick];
          return reference ? [{ ...reference, blockOwnerDeletion: blocks }] : [];
        });
        const unique = [...new Map(owners.map((owner) => [owner.uid, owner])).values()];
        const object: KubeObject = await server.client.create(configMaps, {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: `o${index}`, namespace, ownerReferences: unique },
        });
        const { name, uid = '' } = object.metadata;
        made.push({ apiVersion: 'v1', kind: 'ConfigMap', name, uid });
        model.create(
          name,
          unique.map((owner) => owner.name),
        );
      } else {
        const name = made[action.pick]?.name ?? '';
        if (!model.objects.has(name)) continue;
        const path = `/api/v1/namespaces/${namespace}/configmaps/${name}`;
        await server.request('DELETE', path, { body: { propagationPolicy: action.policy } });
        model.delete(name, action.policy);
      }
      await reachesModel();
    }
    // One more that goes is looked at after everything before: nothing else goes with it.
    await server.client.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'last', namespace, ownerReferences: [{ ...stranger, uid: namespace }] },
    });
    await reachesModel();
    assert.deepEqual(await state(), model.state);
  };
  try {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), run), { numRuns: 15 });
  } finally {
    await second.close();
    await server.close();
  }
});

const stranger = { apiVersion: 'v1', kind: 'ConfigMap', name: 'never' };

const ownersOf = ({ metadata }: KubeObject): string[] =>
  (metadata.ownerReferences ?? []).map((owner) => owner.name).sort();

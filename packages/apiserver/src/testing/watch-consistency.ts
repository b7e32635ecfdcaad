import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { KubeObject } from '@selvedge/api';
import { listOf, Mirror, type MirrorScope, nameOf, type ObjectsByName, Unreachable } from './mirror.ts';
import { eventually, type TestServer } from './test-server.ts';

export interface ConsistencyOptions {
  /** A server on an empty store. */
  readonly start: () => Promise<TestServer>;
  /** Default: 4. */
  readonly runs?: number;
}

const namespaces = ['alpha', 'beta'] as const;
const colors = ['red', 'green'] as const;
const scopes: readonly MirrorScope[] = [
  { path: '/api/v1/configmaps' },
  { path: '/api/v1/namespaces/alpha/configmaps' },
  { path: '/api/v1/configmaps', labelSelector: 'color=red' },
  { path: '/api/v1/configmaps', labelSelector: 'color!=red,size' },
  { path: '/api/v1/configmaps', fieldSelector: 'metadata.name=shared-1' },
  { path: '/api/v1/namespaces/beta/configmaps', fieldSelector: 'metadata.name!=shared-1' },
];
const writers = 3;
const writes = 60;

/**
 * The promise of list and watch, asked for over HTTP: who lists and then follows the events knows at every revision
 * exactly what was there, and a list never misses what was acknowledged before. Under writers, compaction, lost
 * connections and restarts.
 */
export function watchConsistency(name: string, options: ConsistencyOptions): void {
  describe(`list and watch on ${name}`, () => {
    test('at every revision a watcher knows what was there', async () => {
      let checks = 0;
      await fc.assert(
        fc.asyncProperty(fc.integer(), async (seed) => {
          await using world = await World.open(await options.start(), seed);
          await world.live({ restarts: true });
          checks += world.checks;
        }),
        { numRuns: options.runs ?? 4, endOnFailure: true },
      );
      // On a slow machine most revisions are compacted before they are asked for.
      assert.ok(checks > 0, 'no state was compared');
    });

    test('pages under concurrent writes are one snapshot', async () => {
      await using world = await World.open(await options.start(), 7);
      const writing = world.live({ restarts: false });
      let isOver = false;
      const end = () => {
        isOver = true;
      };
      writing.then(end, end);
      let lists = 0;
      while (!isOver || lists === 0) lists += (await world.listInPages()) ? 1 : 0;
      await writing;
    });
  });
}

/** A server, writers, and clients that watch, all choosing by one seed. */
class World implements AsyncDisposable {
  #server: TestServer;
  readonly #random: () => number;
  readonly #over = new AbortController();
  readonly #mirrors: Mirror[] = [];
  readonly #running: Promise<void>[] = [];
  readonly #checking: Promise<void>[] = [];
  checks = 0;

  private constructor(server: TestServer, seed: number) {
    this.#server = server;
    this.#random = randomFrom(seed);
  }

  static async open(server: TestServer, seed: number): Promise<World> {
    const world = new World(server, seed);
    for (const namespace of namespaces) {
      await server.request('POST', '/api/v1/namespaces', {
        body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
      });
    }
    return world;
  }

  async live({ restarts }: { restarts: boolean }): Promise<void> {
    for (const scope of scopes) for (const isStreaming of [false, true]) this.#watch(scope, isStreaming);
    const working = Array.from({ length: writers }, (_, writer) => this.#write(writer));
    let isWritten = false;
    const done = Promise.all(working).finally(() => {
      isWritten = true;
    });
    const nuisance = this.#disturb({ restarts, isOver: () => isWritten });
    await Promise.race([done, ...this.#running]);
    await Promise.all([done, nuisance]);
    await this.#settle();
    await Promise.all(this.#checking);
  }

  #watch(scope: MirrorScope, isStreaming: boolean): void {
    const url = () => this.#server.url;
    const mirror = new Mirror({ scope, isStreaming, url, signal: this.#over.signal });
    mirror.onEvent = (revision, state) => {
      if (this.#random() < 0.15) this.#checking.push(this.#compare(scope, revision, new Map(state)));
    };
    this.#mirrors.push(mirror);
    this.#running.push(mirror.run());
  }

  async #compare(scope: MirrorScope, revision: number, known: ObjectsByName): Promise<void> {
    const query = { resourceVersion: String(revision), resourceVersionMatch: 'Exact' };
    const exact = await listOf(this.#server.url, scope, query).catch(ignoreUnreachable);
    if (!exact) return;
    this.checks += 1;
    assert.equal(exact.revision, revision);
    assert.deepEqual(inOrder(known), inOrder(exact.state), `${JSON.stringify(scope)} at ${revision}`);
  }

  /** Each writer has names of its own, where nobody interferes, and all share two. */
  async #write(writer: number): Promise<void> {
    for (let step = 0; step < writes; step++) {
      const isShared = this.#random() < 0.3;
      const name = isShared ? `shared-${this.#pick([0, 1])}` : `own-${writer}-${this.#pick([0, 1, 2, 3])}`;
      const namespace = this.#pick(namespaces);
      try {
        const written = await this.#change(namespace, name);
        if (!isShared && this.#random() < 0.3) await this.#expectSeen(`${namespace}/${name}`, written);
      } catch (error) {
        ignoreUnreachable(error);
        await turn();
      }
    }
  }

  /** Makes, changes or deletes it; what is then known to be there, `null` when it is not known. */
  async #change(namespace: string, name: string): Promise<KubeObject | undefined | null> {
    const collection = `/api/v1/namespaces/${namespace}/configmaps`;
    const what = this.#random();
    const labels = this.#random() < 0.8 ? { color: this.#pick(colors), size: this.#pick(['1', '2']) } : {};
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels },
      // Some are so long that the cache packs them.
      data: { text: `${this.#random()} ${'é'.repeat(this.#random() < 0.1 ? 10_000 : 3)}` },
    };
    const patch = { metadata: { labels: { color: this.#pick([...colors, null]) } }, data: object.data };
    const headers = { 'content-type': 'application/merge-patch+json' };
    const answer = await (what < 0.4
      ? this.#request('POST', collection, { body: object })
      : what < 0.8
        ? this.#request('PATCH', `${collection}/${name}`, { body: patch, headers })
        : this.#request('DELETE', `${collection}/${name}`));
    if (answer.status === 404) return undefined;
    if (answer.status >= 500) throw new Unreachable(answer.text);
    if (answer.status >= 300) {
      assert.equal(answer.status, 409, answer.text);
      return null;
    }
    return what < 0.8 ? (answer.body as unknown as KubeObject) : undefined;
  }

  async #request(...args: Parameters<TestServer['request']>): ReturnType<TestServer['request']> {
    try {
      return await this.#server.request(...args);
    } catch (cause) {
      throw new Unreachable('no answer', { cause });
    }
  }

  /** Nobody else writes it: a list that begins now must have it as it was written. */
  async #expectSeen(name: string, written: KubeObject | undefined | null): Promise<void> {
    if (written === null) return;
    const list = await listOf(this.#server.url, { path: '/api/v1/configmaps' });
    assert.deepEqual(list?.state.get(name), written, 'a list is never older than what was acknowledged');
  }

  async #disturb({ restarts, isOver }: { restarts: boolean; isOver: () => boolean }): Promise<void> {
    let restartsLeft = restarts ? 2 : 0;
    while (!isOver()) {
      for (let turns = 0; turns < 40 && !isOver(); turns++) await turn();
      const what = this.#random();
      if (what < 0.5) this.#pick(this.#mirrors).cut();
      else if (what < 0.7) await this.#compact();
      else if (what < 0.75 && restartsLeft > 0) {
        restartsLeft -= 1;
        this.#server = await this.#server.restart();
      }
    }
  }

  async #compact(): Promise<void> {
    const { objects } = this.#server.store;
    const revision = await objects.currentRevision();
    await objects.compact(Math.max(1, revision - Math.floor(this.#random() * 30)));
  }

  /** When nothing is written any more, everybody comes to know the same. */
  async #settle(): Promise<void> {
    for (const [index, mirror] of this.#mirrors.entries()) {
      const scope = scopes[Math.floor(index / 2)] as MirrorScope;
      const list = await listOf(this.#server.url, scope);
      assert.ok(list);
      const wanted = inOrder(list.state);
      await Promise.race([
        eventually(async () =>
          JSON.stringify(inOrder(mirror.state)) === JSON.stringify(wanted) ? true : undefined,
        ),
        ...this.#running,
      ]);
    }
    assert.ok(
      this.#mirrors.some(({ events }) => events > 0),
      'somebody was told something',
    );
  }

  /** False when its snapshot was compacted on the way. */
  async listInPages(): Promise<boolean> {
    const scope = this.#pick(scopes);
    const limit = this.#pick(['1', '2', '5']);
    const first = await listOf(this.#server.url, scope, { limit });
    assert.ok(first);
    const all = new Map(first.state);
    for (let page = first; page.next !== undefined; ) {
      const next = await listOf(this.#server.url, scope, { limit, continue: page.next });
      if (!next) return false;
      assert.equal(next.revision, first.revision);
      if (page.left !== undefined) assert.equal(page.left, next.state.size + (next.left ?? 0));
      for (const [name, object] of next.state) {
        assert.ok(!all.has(name), 'no object stands on two pages');
        all.set(name, object);
      }
      page = next;
    }
    const exactly = { resourceVersion: String(first.revision), resourceVersionMatch: 'Exact' };
    const exact = await listOf(this.#server.url, scope, exactly);
    if (!exact) return false;
    assert.deepEqual([...all], [...exact.state], 'in order, and the same');
    return true;
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)] as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.allSettled([...this.#running, ...this.#checking]);
    await this.#server.close();
  }
}

const inOrder = (state: ObjectsByName): KubeObject[] =>
  [...state.values()].toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));

function ignoreUnreachable(error: unknown): undefined {
  if (!(error instanceof Unreachable)) throw error;
  return undefined;
}

/** Mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

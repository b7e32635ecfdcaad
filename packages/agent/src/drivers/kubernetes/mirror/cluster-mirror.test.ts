import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type KubeObject, manifestsLimitBytes, StatusError } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import type { ApiRequest, ApiResource, KubeApi } from '../api/kube-api.ts';
import { ClusterMirror } from './cluster-mirror.ts';
import { orderOf } from './testing/mirror-under-test.ts';

const resource: ApiResource = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
  verbs: ['list', 'watch'],
};

/** One kind, as a test tells it: the wire is tested with true API servers. */
class MemoryApi implements KubeApi {
  readonly objects = new Map<string, KubeObject>();
  fault: StatusError | undefined;
  #version = 1;
  #tell: (line: string) => void = () => {};

  async json<T>(_request: ApiRequest): Promise<T> {
    if (this.fault) throw this.fault;
    return { metadata: { resourceVersion: String(this.#version) }, items: [...this.objects.values()] } as T;
  }

  async *lines({ signal }: ApiRequest & { signal: AbortSignal }): AsyncGenerator<string> {
    const waiting: string[] = [];
    let wake = () => {};
    this.#tell = (line) => {
      waiting.push(line);
      wake();
    };
    signal.addEventListener('abort', () => wake(), { once: true });
    while (!signal.aborted) {
      if (this.fault) throw this.fault;
      const line = waiting.shift();
      if (line !== undefined) yield line;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }

  put(name: string, data: Record<string, string>): void {
    this.#version += 1;
    const metadata = { name, namespace: 'shop', resourceVersion: String(this.#version) };
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data } as KubeObject;
    const type = this.objects.has(name) ? 'MODIFIED' : 'ADDED';
    this.objects.set(name, object);
    this.#tell(JSON.stringify({ type, object }));
  }

  delete(name: string): void {
    const object = this.objects.get(name);
    this.objects.delete(name);
    this.#tell(JSON.stringify({ type: 'DELETED', object }));
  }

  /** What is asked for fails from here on, also what is under way. */
  fail(fault: StatusError): void {
    this.fault = fault;
    this.#tell('');
  }

  async findResource(): Promise<ApiResource> {
    return resource;
  }

  async version(): Promise<{ gitVersion: string }> {
    return { gitVersion: 'v1.36.0' };
  }

  close(): void {}
}

async function follow(settleSeconds = 5) {
  const clock = new FakeClock();
  const api = new MemoryApi();
  const stop = new AbortController();
  let tellings = 0;
  const mirror = new ClusterMirror({
    api,
    clock,
    logger: createLogger({ level: 'silent' }),
    order: orderOf({ namespaces: ['shop'], kinds: [{ apiVersion: 'v1', kind: 'ConfigMap' }], settleSeconds }),
    defaultStorageClasses: () => new Set(),
    onChange: () => (tellings += 1),
  });
  const running = mirror.run(stop.signal);
  // The watch is open.
  await clock.advance(0);
  return {
    clock,
    api,
    mirror,
    tellings: () => tellings,
    pass: async (seconds: number) => clock.advance(seconds * 1000),
    names: () => {
      const bytes = mirror.content(mirror.report()?.digest ?? '');
      const manifests = JSON.parse(new TextDecoder().decode(bytes)) as KubeObject[];
      return manifests.map(({ metadata }) => metadata.name);
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await clock.advance(0);
      await running;
    },
  };
}

describe('a mirror of a cluster', () => {
  test('says nothing until all of it is known and nothing has changed for a while', async () => {
    await using world = await follow();
    world.api.put('a', {});
    await world.pass(4);
    assert.equal(world.mirror.report(), undefined);
    world.api.put('b', {});
    await world.pass(4);
    assert.equal(world.mirror.report(), undefined);
    await world.pass(7);
    assert.deepEqual(world.names(), ['a', 'b']);
    assert.equal(world.tellings(), 1);
    await world.pass(600);
    assert.equal(world.tellings(), 1);
  });

  test('takes an object that is gone for gone only after a minute, and not one that was made anew', async () => {
    await using world = await follow();
    for (const name of ['a', 'b']) world.api.put(name, {});
    await world.pass(11);
    const before = world.mirror.report()?.digest;
    world.api.delete('a');
    await world.pass(40);
    assert.deepEqual(world.names(), ['a', 'b']);
    world.api.put('a', {});
    await world.pass(120);
    assert.equal(world.mirror.report()?.digest, before);
    assert.equal(world.tellings(), 1);
    world.api.delete('a');
    await world.pass(75);
    assert.deepEqual(world.names(), ['b']);
  });

  test('that never stands still keeps what it had, and names what changes', async () => {
    await using world = await follow();
    world.api.put('a', {});
    await world.pass(11);
    const before = world.mirror.report()?.digest;
    for (let second = 0; second < 400; second += 3) {
      world.api.put('heartbeat', { second: String(second) });
      await world.pass(3);
    }
    const { digest, message } = world.mirror.report() ?? {};
    assert.equal(digest, before);
    assert.match(message ?? '', /never stands still for 5 s.*ConfigMap\/heartbeat changes again and again/);
    await world.pass(11);
    assert.deepEqual(world.names(), ['a', 'heartbeat']);
    assert.equal(world.mirror.report()?.message, undefined);
  });

  test('of an API that is away keeps what it had, and says so only when that lasts', async () => {
    await using world = await follow();
    world.api.put('a', {});
    await world.pass(11);
    const before = world.mirror.report();
    world.api.fail(new StatusError('ServiceUnavailable', 'it is restarted'));
    await world.pass(15);
    assert.equal(world.mirror.report()?.digest, before?.digest);
    await world.pass(60);
    assert.equal(world.mirror.report()?.digest, '');
    assert.match(world.mirror.report()?.message ?? '', /does not answer: it is restarted/);
    world.api.fault = undefined;
    await world.pass(60);
    assert.equal(world.mirror.report()?.digest, before?.digest);
  });

  test('that is too large says how large', async () => {
    await using world = await follow();
    world.api.put('a', { large: 'x'.repeat(manifestsLimitBytes) });
    await world.pass(11);
    assert.match(world.mirror.report()?.message ?? '', /1 objects of 2\.1 MiB .* the limit is 2\.0 MiB/);
  });
});

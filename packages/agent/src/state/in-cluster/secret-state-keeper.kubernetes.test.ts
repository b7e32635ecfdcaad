import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Clock, type KubeObject, namespaces, type Secret, StatusError, secrets } from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import type { HttpClient } from '@selvedge/kube';
import { clusterKinds, ClusterUnderTest, requireCluster } from '@selvedge/testkit';
import { createKubeApi } from '../../drivers/kubernetes/api/http-kube-api.ts';
import type { KubeApi } from '../../drivers/kubernetes/api/kube-api.ts';
import { eventually } from '../../testing/test-agent.ts';
import { AgentDatabase } from '../agent-database.ts';
import { ContentStore } from '../content-store.ts';
import { SecretStateKeeper, StateOvertaken } from './secret-state-keeper.ts';

const silent = createLogger({ level: 'silent' });
type Fault = 'refused' | 'answer lost';

/** An API whose n-th request fails: before it was carried out, or after. */
class FaultyApi {
  requests = 0;
  readonly api: KubeApi;

  constructor(api: KubeApi, fault?: { at: number; kind: Fault; lasts?: boolean }) {
    this.api = {
      json: async (request) => {
        const number = ++this.requests;
        const isHit =
          fault !== undefined && (number === fault.at || (fault.lasts === true && number > fault.at));
        if (isHit && fault.kind === 'refused') throw new StatusError('ServiceUnavailable', 'cut');
        const answer = await api.json<never>(request);
        if (isHit) throw new StatusError('ServiceUnavailable', 'cut');
        return answer;
      },
      lines: (request) => api.lines(request),
      findResource: (apiVersion, kind) => api.findResource(apiVersion, kind),
      version: () => api.version(),
      close: () => api.close(),
    };
  }
}

/** Waits are a hundredth. */
const hurried: Clock = {
  now: () => systemClock.now(),
  sleep: (milliseconds, signal) => systemClock.sleep(milliseconds / 100, signal),
};
const never = new AbortController().signal;
const soon = () => AbortSignal.timeout(15_000);

for (const kind of clusterKinds) {
  describe(`state of an agent in Secrets, by ${kind}`, requireCluster(kind), () => {
    let cluster: ClusterUnderTest;
    let client: HttpClient;
    let api: KubeApi;
    before(async () => {
      cluster = await ClusterUnderTest.start(kind);
      client = cluster.client();
      api = createKubeApi({ access: cluster.access, clock: systemClock, logger: silent });
    });
    after(async () => {
      api.close();
      await cluster.close();
    });

    let count = 0;
    const freshNamespace = async (): Promise<string> => {
      const name = `agent-${++count}`;
      await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      return name;
    };

    /** One pod: a directory of its own, with what was kept before. */
    const startPod = async (
      namespace: string,
      options: { api?: KubeApi; directory?: string; identity?: string; clock?: Clock } = {},
    ) => {
      const directory = options.directory ?? join(cluster.directory, `pod-${++count}`);
      await mkdir(directory, { recursive: true });
      const keeper = new SecretStateKeeper({
        api: options.api ?? api,
        namespace,
        stateDir: directory,
        identity: options.identity ?? `pod-${count}`,
        clock: options.clock ?? systemClock,
        logger: silent,
      });
      await keeper.restore(soon());
      await mkdir(join(directory, 'keys'), { recursive: true });
      const database = AgentDatabase.open(directory);
      const content = await ContentStore.open(database, join(directory, 'keys'));
      keeper.attach({ database, content });
      return { directory, keeper, database, content, stop: () => database.close() };
    };
    type Pod = Awaited<ReturnType<typeof startPod>>;

    const put = (pod: Pod, key: string, value: string) =>
      pod.database.run('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)', key, value);
    const find = (pod: Pod, key: string) =>
      pod.database.find('SELECT value FROM meta WHERE key = ?', key)?.['value'];
    const secretsOf = async (namespace: string) => (await client.list<Secret>(secrets, { namespace })).items;

    test('is whole in the next pod: rows, keys, records of the driver and releases', async () => {
      const namespace = await freshNamespace();
      const first = await startPod(namespace);
      put(first, 'accepted', 'epoch 7');
      await writeFile(join(first.directory, 'keys', 'agent.key'), 'the key');
      await mkdir(join(first.directory, 'kubernetes'));
      await writeFile(join(first.directory, 'kubernetes', 'item.json'), '{"a":1}');
      await writeFile(join(first.directory, 'contact.json'), 'of this machine only');
      const release = Buffer.from(JSON.stringify({ text: 'x'.repeat(10_000) }));
      first.content.put(sha256Digest(release), release);
      await first.keeper.keep(never);
      first.stop();
      await rm(first.directory, { recursive: true });

      const second = await startPod(namespace);
      assert.equal(find(second, 'accepted'), 'epoch 7');
      assert.equal(await readFile(join(second.directory, 'keys', 'agent.key'), 'utf8'), 'the key');
      assert.equal(await readFile(join(second.directory, 'kubernetes', 'item.json'), 'utf8'), '{"a":1}');
      assert.deepEqual(second.content.find(sha256Digest(release)), release);
      assert.equal(existsSync(join(second.directory, 'contact.json')), false);
      const mark = first.content.seal('memory');
      assert.equal(second.content.seal('memory'), mark, 'seals of the first still hold');
      second.stop();
    });

    test('of many megabytes is kept in parts that Secrets can hold, each release once', async () => {
      const namespace = await freshNamespace();
      const pod = await startPod(namespace);
      const random = Buffer.from(Array.from({ length: 40_000 }, () => Math.random().toString(36)).join(''));
      const large = Buffer.concat([random, random.toReversed(), random.subarray(7)]);
      pod.content.put(sha256Digest(large), large);
      await pod.keeper.keep(never);
      const before = await secretsOf(namespace);
      assert.ok(before.length >= 3, `${before.length} Secrets`);
      for (const secret of before) {
        const bytes = Object.values(secret.data ?? {}).reduce(
          (sum, one) => sum + Buffer.from(one, 'base64').length,
          0,
        );
        assert.ok(bytes <= 900 * 1024);
      }
      put(pod, 'something', 'else');
      await pod.keeper.keep(never);
      const made = (await secretsOf(namespace)).filter(
        ({ metadata }) => !before.some((one) => one.metadata.name === metadata.name),
      );
      assert.equal(made.length, 1, 'only the rows were written again');
      pod.stop();
      const next = await startPod(namespace);
      assert.deepEqual(next.content.find(sha256Digest(large)), large);
      next.content.retain(new Set());
      await next.keeper.keep(never);
      assert.equal((await secretsOf(namespace)).length, 2, 'what nobody needs is removed');
      next.stop();
    });

    test('is one state or the next, wherever a pod is killed while it is kept', async () => {
      const namespace = await freshNamespace();
      const release = (n: number) => Buffer.from(`release ${n}`);
      const write = (pod: Pod, n: number) => {
        put(pod, 'accepted', `epoch ${n}`);
        pod.content.put(sha256Digest(release(n)), release(n));
        pod.content.retain(new Set([sha256Digest(release(n))]));
      };
      let now = 1;
      const first = await startPod(namespace);
      write(first, now);
      await first.keeper.keep(never);
      first.stop();
      for (const kind of ['refused', 'answer lost'] as const) {
        for (let at = 1; ; at += 1) {
          const faulty = new FaultyApi(api, { at: at + 1000, kind, lasts: true });
          const pod = await startPod(namespace, { api: faulty.api });
          assert.equal(find(pod, 'accepted'), `epoch ${now}`);
          assert.deepEqual(pod.content.find(sha256Digest(release(now))), release(now));
          write(pod, now + 1);
          faulty.requests = 1000;
          const wasKept = await pod.keeper
            .keepFirst(() => {}, never)
            .then(
              () => true,
              () => false,
            );
          const wasHit = faulty.requests > 1000 + at - 1;
          pod.stop();
          const seen = await startPod(namespace);
          const found = find(seen, 'accepted');
          assert.ok(found === `epoch ${now}` || found === `epoch ${now + 1}`, String(found));
          if (wasKept) assert.equal(found, `epoch ${now + 1}`, 'what was acknowledged is there');
          if (found === `epoch ${now + 1}`) now += 1;
          assert.deepEqual(seen.content.find(sha256Digest(release(now))), release(now));
          seen.stop();
          if (!wasHit) break;
          assert.ok(at < 50);
        }
      }
      const last = await startPod(namespace, { clock: hurried });
      const over = new AbortController();
      const running = last.keeper.run(over.signal);
      let left = 0;
      for (let tries = 0; tries < 1000 && left !== 3; tries += 1) {
        await systemClock.sleep(20);
        left = (await secretsOf(namespace)).length;
      }
      assert.equal(left, 3, 'leftovers are removed');
      over.abort();
      await running;
      last.stop();
    });

    test('is kept before a change is accepted, and the change itself is not made by that', async () => {
      const namespace = await freshNamespace();
      const pod = await startPod(namespace);
      await pod.keeper.keepFirst(() => put(pod, 'accepted', 'epoch 9'), never);
      assert.equal(find(pod, 'accepted'), undefined);
      const next = await startPod(namespace);
      assert.equal(find(next, 'accepted'), 'epoch 9');
      next.stop();
      pod.stop();
    });

    test('is not written while nothing changes, and the clock of the hub is no change', async () => {
      const namespace = await freshNamespace();
      const faulty = new FaultyApi(api);
      const pod = await startPod(namespace, { api: faulty.api });
      await pod.keeper.keep(never);
      const asked = faulty.requests;
      put(pod, 'clockOffsetMs', '17');
      await pod.keeper.keep(never);
      assert.equal(faulty.requests, asked);
      pod.stop();
    });

    test('ends an agent that another one has overtaken, and leaves the other’s state alone', async () => {
      const namespace = await freshNamespace();
      const old = await startPod(namespace, { identity: 'old' });
      put(old, 'accepted', 'epoch 1');
      await old.keeper.keep(never);
      const young = await startPod(namespace, { identity: 'young' });
      put(young, 'accepted', 'epoch 2');
      await young.keeper.keep(never);
      put(old, 'accepted', 'epoch 1b');
      await assert.rejects(() => old.keeper.run(never), StateOvertaken);
      await assert.rejects(() => old.keeper.keep(never), StateOvertaken);
      old.stop();
      young.stop();
      const again = await startPod(namespace, { directory: old.directory, identity: 'old' });
      assert.equal(find(again, 'accepted'), 'epoch 2', 'its own directory is older than what is kept');
      again.stop();
    });

    test('stays in the directory when the container restarts, also with what was not kept yet', async () => {
      const namespace = await freshNamespace();
      const pod = await startPod(namespace, { identity: 'same' });
      put(pod, 'accepted', 'epoch 1');
      await pod.keeper.keep(never);
      put(pod, 'report', 'not kept yet');
      pod.stop();
      const again = await startPod(namespace, { directory: pod.directory, identity: 'same' });
      assert.equal(find(again, 'report'), 'not kept yet');
      await again.keeper.keep(never);
      again.stop();
    });

    test('that cannot be read is waited for; an agent that knows nothing never begins anew over it', async () => {
      const namespace = await freshNamespace();
      const first = await startPod(namespace);
      put(first, 'accepted', 'epoch 3');
      await first.keeper.keep(never);
      first.stop();
      const faulty = new FaultyApi(api, { at: 1, kind: 'refused', lasts: true });
      const directory = join(cluster.directory, 'waiting');
      await mkdir(directory);
      const options = { namespace, stateDir: directory, identity: 'w', clock: systemClock, logger: silent };
      const keeper = new SecretStateKeeper({ api: faulty.api, ...options });
      const over = new AbortController();
      const restoring = keeper.restore(over.signal);
      await eventually('it asked twice', () => faulty.requests >= 2);
      over.abort();
      await restoring;
      assert.equal(existsSync(join(directory, 'agent.db')), false);
      const later = await startPod(namespace, { directory });
      assert.equal(find(later, 'accepted'), 'epoch 3');
      later.stop();
    });

    test('that is damaged stops the start with the Secret to look at, and changes nothing', async () => {
      const namespace = await freshNamespace();
      const first = await startPod(namespace);
      put(first, 'accepted', 'epoch 3');
      await first.keeper.keep(never);
      first.stop();
      const part = (await secretsOf(namespace)).find(
        ({ metadata }) => metadata.name !== 'selvedge-agent-state',
      );
      const name = part?.metadata.name ?? '';
      await client.delete(secrets, { namespace, name });
      await assert.rejects(
        () => startPod(namespace),
        new RegExp(`damaged \\(Secret ${name} in namespace ${namespace}\\)`),
      );
      const index = (await secretsOf(namespace))[0] as KubeObject;
      assert.equal(index.metadata.name, 'selvedge-agent-state');
    });

    test('whose index a person deleted is written again by the agent that still knows it', async () => {
      const namespace = await freshNamespace();
      const pod = await startPod(namespace);
      put(pod, 'accepted', 'epoch 4');
      await pod.keeper.keep(never);
      await client.delete(secrets, { namespace, name: 'selvedge-agent-state' });
      put(pod, 'accepted', 'epoch 5');
      await pod.keeper.keep(never);
      pod.stop();
      const next = await startPod(namespace);
      assert.equal(find(next, 'accepted'), 'epoch 5');
      next.stop();
    });
  });
}

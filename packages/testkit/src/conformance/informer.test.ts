import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConfigMap, configMaps } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { startHub } from '@selvedge/hub';
import { createHttpClient, createInformer, loadKubeconfig } from '@selvedge/kube';
import { startTcpLink } from '../tcp-link.ts';

test('over a link that breaks again and again an informer ends with what the server has, and its handlers too', async () => {
  const logger = createLogger({ level: 'silent' });
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-informer-'));
  await using parts = new AsyncDisposableStack();
  parts.defer(() => rm(folder, { recursive: true }));
  const hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger });
  parts.defer(() => hub.close());
  const kubeconfig = await loadKubeconfig(hub.kubeconfigPath);
  const links = [await startTcpLink({ target: { port: hub.port } })];
  const { port } = links[0] ?? { port: 0 };
  parts.defer(async () => {
    await links.at(-1)?.close();
  });
  const client = createHttpClient({ ...kubeconfig, server: `https://127.0.0.1:${port}` });
  parts.defer(() => client.close());
  const informer = createInformer<ConfigMap>({
    client,
    resource: configMaps,
    namespace: 'default',
    clock: systemClock,
    logger,
  });
  const heard = new Map<string, string>();
  // An informer survives faulty handlers, so what they find is kept for the end.
  const faults: string[] = [];
  informer.onChange({
    add: ({ metadata: { name, uid } }) => {
      if (heard.has(name)) faults.push(`${name} is added twice`);
      heard.set(name, uid ?? '');
    },
    update: ({ metadata: { name, uid } }) => {
      if (heard.get(name) !== uid) faults.push(`${name} is updated as another`);
    },
    delete: ({ metadata: { name } }) => {
      if (!heard.delete(name)) faults.push(`${name} was not there`);
    },
  });
  const stop = new AbortController();
  const stopped = informer.run(stop.signal);
  parts.defer(() => {
    stop.abort();
    return stopped;
  });
  await informer.synced;

  for (let round = 0; round < 40; round++) {
    const name = `object-${round % 7}`;
    const present = await hub.client.find(configMaps, { namespace: 'default', name });
    if (present === undefined) {
      await hub.client.create<ConfigMap>(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, namespace: 'default' },
        data: { round: String(round) },
      });
    } else if (round % 3 === 0) {
      await hub.client.delete(configMaps, { namespace: 'default', name });
    } else {
      await hub.client.mergePatch(
        configMaps,
        { namespace: 'default', name },
        { data: { round: String(round) } },
      );
    }
    if (round % 10 === 5) {
      await links.at(-1)?.close();
      links.push(await startTcpLink({ target: { port: hub.port }, port }));
    }
    if (round % 4 === 0) await sleep(30);
  }

  const state = (items: readonly ConfigMap[]) =>
    items.map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`).sort();
  const wanted = state((await hub.client.list<ConfigMap>(configMaps, { namespace: 'default' })).items);
  for (let tries = 0; state(informer.list()).join() !== wanted.join(); tries++) {
    if (tries === 400) assert.deepEqual(state(informer.list()), wanted);
    await sleep(50);
  }
  assert.deepEqual(
    [...heard.keys()].sort(),
    informer
      .list()
      .map((o) => o.metadata.name)
      .sort(),
  );
  assert.deepEqual(faults, []);
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Driver, DriverItem, DriverReport } from '@selvedge/agent';
import { createKubernetesDriver } from '@selvedge/agent/testing';
import { canonicalJson, defaultItemTerms, type KubeObject, namespaces } from '@selvedge/api';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { type ClusterKind, ClusterUnderTest, FaultProxy } from '@selvedge/testkit';
import { type Figure, figure, type Mark } from '../figure.ts';

interface ApplicationBench {
  readonly kind: ClusterKind;
  readonly objects: number;
  readonly mark: Mark;
  readonly idleSeconds: number;
}

/** Longest time that a step may take before the measurement is given up. */
const patienceMs = 600_000;

/** A driver of its own process's memory, on a cluster of its own, by way of a proxy that counts. */
export async function measureApplication({
  kind,
  objects,
  mark,
  idleSeconds,
}: ApplicationBench): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const cluster = await ClusterUnderTest.start(kind);
  stack.defer(() => cluster.close());
  const proxy = await FaultProxy.start(cluster);
  stack.defer(() => proxy.close());
  const stateDir = await mkdtemp(join(tmpdir(), 'selvedge-bench-'));
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  for (const name of ['shop', 'selvedge-system']) {
    await cluster.client().create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  const driver = createKubernetesDriver({
    access: { ...cluster.access, server: proxy.url, tls: { ca: proxy.ca } },
    stateDir,
    site: { name: 'shop', uid: 'bench' },
    clock: systemClock,
    logger: createLogger({ level: 'silent' }),
  });
  stack.defer(() => driver.stop());
  const reports: DriverReport[] = [];
  driver.onReport((report) => reports.push(report));
  await driver.start(new AbortController().signal);
  const step = async (name: string, manifests: readonly KubeObject[], epoch: number) => {
    const before = proxy.requests.length;
    const begin = performance.now();
    give(driver, manifests, epoch);
    await untilRunning(reports, epoch);
    const seconds = (performance.now() - begin) / 1000;
    const requests = proxy.requests.length - before;
    return [
      figure(`${objects} objects: ${name}`, seconds, { unit: 's', mark }),
      figure(`${objects} objects: ${name}, requests for each object`, requests / objects, { unit: '×' }),
    ];
  };
  const installed = await step('installed, from the assignment to Running', sampleObjects(objects, '1'), 1);
  const updated = await step('updated, one object in ten changes', sampleObjects(objects, '2'), 2);
  // Watches that were begun with the release are not what an idle site asks.
  await wait(5_000);
  const before = proxy.requests.length;
  await wait(idleSeconds * 1000);
  const perHour = ((proxy.requests.length - before) * 3600) / idleSeconds;
  const idle = figure(`${objects} objects: requests in an idle hour, from ${idleSeconds} s`, perHour, {
    unit: '×',
  });
  return [...installed, ...updated, idle];
}

/** Config of three kinds; nothing that needs a controller, so the cluster itself costs little. */
function sampleObjects(count: number, release: string): KubeObject[] {
  return Array.from({ length: count }, (_, i) => {
    const value = i % 10 === 0 ? release : '0';
    const metadata = { name: `part-${i}` };
    if (i % 3 === 1)
      return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, annotations: { value } } };
    if (i % 3 === 2) {
      return {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata,
        data: { value: Buffer.from(value).toString('base64') },
      };
    }
    return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { value } };
  });
}

function give(driver: Driver, manifests: readonly KubeObject[], epoch: number): void {
  const item: DriverItem['item'] = {
    id: 'Application/shop/web',
    uid: 'web',
    epoch,
    release: `web-${epoch}`,
    digest: sha256Digest(canonicalJson(manifests)),
    deadlineSeconds: 600,
    terms: defaultItemTerms,
  };
  driver.setDesired([
    {
      item,
      mayFetch: true,
      mayActivate: true,
      siteName: 'shop',
      variables: {},
      labels: {},
      nodeGroups: [],
      secrets: new Map(),
      secretVersions: {},
      logins: [],
      manifests: async () => manifests,
    },
  ]);
}

async function untilRunning(reports: readonly DriverReport[], epoch: number): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const last = reports.at(-1);
    if (last?.epoch === epoch && last.state === 'Running') return;
    if (performance.now() > deadline) throw new Error(`not Running in time; last: ${JSON.stringify(last)}`);
    await wait(20);
  }
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMaps, namespaces } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { FaultProxy } from '@selvedge/testkit';
import { createKubeApi } from './api/http-kube-api.ts';
import { LeaseGuard } from './lease/lease-guard.ts';
import { describeOnClusters } from './testing/driver-suite.ts';
import { throughProxy } from './testing/through-proxy.ts';
import { eventually, type KubernetesTestSite } from './testing/kubernetes-test-site.ts';
import { configMap, deployments, service, workload } from './testing/sample-manifests.ts';

describeOnClusters('faults of the cluster', {}, (suite) => {
  test('an API that is down fails nothing: it is said, and gone on with when it is back', {
    timeout: 240_000,
  }, async () => {
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
    await site.start();
    await site.until('Running', { release: 'web-1' });
    await suite().cluster.stop();
    site.assign({ release: 'web-2', manifests: [configMap('settings', { a: '2' })], deadlineSeconds: 5 });
    await eventually(
      async () => site.lastReport(),
      (report) => report?.reason === 'ClusterUnavailable',
      'ClusterUnavailable',
    );
    assert.equal(site.driver.lastLook(), undefined);
    await suite().cluster.restart();
    await site.until('Running', { release: 'web-2' });
    assert.ok(
      site.reports.every(({ state }) => state !== 'Failed'),
      JSON.stringify(site.reports),
    );
  });

  test('429 with Retry-After and slow answers only cost time', async () => {
    await using proxy = await openProxy(suite().cluster);
    await using site = await suite().openSite();
    let refused = 0;
    proxy.setRule(({ isWrite }) => {
      if (isWrite && refused < 5) {
        refused += 1;
        return { answer: 429, reason: 'TooManyRequests', message: 'too many requests', retryAfterSeconds: 1 };
      }
      return { delayMs: 150 };
    });
    site.assign({ release: 'web-1', manifests: [workload(), service(), configMap('settings', { a: '1' })] });
    await site.start({ access: throughProxy(suite().cluster, proxy) });
    await site.until('Running');
    assert.equal(refused, 5);
  });

  test('an expired watch is begun anew, and what happened meanwhile is seen', async () => {
    await using proxy = await openProxy(suite().cluster);
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
    await site.start({ access: throughProxy(suite().cluster, proxy) });
    await site.until('Running');
    let expired = 0;
    proxy.setRule(({ query }) => {
      if (query.get('watch') === null || expired >= 3) return undefined;
      expired += 1;
      return { answer: 410, reason: 'Expired', message: 'too old resource version' };
    });
    proxy.breakConnections();
    await site.patch(configMaps, 'settings', { data: { a: '2' } });
    await eventually(
      () => site.find(configMaps, 'settings'),
      (object) => object?.data?.['a'] === '1',
      'correction',
    );
    assert.ok(expired > 0);
  });

  test('an update in the middle of which everything answers 500 is carried on with', async () => {
    await using proxy = await openProxy(suite().cluster);
    await using site = await suite().openSite();
    const manifests = (a: string) => Array.from({ length: 12 }, (_, i) => configMap(`part-${i}`, { a }));
    site.assign({ release: 'web-1', manifests: manifests('1') });
    await site.start({ access: throughProxy(suite().cluster, proxy) });
    await site.until('Running', { release: 'web-1' });
    let writes = 0;
    proxy.setRule(({ isWrite }) => {
      if (isWrite) writes += 1;
      return writes > 4 && writes < 12 && isWrite ? { answer: 500, message: 'etcd is unwell' } : undefined;
    });
    site.assign({ release: 'web-2', manifests: manifests('2') });
    await site.until('Running', { release: 'web-2' });
    for (let i = 0; i < 12; i += 1)
      assert.equal((await site.find(configMaps, `part-${i}`))?.data?.['a'], '2');
  });

  test('a permission that is revoked in the middle is named, and gone on with when it is given', async () => {
    await using proxy = await openProxy(suite().cluster);
    await using site = await suite().openSite();
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
    await site.start({ access: throughProxy(suite().cluster, proxy) });
    await site.until('Running', { release: 'web-1' });
    let isRevoked = true;
    const message = 'services is forbidden: User "agent" cannot patch resource "services" in API group ""';
    proxy.setRule(({ path, isWrite }) =>
      isRevoked && isWrite && path.includes('/services/')
        ? { answer: 403, reason: 'Forbidden', message }
        : undefined,
    );
    site.assign({ release: 'web-2', manifests: [configMap('settings', { a: '2' }), service()] });
    const report = await eventually(
      async () => site.lastReport(),
      (last) => last?.reason === 'Forbidden',
      'Forbidden',
    );
    assert.match(report?.message ?? '', /services/);
    isRevoked = false;
    await site.until('Running', { release: 'web-2' });
  });

  test('a namespace that is stuck while it is deleted is said, and waited for', async () => {
    await using site = await suite().openSite();
    const holder = {
      ...configMap('holder', {}),
      metadata: { name: 'holder', namespace: site.namespace, finalizers: ['example.com/hold'] },
    };
    await site.client.create(configMaps, holder);
    await site.client.delete(namespaces, { name: site.namespace });
    site.assign({ release: 'web-1', manifests: [workload()] });
    await site.start();
    const report = await eventually(
      async () => site.lastReport(),
      (last) => last?.message !== undefined,
      'a word about the namespace',
    );
    assert.match(report?.message ?? '', /terminat|deleted/i);
    assert.notEqual(report?.state, 'Failed');
    await site.patch(configMaps, 'holder', { metadata: { finalizers: null } });
    await site.until('Running');
    assert.ok(await site.find(deployments, 'web'));
  });

  const old = [configMap('kept', { a: '1' }), configMap('gone', { a: '1' }), service()];
  const next = [configMap('kept', { a: '2' }), configMap('new', { a: '1' }), service()];
  const cutNames = ['an installation', 'an update', 'a removal'] as const;
  for (const what of cutNames) {
    test(`${what} that is cut off at any write ends where it should, with the agent's disk and without`, {
      timeout: 600_000,
    }, async () => {
      await using proxy = await openProxy(suite().cluster);
      const access = throughProxy(suite().cluster, proxy);
      let wasCut = true;
      let write = 0;
      while (wasCut) {
        write += 1;
        await using site = await suite().openSite();
        if (what !== 'an installation') {
          site.assign({ release: 'web-1', manifests: old });
          await site.start({ access });
          await site.until('Running', { release: 'web-1' });
        }
        const cut = proxy.cutAtWrite(write, write % 2 === 0 ? 'before' : 'after');
        if (what === 'a removal') site.remove();
        else site.assign({ release: 'web-2', manifests: next });
        if (what === 'an installation') await site.start({ access });
        const done = what === 'a removal' ? 'Removed' : 'Running';
        await eventually(async () => cut.isCut() || hasEnded(site, done), Boolean, `cut at write ${write}`);
        wasCut = cut.isCut();
        await site.stop();
        proxy.restore();
        if (write % 3 === 0) await site.loseState();
        site.reports.length = 0;
        await site.start({ access });
        if (what === 'a removal') site.remove();
        await site.until(done);
        const expected = what === 'a removal' ? '' : 'kept,new';
        await eventually(
          () => site.names(configMaps, 'applyset.kubernetes.io/part-of'),
          (names) => names.join() === expected,
          `exactly ${expected} after a cut at write ${write}`,
        );
        if (what !== 'a removal') assert.equal((await site.find(configMaps, 'kept'))?.data?.['a'], '2');
      }
      assert.ok(write >= 4, `${what} has ${write - 1} writes only`);
    });
  }

  test('of two agents for one site only the one with the Lease acts, and the other goes on when it ends', async () => {
    await using site = await suite().openSite();
    const guardOf = (identity: string) => {
      const logger = createLogger({ level: 'silent' });
      const api = createKubeApi({ access: suite().cluster.access, clock: systemClock, logger });
      const namespace = site.agentNamespace;
      return new LeaseGuard({
        api,
        namespace,
        name: 'selvedge-agent-1',
        identity,
        clock: systemClock,
        logger,
      });
    };
    const abort = new AbortController();
    const [first, second] = [guardOf('first'), guardOf('second')];
    first.start(abort.signal);
    await eventually(async () => first.mayAct(), Boolean, 'Lease of the first');
    second.start(abort.signal);
    site.assign({ release: 'web-1', manifests: [configMap('settings', { a: '1' })] });
    await site.start({ guard: second });
    const report = await site.until('Preparing', { reason: 'AnotherAgent' });
    assert.match(report.message ?? '', /first/);
    assert.equal(await site.find(configMaps, 'settings'), undefined);
    assert.equal(site.driver.lastLook(), undefined);
    await first.stop();
    await site.until('Running');
    await site.stop();
    await second.stop();
    abort.abort();
  });
});

function hasEnded(site: KubernetesTestSite, state: string): boolean {
  const report = site.lastReport();
  return report?.state === state && (state === 'Removed' || report.release === 'web-2');
}

async function openProxy(cluster: { readonly url: string; readonly ca: string }) {
  const proxy = await FaultProxy.start(cluster);
  return Object.assign(proxy, { [Symbol.asyncDispose]: () => proxy.close() });
}

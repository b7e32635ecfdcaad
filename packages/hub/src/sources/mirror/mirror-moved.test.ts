import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonicalJson, type Site, sites } from '@selvedge/api';
import { mirrorOrderDigest, sha256Digest } from '@selvedge/api/node';
import { TestHub } from '../../controllers/testing/test-hub.ts';
import { SourceHosts } from '../source-hosts.ts';

/** The site has this for the application that mirrors it, and has brought it. */
async function bring(hub: TestHub, name: string, text: string): Promise<void> {
  const manifests = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' }, data: { text } }];
  const bytes = new TextEncoder().encode(canonicalJson(manifests));
  const digest = sha256Digest(bytes);
  await hub.eventually(async () => {
    const [order] = (await hub.fleet.siteState(name)).policy.mirrors ?? [];
    assert.ok(order);
    await hub.fleet.putBlob(digest, bytes);
    const site = await hub.client.get<Site>(sites, { name });
    const mirror = {
      uid: order.uid,
      order: mirrorOrderDigest(order),
      digest,
      received: digest,
      objects: 1,
      observedTime: hub.clock.now().toISOString(),
    };
    await hub.client.updateStatus<Site>(sites, { ...site, status: { ...site.status, mirrors: [mirror] } });
  });
}

test('a site that was mirrored gets nothing that was taken from it, whatever the application comes from by now', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'selvedge-mirror-moved-'));
  await using hub = await TestHub.start();
  await hub.stopControllers();
  hub.sources = { cacheDirectory: folder, hosts: new SourceHosts({ hosts: [], insecureHosts: [] }) };
  hub.startControllers();
  await hub.addSites('cloud', 'cloud-2', 'shop-1');
  const mirror = (site: string) => ({ source: { mirror: { site, namespaces: ['till'], selector: {} } } });
  const untilEverywhereElse = async (release: string | undefined, names: string[]) =>
    hub.eventually(async () => {
      const { status } = await hub.application();
      assert.equal(status?.phase, 'Completed', JSON.stringify(status?.conditions));
      assert.notEqual(status?.release, release);
      const rows = (await hub.rows()).filter(({ phase }) => phase === 'Wanted');
      assert.deepEqual(
        rows.map(({ site, report }) => [site, report?.state]),
        names.map((name) => [name, 'Running']),
      );
      return status?.release;
    });

  await hub.apply(mirror('cloud'));
  await bring(hub, 'cloud', 'one');
  const first = await untilEverywhereElse(undefined, ['cloud-2', 'shop-1']);

  await hub.apply(mirror('cloud-2'));
  await bring(hub, 'cloud-2', 'two');
  const second = await untilEverywhereElse(first, ['cloud-2', 'shop-1']);
  assert.equal((await hub.row('cloud-2'))?.release, first, 'what it got before it was mirrored stays');
  assert.deepEqual((await hub.application()).status?.mirroredSites, ['cloud', 'cloud-2']);

  await hub.apply({ text: 'three' });
  await untilEverywhereElse(second, ['cloud-2', 'shop-1']);
  assert.equal(await hub.row('cloud'), undefined);
  await rm(folder, { recursive: true, force: true });
});

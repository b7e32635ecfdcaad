import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Application,
  applications,
  defaultItemTerms,
  namespaces,
  type Site,
  sites,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { type Captured, runCaptured } from '../testing/run-captured.ts';

const names = ['shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5', 'shop-6'];
const application: Application = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Application',
  metadata: { name: 'till', namespace: 'shop' },
  spec: {
    source: { inline: { manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } }] } },
    placement: { siteSelector: {} },
    paused: true,
    removal: { volumes: 'Delete' },
  },
};

/** One hub, and the story of a fleet that somebody deletes by mistake; each test goes on where the one before ended. */
describe('selvedge removal', () => {
  let folder = '';
  let hub: Hub;
  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(['removal', ...args], { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });
  const eventually = async <T>(check: () => Promise<T | undefined>): Promise<T> => {
    for (let tries = 0; tries < 600; tries++) {
      const found = await check();
      if (found !== undefined) return found;
      await sleep(50);
    }
    return assert.fail('waited in vain');
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-cli-removal-'));
    hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) });
    await hub.client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    for (const name of names) {
      await hub.client.create<Site>(sites, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Site',
        metadata: { name },
      });
    }
    const { metadata } = await hub.client.create(applications, application);
    await eventually(async () => {
      const { finalizers = [] } = (await hub.client.get(applications, metadata)).metadata;
      const { items } = await hub.client.list<Site>(sites);
      const isHeld = items.every((site) => (site.metadata.finalizers ?? []).length === 1);
      return (isHeld && finalizers.length === 1) || undefined;
    });
    await hub.fleet.assign(
      names.map((site) => ({
        site,
        namespace: 'shop',
        application: 'till',
        applicationUid: metadata.uid ?? '',
        release: 'till-0123456789',
        digest: `sha256:${'0'.repeat(64)}`,
        deadlineSeconds: 600,
        terms: defaultItemTerms,
        rollout: '',
        wave: '',
      })),
    );
  });
  after(async () => {
    await hub.close();
    await rm(folder, { recursive: true, force: true });
  });

  const heldDigest = () =>
    eventually(async () => {
      const { status } = await hub.client.get<Application>(applications, { namespace: 'shop', name: 'till' });
      return status?.heldRemoval?.digest;
    });

  test('says that nothing waits', async () => {
    assert.equal((await cli('list')).stdout, 'No removal waits for approval.\n');
    const { code, stderr } = await cli('show', 'till', '-n', 'shop');
    assert.equal(code, 1);
    assert.match(stderr, /no removal of application shop\/till waits/);
    assert.equal((await cli('show')).code, 2);
    assert.equal((await cli('show', 'till', '--sites')).code, 2);
  });

  test('shows what a deletion would take away, and what it waits for', async () => {
    await hub.client.delete(applications, { namespace: 'shop', name: 'till' });
    const digest = await heldDigest();
    const list = await cli('list');
    assert.match(list.stdout, /shop\s+till\s+6\s+6\s+TooMany/);
    const { stdout, code } = await cli('show', 'till', '-n', 'shop');
    assert.equal(code, 0);
    assert.match(stdout, /TooMany: till is to leave 6 of 6 sites/);
    assert.match(stdout, /shop-1, shop-2, shop-3, shop-4, shop-5, shop-6/);
    assert.match(stdout, /Volumes with data go too if that is approved with --volumes/);
    assert.ok(stdout.includes(digest));
    const json = JSON.parse((await cli('show', 'shop/till', '-o', 'json')).stdout) as { sites: string[] };
    assert.deepEqual(json.sites, names);
  });

  test('approves nothing without being told what, and nothing else than that', async () => {
    const digest = await heldDigest();
    assert.match((await cli('approve', 'till', '-n', 'shop')).stderr, /asks for confirmation/);
    assert.match((await cli('approve', 'till', '-n', 'shop', '--yes')).stderr, /--yes goes with --digest/);
    assert.match(
      (await cli('approve', 'till', '-n', 'shop', '--digest', 'abc', '--yes')).stderr,
      /--digest has to be/,
    );
    const other = await cli('approve', 'till', '-n', 'shop', '--digest', 'f'.repeat(64), '--yes');
    assert.equal(other.code, 1);
    assert.match(other.stderr, new RegExp(`not what you were shown: its digest is ${digest}`));
    const rows = (await hub.fleet.listDeliveries({ namespace: 'shop' })).rows;
    assert.ok(rows.every(({ phase }) => phase === 'Wanted'));
  });

  test('refuses a set that has changed since it was shown', async () => {
    const before = await heldDigest();
    await hub.fleet.forgetSite('shop-6');
    // Seen at the latest when the guard looks again; a change of the object makes it look now.
    await hub.client.mergePatch(
      applications,
      { namespace: 'shop', name: 'till' },
      { metadata: { annotations: { look: 'again' } } },
    );
    const now = await eventually(async () => {
      const digest = await heldDigest();
      return digest === before ? undefined : digest;
    });
    const old = await cli('approve', 'till', '-n', 'shop', '--digest', before, '--yes');
    assert.equal(old.code, 1);
    assert.ok(old.stderr.includes(now));
  });

  test('approves the set by its digest, with its volumes', async () => {
    const digest = await heldDigest();
    const short = digest.slice('sha256:'.length, 'sha256:'.length + 12);
    const done = await cli('approve', 'till', '-n', 'shop', '--digest', short, '--volumes', '--yes');
    assert.equal(done.code, 0, done.stderr);
    assert.equal(done.stdout, 'Approved: 5 of 5 go.\n');
    await eventually(async () => {
      const found = await hub.client.find(applications, { namespace: 'shop', name: 'till' });
      return found === undefined ? true : undefined;
    });
    const { rows } = await hub.fleet.listDeliveries({ namespace: 'shop' });
    assert.deepEqual(
      rows.map(({ phase, removal }) => `${phase} ${removal}`),
      Array.from({ length: 5 }, () => 'Removing DeleteVolumes'),
    );
  });

  test('shows and approves Sites, one or all that wait', async () => {
    for (const name of names.slice(0, 5)) await hub.client.delete(sites, { name });
    await eventually(async () => {
      const { items } = await hub.client.list<Site>(sites);
      return items.filter(({ status }) => status?.heldRemoval).length === 5 || undefined;
    });
    const one = await cli('show', 'site/shop-2', '-o', 'json');
    const { digest } = JSON.parse(one.stdout) as { digest: string };
    assert.equal((await cli('approve', 'site/shop-2', '--digest', digest, '--yes')).code, 0);
    await eventually(async () =>
      (await hub.client.find(sites, { name: 'shop-2' })) === undefined ? true : undefined,
    );
    const all = await cli('show', '--sites');
    assert.match(all.stdout, /shop-1, shop-3, shop-4, shop-5/);
    const wanted = /--digest (sha256:[0-9a-f]{64})/.exec(all.stdout)?.[1] ?? '';
    assert.equal((await cli('approve', '--sites', '--digest', wanted, '--yes')).code, 0);
    await eventually(async () => {
      const { items } = await hub.client.list<Site>(sites);
      return items.length === 1 || undefined;
    });
  });
});

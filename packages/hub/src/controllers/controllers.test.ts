import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Application,
  applications,
  type Delivery,
  deliveries,
  type Event,
  events,
  namespaces,
  type ObjectClient,
  type Release,
  type Rollout,
  releases,
  rollouts,
  type Site,
  sites,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { TestHub } from './testing/test-hub.ts';

const canaryFirst = {
  waves: [
    { name: 'canary', sites: 1 },
    { name: 'rest', percent: 100 },
  ],
};

async function completed(hub: TestHub, rollout: string): Promise<void> {
  await hub.eventually(async () => assert.equal((await hub.rollout(rollout)).status?.phase, 'Completed'));
}

async function eventReasons(client: ObjectClient): Promise<Set<string | undefined>> {
  const { items } = await client.list<Event>(events);
  return new Set(items.map((event) => event.reason));
}

describe('an application', () => {
  test('goes to every site that it selects, with its release, rollout, status and events', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2', 'shop-3');
    await hub.addSite('office', { labels: { tier: 'office' } });
    await hub.apply();
    await completed(hub, 'till-1');
    await hub.eventually(async () => {
      const { status } = await hub.application();
      assert.equal(status?.conditions?.find((c) => c.type === 'Available')?.status, 'True');
      assert.deepEqual(status?.sites, {
        wanted: 3,
        running: 3,
        progressing: 0,
        prepared: 0,
        held: 0,
        failed: 0,
        away: 0,
        overdue: 0,
        waiting: 0,
      });
      assert.equal(status?.phase, 'Completed');
    });
    const application = await hub.application();
    const release = await hub.client.get<Release>(releases, {
      namespace: 'shop',
      name: application.status?.release ?? '',
    });
    assert.match(release.metadata.name, /^till-[0-9a-f]{10}$/);
    assert.deepEqual(release.spec.resources, ['ConfigMap/page']);
    assert.equal(await hub.fleet.hasBlob(release.spec.digest), true);
    assert.equal(release.metadata.ownerReferences?.[0]?.uid, application.metadata.uid);
    const rows = await hub.rows();
    assert.deepEqual(rows.map((row) => row.site).toSorted(), ['shop-1', 'shop-2', 'shop-3']);
    assert.ok(rows.every((row) => row.digest === release.spec.digest));
    await hub.eventually(async () => {
      const reasons = await eventReasons(hub.client);
      for (const reason of ['ReleaseCreated', 'RolloutStarted', 'WavePassed', 'RolloutCompleted']) {
        assert.ok(reasons.has(reason), reason);
      }
    });
  });

  test('that changes goes to a canary first; the same content again is the same release', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2', 'shop-3');
    await hub.apply();
    await completed(hub, 'till-1');
    const first = (await hub.application()).status?.release;

    for (const name of ['shop-1', 'shop-2', 'shop-3'])
      hub.agent(name).behaviour = () => ({ state: 'Activating' });
    await hub.apply({ text: 'two', rollout: canaryFirst });
    await hub.eventually(async () => {
      const news = (await hub.rows()).filter((row) => row.release !== first);
      assert.equal(news.length, 1);
      assert.equal(news[0]?.wave, 'canary');
      assert.equal(news[0]?.report?.state, 'Activating');
    });
    await hub.pass(5_000);
    assert.equal((await hub.rows()).filter((row) => row.release !== first).length, 1);
    for (const name of ['shop-1', 'shop-2', 'shop-3'])
      hub.agent(name).behaviour = () => ({ state: 'Running' });
    await completed(hub, 'till-2');
    assert.ok((await hub.rows()).every((row) => row.release !== first));

    await hub.apply({ text: 'one', rollout: canaryFirst });
    await completed(hub, 'till-3');
    assert.equal((await hub.rollout('till-3')).spec.release, first);
    assert.equal((await hub.client.list(releases, { namespace: 'shop' })).items.length, 2);
  });

  test('that is to pause when it fails does so at its canary, names the site, and the next release takes over', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2', 'shop-3');
    await hub.apply();
    await completed(hub, 'till-1');
    const good = (await hub.application()).status?.release;
    for (const name of ['shop-1', 'shop-2', 'shop-3']) {
      hub.agent(name).behaviour = (row) =>
        row.release === good || row.rollout === 'till-3'
          ? { state: 'Running' }
          : { state: 'Failed', reason: 'CrashLoop', message: 'container web exited with 1' };
    }
    await hub.apply({ text: 'bad', rollout: { onBreach: 'Pause' } });
    await hub.eventually(async () => assert.equal((await hub.rollout('till-2')).status?.phase, 'Paused'));
    const { status, spec } = await hub.rollout('till-2');
    assert.equal(status?.conditions?.find((c) => c.type === 'Progressing')?.reason, 'Paused');
    assert.match(status?.message ?? '', /shop-\d \(CrashLoop: container web exited with 1\)/);
    for (let i = 0; i < 60; i++) await hub.pass(60_000);
    assert.equal((await hub.rows()).filter((row) => row.release !== good).length, 1);
    assert.equal((await hub.release(spec.release)).status?.condemned, undefined);
    await hub.eventually(async () => {
      const reasons = await eventReasons(hub.client);
      assert.ok(reasons.has('RolloutPaused') && reasons.has('DeliveryFailed'));
      const { conditions } = (await hub.application()).status ?? {};
      assert.equal(conditions?.find((c) => c.type === 'Available')?.reason, 'RolloutPaused');
      assert.equal(conditions?.find((c) => c.type === 'Degraded')?.status, 'True');
    });

    await hub.apply({ text: 'mended' });
    await completed(hub, 'till-3');
    assert.equal((await hub.rollout('till-2')).status?.phase, 'Superseded');
  });

  test('that is deleted leaves tombstones, and goes when they are written', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2');
    await hub.apply();
    await completed(hub, 'till-1');
    const [row] = await hub.rows();
    await hub.cutOff('shop-2');
    await hub.client.delete(applications, { namespace: 'shop', name: 'till' });
    await hub.eventually(async () => {
      assert.equal(await hub.client.find(applications, { namespace: 'shop', name: 'till' }), undefined);
    });
    assert.equal((await hub.row('shop-2'))?.phase, 'Removing');
    assert.deepEqual((await hub.client.list(rollouts)).items, []);
    assert.deepEqual((await hub.client.list(releases)).items, []);
    await hub.eventually(async () => assert.equal(await hub.fleet.hasBlob(row?.digest ?? ''), false));
    await hub.eventually(async () => assert.equal((await hub.row('shop-1'))?.phase, 'Removed'));
    assert.equal((await hub.row('shop-2'))?.phase, 'Removing');
    hub.agent('shop-2').isInTouch = true;
    await hub.eventually(async () => assert.equal((await hub.row('shop-2'))?.phase, 'Removed'));

    await hub.apply();
    await completed(hub, 'till-1');
  });

  test('that is deleted with its releases orphaned leaves them, and takes them up when it is made anew', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply();
    await completed(hub, 'till-1');
    const till = { namespace: 'shop', name: 'till' };
    const { metadata } = await hub.application();
    // As "kubectl delete --cascade=orphan" does.
    const finalizers = [...(metadata.finalizers ?? []), 'orphan'];
    await hub.client.mergePatch(applications, till, { metadata: { finalizers } });
    await hub.client.delete(applications, till);
    await hub.eventually(async () => {
      assert.equal(await hub.client.find(applications, till), undefined);
      assert.equal((await hub.row('shop-1'))?.phase, 'Removed');
    });
    for (const kind of [releases, rollouts]) {
      const { items } = await hub.client.list(kind);
      assert.equal(items.length, 1);
      assert.equal(items[0]?.metadata.ownerReferences, undefined);
    }
    const { uid } = (await hub.apply()).metadata;
    await hub.eventually(async () => {
      assert.equal((await hub.application()).status?.phase, 'Completed');
      for (const kind of [releases, rollouts]) {
        const { items } = await hub.client.list(kind);
        assert.deepEqual(
          items.map((item) => item.metadata.ownerReferences?.[0]?.uid),
          [uid],
        );
      }
      assert.equal((await hub.row('shop-1'))?.applicationUid, uid);
    });
  });

  test('leaves no content behind, however its Releases went', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    const contents = () => hub.fleet.blobDigests();
    await hub.apply();
    await completed(hub, 'till-1');
    const [first = ''] = await contents();
    await hub.apply({ text: 'two' });
    await completed(hub, 'till-2');
    await hub.apply({ text: 'three' });
    await completed(hub, 'till-3');

    // By hand: the oldest one's content goes with it; that of the one before stays, for a site may have to go back to it; the
    // present one is made again.
    for (const { metadata } of (await hub.client.list(releases)).items) {
      await hub.client.delete(releases, metadata);
    }
    await hub.eventually(
      async () => {
        assert.equal((await contents()).length, 2);
        assert.equal(await hub.fleet.hasBlob(first), false);
        assert.equal((await hub.client.list(releases)).items.length, 1);
      },
      { step: 30_000 },
    );

    // In a crash between the Release and its content.
    await hub.stopControllers();
    const bytes = new TextEncoder().encode('left over');
    await hub.fleet.putBlob(sha256Digest(bytes), bytes);
    hub.startControllers();
    await hub.eventually(async () => assert.equal((await contents()).length, 2));

    await hub.client.delete(namespaces, { name: 'shop' });
    await hub.eventually(async () => assert.deepEqual(await contents(), []), { step: 60_000 });
  });

  test('whose release name is taken says so, and goes on when the name is free', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply();
    await completed(hub, 'till-1');
    const name = (await hub.application()).status?.release ?? '';
    await hub.client.delete(applications, { namespace: 'shop', name: 'till' });
    await hub.eventually(async () => assert.deepEqual((await hub.client.list(applications)).items, []));
    await hub.client.create<Release>(releases, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Release',
      metadata: { name, namespace: 'shop' },
      spec: { application: 'other', digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 1 },
    });
    await hub.apply();
    await hub.eventually(async () => {
      const released = (await hub.application()).status?.conditions?.find((c) => c.type === 'Released');
      assert.equal(released?.status, 'False');
      assert.match(
        released?.message ?? '',
        new RegExp(`Release ${name} exists with another digest.*delete it`),
      );
    });
    await hub.client.delete(releases, { namespace: 'shop', name });
    await hub.apply({ paused: false });
    await completed(hub, 'till-1');
  });

  test('with a variable that a site lacks is not sent there, and says so', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    await hub.apply({ text: 'in ${site.variables.city}' });
    await hub.eventually(async () => {
      const { status } = await hub.rollout('till-1');
      assert.deepEqual(status?.failures, [
        {
          site: 'shop-1',
          reason: 'VariableUndefined',
          message: "the Site's spec.variables do not define city",
        },
      ]);
    });
    assert.deepEqual(await hub.rows(), []);
    await hub.client.mergePatch(sites, { name: 'shop-1' }, { spec: { variables: { city: 'Ulm' } } });
    await completed(hub, 'till-1');
    assert.deepEqual((await hub.fleet.siteState('shop-1')).variables, { city: 'Ulm' });
  });
});

describe('sites', () => {
  test('that are away do not hold anybody up, and catch up with the newest release', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2', 'shop-3');
    await hub.apply();
    await completed(hub, 'till-1');
    await hub.cutOff('shop-2');
    const before = (await hub.row('shop-2'))?.report;
    await hub.apply({ text: 'two' });
    await completed(hub, 'till-2');
    await hub.apply({ text: 'three' });
    await completed(hub, 'till-3');
    await hub.eventually(async () => {
      const { sites: counts } = (await hub.application()).status ?? {};
      assert.equal(counts?.away, 1);
      assert.equal(counts?.running, 2);
      assert.equal(counts?.failed, 0);
    });
    assert.deepEqual((await hub.row('shop-2'))?.report, before);
    hub.agent('shop-2').isInTouch = true;
    await hub.eventually(async () => {
      assert.equal((await hub.application()).status?.sites?.running, 3);
    });
    assert.equal((await hub.row('shop-2'))?.rollout, 'till-3');
    assert.ok((await eventReasons(hub.client)).has('SiteAway'));
  });

  test('get and lose an application with their labels; only what truly does not match is removed', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2');
    await hub.apply();
    await completed(hub, 'till-1');
    await hub.client.mergePatch(sites, { name: 'shop-1' }, { metadata: { labels: { tier: 'closed' } } });
    await hub.eventually(async () => assert.equal((await hub.row('shop-1'))?.phase, 'Removed'));
    assert.equal((await hub.row('shop-2'))?.phase, 'Wanted');
    await hub.client.mergePatch(sites, { name: 'shop-1' }, { metadata: { labels: { tier: 'store' } } });
    await hub.eventually(async () => assert.equal((await hub.row('shop-1'))?.report?.state, 'Running'));
    assert.equal((await hub.row('shop-1'))?.phase, 'Wanted');
    await hub.addSites('shop-3');
    await hub.eventually(async () => assert.equal((await hub.row('shop-3'))?.report?.state, 'Running'));
    await hub.eventually(async () => assert.equal((await hub.rollout('till-1')).status?.sites?.running, 3));
  });

  test('that are deleted are forgotten, and nothing is removed from them', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2');
    await hub.apply();
    await completed(hub, 'till-1');
    const epoch = (await hub.fleet.siteState('shop-1')).epoch;
    await hub.client.delete(sites, { name: 'shop-1' });
    await hub.eventually(async () => assert.deepEqual((await hub.fleet.siteState('shop-1')).rows, []));
    assert.ok((await hub.fleet.siteState('shop-1')).epoch >= epoch);
    await hub.eventually(async () => assert.equal((await hub.application()).status?.sites?.wanted, 1));
  });

  test('say whether they are in touch, and a revoked key is taken from them', async () => {
    await using hub = await TestHub.start();
    await hub.addSite('shop-1', { spec: { connectivity: { expected: '2h' } } });
    hub.agent('shop-1').isInTouch = false;
    const reason = async () => {
      const { status } = await hub.client.get<Site>(sites, { name: 'shop-1' });
      const condition = status?.conditions?.find((c) => c.type === 'Connected');
      assert.equal(status?.connectivity, condition?.reason);
      return condition?.reason;
    };
    await hub.eventually(async () => assert.equal(await reason(), 'NeverConnected'));
    hub.agent('shop-1').isInTouch = true;
    await hub.eventually(async () => assert.equal(await reason(), 'Connected'));
    hub.agent('shop-1').isInTouch = false;
    await hub.eventually(async () => assert.equal(await reason(), 'Away'), { step: 5_000 });
    await hub.eventually(async () => assert.equal(await reason(), 'Overdue'), { step: 600_000 });

    const site = await hub.client.get<Site>(sites, { name: 'shop-1' });
    const fingerprint = `SHA256:${'x'.repeat(43)}`;
    const key = {
      site: 'shop-1',
      siteUid: site.metadata.uid ?? '',
      publicKey: 'AAAA',
      fingerprint,
      tokenUid: 't',
      enrolledAt: hub.clock.now().toISOString(),
    };
    await hub.fleet.addSiteKey(key);
    await hub.client.mergePatch(sites, { name: 'shop-1' }, { spec: { revokedKeys: [fingerprint] } });
    await hub.eventually(async () => assert.equal(await hub.fleet.findSiteKey('shop-1'), undefined));
  });
});

describe('the hub', () => {
  test('stopped in the middle of a rollout goes on where it was', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2', 'shop-3', 'shop-4');
    await hub.apply();
    await completed(hub, 'till-1');
    for (const name of ['shop-1', 'shop-2', 'shop-3', 'shop-4']) {
      hub.agent(name).behaviour = () => ({ state: 'Activating' });
    }
    await hub.apply({ text: 'two', rollout: canaryFirst });
    await hub.eventually(async () => {
      assert.equal((await hub.rollout('till-2')).status?.waves?.[0]?.pending, 1);
    });
    await hub.stopControllers();
    for (const name of ['shop-1', 'shop-2', 'shop-3', 'shop-4']) {
      hub.agent(name).behaviour = () => ({ state: 'Running' });
    }
    await hub.pass(60_000);
    hub.startControllers();
    await completed(hub, 'till-2');
    assert.equal((await hub.client.list(rollouts)).items.length, 2);
    assert.ok((await hub.rows()).every((row) => row.rollout === 'till-2' && row.report?.epoch === row.epoch));
  });

  test('that breaks off at any write, before or after it is done, loses nothing and does nothing twice', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      await using hub = await TestHub.start();
      await hub.addSites('shop-1', 'shop-2', 'shop-3', 'shop-4');
      // Each site is told its labels first.
      await hub.eventually(async () => {
        const epochs = [...(await hub.fleet.siteEpochs()).values()];
        assert.deepEqual(epochs, [1, 1, 1, 1]);
      });
      await hub.stopControllers();
      let state = seed;
      hub.startControllers(() => {
        state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
        return state / 2 ** 31 < 0.25;
      });
      for (const [index, text] of ['one', 'two', 'one'].entries()) {
        await hub.apply({ text, rollout: canaryFirst, removal: { guard: { sites: 10 } } });
        await completed(hub, `till-${index + 1}`);
      }
      assert.equal((await hub.client.list(rollouts)).items.length, 3, `seed ${seed}`);
      assert.equal((await hub.client.list(releases)).items.length, 2, `seed ${seed}`);
      const rows = await hub.rows();
      assert.equal(rows.length, 4);
      for (const row of rows) {
        assert.equal(row.report?.epoch, row.epoch);
        // Then each was given three assignments, one by one, and no more.
        assert.equal(row.epoch, 1 + 3, `seed ${seed}, ${row.site}`);
      }
      await hub.client.delete(applications, { namespace: 'shop', name: 'till' });
      // Each failure doubles the pause before the next try.
      await hub.eventually(
        async () => {
          assert.deepEqual((await hub.client.list(applications)).items, []);
          assert.ok((await hub.rows()).every((row) => row.phase === 'Removed'));
        },
        { step: 1_000 },
      );
      assert.deepEqual((await hub.client.list(rollouts)).items, []);
      assert.deepEqual((await hub.client.list(releases)).items, []);
    }
  });

  test('writes nothing while nothing happens', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1', 'shop-2');
    await hub.apply();
    await completed(hub, 'till-1');
    await hub.eventually(async () => {
      const { status } = await hub.application();
      assert.equal(status?.conditions?.find((c) => c.type === 'Available')?.status, 'True');
    });
    for (let i = 0; i < 10; i++) await hub.pass(1_000);
    const revision = async () => (await hub.client.list<Application>(applications)).metadata.resourceVersion;
    const before = await revision();
    for (let i = 0; i < 30; i++) await hub.pass(20_000);
    assert.equal(await revision(), before);
  });

  test('keeps the last ten finished rollouts, and the releases that they name', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    for (let n = 1; n <= 13; n++) {
      await hub.apply({ text: `version ${n}` });
      await completed(hub, `till-${n}`);
    }
    await hub.eventually(async () => {
      const { items } = await hub.client.list<Rollout>(rollouts);
      assert.deepEqual(
        items.map((r) => r.metadata.name).sort(),
        Array.from({ length: 11 }, (_, i) => `till-${i + 3}`).sort(),
      );
      assert.equal((await hub.client.list(releases)).items.length, 11);
    });
  });

  test('shows deliveries, and tells watchers how they come, change and go', async () => {
    await using hub = await TestHub.start();
    await hub.addSites('shop-1');
    const stop = new AbortController();
    const { metadata } = await hub.client.list(deliveries);
    const seen: string[] = [];
    const watching = (async () => {
      const options = { resourceVersion: metadata.resourceVersion, signal: stop.signal };
      for await (const event of hub.client.watch<Delivery>(deliveries, options)) {
        if (event.type !== 'BOOKMARK') seen.push(`${event.type} ${event.object.status.state}`);
      }
    })();
    await hub.apply();
    await completed(hub, 'till-1');
    const delivery = await hub.client.get<Delivery>(deliveries, { namespace: 'shop', name: 'till.shop-1' });
    assert.equal(delivery.status.state, 'Running');
    assert.equal(delivery.status.connectivity, 'Connected');
    assert.equal(delivery.status.runningRelease, delivery.spec.release);
    await hub.client.delete(applications, { namespace: 'shop', name: 'till' });
    await hub.eventually(async () => assert.ok(seen.some((line) => line.startsWith('DELETED'))));
    stop.abort();
    await watching;
    assert.equal(seen[0], 'ADDED Pending');
    assert.ok(seen.includes('MODIFIED Running'), seen.join());
    assert.ok(seen.includes('MODIFIED Removing'), seen.join());
    assert.deepEqual((await hub.client.list(deliveries)).items, []);
  });
});

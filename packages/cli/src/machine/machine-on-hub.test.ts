import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Machine,
  type MachineClaim,
  machineClaims,
  type MachineImage,
  machineImages,
  machines,
  type Site,
  sites,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { type Captured, runCaptured, startCaptured } from '../testing/run-captured.ts';
import { sampleInventory } from './testing/sample-machines.ts';

const mac = (i: number) => `52:54:00:00:00:0${i}`;

/** One hub, and the story of its machines; each test goes on where the one before ended. */
describe('selvedge machine on a hub', () => {
  let folder = '';
  let hub: Hub;
  const env = () => ({ SELVEDGE_KUBECONFIG: hub.kubeconfigPath });
  const cli = (...args: string[]): Promise<Captured> => runCaptured(['machine', ...args], { env: env() });
  const ok = async (...args: string[]): Promise<Captured> => {
    const captured = await cli(...args);
    assert.equal(captured.code, 0, `${args.join(' ')}: ${captured.stdout}${captured.stderr}`);
    return captured;
  };
  /** One that goes on; it ends with the test, also with one that failed. */
  const start = (t: TestContext, ...args: string[]) => {
    const stop = new AbortController();
    t.after(() => stop.abort());
    return startCaptured(['machine', ...args], { env: env(), signal: stop.signal });
  };
  const get = (name: string) => hub.client.get<Machine>(machines, { name });
  /** As the gateway writes what a rack says; it acts on what stands there now. */
  const rackSays = async (name: string, status: Partial<NonNullable<Machine['status']>>) => {
    const { metadata } = await get(name);
    const all = {
      observedGeneration: metadata.generation ?? 1,
      observedTime: new Date().toISOString(),
      ...status,
    };
    await hub.client.mergePatch(machines, { name }, { status: all }, { subresource: 'status' });
  };
  const inspected = {
    phase: 'Available',
    operationalStatus: 'OK',
    disks: 'Blank',
    inventory: sampleInventory,
    inventoryDigest: 'sha256:1',
  } as const;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-machine-cli-'));
    hub = await startHub({ data: folder, listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) });
    const network = { name: 'lab', interface: 'eth1', address: '10.10.0.1/24', dhcp: 'External' as const };
    await hub.client.create<Site>(sites, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Site',
      metadata: { name: 'berlin' },
      spec: { rack: { networks: [network] } },
    });
    await hub.client.create<MachineImage>(machineImages, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'MachineImage',
      metadata: { name: 'debian' },
      spec: {
        reference: `registry.example/os/debian@sha256:${'0'.repeat(64)}`,
        format: 'Raw',
        digest: `sha256:${'1'.repeat(64)}`,
        sizeBytes: 1000,
        diskBytes: 1000,
      },
    });
  });
  after(async () => {
    await hub.close();
    await rm(folder, { recursive: true });
  });

  test('an empty fleet says how machines come to it', async () => {
    assert.match((await ok('list')).stdout, /No machines\. A box that boots from the network/);
  });

  test('import makes a machine known as it runs; a wrong MAC address is refused by its flag', async () => {
    const wrong = await cli('import', 'old-1', '--site', 'berlin', '--mac', '52:54');
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--mac 52:54/);
    assert.equal((await cli('import', 'old-1', '--site', 'berlin')).code, 2);
    const known = await ok(
      'import',
      'old-1',
      '--site',
      'berlin',
      '--mac',
      mac(9).toUpperCase().replaceAll(':', '-'),
    );
    assert.match(known.stdout, /nothing on it is written, erased or switched off/);
    const { spec } = await get('old-1');
    assert.equal(spec.externallyProvisioned, true);
    assert.deepEqual(spec.identity, { macAddresses: [mac(9)] });
    const refused = await cli('provision', 'old-1', '--image', 'debian');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /did not install/);
  });

  test('a box that was found is accepted, by name, by MAC address, or with all others', async () => {
    for (const i of [1, 2, 3]) {
      await hub.client.create<Machine>(machines, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Machine',
        metadata: { name: `berlin-${i}` },
        spec: { siteName: 'berlin', identity: { macAddresses: [mac(i)] }, accepted: false },
      });
    }
    const found = await ok('list', '--phase', 'discovered', '-o', 'name');
    assert.equal(found.stdout, 'berlin-1\nberlin-2\nberlin-3\n');
    const accepted = await ok(
      'accept',
      mac(1),
      '--display-name',
      'Till 1',
      '--label',
      'row=3',
      '--bmc',
      'ipmi',
      '--bmc-address',
      '10.0.0.5',
    );
    assert.match(accepted.stdout, /berlin-1 is accepted/);
    const { spec, metadata } = await get('berlin-1');
    assert.deepEqual(
      [spec.accepted, spec.displayName, spec.bmc],
      [true, 'Till 1', { type: 'IPMI', address: '10.0.0.5' }],
    );
    assert.equal(metadata.labels?.['row'], '3');
    assert.equal((await cli('accept', '--all', '--bmc-address', 'x', '--bmc', 'IPMI')).code, 2);
    await ok('accept', '--all', '--site', 'berlin');
    assert.equal((await get('berlin-3')).spec.accepted, true);
    assert.equal((await cli('accept', '--all')).code, 1, 'nothing is left to accept');
    assert.match((await cli('show', 'berlin-9')).stderr, /Did you mean berlin-/);
  });

  test('list and show tell what the rack said', async () => {
    for (const i of [1, 2, 3]) await rackSays(`berlin-${i}`, inspected);
    const { stdout } = await ok('list', '--site', 'berlin', '--phase', 'available');
    assert.match(stdout, /berlin-1 +berlin +Available .* 32 +128 GiB/);
    assert.equal(stdout.trim().split('\n').length, 4);
    assert.match((await cli('show', 'till 1')).stdout, /▶ Available/);
    assert.equal((await cli('list', '--phase', 'soon')).code, 2);
    const summaries = JSON.parse((await ok('list', '-o', 'json')).stdout) as {
      name: string;
      phase: string;
    }[];
    assert.equal(summaries.length, 4);
    assert.match((await ok('list', '-l', 'is=not')).stdout, /^No machine fits; without --site/);
    assert.match((await cli('list', '--site', 'brelin')).stderr, /no site brelin\n {2}Did you mean berlin/);
  });

  test('what is wanted where nobody hears of it yet says so', async () => {
    const isTold = async () =>
      (await get('berlin-2')).status?.conditions?.some(({ type }) => type === 'Synced');
    for (let tries = 0; !(await isTold()); tries++) {
      assert.ok(tries < 600, 'the hub never said that no agent is there');
      await sleep(50);
    }
    const { stdout, stderr } = await ok('protect', 'berlin-2');
    assert.match(stdout, /berlin-2 is protected/);
    assert.match(stderr, /Nothing happens yet: No agent has joined yet/);
    assert.match((await ok('protect', 'berlin-2', '--off')).stdout, /not protected any more/);
  });

  test('an image that there is not is no wish', async () => {
    const refused = await cli('provision', 'berlin-1', '--image', 'debain');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /there is no machine image debain\n {2}Did you mean debian/);
  });

  test('a rollout of one machine: provisioned while somebody watches, then released', async (t) => {
    const file = join(folder, 'user-data');
    await writeFile(file, '#cloud-config\n');
    const watching = start(
      t,
      'provision',
      'berlin-1',
      '--image',
      'debian',
      '--user-data',
      file,
      '--disk',
      'minSizeGigabytes=100',
      '--wait',
      '--timeout',
      '60s',
    );
    let instanceId: string | undefined;
    for (let tries = 0; instanceId === undefined; tries++) {
      if (tries === 400) assert.fail(watching.stdout());
      await sleep(50);
      instanceId = (await get('berlin-1')).spec.provision?.instanceId;
    }
    const { provision } = (await get('berlin-1')).spec;
    assert.deepEqual(
      [provision?.userData, provision?.rootDevice],
      [{ text: '#cloud-config\n' }, { minSizeGigabytes: 100 }],
    );
    const time = new Date().toISOString();
    await rackSays('berlin-1', {
      phase: 'Provisioned',
      disks: 'Data',
      provisioned: {
        image: 'debian',
        digest: 'sha256:1',
        instanceId,
        device: 'sda',
        writtenTime: time,
        confirmedTime: time,
      },
      timeline: [
        { n: 1, time, type: 'Normal', reason: 'PhaseChanged', message: 'Provisioning → Provisioned' },
      ],
    });
    const { code, stdout } = await watching.ended;
    assert.equal(code, 0, stdout);
    assert.match(stdout, /PhaseChanged +Provisioning → Provisioned/);
    assert.match((await ok('timeline', 'berlin-1')).stdout, /PhaseChanged/);
    const shown = await cli('show', 'berlin-1');
    assert.match(shown.stdout, /On disk +debian on sda/);
    assert.match(shown.stdout, /✗ No agent has joined yet: /);
    assert.equal(shown.code, 1);

    const again = await cli('provision', 'berlin-1', '--image', 'other');
    assert.equal(again.code, 1);
    assert.match(again.stderr, /would be written over, and debian is on it\n {2}.*--wipe berlin-1/);
    assert.equal((await cli('release', 'berlin-1')).code, 2, 'nobody can answer');
    assert.match((await cli('release', 'berlin-1', '--erase', 'quick', '--yes')).stderr, /--wipe berlin-1/);
    await ok('release', 'berlin-1', '--erase', 'quick', '--wipe', 'berlin-1', '--yes');
    const { spec } = await get('berlin-1');
    assert.deepEqual(
      [spec.provision, spec.release, spec.wipeConsent],
      [undefined, { erase: 'Quick' }, 'berlin-1'],
    );
  });

  test('waiting ends with 1 when the machine gives up', async (t) => {
    const watching = start(t, 'inspect', 'berlin-2', '--wait');
    for (let tries = 0; (await get('berlin-2')).spec.requests === undefined; tries++) {
      if (tries === 400) assert.fail(watching.stdout());
      await sleep(50);
    }
    const error = {
      reason: 'PowerUnauthorized' as const,
      message: 'the BMC refused the password',
      since: new Date().toISOString(),
      count: 3,
    };
    await rackSays('berlin-2', { phase: 'Inspecting', operationalStatus: 'Error', error });
    const { code, stderr } = await watching.ended;
    assert.equal(code, 1);
    assert.match(stderr, /PowerUnauthorized: the BMC refused the password/);
    assert.equal((await cli('show', 'berlin-2')).code, 1);
    const status = await runCaptured(['status'], { env: env() });
    assert.equal(status.code, 1);
    assert.match(status.stdout, /✗ machine berlin-2: PowerUnauthorized, in phase Inspecting, at site berlin/);
    assert.match(status.stdout, /4 machines: /);
    await ok('retry', 'berlin-2');
    await ok('mark-broken', 'berlin-2', '--reason', 'its BMC is gone');
    assert.match((await get('berlin-2')).spec.broken?.reason ?? '', /BMC is gone/);
    await ok('mark-fixed', 'berlin-2');
  });

  test('power, reboot, rescue and protection are written as they are asked for', async () => {
    await ok('power', 'berlin-3', 'on');
    await ok('reboot', 'berlin-3');
    const key = join(folder, 'id.pub');
    await writeFile(key, 'ssh-ed25519 AAAA me@here\n');
    await ok('rescue', 'berlin-3', '--key', key);
    const { spec } = await get('berlin-3');
    assert.equal(spec.power, 'On');
    assert.ok(spec.requests?.rebootTime);
    assert.deepEqual(spec.rescue, { authorizedKeys: ['ssh-ed25519 AAAA me@here'] });
    await writeFile(key, '-----BEGIN OPENSSH PRIVATE KEY-----\n');
    assert.equal((await cli('rescue', 'berlin-3', '--key', key)).code, 2);
    await ok('rescue', 'berlin-3', '--exit');
    await ok('protect', 'berlin-3');
    assert.equal((await cli('power', 'berlin-3', 'off')).code, 1);
    await ok('protect', 'berlin-3', '--off');
    assert.equal((await get('berlin-3')).spec.protected, undefined);
    assert.equal((await cli('power', 'berlin-3', 'up')).code, 2);
  });

  test('allocate prints the machine, or why there is none; releasing the machine deletes the claim', async () => {
    await rackSays('berlin-3', inspected);
    const none = await cli('allocate', 'huge', '--cores', '512');
    assert.equal(none.code, 1);
    assert.match(none.stdout, /huge has no machine yet: .*fewer than 512 cores/);
    const got = await ok(
      'allocate',
      'web',
      '--cores',
      '16',
      '--memory',
      '64Gi',
      '--with-disk',
      '400G',
      '--accelerator',
      'nvidia',
      '--site',
      'berlin',
    );
    assert.equal(got.stdout, 'berlin-3\n');
    assert.match((await cli('allocate', 'web')).stderr, /already, with machine berlin-3/);
    assert.equal((await cli('allocate', 'x', '--with-disk', '1:2:3')).code, 2);
    const { consumer = { name: '' } } = (await get('berlin-3')).spec;
    const claim = await hub.client.get<MachineClaim>(machineClaims, { name: 'web' });
    assert.equal(consumer.name, 'web');
    const stale = { kind: 'MachineClaim', name: 'web', uid: 'of-a-claim-that-is-gone' };
    await hub.client.mergePatch<Machine>(machines, { name: 'berlin-1' }, { spec: { consumer: stale } });
    await ok('release', 'berlin-1', '--yes');
    const same = await hub.client.get<MachineClaim>(machineClaims, { name: 'web' });
    assert.deepEqual([same.metadata.uid, same.metadata.deletionTimestamp], [claim.metadata.uid, undefined]);
    assert.equal((await get('berlin-1')).spec.consumer, undefined);
    await ok('release', 'berlin-3', '--yes');
    for (
      let tries = 0;
      (await hub.client.find<MachineClaim>(machineClaims, { name: 'web' })) !== undefined;
      tries++
    ) {
      if (tries === 400) assert.fail('the claim stays');
      await sleep(50);
    }
    assert.equal((await get('berlin-3')).spec.consumer, undefined);
  });

  test('a console of a site that was never in touch says so', async () => {
    const { code, stderr } = await cli('console', 'berlin-1', '--log');
    assert.notEqual(code, 0);
    assert.match(stderr, /has no agent yet: enrol one/);
  });

  test('site show has the rack, and dhcp-snippets what another DHCP server needs', async () => {
    const rack = {
      observedTime: new Date().toISOString(),
      networks: [
        {
          name: 'lab',
          interface: 'eth1',
          state: 'Serving',
          otherServers: [{ address: '10.10.0.66', lastSeenTime: new Date().toISOString() }],
        },
      ],
      images: [{ name: 'debian', digest: 'sha256:1', state: 'Fetching', doneBytes: 1024, totalBytes: 4096 }],
      discoveryFull: { limit: 200, turnedAway: 7, lastSeenTime: new Date().toISOString() },
    };
    await hub.client.mergePatch(sites, { name: 'berlin' }, { status: { rack } }, { subresource: 'status' });
    const shown = await runCaptured(['site', 'show', 'berlin'], { env: env() });
    assert.match(shown.stdout, /lab +eth1 +Serving +another DHCP server: 10\.10\.0\.66/);
    assert.match(shown.stdout, /Discovery is full: 200 boxes that nobody wants are remembered, 7 more/);
    assert.match(shown.stdout, /debian +Fetching +1\.0 KiB of 4\.0 KiB/);
    const snippet = await runCaptured(['site', 'dhcp-snippets', 'berlin'], { env: env() });
    assert.equal(snippet.code, 0, snippet.stderr);
    assert.match(snippet.stdout, /^dhcp-boot=.*10\.10\.0\.1/m);
    const kea = await runCaptured(['site', 'dhcp-snippets', 'berlin', '--server', 'kea'], { env: env() });
    assert.ok(JSON.parse(kea.stdout));
    assert.equal(
      (await runCaptured(['site', 'dhcp-snippets', 'berlin', '--network', 'no'], { env: env() })).code,
      2,
    );
  });
});

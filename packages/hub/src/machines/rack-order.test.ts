import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Machine, MachineImage, MachineScript, RackSpec, Site } from '@selvedge/api';
import fc from 'fast-check';
import { machineWith, rackSpec } from '../gateway/testing/machine-reports.ts';
import { hubRegistriesOf, machineOrder, rackOrder, secretsOfOrder, specOfRackOrder } from './rack-order.ts';

const apiVersion = 'selvedge.dev/v1alpha1';
const digest = `sha256:${'a'.repeat(64)}`;
const site: Site = {
  apiVersion,
  kind: 'Site',
  metadata: { name: 'berlin', labels: { tier: 'store' } },
  spec: { rack: rackSpec },
};

const stored = (machine: Machine, uid: string): Machine => ({
  ...machine,
  metadata: { ...machine.metadata, uid, generation: 3 },
});

const image = (name: string, spec: Partial<MachineImage['spec']> = {}): MachineImage => ({
  apiVersion,
  kind: 'MachineImage',
  metadata: { name },
  spec: { reference: `hub.example/default/${name}@${digest}`, digest, sizeBytes: 5, ...spec },
});

const script = (name: string, spec: Partial<MachineScript['spec']> = {}): MachineScript => ({
  apiVersion,
  kind: 'MachineScript',
  metadata: { name },
  spec: {
    script: `#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\n# name: ${name}\n# --- End MAAS 1.0 script metadata ---\ntrue\n`,
    ...spec,
  },
});

const none = { machines: [], images: [], scripts: [] };

describe('the order of a rack', () => {
  test('is there only for a Site with a rack', () => {
    assert.equal(rackOrder({ ...site, spec: {} }, none), undefined);
    assert.deepEqual(rackOrder(site, none), {
      discovery: 'Record',
      networks: [{ ...rackSpec.networks[0], dhcp: 'Own', leaseSeconds: 600 }],
      inspection: [],
      images: [],
      scripts: [],
      machines: [],
    });
  });

  test('says of a machine what is wanted, with what was left out filled in', () => {
    const machine = stored(machineWith('m1'), 'u1');
    assert.deepEqual(rackOrder(site, { ...none, machines: [machine] })?.machines, [
      {
        name: 'm1',
        uid: 'u1',
        generation: 3,
        identity: machine.spec.identity,
        accepted: true,
        allocated: false,
        erase: 'None',
        wipeConsent: false,
        inspection: { tests: [] },
        requests: {},
      },
    ]);
  });

  test('says what it last heard of what is on the disk, and nothing that changes without it', () => {
    const written = {
      image: 'tiny',
      digest,
      instanceId: 'one',
      device: 'sda',
      writtenTime: '2026-01-01T00:00:00Z',
    };
    const provisioned = { ...written, confirmedTime: '2026-01-01T00:10:00Z' };
    const inspectedTime = '2026-01-01T00:00:00Z';
    const knownOf = (spec: Partial<Machine['spec']>, status: Machine['status']) =>
      machineOrder({ ...stored(machineWith('m1', spec), 'u1'), ...(status && { status }) }).known;
    const provision = { image: 'tiny' };
    const consumer = { kind: 'Person', name: 'jo' };
    assert.equal(knownOf({ provision }, undefined), undefined);
    assert.equal(knownOf({}, { phase: 'Available', inspectedTime }), undefined);
    assert.deepEqual(knownOf({ consumer }, { phase: 'Allocated', inspectedTime }), { phase: 'Allocated' });
    // Begun, or about to begin: the hub may have missed the rest.
    for (const phase of ['Available', 'Provisioning', 'Broken'] as const) {
      assert.deepEqual(knownOf({ provision }, { phase, inspectedTime }), { phase: 'Provisioning' });
      const unconfirmed = { phase: 'Provisioning', provisioned: written };
      assert.deepEqual(knownOf({ provision }, { phase, inspectedTime, provisioned: written }), unconfirmed);
    }
    for (const phase of ['Provisioned', 'Rescue', 'Broken', 'Releasing'] as const) {
      const report = { phase, inspectedTime: phase, provisioned };
      assert.deepEqual(knownOf({ provision }, report), { phase: 'Provisioned', provisioned });
    }
  });

  test('consents to a wipe only by the name of the machine', () => {
    const consents = (wipeConsent: string) =>
      rackOrder(site, { ...none, machines: [stored(machineWith('m1', { wipeConsent }), 'u1')] })?.machines[0]
        ?.wipeConsent;
    assert.equal(consents('m1'), true);
    assert.equal(consents('m2'), false);
    assert.equal(consents(''), false);
  });

  test('leaves machines out that are being deleted or stand elsewhere', () => {
    const gone = stored(machineWith('m1'), 'u1');
    const deleted = { ...gone, metadata: { ...gone.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
    const elsewhere = stored(machineWith('m2', { siteName: 'paris' }), 'u2');
    assert.deepEqual(rackOrder(site, { ...none, machines: [deleted, elsewhere] })?.machines, []);
  });

  test('names Secrets by their ids, and never holds a value', () => {
    const secretRef = { namespace: 'ops', name: 'bmc' };
    const userData = { secretRef: { namespace: 'ops', name: 'user-data' } };
    const machine = machineWith('m1', {
      bmc: { type: 'IPMI', address: '10.0.0.9', secretRef },
      provision: { image: 'debian', userData },
    });
    const ofImage = { secretRef: { namespace: 'ops', name: 'image-data', key: 'k' } };
    const order = rackOrder(site, {
      ...none,
      machines: [stored(machine, 'u1')],
      images: [image('debian', { userData: ofImage })],
    });
    assert.deepEqual(order?.machines[0]?.bmc, {
      type: 'IPMI',
      address: '10.0.0.9',
      credentials: 'Secret/ops/bmc',
    });
    assert.deepEqual(order.machines[0].provision?.userData, {
      secret: 'Secret/ops/user-data',
      key: 'userData',
    });
    assert.deepEqual(order.images[0]?.userData, { secret: 'Secret/ops/image-data', key: 'k' });
    assert.deepEqual([...secretsOfOrder(order)].sort(), [
      'Secret/ops/bmc',
      'Secret/ops/image-data',
      'Secret/ops/user-data',
    ]);
  });

  test('holds the images that are wanted and can be written, and keeps the wish for one that cannot', () => {
    const machines = [
      stored(machineWith('m1', { provision: { image: 'debian' } }), 'u1'),
      stored(machineWith('m2', { provision: { image: 'gone' } }), 'u2'),
    ];
    const images = [
      image('debian', { namespace: 'os' }),
      image('unused'),
      image('system', { type: 'Inspection' }),
    ];
    const order = rackOrder(site, { ...none, machines, images });
    assert.deepEqual(
      order?.images.map(({ name, namespace }) => [name, namespace]),
      [['debian', 'os']],
    );
    assert.deepEqual(
      order?.machines.map(({ provision }) => provision?.image),
      ['debian', 'gone'],
    );
    assert.deepEqual(
      order?.inspection.map(({ name }) => name),
      ['system'],
    );
  });

  test('takes the newest inspection image of each architecture, or those that the Site names', () => {
    const made = (name: string, creationTimestamp: string, architecture: 'amd64' | 'arm64' = 'amd64') => {
      const { metadata, ...rest } = image(name, { type: 'Inspection', architecture });
      return { ...rest, metadata: { ...metadata, creationTimestamp } };
    };
    const images = [
      made('old', '2026-01-01T00:00:00Z'),
      made('new', '2026-02-01T00:00:00Z'),
      made('arm', '2025-01-01T00:00:00Z', 'arm64'),
    ];
    const namesOf = (of: Site) => rackOrder(of, { ...none, images })?.inspection.map(({ name }) => name);
    assert.deepEqual(namesOf(site), ['arm', 'new']);
    const named = { ...site, spec: { rack: { ...rackSpec, inspectionImages: ['old'] } } };
    assert.deepEqual(namesOf(named), ['old']);
  });

  test('says how many disks are written at once, and gives it back to a restored Site', () => {
    const limited = { ...site, spec: { rack: { ...rackSpec, writesAtOnce: 2 } } };
    const order = rackOrder(limited, none);
    assert.equal(order?.writesAtOnce, 2);
    assert.equal(rackOrder(site, none)?.writesAtOnce, undefined);
    assert.deepEqual(specOfRackOrder(order, limited.spec.rack), {});
    assert.equal((specOfRackOrder(order, rackSpec)['rack'] as RackSpec).writesAtOnce, 2);
  });

  test('says which names of the hub its images use', () => {
    const images = [image('a', { type: 'Inspection', reference: `127.0.0.1:6480/os/a@${digest}` })];
    const order = rackOrder(site, { ...none, images });
    assert.ok(order);
    assert.deepEqual(hubRegistriesOf(order, ['hub.example:6480', '127.0.0.1:6480']), ['127.0.0.1:6480']);
    assert.deepEqual(hubRegistriesOf(order, ['hub.example:6480']), []);
  });

  test('holds the scripts that select the site', () => {
    const scripts = [
      script('b'),
      script('a', { siteSelector: { matchLabels: { tier: 'store' } } }),
      script('c', { siteSelector: { matchLabels: { tier: 'lab' } } }),
    ];
    const order = rackOrder(site, { ...none, scripts });
    assert.deepEqual(
      order?.scripts.map(({ name }) => name),
      ['a', 'b'],
    );
    assert.match(order?.scripts[0]?.digest ?? '', /^sha256:[0-9a-f]{64}$/);
  });

  test('is made of all machines, also when the network configuration of one cannot be read', () => {
    const configs = [
      'network: {version: 2, e: *-x}',
      `network: {version: 2, e: ${'{a: '.repeat(1080)}b${'}'.repeat(1080)}}`,
      'network: {version: 2, e: 1}',
    ];
    const machines = configs.map((networkConfig, i) =>
      stored(machineWith(`m${i}`, { provision: { image: 'debian', networkConfig } }), `u${i}`),
    );
    const ordered = () =>
      rackOrder(site, { ...none, machines })?.machines.map(({ provision }) => provision?.networkConfig);
    const wanted = [configs[0], configs[1], '{ version: 2, e: 1 }\n'];
    // The second time from what was read before.
    assert.deepEqual(ordered(), wanted);
    assert.deepEqual(ordered(), wanted);
  });

  test('does not depend on the order in which objects come', () => {
    const machines = ['u3', 'u1', 'u2'].map((uid, i) =>
      stored(machineWith(`m${i}`, { provision: { image: `i${i}` } }), uid),
    );
    const images = [0, 1, 2].map((i) => image(`i${i}`));
    const scripts = ['x', 'y', 'z'].map((name) => script(name));
    const wanted = rackOrder(site, { machines, images, scripts });
    const shuffled = <T>(all: T[]) => fc.shuffledSubarray(all, { minLength: all.length });
    fc.assert(
      fc.property(shuffled(machines), shuffled(images), shuffled(scripts), (m, i, s) => {
        assert.deepEqual(rackOrder(site, { machines: m, images: i, scripts: s }), wanted);
      }),
      { numRuns: 30 },
    );
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Machine, MachineMoment, MachineReport, MachineStatus, Site } from '@selvedge/api';
import {
  inventoryWith,
  machineWith,
  observedTime,
  rackSpec,
  reportOf,
} from '../gateway/testing/machine-reports.ts';
import { isUntouchedDiscovery, successorOf } from './discovered.ts';
import { machineConditions, withContact } from './machine-conditions.ts';
import { newMoments, statusAfter } from './machine-status.ts';

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const moment = (n: number, time: string): MachineMoment => ({
  n,
  time,
  type: 'Normal',
  reason: 'BootRequested',
  message: `${n}`,
});

describe('the status of a machine', () => {
  test('is what the last report says: what it says no more is gone, what controllers keep stays', () => {
    const error = { reason: 'TimedOut' as const, message: 'x', since: observedTime, count: 1 };
    const conditions = [
      {
        type: 'Healthy',
        status: 'True' as const,
        reason: 'A',
        message: 'b',
        lastTransitionTime: observedTime,
      },
    ];
    const first = statusAfter({ tags: ['gpu'], conditions }, reportOf('u', 1, { error, status: 'Error' }));
    assert.deepEqual(first.error, error);
    const second = statusAfter(first, reportOf('u', 2, { generation: 4 }));
    assert.equal(second.error, undefined);
    assert.deepEqual([second.tags, second.conditions], [['gpu'], conditions]);
    assert.deepEqual([second.reportSeq, second.observedGeneration], [2, 4]);
  });

  test('keeps an inventory until there is another one, and none that the rack no longer has', () => {
    const inventory = inventoryWith();
    const first = statusAfter(undefined, reportOf('u', 1, { inventory, inventoryDigest: digest('a') }));
    const kept = statusAfter(first, reportOf('u', 2, { inventoryDigest: digest('a') }));
    assert.deepEqual([kept.inventory, kept.inventoryDigest], [inventory, digest('a')]);
    const changed = statusAfter(kept, reportOf('u', 3, { inventoryDigest: digest('b') }));
    assert.deepEqual([changed.inventory, changed.inventoryDigest], [undefined, undefined]);
    const unspoken = statusAfter(kept, reportOf('u', 3));
    assert.deepEqual(unspoken.inventory, inventory);
  });

  test('shows each moment once, also when a rack counts anew', () => {
    const known = [moment(1, '2026-01-01T00:00:01Z'), moment(2, '2026-01-01T00:00:02Z')];
    assert.deepEqual(newMoments(known, known), []);
    const next = moment(3, '2026-01-01T00:00:02Z');
    assert.deepEqual(newMoments(known, [...known, next]), [next]);
    const anew = moment(1, '2026-01-02T00:00:00Z');
    assert.deepEqual(newMoments(known, [anew]), [anew]);
    assert.deepEqual(newMoments(known, [moment(1, '2025-12-31T00:00:00Z')]), []);
  });

  test('shows the last hundred moments', () => {
    const all = Array.from({ length: 90 }, (_, i) => moment(i + 1, observedTime));
    const more = Array.from({ length: 40 }, (_, i) => moment(i + 91, observedTime));
    const first = statusAfter(undefined, reportOf('u', 1, { timeline: all }));
    const { timeline = [] } = statusAfter(first, reportOf('u', 2, { timeline: more }));
    assert.deepEqual([timeline.length, timeline[0]?.n, timeline.at(-1)?.n], [100, 31, 130]);
  });
});

describe('conditions of a machine', () => {
  const site: Site = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name: 'berlin' },
    spec: { rack: rackSpec },
    status: { rack: { observedTime, networks: [], images: [] } },
  };
  const away: Site = {
    ...site,
    status: {
      ...site.status,
      conditions: [
        { type: 'Connected', status: 'False', reason: 'Away', message: '', lastTransitionTime: observedTime },
      ],
    },
  };
  const withStatus = (machine: Machine, report: Partial<MachineReport>): Machine => ({
    ...machine,
    metadata: { ...machine.metadata, generation: 2 },
    status: statusAfter(undefined, reportOf('u', 1, { generation: 2, ...report })),
  });
  const found = (machine: Machine, of: Site | undefined = site): Record<string, string> =>
    Object.fromEntries(
      machineConditions(machine, of, observedTime).map(({ type, status, reason }) => [
        type,
        `${status} ${reason}`,
      ]),
    );
  const plain = machineWith('m1');
  const provision = { image: 'debian' };
  const provisioned = {
    image: 'debian',
    digest: digest('a'),
    instanceId: 'i',
    device: 'vda',
    writtenTime: observedTime,
  };
  const tooLarge: Site = {
    ...site,
    status: {
      ...site.status,
      conditions: [
        {
          type: 'RackReady',
          status: 'False',
          reason: 'OrdersTooLarge',
          message: '',
          lastTransitionTime: observedTime,
        },
      ],
    },
  };
  const failed = { name: 'memory', status: 'Failed' as const, time: observedTime };
  const cases: readonly (readonly [
    what: string,
    machine: Machine,
    of: Site | undefined,
    type: string,
    is: string,
  ])[] = [
    [
      'not sent',
      { ...plain, metadata: { ...plain.metadata, generation: 3 } },
      tooLarge,
      'Synced',
      'False OrdersTooLarge',
    ],
    ['as it was sent before', withStatus(plain, {}), tooLarge, 'Synced', 'True InStep'],
    ['discovered', machineWith('m1', { accepted: false }), site, 'Accepted', 'False Discovered'],
    ['accepted', plain, site, 'Accepted', 'True Accepted'],
    ['not inspected', plain, site, 'Inspected', 'False NotInspected'],
    [
      'inspected',
      withStatus(plain, { inspectedTime: observedTime }),
      site,
      'Inspected',
      'True InventoryTaken',
    ],
    [
      'wanted image on its way',
      withStatus(machineWith('m1', { provision }), { phase: 'Provisioning' }),
      site,
      'Provisioned',
      'False Provisioning',
    ],
    [
      'wanted image there',
      withStatus(machineWith('m1', { provision }), { phase: 'Provisioned', provisioned }),
      site,
      'Provisioned',
      'True Running',
    ],
    [
      'another image there',
      withStatus(machineWith('m1', { provision: { image: 'other' } }), { phase: 'Provisioned', provisioned }),
      site,
      'Provisioned',
      'False Pending',
    ],
    [
      'external',
      withStatus(machineWith('m1', { externallyProvisioned: true }), { phase: 'Provisioned' }),
      site,
      'Provisioned',
      'True External',
    ],
    ['never reported', plain, site, 'Healthy', 'Unknown NotReported'],
    ['no error', withStatus(plain, {}), site, 'Healthy', 'True NoError'],
    ['failed test', withStatus(plain, { results: [failed] }), site, 'Healthy', 'False TestsNotPassed'],
    [
      'marked broken',
      machineWith('m1', { broken: { reason: 'fan' } }),
      site,
      'Healthy',
      'False MarkedBroken',
    ],
    ['no site', plain, undefined, 'Synced', 'False SiteMissing'],
    ['site without rack', plain, { ...site, spec: {} }, 'Synced', 'False NoRack'],
    ['agent without rack', plain, { ...site, status: {} }, 'Synced', 'False RackMissing'],
    ['rack gone', withStatus(plain, {}), { ...site, status: {} }, 'Synced', 'False RackMissing'],
    ['hub restored', withStatus(plain, { generation: 3 }), site, 'Synced', 'False HeldBack'],
    ['in step', withStatus(plain, {}), site, 'Synced', 'True InStep'],
    ['older generation', withStatus(plain, { generation: 1 }), site, 'Synced', 'False Pending'],
    ['site away', withStatus(plain, {}), away, 'Synced', 'True InStep'],
  ];
  for (const [what, machine, of, type, is] of cases) {
    test(`${what}: ${type} is ${is}`, () => {
      const conditions =
        of === undefined
          ? Object.fromEntries(
              machineConditions(machine, undefined, observedTime).map((c) => [
                c.type,
                `${c.status} ${c.reason}`,
              ]),
            )
          : found(machine, of);
      assert.equal(conditions[type], is);
    });
  }

  test('show that the site is silent, and store nothing for it', () => {
    const stored = withStatus(plain, {});
    const shown = withContact(stored, away);
    const said = shown.status?.conditions?.map(({ type, reason }) => `${type} ${reason}`);
    assert.deepEqual(said, ['SiteConnected SiteAway']);
    assert.equal(withContact(stored, site), stored);
    assert.deepEqual(withContact(shown, site).status?.conditions, [], 'also when it was written back');
    const conditions = machineConditions(stored, site, observedTime);
    const settled: Machine = { ...stored, status: { ...stored.status, conditions } };
    assert.equal(machineConditions(settled, away, observedTime), conditions);
  });

  test('are the same list when nothing differs', () => {
    const conditions = machineConditions(plain, site, observedTime);
    const status: MachineStatus = { conditions };
    assert.equal(machineConditions({ ...plain, status }, site, '2027-01-01T00:00:00Z'), conditions);
  });
});

describe('a discovered machine', () => {
  const discovered: Machine = {
    ...machineWith('berlin-52', { accepted: false }),
    metadata: { name: 'berlin-52', uid: 'd', annotations: { 'selvedge.dev/discovered': 'true' } },
  };
  const own: Machine = { ...machineWith('till'), metadata: { name: 'till', uid: 'o' } };

  test('gives way to one that a person made of the same box', () => {
    assert.deepEqual(successorOf(discovered, [discovered, own]), {
      name: 'till',
      shared: 'MAC address 52:54:00:00:00:01',
    });
  });

  test('stays when anything was wanted of it, or the other one is another box, or discovered too', () => {
    const accepted = { ...discovered, spec: { ...discovered.spec, accepted: true } };
    const used = { ...discovered, spec: { ...discovered.spec, power: 'On' as const } };
    for (const kept of [accepted, used]) {
      assert.equal(isUntouchedDiscovery(kept), false);
      assert.equal(successorOf(kept, [own]), undefined);
    }
    const other = { ...own, spec: { ...own.spec, identity: { macAddresses: ['52:54:00:00:00:02'] } } };
    const elsewhere = { ...own, spec: { ...own.spec, siteName: 'paris' } };
    const twin = { ...discovered, metadata: { ...discovered.metadata, name: 'x', uid: 'x' } };
    assert.equal(successorOf(discovered, [other, elsewhere, twin]), undefined);
  });
});

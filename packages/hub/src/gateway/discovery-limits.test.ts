import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Machine, machines, type Site, sites } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import type { SiteKey } from '@selvedge/store';
import { EventRecorder } from '../controllers/event/event-recorder.ts';
import { ResourceLab } from '../resources/testing/resource-lab.ts';
import { MachineDirectory } from './machine-directory.ts';
import { SiteMachines } from './site-machines.ts';
import { rackSpec, reportOf } from './testing/machine-reports.ts';

const key: SiteKey = {
  site: 'berlin',
  siteUid: 'u',
  publicKey: 'p',
  fingerprint: 'f',
  tokenUid: 't',
  enrolledAt: '2026-01-01T00:00:00.000Z',
};

test('who forges addresses on the wire makes a limited number of Machines, and a limited number of writes', async () => {
  await using lab = await ResourceLab.start();
  const logger = createLogger({ level: 'silent' });
  const site = await lab.admin.create<Site>(sites, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name: 'berlin' },
    spec: { rack: rackSpec },
  });
  const options = { client: lab.admin, clock: lab.clock, logger };
  let lists = 0;
  const client = new Proxy(lab.admin, {
    get: (target, name) => {
      if (name === 'list') lists++;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const directory = new MachineDirectory({ ...options, client });
  await directory.start();
  lists = 0;
  lab.defer(() => directory.close());
  const recorder = new EventRecorder(options);
  const fleet = { siteState: () => Promise.reject(new Error('not asked')) };
  const machinesOfSites = new SiteMachines({
    ...options,
    client,
    fleet,
    directory,
    recorder,
    maxDiscovered: 5,
  });
  const boxes = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => {
      const address = `52:54:00:00:00:${(from + i).toString(16).padStart(2, '0')}`;
      return reportOf(`box:${address}`, from + i, { seen: { macAddresses: [address] } });
    });
  const take = (from: number, count: number) =>
    machinesOfSites.take(
      { site, key },
      { machines: boxes(from, count), stateDigest: '' },
      { epoch: 1, stateDigest: '' },
    );
  const { acknowledged, isPartial } = await take(1, 8);
  assert.deepEqual([acknowledged, isPartial], [8, false], 'what is too much is dropped for good');
  const { items } = await lab.admin.list<Machine>(machines);
  assert.equal(items.length, 5);
  await recorder.flush();

  // The same again costs no write, but each one counts: the rest is left for later.
  let last = await take(1, 50);
  for (let round = 0; round < 10 && !last.isPartial; round++) last = await take(1, 50);
  assert.equal(last.isPartial, true);
  assert.equal(lists, 0, 'one box never costs a look at all Machines');
  assert.ok(last.acknowledged < 50, 'what was left out is not acknowledged');
});

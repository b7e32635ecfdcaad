import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Machine, RackOrder, Site } from '@selvedge/api';
import { machineWith, rackSpec } from '../gateway/testing/machine-reports.ts';
import { explainOversize, isOversize, restrainedOrder } from './oversize-order.ts';
import { rackOrder } from './rack-order.ts';

const site: Site = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Site',
  metadata: { name: 'berlin' },
  spec: { rack: rackSpec },
};

function ordered(specs: Readonly<Record<string, Partial<Machine['spec']>>>, generation = 1): RackOrder {
  const machines = Object.entries(specs).map(([name, spec]) => {
    const machine = machineWith(name, spec);
    return { ...machine, metadata: { ...machine.metadata, uid: `uid-${name}`, generation } };
  });
  const order = rackOrder(site, { machines, images: [], scripts: [] });
  assert.ok(order);
  return order;
}

test('an order that no site could take is told with its size, the fields and the machines that make it', () => {
  const orderWith = (count: number, bytes: number) => {
    const provision = { image: 'debian', userData: { text: 'x'.repeat(bytes) } };
    return ordered(Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}`, { provision }])));
  };
  const small = orderWith(500, 8 * 1024);
  const large = orderWith(500, 32 * 1024);
  assert.equal(isOversize(small), false);
  assert.equal(isOversize(large), true);
  const why = explainOversize(large, small);
  assert.match(why, /500 Machines have 1[56]\.\d MiB, and a site takes 8\.0/);
  assert.match(why, /spec\.provision\.userData\.secretRef .* m0 \(32 KiB\)/);
  assert.match(
    why,
    /goes on with the orders that it has, and .* only hears what makes it do less \(.*\)\. Give/,
  );
  assert.match(
    explainOversize(large, undefined),
    /8\.0: nothing of them is sent, and its rack has none so far\. Give/,
  );
});

const longProvision = { image: 'debian', userData: { text: 'x'.repeat(9 * 1024 * 1024) } };

test('while orders are too large the rack only hears what makes it do less', () => {
  const present = ordered({
    a: { provision: { image: 'debian' }, wipeConsent: 'a' },
    b: { provision: { image: 'debian' }, release: { erase: 'Secure' } },
    c: {},
    gone: { provision: { image: 'debian' } },
  });
  const wanted = ordered(
    {
      a: { provision: { image: 'other' }, protected: true },
      b: { broken: { reason: 'fan' } },
      c: { provision: { image: 'debian' }, externallyProvisioned: true, accepted: false },
      big: { provision: longProvision },
    },
    2,
  );
  assert.ok(isOversize(wanted));
  const sent = restrainedOrder(present, wanted);
  const [a, b, c] = present.machines;
  assert.deepEqual(sent, {
    ...present,
    machines: [
      { ...a, isProtected: true, wipeConsent: false },
      { ...b, broken: { reason: 'fan' }, erase: 'None' },
      { ...c, isExternal: true, accepted: false },
    ],
  });
  assert.deepEqual(restrainedOrder(sent, wanted), sent);
});

test('while orders are too large a rack that lost its memory still hears what runs on its machines', () => {
  const present = ordered({ a: {} });
  const known = { phase: 'Provisioned' as const };
  const wanted = ordered({ a: {}, big: { provision: longProvision } }, 2);
  const machines = wanted.machines.map((machine) => (machine.name === 'a' ? { ...machine, known } : machine));
  const sent = restrainedOrder(present, { ...wanted, machines });
  assert.deepEqual(sent?.machines, [{ ...present.machines[0], known }]);
});

test('while orders are too large nothing that was protected, broken or without consent is let go on', () => {
  const present = ordered({ a: { protected: true }, b: { broken: { reason: 'fan' } }, c: {} });
  const wanted = ordered({ a: { provision: longProvision }, b: {}, c: { wipeConsent: 'c' } }, 2);
  assert.deepEqual(restrainedOrder(present, wanted), present);
  assert.equal(restrainedOrder(undefined, wanted), undefined);
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MachineOrder, RackNetwork } from '@selvedge/api';
import fc from 'fast-check';
import { dnsmasqHosts } from './dnsmasq-config.ts';
import { formatIpv4, parseIpv4 } from './ipv4.ts';
import { NetworkProblem, planNetwork } from './network-plan.ts';
import { planAddresses } from './plan-addresses.ts';
import { orderedMachine } from './testing/ordered-machine.ts';

const network: RackNetwork = {
  address: '10.10.0.1/24',
  gateway: '10.10.0.20',
  range: { from: '10.10.0.10', to: '10.10.0.40' },
  dhcp: 'Own',
  interface: 'eth1',
  name: 'prov',
};
const plan = planNetwork(network);
const addressesOf = (machines: readonly MachineOrder[]) =>
  new Map(planAddresses(plan, machines).reservations.map(({ uid, address }) => [uid, address]));

const machines = fc
  .uniqueArray(
    fc.record({
      uid: fc.stringMatching(/^[0-9a-f]{4,6}$/),
      mac: fc.integer({ min: 0, max: 0xff_ff_ff }),
      wish: fc.option(fc.integer({ min: 2, max: 60 }), { nil: undefined, freq: 3 }),
    }),
    { selector: ({ uid }) => uid, maxLength: 45 },
  )
  .map((list) =>
    list.map(({ uid, mac, wish }) => {
      const tail = mac
        .toString(16)
        .padStart(6, '0')
        .replaceAll(/(..)(?=.)/g, '$1:');
      return orderedMachine(uid, `52:54:00:${tail}`, wish === undefined ? undefined : `10.10.0.${wish}`);
    }),
  );

describe('addresses of machines', () => {
  test('a name that dnsmasq would read as a word of its own is left out', () => {
    const named = (name: string, n: number) => ({ ...orderedMachine(`u${n}`, `52:54:00:00:00:1${n}`), name });
    const names = ['ignore', '10m', '42', 'infinite', 'web-1'];
    const { reservations } = planAddresses(plan, names.map(named));
    assert.deepEqual(
      reservations.map(({ hostname }) => hostname),
      ['', '', '', '', 'web-1'],
    );
    assert.doesNotMatch(dnsmasqHosts(plan, reservations), /ignore|infinite|10m|,42,/);
  });

  test('two racks give the same answers, in whatever order they were told of the machines', () => {
    fc.assert(
      fc.property(
        machines.chain((list) =>
          fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
        ),
        ([one, other]) => {
          assert.deepEqual(planAddresses(plan, other), planAddresses(plan, one));
        },
      ),
    );
  });

  test("no address is given twice, none is the rack's or the router's, and those without a wish lie in the range", () => {
    fc.assert(
      fc.property(machines, (list) => {
        const { reservations } = planAddresses(plan, list);
        const addresses = reservations.map(({ address }) => address);
        assert.equal(new Set(addresses).size, addresses.length);
        assert.equal(new Set(reservations.map(({ macAddress }) => macAddress)).size, addresses.length);
        assert.ok(!addresses.includes('10.10.0.1') && !addresses.includes('10.10.0.20'));
        for (const { uid, address } of reservations) {
          const wish = list.find((machine) => machine.uid === uid)?.address;
          const value = (parseIpv4(address) ?? 0) % 256;
          assert.ok(address === wish || (value >= 10 && value <= 40), address);
        }
      }),
    );
  });

  test('whoever gets no address is named', () => {
    fc.assert(
      fc.property(machines, (list) => {
        const { reservations, problems } = planAddresses(plan, list);
        for (const { uid, name } of list) {
          const isServed = reservations.some((reservation) => reservation.uid === uid);
          assert.ok(isServed || problems.some((problem) => problem.includes(name)), name);
        }
      }),
    );
  });

  test('a machine that comes later by uid moves nobody', () => {
    fc.assert(
      fc.property(machines, (list) => {
        const before = addressesOf(list);
        const after = addressesOf([...list, orderedMachine('zz', '52:54:01:00:00:01')]);
        for (const [uid, address] of before) assert.equal(after.get(uid), address);
      }),
    );
  });

  test('a wish that another machine has is told, and the machine gets another address', () => {
    const list = [
      orderedMachine('a', '52:54:00:00:00:01', '10.10.0.50'),
      orderedMachine('b', '52:54:00:00:00:02', '10.10.0.50'),
    ];
    const { reservations, problems } = planAddresses(plan, list);
    assert.deepEqual(problems, ['box-b wants 10.10.0.50, which belongs to box-a; it gets another']);
    assert.equal(reservations.length, 2);
  });

  test('a wish for another network is none here', () => {
    const found = addressesOf([orderedMachine('a', '52:54:00:00:00:01', '192.168.7.7')]);
    const [, third] = /^10\.10\.0\.(\d+)$/.exec(found.get('a') ?? '') ?? [];
    assert.ok(Number(third) >= 10 && Number(third) <= 40);
  });

  test('two machines with one MAC address are told', () => {
    const list = [orderedMachine('a', '52:54:00:00:00:01'), orderedMachine('b', '52:54:00:00:00:01')];
    assert.deepEqual(planAddresses(plan, list).problems, [
      'box-b and box-a have the MAC address 52:54:00:00:00:01; one of them is wrong',
    ]);
  });

  test('the machine is told its name as one label', () => {
    const list = [{ ...orderedMachine('a', '52:54:00:00:00:01'), name: 'Till_7.shop.example' }];
    assert.equal(planAddresses(plan, list).reservations[0]?.hostname, 'till-7');
  });
});

describe('a network as ordered', () => {
  const wrong: readonly [string, Partial<RackNetwork>, RegExp][] = [
    ['an address without a prefix', { address: '10.10.0.1' }, /with its prefix/],
    ['an address that is none', { address: '10.10.0.999/24' }, /must be an IPv4 address/],
    ['the address of the network itself', { address: '10.10.0.0/24' }, /no address of a host/],
    ['a range that runs backwards', { range: { from: '10.10.0.9', to: '10.10.0.3' } }, /comes after/],
    ['a range elsewhere', { range: { from: '10.11.0.3', to: '10.11.0.9' } }, /must lie within/],
    ['a router that is none', { gateway: '10.10.0.1\ndhcp-script=/bin/sh' }, /no IPv4 address/],
    [
      'an interface that would be more than a name',
      { interface: 'eth0\nuser=root' },
      /no name of an interface/,
    ],
  ];
  for (const [name, change, message] of wrong) {
    test(`${name} is refused with what to do`, () => {
      assert.throws(
        () => planNetwork({ ...network, ...change }),
        (error: Error) => error instanceof NetworkProblem && message.test(error.message),
      );
    });
  }

  test('addresses are read and written alike', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        assert.equal(formatIpv4(parseIpv4(text) ?? -1), text);
      }),
    );
  });
});

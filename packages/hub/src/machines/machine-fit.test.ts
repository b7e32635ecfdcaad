import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type {
  Machine,
  MachineClaim,
  MachineClaimSpec,
  MachineImage,
  MachineInventory,
  StorageDisk,
} from '@selvedge/api';
import fc from 'fast-check';
import { inventoryWith, machineWith } from '../gateway/testing/machine-reports.ts';
import { ExpressionAnswers } from './expression-answers.ts';
import { machineFacts } from './machine-facts.ts';
import { MachineFit } from './machine-fit.ts';

const gibibyte = 2 ** 30;

interface Traits {
  readonly cores?: number;
  readonly gibibytes?: number;
  readonly disks?: readonly Partial<StorageDisk>[];
  readonly resources?: Partial<MachineInventory['resources']>;
  readonly spec?: Partial<Machine['spec']>;
  readonly status?: Partial<NonNullable<Machine['status']>>;
}

function machine(name: string, traits: Traits = {}): Machine {
  const { cores = 8, gibibytes = 16, disks = [{}], resources, spec, status } = traits;
  const inventory = inventoryWith({
    cpu: { architecture: 'x86_64', total: cores, sockets: [] },
    memory: { total: gibibytes * gibibyte },
    storage: {
      disks: disks.map((disk, i) => ({
        id: `sd${'abcdef'[i]}`,
        device: `8:${i}`,
        read_only: false,
        size: 480e9,
        removable: false,
        partitions: [],
        ...disk,
      })),
      total: disks.length,
    },
    ...resources,
  });
  return {
    ...machineWith(name, spec),
    status: {
      phase: 'Available',
      operationalStatus: 'OK',
      disks: 'Blank',
      observedGeneration: 1,
      inventory,
      ...status,
    },
  };
}

const claim = (spec: MachineClaimSpec): MachineClaim => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'MachineClaim',
  metadata: { name: 'want', uid: 'want-uid' },
  spec,
});

const image: MachineImage = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'MachineImage',
  metadata: { name: 'debian' },
  spec: { reference: 'hub/os/debian@sha256:0', bootModes: ['UEFI'], diskBytes: 100e9 },
};

/** As a claim controller makes it: answers of the expression come from whole Machines. */
function fitFor(
  spec: MachineClaimSpec,
  machines: readonly Machine[],
  facts: { image?: MachineImage },
): MachineFit {
  const { expression } = spec.requirements ?? {};
  const answers = new ExpressionAnswers();
  if (expression !== undefined) for (const one of machines) answers.ask(expression, one);
  return new MachineFit(claim(spec), {
    site: () => undefined,
    image: facts.image,
    meets: (one) => expression === undefined || answers.find(expression, one)?.has === true,
  });
}

function rank(
  spec: MachineClaimSpec,
  machines: readonly Machine[],
  facts: { image?: MachineImage } = {},
): string[] {
  const fit = fitFor(spec, machines, facts);
  return fit.rank(machines.map(machineFacts)).map(({ metadata }) => metadata.name);
}

const whyNot = (spec: MachineClaimSpec, one: Machine, facts: { image?: MachineImage } = {}) => {
  const { lacks, taken } = fitFor(spec, [one], facts).judge(machineFacts(one));
  return lacks ?? taken ?? '';
};

const card = (vendor_id: string, pci_address: string) => ({
  vendor_id,
  vendor: 'NVIDIA Corporation',
  product_id: '1db6',
  pci_address,
});
const gpus = (...cards: ReturnType<typeof card>[]) => ({ gpu: { cards, total: cards.length } });

describe('the machine for a claim', () => {
  test('is the least that fits', () => {
    const all = [
      machine('large', { gibibytes: 256 }),
      machine('small', { gibibytes: 8 }),
      machine('right', { gibibytes: 32 }),
    ];
    assert.deepEqual(rank({ requirements: { memory: '32Gi' } }, all), ['right', 'large']);
  });

  test('is one without accelerators where none is wanted', () => {
    const all = [
      machine('gpu', { resources: gpus(card('10de', '1')), cores: 4 }),
      machine('plain', { cores: 64 }),
    ];
    assert.deepEqual(rank({ requirements: { cores: 4 } }, all), ['plain', 'gpu']);
    assert.deepEqual(rank({ requirements: { accelerators: [{ vendor: 'nvidia', count: 1 }] } }, all), [
      'gpu',
    ]);
  });

  test('is one with blank disks before one whose data may be lost', () => {
    const all = [
      machine('a', { status: { disks: 'Data' }, spec: { wipeConsent: 'a' } }),
      machine('b', { gibibytes: 512 }),
    ];
    assert.deepEqual(rank({ image: 'debian' }, all, { image: { ...image, spec: { reference: 'x' } } }), [
      'b',
      'a',
    ]);
  });

  test('may have a little less memory than asked for: firmware and kernel keep some', () => {
    assert.equal(whyNot({ requirements: { memory: '16Gi' } }, machine('a', { gibibytes: 15.5 })), '');
    assert.match(
      whyNot({ requirements: { memory: '16Gi' } }, machine('a', { gibibytes: 12 })),
      /less than 16Gi/,
    );
  });

  test('has another disk for each that is wanted', () => {
    const wanted = { requirements: { disks: [{ size: '100G' }, { size: '1T', rotational: true }] } };
    assert.equal(whyNot(wanted, machine('a', { disks: [{ size: 2e12, rpm: 7200 }, { size: 100e9 }] })), '');
    assert.equal(whyNot(wanted, machine('a', { disks: [{ size: 2e12, rpm: 7200 }] })), 'without such disks');
    const usb = [
      { size: 2e12, rpm: 7200 },
      { size: 100e9, removable: true },
    ];
    assert.equal(whyNot(wanted, machine('a', { disks: usb })), 'without such disks');
  });

  test('graphics of a BMC are no accelerator', () => {
    const wanted = { requirements: { accelerators: [{}] } };
    assert.match(whyNot(wanted, machine('a', { resources: gpus(card('1a03', '1')) })), /accelerators/);
    const device = { pci_address: '2', class: '120000', vendor_id: '1da3' };
    assert.equal(whyNot(wanted, machine('a', { resources: { pci: { devices: [device], total: 1 } } })), '');
  });

  test('a card that is listed as GPU and as PCI device counts once', () => {
    const resources = {
      ...gpus(card('10de', '1')),
      pci: { devices: [{ ...card('10de', '1'), class: '030200' }], total: 1 },
    };
    const wanted = (count: number) => ({ requirements: { accelerators: [{ vendor: '10de', count }] } });
    assert.equal(whyNot(wanted(1), machine('a', { resources })), '');
    assert.match(whyNot(wanted(2), machine('a', { resources })), /fewer than 2 accelerators 10de/);
  });

  test('sound, ports and bridges of a vendor are no accelerators, and a card with several functions is one', () => {
    const devices = [
      { pci_address: '0000:3b:00.0', class: '030200', vendor_id: '10de', product: 'TU104GL' },
      { pci_address: '0000:3b:00.1', class: '040300', vendor_id: '10de', product: 'TU104 HD Audio' },
      { pci_address: '0000:3b:00.2', class: '0c0330', vendor_id: '10de', product: 'TU104 USB' },
      { pci_address: '0000:00:1f.0', class: '060100', vendor_id: '8086' },
      { pci_address: '0000:5e:00.0', class: '088000', vendor_id: '1ac1', product_id: '089a' },
    ];
    const resources = { gpu: { cards: devices.slice(0, 1), total: 1 }, pci: { devices, total: 5 } };
    const box = machine('a', { resources });
    const wanted = (accelerator: object) => ({ requirements: { accelerators: [accelerator] } });
    assert.equal(whyNot(wanted({ vendor: '10de' }), box), '');
    assert.match(whyNot(wanted({ vendor: '10de', count: 2 }), box), /fewer than 2/);
    assert.match(whyNot(wanted({ product: 'tu104', count: 2 }), box), /fewer than 2/);
    assert.match(whyNot(wanted({ vendor: '8086' }), box), /fewer than 1/);
    assert.equal(whyNot(wanted({ vendor: '1ac1', product: '089a' }), box), '');
  });

  const others: [string, MachineClaimSpec, Traits, RegExp][] = [
    ['site', { siteName: 'paris' }, {}, /another site/],
    ['labels', { machineSelector: { matchLabels: { a: 'b' } } }, {}, /other labels/],
    ['architecture', { requirements: { architecture: 'arm64' } }, {}, /not arm64/],
    ['tag', { requirements: { tags: ['fast'] } }, {}, /without the tag fast/],
    [
      'tag that it must not have',
      { requirements: { notTags: ['old'] } },
      { status: { tags: ['old'] } },
      /with the tag old/,
    ],
    ['expression', { requirements: { expression: 'inventory.resources.cpu.total > 100' } }, {}, /expression/],
    [
      'expression without an answer',
      { requirements: { expression: 'inventory.nothing > 1' } },
      {},
      /expression/,
    ],
    ['phase', {}, { status: { phase: 'Releasing' } }, /not Available/],
    ['error', {}, { status: { operationalStatus: 'Error' } }, /in error/],
    [
      'consumer',
      {},
      { spec: { consumer: { kind: 'MachineClaim', name: 'x', uid: 'x' } } },
      /taken by others/,
    ],
    ['broken', {}, { spec: { broken: { reason: 'fan' } } }, /broken/],
    ['protected', {}, { spec: { protected: true } }, /protected/],
    ['external', {}, { spec: { externallyProvisioned: true } }, /did not install/],
    ['acceptance', {}, { spec: { accepted: false } }, /not accepted/],
    ['wish of a person', {}, { spec: { provision: { image: 'other' } } }, /already/],
  ];
  for (const [what, spec, traits, why] of others) {
    test(`what does not fit by its ${what} says so`, () =>
      assert.match(whyNot(spec, machine('a', traits)), why));
  }

  test('an image decides on firmware, disk and data', () => {
    const facts = { image };
    const uefi = { seen: { bootMode: 'UEFI' as const } };
    assert.equal(whyNot({ image: 'debian' }, machine('a', { status: uefi }), facts), '');
    assert.match(
      whyNot({ image: 'debian' }, machine('a', { status: { seen: { bootMode: 'BIOS' } } }), facts),
      /boots with BIOS/,
    );
    assert.match(
      whyNot({ image: 'debian' }, machine('a', { disks: [{ size: 8e9 }] }), facts),
      /no disk large enough/,
    );
    assert.match(
      whyNot({ image: 'debian' }, machine('a', { status: { disks: 'Data' } }), facts),
      /holds data/,
    );
    assert.match(
      whyNot({ image: 'debian' }, machine('a', { status: uefi })),
      /MachineImage debian is not there/,
    );
  });

  test('why there is none is told by numbers', () => {
    const fit = new MachineFit(claim({ requirements: { cores: 64 } }), {
      site: () => undefined,
      image: undefined,
    });
    const busy = machine('c', { cores: 64, status: { phase: 'Provisioned' } });
    assert.equal(
      fit.explain([machine('a'), machine('b'), busy].map(machineFacts)),
      'no machine fits now, all 3 for a reason: fewer than 64 cores (2), not Available (1)',
    );
    assert.match(fit.explain([]), /no machines yet/);
    const large = machineFacts(machine('d', { cores: 64 }));
    assert.match(
      fit.explain([large], new Map([['d', 'refused']])),
      /the only one for a reason: refused \(1\)/,
    );
  });

  test('the same machines in another order give the same choice', () => {
    const sizes = fc.array(
      fc.record({ cores: fc.integer({ min: 1, max: 8 }), gibibytes: fc.integer({ min: 1, max: 4 }) }),
      {
        maxLength: 6,
      },
    );
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 8 }), (all, cores) => {
        const machines = all.map((traits, i) => machine(`m${i}`, traits));
        const wanted = { requirements: { cores } };
        const ranked = rank(wanted, machines);
        assert.deepEqual(rank(wanted, machines.toReversed()), ranked);
        assert.equal(ranked.length, all.filter((one) => one.cores >= cores).length);
      }),
      { numRuns: 100 },
    );
  });
});

test('one machine with an inventory that cannot be read keeps no other from being found', () => {
  const resources = { gpu: { cards: [{ vendor_id: 5 }], total: 1 } } as unknown as Partial<
    MachineInventory['resources']
  >;
  const machines = [machine('odd', { resources }), machine('good')];
  assert.deepEqual(rank({}, machines), ['good']);
  assert.deepEqual(rank({ requirements: { cores: 1 } }, machines), ['good']);
  assert.match(whyNot({}, machine('odd', { resources })), /cannot be read/);
  const none = machine('none', { status: { inventory: { resources: {} } as unknown as MachineInventory } });
  assert.match(whyNot({ requirements: { cores: 1 } }, none), /cannot be read/);
  // It would be the least of all.
  assert.match(whyNot({}, none), /cannot be read/);
  assert.deepEqual(rank({}, [none, machine('good')]), ['good']);
});

test('what stands in status counts for the machine as it is now, not as it was before', () => {
  assert.match(whyNot({}, machine('a', { status: { observedGeneration: 0 } })), /not in step/);
  const spec = { wipeConsent: 'a', release: { erase: 'Quick' as const } };
  const fit = (isReleasing: boolean) =>
    new MachineFit(claim({}), { site: () => undefined, image: undefined, isReleasing: () => isReleasing });
  assert.equal(fit(true).judge(machineFacts(machine('a', { spec }))).taken, 'being erased');
  assert.equal(fit(false).judge(machineFacts(machine('a', { spec }))).taken, undefined);
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StatusError } from '@selvedge/api';
import fc from 'fast-check';
import { BodyReader } from './body-reader.ts';
import { parseMachineReports } from './parse-machines.ts';
import { parseRackReport } from './parse-rack-report.ts';
import { inventoryWith, macAddress, observedTime, reportOf } from './testing/machine-reports.ts';

function parse(...reports: unknown[]) {
  const reader = new BodyReader('sync request');
  const parsed = parseMachineReports(reader, JSON.parse(JSON.stringify(reports)), 'machines');
  reader.finish();
  return parsed;
}

const inventoryDigest = `sha256:${'a'.repeat(64)}`;
const whole = reportOf('uid-1', 3, {
  generation: 2,
  status: 'Error',
  error: { reason: 'TimedOut', message: 'no boot', since: observedTime, count: 2 },
  waiting: {
    step: 'AwaitingBoot',
    expected: 'a boot request',
    since: observedTime,
    until: observedTime,
    lastSeen: { what: 'DHCP', time: observedTime },
    next: 'power cycle',
  },
  progress: { step: 'Writing', done: 1, total: 2, unit: 'Bytes' },
  provisioned: {
    image: 'debian',
    digest: inventoryDigest,
    instanceId: 'i-1',
    device: 'vda',
    serial: 'S',
    writtenTime: observedTime,
    confirmedTime: observedTime,
  },
  disks: 'Data',
  inventory: inventoryWith(),
  inventoryDigest,
  inspectedTime: observedTime,
  results: [
    {
      name: 'memory',
      status: 'Passed',
      exitCode: 0,
      durationSeconds: 1.5,
      output: 'ok\n',
      values: { speed: '3' },
      time: observedTime,
    },
  ],
  answered: { inspect: observedTime },
  timeline: [{ n: 1, time: observedTime, type: 'Normal', reason: 'PowerOn', message: 'on' }],
});

describe('reports of machines', () => {
  test('are taken whole', () => {
    assert.deepEqual(parse(whole), { reports: [whole], faults: [] });
  });

  test('are refused one by one, each with its number', () => {
    const { reports, faults } = parse({ ...whole, phase: 'Flying' }, { ...whole, seq: 9 });
    assert.deepEqual(
      reports.map(({ seq }) => seq),
      [9],
    );
    assert.deepEqual([faults[0]?.key, faults[0]?.seq], ['uid-1', 3]);
    assert.match(faults[0]?.message ?? '', /machines\[0\]\.phase/);
  });

  test('without a number are a fault of the whole request: nothing could be acknowledged', () => {
    assert.throws(() => parse({ ...whole, seq: 'one' }), StatusError);
  });

  test('hold no text that could steer a terminal', () => {
    const nasty = '\u001b[31mred\u202e\u0000\r\nline';
    const seen = { macAddresses: [macAddress], product: nasty, serials: [nasty] };
    const inventory = inventoryWith({ system: { type: 'physical', vendor: nasty } });
    const { reports, faults } = parse({ ...whole, seen, inventory, results: [], timeline: [] });
    assert.deepEqual(faults, []);
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(JSON.stringify(reports), /\\u00|\\r|\\n|[\u0000-\u001f\u202e]/);
  });

  test('take what firmware says as it is, and leave out what is no value', () => {
    const seen = { macAddresses: [macAddress], uuid: 'NOT-A-UUID', product: '' };
    const system = { type: 'physical', vendor: null, serial: 'S1' };
    const inventory = inventoryWith({ system: system as never });
    const { reports } = parse({ ...whole, seen, inventory });
    assert.deepEqual(reports[0]?.seen, { macAddresses: [macAddress] });
    assert.deepEqual(reports[0]?.inventory?.resources.system, { type: 'physical', serial: 'S1' });
  });

  test('have only texts where readers search, and numbers where they compare', () => {
    const odd = {
      gpu: { cards: [{ vendor_id: 5, product: ['x'], driver: 'ok' }], total: 1 },
      pci: { devices: [{ class: 12, vendor: 'V' }], total: 1 },
      storage: {
        disks: [{ id: 'sda', size: 5, partitions: [], model: 5, rpm: 'fast', serial: { a: 1 } }],
        total: 1,
      },
    };
    const { reports, faults } = parse({ ...whole, inventory: inventoryWith(odd as never) });
    assert.deepEqual(faults, []);
    const { gpu, pci, storage } = reports[0]?.inventory?.resources ?? {};
    assert.deepEqual(gpu?.cards, [{ driver: 'ok' }]);
    assert.deepEqual(pci?.devices, [{ vendor: 'V' }]);
    assert.deepEqual(storage?.disks, [{ id: 'sda', size: 5, partitions: [] }]);
    const sizeless = { storage: { disks: [{ id: 'sda', size: 'big', partitions: [] }], total: 1 } };
    const refused = parse({ ...whole, inventory: inventoryWith(sizeless as never) });
    assert.match(refused.faults[0]?.message ?? '', /disks\[0\]/);
  });

  test('are taken without an inventory that readers could not rely on, or that is too large', () => {
    const { cpu: _, ...resources } = inventoryWith().resources;
    const broken = { ...inventoryWith(), resources };
    const { reports, faults } = parse({ ...whole, inventory: broken });
    assert.match(faults[0]?.message ?? '', /resources\.cpu/);
    const { inventory: _inventory, inventoryDigest: _digest, ...bare } = whole;
    assert.deepEqual(reports, [bare], 'the rest is taken');
    const disk = { id: 'sda', serial: 'x'.repeat(1000) };
    const disks = Array.from({ length: 600 }, () => disk);
    const large = inventoryWith({ storage: { disks: disks as never, total: 600 } });
    assert.match(parse({ ...whole, inventory: large }).faults[0]?.message ?? '', /inventory/);
  });

  test('may say how many boxes a rack does not show', () => {
    const discoveryFull = { limit: 200, turnedAway: 7, lastSeenTime: '2026-01-01T00:00:00.000Z' };
    const rack = { observedTime: '2026-01-01T00:00:00.000Z', networks: [], images: [] };
    const parseRack = (value: unknown) => {
      const reader = new BodyReader('sync request');
      const report = parseRackReport(reader, { ...rack, discoveryFull: value }, 'rack');
      reader.finish();
      return report;
    };
    assert.deepEqual(parseRack({ ...discoveryFull, more: 1 }), { ...rack, discoveryFull });
    for (const bad of [7, { ...discoveryFull, turnedAway: -1 }, { ...discoveryFull, lastSeenTime: 'now' }]) {
      assert.throws(() => parseRack(bad), StatusError);
    }
  });

  test('never fail otherwise, whatever is sent', () => {
    const anything = fc.jsonValue({ maxDepth: 4 });
    const mutated = fc.dictionary(fc.constantFrom(...Object.keys(whole)), anything);
    fc.assert(
      fc.property(mutated, (over) => {
        try {
          parse({ ...whole, ...over });
        } catch (error) {
          assert.ok(error instanceof StatusError);
        }
        const reader = new BodyReader('sync request');
        parseRackReport(reader, over, 'rack');
      }),
      { numRuns: 300 },
    );
  });
});

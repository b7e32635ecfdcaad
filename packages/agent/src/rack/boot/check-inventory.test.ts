import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sampleDisk, sampleInventory } from '../life/testing/sample-order.ts';
import { newRecord } from '../life/machine-record.ts';
import { inventoryTaken } from '../life/take-event.ts';
import { parseInventory } from './check-inventory.ts';

describe('an odd inventory', () => {
  it('is taken without what is to be a text and is none', () => {
    const { resources, ...rest } = sampleInventory();
    const odd = {
      ...rest,
      resources: {
        ...resources,
        system: { type: 'physical', product: 5, vendor: ['x'], serial: {} },
        cpu: { ...resources.cpu, architecture: 7 },
        gpu: { cards: [{ vendor_id: 5, driver: 'nvidia' }], total: 1 },
        pci: { devices: [{ class: 12, product_id: true }], total: 1 },
      },
    };
    const inventory = parseInventory(JSON.stringify(odd));
    assert.deepEqual(inventory.resources.gpu.cards, [{ driver: 'nvidia' }]);
    assert.deepEqual(inventory.resources.pci.devices, [{}]);
    const now = '2026-01-01T00:00:00Z';
    const record = inventoryTaken(newRecord('box:1', now), { inventory, digest: 'sha256:00', now });
    assert.equal(record.seen.product, undefined);
    assert.equal(record.inspectedTime, now);
  });

  it('is refused where a partition is none', () => {
    const disks = [{ ...sampleDisk(), partitions: [null] }];
    const { resources, ...rest } = sampleInventory();
    const odd = { ...rest, resources: { ...resources, storage: { disks, total: 1 } } };
    assert.throws(() => parseInventory(JSON.stringify(odd)), /partitions\[0\]: must be an object/);
  });
});

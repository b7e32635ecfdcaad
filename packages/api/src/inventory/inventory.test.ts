import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  boundedInventory,
  inventoryLimits,
  inventoryOfParts,
  inventoryParts,
  inventoryText,
} from './inventory-parts.ts';
import { applyInventoryReport, inventoryDelta, inventoryDigest } from '../node/inventory-delta.ts';
import type { InventoryNode, SiteInventory } from './site-inventory.ts';

const names = fc.constantFrom('a', 'b', 'c', '__proto__', 'node-1', 'cluster');
const amounts = fc.dictionary(
  fc.constantFrom('cpu', 'memory', 'nvidia.com/gpu'),
  fc.constantFrom('1', '8Gi'),
);

const nodes = fc.uniqueArray(
  fc.record({
    name: names,
    roles: fc.subarray(['control-plane', 'worker']),
    isReady: fc.boolean(),
    capacity: amounts,
    allocatable: amounts,
  }),
  { selector: ({ name }) => name, maxLength: 6 },
);

const inventories: fc.Arbitrary<SiteInventory> = fc
  .record(
    {
      cluster: fc.record({
        kind: fc.constantFrom('kubernetes' as const, 'podman' as const),
        version: fc.constantFrom('v1.33.2', 'v1.34.0'),
        capacity: amounts,
        allocatable: amounts,
      }),
      nodes: nodes.map((list) => list.toSorted((a, b) => (a.name < b.name ? -1 : 1))),
      storageClasses: fc
        .uniqueArray(fc.record({ name: names, provisioner: fc.constantFrom('x', 'y') }), {
          selector: ({ name }) => name,
          maxLength: 3,
        })
        .map((list) => list.toSorted((a, b) => (a.name < b.name ? -1 : 1))),
      nodeGroups: fc.array(
        fc.record({ name: names, nodes: fc.nat(5), readyNodes: fc.nat(5), allocatable: amounts }),
        { maxLength: 3 },
      ),
    },
    { requiredKeys: ['nodes', 'storageClasses', 'nodeGroups'] },
  )
  // As they come over the wire.
  .map((inventory) => JSON.parse(JSON.stringify(inventory)) as SiteInventory);

const parts = inventories.map(inventoryParts);

describe('inventory of a site', () => {
  test('parts make the same inventory again', () => {
    fc.assert(
      fc.property(inventories, (inventory) => {
        assert.deepEqual(inventoryOfParts(inventoryParts(inventory)), inventory);
      }),
    );
  });

  test('a difference leads from one inventory to another, also over the wire', () => {
    fc.assert(
      fc.property(parts, parts, (before, after) => {
        const report = JSON.parse(JSON.stringify(inventoryDelta(before, after))) as ReturnType<
          typeof inventoryDelta
        >;
        const reached = applyInventoryReport(before, report);
        assert.equal(inventoryDigest(reached ?? {}), inventoryDigest(after));
        assert.equal(report.to, inventoryDigest(after));
      }),
    );
  });

  test('differences that are cut short lead there one after the other', () => {
    fc.assert(
      fc.property(parts, parts, fc.integer({ min: 1, max: 400 }), (before, after, maxBytes) => {
        let reached = before;
        for (let steps = 0; inventoryDigest(reached) !== inventoryDigest(after); steps++) {
          assert.ok(steps < 50, 'it comes nearer with every step');
          const next = applyInventoryReport(reached, inventoryDelta(reached, after, maxBytes));
          assert.ok(next);
          reached = next;
        }
      }),
    );
  });

  test('a difference from something else is found out', () => {
    fc.assert(
      fc.property(parts, parts, parts, (before, after, other) => {
        const report = inventoryDelta(before, after);
        fc.pre(report.from !== '' && inventoryDigest(other) !== report.from);
        assert.equal(applyInventoryReport(other, report), undefined);
      }),
    );
  });

  test('the whole replaces whatever there was, and one that was changed on its way is found out', () => {
    fc.assert(
      fc.property(parts, parts, (before, after) => {
        const whole = inventoryDelta({}, after);
        assert.equal(inventoryDigest(applyInventoryReport(before, whole) ?? {}), inventoryDigest(after));
        const changed = { ...whole, parts: { ...whole.parts, 'node/added': { name: 'added' } } };
        assert.equal(applyInventoryReport(before, changed), undefined);
      }),
    );
  });

  test('a difference of the same asks, and has no parts', () => {
    fc.assert(
      fc.property(parts, (same) => {
        const digest = inventoryDigest(same);
        assert.deepEqual(inventoryDelta(same, same), { from: digest, to: digest, parts: {} });
      }),
    );
  });

  test('what a hub would refuse is cut, and nothing else is changed', () => {
    fc.assert(
      fc.property(inventories, (inventory) => {
        assert.deepEqual(boundedInventory(inventory), inventory);
      }),
    );
    const node: InventoryNode = {
      name: 'a',
      roles: [],
      isReady: false,
      conditions: [{ type: 'Ready', status: 'False', message: `not\n\u001b[31mready${'!'.repeat(1_000)}` }],
      capacity: {},
      allocatable: {},
    };
    const many = Array.from({ length: inventoryLimits.nodes + 1 }, (_, n) => ({ ...node, name: `n${n}` }));
    const bounded = boundedInventory({ nodes: many, storageClasses: [], nodeGroups: [] });
    assert.equal(bounded.nodes.length, inventoryLimits.nodes);
    const message = bounded.nodes[0]?.conditions?.[0]?.message ?? '';
    assert.equal(message.length, inventoryLimits.messageCharacters);
    assert.ok(message.startsWith('not [31mready!'), message);
    assert.equal(inventoryText(message, 1_000), message);
  });
});

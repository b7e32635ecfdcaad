import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { devBoxes, devMachineSpec } from './dev-boxes.ts';

describe('boxes for development', () => {
  test('are the same each time, and no two are alike', () => {
    assert.deepEqual(devBoxes('dev', 3), devBoxes('dev', 5).slice(0, 3));
    const all = [...devBoxes('dev', 50), ...devBoxes('other', 50)];
    for (const key of ['name', 'uuid', 'serial', 'macAddress'] as const) {
      assert.equal(new Set(all.map((box) => box[key])).size, 100, key);
    }
  });

  test('have identities that a Machine may have', () => {
    for (const box of devBoxes('dev', 20)) {
      const bmc = { url: 'http://127.0.0.1:8000', secret: { namespace: 'default', name: 'dev-bmc' } };
      const { identity, accepted } = devMachineSpec(box, { site: 'dev', bmc, firmware: 'BIOS' });
      assert.match(identity.uuid ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.match(identity.macAddresses?.[0] ?? '', /^52:54:00(:[0-9a-f]{2}){3}$/);
      assert.equal(accepted, true);
    }
  });
});

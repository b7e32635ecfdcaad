import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BootSetting } from '../power-driver.ts';
import { bootdevCommand, isHonoured, parseBootFlags, rawBootCommand } from './boot-flags.ts';

const settings = fc.record({
  target: fc.constantFrom('Network', 'Disk'),
  mode: fc.constantFrom('UEFI', 'BIOS'),
  isOnce: fc.boolean(),
}) as fc.Arbitrary<BootSetting>;

test('what is written as bytes reads back as it was meant, and as nothing else', () => {
  fc.assert(
    fc.property(settings, settings, (wanted, other) => {
      const bytes = rawBootCommand(wanted)
        .slice(4)
        .map((byte) => byte.slice(2))
        .join('');
      const flags = parseBootFlags(`Boot parameter data: ${bytes}\n`);
      assert.ok(flags && isHonoured(flags, wanted));
      assert.equal(isHonoured(flags, other), JSON.stringify(wanted) === JSON.stringify(other));
    }),
  );
});

test('flags that the BMC does not keep count by their device only', () => {
  const flags = parseBootFlags('Boot parameter data: 0004000000\n');
  assert.ok(flags);
  assert.equal(flags.isValid, false);
  assert.ok(isHonoured(flags, { target: 'Network', mode: 'UEFI', isOnce: true }));
  assert.ok(!isHonoured(flags, { target: 'Disk', mode: 'UEFI', isOnce: true }));
});

test('output without flags says nothing', () => {
  for (const output of ['', 'Boot parameter data: ', 'Error: no', 'Boot parameter data: zz'])
    assert.equal(parseBootFlags(output), undefined);
});

test('the plain way names UEFI and persistence as options', () => {
  assert.deepEqual(bootdevCommand({ target: 'Network', isOnce: true }), ['chassis', 'bootdev', 'pxe']);
  assert.deepEqual(bootdevCommand({ target: 'Disk', mode: 'UEFI', isOnce: false }), [
    'chassis',
    'bootdev',
    'disk',
    'options=efiboot,persistent',
  ]);
  assert.deepEqual(
    bootdevCommand({ target: 'Network', isOnce: false }).at(-1),
    'options=efiboot,persistent',
    'of unknown mode: BIOS for one boot, then UEFI for all',
  );
  assert.deepEqual(
    rawBootCommand({ target: 'Network', mode: 'UEFI', isOnce: true }),
    'raw 0x00 0x08 0x05 0xa0 0x04 0x00 0x00 0x00'.split(' '),
  );
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bmcQuirkNames, bmcQuirks } from '@selvedge/api';
import { QuirkSet, quirksOfVendor } from './quirk-set.ts';
import { listLogger } from './testing/test-bmc.ts';

test('quirks come by order, by vendor and by being found out; what was found is logged once', () => {
  const log: string[] = [];
  const quirks = new QuirkSet(['EtagRefused'], listLogger(log));
  quirks.learnVendor('NVIDIA');
  quirks.found('TrailingSlash');
  quirks.found('TrailingSlash');
  quirks.found('MediaNeedsLogin');
  assert.deepEqual(quirks.names, ['EtagRefused', 'MediaNeedsLogin', 'TrailingSlash']);
  assert.equal(log.length, 1);
});

test('a vendor brings the quirks of its make', () => {
  assert.ok(quirksOfVendor('Super Micro Computer').includes('FullBootRequest'));
  assert.ok(quirksOfVendor('Dell Inc.').includes('BootModeNeedsReboot'));
  assert.ok(quirksOfVendor('Hewlett Packard Enterprise').includes('BusyDuringPost'));
  assert.ok(quirksOfVendor('American Megatrends International').includes('SettingsResource'));
  assert.deepEqual(quirksOfVendor('Miami Servers'), []);
  assert.deepEqual(quirksOfVendor(''), []);
});

test('names of quirks are told apart', () => {
  assert.equal(new Set(bmcQuirkNames).size, bmcQuirkNames.length);
});

test('docs/guides/bmc.md lists every quirk as it stands in the data', () => {
  const guide = readFileSync(join(import.meta.dirname, '../../../../../docs/guides/bmc.md'), 'utf8');
  const rows = guide.split('\n').filter((line) => /^\| `[A-Z]\w+` \| [^|]* \| [^|]* \|$/.test(line));
  const expected = bmcQuirks.map(
    ({ name, vendors, description }) => `| \`${name}\` | ${vendors.join(', ')} | ${description} |`,
  );
  assert.deepEqual(rows, expected);
});

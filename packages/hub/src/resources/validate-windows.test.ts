import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SiteSpec } from '@selvedge/api';
import { validateWindows } from './validate-windows.ts';

const faults = (spec: SiteSpec) =>
  validateWindows(spec, 'spec').map(({ field, message }) => `${field}: ${message}`);

describe('the windows of a Site', () => {
  test('are taken when the site can follow them', () => {
    const spec: SiteSpec = {
      windows: {
        download: [{ schedule: '0 20 * * *', duration: '12h' }],
        activate: [
          { schedule: '0 2 * * 1-5', duration: '90m' },
          { schedule: '0 3 * * SUN#1', duration: '1d' },
        ],
      },
      blackouts: [
        { from: '2026-12-20', to: '2026-12-26', reason: 'Christmas' },
        { from: '2026-12-31', to: '2026-12-31' },
      ],
    };
    assert.deepEqual(faults(spec), []);
    assert.deepEqual(faults({}), []);
  });

  test('are refused by the path of what is wrong, and with what it should be', () => {
    const found = faults({
      windows: {
        download: [{ schedule: '0 25 * * *', duration: 'all night' }],
        activate: [
          { schedule: '0 2 * * *', duration: '1h' },
          { schedule: '0 0 2 * * *', duration: '30s' },
        ],
      },
      blackouts: [{ from: '2026-12-26', to: '2026-12-20' }],
    });
    const wanted: [string, RegExp][] = [
      ['spec.windows.download[0].schedule', /five fields .*hour: 25/],
      ['spec.windows.download[0].duration', /must be a duration such as/],
      ['spec.windows.activate[1].schedule', /it has 6 fields/],
      ['spec.windows.activate[1].duration', /must be from 1m to 31d/],
      ['spec.blackouts[0].to', /must not be before from, which is 2026-12-26/],
    ];
    assert.equal(found.length, wanted.length);
    for (const [index, [field, message]] of wanted.entries()) {
      assert.ok(found[index]?.startsWith(`${field}: `), found[index]);
      assert.match(found[index] ?? '', message);
    }
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SiteSpec } from '../kinds/site.ts';
import { sitePolicy, specOfPolicy } from './site-policy.ts';

describe('what a site is told of its own rules', () => {
  test('what says nothing is left out, so that the state of a site stays the one that it was', () => {
    assert.deepEqual(sitePolicy(undefined), { timeZone: 'UTC' });
    const silent: SiteSpec = { link: 'Read', nodeGroups: [], blackouts: [], windows: { download: [] } };
    assert.deepEqual(sitePolicy(silent), { timeZone: 'UTC' });
    const groups = sitePolicy({ nodeGroups: [{ name: 'edge', nodeSelector: {}, tolerations: [] }] });
    assert.deepEqual(groups.nodeGroups, [{ name: 'edge' }]);
  });

  test('a policy makes a spec that makes the same policy, and takes away what it does not have', () => {
    const policy = sitePolicy({
      timeZone: 'Europe/Berlin',
      windows: { activate: [{ schedule: '0 3 * * *', duration: '2h' }] },
      hold: { reason: 'stocktaking' },
      nodeGroups: [{ name: 'edge', tolerations: [{ operator: 'Exists' }] }],
      link: 'Disabled',
    });
    const { windows, ...spec } = specOfPolicy(policy) as SiteSpec;
    const { activate } = windows as unknown as { activate: NonNullable<SiteSpec['windows']>['activate'] };
    assert.deepEqual(sitePolicy({ ...spec, blackouts: [], windows: activate ? { activate } : {} }), policy);
    const empty = specOfPolicy({ timeZone: 'UTC' });
    assert.deepEqual([empty['nodeGroups'], empty['link'], empty['hold']], [null, null, null]);
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sitePolicy } from '@selvedge/api';
import { validateDepot } from './validate-depot.ts';

test('quantities of a depot are checked where they are written, and told to the site in bytes', () => {
  const depot = { bandwidth: '1.5Mi', size: '20G' };
  assert.deepEqual(validateDepot(depot, 'spec.depot'), []);
  assert.deepEqual(sitePolicy({ depot }).depot, { bytesPerSecond: 1_572_864, maxBytes: 20e9 });
  assert.equal(sitePolicy({ depot: {} }).depot, undefined);
  assert.deepEqual(validateDepot(undefined, 'spec.depot'), []);
});

test('what is no quantity, or none that makes sense, is refused with its field', () => {
  for (const bandwidth of ['', 'fast', '10', '500m', '-5k', '2 Mi', '1e30']) {
    const [error, ...others] = validateDepot({ bandwidth }, 'spec.depot');
    assert.equal(error?.field, 'spec.depot.bandwidth', bandwidth);
    assert.equal(others.length, 0);
  }
  assert.equal(validateDepot({ size: '5M' }, 'spec.depot')[0]?.field, 'spec.depot.size');
});

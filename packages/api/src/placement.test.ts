import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMirrored, isPlaced } from './placement.ts';

test('an application is meant for sites with its labels, but for the one that it is taken from', () => {
  const placement = { siteSelector: { matchLabels: { tier: 'store' } } };
  const inline = { spec: { placement, source: { inline: { manifests: [] } } } };
  const mirror = {
    spec: { placement, source: { mirror: { site: 'cloud', namespaces: ['shop'], selector: {} } } },
  };
  const site = (name: string, labels?: Record<string, string>) => ({
    metadata: { name, ...(labels ? { labels } : {}) },
  });
  assert.equal(isPlaced(inline, site('cloud', { tier: 'store' })), true);
  assert.equal(isPlaced(inline, site('cloud')), false);
  assert.equal(isPlaced(mirror, site('shop', { tier: 'store' })), true);
  assert.equal(isPlaced(mirror, site('cloud', { tier: 'store' })), false);
  assert.equal(isMirrored(mirror, site('cloud')), true);
  assert.equal(isMirrored(inline, site('cloud')), false);
  // Whatever it is taken from by now.
  const former = { ...inline, status: { mirroredSites: ['cloud'] } };
  assert.equal(isPlaced(former, site('cloud', { tier: 'store' })), false);
  assert.equal(isMirrored(former, site('cloud')), true);
  assert.equal(isPlaced(former, site('shop', { tier: 'store' })), true);
});

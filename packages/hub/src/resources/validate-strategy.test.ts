import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RolloutStrategy, Wave } from '@selvedge/api';
import { validateStrategy } from './validate-strategy.ts';

const rest: Wave = { name: 'rest', percent: 100 };
const faults = (strategy: RolloutStrategy) =>
  validateStrategy(strategy, 'spec.rollout').map(({ field, message }) => `${field}: ${message}`);

describe('a strategy is refused', () => {
  const refused: [string, RolloutStrategy, RegExp][] = [
    ['with a duration that is none', { deadline: 'soon' }, /^spec\.rollout\.deadline: /],
    [
      'with a prepare deadline that is none',
      { prepare: { deadline: '5' } },
      /^spec\.rollout\.prepare\.deadline: /,
    ],
    ['with a deadline that nobody can keep', { deadline: '0s' }, /^spec\.rollout\.deadline: .*at least 10s/],
    [
      'with a prepare deadline that nobody can keep',
      { prepare: { deadline: '9s' } },
      /^spec\.rollout\.prepare\.deadline: .*at least 10s/,
    ],
    ['with a soak that is none', { waves: [{ ...rest, soak: '1 h' }] }, /waves\[0\]\.soak: /],
    [
      'when its last wave does not reach every site',
      { waves: [rest, { name: 'lab', siteNames: ['a', 'b'] }] },
      /waves: .*never reach every site/,
    ],
    [
      'when waves do not grow',
      { waves: [{ name: 'a', sites: 5 }, { name: 'b', sites: 5 }, rest] },
      /waves\[1\]\.sites: .*must be more than the 5/,
    ],
    [
      'when nothing may happen at the same time',
      { waves: [{ ...rest, maxConcurrent: '0%' }] },
      /waves\[0\]\.maxConcurrent: .*must be at least 1 site or 1%/,
    ],
    [
      'when no proof is needed',
      { waves: [{ ...rest, minSample: '0%' }] },
      /waves\[0\]\.minSample: .*must be at least/,
    ],
    [
      'when a site is named twice',
      { waves: [{ name: 'a', siteNames: ['x'] }, { name: 'b', siteNames: ['x'] }, rest] },
      /waves\[1\]\.siteNames: .*is in wave a already/,
    ],
    [
      'when a selector cannot be read',
      { waves: [{ name: 'a', siteSelector: { matchExpressions: [{ key: 'k', operator: 'In' }] } }, rest] },
      /waves\[0\]\.siteSelector\.matchExpressions\[0\]\.values: /,
    ],
  ];
  for (const [name, strategy, expected] of refused) {
    test(name, () => {
      const found = faults(strategy);
      assert.equal(found.length, 1, found.join());
      assert.match(found[0] ?? '', expected);
    });
  }
});

test('a strategy that uses everything is taken', () => {
  const strategy: RolloutStrategy = {
    waves: [
      { name: 'lab', siteNames: ['lab-1'], soak: '10m' },
      { name: 'north', siteSelector: { matchLabels: { region: 'north' } }, approval: 'Manual' },
      { name: 'few', sites: 10, minSample: '50%', maxConcurrent: 3, budget: { failed: 1 } },
      { ...rest, maxConcurrent: '10%' },
    ],
    prepare: { threshold: '95%', deadline: '2h' },
    activate: { when: 'At', at: '2026-12-01T03:00:00Z' },
    budget: { failed: '2%' },
    onBreach: 'Pause',
    deadline: '15m',
  };
  assert.deepEqual(faults(strategy), []);
  assert.deepEqual(validateStrategy(undefined, 'spec.rollout'), []);
});

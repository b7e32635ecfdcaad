import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecentStates } from './recent-states.ts';

const state = (revision: number, characters = 1) => ({
  key: { resource: 'things', namespace: '', name: 'x' },
  body: 'x'.repeat(characters),
  revision,
  createRevision: 1,
});

describe('RecentStates', () => {
  test('keeps those that were used last', () => {
    const recent = new RecentStates();
    for (let revision = 1; revision <= 512; revision++) recent.keep(state(revision));
    assert.equal(recent.find(1)?.revision, 1);
    recent.keep(state(513));
    assert.equal(recent.find(1)?.revision, 1, 'used a moment ago');
    assert.equal(recent.find(2), undefined);
  });

  test('is bounded in size, whatever one state weighs', () => {
    const recent = new RecentStates();
    recent.keep(state(1));
    recent.keep(state(2, 4 * 1024 * 1024));
    assert.equal(recent.find(1), undefined);
    assert.equal(recent.find(2)?.revision, 2);
    recent.keep(state(3, 5 * 1024 * 1024));
    assert.equal(recent.find(2), undefined);
    assert.equal(recent.find(3), undefined, 'too big to be kept');
    recent.keep(state(4));
    assert.equal(recent.find(4)?.revision, 4);
  });
});

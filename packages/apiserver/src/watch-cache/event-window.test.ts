import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CachedObject } from './cached-object.ts';
import { Change } from './change.ts';
import { EventWindow } from './event-window.ts';

const change = (revision: number, bytes = 10): Change =>
  new Change(
    'put',
    new CachedObject({ namespace: 'n', name: 'x', revision }, Buffer.alloc(bytes)),
    undefined,
  );

const revisions = (window: EventWindow, after: number, limit = 100): number[] =>
  window.after(after, limit).changes.map(({ revision }) => revision);

describe('EventWindow', () => {
  test('covers what was pushed since it was opened', () => {
    const window = new EventWindow({ maxChanges: 10, maxBytes: 1000 });
    assert.equal(window.covers(Number.MAX_SAFE_INTEGER), false, 'nothing before it is opened');
    window.open(5);
    for (const revision of [7, 9, 10]) window.push(change(revision));
    assert.equal(window.covers(4), false);
    assert.equal(window.covers(5), true);
    assert.deepEqual(revisions(window, 5), [7, 9, 10]);
    assert.deepEqual(revisions(window, 7), [9, 10]);
    assert.deepEqual(revisions(window, 8), [9, 10]);
    assert.deepEqual(revisions(window, 10), []);
    assert.deepEqual(revisions(window, 99), []);
    window.clear();
    assert.equal(window.covers(10), false);
  });

  test('counts what is packed by the text that watchers are told', () => {
    const packed = (revision: number) =>
      new CachedObject({ namespace: 'n', name: 'x', revision }, Buffer.alloc(10), 300);
    const window = new EventWindow({ maxChanges: 10, maxBytes: 1000 });
    window.open(0);
    window.push(new Change('put', packed(1), undefined));
    window.push(new Change('put', packed(2), packed(1)));
    assert.equal(window.covers(0), true);
    window.push(new Change('put', packed(3), packed(2)));
    assert.equal(window.covers(1), false);
  });

  test('forgets the oldest, by number and by bytes', () => {
    const window = new EventWindow({ maxChanges: 10, maxBytes: 1000 });
    window.open(0);
    for (let revision = 1; revision <= 100; revision++) window.push(change(revision));
    assert.equal(window.covers(89), false);
    assert.equal(window.covers(90), true);
    assert.deepEqual(revisions(window, 90), [91, 92, 93, 94, 95, 96, 97, 98, 99, 100]);
    window.push(change(101, 995));
    assert.equal(window.covers(99), false);
    assert.deepEqual(revisions(window, 100), [101]);
    window.push(change(102, 2000));
    assert.equal(window.covers(101), false, 'also one that is too big alone');
    assert.equal(window.covers(102), true);
  });

  test('gives a part, and says whether it was all', () => {
    const window = new EventWindow({ maxChanges: 10, maxBytes: 1000 });
    window.open(0);
    for (const revision of [1, 2, 3]) window.push(change(revision));
    assert.equal(window.after(0, 2).isEnd, false);
    assert.equal(window.after(0, 3).isEnd, true);
    assert.deepEqual(revisions(window, 0, 2), [1, 2]);
  });

  test('a change is encoded once for all who ask for the same form', async () => {
    const shared = change(1);
    let encoded = 0;
    const encode = async () => {
      encoded += 1;
      return Buffer.from('x');
    };
    await Promise.all([
      shared.encoded('a', encode),
      shared.encoded('a', encode),
      shared.encoded('b', encode),
    ]);
    assert.equal(encoded, 2);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TokenCache } from './token-cache.ts';

describe('token cache', () => {
  test('knows a token until its time is over', () => {
    const cache = new TokenCache<string>();
    cache.keep('token', 'user', 1000);
    assert.equal(cache.find('token', 999), 'user');
    assert.equal(cache.find('other', 999), undefined);
    assert.equal(cache.find('token', 1000), undefined);
    assert.equal(cache.size, 0, 'what is over takes no room');
  });

  test('holds no more than it may; those asked for last stay', () => {
    const cache = new TokenCache<number>(2);
    cache.keep('a', 1, 10);
    cache.keep('b', 2, 10);
    cache.find('a', 0);
    cache.keep('c', 3, 10);
    assert.deepEqual(
      ['a', 'b', 'c'].map((token) => cache.find(token, 0)),
      [1, undefined, 3],
    );
    cache.forget('a');
    assert.equal(cache.find('a', 0), undefined);
  });

  test('never gives the value of another token, and never holds too many', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 3 })), fc.integer({ min: 1, max: 5 }), (tokens, limit) => {
        const cache = new TokenCache<string>(limit);
        for (const token of tokens) {
          cache.keep(token, token, 1);
          assert.equal(cache.find(token, 0), token);
          assert.ok(cache.size <= limit);
          for (const other of tokens) assert.ok([undefined, other].includes(cache.find(other, 0)));
        }
      }),
    );
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { LinearRegExp } from './linear-regexp.ts';

/** Patterns that both engines understand, over a small alphabet so that they meet. */
const patterns = fc.letrec<{ all: string; one: string }>((tie) => ({
  one: fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom('a', 'b', '.', 'é', '[ab]', '[^a]', '[a-c]', '\\w', '\\d', '\\s'),
    },
    { weight: 1, arbitrary: fc.constantFrom('^', '$', '\\b', '\\B', '\\.', 'c') },
    { weight: 2, arbitrary: tie('all').map((p) => `(${p})`) },
    { weight: 1, arbitrary: tie('all').map((p) => `(?:${p})`) },
  ),
  all: fc.oneof(
    { depthSize: 'small' },
    fc
      .array(
        fc
          .tuple(tie('one'), fc.constantFrom('', '', '*', '+', '?', '*?', '{2}', '{1,}', '{0,2}'))
          .map(([p, r]) => (/^(\^|\$|\\[bB])$/.test(p) ? p : p + r)),
        { minLength: 1, maxLength: 3 },
      )
      .map((parts) => parts.join('')),
    fc.tuple(tie('one'), tie('one')).map(([a, b]) => `${a}|${b}`),
  ),
})).all;
const texts = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', ' ', 'é', '.', '\n'), maxLength: 8 });

describe('a linear regular expression', () => {
  test('finds what the one of the language finds', () => {
    fc.assert(
      fc.property(patterns, texts, (pattern, text) => {
        assert.equal(new LinearRegExp(pattern).test(text), new RegExp(pattern, 'u').test(text));
      }),
      { numRuns: 3000 },
    );
  });

  test('is done at once where backtracking would not end', () => {
    for (const pattern of ['^(a+)+$', '^(a|a)*$', '^(a*)*b$', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$']) {
      const expression = new LinearRegExp(pattern);
      assert.equal(expression.test(`${'a'.repeat(20_000)}!`), false, pattern);
    }
  });

  test('ignores case when asked to', () => {
    assert.ok(new LinearRegExp('(?i)^till-[a-f]$').test('TILL-E'));
    assert.ok(!new LinearRegExp('^till-[a-f]$').test('TILL-E'));
  });

  test('knows names of groups, sets with brackets, and characters outside the basic plane', () => {
    assert.ok(new LinearRegExp('^(?P<year>\\d{4})-(?<month>\\d\\d)$').test('2026-11'));
    assert.ok(new LinearRegExp('^[]\\-^]+$').test(']-^'));
    assert.ok(new LinearRegExp('^.[😀-😎]$').test('💥😃'));
  });

  test('refuses what it does not understand, and what would grow without bound', () => {
    const wrong = [
      '(',
      ')',
      '[a',
      'a**',
      '*a',
      '(?=a)',
      '(?!a)',
      '(?<=a)',
      '(a)\\1',
      '\\p{L}',
      '\\',
      'a{3,2}',
    ];
    const large = ['a{1001}', '((a{100}){100}){100}'];
    for (const pattern of [...wrong, '[b-a]', '[[:alpha:]]', ...large]) {
      assert.throws(() => new LinearRegExp(pattern), /the pattern/, pattern);
    }
  });
});

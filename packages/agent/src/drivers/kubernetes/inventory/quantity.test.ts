import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { countOf, formatQuantity, parseQuantity, sumQuantities } from './quantity.ts';

const format = (text: string): string | undefined => {
  const quantity = parseQuantity(text);
  return quantity && formatQuantity(quantity);
};

describe('quantities', () => {
  for (const [text, canonical] of [
    ['0', '0'],
    ['1', '1'],
    ['0.5', '500m'],
    ['.5', '500m'],
    ['1.', '1'],
    ['100m', '100m'],
    ['1000m', '1'],
    ['1000', '1k'],
    ['1e3', '1k'],
    ['1E3', '1k'],
    ['12e-1', '1200m'],
    ['1E', '1E'],
    ['1024Ki', '1Mi'],
    ['1.5Gi', '1536Mi'],
    ['24682416Ki', '24682416Ki'],
    ['95491281146', '95491281146'],
    ['0.1n', '1n'],
    ['-2Gi', '-2Gi'],
    ['0.5Ki', '512'],
    ['0.1Ki', '102400m'],
  ] as const) {
    test(`${text} is ${canonical}`, () => assert.equal(format(text), canonical));
  }

  test('are nothing else', () => {
    for (const text of [
      '',
      'x',
      '1x',
      '1 Gi',
      '--1',
      '1e',
      '1ee3',
      'Gi',
      '.',
      '1kk',
      '0x10',
      'NaN',
      'Infinity',
      '1e9999',
    ]) {
      assert.equal(parseQuantity(text), undefined, text);
      assert.equal(countOf(text), 0);
    }
  });

  test('are added exactly, and written as the first of them', () => {
    assert.equal(sumQuantities([]), '0');
    assert.equal(sumQuantities(['3920m', '80m', '1']), '5');
    assert.equal(sumQuantities(['1Gi', '512Mi', '1Ki']), '1572865Ki');
    assert.equal(sumQuantities(['0', '1Gi', '1G']), sumQuantities(['1Gi', '1G', 'nonsense']));
    assert.equal(sumQuantities(['0.1', '0.2']), '300m');
    assert.equal(countOf(sumQuantities(['9007199254740993', '0'])), Number('9007199254740993'));
  });

  const any = fc
    .tuple(
      fc.nat({ max: 1_000_000 }),
      fc.constantFrom('', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'Ti', 'n', 'u', 'e3', 'e-2'),
    )
    .map(([number, suffix]) => `${number}${suffix}`);

  test('mean the same when they are written and read again', () => {
    fc.assert(
      fc.property(any, (text) =>
        assert.equal(parseQuantity(format(text) ?? '')?.nanos, parseQuantity(text)?.nanos),
      ),
    );
  });

  test('have the same sum in any order', () => {
    fc.assert(
      fc.property(fc.array(any, { maxLength: 8 }), (texts) => {
        const total = texts.reduce((sum, text) => sum + (parseQuantity(text)?.nanos ?? 0n), 0n);
        assert.equal(parseQuantity(sumQuantities(texts))?.nanos, total);
        assert.equal(parseQuantity(sumQuantities(texts.toReversed()))?.nanos, total);
      }),
    );
  });
});

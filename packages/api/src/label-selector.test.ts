import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type LabelSelector,
  matchesLabelSelector,
  matchesRequirements,
  parseLabelSelector,
  validateLabelSelector,
} from './label-selector.ts';
import { isStatusError } from './status-error.ts';

const shop = { tier: 'store', country: 'de', floor: '3', empty: '' };

describe('the text form of label selectors', () => {
  test('matches as Kubernetes does', () => {
    const cases: [string, boolean][] = [
      ['', true],
      ['tier=store', true],
      ['tier==store', true],
      ['tier=hall', false],
      ['tier!=hall', true],
      ['absent!=x', true],
      ['absent=x', false],
      ['country in (de,at)', true],
      ['country in(at)', false],
      ['country notin (at, ch)', true],
      ['absent notin (at)', true],
      ['tier', true],
      ['absent', false],
      ['!absent', true],
      ['!tier', false],
      ['floor>2', true],
      ['floor<3', false],
      ['tier>2', false],
      ['empty=', true],
      ['empty in (,x)', true],
      ['tier=store,country!=at,floor in (3,4),!absent,empty', true],
      ['tier=store,country=at', false],
    ];
    for (const [text, expected] of cases) {
      assert.equal(matchesRequirements(shop, parseLabelSelector(text)), expected, text);
    }
  });

  test('refuses what it cannot read, quoting it', () => {
    for (const text of [
      'a=b,',
      ',a',
      'a in',
      'a in (b',
      'a b',
      'a=b=c',
      'a~b',
      '-a',
      'a=-',
      'a>x',
      'in (a)',
      '!',
    ]) {
      assert.throws(
        () => parseLabelSelector(text),
        (e) => isStatusError(e, 'BadRequest') && e.message.includes(`"${text}"`),
        text,
      );
    }
  });

  test('a label named in or notin is still a key', () => {
    assert.equal(matchesRequirements({ in: 'x' }, parseLabelSelector('in=x')), true);
    assert.equal(matchesRequirements({ notin: 'x' }, parseLabelSelector('notin in (x)')), true);
  });
});

describe('label selector objects', () => {
  test('match all of matchLabels and matchExpressions; an empty selector matches everything', () => {
    const selector: LabelSelector = {
      matchLabels: { tier: 'store' },
      matchExpressions: [
        { key: 'country', operator: 'In', values: ['de', 'at'] },
        { key: 'closed', operator: 'DoesNotExist' },
      ],
    };
    assert.equal(matchesLabelSelector(shop, selector), true);
    assert.equal(matchesLabelSelector({ ...shop, closed: 'yes' }, selector), false);
    assert.equal(matchesLabelSelector(undefined, {}), true);
    assert.equal(matchesLabelSelector(undefined, selector), false);
  });

  test('names inherited from Object are no labels', () => {
    assert.equal(
      matchesLabelSelector({}, { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }),
      false,
    );
  });

  test('faults are told with their path', () => {
    const errors = validateLabelSelector(
      {
        matchLabels: { 'bad key': 'x', good: 'bad value' },
        matchExpressions: [
          { key: 'a', operator: 'In' },
          { key: 'b', operator: 'Exists', values: ['x'] },
          { key: '/b', operator: 'NotIn', values: ['ok', 'not ok'] },
          { key: 'c', operator: 'Near' as 'In', values: ['x'] },
        ],
      },
      'spec.placement.siteSelector',
    );
    assert.deepEqual(
      errors.map((e) => e.field.replace('spec.placement.siteSelector.', '')),
      [
        'matchLabels',
        'matchLabels[good]',
        'matchExpressions[0].values',
        'matchExpressions[1].values',
        'matchExpressions[2].key',
        'matchExpressions[2].values[1]',
        'matchExpressions[3].operator',
      ],
    );
    assert.deepEqual(validateLabelSelector({ matchLabels: { 'example.com/a': '' } }, 'x'), []);
  });

  test('text and object forms agree', () => {
    const key = fc.constantFrom('a', 'b', 'example.com/c');
    const value = fc.constantFrom('', 'x', 'y', 'z.1');
    const labels = fc.dictionary(key, value);
    const expression = fc.oneof(
      fc.record({ key, operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const) }),
      fc.record({
        key,
        operator: fc.constantFrom('In' as const, 'NotIn' as const),
        values: fc.array(value, { minLength: 1, maxLength: 3 }),
      }),
    );
    fc.assert(
      fc.property(labels, fc.array(expression, { maxLength: 4 }), (held, matchExpressions) => {
        const text = matchExpressions.map(textOf).join(',');
        assert.equal(
          matchesRequirements(held, parseLabelSelector(text)),
          matchesLabelSelector(held, { matchExpressions }),
          text,
        );
      }),
    );
  });
});

function textOf(expression: { key: string; operator: string; values?: string[] }): string {
  const { key, operator, values = [] } = expression;
  if (operator === 'Exists') return key;
  if (operator === 'DoesNotExist') return `!${key}`;
  return `${key} ${operator.toLowerCase()} (${values.join(',')})`;
}

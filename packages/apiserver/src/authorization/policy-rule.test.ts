import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { PolicyRule } from '@selvedge/api';
import type { Attributes } from './authorizer.ts';
import { compactRules, describeRule, maxCombinations, missingRules, ruleAllows } from './policy-rule.ts';

const verbs = ['get', 'list', 'delete'];
const groups = ['', 'apps'];
const resources = ['pods', 'pods/log', 'nodes', 'nodes/log'];
const names = [undefined, 'a', 'b'];
const paths = ['/metrics', '/api', '/api/v1'];

/** Everything that can be asked in this small world. */
const everything: Attributes[] = [
  ...verbs.flatMap((verb) =>
    groups.flatMap((group) =>
      resources.flatMap((text) =>
        names.map((name): Attributes => {
          const [resource = '', subresource] = text.split('/');
          return { verb, group, resource, subresource, name };
        }),
      ),
    ),
  ),
  ...verbs.flatMap((verb) => paths.map((path): Attributes => ({ verb, path }))),
];

const some = (...values: string[]) => fc.subarray(values, { minLength: 1 });
const rule: fc.Arbitrary<PolicyRule> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      verbs: some(...verbs, '*'),
      apiGroups: some(...groups, '*'),
      resources: some(...resources, '*/log', '*'),
      resourceNames: fc.subarray(['a', 'b']),
    }),
  },
  fc.record({ verbs: some(...verbs, '*'), nonResourceURLs: some(...paths, '/api/*', '*') }),
);
const rules = fc.array(rule, { maxLength: 4 });
const allowsAny = (list: readonly PolicyRule[], asked: Attributes) => list.some((r) => ruleAllows(r, asked));

describe('what is missing of wanted rules', () => {
  test('is nothing only when nothing new is allowed by them', () => {
    fc.assert(
      fc.property(rules, rules, (owned, wanted) => {
        if (missingRules(owned, wanted)?.length !== 0) return;
        for (const asked of everything) {
          if (allowsAny(wanted, asked)) assert.ok(allowsAny(owned, asked), JSON.stringify(asked));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('with the owned rules allows what the wanted ones allow', () => {
    fc.assert(
      fc.property(rules, rules, (owned, wanted) => {
        const missing = missingRules(owned, wanted) ?? [];
        for (const asked of everything) {
          if (allowsAny(wanted, asked)) assert.ok(allowsAny([...owned, ...missing], asked));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('keeps what it allows when it is made compact', () => {
    fc.assert(
      fc.property(rules, (wanted) => {
        const parts = missingRules([], wanted) ?? [];
        const compact = compactRules(parts);
        for (const asked of everything) assert.equal(allowsAny(compact, asked), allowsAny(parts, asked));
      }),
    );
  });

  test('is not looked for in a role with endless combinations', () => {
    const many = Array.from({ length: 300 }, (_, i) => `x${i}`);
    const hostile = { verbs: many, apiGroups: many, resources: many, resourceNames: many };
    assert.ok(many.length ** 4 > maxCombinations);
    assert.equal(missingRules([], [hostile]), undefined);
    const everythingAllowed = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }];
    assert.deepEqual(missingRules(everythingAllowed, [hostile]), []);
  });

  test('is worded as Kubernetes does', () => {
    const wanted = [
      { verbs: ['get', 'list'], apiGroups: ['apps'], resources: ['deployments'] },
      { verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['till'] },
      { verbs: ['get'], nonResourceURLs: ['/metrics'] },
    ];
    assert.deepEqual(compactRules(missingRules([], wanted) ?? []).map(describeRule), [
      '{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}',
      '{APIGroups:[""], Resources:["secrets"], ResourceNames:["till"], Verbs:["get"]}',
      '{NonResourceURLs:["/metrics"], Verbs:["get"]}',
    ]);
  });
});

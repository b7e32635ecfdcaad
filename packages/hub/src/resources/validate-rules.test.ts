import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ApplyRules, NodeGroup } from '@selvedge/api';
import { validateApplyRules } from './validate-apply-rules.ts';
import { validateNodeGroups } from './validate-node-groups.ts';

const kind = { apiVersion: 'example.com/v1', kind: 'Till' };

const rules = (apply: ApplyRules) => validateApplyRules(apply, 'spec.apply');

describe('rules of an Application', () => {
  test('that make sense are taken', () => {
    assert.deepEqual(validateApplyRules(undefined, 'spec.apply'), []);
    const taken = rules({
      drift: 'Report',
      onImmutableChange: 'Replace',
      ignoreDifferences: [
        { apiVersion: 'apps/v1', kind: 'Deployment', name: 'till', jsonPointers: ['/spec/replicas'] },
        {
          apiVersion: 'v1',
          kind: 'Secret',
          jsonPointers: ['/data/tls.crt', '/metadata/annotations/a.io~1b'],
        },
      ],
      health: [
        { ...kind, current: "self.status.phase == 'Open'", failed: 'self.status.errors > 3' },
        { apiVersion: 'example.com/v2', kind: 'Till', condition: 'Ready' },
      ],
    });
    assert.deepEqual(taken, []);
  });

  const wrong: readonly (readonly [what: string, apply: ApplyRules, field: string, message: RegExp])[] = [
    [
      'CEL that does not compile',
      { health: [{ ...kind, current: 'self.status.phase ==' }] },
      'spec.apply.health[0].current',
      /must be CEL over self/,
    ],
    [
      'CEL that is no question',
      { health: [{ ...kind, condition: 'Ready', failed: "'no'" }] },
      'spec.apply.health[0].failed',
      /not a bool/,
    ],
    [
      'two rules for one kind',
      {
        health: [
          { ...kind, condition: 'Ready' },
          { ...kind, condition: 'Open' },
        ],
      },
      'spec.apply.health[1]',
      /one rule for each kind/,
    ],
    [
      'a pointer that is none',
      { ignoreDifferences: [{ ...kind, jsonPointers: ['/metadata/annotations/a~b'] }] },
      'spec.apply.ignoreDifferences[0].jsonPointers[0]',
      /~0/,
    ],
    [
      'a pointer to what names the object',
      { ignoreDifferences: [{ ...kind, jsonPointers: ['/spec/a', '/metadata/name'] }] },
      'spec.apply.ignoreDifferences[0].jsonPointers[1]',
      /which object it is/,
    ],
    [
      'the same pointer twice',
      { ignoreDifferences: [{ ...kind, jsonPointers: ['/spec/a', '/spec/a'] }] },
      'spec.apply.ignoreDifferences[0].jsonPointers[1]',
      /Duplicate/,
    ],
    [
      'an apiVersion that is none',
      { ignoreDifferences: [{ apiVersion: 'a/b/c', kind: 'Till', jsonPointers: ['/a'] }] },
      'spec.apply.ignoreDifferences[0].apiVersion',
      /group\/version/,
    ],
    [
      'a kind that is none',
      { health: [{ apiVersion: 'v1', kind: 'tills', condition: 'Ready' }] },
      'spec.apply.health[0].kind',
      /name of a kind/,
    ],
  ];
  for (const [what, apply, field, message] of wrong) {
    test(`${what} is refused by its path`, () => {
      const [error, ...others] = rules(apply);
      assert.deepEqual(others, []);
      assert.equal(error?.field, field);
      assert.match(error.message, message);
    });
  }
});

describe('node groups of a Site', () => {
  const group = (more: Partial<NodeGroup>): NodeGroup[] => [{ name: 'edge', ...more }];

  test('as Kubernetes takes them are taken', () => {
    const tolerations: NodeGroup['tolerations'] = [
      { operator: 'Exists' },
      { key: 'outpost', value: 'true', effect: 'NoSchedule' },
      { key: 'a.io/b', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 },
    ];
    const nodeSelector = { 'eks.amazonaws.com/nodegroup': 'edge', empty: '' };
    assert.deepEqual(validateNodeGroups(group({ nodeSelector, tolerations }), 'spec.nodeGroups'), []);
    assert.deepEqual(validateNodeGroups(undefined, 'spec.nodeGroups'), []);
  });

  const wrong: readonly (readonly [what: string, groups: NodeGroup[], field: string])[] = [
    ['a label key that is none', group({ nodeSelector: { 'a b': 'x' } }), 'nodeSelector'],
    ['a label value that is none', group({ nodeSelector: { a: 'x y' } }), 'nodeSelector[a]'],
    ['no key without Exists', group({ tolerations: [{ value: 'x' }] }), 'tolerations[0].operator'],
    [
      'a value with Exists',
      group({ tolerations: [{ key: 'a', operator: 'Exists', value: 'x' }] }),
      'tolerations[0].value',
    ],
    ['a key that is none', group({ tolerations: [{ key: '/', operator: 'Exists' }] }), 'tolerations[0].key'],
    ['a value that is none', group({ tolerations: [{ key: 'a', value: 'x y' }] }), 'tolerations[0].value'],
    [
      'seconds without NoExecute',
      group({ tolerations: [{ key: 'a', value: 'x', tolerationSeconds: 5 }] }),
      'tolerations[0].effect',
    ],
  ];
  for (const [what, groups, field] of wrong) {
    test(`${what} is refused by its path`, () => {
      const [error, ...others] = validateNodeGroups(groups, 'spec.nodeGroups');
      assert.deepEqual(others, []);
      assert.equal(error?.field, `spec.nodeGroups[0].${field}`);
    });
  }

  test('two of one name are refused', () => {
    const [error] = validateNodeGroups([{ name: 'a' }, { name: 'b' }, { name: 'a' }], 'spec.nodeGroups');
    assert.equal(error?.field, 'spec.nodeGroups[2].name');
  });
});

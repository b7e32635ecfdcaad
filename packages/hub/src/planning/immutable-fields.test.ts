import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { immutableChanges } from './immutable-fields.ts';
import { planImmutableChanges } from './immutable-plan.ts';
import { immutableCases } from './testing/immutable-cases.ts';

describe('fields that cannot be changed in place', () => {
  for (const { what, before, after, fields } of immutableCases) {
    test(`${what}: ${fields.length === 0 ? 'may change' : fields.join(', ')}`, () => {
      assert.deepEqual(immutableChanges(before, after), fields);
      assert.deepEqual(immutableChanges(before, before), []);
    });
  }

  test('another node group is another template of a Job', () => {
    const [{ before } = { before: undefined }] = immutableCases.filter(({ what }) =>
      what.endsWith('of a Job'),
    );
    assert.ok(before);
    const manifests = [before];
    const pinned = { manifests, rules: { nodeGroups: ['edge'] } };
    assert.deepEqual(planImmutableChanges({ manifests, rules: {} }, { manifests, rules: {} }, 'default'), []);
    const [change] = planImmutableChanges({ manifests, rules: {} }, pinned, 'default');
    assert.deepEqual([change?.resource, change?.fields], ['Job/immutable-case', ['spec.template']]);
    assert.equal(change?.outcome, 'Refused');
    const replacing = {
      ...pinned,
      rules: { ...pinned.rules, apply: { onImmutableChange: 'Replace' as const } },
    };
    assert.equal(
      planImmutableChanges({ manifests, rules: {} }, replacing, 'default')[0]?.outcome,
      'Replaced',
    );
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type PolicyRule, type RoleBinding, rbacGroup, type Subject } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { AccessIndex } from './access-index.ts';
import type { Attributes } from './authorizer.ts';

/** RBAC told plainly: every binding, every subject, every rule is looked at for each question. */
interface Model {
  readonly roles: ReadonlyMap<string, readonly PolicyRule[]>;
  readonly bindings: ReadonlyMap<string, RoleBinding>;
}

function modelAllows({ roles, bindings }: Model, user: UserInfo, asked: Attributes): boolean {
  const wantedNamespace = 'path' in asked ? undefined : asked.namespace;
  for (const { metadata, roleRef, subjects = [] } of bindings.values()) {
    const { namespace } = metadata;
    if (namespace !== undefined && namespace !== wantedNamespace) continue;
    const isMeant = subjects.some((s) => {
      if (s.kind === 'Group') return user.groups.includes(s.name);
      if (s.kind === 'User') return user.name === s.name;
      return user.name === `system:serviceaccount:${s.namespace ?? namespace}:${s.name}`;
    });
    if (!isMeant) continue;
    const key = `${roleRef.kind === 'Role' ? namespace : ''}/${roleRef.name}`;
    if ((roles.get(key) ?? []).some((rule) => modelRuleAllows(rule, asked))) return true;
  }
  return false;
}

function modelRuleAllows(rule: PolicyRule, asked: Attributes): boolean {
  const has = (list: readonly string[] | undefined, value: string) =>
    (list ?? []).some((entry) => entry === '*' || entry === value);
  if (!has(rule.verbs, asked.verb)) return false;
  if ('path' in asked) {
    return (rule.nonResourceURLs ?? []).some((url) => {
      const prefix = url.endsWith('*') ? url.slice(0, -1) : undefined;
      return url === asked.path || (prefix !== undefined && asked.path.startsWith(prefix));
    });
  }
  const names = rule.resourceNames ?? [];
  const resource = asked.subresource ? `${asked.resource}/${asked.subresource}` : asked.resource;
  return (
    has(rule.apiGroups, asked.group) &&
    (has(rule.resources, resource) ||
      (asked.subresource !== undefined && (rule.resources ?? []).includes(`*/${asked.subresource}`))) &&
    (names.length === 0 || names.some((name) => name === asked.name))
  );
}

const some = (...values: string[]) => fc.subarray(values, { minLength: 1 });
const resourceRule: fc.Arbitrary<PolicyRule> = fc.record({
  verbs: some('get', 'list', '*', 'create'),
  apiGroups: some('', 'apps', '*'),
  resources: some('pods', 'pods/log', '*/log', 'secrets', '*'),
  resourceNames: fc.subarray(['a', 'b']),
});
const pathRule: fc.Arbitrary<PolicyRule> = fc.record({
  verbs: some('get', '*'),
  nonResourceURLs: some('/metrics', '/api/*', '/a*c', '*'),
});
const ruleLists = fc.array(fc.oneof({ weight: 3, arbitrary: resourceRule }, pathRule), { maxLength: 3 });
const names = fc.constantFrom('one', 'two');
const namespaces = fc.constantFrom('', 'shop', 'bank');
const subject: fc.Arbitrary<Subject> = fc.oneof(
  fc.record({ kind: fc.constant('User'), name: fc.constantFrom('ann', 'bob') }),
  fc.record({ kind: fc.constant('Group'), name: fc.constantFrom('staff', 'ops') }),
  fc.record({ kind: fc.constant('ServiceAccount'), name: fc.constant('ci'), namespace: fc.constant('shop') }),
  // In a RoleBinding the namespace may be left out.
  fc.record({ kind: fc.constant('ServiceAccount'), name: fc.constant('ci') }),
);

type Step =
  | { do: 'putRole'; namespace: string; name: string; rules: PolicyRule[] }
  | { do: 'putBinding'; binding: RoleBinding }
  | { do: 'removeRole' | 'removeBinding'; namespace: string; name: string };

const bindingStep: fc.Arbitrary<Step> = fc
  .record({
    namespace: namespaces,
    name: names,
    role: names,
    isLocal: fc.boolean(),
    subjects: fc.array(subject, { maxLength: 3 }),
  })
  .map(({ namespace, name, role, isLocal, subjects }) => ({
    do: 'putBinding' as const,
    binding: {
      apiVersion: `${rbacGroup}/v1`,
      kind: namespace ? 'RoleBinding' : 'ClusterRoleBinding',
      metadata: { name, ...(namespace ? { namespace } : {}) },
      subjects,
      roleRef: { apiGroup: rbacGroup, kind: isLocal && namespace ? 'Role' : 'ClusterRole', name: role },
    },
  }));

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('putRole' as const), namespace: namespaces, name: names, rules: ruleLists }),
    { weight: 2, arbitrary: bindingStep },
    fc.record({
      do: fc.constantFrom('removeRole' as const, 'removeBinding' as const),
      namespace: namespaces,
      name: names,
    }),
  ),
  { maxLength: 14 },
);

const users: fc.Arbitrary<UserInfo> = fc.record({
  name: fc.constantFrom('ann', 'bob', 'system:serviceaccount:shop:ci', 'system:serviceaccount:bank:ci'),
  groups: fc.subarray(['staff', 'ops', 'system:authenticated']),
});
const questions: fc.Arbitrary<Attributes> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      verb: fc.constantFrom('get', 'create', 'delete', '*'),
      group: fc.constantFrom('', 'apps', 'batch'),
      resource: fc.constantFrom('pods', 'secrets', 'nodes'),
      subresource: fc.constantFrom(undefined, 'log', 'status'),
      namespace: fc.constantFrom(undefined, 'shop', 'bank'),
      name: fc.constantFrom(undefined, 'a', 'c'),
    }),
  },
  fc.record({
    verb: fc.constantFrom('get', 'post'),
    path: fc.constantFrom('/metrics', '/api/v1', '/api', '/abc', '/'),
  }),
);

function play(sequence: readonly Step[]): { index: AccessIndex; model: Model } {
  const index = new AccessIndex();
  const roles = new Map<string, readonly PolicyRule[]>();
  const bindings = new Map<string, RoleBinding>();
  for (const step of sequence) {
    switch (step.do) {
      case 'putRole':
        index.putRole(step.namespace, step.name, step.rules);
        roles.set(`${step.namespace}/${step.name}`, step.rules);
        break;
      case 'removeRole':
        index.removeRole(step.namespace, step.name);
        roles.delete(`${step.namespace}/${step.name}`);
        break;
      case 'putBinding':
        index.putBinding(step.binding);
        bindings.set(`${step.binding.metadata.namespace ?? ''}/${step.binding.metadata.name}`, step.binding);
        break;
      case 'removeBinding':
        index.removeBinding(step.namespace, step.name);
        bindings.delete(`${step.namespace}/${step.name}`);
    }
  }
  return { index, model: { roles, bindings } };
}

describe('the index of roles and bindings', () => {
  test('decides as a look at every binding and rule would, after any changes', () => {
    fc.assert(
      fc.property(
        steps,
        users,
        fc.array(questions, { minLength: 1, maxLength: 5 }),
        (sequence, user, asked) => {
          const { index, model } = play(sequence);
          for (const question of asked) {
            const decision = index.decide(user, question);
            assert.equal(decision.allowed, modelAllows(model, user, question), JSON.stringify(question));
            assert.equal(decision.reason !== '', decision.allowed);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('names every rule that holds for a user: what it allows is what these allow', () => {
    fc.assert(
      fc.property(steps, users, questions, (sequence, user, question) => {
        const { index } = play(sequence);
        const namespace = 'path' in question ? undefined : question.namespace;
        const rules = index.rulesOf(user, namespace);
        const byRules = rules.some((rule) => modelRuleAllows(rule, question));
        assert.equal(index.decide(user, question).allowed, byRules);
      }),
      { numRuns: 1000 },
    );
  });

  test('says which binding allows it', () => {
    const index = new AccessIndex();
    index.putRole('', 'reader', [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }]);
    index.putBinding({
      apiVersion: `${rbacGroup}/v1`,
      kind: 'RoleBinding',
      metadata: { name: 'readers', namespace: 'shop' },
      subjects: [{ kind: 'ServiceAccount', name: 'ci' }],
      roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name: 'reader' },
    });
    const user = { name: 'system:serviceaccount:shop:ci', groups: [] };
    const asked = { verb: 'get', group: '', resource: 'pods', namespace: 'shop' };
    assert.equal(
      index.decide(user, asked).reason,
      'RBAC: allowed by RoleBinding "readers/shop" of ClusterRole "reader" to ServiceAccount "ci/shop"',
    );
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PolicyRule } from '../kinds/access.ts';
import type { KubeObject } from '../object-meta.ts';
import { resolveInstall } from './agent-install.ts';
import { agentManifests } from './agent-manifests.ts';
import { parseExtraRule } from './agent-rules.ts';

const made = (wish: Parameters<typeof resolveInstall>[0] = {}) =>
  agentManifests(resolveInstall(wish), 'selvedge1.x');
const find = (objects: KubeObject[], kind: string, name: string) =>
  objects.find((object) => object.kind === kind && object.metadata.name === name);
const rulesOf = (object: KubeObject | undefined) =>
  (object as { rules?: PolicyRule[] } | undefined)?.rules ?? [];

describe('manifests of an agent', () => {
  test('come in the order in which they can be applied, each object once', () => {
    const objects = made({ withoutMeaning: 1, rbac: 'applications', link: true } as object);
    assert.deepEqual(
      objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
      [
        'Namespace selvedge-system',
        'ServiceAccount selvedge-agent',
        'Role selvedge-agent',
        'RoleBinding selvedge-agent',
        'ClusterRole selvedge-agent-inventory:selvedge-system',
        'ClusterRoleBinding selvedge-agent-inventory:selvedge-system',
        'ClusterRole selvedge-agent-applications:selvedge-system',
        'ClusterRoleBinding selvedge-agent-applications:selvedge-system',
        'ClusterRole selvedge-agent-link:selvedge-system',
        'ClusterRoleBinding selvedge-agent-link:selvedge-system',
        'Secret selvedge-agent-token',
        'Deployment selvedge-agent',
      ],
    );
  });

  test('share no name with those of another agent of the cluster but in its own namespace', () => {
    for (const rbac of ['applications', 'cluster-admin']) {
      const wish = { rbac, allow: ['pods'], link: true };
      const names = (namespace: string) =>
        made({ ...wish, namespace })
          .filter(({ metadata }) => metadata.namespace === undefined)
          .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
      const one = new Set(names('one'));
      assert.ok(one.size > 7);
      for (const other of names('two')) assert.ok(!one.has(other), other);
    }
  });

  test('give no right with a wildcard, to escalate, or to impersonate, unless it is asked for', () => {
    for (const rbac of ['minimal', 'applications']) {
      const objects = made({ rbac });
      const rules = objects.flatMap((object) => rulesOf(object));
      assert.ok(rules.length > 0);
      for (const rule of rules) {
        for (const text of [...(rule.apiGroups ?? []), ...(rule.resources ?? []), ...rule.verbs]) {
          assert.ok(!['*', 'escalate', 'bind', 'impersonate'].includes(text), text);
        }
      }
      assert.ok(!objects.some(({ metadata }) => metadata.name.includes('cluster-admin')));
    }
    const minimal = made({ rbac: 'minimal' });
    const everywhere = minimal
      .filter(({ kind }) => kind === 'ClusterRole')
      .flatMap((object) => rulesOf(object));
    assert.deepEqual([...new Set(everywhere.flatMap((rule) => rule.verbs))], ['get', 'list', 'watch']);
    const admin = find(
      made({ rbac: 'cluster-admin' }),
      'ClusterRoleBinding',
      'selvedge-agent-cluster-admin:selvedge-system',
    );
    assert.equal((admin as KubeObject & { roleRef: { name: string } }).roleRef.name, 'cluster-admin');
  });

  test('let the link be whoever is named, under the names that the agent uses', () => {
    const rulesOfLink = (wish: Parameters<typeof made>[0]) =>
      rulesOf(find(made(wish), 'ClusterRole', 'selvedge-agent-link:selvedge-system'));
    const rule = (resource: string, resourceNames: string[]) => [
      { apiGroups: [''], resources: [resource], verbs: ['impersonate'], resourceNames },
    ];
    // Everybody at the hub is in the group system:authenticated there.
    assert.deepEqual(rulesOfLink({ linkUsers: ['alice'] }), [
      ...rule('users', ['selvedge:alice']),
      ...rule('groups', ['selvedge:system:authenticated']),
    ]);
    assert.deepEqual(rulesOfLink({ linkUsers: ['alice', 'bob'], linkGroups: ['site-operators'] }), [
      ...rule('users', ['selvedge:alice', 'selvedge:bob']),
      ...rule('groups', ['selvedge:system:authenticated', 'selvedge:site-operators']),
    ]);
    assert.throws(() => resolveInstall({ linkGroups: ['site-operators'] }), /link user/);
    assert.deepEqual(rulesOfLink({ link: true }), [
      { apiGroups: [''], resources: ['users'], verbs: ['impersonate'] },
      { apiGroups: [''], resources: ['groups'], verbs: ['impersonate'] },
    ]);
  });

  test('allow further resources by the names that kubectl uses', () => {
    assert.deepEqual(parseExtraRule('certificates.cert-manager.io')?.apiGroups, ['cert-manager.io']);
    assert.deepEqual(parseExtraRule('nodes')?.apiGroups, ['']);
    assert.equal(parseExtraRule('Nodes!'), undefined);
    assert.throws(() => resolveInstall({ allow: ['a b'] }), /"a b" has to be a resource/);
    assert.throws(() => resolveInstall({ proxy: 'proxy:1' }), /proxy has to be an address/);
    assert.throws(() => resolveInstall({ namespace: 'A' }), /namespace "A"/);
  });

  test('run as nobody, with nothing to write but their own volume', () => {
    const deployment = find(made(), 'Deployment', 'selvedge-agent') as unknown as {
      spec: { strategy: unknown; template: { spec: { securityContext: object; containers: object[] } } };
    };
    const { securityContext, containers } = deployment.spec.template.spec;
    assert.deepEqual(deployment.spec.strategy, { type: 'Recreate' });
    assert.deepEqual(securityContext, {
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    assert.deepEqual((containers[0] as { securityContext: object }).securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type ClusterRole, clusterRoles, type PolicyRule } from '@selvedge/api';
import { sampleDefinitions } from '../testing/sample-definitions.ts';
import { eventually, startTestServer, type TestServer } from '../testing/test-server.ts';
import { accessDefinitions } from './access-definitions.ts';
import { kubernetesDefaults } from './default-roles.ts';
import { reconcileDefaults } from './reconcile-defaults.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const reviews = '/apis/authorization.k8s.io/v1';
const apiVersion = 'rbac.authorization.k8s.io/v1';

const start = () =>
  startTestServer({ definitions: (store) => [...sampleDefinitions, ...accessDefinitions(store)] });

describe('access', { concurrency: false }, () => {
  let server: TestServer;
  before(async () => {
    server = await start();
  });
  after(() => server.close());

  interface Asked {
    readonly as?: string;
    readonly groups?: string;
    readonly body?: unknown;
    readonly type?: string;
    readonly headers?: Record<string, string>;
  }
  const ask = (method: string, path: string, { as = '', groups = '', body, type, headers }: Asked = {}) =>
    server.request(method, path, {
      ...(body === undefined ? {} : { body }),
      headers: {
        ...(as ? { 'x-user': as } : {}),
        ...(groups ? { 'x-groups': groups } : {}),
        ...(type ? { 'content-type': type } : {}),
        ...headers,
      },
    });
  const create = async (plural: string, body: object, asked: Asked = {}) =>
    ask('POST', `${rbac}/${plural}`, { ...asked, body: { apiVersion, ...body } });
  const role = (name: string, ...rules: PolicyRule[]) => ({ kind: 'Role', metadata: { name }, rules });
  const clusterRole = (name: string, ...rules: PolicyRule[]) => ({
    kind: 'ClusterRole',
    metadata: { name },
    rules,
  });
  const binding = (name: string, roleRef: { kind: string; name: string }, user: string) => ({
    kind: 'RoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', ...roleRef },
    subjects: [{ kind: 'User', name: user }],
  });
  const local = 'namespaces/default';
  const readConfigMaps: PolicyRule = { verbs: ['get', 'list'], apiGroups: [''], resources: ['configmaps'] };
  /** Bindings count some milliseconds after they are stored. */
  const allowed = (as: string, attributes: object) =>
    eventually(async () => {
      const spec = { user: as, resourceAttributes: attributes };
      const answer = await ask('POST', `${reviews}/subjectaccessreviews`, {
        body: { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec },
      });
      const status = answer.body['status'] as { allowed: boolean; reason?: string };
      return status.allowed ? status : undefined;
    });

  /** A user who may do everything to roles and bindings in `default`, but holds no other permission than these. */
  async function manager(name: string, ...rules: PolicyRule[]): Promise<string> {
    const manage = {
      verbs: ['create', 'update', 'patch', 'delete', 'get'],
      apiGroups: ['rbac.authorization.k8s.io'],
      resources: ['roles', 'rolebindings'],
    };
    assert.equal((await create(`${local}/roles`, role(`${name}-s`, manage, ...rules))).status, 201);
    const bound = await create(
      `${local}/rolebindings`,
      binding(name, { kind: 'Role', name: `${name}-s` }, name),
    );
    assert.equal(bound.status, 201);
    await allowed(name, { ...attributesOf(manage), namespace: 'default' });
    return name;
  }
  const attributesOf = ({ verbs, apiGroups, resources }: PolicyRule) => ({
    verb: verbs[0],
    group: apiGroups?.[0],
    resource: resources?.[0],
  });

  describe('by roles', () => {
    test('is refused to who was given nothing, with the words of Kubernetes', async () => {
      const answer = await ask('GET', '/api/v1/namespaces/default/configmaps', { as: 'zoe' });
      assert.equal(answer.status, 403);
      assert.equal(
        answer.body.message,
        'configmaps is forbidden: User "zoe" cannot list resource "configmaps" in API group "" in the namespace "default"',
      );
    });

    test('begins with a binding and ends with it', async () => {
      await create(`${local}/roles`, role('reader', readConfigMaps));
      await create(`${local}/rolebindings`, binding('ann', { kind: 'Role', name: 'reader' }, 'ann'));
      const status = await allowed('ann', { verb: 'list', resource: 'configmaps', namespace: 'default' });
      assert.equal(
        status.reason,
        'RBAC: allowed by RoleBinding "ann/default" of Role "reader" to User "ann"',
      );
      const list = () => ask('GET', '/api/v1/namespaces/default/configmaps', { as: 'ann' });
      assert.equal((await list()).status, 200);
      assert.equal((await ask('GET', '/api/v1/configmaps', { as: 'ann' })).status, 403);
      await ask('DELETE', `${rbac}/${local}/rolebindings/ann`);
      await eventually(async () => ((await list()).status === 403 ? true : undefined));
    });

    test('survives a restart', async () => {
      await create(`${local}/roles`, role('kept', readConfigMaps));
      await create(`${local}/rolebindings`, binding('kept', { kind: 'Role', name: 'kept' }, 'ken'));
      server = await server.restart();
      // At once: a server answers only when it knows all bindings.
      const answer = await ask('GET', '/api/v1/namespaces/default/configmaps', { as: 'ken' });
      assert.equal(answer.status, 200);
    });

    test('to one object by its name also lets watch it by its name', async () => {
      const one = {
        verbs: ['get', 'watch', 'list'],
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['a'],
      };
      await create(`${local}/roles`, role('one', one));
      await create(`${local}/rolebindings`, binding('one', { kind: 'Role', name: 'one' }, 'ono'));
      await allowed('ono', { verb: 'get', resource: 'configmaps', namespace: 'default', name: 'a' });
      const list = (selector: string) =>
        ask('GET', `/api/v1/namespaces/default/configmaps${selector}`, { as: 'ono' });
      assert.equal((await list('?fieldSelector=metadata.name%3Da')).status, 200);
      assert.equal((await list('?fieldSelector=metadata.name%3Db')).status, 403);
      assert.equal((await list('')).status, 403);
    });

    test('of an apply needs patch, and create where there is nothing yet', async () => {
      const patch = { verbs: ['patch'], apiGroups: [''], resources: ['configmaps'] };
      await create(`${local}/roles`, role('patcher', patch));
      await create(`${local}/rolebindings`, binding('pat', { kind: 'Role', name: 'patcher' }, 'pat'));
      await allowed('pat', { verb: 'patch', resource: 'configmaps', namespace: 'default' });
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' } };
      const answer = await ask('PATCH', '/api/v1/namespaces/default/configmaps/applied?fieldManager=t', {
        as: 'pat',
        type: 'application/apply-patch+yaml',
        body,
      });
      assert.equal(answer.status, 403);
      assert.match(answer.body.message, /cannot create resource "configmaps"/);
    });
  });

  describe('escalation', () => {
    test('is refused by creation, update, each patch and apply, with what is missing', async () => {
      const as = await manager('carl', readConfigMaps);
      const secret: PolicyRule = { verbs: ['get'], apiGroups: [''], resources: ['secrets'] };
      const missing =
        'user "carl" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n' +
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}';
      const refused = (answer: { status: number; body: { message: string } }) => {
        assert.equal(answer.status, 403, answer.body.message);
        assert.ok(answer.body.message.endsWith(missing), answer.body.message);
      };
      const path = `${rbac}/${local}/roles/mine`;
      refused(await create(`${local}/roles`, role('mine', secret), { as }));
      const made = await create(`${local}/roles`, role('mine', readConfigMaps), { as });
      assert.equal(made.status, 201, made.body.message);
      refused(await ask('PUT', path, { as, body: { ...made.body, rules: [readConfigMaps, secret] } }));
      const patches: [string, unknown][] = [
        ['application/merge-patch+json', { rules: [secret] }],
        ['application/strategic-merge-patch+json', { rules: [secret] }],
        ['application/json-patch+json', [{ op: 'add', path: '/rules/-', value: secret }]],
      ];
      for (const [type, body] of patches) refused(await ask('PATCH', path, { as, type, body }));
      const applied = { apiVersion, ...role('mine', secret) };
      const apply = `?fieldManager=t&force=true`;
      refused(await ask('PATCH', path + apply, { as, type: 'application/apply-patch+yaml', body: applied }));
      const other = { apiVersion, ...role('another', secret) };
      const target = `${rbac}/${local}/roles/another${apply}`;
      refused(await ask('PATCH', target, { as, type: 'application/apply-patch+yaml', body: other }));
      // A dry run tells the same.
      refused(
        await ask('PATCH', `${path}?dryRun=All`, {
          as,
          type: 'application/merge-patch+json',
          body: { rules: [secret] },
        }),
      );
    });

    test('by a binding needs the permissions of the role, or the verb bind', async () => {
      const as = await manager('dora', readConfigMaps);
      const bind = (name: string, to: { kind: string; name: string }) =>
        create(`${local}/rolebindings`, binding(name, to, 'dora'), { as });
      const admin = { kind: 'ClusterRole', name: 'cluster-admin' };
      const refused = await bind('all', admin);
      assert.equal(refused.status, 403);
      assert.match(refused.body.message, /not currently held:\n\{APIGroups:\["\*"\]/);
      assert.equal((await bind('none', { kind: 'Role', name: 'nowhere' })).status, 404);
      await create(`${local}/roles`, role('small', readConfigMaps));
      assert.equal((await bind('small', { kind: 'Role', name: 'small' })).status, 201);
      await create(
        'clusterroles',
        clusterRole('may-bind', { ...bindRule('bind'), resourceNames: ['cluster-admin'] }),
      );
      await create(
        `${local}/rolebindings`,
        binding('may-bind', { kind: 'ClusterRole', name: 'may-bind' }, as),
      );
      const attributes = { verb: 'bind', group: 'rbac.authorization.k8s.io', resource: 'clusterroles' };
      await allowed(as, { ...attributes, namespace: 'default', name: 'cluster-admin' });
      assert.equal((await bind('all', admin)).status, 201);
    });

    const bindRule = (verb: string): PolicyRule => ({
      verbs: [verb],
      apiGroups: ['rbac.authorization.k8s.io'],
      resources: ['clusterroles', 'roles'],
    });

    test('is refused for a role that waits for its finalizers: it still grants', async () => {
      const as = await manager('hugo', readConfigMaps);
      const held = {
        ...role('held', readConfigMaps),
        metadata: { name: 'held', finalizers: ['a.dev/wait'] },
      };
      assert.equal((await create(`${local}/roles`, held, { as })).status, 201);
      const path = `${rbac}/${local}/roles/held`;
      assert.equal((await ask('DELETE', path)).status, 200);
      const type = 'application/merge-patch+json';
      const everything: PolicyRule = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] };
      const refused = await ask('PATCH', path, { as, type, body: { rules: [everything] } });
      assert.equal(refused.status, 403, refused.body.message);
      const freed = await ask('PATCH', path, { as, type, body: { metadata: { finalizers: null } } });
      assert.equal(freed.status, 200, freed.body.message);
    });

    test('is allowed to who has the verb escalate', async () => {
      const as = await manager('eve', bindRule('escalate'));
      const rule: PolicyRule = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] };
      const made = await create(`${local}/roles`, role('everything', rule), { as });
      assert.equal(made.status, 201, made.body.message);
    });

    test('by a label that adds a role to an aggregated one is refused', async () => {
      const patchRoles = { ...bindRule('patch'), verbs: ['patch', 'update', 'create'] };
      await create('clusterroles', clusterRole('label-roles', patchRoles));
      await create(
        'clusterroles',
        clusterRole('strong', { verbs: ['*'], apiGroups: ['*'], resources: ['*'] }),
      );
      await create('clusterrolebindings', {
        ...binding('fay', { kind: 'ClusterRole', name: 'label-roles' }, 'fay'),
        kind: 'ClusterRoleBinding',
      });
      await allowed('fay', { verb: 'patch', group: 'rbac.authorization.k8s.io', resource: 'clusterroles' });
      const answer = await ask('PATCH', `${rbac}/clusterroles/strong`, {
        as: 'fay',
        type: 'application/merge-patch+json',
        body: { metadata: { labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } } },
      });
      assert.equal(answer.status, 403);
      const aggregation = { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] };
      const aggregated = { ...clusterRole('gather'), aggregationRule: aggregation };
      const refused = await create('clusterroles', aggregated, { as: 'fay' });
      assert.match(refused.body.message, /must have cluster-admin privileges to use the aggregationRule/);
    });

    test('does not stand in the way of finalizers and owners', async () => {
      const as = await manager('gus');
      await create(`${local}/roles`, role('held', readConfigMaps));
      const answer = await ask('PATCH', `${rbac}/${local}/roles/held`, {
        as,
        type: 'application/merge-patch+json',
        body: { metadata: { finalizers: ['example.dev/hold'] } },
      });
      assert.equal(answer.status, 200, answer.body.message);
      await ask('PATCH', `${rbac}/${local}/roles/held`, {
        type: 'application/merge-patch+json',
        body: { metadata: { finalizers: null } },
      });
    });
  });

  describe('roles and bindings', () => {
    test('are checked as in Kubernetes', async () => {
      const wrong: [string, object, RegExp][] = [
        [`${local}/roles`, role('a/b'), /may not contain '\/'/],
        [
          `${local}/roles`,
          role('a', { verbs: [], apiGroups: [''], resources: ['x'] }),
          /rules\[0\]\.verbs: Required/,
        ],
        [
          `${local}/roles`,
          role('a', { verbs: ['get'] }),
          /rules\[0\]\.apiGroups: Required value.*rules\[0\]\.resources/,
        ],
        [
          `${local}/roles`,
          role('a', { verbs: ['get'], nonResourceURLs: ['/x'] }),
          /namespaced rules cannot apply/,
        ],
        [
          `${local}/rolebindings`,
          binding('a', { kind: 'Thing', name: 'x' }, 'u'),
          /roleRef\.kind: Unsupported value: "Thing"/,
        ],
        [
          'clusterrolebindings',
          { ...binding('a', { kind: 'Role', name: 'x' }, 'u'), kind: 'ClusterRoleBinding' },
          /roleRef\.kind/,
        ],
        [
          'clusterrolebindings',
          {
            ...binding('a', { kind: 'ClusterRole', name: 'x' }, 'u'),
            kind: 'ClusterRoleBinding',
            subjects: [{ kind: 'ServiceAccount', name: 'x' }],
          },
          /subjects\[0\]\.namespace: Required/,
        ],
      ];
      for (const [plural, body, message] of wrong) {
        const answer = await create(plural, body);
        assert.equal(answer.status, 422, answer.body.message);
        assert.match(answer.body.message, message);
      }
    });

    test('may be called almost anything', async () => {
      const name = 'system:odd Name_1';
      assert.equal((await create(`${local}/roles`, role(name, readConfigMaps))).status, 201);
      const path = `${rbac}/${local}/roles/${encodeURIComponent(name)}`;
      assert.equal((await ask('GET', path)).status, 200);
    });

    test('cannot be pointed at another role, but subjects can change', async () => {
      const made = await create(
        `${local}/rolebindings`,
        binding('fixed', { kind: 'Role', name: 'reader' }, 'u'),
      );
      const path = `${rbac}/${local}/rolebindings/fixed`;
      const roleRef = { kind: 'ClusterRole', name: 'view' };
      const refused = await ask('PUT', path, { body: { ...made.body, roleRef } });
      assert.match(refused.body.message, /cannot change roleRef/);
      const subjects = [{ kind: 'Group', name: 'staff' }];
      const changed = await ask('PUT', path, { body: { ...made.body, subjects } });
      assert.deepEqual(changed.body['subjects'], [{ apiGroup: 'rbac.authorization.k8s.io', ...subjects[0] }]);
    });
  });

  describe('default roles', () => {
    const find = (name: string) => server.client.get<ClusterRole>(clusterRoles, { name });

    test('are aggregated; view does not read secrets', async () => {
      const admin = await eventually(async () =>
        (await find('admin')).rules?.length ? find('admin') : undefined,
      );
      assert.ok(admin.rules?.some((rule) => rule.resources?.includes('rolebindings')));
      const view = await find('view');
      assert.ok(view.rules?.some((rule) => rule.resources?.includes('configmaps')));
      assert.ok(!JSON.stringify(view.rules).includes('secrets'));
      const spec = { resourceAttributes: { verb: 'list', resource: 'secrets', namespace: 'default' } };
      await create(`${local}/rolebindings`, binding('vic', { kind: 'ClusterRole', name: 'view' }, 'vic'));
      await allowed('vic', { ...spec.resourceAttributes, resource: 'configmaps' });
      assert.equal((await ask('GET', '/api/v1/namespaces/default/secrets', { as: 'vic' })).status, 403);
    });

    test('take up a new part, and let it go with its label', async () => {
      const label = 'rbac.authorization.k8s.io/aggregate-to-view';
      const part = clusterRole('more', {
        verbs: ['get'],
        apiGroups: ['example.dev'],
        resources: ['gadgets'],
      });
      await create('clusterroles', { ...part, metadata: { name: 'more', labels: { [label]: 'true' } } });
      const hasGadgets = async (name: string) => JSON.stringify((await find(name)).rules).includes('gadgets');
      for (const name of ['view', 'edit', 'admin']) {
        await eventually(async () => (await hasGadgets(name)) || undefined);
      }
      await server.client.mergePatch(
        clusterRoles,
        { name: 'more' },
        { metadata: { labels: { [label]: null } } },
      );
      await eventually(async () => !(await hasGadgets('admin')) || undefined);
    });

    test('get back what they lack at the next start, keep what was added, and are left alone when told so', async () => {
      const mine: PolicyRule = { verbs: ['get'], nonResourceURLs: ['/mine'] };
      await server.client.mergePatch(clusterRoles, { name: 'system:discovery' }, { rules: [mine] });
      const annotations = { 'rbac.authorization.kubernetes.io/autoupdate': 'false' };
      const basic = { metadata: { annotations }, rules: [] };
      await server.client.mergePatch(clusterRoles, { name: 'system:basic-user' }, basic);
      await server.client.delete(clusterRoles, { name: 'system:monitoring' });
      server = await server.restart();
      const paths =
        (await find('system:discovery')).rules?.flatMap((rule) => rule.nonResourceURLs ?? []) ?? [];
      assert.ok(paths.includes('/mine') && paths.includes('/openapi/*'));
      assert.deepEqual((await find('system:basic-user')).rules ?? [], []);
      assert.ok((await find('system:monitoring')).rules?.length);
    });

    test('are written once: a second look, or a second hub, changes nothing', async () => {
      const before = await server.store.objects.currentRevision();
      await Promise.all([
        reconcileDefaults(server.client, kubernetesDefaults),
        reconcileDefaults(server.client, kubernetesDefaults),
      ]);
      assert.equal(await server.store.objects.currentRevision(), before);
    });
  });

  describe('impersonation', () => {
    const whoami = (headers: Record<string, string>, as = '') =>
      ask('POST', `${reviews}/selfsubjectaccessreviews`, {
        as,
        headers,
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes: { verb: 'get', resource: 'configmaps', namespace: 'default' } },
        },
      });

    test('acts with the permissions of the other, no more', async () => {
      const list = (user: string) =>
        ask('GET', '/api/v1/namespaces/default/secrets', { headers: { 'impersonate-user': user } });
      assert.equal((await ask('GET', '/api/v1/namespaces/default/secrets')).status, 200);
      const refused = await list('vic');
      assert.equal(refused.status, 403);
      assert.match(refused.body.message, /User "vic" cannot list/);
    });

    test('is refused without the verb, for each part of it, naming the caller', async () => {
      const rule = { verbs: ['impersonate'], apiGroups: [''], resources: ['users'], resourceNames: ['vic'] };
      await create('clusterroles', clusterRole('imp', rule));
      await create('clusterrolebindings', {
        ...binding('imp', { kind: 'ClusterRole', name: 'imp' }, 'ivy'),
        kind: 'ClusterRoleBinding',
      });
      await allowed('ivy', { verb: 'impersonate', resource: 'users', name: 'vic' });
      const asVic = { as: 'ivy', headers: { 'impersonate-user': 'vic' } };
      assert.equal((await ask('GET', '/api/v1/namespaces/default/configmaps', asVic)).status, 200);
      const refused: [Record<string, string>, RegExp][] = [
        [
          { 'impersonate-user': 'root' },
          /users "root" is forbidden: User "ivy" cannot impersonate resource "users"/,
        ],
        [{ 'impersonate-group': 'system:masters' }, /groups "system:masters" is forbidden/],
        [{ 'impersonate-uid': '1' }, /uids\.authentication\.k8s\.io "1" is forbidden/],
        [
          { 'impersonate-extra-acme.com%2fteam': 'x' },
          /userextras\.authentication\.k8s\.io "x" .* resource "userextras\/acme\.com\/team"/,
        ],
        [{ 'impersonate-user': 'system:serviceaccount:default:ci' }, /serviceaccounts "ci" is forbidden/],
      ];
      for (const [headers, message] of refused) {
        const answer = await whoami({ 'impersonate-user': 'vic', ...headers }, 'ivy');
        assert.equal(answer.status, 403);
        assert.match(answer.body.message, message);
      }
    });

    test('of groups alone, twice of a user, or with an unknown header makes no sense', async () => {
      const wrong = [
        { 'impersonate-group': 'a' },
        { 'impersonate-uid': 'a' },
        { 'impersonate-user': 'a', 'impersonate-what': 'b' },
      ];
      for (const headers of wrong)
        assert.equal((await whoami(headers as Record<string, string>)).status, 400);
    });
  });

  describe('reviews', () => {
    const review = (kind: string, spec: object, asked: Asked & { namespace?: string } = {}) => {
      const place = asked.namespace ? `namespaces/${asked.namespace}/` : '';
      const metadata = asked.namespace ? { metadata: { namespace: asked.namespace } } : {};
      const body = { apiVersion: 'authorization.k8s.io/v1', kind, ...metadata, spec };
      return ask('POST', `${reviews}/${place}${kind.toLowerCase()}s`, { ...asked, body });
    };

    test('of oneself are open to every known user', async () => {
      const spec = { resourceAttributes: { verb: 'get', resource: 'secrets' } };
      const groups = 'system:authenticated';
      const answer = await review('SelfSubjectAccessReview', spec, { as: 'zoe', groups });
      assert.equal(answer.status, 403, 'its role was emptied above');
      await server.client.delete(clusterRoles, { name: 'system:basic-user' });
      await reconcileDefaults(server.client, kubernetesDefaults);
      await eventually(async () => {
        const { status, body } = await review('SelfSubjectAccessReview', spec, { as: 'zoe', groups });
        return status === 201 && (body['status'] as { allowed: boolean }).allowed === false
          ? true
          : undefined;
      });
      const rules = await review('SelfSubjectRulesReview', { namespace: 'default' }, { as: 'vic' });
      const { resourceRules, incomplete } = rules.body['status'] as {
        resourceRules: PolicyRule[];
        incomplete: boolean;
      };
      assert.ok(resourceRules.some((rule) => rule.resources?.includes('configmaps')));
      assert.equal(incomplete, false);
    });

    test('of others need a permission', async () => {
      const spec = { user: 'vic', resourceAttributes: { verb: 'get', resource: 'secrets' } };
      assert.equal((await review('SubjectAccessReview', spec, { as: 'zoe' })).status, 403);
    });

    test('of groups, service accounts, paths and subresources', async () => {
      const isAllowed = async (spec: object) =>
        ((await review('SubjectAccessReview', spec)).body['status'] as { allowed: boolean }).allowed;
      const asked = { resourceAttributes: { verb: '*', group: '*', resource: '*' } };
      assert.equal(await isAllowed({ groups: ['system:masters'], ...asked }), true);
      const path = { nonResourceAttributes: { verb: 'get', path: '/apis/apps/v1' } };
      assert.equal(await isAllowed({ user: 'zoe', groups: ['system:authenticated'], ...path }), true);
      assert.equal(await isAllowed({ user: 'zoe', ...path }), false);
    });

    test('that ask nothing, everything at once, or another namespace are wrong', async () => {
      const resourceAttributes = { verb: 'get', resource: 'pods', namespace: 'default' };
      const wrong: [string, object, number][] = [
        ['SubjectAccessReview', { user: 'a' }, 422],
        ['SubjectAccessReview', { resourceAttributes }, 422],
        ['SubjectAccessReview', { user: 'a', resourceAttributes, nonResourceAttributes: { path: '/' } }, 422],
        ['SelfSubjectRulesReview', {}, 400],
      ];
      for (const [kind, spec, status] of wrong) assert.equal((await review(kind, spec)).status, status, kind);
      const inNamespace = (spec: object) =>
        review('LocalSubjectAccessReview', { user: 'vic', ...spec }, { namespace: 'default' });
      assert.equal((await inNamespace({ resourceAttributes })).status, 201);
      assert.equal(
        (await inNamespace({ resourceAttributes: { ...resourceAttributes, namespace: 'x' } })).status,
        422,
      );
    });
  });
});

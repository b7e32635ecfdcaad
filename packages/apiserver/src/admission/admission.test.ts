import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import { accessDefinitions } from '../authorization/access-definitions.ts';
import type { ResourceDefinition } from '../resource-definition.ts';
import { ResourceCatalog } from '../registry/resource-catalog.ts';
import { gadgetDefinition, sampleDefinitions } from '../testing/sample-definitions.ts';
import { eventually, startTestServer, type TestServer } from '../testing/test-server.ts';

const path = '/api/v1/namespaces/default/configmaps';
const uid = '5a8b1a1e-0000-4000-8000-000000000001';

/** With a rule for its status, and one that looks back. */
const ruledDefinition: ResourceDefinition = {
  ...gadgetDefinition,
  ref: { ...gadgetDefinition.ref, plural: 'ruled', kind: 'Ruled' },
  singular: 'ruled1',
  shortNames: [],
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: { size: { type: 'integer' }, owner: { type: 'string', maxLength: 20 } },
        'x-kubernetes-validations': [
          { rule: 'self.size < 10', message: 'keep it below 10', fieldPath: '.size' },
          { rule: '!has(oldSelf.owner) || self.owner == oldSelf.owner', message: 'has an owner already' },
        ],
      },
      status: {
        type: 'object',
        properties: { seen: { type: 'integer' } },
        'x-kubernetes-validations': [{ rule: 'self.seen >= oldSelf.seen', message: 'cannot go back' }],
      },
    },
  },
};

describe('what is written', { concurrency: false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      definitions: (store) => [...sampleDefinitions, ruledDefinition, ...accessDefinitions(store)],
    });
  });
  after(() => server.close());

  const create = (metadata: object, headers: Record<string, string> = {}) =>
    server.request('POST', path, { body: { apiVersion: 'v1', kind: 'ConfigMap', metadata }, headers });
  const refused = async (metadata: object, message: RegExp, status = 422) => {
    const answer = await create({ name: 'wrong', ...metadata });
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.body.message, message);
  };

  test('has a name that its kind may have', async () => {
    await refused({ name: 'A' }, /metadata\.name: Invalid value: "A"/);
    await refused({ name: '' }, /metadata\.name: Required value: name or generateName is required/);
    await refused({ name: '', generateName: 'A-' }, /metadata\.generateName: Invalid value: "A-"/);
    const made = await create({ generateName: 'till-' });
    assert.match((made.body['metadata'] as { name: string }).name, /^till-[a-z0-9]{5}$/);
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a.b' } };
    assert.equal((await server.request('POST', '/api/v1/namespaces', { body })).status, 422);
  });

  test('has labels and annotations of the right form', async () => {
    await refused({ labels: { '-a': 'b' } }, /metadata\.labels: Invalid value: "-a"/);
    await refused({ labels: { a: 'b c' } }, /metadata\.labels.*Invalid value: "b c"/);
    await refused({ labels: { 'Example.com/a': '' } }, /prefix part must be/);
    await refused({ annotations: { 'a/b/c': '' } }, /metadata\.annotations: Invalid value: "a\/b\/c"/);
    // As in Kubernetes, where only the keys of labels have to be in lower case before the slash.
    assert.equal((await create({ name: 'upper', annotations: { 'Example.com/A': '' } })).status, 201);
  });

  test('has finalizers with names that others do not use, or is warned', async () => {
    await refused({ finalizers: ['a b'] }, /metadata\.finalizers\[0\]: Invalid value: "a b"/);
    await refused({ finalizers: ['orphan', 'foregroundDeletion'] }, /cannot both be set/);
    await refused(
      { finalizers: ['mine'] },
      /name is neither a standard finalizer name nor is it fully qualified/,
    );
    // Custom resources may, as in Kubernetes.
    const gadget = {
      apiVersion: 'example.dev/v1alpha1',
      kind: 'Gadget',
      metadata: { name: 'plain', finalizers: ['mine', 'example.dev/theirs'] },
      spec: { size: 1 },
    };
    const gadgets = '/apis/example.dev/v1alpha1/namespaces/default/gadgets';
    const plain = await server.request('POST', gadgets, { body: gadget });
    assert.equal(plain.status, 201);
    const warning = plain.headers.get('warning') ?? '';
    assert.match(warning, /metadata\.finalizers: \\"mine\\": prefer a domain-qualified finalizer name/);
    assert.ok(!warning.includes('theirs'));
  });

  test('names its owners completely, one of them in charge', async () => {
    const owner = { apiVersion: 'v1', kind: 'Secret', name: 'o', uid };
    await refused({ ownerReferences: [{ ...owner, name: '' }] }, /ownerReferences\[0\]\.name: Required/);
    await refused(
      { ownerReferences: [{ ...owner, apiVersion: 'a/b/c' }] },
      /must be VERSION or GROUP\/VERSION/,
    );
    await refused({ ownerReferences: [{ ...owner, kind: 'Event' }] }, /is disallowed from being an owner/);
    const repeated = await create({
      name: 'repeated',
      ownerReferences: [owner, owner, { ...owner, uid: 'u' }],
    });
    assert.equal((repeated.body['metadata'] as { ownerReferences: object[] }).ownerReferences.length, 2);
    assert.match(repeated.headers.get('warning') ?? '', /ownerReferences contains duplicate entries/);
    await refused({ ownerReferences: [null, null, 'x', 'x'] }, /metadata\.ownerReferences\[0\]/);
    const two = [
      { ...owner, controller: true },
      { ...owner, uid: `${uid}2`, name: 'p', controller: true },
    ];
    await refused({ ownerReferences: two }, /Only one reference can have Controller set to true/);
  });

  test('makes the deletion of an owner wait only if its writer may set the finalizers of that', async () => {
    const rules = [
      { verbs: ['create', 'update', 'patch', 'get'], apiGroups: [''], resources: ['configmaps'] },
    ];
    const kind = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'writer' } };
    const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
    await server.request('POST', `${rbac}/roles`, { body: { ...kind, kind: 'Role', rules } });
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'writer' };
    const subjects = [{ kind: 'User', name: 'will' }];
    await server.request('POST', `${rbac}/rolebindings`, {
      body: { ...kind, kind: 'RoleBinding', roleRef, subjects },
    });
    await eventually(async () =>
      (await create({ generateName: 'x-' }, { 'x-user': 'will' })).status === 201 ? true : undefined,
    );
    const owner = { apiVersion: 'v1', kind: 'Secret', name: 'o', uid };
    const blocking = { ownerReferences: [{ ...owner, blockOwnerDeletion: true }] };
    const answer = await create({ name: 'blocking', ...blocking }, { 'x-user': 'will' });
    assert.equal(answer.status, 403);
    assert.match(
      answer.body.message,
      /cannot set blockOwnerDeletion if an ownerReference refers to a resource/,
    );
    const unknown = { ownerReferences: [{ ...owner, kind: 'Surprise', blockOwnerDeletion: true }] };
    const other = await create({ name: 'unknown', ...unknown }, { 'x-user': 'will' });
    assert.match(other.body.message, /the kind v1 Surprise is not known/);
    const plain = await create({ name: 'plain-owner', ownerReferences: [owner] }, { 'x-user': 'will' });
    assert.equal(plain.status, 201);
  });

  describe('keeps to the CEL rules of its kind', () => {
    const ruled = '/apis/example.dev/v1alpha1/namespaces/default/ruled';
    const object = (spec: object, more: object = {}) => ({
      apiVersion: 'example.dev/v1alpha1',
      kind: 'Ruled',
      metadata: { name: 'r' },
      spec,
      ...more,
    });

    test('when it is made, changed, applied, and in its status', async () => {
      const wrong = await server.request('POST', ruled, { body: object({ size: 10 }) });
      assert.equal(wrong.status, 422);
      assert.deepEqual((wrong.body['details'] as { causes: object[] }).causes, [
        {
          reason: 'FieldValueInvalid',
          field: 'spec.size',
          message: 'Invalid value: "object": keep it below 10',
        },
      ]);
      const made = await server.request('POST', ruled, { body: object({ size: 1, owner: 'ann' }) });
      assert.equal(made.status, 201);
      const patch = (body: object, at = '', type = 'application/merge-patch+json') =>
        server.request('PATCH', `${ruled}/r${at}`, { body, headers: { 'content-type': type } });
      assert.match((await patch({ spec: { owner: 'bob' } })).body.message, /spec: .*has an owner already/);
      const apply = object({ size: 11, owner: 'ann' });
      const applied = await patch(apply, '?fieldManager=t&force=true', 'application/apply-patch+yaml');
      assert.match(applied.body.message, /keep it below 10/);
      assert.equal((await patch({ status: { seen: 5 } }, '/status')).status, 200);
      assert.match(
        (await patch({ status: { seen: 4 } }, '/status')).body.message,
        /status: .*cannot go back/,
      );
      // The status is its own part: a rule of the spec does not stand in its way, nor the other way round.
      assert.equal((await patch({ spec: { size: 2 } })).status, 200);
    });

    test('which clients can read', async () => {
      const document = await server.request('GET', '/openapi/v3/apis/example.dev/v1alpha1');
      const { schemas } = document.body['components'] as {
        schemas: Record<string, { properties: KubeObject }>;
      };
      const spec = schemas['dev.example.v1alpha1.Ruled']?.properties['spec'] as Record<string, unknown>;
      assert.equal((spec['x-kubernetes-validations'] as object[]).length, 2);
    });

    test('and a kind whose rule cannot be compiled does not start', () => {
      const schema = {
        type: 'object',
        properties: {
          spec: {
            type: 'object',
            properties: { size: { type: 'integer' } },
            'x-kubernetes-validations': [{ rule: 'self.sise > 1' }],
          },
        },
      };
      const broken = { ...ruledDefinition, schema };
      assert.throws(
        () => new ResourceCatalog([broken]),
        /the validation rule of Ruled\.spec cannot be used: self\.sise > 1: No such key: sise/,
      );
    });
  });
});

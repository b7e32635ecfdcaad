import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type Application,
  applications,
  isStatusError,
  type KubeObject,
  type ObjectClient,
  type Site,
  sites,
} from '@selvedge/api';
import { ResourceLab } from './testing/resource-lab.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const where = { namespace: 'default', name: 'till' };
const finalizers = ['selvedge.dev/removal'];
const till: Application = {
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Application',
  metadata: { ...where, finalizers },
  spec: {
    source: { inline: { manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } }] } },
    placement: { siteSelector: {} },
  },
};
let lab: ResourceLab;
let admin: ObjectClient;

before(async () => {
  lab = await ResourceLab.start();
  ({ admin } = lab);
  for (const [name, role] of [
    ['ed', 'edit'],
    ['fleet', 'selvedge:fleet-admin'],
    // Consent stands in the object: who gives it has to be allowed to change that, too.
    ['ann', 'edit'],
    ['ann', 'selvedge:fleet-admin'],
    ['ann', 'selvedge:release-approver'],
  ] as const) {
    await lab.bind(name, role);
  }
  const application = await admin.create<Application>(applications, till);
  const heldRemoval = {
    digest,
    reason: 'TooMany',
    message: 'till is to leave 9 of 9 sites',
    sites: 9,
    of: 9,
    names: [],
    volumes: false,
    sinceTime: '2026-01-01T00:00:00Z',
  };
  await admin.updateStatus(applications, { ...application, status: { heldRemoval } });
  await admin.create<Site>(sites, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name: 'shop-1', finalizers },
  });
});

after(() => lab[Symbol.asyncDispose]());

/** What keeps the user from the change; '' when nothing does. */
async function refusal(user: string, patch: object, resource = applications): Promise<string> {
  const client = lab.as(user);
  const name = resource === applications ? where : { name: 'shop-1' };
  try {
    await client.mergePatch(resource, name, patch);
    return '';
  } catch (error) {
    assert.ok(isStatusError(error, 'Forbidden'), String(error));
    return error.message;
  }
}

describe('a held removal', () => {
  const consent = { spec: { removal: { approved: { digest } } } };

  test('is approved by who may approve, not by everybody who may edit', async () => {
    assert.match(await refusal('ed', consent), /"till" is forbidden.*"ed".*verb "approve"/);
    assert.equal(await refusal('ann', consent), '');
    // What stands there is no news, and to take consent back everybody may.
    assert.equal(await refusal('ed', { metadata: { labels: { a: 'b' } } }), '');
    assert.equal(await refusal('ed', { spec: { removal: { approved: null } } }), '');
    assert.match(await refusal('fleet', consent, sites), /sites\.selvedge\.dev "shop-1" is forbidden/);
    assert.equal(await refusal('ann', consent, sites), '');
  });

  test('is not let go by a wider guard either, nor is one widened before', async () => {
    const guarded = (guard: object | null) => ({ spec: { removal: { guard } } });
    const wider = /to widen the guard beyond 3 sites and 10% .*"ed" needs the verb "approve"/;
    assert.match(await refusal('ed', guarded({ sites: 1000 })), wider);
    assert.match(await refusal('ed', guarded({ sites: 0, percent: 100 })), wider);
    assert.equal(await refusal('ed', guarded({ sites: 0, percent: 0 })), '');
    assert.match(await refusal('ed', guarded(null)), /beyond 0 sites and 0%/);
    assert.equal(await refusal('ann', guarded({ sites: 1000 })), '');
    assert.equal(await refusal('ed', { metadata: { labels: { a: 'c' } } }), '');
  });

  test('is not forestalled by an Application that is made with a wide guard', async () => {
    const make = (user: string, guard: object) =>
      lab.as(user).create<Application>(applications, {
        ...till,
        metadata: { namespace: 'default', name: `wide-${user}` },
        spec: { ...till.spec, removal: { guard } },
      });
    await assert.rejects(make('ed', { percent: 100 }), (error) => isStatusError(error, 'Forbidden'));
    await make('ed', { sites: 1 });
    await make('ann', { percent: 100 });
  });

  test('keeps its finalizer while the object lives, whatever clients send', async () => {
    const user = { name: 'ann', groups: ['system:authenticated'] };
    for (const [ref, name] of [
      [applications, where],
      [sites, { name: 'shop-1' }],
    ] as const) {
      const client = lab.api.client(user);
      const patched = await client.mergePatch<KubeObject>(ref, name, {
        metadata: { finalizers: null, annotations: { by: 'patch' } },
      });
      assert.deepEqual(patched.metadata.finalizers, finalizers);
      // As kubectl replace of a file does.
      const { finalizers: _, ...metadata } = patched.metadata;
      const replaced = await client.update<KubeObject>(ref, {
        ...patched,
        metadata: { ...metadata, annotations: { by: 'replace' } },
      });
      assert.deepEqual(replaced.metadata.finalizers, finalizers);
      assert.equal(replaced.metadata.annotations?.['by'], 'replace');
      // GitOps with server-side apply: once with it, then without.
      const { apiVersion, kind, spec } = patched;
      for (const applied of [{ ...name, finalizers }, name]) {
        const sent = { apiVersion, kind, metadata: applied, ...(spec === undefined ? {} : { spec }) };
        const now = await client.apply<KubeObject>(ref, sent, { fieldManager: 'gitops', force: true });
        assert.deepEqual(now.metadata.finalizers, finalizers);
      }
      const own = await client.mergePatch<KubeObject>(ref, name, {
        metadata: { finalizers: ['example.com/own'] },
      });
      assert.deepEqual(own.metadata.finalizers, ['example.com/own', ...finalizers]);
      await client.mergePatch(ref, name, { metadata: { finalizers } });
    }
  });

  test('nor by taking the finalizer away, also while the object is being deleted', async () => {
    const bare = { metadata: { finalizers: null } };
    await admin.delete(applications, where);
    await admin.delete(sites, { name: 'shop-1' });
    assert.match(await refusal('ed', bare), /take the finalizer selvedge\.dev\/removal away/);
    assert.match(
      await refusal('ed', { spec: { removal: { approved: { digest, volumes: true } } } }),
      /approve/,
    );
    assert.match(await refusal('fleet', bare, sites), /take the finalizer/);
    assert.equal(await refusal('ann', bare, sites), '');
    assert.equal(await admin.find(sites, { name: 'shop-1' }), undefined);
  });
});

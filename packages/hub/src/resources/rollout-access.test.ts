import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import {
  type Application,
  applications,
  isStatusError,
  type ObjectClient,
  type Release,
  type Rollout,
  type RolloutSpec,
  type RolloutStrategy,
  releases,
  rollouts,
} from '@selvedge/api';
import { ResourceLab } from './testing/resource-lab.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const where = { namespace: 'default', name: 'till-1' };

let lab: ResourceLab;
let admin: ObjectClient;
let url: string;

before(async () => {
  lab = await ResourceLab.start();
  ({ admin } = lab);
  // Nobody has this by default: `edit` reads releases only.
  await lab.makeRole('release-editor', [
    { verbs: ['patch', 'update'], apiGroups: ['selvedge.dev'], resources: ['releases'] },
  ]);
  for (const [name, role] of [
    ['ed', 'release-editor'],
    ['ada', 'release-editor'],
    ['ed', 'edit'],
    ['ada', 'admin'],
    ['ann', 'selvedge:release-approver'],
  ] as const) {
    await lab.bind(name, role);
  }
  const http = createServer((req, res) => {
    const name = String(req.headers['x-user']);
    void lab.api.handle(req, res, { certificateUser: { name, groups: ['system:authenticated'] } });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  lab.defer(async () => {
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  });
  url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
});

after(() => lab[Symbol.asyncDispose]());

const as = (name: string) => lab.as(name);

async function makeRollout(spec: Partial<RolloutSpec> = {}): Promise<void> {
  if (await admin.find(rollouts, where)) await admin.delete(rollouts, where);
  await admin.create<Rollout>(rollouts, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Rollout',
    metadata: where,
    spec: { application: 'till', release: 'till-aaaaaaaaaa', digest, strategy: {}, ...spec },
  });
}

const makeApplication = (name: string, rollout: RolloutStrategy) =>
  admin.create<Application>(applications, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: { namespace: 'default', name },
    spec: {
      source: {
        inline: { manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } }] },
      },
      placement: { siteSelector: {} },
      rollout,
    },
  });

const patch = (name: string, spec: object) => as(name).mergePatch<Rollout>(rollouts, where, { spec });

const isForbidden = (error: unknown) => isStatusError(error, 'Forbidden');

/** Roles are followed, not waited for: a new binding counts a moment later. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function refusal(
  attempt: Promise<unknown>,
): Promise<{ message: string; fields: (string | undefined)[] }> {
  try {
    await attempt;
  } catch (error) {
    if (!isStatusError(error)) throw error;
    return { message: error.message, fields: (error.details.causes ?? []).map(({ field }) => field) };
  }
  return { message: '', fields: [] };
}

describe('a Rollout', () => {
  test('is paused and resumed by who may edit', async () => {
    await makeRollout();
    await eventually(async () => assert.equal((await patch('ed', { paused: true })).spec.paused, true));
    assert.equal((await patch('ed', { paused: false })).spec.paused, false);
    const present = await as('ed').get<Rollout>(rollouts, where);
    await as('ed').update<Rollout>(rollouts, { ...present, spec: { ...present.spec, paused: true } });
    const { apiVersion, kind, spec } = present;
    const applied = { apiVersion, kind, metadata: where, spec: { ...spec, paused: false } };
    const options = { fieldManager: 'gitops', force: true };
    assert.equal((await as('ed').apply<Rollout>(rollouts, applied, options)).spec.paused, false);
  });

  test('is let go on, waived and stopped only by who may approve', async () => {
    await makeRollout();
    await eventually(async () => assert.ok(await as('ed').find(rollouts, where)));
    for (const decision of [{ approvedWaves: ['rest'] }, { waivedWaves: ['canary'] }, { stop: 'Abort' }]) {
      const [field] = Object.keys(decision);
      await assert.rejects(patch('ed', decision), (error) => {
        assert.ok(isStatusError(error, 'Forbidden'));
        assert.match(
          error.message,
          new RegExp(
            `rollouts\\.selvedge\\.dev "till-1" is forbidden: to change spec\\.${field}, user "ed" needs the verb "approve"`,
          ),
        );
        return true;
      });
      await eventually(async () => {
        await patch('ann', decision);
      });
      // It stands there: changing something else is no decision.
      await patch('ed', { paused: true });
      await assert.rejects(patch('ed', { ...decision, [field ?? '']: null }), isForbidden);
      await patch('ada', { [field ?? '']: null });
    }
  });

  test('has its budget and deadline changed only by who may approve', async () => {
    await makeRollout({ strategy: { budget: { failed: 1 }, deadline: '10m' } });
    await eventually(async () => assert.ok(await as('ed').find(rollouts, where)));
    for (const strategy of [{ budget: { failed: '100%' } }, { budget: null }, { deadline: '100000h' }]) {
      const [field] = Object.keys(strategy);
      await assert.rejects(patch('ed', { strategy }), (error) => {
        assert.ok(isForbidden(error));
        assert.match(
          String(error),
          new RegExp(`to change spec\\.strategy\\.${field}, user "ed" needs the verb`),
        );
        return true;
      });
      await eventually(async () => {
        await patch('ann', { strategy });
      });
    }
    assert.equal((await patch('ed', { paused: true })).spec.paused, true);
  });

  test('is prepared, activated and reverted as it began, whoever asks', async () => {
    await makeRollout({ strategy: { prepare: { threshold: '90%' }, onBreach: 'Revert' } });
    for (const [field, value] of [
      ['prepare', null],
      ['prepare', { threshold: '1%' }],
      ['activate', { when: 'Now' }],
      ['onBreach', 'Pause'],
    ] as const) {
      const { fields, message } = await refusal(
        admin.mergePatch(rollouts, where, { spec: { strategy: { [field]: value } } }),
      );
      assert.deepEqual(fields, [`spec.strategy.${field}`]);
      assert.match(message, /of a rollout under way cannot be changed: change the Application/);
    }
  });

  test('and its Release stay with their Application, unless who may approve parts them', async () => {
    const { metadata } = await makeApplication('shop', {});
    const tied = {
      labels: { 'selvedge.dev/application': 'shop' },
      finalizers: ['example.com/keep'],
      ownerReferences: [
        {
          apiVersion: 'selvedge.dev/v1alpha1',
          kind: 'Application',
          name: 'shop',
          uid: metadata.uid ?? '',
          controller: true,
        },
      ],
    };
    const name = { namespace: 'default', name: 'shop-1' };
    const spec = { application: 'shop', digest };
    await admin.create<Rollout>(rollouts, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Rollout',
      metadata: { ...name, ...tied },
      spec: { ...spec, release: 'shop-1', strategy: {} },
    });
    await admin.create<Release>(releases, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'Release',
      metadata: { ...name, ...tied },
      spec: { ...spec, sizeBytes: 2 },
    });
    for (const ref of [rollouts, releases]) {
      const part = (user: string, change: object) => as(user).mergePatch(ref, name, { metadata: change });
      // Patching something else shows that the role is known.
      await eventually(async () => {
        await part('ed', { annotations: { note: 'mine' }, labels: { team: 'a' } });
      });
      for (const change of [
        { ownerReferences: null },
        { finalizers: null },
        { labels: { 'selvedge.dev/application': 'other' } },
      ]) {
        const [field] = Object.keys(change);
        await assert.rejects(part('ed', change), (error) => {
          assert.ok(isForbidden(error));
          assert.match(
            String(error),
            new RegExp(
              `to change metadata\\.${field}.*, user "ed" needs the verb "approve" on resource "rollouts"`,
            ),
          );
          return true;
        });
      }
      const present = await as('ed').get(ref, name);
      await as('ed').update(ref, {
        ...present,
        metadata: { ...present.metadata, annotations: { note: 'put' } },
      });
      await part('ada', { finalizers: null, labels: { 'selvedge.dev/application': null } });
      await part('ada', { ownerReferences: null });
    }
  });

  test('knows its waves by name', async () => {
    await makeRollout({
      strategy: {
        waves: [
          { name: 'first', sites: 1 },
          { name: 'all', percent: 100 },
        ],
      },
    });
    const unknown = await refusal(
      admin.mergePatch(rollouts, where, {
        spec: { approvedWaves: ['all', 'rest'], waivedWaves: ['canary'] },
      }),
    );
    assert.deepEqual(unknown.fields, ['spec.approvedWaves[1]', 'spec.waivedWaves[0]']);
    assert.match(unknown.message, /is no wave of this rollout: first, all/);
    await makeRollout();
    const standard = await refusal(
      admin.mergePatch(rollouts, where, { spec: { approvedWaves: ['canary', 'rest'] } }),
    );
    assert.equal(standard.message, '');
  });

  test('that is being reverted stays so', async () => {
    await makeRollout();
    await admin.mergePatch(rollouts, where, { spec: { stop: 'Abort' } });
    await admin.mergePatch(rollouts, where, { spec: { stop: null } });
    await admin.mergePatch(rollouts, where, { spec: { stop: 'Revert' } });
    for (const stop of [null, 'Abort']) {
      const { fields, message } = await refusal(admin.mergePatch(rollouts, where, { spec: { stop } }));
      assert.deepEqual(fields, ['spec.stop']);
      assert.match(message, /a revert cannot be taken back/);
    }
  });
});

describe('the waves of an Application that ask for approval', () => {
  const canary = { name: 'canary', siteNames: ['shop-1'] };
  const gate = { name: 'rest', percent: 100, approval: 'Manual' } as const;
  const page = (text: string) => ({
    source: {
      inline: {
        manifests: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' }, data: { text } }],
      },
    },
  });
  const change = (user: string, name: string, spec: object) =>
    as(user).mergePatch<Application>(applications, { namespace: 'default', name }, { spec });

  test('are dropped only by who may approve, once it has gone out', async () => {
    const application = await makeApplication('gated', { waves: [canary, gate] });
    await admin.updateStatus(applications, { ...application, status: { rollout: 'gated-1' } });
    await eventually(async () => {
      await change('ed', 'gated', page('2'));
    });
    const { approval: _, ...open } = gate;
    const weaker = [
      { waves: [canary, open] },
      { waves: [canary, { ...open, approval: 'Automatic' }] },
      { waves: [canary, { ...gate, name: 'others' }] },
      { waves: null },
      { waves: [{ name: 'first', siteSelector: {} }, canary, gate] },
      { waves: [{ name: 'canary', siteSelector: {} }, gate] },
    ];
    for (const rollout of [...weaker, null]) {
      await assert.rejects(change('ed', 'gated', { ...page('3'), rollout }), (error) => {
        assert.ok(isForbidden(error));
        assert.match(
          String(error),
          /applications\.selvedge\.dev "gated" is forbidden: to .* wave rest .*"ed" needs the verb "approve" on resource "rollouts"/,
        );
        return true;
      });
    }
    const asStrict = [
      { waves: [{ ...canary, soak: '1h' }, gate], budget: { failed: 1 } },
      { waves: [{ ...canary, approval: 'Manual' }, gate] },
      { waves: [{ ...canary, approval: 'Manual' }, { name: 'two', sites: 2, approval: 'Manual' }, gate] },
    ];
    for (const rollout of asStrict) await change('ed', 'gated', { rollout });
    await eventually(async () => {
      await change('ada', 'gated', { rollout: { waves: [canary, open] } });
    });
    await change('ed', 'gated', page('4'));
  });

  test('are anybody’s who may edit, before', async () => {
    await makeApplication('fresh', { waves: [canary, gate] });
    await eventually(async () => {
      await change('ed', 'fresh', { rollout: null });
    });
  });
});

describe('releases/lift', () => {
  const release = { namespace: 'default', name: 'till-aaaaaaaaaa' };
  const condemned = {
    time: '2026-01-01T00:00:00.000Z',
    rollout: 'till-1',
    reason: 'BudgetExceeded',
    message: '1 site failed',
  };
  async function condemn(): Promise<void> {
    const present =
      (await admin.find<Release>(releases, release)) ??
      (await admin.create<Release>(releases, {
        apiVersion: 'selvedge.dev/v1alpha1',
        kind: 'Release',
        metadata: release,
        spec: { application: 'till', digest, sizeBytes: 2 },
      }));
    await admin.updateStatus<Release>(releases, { ...present, status: { condemned } });
  }
  async function lift(user: string, { body, query = '' }: { body?: string; query?: string } = {}) {
    const answer = await fetch(
      `${url}/apis/selvedge.dev/v1alpha1/namespaces/default/releases/${release.name}/lift${query}`,
      {
        method: 'POST',
        headers: { 'x-user': user, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body }),
      },
    );
    return { code: answer.status, body: (await answer.json()) as Release & { message?: string } };
  }

  test('takes a condemnation away, says who did and why, and only once', async () => {
    await condemn();
    assert.equal((await lift('ed')).code, 403);
    assert.ok((await admin.get<Release>(releases, release)).status?.condemned);
    const { code, body } = await lift('ann', { body: '{"reason":"the registry was down"}' });
    assert.equal(code, 201);
    assert.equal(body.kind, 'Release');
    const { status } = await admin.get<Release>(releases, release);
    assert.equal(status?.condemned, undefined);
    assert.deepEqual(status?.lifted, { time: lab.clock.now().toISOString(), by: 'ann' });
    const condition = status?.conditions?.find(({ type }) => type === 'Condemned');
    assert.equal(condition?.status, 'False');
    assert.match(condition?.message ?? '', /Lifted by ann: the registry was down\..*Rollout till-1/);
    const again = await lift('ada');
    assert.equal(again.code, 400);
    assert.equal(again.body.message, 'Release till-aaaaaaaaaa is not condemned: there is nothing to lift');
  });

  test('with an empty body does it too, and as a dry run nothing', async () => {
    await condemn();
    const dry = await lift('ada', { query: '?dryRun=All' });
    assert.equal(dry.code, 201);
    assert.equal(dry.body.status?.condemned, undefined);
    assert.ok((await admin.get<Release>(releases, release)).status?.condemned);
    assert.equal((await lift('ada')).code, 201);
    assert.equal((await admin.get<Release>(releases, release)).status?.condemned, undefined);
  });

  test('refuses a body that says something else', async () => {
    await condemn();
    for (const body of ['[]', '"why"', '{"reason": 7}', JSON.stringify({ reason: 'x'.repeat(201) })]) {
      assert.equal((await lift('ada', { body })).code, 400, body);
    }
    assert.ok((await admin.get<Release>(releases, release)).status?.condemned);
  });
});

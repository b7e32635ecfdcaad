import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  clusterRoleBindings,
  isStatusError,
  type ObjectClient,
  type Release,
  type Rollout,
  type RolloutSpec,
  releases,
  rollouts,
} from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type ApiServer, createApiServer } from '@selvedge/apiserver';
import { openSqliteStore } from '@selvedge/store';
import { FakeClock } from '@selvedge/testkit';
import { hubDefaultAccess, hubResourceDefinitions, sensitiveResources } from './index.ts';

const clock = new FakeClock();
const logger = createLogger({ level: 'silent' });
const administrator = { name: 'root', groups: ['system:masters'] };
const digest = `sha256:${'a'.repeat(64)}`;
const where = { namespace: 'default', name: 'till-1' };

let api: ApiServer;
let admin: ObjectClient;
let url: string;
const stack = new AsyncDisposableStack();

before(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'selvedge-access-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const keys = { active: new Uint8Array(32), others: [] };
  const store = await openSqliteStore({
    path: join(directory, 'store.db'),
    keys,
    sensitiveResources,
    clock,
    logger,
  });
  stack.defer(() => store.close());
  const definitions = hubResourceDefinitions({
    fleet: store.fleet,
    objects: store.objects,
    clock,
    connectedWithinSeconds: 60,
    issueEnrollmentToken: (token) => Promise.resolve(token),
    client: () => api.client(administrator),
  });
  api = await createApiServer({
    definitions,
    defaultAccess: hubDefaultAccess,
    store: store.objects,
    clock,
    logger,
  });
  stack.defer(() => api.close());
  admin = api.client(administrator);
  for (const [name, role] of [
    ['ed', 'edit'],
    ['ada', 'admin'],
    ['ann', 'selvedge:release-approver'],
  ] as const) {
    await admin.create(clusterRoleBindings, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name }],
      roleRef: { kind: 'ClusterRole', apiGroup: 'rbac.authorization.k8s.io', name: role },
    } as never);
  }
  const http = createServer((req, res) => {
    const name = String(req.headers['x-user']);
    void api.handle(req, res, { certificateUser: { name, groups: ['system:authenticated'] } });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  stack.defer(async () => {
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  });
  url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
});

after(() => stack.disposeAsync());

const as = (name: string) => api.client({ name, groups: ['system:authenticated'] });

async function makeRollout(spec: Partial<RolloutSpec> = {}): Promise<void> {
  if (await admin.find(rollouts, where)) await admin.delete(rollouts, where);
  await admin.create<Rollout>(rollouts, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Rollout',
    metadata: where,
    spec: { application: 'till', release: 'till-aaaaaaaaaa', digest, strategy: {}, ...spec },
  });
}

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
    assert.deepEqual(status?.lifted, { time: clock.now().toISOString(), by: 'ann' });
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

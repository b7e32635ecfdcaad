import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ObjectClient, type Rollout, type RolloutStatus, rollouts } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type ApiServer, createApiServer } from '@selvedge/apiserver';
import { openSqliteStore, type Store } from '@selvedge/store';
import { FakeClock } from '@selvedge/testkit';
import { coreDefinitions } from '../resources/core-definitions.ts';
import { rolloutDefinition } from '../resources/rollout-definition.ts';
import { addRolloutMetrics } from './rollout-metrics.ts';

const clock = new FakeClock();
const logger = createLogger({ level: 'silent' });
const stack = new AsyncDisposableStack();
let api: ApiServer;
let store: Store;
let client: ObjectClient;

before(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'selvedge-rollout-metrics-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  store = await openSqliteStore({ path: join(directory, 'store.db'), clock, logger });
  stack.defer(() => store.close());
  const definitions = [...coreDefinitions(), rolloutDefinition];
  api = await createApiServer({ definitions, store: store.objects, clock, logger });
  stack.defer(() => api.close());
  client = api.client({ name: 'test', groups: ['system:masters'] });
  addRolloutMetrics(api.metrics.registry, { objects: store.objects, fleet: store.fleet, clock });
});

after(() => stack.disposeAsync());

async function bring(name: string, status?: RolloutStatus): Promise<void> {
  const rollout: Rollout = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Rollout',
    metadata: { name, namespace: 'default' },
    spec: {
      application: name.slice(0, name.lastIndexOf('-')),
      release: 'r',
      digest: `sha256:${'0'.repeat(64)}`,
      strategy: {},
    },
  };
  const made = await client.create(rollouts, rollout);
  if (status) await client.updateStatus<Rollout>(rollouts, { ...made, status });
}

async function series(name: string): Promise<Record<string, number>> {
  // One look serves a whole scrape: another scrape looks again.
  await clock.advance(5_000);
  const lines = (await api.metrics.registry.text()).split('\n').filter((line) => line.startsWith(name));
  return Object.fromEntries(
    lines.map((line) => [
      line.slice(name.length, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' '))),
    ]),
  );
}

const wave = { prepared: 0, pending: 0, held: 0, failed: 0, away: 0, reverted: 0 };
const counts = {
  wanted: 12,
  running: 4,
  progressing: 1,
  prepared: 1,
  held: 1,
  failed: 1,
  away: 2,
  overdue: 1,
  waiting: 1,
};

test('the newest rollout of each application is told, by its number and not by its name', async () => {
  assert.deepEqual(await series('selvedge_rollout_phase'), {});
  for (const n of [2, 9]) await bring(`till-${n}`, { phase: 'Superseded' });
  await bring('till-10', {
    phase: 'Reverting',
    sites: counts,
    waves: [
      { ...wave, name: 'canary', phase: 'Passed', sites: 4, succeeded: 3 },
      { ...wave, name: 'rest', phase: 'Waiting', sites: 0, succeeded: 0 },
    ],
    activation: {
      firstTime: '2026-01-01T00:00:00.000Z',
      lastTime: '2026-01-01T00:00:01.250Z',
      sites: 4,
    },
  });
  await bring('till-web-1');
  const phases = await series('selvedge_rollout_phase');
  assert.deepEqual(
    Object.keys(phases).filter((labels) => phases[labels] === 1),
    [
      '{namespace="default",application="till",phase="Reverting"}',
      '{namespace="default",application="till-web",phase="Progressing"}',
    ],
  );
  assert.equal(Object.keys(phases).length, 16);
  const sites = await series('selvedge_rollout_sites{namespace="default",application="till",');
  const { wanted, ...states } = counts;
  assert.deepEqual(
    sites,
    Object.fromEntries(Object.entries(states).map(([state, count]) => [`state="${state}"}`, count])),
  );
  assert.equal(
    Object.values(sites).reduce((sum, count) => sum + count, 0),
    wanted,
  );
  assert.deepEqual(await series('selvedge_rollout_wave'), {
    '{namespace="default",application="till",wave="canary"}': 0.75,
    '{namespace="default",application="till",wave="rest"}': 0,
  });
  assert.deepEqual(await series('selvedge_rollout_activation_skew_seconds'), {
    '{namespace="default",application="till"}': 1.25,
  });
});

test('the oldest knowledge about any site is as old as its agent last looked', async () => {
  assert.deepEqual(await series('selvedge_oldest_report_age_seconds'), {});
  const past = (seconds: number) => new Date(clock.now().getTime() - seconds * 1000).toISOString();
  const agent = { agentEpoch: 1, agentStateDigest: '' };
  store.fleet.touch({ ...agent, site: 'quick', lastSeenAt: past(0), observedAt: past(10) });
  store.fleet.touch({ ...agent, site: 'slow', lastSeenAt: past(0), observedAt: past(300) });
  store.fleet.touch({ ...agent, site: 'blind', lastSeenAt: past(60) });
  assert.deepEqual(await series('selvedge_oldest_report_age_seconds'), { '': 305 });
});

import { defaultItemTerms, defaultSitePolicy, type ItemReport } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { Assignment, FleetStore, ObjectStore } from '../index.ts';

interface Filled {
  readonly objects: ObjectStore;
  readonly fleet: FleetStore;
}

/** The key that fixtures are sealed with: 32 times 5. */
export const fixtureKey = new Uint8Array(32).fill(5);
export const fixtureSensitiveResources: ReadonlySet<string> = new Set(['secrets']);
export const fixtureResources: readonly string[] = ['secrets', 'things.example'];

/**
 * Puts something into every table, the same each time: living, changed, deleted and reborn objects, some of the past
 * compacted, assignments, tombstones, reports, a forgotten site, content.
 */
export async function fillStore({ objects, fleet }: Filled): Promise<void> {
  const thing = (name: string) => ({ resource: 'things.example', namespace: 'shop', name });
  const secret = (name: string) => ({ resource: 'secrets', namespace: 'shop', name });
  const first = await objects.create(thing('a'), '{"v":1,"text":"Grüße, 世界 🧵"}');
  const second = await objects.update(thing('a'), '{"v":2}', first.revision);
  const gone = await objects.create(thing('gone-before'), '{}');
  await objects.delete(gone.key, gone.revision);
  await objects.compact(await objects.currentRevision());
  await objects.update(thing('a'), '{"v":3}', second.revision);
  const password = await objects.create(secret('password'), '{"data":{"p":"b25l"}}');
  await objects.update(password.key, '{"data":{"p":"dHdv"}}', password.revision);
  const token = await objects.create(secret('token'), '{"data":{"t":"b2xk"}}');
  await objects.delete(token.key, token.revision);
  await objects.create(token.key, '{"data":{"t":"bmV3"}}');
  await objects.create({ resource: 'things.example', namespace: '', name: 'b' }, '{"v":1}');
  await fillFleet(fleet);
}

async function fillFleet(fleet: FleetStore): Promise<void> {
  for (const site of ['berlin', 'oslo', 'rome']) {
    await fleet.addSiteKey({
      site,
      siteUid: `${site}-uid`,
      publicKey: `${site}-key`,
      fingerprint: `SHA256:${site}`,
      tokenUid: 'token-uid',
      enrolledAt: '2026-01-01T00:00:00.000Z',
    });
    fleet.touch({
      site,
      lastSeenAt: '2026-01-02T00:00:00.000Z',
      agentEpoch: 1,
      agentStateDigest: 'sha256:s',
    });
  }
  fleet.touch({
    site: 'oslo',
    lastSeenAt: '2026-01-03T00:00:00.000Z',
    agentEpoch: 2,
    agentStateDigest: 'sha256:t',
    observedAt: '2026-01-03T00:00:00.000Z',
  });
  await fleet.assign([assignment('berlin', 'till'), assignment('oslo', 'till'), assignment('oslo', 'desk')]);
  await fleet.assign([assignment('rome', 'till')]);
  await fleet.setSiteSettings('berlin', {
    variables: { password: 'correct horse', tills: 3, open: true },
    policy: defaultSitePolicy,
  });
  await fleet.saveReports(
    'berlin',
    [report({ state: 'Failed', logs: ['password: battery staple', 'exit 1'] })],
    at,
  );
  await fleet.saveReports('oslo', [report({ pods: { wanted: 2, ready: 2 }, runningDigest: 'sha256:1' })], at);
  await fleet.remove([{ site: 'oslo', namespace: 'shop', application: 'desk', mode: 'Delete' }]);
  await fleet.forgetSite('rome');
  await fleet.addRolloutMembers('rollout-uid', [
    { site: 'oslo', wave: 'canary' },
    { site: 'berlin', wave: 'rest' },
  ]);
  for (const text of ['one', 'two'.repeat(2000)]) {
    const bytes = Buffer.from(text);
    await fleet.putBlob(sha256Digest(bytes), bytes);
  }
}

const at = '2026-01-02T00:00:05.000Z';

const assignment = (site: string, application: string): Assignment => ({
  site,
  namespace: 'shop',
  application,
  applicationUid: `${application}-uid`,
  release: `${application}-1`,
  digest: 'sha256:1',
  deadlineSeconds: 300.5,
  terms: defaultItemTerms,
  rollout: 'till-r1',
  wave: 'canary',
});

const report = (change: Partial<ItemReport>): ItemReport => ({
  id: 'Application/shop/till',
  uid: 'till-uid',
  epoch: 1,
  release: 'till-1',
  digest: 'sha256:1',
  state: 'Running',
  reason: 'Because',
  message: 'as it is',
  sinceTime: '2026-01-02T00:00:00.000Z',
  observedTime: '2026-01-02T00:00:01.000Z',
  seq: 1_780_000_000_000,
  ...change,
});

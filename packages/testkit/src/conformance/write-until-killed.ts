import { writeSync } from 'node:fs';
import { defaultItemTerms, defaultSitePolicy, isConflict, isNotFound, isStatusError } from '@selvedge/api';
import { sha256Digest, systemClock } from '@selvedge/api/node';
import type { Assignment, FleetStore, KeyRing, ObjectKey, Store } from '@selvedge/store';
import { plainResource, sensitiveResource } from './store-under-test.ts';

/**
 * What a killed writer said before: `asked` before a write, `done` when it was acknowledged. `thing` names what is
 * written; `mark` grows with each write of it, and can be read from what is stored.
 */
export type WriterLine =
  | { readonly type: 'open' }
  | { readonly type: 'asked'; readonly thing: string; readonly mark: number; readonly isDeletion?: true }
  | {
      readonly type: 'done';
      readonly thing: string;
      readonly mark: number;
      readonly isDeletion?: true;
      /** Of objects. */
      readonly revision?: number;
    };

export const crashSites: readonly string[] = ['s0', 's1', 's2'];
export const crashObjectsPerResource = 40;
export const crashResources: readonly string[] = [plainResource, sensitiveResource];

/** The keys that a database for crash tests is always opened with; which of them is the active one changes. */
export const crashKeys = (active: 1 | 2): KeyRing => ({
  active: new Uint8Array(32).fill(active),
  others: [new Uint8Array(32).fill(3 - active)],
});

export const crashKey = (resource: string, number: number): ObjectKey => ({
  resource,
  namespace: 'shop',
  name: `n${number}`,
});
export const crashThing = (key: ObjectKey): string => `${key.resource}/${key.name}`;
export const crashBlob = (mark: number): Buffer => Buffer.alloc(5000, `blob ${mark}`);

/** Waits while the pipe is full: what is not said was not acknowledged. */
function say(line: WriterLine): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (;;) {
    try {
      writeSync(1, bytes);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/**
 * Writes to the store in every way at once, as fast as it can, and says so on standard output, until the process is
 * killed. `firstMark` must be above every mark of the runs before.
 */
export async function writeUntilKilled(store: Store, firstMark: number): Promise<never> {
  say({ type: 'open' });
  let mark = firstMark;
  const nextMark = () => ++mark;
  const writers = crashResources.flatMap((resource) =>
    [0, 1, 2].map((part) => writeObjects(store, { resource, part, nextMark })),
  );
  await Promise.all([
    ...writers,
    writeFleet(store, nextMark),
    writeBlobs(store, nextMark),
    compact(store),
    backUp(store),
    changeKeys(store),
  ]);
  throw new Error('unreachable: the writers never end');
}

async function writeObjects(
  { objects }: Store,
  { resource, part, nextMark }: { resource: string; part: number; nextMark: () => number },
): Promise<void> {
  for (let turn = 0; ; turn++) {
    const number = (turn * 3 + part) % crashObjectsPerResource;
    const key = crashKey(resource, number);
    const thing = crashThing(key);
    const present = await objects.find(key);
    const mark = nextMark();
    const isDeletion = present !== undefined && turn % 5 === 4;
    say({ type: 'asked', thing, mark, ...(isDeletion ? { isDeletion } : {}) });
    const body = JSON.stringify({ mark, text: 'x'.repeat((mark * 37) % 6000) });
    try {
      if (present === undefined) {
        const { revision } = await objects.create(key, body);
        say({ type: 'done', thing, mark, revision });
      } else if (isDeletion) {
        const { revision } = await objects.delete(key, present.revision);
        say({ type: 'done', thing, mark, isDeletion, revision });
      } else {
        const { revision } = await objects.update(key, body, present.revision);
        say({ type: 'done', thing, mark, revision });
      }
    } catch (error) {
      // Two writers met at one object: one of them is refused.
      if (!isConflict(error) && !isNotFound(error) && !isStatusError(error, 'AlreadyExists')) throw error;
    }
  }
}

async function writeFleet({ fleet }: Store, nextMark: () => number): Promise<void> {
  for (let turn = 0; ; turn++) {
    const site = crashSites[turn % crashSites.length] as string;
    const mark = nextMark();
    const application = { site, namespace: 'shop', application: 'till', applicationUid: 'till-uid' };
    const order = {
      ...application,
      release: `r${mark}`,
      digest: `sha256:${mark}`,
      deadlineSeconds: 60,
      terms: { ...defaultItemTerms, attempt: mark },
    };
    say({ type: 'asked', thing: site, mark });
    if (turn % 4 === 3) await adopt(fleet, { ...order, mark });
    else await fleet.assign([{ ...order, rollout: '', wave: '' }]);
    say({ type: 'done', thing: site, mark });
    await fleet.setSiteSettings(site, { variables: { mark }, policy: defaultSitePolicy });
    fleet.touch({ site, lastSeenAt: new Date(mark).toISOString(), agentEpoch: mark, agentStateDigest: '' });
    const { rows } = await fleet.siteState(site);
    for (const row of rows) {
      const report = {
        id: 'Application/shop/till',
        uid: row.applicationUid,
        epoch: row.epoch,
        release: row.release,
        digest: row.digest,
        state: 'Failed' as const,
        logs: [`mark ${mark}`],
        sinceTime: '',
        observedTime: '',
        seq: mark,
      };
      await fleet.saveReports(site, [report], '');
    }
  }
}

async function adopt(
  fleet: FleetStore,
  { mark, ...order }: Omit<Assignment, 'rollout' | 'wave'> & { readonly mark: number },
): Promise<void> {
  const { epoch } = await fleet.siteState(order.site);
  const row = { ...order, epoch: epoch + 2, phase: 'Wanted' as const, removal: 'Delete' as const };
  await fleet.adoptSiteState(order.site, {
    epoch: epoch + 3,
    variables: { adopted: mark },
    policy: { timeZone: 'UTC', hold: { reason: `mark ${mark}` } },
    rows: [row],
  });
}

async function writeBlobs({ fleet }: Store, nextMark: () => number): Promise<void> {
  for (const kept: number[] = []; ; ) {
    const mark = nextMark();
    const bytes = crashBlob(mark);
    const thing = `blob ${mark}`;
    say({ type: 'asked', thing, mark });
    await fleet.putBlob(sha256Digest(bytes), bytes);
    say({ type: 'done', thing, mark });
    kept.push(mark);
    if (kept.length < 20) continue;
    const old = kept.shift() as number;
    say({ type: 'asked', thing: `blob ${old}`, mark: old, isDeletion: true });
    await fleet.deleteBlob(sha256Digest(crashBlob(old)));
    say({ type: 'done', thing: `blob ${old}`, mark: old, isDeletion: true });
  }
}

async function compact({ objects }: Store): Promise<void> {
  for (;;) {
    await objects.compact((await objects.currentRevision()) - 200);
    await systemClock.sleep(15);
  }
}

async function backUp(store: Store): Promise<void> {
  const { signal } = new AbortController();
  for (;;) {
    let records = 0;
    for await (const record of store.dump(signal)) {
      records += 1;
      if (record.type === 'end' && record.records !== records - 1) throw new Error('a dump does not add up');
    }
    await systemClock.sleep(50);
  }
}

async function changeKeys(store: Store): Promise<void> {
  const { signal } = new AbortController();
  for (let active: 1 | 2 = 1; ; active = active === 1 ? 2 : 1) {
    await store.useKeys(crashKeys(active));
    await store.reseal(signal);
    await systemClock.sleep(30);
  }
}

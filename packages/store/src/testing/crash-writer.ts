import { writeSync } from 'node:fs';
import { createLogger, sha256Digest, systemClock } from '@selvedge/api/node';
import { openSqliteStore } from '../index.ts';

// Started by durability.test.ts, which kills it: writes as fast as it can and prints what was acknowledged, one line
// each, after the acknowledgement (and before a deletion that it asks for one). Arguments: path of the database, name of this run.
const [path = '', run = ''] = process.argv.slice(2);
const { objects, fleet } = await openSqliteStore({
  path,
  key: new Uint8Array(32).fill(1),
  sensitiveResources: new Set(['secrets']),
  clock: systemClock,
  logger: createLogger({ level: 'silent' }),
});
const acknowledge = (fact: unknown) => writeSync(1, `${JSON.stringify(fact)}\n`);
acknowledge({ type: 'open' });

await Promise.all([writeObjects('a'), writeObjects('b'), writeSites(), writeBlobs(), compactNow()]);

async function writeObjects(writer: string): Promise<void> {
  const resource = writer === 'a' ? 'secrets' : 'things';
  for (let i = 0; ; i++) {
    const key = { resource, namespace: run, name: `${writer}${i}` };
    const created = await objects.create(key, `{"i":${i}}`);
    acknowledge({ type: 'object', key, body: created.body, revision: created.revision });
    const updated = await objects.update(
      key,
      `{"i":${i},"again":"${'x'.repeat(i % 5000)}"}`,
      created.revision,
    );
    acknowledge({ type: 'object', key, body: updated.body, revision: updated.revision });
    if (i % 3 !== 0) continue;
    acknowledge({ type: 'deleting', key });
    const { revision } = await objects.delete(key, updated.revision);
    acknowledge({ type: 'object', key, revision });
  }
}

async function writeSites(): Promise<void> {
  for (let i = 0; ; i++) {
    const digest = `sha256:${i}`;
    const site = `${run}-${i % 7}`;
    const application = { namespace: 'shop', application: 'till', applicationUid: 'uid' };
    await fleet.assign([
      { site, ...application, release: `r${i}`, digest, deadlineSeconds: 60, rollout: '', wave: '' },
    ]);
    acknowledge({ type: 'site', site, digest });
  }
}

async function writeBlobs(): Promise<void> {
  for (let i = 0; ; i++) {
    const bytes = Buffer.alloc(20_000, `${run} ${i}`);
    const digest = sha256Digest(bytes);
    await fleet.putBlob(digest, bytes);
    acknowledge({ type: 'blob', digest });
  }
}

async function compactNow(): Promise<void> {
  for (;;) {
    await objects.compact((await objects.currentRevision()) - 100);
    await systemClock.sleep(20);
  }
}

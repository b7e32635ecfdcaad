import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { openSqliteStore, verifySqliteFile } from '@selvedge/store';
import type { TestAgent } from '../gateway/testing/test-agent.ts';
import { eventually, TestHub } from '../gateway/testing/test-hub.ts';
import { openHubIdentity } from '../identity/hub-identity.ts';
import { startHub } from '../server/start-hub.ts';
import { packDataDirectory, verifyDataDirectory } from './data-directory.ts';
import { restoreBackup } from './restore-backup.ts';
import { readBackupFile, verifyBackupFile, writeBackupFile } from './write-backup-file.ts';

const clock = systemClock;
const logger = createLogger({ level: 'silent' });
const passphrase = 'correct horse';

function folderForTest(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'selvedge-restore-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A backup of a hub's data directory in a new file. */
async function backUp(t: TestContext, dataDirectory: string): Promise<string> {
  const path = join(folderForTest(t), 'hub.backup');
  const packed = await packDataDirectory({ dataDirectory, clock, logger });
  await writeBackupFile({ path, packed, passphrase });
  return path;
}

const restore = (path: string, dataDirectory: string) =>
  restoreBackup({ dataDirectory, packed: readBackupFile(path, passphrase), clock, logger });

async function catchUp(agent: TestAgent): Promise<void> {
  const { body } = await agent.sync({ maxWaitSeconds: 1 });
  if (body.state !== undefined) await agent.accept(body.state);
}

const condition = async (hub: TestHub, type: string) =>
  (await hub.site('berlin')).status?.conditions?.find((c) => c.type === type);

describe('a hub that is restored from a backup', () => {
  test('is the hub that its agents know; those that are ahead go on with what they have, also when it has passed them', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const backup = await backUp(t, hub.data);
    const revisionThen = Number((await hub.site('berlin')).metadata.resourceVersion);
    await hub.assign('berlin', 'desk', 'made after the backup');
    await catchUp(agent);
    assert.deepEqual([agent.epoch, agent.items.length], [2, 2]);

    // The disaster: everything is lost but the file.
    await hub.stop();
    rmSync(hub.data, { recursive: true });
    await restore(backup, hub.data);
    assert.deepEqual((await verifyDataDirectory({ dataDirectory: hub.data, clock, logger })).problems, []);
    await hub.start();
    agent.url = hub.hub.url;

    const answer = await agent.sync({ maxWaitSeconds: 1 });
    assert.equal(answer.code, 200, answer.body.message);
    assert.equal(answer.body.state, undefined, 'nothing older is sent');
    await eventually(async () => (await condition(hub, 'HubBehind'))?.status === 'True');
    assert.match((await condition(hub, 'HubBehind'))?.message ?? '', /epoch 2/);
    assert.ok(Number((await hub.site('berlin')).metadata.resourceVersion) > revisionThen + 1_000_000_000);

    // Its epochs may grow past the agent's: what they count is another story, and the site keeps its own until a person decides.
    await hub.assign('berlin', 'till', 'two');
    await hub.assign('berlin', 'till', 'three');
    assert.equal((await agent.sync({ full: true, maxWaitSeconds: 1 })).body.state, undefined);
    assert.equal((await condition(hub, 'HubBehind'))?.status, 'True');
    assert.deepEqual([agent.epoch, agent.items.length], [2, 2]);
  });

  test('has the same content, keys and admin, and one that is up to date just goes on', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    const digest = await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const before = await openHubIdentity({ dataDirectory: hub.data, clock, logger });
    const backup = await backUp(t, hub.data);
    await hub.stop();
    rmSync(hub.data, { recursive: true });
    await restore(backup, hub.data);
    assert.equal(statSync(join(hub.data, 'keys')).mode & 0o777, 0o700);
    for (const name of readdirSync(join(hub.data, 'keys'))) {
      assert.equal(statSync(join(hub.data, 'keys', name)).mode & 0o777, 0o600, name);
    }
    const after = await openHubIdentity({ dataDirectory: hub.data, clock, logger });
    assert.deepEqual([after.hubId, after.caCertificate], [before.hubId, before.caCertificate]);
    await hub.start();
    agent.url = hub.hub.url;
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).body.state, undefined);
    assert.equal(String((await agent.getBlob(digest)).bytes), 'one');
    assert.notEqual((await condition(hub, 'HubBehind'))?.status, 'True');
  });
});

describe('restoring', () => {
  async function someBackup(t: TestContext): Promise<string> {
    const data = folderForTest(t);
    const hub = await startHub({ data, listen: '127.0.0.1:0', logger });
    await hub.close();
    return backUp(t, data);
  }

  test('destroys nothing: a directory that holds something is refused', async (t) => {
    const backup = await someBackup(t);
    const target = folderForTest(t);
    writeFileSync(join(target, 'mine'), 'precious');
    await assert.rejects(restore(backup, target), /is not empty \(mine\)/);
    assert.deepEqual(readdirSync(target).toSorted(), ['lock', 'mine']);
  });

  test('from a cut or changed file leaves the directory empty', async (t) => {
    const backup = await someBackup(t);
    const bytes = readFileSync(backup);
    const bad = join(folderForTest(t), 'bad.backup');
    const target = folderForTest(t);
    for (const content of [
      bytes.subarray(0, bytes.length - 30),
      bytes.subarray(0, 500),
      Buffer.from('nothing'),
    ]) {
      writeFileSync(bad, content);
      await assert.rejects(restore(bad, target), /cut off|damaged|no backup/);
      await assert.rejects(verifyBackupFile(bad, passphrase), /cut off|damaged|no backup/);
      assert.deepEqual(readdirSync(target), ['lock']);
    }
    await restore(backup, target);
    assert.ok(existsSync(join(target, 'keys', 'hub-id')));
  });

  test('that was killed half-way starts no hub, and is done again', async (t) => {
    const backup = await someBackup(t);
    const target = folderForTest(t);
    // As after a kill between putting the store and the keys into their places.
    mkdirSync(join(target, 'restore.unfinished', 'keys'), { recursive: true, mode: 0o700 });
    const store = await openSqliteStore({ path: join(target, 'store.db'), clock, logger });
    await store.close();
    await assert.rejects(
      startHub({ data: target, listen: '127.0.0.1:0', logger }),
      /restore.*was not finished/,
    );
    assert.ok(!existsSync(join(target, 'keys')));
    await restore(backup, target);
    assert.ok(!existsSync(join(target, 'restore.unfinished')));
    const hub = await startHub({ data: target, listen: '127.0.0.1:0', logger });
    await hub.close();
  });

  test('twice from one backup gives out no revision twice', async (t) => {
    const backup = await someBackup(t);
    const [first, second] = [folderForTest(t), folderForTest(t)];
    const { revision } = await restore(backup, first);
    await clock.sleep(20);
    const again = await restore(backup, second);
    assert.ok(again.revision > revision);
  });

  test('a backup file is readable by its owner only, and overwrites nothing', async (t) => {
    const backup = await someBackup(t);
    assert.equal(statSync(backup).mode & 0o777, 0o600);
    const packed = readBackupFile(backup, passphrase);
    await assert.rejects(writeBackupFile({ path: backup, packed, passphrase }), /is there already/);
    assert.ok((await verifyBackupFile(backup, passphrase)).revision > 1);
  });

  test('a backup can be made of a running hub’s directory', async (t) => {
    const hub = await TestHub.start(t);
    await hub.enrolledAgent('berlin');
    const summary = await verifyBackupFile(await backUp(t, hub.data), passphrase);
    assert.deepEqual([summary.counts['siteKey'], summary.engine], [1, 'sqlite']);
    await hub.stop();
    const identity = await openHubIdentity({ dataDirectory: hub.data, clock, logger });
    const file = { path: join(hub.data, 'store.db'), keys: identity.storeKeys };
    assert.deepEqual(verifySqliteFile(file).problems, []);
  });
});

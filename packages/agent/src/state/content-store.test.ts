import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { sha256Digest } from '@selvedge/api/node';
import { makeStateDir } from '../testing/test-agent.ts';
import { AgentDatabase } from './agent-database.ts';
import { ContentStore } from './content-store.ts';

const bytes = Buffer.from('[{"kind":"Secret","data":{"password":"aHVzaC1odXNo"}}]');
const digest = sha256Digest(bytes);

describe('content', () => {
  test('comes back as it was put, and lies sealed on the disk', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const store = await ContentStore.open(database, dir.path);
    store.put(digest, bytes);
    assert.deepEqual(store.find(digest), bytes);
    database.close();
    const onDisk = await readFile(join(dir.path, 'agent.db'));
    assert.equal(onDisk.includes('aHVzaC1odXNo'), false);
  });

  test('bytes that are not what the digest names are refused', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const store = await ContentStore.open(database, dir.path);
    assert.throws(() => store.put(digest, Buffer.from('other')), /does not match its digest/);
    assert.equal(store.has(digest), false);
    database.close();
  });

  test('what was tampered with on the disk, or exchanged, reads as missing', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const store = await ContentStore.open(database, dir.path);
    const other = Buffer.from('[]');
    store.put(digest, bytes);
    store.put(sha256Digest(other), other);
    database.run('UPDATE content SET sealed = (SELECT sealed FROM content WHERE digest = ?)', digest);
    assert.equal(store.find(sha256Digest(other)), undefined);
    assert.equal(store.has(sha256Digest(other)), false);
    database.run("UPDATE content SET sealed = X'00'");
    assert.equal(store.find(digest), undefined);
    database.close();
  });

  test('a lost or damaged key costs the content, not the agent', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    (await ContentStore.open(database, dir.path)).put(digest, bytes);
    await writeFile(join(dir.path, 'content.key'), 'damaged');
    const store = await ContentStore.open(database, dir.path);
    assert.equal(store.find(digest), undefined);
    store.put(digest, bytes);
    assert.deepEqual(store.find(digest), bytes);
    database.close();
  });
});

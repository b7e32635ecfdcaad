import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { makeStateDir } from '../testing/test-agent.ts';
import { AgentDatabase } from './agent-database.ts';
import { makePrivateDirectory } from './atomic-file.ts';

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

process.umask(0o022);

describe('the state directory is private to its user', () => {
  test('a directory that is there loses the rights of others', async () => {
    await using dir = await makeStateDir();
    const path = join(dir.path, 'state');
    await mkdir(path);
    await chmod(path, 0o755);
    await makePrivateDirectory(path);
    assert.equal(await modeOf(path), 0o700);
  });

  test('one of another user is refused', { skip: process.getuid?.() !== 0 && 'needs root' }, async () => {
    await using dir = await makeStateDir();
    const path = join(dir.path, 'state');
    await mkdir(path);
    await chown(path, 12_345, 12_345);
    await assert.rejects(makePrivateDirectory(path), /belongs to another user \(id 12345\)/);
  });

  test('the database and its log are made so, and those of an earlier version become so', async () => {
    await using dir = await makeStateDir();
    const files = ['agent.db', 'agent.db-shm', 'agent.db-wal'];
    const database = AgentDatabase.open(dir.path);
    try {
      database.run("INSERT INTO meta VALUES ('a', 'b')");
      assert.deepEqual((await readdir(dir.path)).filter((name) => files.includes(name)).sort(), files);
      for (const name of files) assert.equal(await modeOf(join(dir.path, name)), 0o600, name);
      for (const name of files) await chmod(join(dir.path, name), 0o644);
      AgentDatabase.open(dir.path).close();
      for (const name of files) assert.equal(await modeOf(join(dir.path, name)), 0o600, name);
    } finally {
      database.close();
    }
  });
});

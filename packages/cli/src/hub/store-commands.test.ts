import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { secrets } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { type Captured, runCaptured } from '../testing/run-captured.ts';

/** One hub and its store; each test goes on where the one before ended. */
describe('the commands that look after the store of a hub', () => {
  let folder = '';
  let data = '';
  let file = '';
  let passphrase = '';
  let hub: Hub;
  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(['hub', ...args], { env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath } });
  const start = (directory: string) =>
    startHub({ data: directory, listen: '127.0.0.1:0', logger: createLogger({ level: 'silent' }) });
  const secretValue = async () =>
    (await hub.client.get(secrets, { namespace: 'default', name: 'login' })) as {
      data?: Record<string, string>;
    };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'selvedge-cli-store-'));
    data = join(folder, 'data');
    file = join(folder, 'hub.backup');
    passphrase = join(folder, 'passphrase');
    writeFileSync(passphrase, 'correct horse battery staple\n');
    hub = await start(data);
    await hub.client.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'login', namespace: 'default' },
      data: { password: 'aGlkZGVu' },
    } as Parameters<typeof hub.client.create>[1]);
  });
  after(async () => {
    await hub.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a backup needs to be told how it is sealed', async () => {
    const { code, stderr } = await cli('backup', file);
    assert.equal(code, 2);
    assert.match(stderr, /--passphrase-file FILE .* or --no-passphrase/);
  });

  test('a running hub is backed up into one file, of which nothing can be read', async () => {
    const { code, stdout, stderr } = await cli('backup', file, '--passphrase-file', passphrase);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /backed up into .*hub\.backup, and read back whole/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const bytes = readFileSync(file);
    for (const text of ['aGlkZGVu', 'hidden', 'hub-id']) assert.ok(!bytes.includes(text), text);
    const again = await cli('backup', file, '--passphrase-file', passphrase);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /is there already/);
  });

  test('a backup in clear is warned of', async () => {
    const { code, stdout, stderr } = await cli(
      'backup',
      join(folder, 'clear.backup'),
      '--no-passphrase',
      '-o',
      'json',
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /without a passphrase, whoever has the file/);
    assert.ok((JSON.parse(stdout) as { counts: { object: number } }).counts.object > 1);
  });

  test('verify looks at a backup, and says what is wrong with one', async () => {
    const good = await cli('verify', file, '--passphrase-file', passphrase, '-o', 'json');
    assert.equal(good.code, 0, good.stderr);
    assert.equal((JSON.parse(good.stdout) as { engine: string }).engine, 'sqlite');
    const cut = join(folder, 'cut.backup');
    writeFileSync(cut, readFileSync(file).subarray(0, -100));
    const bad = await cli('verify', cut, '--passphrase-file', passphrase);
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /the backup file is cut off/);
    assert.match((await cli('verify', join(folder, 'none'), '--no-passphrase')).stderr, /cannot be read/);
  });

  test('verify looks at the store of a running hub', async () => {
    const { code, stdout } = await cli('verify', '--data', data);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /nothing is wrong with it/);
    assert.equal((await cli('verify')).code, 2);
  });

  test('the store gets a new key while the hub runs, and the secrets are still there', async () => {
    const keyFile = join(data, 'keys', 'store.key');
    const before = readFileSync(keyFile, 'utf8');
    const { code, stdout, stderr } = await cli('rotate-key', '-o', 'json');
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { keysDropped: number }).keysDropped, 1);
    const now = readFileSync(keyFile, 'utf8');
    assert.notEqual(now, before);
    assert.equal(now.trim().split('\n').length, 1);
    assert.equal(statSync(keyFile).mode & 0o777, 0o600);
    assert.equal((await secretValue()).data?.['password'], 'aGlkZGVu');
    const verdict = await cli('verify', '--data', data, '-o', 'json');
    assert.equal(Object.keys((JSON.parse(verdict.stdout) as { sealedBy: object }).sealedBy).length, 1);
  });

  test('a hub that lost everything is restored, also from a backup made under the earlier key', async () => {
    await hub.close();
    rmSync(data, { recursive: true });
    const { code, stdout, stderr } = await cli(
      'restore',
      file,
      '--data',
      data,
      '--passphrase-file',
      passphrase,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /restored into/);
    const again = await cli('restore', file, '--data', data, '--passphrase-file', passphrase);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /is not empty/);
    hub = await start(data);
    assert.equal((await secretValue()).data?.['password'], 'aGlkZGVu');
  });

  test('wrong usage is told as such', async () => {
    assert.equal((await cli('restore', file, '--no-passphrase')).code, 2);
    assert.equal((await cli('restore', file, '--data', data)).code, 2);
    const both = await cli('verify', file, '--passphrase-file', passphrase, '--no-passphrase');
    assert.equal(both.code, 2);
    assert.equal((await cli('verify', file, '--passphrase-file', join(folder, 'none'))).code, 2);
    const empty = join(folder, 'empty');
    writeFileSync(empty, '\n');
    chmodSync(empty, 0o600);
    assert.match((await cli('verify', file, '--passphrase-file', empty)).stderr, /is empty/);
  });
});

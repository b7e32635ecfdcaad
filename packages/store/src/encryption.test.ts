import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { sha256Digest } from '@selvedge/api/node';
import { AesGcmCipher } from './index.ts';
import { folderForTest, openStoreForTest, openTestStore } from './testing/open-test-store.ts';

const ring = (fill: number, ...others: number[]) => ({
  active: new Uint8Array(32).fill(fill),
  others: others.map((n) => new Uint8Array(32).fill(n)),
});
const keys = ring(3);
const secret = 'correct horse battery staple';

/** How many files of the folder hold the text; read by another process, because of the locks (database-holder.ts). */
function filesWith(folder: string, text: string): string[] {
  const read = (name: string) =>
    execFileSync('cat', [join(folder, name)], { maxBuffer: 1 << 28 }).includes(Buffer.from(text));
  return readdirSync(folder).filter(read);
}

describe('encryption at rest', () => {
  test('sensitive objects and blobs are in no file in plain, others are', async (t) => {
    const folder = folderForTest(t);
    const path = join(folder, 'store.db');
    const options = { keys, sensitiveResources: new Set(['secrets']) };
    const store = await openStoreForTest(t, path, options);
    const id = { resource: 'secrets', namespace: 'shop', name: 'password' };
    const first = await store.objects.create(id, JSON.stringify({ first: secret }));
    const second = await store.objects.update(id, JSON.stringify({ second: secret }), first.revision);
    const blob = Buffer.from(`blob ${secret}`);
    await store.fleet.putBlob(sha256Digest(blob), blob);
    await store.objects.create({ resource: 'things', namespace: '', name: 'a' }, '{"text":"not secret"}');
    assert.deepEqual(filesWith(folder, secret), []);
    assert.ok(filesWith(folder, 'not secret').length > 0, 'the search itself works');
    await store.close();
    assert.deepEqual(filesWith(folder, secret), []);

    const again = await openStoreForTest(t, path, options);
    assert.deepEqual(await again.objects.find(id), second);
    const { objects } = await again.objects.list({ resource: 'secrets', atRevision: first.revision });
    assert.deepEqual(objects, [first]);
    assert.equal(String(await again.fleet.findBlob(sha256Digest(blob))), `blob ${secret}`);
    await again.close();
  });

  test('the store opens with its own key only', async (t) => {
    const path = join(folderForTest(t), 'store.db');
    await (await openStoreForTest(t, path, { keys })).close();
    await assert.rejects(openTestStore(path), /this store is encrypted: open it with its key/);
    await assert.rejects(openTestStore(path, { keys: ring(0) }), /put the right key in place/);
    await assert.rejects(
      openTestStore(path, { keys: { active: new Uint8Array(16), others: [] } }),
      /32 bytes/,
    );
    await (await openStoreForTest(t, path, { keys })).close();
  });
});

describe('AesGcmCipher', () => {
  const cipher = new AesGcmCipher(keys);

  test('opens what it sealed, text and bytes, empty too', () => {
    for (const text of ['', 'a', 'Grüße 🧵'.repeat(1000)]) {
      assert.equal(cipher.open(cipher.seal(text, 'here'), 'here').toString(), text);
      assert.equal(cipher.open(cipher.seal(Buffer.from(text), 'here'), 'here').toString(), text);
    }
  });

  test('seals the same text differently each time', () => {
    assert.notDeepEqual(cipher.seal('a', 'here'), cipher.seal('a', 'here'));
  });

  test('refuses another place, another key and any changed byte', () => {
    const sealed = cipher.seal('text', 'here');
    assert.throws(() => cipher.open(sealed, 'there'), { reason: 'InternalError' });
    assert.throws(() => new AesGcmCipher(ring(0)).open(sealed, 'here'), /sealed with key/);
    for (let i = 0; i < sealed.length; i++) {
      const changed = Uint8Array.from(sealed);
      changed[i] = (changed[i] ?? 0) ^ 1;
      assert.throws(() => cipher.open(changed, 'here'), { reason: 'InternalError' });
    }
    assert.throws(() => cipher.open(sealed.subarray(0, 10), 'here'), { reason: 'InternalError' });
  });
});

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { createLogger, systemClock, writeFileAtomically } from '@selvedge/api/node';
import { type KeyRing, openSqliteStore, type Store } from '@selvedge/store';
import { formatKeyRing, generateStoreKey, parseKeyRing } from '../identity/store-key-file.ts';
import { StoreKeyRotation } from './rotate-store-key.ts';

const logger = createLogger({ level: 'silent' });
const secret = (name: string) => ({ resource: 'secrets', namespace: 'shop', name });

class TestDirectory {
  readonly path = mkdtempSync(join(tmpdir(), 'selvedge-rotate-'));
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    mkdirSync(join(this.path, 'keys'), { mode: 0o700 });
    t.after(() => rmSync(this.path, { recursive: true, force: true }));
  }

  keys(): KeyRing {
    return parseKeyRing(readFileSync(join(this.path, 'keys', 'store.key'), 'utf8'));
  }

  write(keys: KeyRing): Promise<void> {
    return writeFileAtomically(join(this.path, 'keys', 'store.key'), formatKeyRing(keys));
  }

  /** As a hub does when it starts. */
  async open(): Promise<{ store: Store; rotation: StoreKeyRotation }> {
    const store = await openSqliteStore({
      path: join(this.path, 'store.db'),
      keys: this.keys(),
      sensitiveResources: new Set(['secrets']),
      clock: systemClock,
      logger,
    });
    this.#t.after(() => store.close());
    const { signal } = new AbortController();
    return { store, rotation: new StoreKeyRotation({ dataDirectory: this.path, store, logger, signal }) };
  }
}

async function filled(t: TestContext): Promise<TestDirectory> {
  const directory = new TestDirectory(t);
  await directory.write({ active: generateStoreKey(), others: [] });
  const { store } = await directory.open();
  await Promise.all(
    Array.from({ length: 500 }, (_, i) => store.objects.create(secret(`n${i}`), `{"i":${i}}`)),
  );
  await store.close();
  return directory;
}

async function check(directory: TestDirectory, store: Store): Promise<void> {
  for (let i = 0; i < 500; i += 50)
    assert.equal((await store.objects.find(secret(`n${i}`)))?.body, `{"i":${i}}`);
  const verdict = await store.verify(new AbortController().signal);
  assert.deepEqual(verdict.problems, []);
  assert.equal(Object.keys(verdict.sealedBy).length, 1);
  assert.equal(directory.keys().others.length, 0);
}

describe('a rotation of the store key', () => {
  test('gives the store a new key while it is written to, and drops the old one', async (t) => {
    const directory = await filled(t);
    const before = directory.keys().active;
    const { store, rotation } = await directory.open();
    const rotating = rotation.rotate();
    await assert.rejects(rotation.rotate(), { reason: 'Conflict' });
    const writes = Array.from({ length: 50 }, (_, i) => store.objects.create(secret(`later${i}`), '{}'));
    await Promise.all(writes);
    const result = await rotating;
    assert.ok(result.resealed >= 500);
    assert.equal(result.keysDropped, 1);
    assert.notDeepEqual(directory.keys().active, before);
    await check(directory, store);
    await store.close();
    const again = await directory.open();
    await check(directory, again.store);
  });

  test('that is interrupted at any point goes on at the next start', async (t) => {
    const points: Record<string, (directory: TestDirectory, keys: KeyRing) => Promise<void>> = {
      'behind the new file': async () => {},
      'behind telling the store': async (directory, keys) => {
        const { store } = await directory.open();
        await store.useKeys(keys);
        await store.close();
      },
      'amid the sealing': async (directory) => {
        const { store } = await directory.open();
        const stop = new AbortController();
        const sealing = store.reseal(stop.signal);
        await systemClock.sleep(5);
        stop.abort();
        await sealing;
        await store.close();
      },
      'behind the sealing': async (directory, keys) => {
        const { store } = await directory.open();
        await store.useKeys(keys);
        while ((await store.reseal(new AbortController().signal)) > 0);
        await store.close();
      },
      'behind dropping the old key in the store': async (directory, keys) => {
        const { store } = await directory.open();
        while ((await store.reseal(new AbortController().signal)) > 0);
        await store.useKeys({ active: keys.active, others: [] });
        await store.close();
      },
    };
    for (const [point, reach] of Object.entries(points)) {
      await t.test(point, async (t2) => {
        const directory = await filled(t2);
        const present = directory.keys();
        const keys = { active: generateStoreKey(), others: [present.active] };
        await directory.write(keys);
        await reach(directory, keys);
        const { store, rotation } = await directory.open();
        assert.equal((await store.objects.find(secret('n7')))?.body, '{"i":7}');
        await rotation.resume();
        await check(directory, store);
      });
    }
  });

  test('there is nothing to resume when the file has one key', async (t) => {
    const directory = await filled(t);
    const before = directory.keys();
    const { rotation } = await directory.open();
    await rotation.resume();
    assert.deepEqual(directory.keys(), before);
  });
});

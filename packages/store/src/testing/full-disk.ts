import { rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isStatusError } from '@selvedge/api';
import { openTestStore } from './open-test-store.ts';

// Started by full-disk.test.ts in a small file system, the folder of its argument. Fills it, goes on, frees it, and
// prints what it saw.
const folder = process.argv[2] ?? '';
const ballast = join(folder, 'ballast');
writeFileSync(ballast, Buffer.alloc(1024 * 1024));
const store = await openTestStore(join(folder, 'store.db'));
const { objects } = store;
const key = (name: string) => ({ resource: 'things', namespace: '', name });

const written: string[] = [];
let refusal: unknown;
while (refusal === undefined) {
  const name = `n${written.length}`;
  try {
    await objects.create(key(name), JSON.stringify({ text: 'x'.repeat(50_000) }));
    written.push(name);
  } catch (error) {
    refusal = error;
  }
}
const whileFull = await objects.list({ resource: 'things' });
const together = await Promise.allSettled(
  ['p', 'q', 'r'].map((name) => objects.create(key(name), 'x'.repeat(200_000))),
);
rmSync(ballast);
const later = await objects.create(key('later'), '{}');
const { objects: all } = await objects.list({ resource: 'things' });
await store.close();
const again = await openTestStore(join(folder, 'store.db'));
const reopened = await again.objects.list({ resource: 'things' });
await again.close();

writeSync(
  1,
  JSON.stringify({
    written: written.length,
    reason: isStatusError(refusal) ? refusal.reason : 'no StatusError',
    message: isStatusError(refusal) ? refusal.message : '',
    readable: whileFull.objects.length,
    together: together.map((result) => result.status),
    laterRevision: later.revision,
    inTheEnd: all.length,
    reopened: reopened.objects.length,
  }),
);

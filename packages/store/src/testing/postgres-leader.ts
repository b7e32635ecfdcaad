import { writeSync } from 'node:fs';
import { openTestPostgresStore } from './postgres-databases.ts';

// Started by leadership.postgres.test.ts: leads when it can, and says so, until it is stopped. Argument: address of the
// database.
const store = await openTestPostgresStore(process.argv[2] ?? '');
writeSync(1, 'open\n');
await store.whileLeading(new AbortController().signal, async (signal) => {
  writeSync(1, 'leading\n');
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve());
  });
  writeSync(1, 'lost\n');
});

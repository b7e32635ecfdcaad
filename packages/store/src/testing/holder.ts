import { writeSync } from 'node:fs';
import { openTestStore } from './open-test-store.ts';

// Started by exclusive-use.test.ts: holds the database of its argument until it is killed.
await openTestStore(process.argv[2] ?? '');
writeSync(1, 'open\n');
setInterval(() => {}, 1_000_000);

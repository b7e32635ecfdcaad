import { crashKeys, sensitiveResource, writeUntilKilled } from '@selvedge/testkit';
import { openTestPostgresStore } from './postgres-databases.ts';

// Started by crash.postgres.test.ts, which kills it. Arguments: address of the database, first mark.
const [url = '', firstMark = '1'] = process.argv.slice(2);
const store = await openTestPostgresStore(url, {
  keys: crashKeys(1),
  sensitiveResources: new Set([sensitiveResource]),
});
await writeUntilKilled(store, Number(firstMark));

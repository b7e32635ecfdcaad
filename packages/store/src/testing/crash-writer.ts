import { createLogger, systemClock } from '@selvedge/api/node';
import { crashKeys, sensitiveResource, writeUntilKilled } from '@selvedge/testkit';
import { openSqliteStore } from '../index.ts';

// Started by the crash tests, which kill it. Arguments: path of the database, first mark.
const [path = '', firstMark = ''] = process.argv.slice(2);
const store = await openSqliteStore({
  path,
  keys: crashKeys(1),
  sensitiveResources: new Set([sensitiveResource]),
  clock: systemClock,
  logger: createLogger({ level: 'silent' }),
});
await writeUntilKilled(store, Number(firstMark));

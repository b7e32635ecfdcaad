/** Asks an API for work, as an own process: what it costs is not the server's. Takes jobs one by one from its parent. */
import { isStatusError } from '@selvedge/api';
import type { ApiAddress } from './connection.ts';
import { type LoadJob, runJob } from './load-jobs.ts';

process.on('message', ({ address, job }: { address: ApiAddress; job: LoadJob }) => {
  runJob(address, job).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: isStatusError(error) ? error.message : String(error) }),
  );
});

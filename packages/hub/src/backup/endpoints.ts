import { pipeline } from 'node:stream/promises';
import type { Clock, Logger } from '@selvedge/api';
import type { Endpoint } from '@selvedge/apiserver';
import type { Store } from '@selvedge/store';
import { packBackup } from './backup-contents.ts';
import type { StoreKeyRotation } from './rotate-store-key.ts';

export const backupPath = '/selvedge/v1/backup';
export const rotateStoreKeyPath = '/selvedge/v1/rotate-store-key';

/** Time for a backup's copy to be made before the head of the answer is sent; faults until then are answered as a Status. */
const patienceMilliseconds = 20_000;

/** What `selvedge hub backup` and `rotate-key` ask of a running hub. Who may is decided by the API server. */
export function backupEndpoints(options: {
  readonly store: Store;
  readonly hubId: string;
  readonly keysDirectory: string;
  readonly rotation: StoreKeyRotation;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Endpoint[] {
  const { store, hubId, keysDirectory, rotation, clock, logger, signal } = options;
  return [
    {
      method: 'GET',
      path: backupPath,
      isLongRunning: true,
      handle: async (_req, res, user) => {
        const gone = new AbortController();
        res.once('close', () => gone.abort());
        const stop = AbortSignal.any([signal, gone.signal]);
        const dump = store.dump(stop)[Symbol.asyncIterator]();
        const first = dump.next();
        // Heard of when it is waited for; until then a failure must not end the process.
        first.catch(() => undefined);
        try {
          await Promise.race([first, clock.sleep(patienceMilliseconds, stop)]);
          res.setHeader('Content-Type', 'application/gzip');
          res.setHeader('Cache-Control', 'no-store');
          res.writeHead(200);
          logger.info('backup begins', { component: 'backup', user: user.name });
          const header = { hubId, createdAt: clock.now().toISOString(), engine: store.engine };
          await pipeline(packBackup({ header, keysDirectory, records: resumed(first, dump) }), res);
          logger.info('backup sent', { component: 'backup', user: user.name });
        } finally {
          // Also when nobody came to read: the copy of the database goes with the dump.
          gone.abort('backup over');
          await dump.return?.();
        }
      },
    },
    {
      method: 'POST',
      path: rotateStoreKeyPath,
      isLongRunning: true,
      handle: async (_req, res, user) => {
        logger.info('store key rotation asked for', { component: 'store-key', user: user.name });
        const result = await rotation.rotate();
        res.setHeader('Content-Type', 'application/json');
        res.writeHead(200);
        res.end(JSON.stringify(result));
      },
    },
  ];
}

async function* resumed<T>(first: Promise<IteratorResult<T>>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  try {
    for (let next = await first; next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

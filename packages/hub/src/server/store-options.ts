import { resolve } from 'node:path';
import { HubOptionError } from './hub-option-error.ts';

/** As on the command line. */
export interface StoreFlags {
  /** `postgres://USER@HOST/DATABASE` for any number of hubs on one database. Default: `store.db` in the data directory. */
  readonly store?: string;
  /** File whose first line is the password of the database user. */
  readonly storePasswordFile?: string;
}

export interface StoreOptions {
  /** Absent: SQLite. */
  readonly url?: string;
  readonly passwordFile?: string;
}

/** Throws HubOptionError. */
export function resolveStoreOptions({ store, storePasswordFile }: StoreFlags): StoreOptions {
  if (store === undefined) {
    if (storePasswordFile !== undefined) {
      throw new HubOptionError('--store-password-file goes with --store postgres://…');
    }
    return {};
  }
  // The text may hold a password: it is not repeated.
  if (!/^postgres(ql)?:\/\//.test(store)) {
    throw new HubOptionError(
      '--store must be the address of a PostgreSQL database: postgres://USER@HOST/DATABASE',
    );
  }
  return {
    url: store,
    ...(storePasswordFile === undefined ? {} : { passwordFile: resolve(storePasswordFile) }),
  };
}

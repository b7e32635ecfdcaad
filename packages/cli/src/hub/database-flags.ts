import type { Command } from 'commander';

/** As the hub takes them. */
export interface DatabaseFlags {
  readonly store?: string;
  readonly storePasswordFile?: string;
}

/** The flags of `selvedge hub` and its subcommands that name a PostgreSQL database. */
export function addDatabaseFlags(command: Command): Command {
  return command
    .option('--store <url>', 'postgres://USER@HOST/DATABASE, for several hubs (default DATA/store.db)')
    .option('--store-password-file <file>', 'file with the password of that user');
}

import { objectsAndFleet } from './0001-objects-and-fleet.ts';
import { termsAndPolicy } from './0002-terms-and-policy.ts';

export interface Migration {
  /** Row in `schema_version` of a database that has it: 1, 2, 3, … without holes. */
  readonly version: number;
  readonly sql: string;
}

/** Oldest first. Only ever added to, and only forward. */
export const migrations: readonly Migration[] = [objectsAndFleet, termsAndPolicy];

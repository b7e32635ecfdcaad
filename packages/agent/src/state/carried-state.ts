import type { SyncResponse } from '@selvedge/api';
import type { AgentDatabase } from './agent-database.ts';
import { findMeta, putMeta } from './enrolment-record.ts';

/** A state that a person carried here in a file, between the command that read it and the agent that follows it. */
export interface CarriedState {
  readonly epoch: number;
  /** Digests of its contents: they are not given up meanwhile. */
  readonly contents: readonly string[];
  /** Values for this site, as the hub signed them. */
  readonly sealed: readonly { readonly id: string; readonly version: string; readonly signed: string }[];
  /** The state, to be taken in; absent while what it needs is still being read. */
  readonly offered?: NonNullable<SyncResponse['state']>;
  /** Another one that is being read while this one is offered. */
  readonly next?: Pick<CarriedState, 'epoch' | 'contents'>;
}

export function findCarried(database: AgentDatabase): CarriedState | undefined {
  const text = findMeta(database, metaKey);
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as CarriedState);
}

export function putCarried(database: AgentDatabase, carried: CarriedState): void {
  putMeta(database, metaKey, JSON.stringify(carried));
}

/**
 * It was taken in, or will not be; what comes after it stays. False, with nothing changed: another one is there by now. `carried`: as it was
 * found.
 */
export function forgetCarried(database: AgentDatabase, carried: CarriedState): boolean {
  return database.transaction(() => {
    if (findMeta(database, metaKey) !== JSON.stringify(carried)) return false;
    const { next } = carried;
    if (next === undefined) database.run('DELETE FROM meta WHERE key = ?', metaKey);
    else putCarried(database, { ...next, sealed: [] });
    return true;
  });
}

/** Digests of contents that are not to be given up while the site follows `epoch`. */
export function carriedContents(database: AgentDatabase, epoch: number): string[] {
  const carried = findCarried(database);
  return [carried, carried?.next].flatMap((one) =>
    one !== undefined && one.epoch > epoch ? one.contents : [],
  );
}

const metaKey = 'carried';

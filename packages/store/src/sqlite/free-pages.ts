import type { Logger } from '@selvedge/api';
import type { Db } from './db.ts';

/** Free pages are given back to the file system when there are more than this, and more than a fifth of all pages. */
const minFreePages = 2000;
const pagesPerStep = 64;

/** The file can shrink without being written anew. */
export function returnsFreePages(db: Db): boolean {
  return pragma(db, 'auto_vacuum') === 2;
}

/**
 * For a file of schema version 1: writes it anew once, in place and whole or not at all; takes a second or so per 100 MB,
 * and as much free space as the file has. Without that space it stays as it is, which does no harm.
 */
export function startReturningFreePages(db: Db, logger: Logger): void {
  try {
    db.exec('PRAGMA auto_vacuum = INCREMENTAL');
    db.exec('VACUUM');
  } catch (error) {
    logger.warn('store file keeps its size: it could not be written anew', { error });
  }
}

export function hasManyFreePages(db: Db): boolean {
  const free = pragma(db, 'freelist_count');
  return returnsFreePages(db) && free > minFreePages && free > pragma(db, 'page_count') / 5;
}

/** Gives some free pages back. Call in a transaction. */
export function returnSomeFreePages(db: Db): void {
  db.exec(`PRAGMA incremental_vacuum(${pagesPerStep})`);
}

function pragma(db: Db, name: string): number {
  return db.get<Record<string, number>>(`PRAGMA ${name}`)?.[name] ?? 0;
}

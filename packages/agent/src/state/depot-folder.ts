import type { AgentDatabase } from './agent-database.ts';
import { findMeta, putMeta } from './enrolment-record.ts';

/** Notes where the agent has its depot, for commands beside it; undefined: it has none. */
export function noteDepotFolder(database: AgentDatabase, directory: string | undefined): void {
  const text = JSON.stringify(directory === undefined ? {} : { directory });
  if (findMeta(database, key) !== text) putMeta(database, key, text);
}

/** Undefined: no agent has run with this database yet. */
export function findDepotFolder(database: AgentDatabase): { readonly directory?: string } | undefined {
  const text = findMeta(database, key);
  return text === undefined ? undefined : (JSON.parse(text) as { directory?: string });
}

const key = 'depot';

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DesiredItem, DesiredState } from '@selvedge/api';
import { emptyMemory, type ItemMemory } from '../life/item-memory.ts';
import { AgentDatabase, versionOfActs } from '../state/agent-database.ts';
import { findEnrolment, findMeta } from '../state/enrolment-record.ts';

/** An item as the state directory knows it. */
export interface KnownItem {
  readonly id: string;
  readonly uid: string;
  /** Absent: no longer in the desired state. */
  readonly desired?: DesiredItem;
  readonly memory: ItemMemory;
}

/** Throws when there is no agent's state directory at this path. */
export function checkStateDirectory(stateDir: string): void {
  if (existsSync(join(stateDir, 'agent.db'))) return;
  throw new Error(`${stateDir} is not the state directory of an agent; give the one of "selvedge-agent run"`);
}

/** Opens it for writing, also beside a running agent. Throws what a person can mend. */
export function openSite(stateDir: string): { database: AgentDatabase; site: string } {
  checkStateDirectory(stateDir);
  const database = AgentDatabase.open(stateDir);
  const enrolment = findEnrolment(database);
  if (enrolment !== undefined) return { database, site: enrolment.site };
  database.close();
  throw new Error(`${stateDir} is not enrolled yet, so there is nothing to hold or to roll back`);
}

/** The accepted state; undefined before the first. Terms and policy may be missing in one of an earlier version. */
export function readAccepted(database: AgentDatabase): DesiredState | undefined {
  const mark = findMeta(database, 'accepted');
  if (mark === undefined) return undefined;
  const { stateDigest } = JSON.parse(mark) as { stateDigest: string };
  const row = database.find('SELECT body FROM states WHERE digest = ?', stateDigest);
  return row === undefined ? undefined : (JSON.parse(row['body'] as string) as DesiredState);
}

/** What is desired or here, sorted by id. */
export function readItems(database: AgentDatabase, accepted: DesiredState | undefined): KnownItem[] {
  const items = new Map<string, KnownItem>();
  for (const desired of accepted?.items ?? []) {
    const { id, uid } = desired;
    items.set(`${id} ${uid}`, { id, uid, desired, memory: emptyMemory });
  }
  const rows = database.version < versionOfActs ? [] : database.all('SELECT id, uid, body FROM memories');
  for (const row of rows) {
    const [id, uid] = [String(row['id']), String(row['uid'])];
    const memory = { ...emptyMemory, ...(JSON.parse(row['body'] as string) as Partial<ItemMemory>) };
    items.set(`${id} ${uid}`, { ...(items.get(`${id} ${uid}`) ?? { id, uid }), memory });
  }
  return [...items.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** `namespace/name` for people. */
export function shortName(id: string): string {
  return id.split('/').slice(1).join('/') || id;
}

/** By `namespace/name`, `name` where only one has it, or the whole id. Throws with the known ones. */
export function findItem(items: readonly KnownItem[], text: string): KnownItem {
  const matches = items.filter(
    ({ id }) => id === text || shortName(id) === text || id.split('/').at(-1) === text,
  );
  const ids = new Set(matches.map(({ id }) => id));
  const [match] = matches.toSorted(
    (a, b) => Number(b.desired !== undefined) - Number(a.desired !== undefined),
  );
  if (ids.size === 1 && match !== undefined) return match;
  const known = [...new Set(items.map(({ id }) => shortName(id)))].join(', ') || 'none yet';
  if (ids.size > 1) {
    const which = [...ids].map(shortName).join(', ');
    throw new Error(`"${text}" names several applications: ${which}; give one as NAMESPACE/NAME`);
  }
  throw new Error(`this site has no application "${text}"; it has: ${known}`);
}

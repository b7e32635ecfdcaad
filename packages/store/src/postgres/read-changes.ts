import type { Change, Position } from './commit-follower.ts';
import type { Connection } from './connection.ts';
import type { FleetTables } from './fleet-tables.ts';
import type { ObjectLog } from './object-log.ts';

export interface ChangesQuery {
  readonly log: ObjectLog;
  readonly tables: FleetTables;
  readonly after: Position;
  /** The commits right behind `after`. */
  readonly commits: readonly Position[];
}

/**
 * What each of the commits changed: objects and rows by revision, then the sites whose epoch grew. A row or site that
 * changed again since is in the commit of its last change. `undefined` when something of it is forgotten.
 */
export async function readChanges(
  connection: Connection,
  { log, tables, after, commits }: ChangesQuery,
): Promise<Change[][] | undefined> {
  const upTo = commits.at(-1) ?? after;
  // The marks are read behind the rest: what they still allow was there when it was read.
  const [readObjects, rows, sites, marks] = await Promise.all([
    log.changesBetween(connection, after.revision, upTo.revision),
    tables.changedBetween(connection, after.revision, upTo.revision),
    tables.raisedBetween(connection, after.id, upTo.id),
    connection.query<{ forgotten: number }>(
      "SELECT max(value::bigint) AS forgotten FROM setting WHERE name IN ('compacted', 'deliveries_purged')",
    ),
  ]);
  if ((marks[0]?.forgotten ?? 1) > after.revision) return undefined;
  const changes: Change[] = [
    ...readObjects().map((event) => ({ kind: 'object' as const, event })),
    ...rows.map((row) => ({ kind: 'delivery' as const, row })),
  ];
  changes.sort((a, b) => revisionOf(a) - revisionOf(b));
  let next = 0;
  return commits.map((commit) => {
    const begin = next;
    while (next < changes.length && revisionOf(changes[next] as Change) <= commit.revision) next += 1;
    const raised = sites.filter((site) => site.commit_id === commit.id);
    return [
      ...changes.slice(begin, next),
      ...raised.map(({ site, epoch }) => ({ kind: 'site' as const, site, epoch })),
    ];
  });
}

function revisionOf(change: Change): number {
  if (change.kind === 'object') return change.event.object.revision;
  return change.kind === 'delivery' ? change.row.revision : 0;
}

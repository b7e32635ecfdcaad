import { DatabaseSync } from 'node:sqlite';

/** The whole database as SQL text that makes it again; one line per row, so that a difference can be read. */
export function dumpSql(path: string): string {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
    const schema = db
      .prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'index', rowid",
      )
      .all() as { type: string; name: string; sql: string }[];
    const lines = [`PRAGMA user_version = ${version};`];
    for (const { type, name, sql } of schema) {
      lines.push(`${sql};`);
      if (type !== 'table') continue;
      const rows = db.prepare(`SELECT * FROM ${name}`).all();
      for (const row of rows)
        lines.push(`INSERT INTO ${name} VALUES (${Object.values(row).map(literal).join(', ')});`);
    }
    return `${lines.join('\n')}\n`;
  } finally {
    db.close();
  }
}

function literal(value: unknown): string {
  if (value === null || typeof value === 'number') return String(value);
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  if (value instanceof Uint8Array) return `X'${Buffer.from(value).toString('hex')}'`;
  throw new Error(`no SQL literal for a ${typeof value}`);
}

import type { Db, SqlValue } from './db.ts';

/** Single values of the database, in table `setting`. */
export function readSetting<Value extends SqlValue>(db: Db, name: string): Value | undefined {
  return db.get<{ value: Value }>('SELECT value FROM setting WHERE name = ?', [name])?.value;
}

export function writeSetting(db: Db, name: string, value: SqlValue): void {
  db.run(
    'INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    [name, value],
  );
}

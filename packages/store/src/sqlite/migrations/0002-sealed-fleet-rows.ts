import type { Migration } from './index.ts';

/** What can hold secrets besides objects and blobs can be sealed, and a damaged state is known as such. */
export const sealedFleetRows: Migration = {
  version: 2,
  sql: `
    -- variables: TEXT as is, BLOB when sealed.
    CREATE TABLE site_state_2 (
      site TEXT PRIMARY KEY,
      epoch INTEGER NOT NULL,
      variables ANY NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO site_state_2 SELECT site, epoch, variables FROM site_state;
    DROP TABLE site_state;
    ALTER TABLE site_state_2 RENAME TO site_state;

    -- The log lines of the report, apart from it: JSON as TEXT, BLOB when sealed, NULL for none.
    ALTER TABLE delivery ADD COLUMN logs ANY;
    UPDATE delivery SET logs = json_extract(report, '$.logs'), report = json_remove(report, '$.logs')
      WHERE json_type(report, '$.logs') IS NOT NULL;

    -- CRC-32 of the row, see object-log.ts; NULL for states written before this version, and for sealed ones, which
    -- are authenticated.
    ALTER TABLE object_log ADD COLUMN checksum INTEGER;

    -- reseal_due: 1 while rows may be there that are not sealed with the active key.
    INSERT INTO setting VALUES ('reseal_due', 1);
  `,
};

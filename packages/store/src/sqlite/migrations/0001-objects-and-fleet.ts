import type { Migration } from './index.ts';

/** The first schema. Never edit a released migration: add the next one. */
export const objectsAndFleet: Migration = {
  version: 1,
  sql: `
    -- revision: the newest one given out. compacted: states superseded up to here are forgotten.
    -- deliveries_purged: deleted delivery rows up to here are forgotten.
    CREATE TABLE setting (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
    -- Kubernetes gives resourceVersion 0 a meaning of its own, so an empty store is at 1.
    INSERT INTO setting VALUES ('revision', 1), ('compacted', 1), ('deliveries_purged', 1);

    -- Every state of every object. prev_revision: the state before this one, 0 for a new life.
    -- body: TEXT as is, BLOB when sealed, NULL for a deletion.
    CREATE TABLE object_log (
      revision INTEGER PRIMARY KEY,
      resource TEXT NOT NULL,
      namespace TEXT NOT NULL,
      name TEXT NOT NULL,
      create_revision INTEGER NOT NULL,
      prev_revision INTEGER NOT NULL,
      deleted INTEGER NOT NULL,
      body ANY
    ) STRICT;
    CREATE INDEX object_log_by_key ON object_log (resource, namespace, name, revision, deleted);
    CREATE INDEX object_log_by_resource ON object_log (resource, revision);

    -- Objects that exist now, and where their newest state is in the log.
    CREATE TABLE object_head (
      resource TEXT NOT NULL,
      namespace TEXT NOT NULL,
      name TEXT NOT NULL,
      revision INTEGER NOT NULL,
      PRIMARY KEY (resource, namespace, name)
    ) STRICT, WITHOUT ROWID;

    -- Outlives the site: an epoch never goes back.
    CREATE TABLE site_state (
      site TEXT PRIMARY KEY,
      epoch INTEGER NOT NULL,
      variables TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE site_key (
      site TEXT PRIMARY KEY,
      site_uid TEXT NOT NULL,
      public_key TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      token_uid TEXT NOT NULL,
      enrolled_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE delivery (
      id INTEGER PRIMARY KEY,
      site TEXT NOT NULL,
      namespace TEXT NOT NULL,
      application TEXT NOT NULL,
      application_uid TEXT NOT NULL,
      phase TEXT NOT NULL,
      release TEXT NOT NULL,
      digest TEXT NOT NULL,
      epoch INTEGER NOT NULL,
      assigned_at TEXT NOT NULL,
      deadline_seconds REAL NOT NULL,
      rollout TEXT NOT NULL,
      wave TEXT NOT NULL,
      report TEXT,
      revision INTEGER NOT NULL,
      create_revision INTEGER NOT NULL,
      deleted INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX delivery_by_site ON delivery (site, namespace, application, application_uid);
    CREATE INDEX delivery_by_application ON delivery (namespace, application, site);
    CREATE UNIQUE INDEX delivery_by_revision ON delivery (revision);
    CREATE INDEX delivery_deleted ON delivery (revision) WHERE deleted = 1;

    CREATE TABLE heartbeat (
      site TEXT PRIMARY KEY,
      last_seen_at TEXT NOT NULL,
      agent_epoch INTEGER NOT NULL,
      agent_state_digest TEXT NOT NULL,
      observed_at TEXT
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE rollout_member (
      id INTEGER PRIMARY KEY,
      rollout_uid TEXT NOT NULL,
      site TEXT NOT NULL,
      wave TEXT NOT NULL,
      UNIQUE (rollout_uid, site)
    ) STRICT;

    -- sealed: 1 when bytes are encrypted.
    CREATE TABLE blob (
      id INTEGER PRIMARY KEY,
      digest TEXT NOT NULL UNIQUE,
      sealed INTEGER NOT NULL,
      bytes BLOB NOT NULL
    ) STRICT;
  `,
};

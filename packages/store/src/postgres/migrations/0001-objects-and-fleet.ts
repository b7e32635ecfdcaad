import { advisoryLocks } from '../advisory-locks.ts';
import { changesChannel } from '../changes-channel.ts';
import type { Migration } from './index.ts';

/** The first schema. Never edit a released migration: add the next one. */
export const objectsAndFleet: Migration = {
  version: 1,
  sql: `
    -- compacted: states superseded up to here are forgotten. deliveries_purged: deleted delivery rows up to here are.
    CREATE TABLE setting (name text PRIMARY KEY, value text NOT NULL);
    INSERT INTO setting VALUES ('compacted', '1'), ('deliveries_purged', '1');

    -- One row per transaction that took revisions or raised epochs, in commit order and without holes; revision: the
    -- newest one after it. (writer, batch) tells a hub that lost its connection whether its transaction was committed.
    -- Kubernetes gives resourceVersion 0 a meaning of its own, so an empty store is at 1.
    CREATE TABLE commit_log (
      id bigint PRIMARY KEY,
      revision bigint NOT NULL,
      writer integer NOT NULL,
      batch bigint NOT NULL
    );
    INSERT INTO commit_log VALUES (1, 1, 0, 0);

    -- A session that writes. One whose row was taken away writes no more, whatever is still on its way. key_ids: the
    -- keys it has, the one that it seals with first. pid, started_at: which session, as in pg_stat_activity.
    CREATE TABLE writer (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      hub text NOT NULL,
      key_ids text[] NOT NULL,
      pid integer NOT NULL,
      started_at timestamptz NOT NULL
    );

    -- Every state of every object. prev_revision: the state before this one, 0 for a new life. Of body and sealed one
    -- is set; neither for a deletion.
    CREATE TABLE object_log (
      revision bigint PRIMARY KEY,
      resource text COLLATE "C" NOT NULL,
      namespace text COLLATE "C" NOT NULL,
      name text COLLATE "C" NOT NULL,
      create_revision bigint NOT NULL,
      prev_revision bigint NOT NULL,
      deleted boolean NOT NULL,
      body text,
      sealed bytea
    ) WITH (toast_tuple_target = 8160);
    CREATE INDEX object_log_by_key ON object_log (resource, namespace, name, revision);
    CREATE INDEX object_log_by_resource ON object_log (resource, revision);

    -- Objects that exist now, and where their newest state is in the log.
    CREATE TABLE object_head (
      resource text COLLATE "C" NOT NULL,
      namespace text COLLATE "C" NOT NULL,
      name text COLLATE "C" NOT NULL,
      revision bigint NOT NULL,
      create_revision bigint NOT NULL,
      PRIMARY KEY (resource, namespace, name)
    ) WITH (fillfactor = 80);

    -- Outlives the site: an epoch never goes back. commit_id: when the epoch grew last. variables: JSON, or sealed.
    CREATE TABLE site_state (
      site text COLLATE "C" PRIMARY KEY,
      epoch bigint NOT NULL,
      commit_id bigint NOT NULL,
      variables bytea NOT NULL
    );
    CREATE INDEX site_state_by_commit ON site_state (commit_id);

    CREATE TABLE site_key (
      site text COLLATE "C" PRIMARY KEY,
      site_uid text NOT NULL,
      public_key text NOT NULL,
      fingerprint text NOT NULL,
      token_uid text NOT NULL,
      enrolled_at text NOT NULL
    );

    -- report: JSON without its log lines; report_logs: those as JSON, or sealed.
    CREATE TABLE delivery (
      site text COLLATE "C" NOT NULL,
      namespace text COLLATE "C" NOT NULL,
      application text COLLATE "C" NOT NULL,
      application_uid text COLLATE "C" NOT NULL,
      phase text NOT NULL,
      release text NOT NULL,
      digest text NOT NULL,
      epoch bigint NOT NULL,
      assigned_at text NOT NULL,
      deadline_seconds double precision NOT NULL,
      rollout text NOT NULL,
      wave text NOT NULL,
      report text,
      report_logs bytea,
      revision bigint NOT NULL,
      create_revision bigint NOT NULL,
      deleted boolean NOT NULL,
      PRIMARY KEY (site, namespace, application, application_uid)
    );
    CREATE INDEX delivery_by_application ON delivery (namespace, application, site);
    CREATE UNIQUE INDEX delivery_by_revision ON delivery (revision);
    CREATE INDEX delivery_deleted ON delivery (revision) WHERE deleted;

    CREATE TABLE heartbeat (
      site text COLLATE "C" PRIMARY KEY,
      last_seen_at text COLLATE "C" NOT NULL,
      agent_epoch bigint NOT NULL,
      agent_state_digest text NOT NULL,
      observed_at text
    ) WITH (fillfactor = 70);

    CREATE TABLE rollout_member (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      rollout_uid text COLLATE "C" NOT NULL,
      site text COLLATE "C" NOT NULL,
      wave text NOT NULL,
      UNIQUE (rollout_uid, site)
    );

    CREATE TABLE blob (
      digest text COLLATE "C" PRIMARY KEY,
      is_sealed boolean NOT NULL,
      bytes bytea NOT NULL
    );
    ALTER TABLE blob ALTER COLUMN bytes SET STORAGE EXTERNAL;

    -- One row: who leads, or led last. is_released: it knows that it no longer does.
    CREATE TABLE leader (
      id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
      hub text NOT NULL,
      is_released boolean NOT NULL
    );
    INSERT INTO leader (hub, is_released) VALUES ('', true);

    -- Locks out every other writing transaction and returns where the log is. The lock goes with the transaction, so
    -- revisions are given out in the order in which they become visible.
    CREATE FUNCTION begin_commit(p_writer integer, OUT id bigint, OUT revision bigint) LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock(${advisoryLocks.space}, ${advisoryLocks.commit});
      IF NOT EXISTS (SELECT FROM writer w WHERE w.id = p_writer) THEN
        RAISE EXCEPTION 'writer % was fenced off', p_writer USING ERRCODE = 'SV001';
      END IF;
      SELECT c.id, c.revision INTO begin_commit.id, begin_commit.revision
      FROM commit_log c ORDER BY c.id DESC LIMIT 1;
    END $$;

    -- Writes objects by compare-and-set, all in one call: a hub that stops in the middle of it holds no lock. No two
    -- of them may name the same object. p_kind: 1 create, 2 update, 3 delete. Outcome: 0 written, 1 exists already,
    -- 2 not there, 3 at another revision than expected, 4 the condition does not hold.
    CREATE FUNCTION write_objects(
      p_writer integer, p_batch bigint, p_kind smallint[], p_resource text[], p_namespace text[], p_name text[],
      p_body text[], p_sealed bytea[], p_expected bigint[],
      p_if_resource text[], p_if_namespace text[], p_if_name text[], p_if_revision bigint[]
    ) RETURNS TABLE (outcome smallint, revision bigint, create_revision bigint, commit_id bigint)
    LANGUAGE plpgsql AS $$
    DECLARE
      v_last record;
      v_revision bigint;
    BEGIN
      v_last := begin_commit(p_writer);
      RETURN QUERY
      WITH judged AS MATERIALIZED (
        SELECT a.*, h.revision AS present, h.create_revision AS born,
          CASE
            WHEN a.if_resource IS NOT NULL AND c.revision IS DISTINCT FROM a.if_revision THEN 4
            WHEN a.kind = 1 THEN CASE WHEN h.revision IS NULL THEN 0 ELSE 1 END
            WHEN h.revision IS NULL THEN 2
            WHEN h.revision <> a.expected THEN 3
            ELSE 0
          END::smallint AS verdict
        FROM unnest(p_kind, p_resource, p_namespace, p_name, p_body, p_sealed, p_expected,
            p_if_resource, p_if_namespace, p_if_name, p_if_revision) WITH ORDINALITY
          AS a (kind, resource, namespace, name, body, sealed, expected,
            if_resource, if_namespace, if_name, if_revision, place)
        LEFT JOIN LATERAL (
          SELECT o.revision, o.create_revision FROM object_head o
          WHERE o.resource = a.resource AND o.namespace = a.namespace AND o.name = a.name OFFSET 0
        ) h ON true
        LEFT JOIN LATERAL (
          SELECT o.revision FROM object_head o
          WHERE o.resource = a.if_resource AND o.namespace = a.if_namespace AND o.name = a.if_name OFFSET 0
        ) c ON true
      ), numbered AS MATERIALIZED (
        SELECT j.*, v_last.revision + count(*) FILTER (WHERE j.verdict = 0) OVER (ORDER BY j.place) AS taken
        FROM judged j
      ), written AS MATERIALIZED (
        SELECT * FROM numbered n WHERE n.verdict = 0
      ), logged AS (
        INSERT INTO object_log (revision, resource, namespace, name, create_revision, prev_revision, deleted, body, sealed)
        SELECT w.taken, w.resource, w.namespace, w.name, coalesce(w.born, w.taken), coalesce(w.present, 0), w.kind = 3,
          w.body, w.sealed
        FROM written w
      ), placed AS (
        INSERT INTO object_head AS o (resource, namespace, name, revision, create_revision)
        SELECT w.resource, w.namespace, w.name, w.taken, w.taken FROM written w WHERE w.kind <> 3
        ON CONFLICT ON CONSTRAINT object_head_pkey DO UPDATE SET revision = excluded.revision
      ), removed AS (
        DELETE FROM object_head o USING written w
        WHERE w.kind = 3 AND o.resource = w.resource AND o.namespace = w.namespace AND o.name = w.name
      ), committed AS (
        INSERT INTO commit_log (id, revision, writer, batch)
        SELECT v_last.id + 1, max(w.taken), p_writer, p_batch FROM written w HAVING count(*) > 0
      )
      SELECT n.verdict, n.taken, coalesce(n.born, n.taken), v_last.id + 1 FROM numbered n ORDER BY n.place;
      SELECT c.revision INTO v_revision FROM commit_log c WHERE c.id = v_last.id + 1;
      IF FOUND THEN
        PERFORM pg_notify('${changesChannel}', (v_last.id + 1) || ' ' || p_writer);
      END IF;
    END $$;
  `,
};

-- Seals: a Merkle tree over what the logs got since the last one, chained, so that whoever alters, removes or inserts a row is found.
-- The batch hashes and writes; the server sees to it that a seal goes on from the newest one, has every row there is, and that its
-- root is that of its leaves. docs/seals.md says how to check one without a database.

CREATE FUNCTION consent._sealed_logs() RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY['event', 'decision', 'outcome', 'erasure', 'prune'];
COMMENT ON FUNCTION consent._sealed_logs() IS 'The logs that are sealed, in the order of their rows in a seal; numbered from 1 in consent_data.seal_leaf.';

CREATE FUNCTION consent._merkle_root(leaves bytea) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_merkle_root_wrapper';
COMMENT ON FUNCTION consent._merkle_root(bytea) IS 'The root of the tree (RFC 9162) over hashes of leaves or blocks, 32 bytes each.';

CREATE FUNCTION consent._merkle_blocks(leaves bytea) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_merkle_blocks_wrapper';
COMMENT ON FUNCTION consent._merkle_blocks(bytea) IS 'The roots of each 1024 leaves; the tree over them is the tree over all.';

CREATE FUNCTION consent._merkle_path(leaves bytea, index integer) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_merkle_path_wrapper';
COMMENT ON FUNCTION consent._merkle_path(bytea, integer) IS 'What a leaf is hashed with up to the root, 32 bytes each; NULL where there is no such leaf.';

CREATE FUNCTION consent.verify_proof(proof jsonb) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'verify_proof_wrapper';
COMMENT ON FUNCTION consent.verify_proof(jsonb)
    IS 'Whether a proof made by prove() holds, from the row''s text through path, seal and chain to its newest head. Reads no table: whether that head is the right one, a copy kept elsewhere tells. Never NULL.';

CREATE FUNCTION consent._seal_text(seal_id integer, sealed_at timestamptz, upto bigint[], leaves integer, root bytea, previous bytea) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(E'pg_consent seal 1\nseal %s\nsealed_at %s\nevent %s\ndecision %s\noutcome %s\nerasure %s\nprune %s\nleaves %s\nroot %s\nprevious %s\n',
                  seal_id, extract(epoch FROM sealed_at), upto[1], upto[2], upto[3], upto[4], upto[5], leaves, encode(root, 'hex'), encode(previous, 'hex'))
$$;
COMMENT ON FUNCTION consent._seal_text(integer, timestamptz, bigint[], integer, bytea, bytea) IS 'The text of a seal; its SHA-256 is the head.';

CREATE PROCEDURE consent._create_seals()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
DECLARE
    name text;
BEGIN
    CREATE TABLE IF NOT EXISTS consent_data.seal (
        seal_id integer PRIMARY KEY CHECK (seal_id > 0),
        sealed_at timestamptz NOT NULL,
        upto_event bigint NOT NULL,
        upto_decision bigint NOT NULL,
        upto_outcome bigint NOT NULL,
        upto_erasure bigint NOT NULL,
        upto_prune bigint NOT NULL,
        leaves integer NOT NULL CHECK (leaves > 0),
        root bytea NOT NULL CHECK (length(root) = 32),
        previous bytea NOT NULL CHECK (length(previous) = 32),
        head bytea NOT NULL UNIQUE CHECK (length(head) = 32),
        -- The roots of each 1024 leaves, so that a path needs few of them; what they make is the root.
        blocks bytea NOT NULL,
        sealed_by text NOT NULL DEFAULT session_user
    );
    COMMENT ON TABLE consent_data.seal IS 'The chain of seals: up to which id of each log, how many rows, the root of the tree over them, the head of the seal before, and this one''s. Append-only.';

    CREATE TABLE IF NOT EXISTS consent_data.seal_leaf (
        row_id bigint NOT NULL,
        seal_id integer NOT NULL,
        position integer NOT NULL CHECK (position >= 0),
        log smallint NOT NULL CHECK (log BETWEEN 1 AND 5),
        leaf bytea NOT NULL CHECK (length(leaf) = 32),
        PRIMARY KEY (seal_id, log, row_id)
    );
    COMMENT ON TABLE consent_data.seal_leaf IS 'The hash of every sealed row, in its place (from 0) in the seal''s tree. log: 1 event, 2 decision, 3 outcome, 4 erasure, 5 prune. Append-only.';

    FOREACH name IN ARRAY ARRAY['seal', 'seal_leaf'] LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consent_data.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION consent._refuse_seal_change()', name);
    END LOOP;
    -- At the end of the transaction, so that nobody can leave it out.
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'consent_data.seal'::regclass AND t.tgname = 'complete') THEN
        CREATE CONSTRAINT TRIGGER complete AFTER INSERT ON consent_data.seal DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION consent._check_seal();
    END IF;

    CREATE OR REPLACE VIEW consent.audit_seal AS
    SELECT s.seal_id, s.sealed_at, s.sealed_by, s.leaves, s.upto_event, s.upto_decision, s.upto_outcome, s.upto_erasure, s.upto_prune,
           encode(s.head, 'hex') AS head,
           consent._seal_text(s.seal_id, s.sealed_at, ARRAY[s.upto_event, s.upto_decision, s.upto_outcome, s.upto_erasure, s.upto_prune],
                              s.leaves, s.root, s.previous) AS text
      FROM consent_data.seal s;
    COMMENT ON VIEW consent.audit_seal IS 'Auditor: up to which row is each log sealed, since when, and under which head? text: what the head is the SHA-256 of.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_seals() IS 'Makes the tables and views of seals that are not there yet.';

CREATE FUNCTION consent._refuse_seal_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is not allowed', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = 'Seals are append-only: they are the proof that no row of the logs was altered.',
              HINT = 'consent-batch seal adds one over what has come since; consent-batch verify --seals says whether all hold.';
END
$$;
COMMENT ON FUNCTION consent._refuse_seal_change() IS 'Trigger: seals and their leaves only grow.';

-- How far the logs are: numbers first, writers second. Whoever has taken a number up to these holds a lock on the log, or did and has
-- ended: once none of the writers found here is left, every number is that of a row that all see, or of none for ever.
CREATE FUNCTION consent._seal_horizon() RETURNS TABLE (read_at timestamptz, upto bigint[], writers text[])
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    log text;
    numbers regclass;
BEGIN
    read_at := clock_timestamp();
    upto := '{}';
    FOREACH log IN ARRAY consent._sealed_logs() LOOP
        numbers := pg_get_serial_sequence('consent_data.' || log, log || '_id');
        -- A session would take numbers long after it has got them.
        IF EXISTS (SELECT FROM pg_sequence q WHERE q.seqrelid = numbers AND (q.seqcache <> 1 OR q.seqincrement < 1 OR q.seqcycle)) THEN
            RAISE EXCEPTION 'the numbers of consent_data.% are not given out one by one', log USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format('ALTER SEQUENCE %s CACHE 1 INCREMENT 1 NO CYCLE;', numbers);
        END IF;
        upto := upto || coalesce(pg_sequence_last_value(numbers), 0);
    END LOOP;
    writers := ARRAY(SELECT w.writer FROM consent._seal_writers() w);
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION consent._seal_horizon() IS 'The last number that each log has given out, and the transactions that may still be writing one of them.';

-- Import locks the log before it takes numbers, INSERT does anyhow. A prepared transaction is -1/xid, and holds its locks across restarts.
CREATE FUNCTION consent._seal_writers() RETURNS TABLE (writer text, since timestamptz)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT l.virtualtransaction, min(coalesce(a.xact_start, p.prepared))
      FROM pg_locks l
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL AND l.virtualtransaction = '-1/' || p.transaction
     WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
       AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
       AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       AND l.relation IN (SELECT ('consent_data.' || x)::regclass FROM unnest(consent._sealed_logs()) x
                          UNION ALL
                          SELECT t.relid FROM unnest(consent._sealed_logs()) x, pg_partition_tree(('consent_data.' || x)::regclass) t)
     GROUP BY 1;
END
$$;
COMMENT ON FUNCTION consent._seal_writers() IS 'The transactions that may be writing to a log just now, and since when they are open.';

CREATE FUNCTION consent._seal_begin(previous bytea, sealed_at timestamptz, upto bigint[], leaves integer, root bytea, blocks bytea) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    newest consent_data.seal%ROWTYPE;
    number integer;
    before bigint[];
    given bigint[];
BEGIN
    -- Two at once would make the chain a fork.
    LOCK TABLE consent_data.seal IN SHARE ROW EXCLUSIVE MODE;
    SELECT s.* INTO newest FROM consent_data.seal s ORDER BY s.seal_id DESC LIMIT 1;
    number := coalesce(newest.seal_id, 0) + 1;
    before := CASE WHEN newest.seal_id IS NULL THEN '{0,0,0,0,0}'
                   ELSE ARRAY[newest.upto_event, newest.upto_decision, newest.upto_outcome, newest.upto_erasure, newest.upto_prune] END;
    IF previous IS DISTINCT FROM coalesce(newest.head, decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'the head before is not that of the newest seal' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('The newest is seal %s.', coalesce(newest.seal_id::text, 'none')), HINT = 'Run consent-batch seal again: it goes on from the newest.';
    END IF;
    SELECT h.upto INTO given FROM consent._seal_horizon() h;
    IF upto IS NULL OR cardinality(upto) <> 5 OR array_position(upto, NULL) IS NOT NULL
       OR EXISTS (SELECT FROM unnest(before, upto, given) u (a, b, c) WHERE b < a OR b > c)
       OR sealed_at IS NULL OR sealed_at > clock_timestamp() OR sealed_at < newest.sealed_at THEN
        RAISE EXCEPTION 'a seal goes on from where the one before ended, and no further than the logs' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('Ids may be from %s to %s.', before, given), HINT = 'Seals are made by consent-batch seal.';
    END IF;
    INSERT INTO consent_data.seal (seal_id, sealed_at, upto_event, upto_decision, upto_outcome, upto_erasure, upto_prune, leaves, root, previous, head, blocks)
    VALUES (number, sealed_at, upto[1], upto[2], upto[3], upto[4], upto[5], leaves, root, previous,
            sha256(convert_to(consent._seal_text(number, sealed_at, upto, leaves, root, previous), 'UTF8')), blocks);
    RETURN number;
END
$$;
COMMENT ON FUNCTION consent._seal_begin(bytea, timestamptz, bigint[], integer, bytea, bytea)
    IS 'Adds a seal to the chain; its leaves follow in the same transaction, whose end checks them.';

CREATE FUNCTION consent._seal_leaves(seal integer, log text, first integer, row_ids bigint[], leaves bytea[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF NOT EXISTS (SELECT FROM consent_data.seal s WHERE s.seal_id = seal AND s.xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'seal % is not being made', seal USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Leaves are written in the transaction that makes their seal.', HINT = 'Seals are made by consent-batch seal.';
    END IF;
    INSERT INTO consent_data.seal_leaf (row_id, seal_id, position, log, leaf)
    SELECT u.row_id, seal, first + u.n::integer - 1, array_position(consent._sealed_logs(), log), u.leaf
      FROM unnest(row_ids, leaves) WITH ORDINALITY u (row_id, leaf, n);
END
$$;
COMMENT ON FUNCTION consent._seal_leaves(integer, text, integer, bigint[], bytea[]) IS 'Writes leaves of the seal that this transaction makes: rows of one log in the order of their ids, from a position on.';

CREATE FUNCTION consent._check_seal() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    logs text[] := consent._sealed_logs();
    upto bigint[] := ARRAY[NEW.upto_event, NEW.upto_decision, NEW.upto_outcome, NEW.upto_erasure, NEW.upto_prune];
    after bigint[];
    fault text;
    n bigint;
    hashes bytea;
    in_place boolean;
BEGIN
    SELECT ARRAY[s.upto_event, s.upto_decision, s.upto_outcome, s.upto_erasure, s.upto_prune] INTO after
      FROM consent_data.seal s WHERE s.seal_id = NEW.seal_id - 1;
    SELECT count(*), string_agg(l.leaf, ''::bytea ORDER BY l.log, l.row_id), bool_and(l.position = l.rank AND l.row_id <= upto[l.log] AND l.row_id > coalesce(after[l.log], l.row_id - 1))
      INTO n, hashes, in_place
      FROM (SELECT x.log, x.row_id, x.leaf, x.position, row_number() OVER (ORDER BY x.log, x.row_id) - 1 AS rank
              FROM consent_data.seal_leaf x WHERE x.seal_id = NEW.seal_id) l;
    fault := CASE WHEN n <> NEW.leaves THEN format('it has %s leaves in place of %s', n, NEW.leaves)
                  WHEN NOT in_place THEN 'a leaf is out of its place'
                  WHEN consent._merkle_blocks(hashes) <> NEW.blocks OR consent._merkle_root(NEW.blocks) <> NEW.root THEN 'its root is not that of its leaves' END;
    FOR i IN 1 .. cardinality(logs) LOOP
        EXIT WHEN fault IS NOT NULL;
        EXECUTE format('SELECT count(*) FROM consent_data.%1$I r WHERE ($1 IS NULL OR r.%2$I > $1) AND r.%2$I <= $2
                           AND NOT EXISTS (SELECT FROM consent_data.seal_leaf l WHERE l.seal_id = $3 AND l.log = $4 AND l.row_id = r.%2$I)', logs[i], logs[i] || '_id')
           INTO n USING after[i], upto[i], NEW.seal_id, i::smallint;
        fault := CASE WHEN n > 0 THEN format('%s rows of consent_data.%s are not in it', n, logs[i]) END;
    END LOOP;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'seal % is not sound: %', NEW.seal_id, fault USING ERRCODE = 'integrity_constraint_violation',
            HINT = 'Nothing was sealed. Run consent-batch seal again.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._check_seal() IS 'Trigger, when a transaction that made a seal ends: each row of its ranges has a leaf, all leaves are in their places, and the root is theirs.';

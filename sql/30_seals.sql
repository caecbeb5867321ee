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

CREATE PROCEDURE consent._create_seals(key_column text)
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
COMMENT ON PROCEDURE consent._create_seals(text) IS 'Makes the tables and views of seals that are not there yet.';

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

CREATE FUNCTION consent._hashes(hashes bytea) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT encode(substr(hashes, 1 + 32 * n, 32), 'hex') FROM generate_series(0, length(hashes) / 32 - 1) n ORDER BY n)
$$;
COMMENT ON FUNCTION consent._hashes(bytea) IS 'Hashes that follow each other, in hexadecimal.';

-- The chain is as long for every row: whoever has many proofs tells it once, from seal 2 on.
CREATE FUNCTION consent._prove(log text, row_id bigint, with_chain boolean) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    number smallint := array_position(consent._sealed_logs(), log);
    s record;
    l record;
    v_content text;
    block bytea;
    proof jsonb;
    problem text;
BEGIN
    IF number IS NULL OR row_id IS NULL THEN
        RAISE EXCEPTION '%', CASE WHEN number IS NULL THEN format('log `%s` is not sealed', log) ELSE 'no row is named' END USING ERRCODE = 'undefined_object',
            HINT = format('Name one of %s, and the id of a row.', array_to_string(consent._sealed_logs(), ', '));
    END IF;
    SELECT x.seal_id, x.leaves, x.root, x.head, x.blocks, a.text INTO s
      FROM consent_data.seal x JOIN consent.audit_seal a USING (seal_id)
     WHERE (ARRAY[x.upto_event, x.upto_decision, x.upto_outcome, x.upto_erasure, x.upto_prune])[number] >= row_id ORDER BY x.seal_id LIMIT 1;
    SELECT x.position, x.leaf INTO l FROM consent_data.seal_leaf x WHERE x.seal_id = s.seal_id AND x.log = number AND x.row_id = row_id;
    -- Where somebody has put in a second row of this number, the sealed one.
    SELECT t.content INTO v_content FROM consent.sealed_text t
     WHERE t.log = log AND t.row_id = row_id ORDER BY sha256(decode('00', 'hex') || convert_to(t.content, 'UTF8')) = l.leaf DESC LIMIT 1;
    IF v_content IS NULL AND l.leaf IS NULL THEN
        RAISE EXCEPTION '% % is not known', log, row_id USING ERRCODE = 'undefined_object', HINT = format('Rows are in consent_data.%s.', log);
    END IF;
    problem := CASE WHEN s.seal_id IS NULL THEN 'not_sealed'
                    WHEN l.leaf IS NULL THEN 'inserted'
                    WHEN v_content IS NULL AND EXISTS (SELECT FROM consent_data.prune p WHERE p.log = log AND row_id BETWEEN p.first_id AND p.last_id) THEN 'pruned'
                    WHEN v_content IS NULL THEN 'removed'
                    WHEN sha256(decode('00', 'hex') || convert_to(v_content, 'UTF8')) <> l.leaf THEN 'altered' END;
    IF problem IS NULL THEN
        SELECT string_agg(b.leaf, ''::bytea ORDER BY b.log, b.row_id) INTO block
          FROM ((SELECT x.log, x.row_id, x.leaf FROM consent_data.seal_leaf x WHERE x.seal_id = s.seal_id AND (x.log, x.row_id) < (number, row_id)
                  ORDER BY x.log DESC, x.row_id DESC LIMIT l.position % 1024)
                UNION ALL
                (SELECT x.log, x.row_id, x.leaf FROM consent_data.seal_leaf x WHERE x.seal_id = s.seal_id AND (x.log, x.row_id) >= (number, row_id)
                  ORDER BY x.log, x.row_id LIMIT 1024 - l.position % 1024)) b;
        proof := jsonb_build_object(
            'log', log, 'row_id', row_id, 'proved', true, 'content', v_content, 'leaf', encode(l.leaf, 'hex'),
            'index', l.position, 'size', s.leaves, 'root', encode(s.root, 'hex'),
            'path', consent._hashes(coalesce(consent._merkle_path(block, l.position % 1024), '') || coalesce(consent._merkle_path(s.blocks, l.position / 1024), '')),
            'seal', s.text, 'head', encode(s.head, 'hex'),
            'chain', CASE WHEN with_chain THEN consent._seal_chain(s.seal_id) ELSE '[]' END,
            'newest', CASE WHEN with_chain THEN (SELECT a.head FROM consent.audit_seal a ORDER BY a.seal_id DESC LIMIT 1) ELSE encode(s.head, 'hex') END);
        IF consent.verify_proof(proof) THEN
            RETURN CASE WHEN with_chain THEN proof ELSE proof - 'chain' || jsonb_build_object(
                'chain_from', (SELECT count(*) - 1 FROM consent_data.seal x WHERE x.seal_id <= s.seal_id),
                'newest', (SELECT encode(x.head, 'hex') FROM consent_data.seal x ORDER BY x.seal_id DESC LIMIT 1)) END;
        END IF;
        problem := 'seal_altered';
    END IF;
    RETURN jsonb_build_object('log', log, 'row_id', row_id, 'proved', false, 'problem', problem, 'message', CASE problem
        WHEN 'not_sealed' THEN 'not sealed yet: the next consent-batch seal takes the row in'
        WHEN 'inserted' THEN 'the row was not there when its number was sealed'
        WHEN 'pruned' THEN 'the row was dropped when its time was over; its hash is still sealed'
        WHEN 'removed' THEN 'the row was sealed and is gone'
        WHEN 'altered' THEN 'the row is not as it was when it was sealed'
        ELSE 'the seals are not as they were made: consent-batch verify --seals says where' END);
END
$$;
COMMENT ON FUNCTION consent._prove(text, bigint, boolean) IS 'prove(), or the same without the chain: chain_from says how many texts of seals come before its own, from seal 2 on.';

CREATE FUNCTION consent._seal_chain(after integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(a.text ORDER BY a.seal_id), '[]') FROM consent.audit_seal a WHERE a.seal_id > after);
END
$$;
COMMENT ON FUNCTION consent._seal_chain(integer) IS 'The texts of the seals after one, in order.';

CREATE FUNCTION consent._seal_chain_holds() RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT coalesce(bool_and(x.number = x.n AND x.head = sha256(convert_to(x.text, 'UTF8')) AND x.previous = x.before), true)
              FROM (SELECT s.seal_id AS number, row_number() OVER o AS n, s.head, a.text, s.previous,
                           lag(s.head, 1, decode(repeat('00', 32), 'hex')) OVER o AS before
                      FROM consent_data.seal s JOIN consent.audit_seal a USING (seal_id) WINDOW o AS (ORDER BY s.seal_id)) x);
END
$$;
COMMENT ON FUNCTION consent._seal_chain_holds() IS 'Whether each seal has the head of its text, and follows the one before.';

CREATE FUNCTION consent.prove(log text, row_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT consent._prove(log, row_id, true) $$;
COMMENT ON FUNCTION consent.prove(text, bigint)
    IS 'The proof that a row of a log (event, decision, outcome, erasure, prune) is as it was when sealed: its text, the path to the tree''s root, the seal, and the chain to the newest head. Without personal data. Where there is none: proved false, and why.';

CREATE FUNCTION consent.prove(event_id bigint) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT consent.prove('event', event_id) $$;
COMMENT ON FUNCTION consent.prove(bigint) IS 'The proof that an event of the ledger is as it was when sealed.';

CREATE FUNCTION consent.seal_head() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    answer jsonb;
BEGIN
    SELECT jsonb_build_object('chain', (SELECT encode(f.head, 'hex') FROM consent_data.seal f ORDER BY f.seal_id LIMIT 1), 'seal', a.seal_id,
                              'sealed_at', to_char(a.sealed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'head', a.head, 'text', a.text)
      INTO answer FROM consent.audit_seal a ORDER BY a.seal_id DESC LIMIT 1;
    IF answer IS NULL THEN
        RAISE EXCEPTION 'nothing is sealed yet' USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run consent-batch seal.';
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION consent.seal_head() IS 'The newest head, to be kept outside the database: whoever alters anything that was sealed until then, or restores an older backup, can''t have it again. chain: the first seal''s head, which tells databases apart.';

-- Erasures leave the texts as they are, so seals do not see them: their records must account for each. What is found is named.
CREATE FUNCTION consent._seal_erasures() RETURNS TABLE (what text, log text, row_id bigint, detail text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    d record;
    n bigint;
    named bigint[];
    pruned boolean;
BEGIN
    -- Halfway between erased and not.
    RETURN QUERY
    SELECT 'altered', 'event', e.event_id, 'holds what its erasure took away'
      FROM consent_data.event e
     WHERE (e.commitment IS NOT NULL OR e.erased_at IS NOT NULL)
       AND NOT (e.commitment IS NOT NULL AND e.erased_at IS NOT NULL AND e.salt IS NULL AND e.contact_id IS NULL AND e.evidence IS NULL AND e.reason IS NULL
                AND e.address_hash IS NOT DISTINCT FROM CASE WHEN consent._restricts(e.kind, e.refused) THEN e.address_hash END
                AND e.detail IS NOT DISTINCT FROM CASE WHEN consent._restricts(e.kind, e.refused) THEN consent._restriction_detail(e.detail) END)
    UNION ALL
    SELECT 'altered', 'decision', x.decision_id, 'holds what its erasure took away'
      FROM consent_data.decision x
     WHERE (x.commitment IS NOT NULL OR x.erased_at IS NOT NULL)
       AND NOT (x.commitment IS NOT NULL AND x.erased_at IS NOT NULL AND x.salt IS NULL AND x.contact_id IS NULL AND x.address_hash IS NULL
                AND x.evidence IS NULL AND x.message_ref IS NULL);
    -- Erased on a day when nobody was, or as somebody who was not.
    RETURN QUERY
    SELECT 'erased_unrecorded', 'event', e.event_id, format('no record of an erasure on %s', (e.erased_at AT TIME ZONE 'UTC')::date)
      FROM consent_data.event e
     WHERE e.erased_at IS NOT NULL AND e.commitment IS NOT NULL
       AND NOT EXISTS (SELECT FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = e.erased_at AND x.key_hash = coalesce(e.erased_as, x.key_hash))
    UNION ALL
    SELECT 'erased_unrecorded', 'decision', y.decision_id, format('no record of an erasure on %s', (y.erased_at AT TIME ZONE 'UTC')::date)
      FROM consent_data.decision y
     WHERE y.erased_at IS NOT NULL AND y.commitment IS NOT NULL
       AND NOT EXISTS (SELECT FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = y.erased_at);
    -- As many as the records of the day say; and of each key, as many refusals. Decisions may have been pruned since.
    FOR d IN
        SELECT coalesce(r.log, f.log) AS log, coalesce(r.day, f.day) AS day, coalesce(r.n, 0) AS recorded, coalesce(f.n, 0) AS found
          FROM (SELECT g.log, date_trunc('day', x.erased_at, 'UTC') AS day, sum(g.n) AS n
                  FROM consent_data.erasure x,
                       LATERAL (VALUES ('event', coalesce((x.figures->'removed'->>'event')::bigint, 0) + coalesce((x.figures->'removed'->>'event_by_address')::bigint, 0)),
                                       ('decision', coalesce((x.figures->'removed'->>'decision')::bigint, 0))) g (log, n) GROUP BY 1, 2) r
          FULL JOIN (SELECT 'event' AS log, e.erased_at AS day, count(*) AS n FROM consent_data.event e
                      WHERE e.erased_at IS NOT NULL AND e.commitment IS NOT NULL
                        AND EXISTS (SELECT FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = e.erased_at AND x.key_hash = coalesce(e.erased_as, x.key_hash))
                      GROUP BY 2
                     UNION ALL
                     SELECT 'decision', y.erased_at, count(*) FROM consent_data.decision y
                      WHERE y.erased_at IS NOT NULL AND y.commitment IS NOT NULL
                        AND EXISTS (SELECT FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = y.erased_at)
                      GROUP BY 2) f ON f.log = r.log AND f.day = r.day
         WHERE coalesce(r.n, 0) <> coalesce(f.n, 0) ORDER BY 1, 2 LOOP
        named := '{}';
        n := 0;
        pruned := d.log = 'decision' AND EXISTS (SELECT FROM consent_data.prune p WHERE p.log = 'decision');
        IF d.found < d.recorded AND d.log = 'event' THEN
            -- Of whom the key is known again: rows of the erased from before. Those found halfway above are named already.
            named := ARRAY(SELECT e.event_id FROM consent_data.event e
                            WHERE e.contact_id IS NOT NULL AND e.erased_at IS NULL AND e.commitment IS NULL
                              AND EXISTS (SELECT FROM consent_data.erasure x WHERE x.key_hash = consent._key_hash(e.contact_id::text)
                                             AND date_trunc('day', x.erased_at, 'UTC') = d.day AND e.entered_at < x.erased_at) ORDER BY 1);
            SELECT count(*) INTO n FROM consent_data.event e
             WHERE coalesce(e.erased_at, d.day) = d.day AND (e.commitment IS NOT NULL OR e.erased_at IS NOT NULL)
               AND (e.commitment IS NULL OR e.erased_at IS NULL
                    OR NOT EXISTS (SELECT FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = d.day AND x.key_hash = coalesce(e.erased_as, x.key_hash)));
        ELSIF d.found < d.recorded THEN
            -- Where nothing tells that one is missing, a claim that was being made during the erasure is none.
            named := ARRAY(SELECT y.decision_id FROM consent_data.decision y
                            WHERE y.contact_id IS NOT NULL AND y.erased_at IS NULL AND y.commitment IS NULL
                              AND EXISTS (SELECT FROM consent_data.erasure x WHERE x.key_hash = consent._key_hash(y.contact_id::text)
                                             AND date_trunc('day', x.erased_at, 'UTC') = d.day
                                             AND y.decided_at < x.erased_at - CASE WHEN pruned THEN interval '1 minute' ELSE interval '0' END) ORDER BY 1);
            SELECT count(*) INTO n FROM consent_data.decision y
             WHERE coalesce(y.erased_at, d.day) = d.day AND (y.commitment IS NOT NULL) <> (y.erased_at IS NOT NULL);
        END IF;
        RETURN QUERY SELECT 'unerased', d.log, u, format('of somebody erased on %s', (d.day AT TIME ZONE 'UTC')::date) FROM unnest(named) u;
        IF d.found > d.recorded OR d.found + cardinality(named) + n < d.recorded AND NOT pruned THEN
            RETURN QUERY SELECT 'erasure_differs', 'erasure', min(x.erasure_id),
                                format('%s rows of %s are erased as of %s, and the records of that day are of %s', d.found, d.log, (d.day AT TIME ZONE 'UTC')::date, d.recorded)
                           FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = d.day;
        END IF;
    END LOOP;
    RETURN QUERY
    SELECT 'erasure_differs', 'erasure', r.erasure_id, format('%s refusals are kept under its key, and its record is of %s', coalesce(f.n, 0), r.n)
      FROM (SELECT date_trunc('day', x.erased_at, 'UTC') AS day, x.key_hash, min(x.erasure_id) AS erasure_id,
                   sum(coalesce((x.figures->'kept'->>'restrictions')::bigint, 0)) AS n FROM consent_data.erasure x GROUP BY 1, 2) r
      LEFT JOIN (SELECT e.erased_at AS day, e.erased_as, count(*) AS n FROM consent_data.event e WHERE e.erased_as IS NOT NULL GROUP BY 1, 2) f
             ON f.day = r.day AND f.erased_as = r.key_hash
     -- Where the day's sum is right, but its parts are not.
     WHERE coalesce(f.n, 0) <> r.n
       AND (SELECT sum(coalesce((x.figures->'removed'->>'event')::bigint, 0) + coalesce((x.figures->'removed'->>'event_by_address')::bigint, 0))
              FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = r.day)
         = (SELECT count(*) FROM consent_data.event e WHERE e.erased_at = r.day AND e.commitment IS NOT NULL
               AND EXISTS (SELECT FROM consent_data.erasure x WHERE date_trunc('day', x.erased_at, 'UTC') = r.day AND x.key_hash = coalesce(e.erased_as, x.key_hash)));
END
$$;
COMMENT ON FUNCTION consent._seal_erasures() IS 'Rows of the logs that are erased without a record of it, or no longer erased with one.';

CREATE PROCEDURE consent._grant_seals()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    GRANT SELECT ON consent.audit_seal TO consent_audit, consent_batch;
    -- Nobody writes them but by the functions.
    REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON consent_data.seal, consent_data.seal_leaf FROM consent_batch, consent_admin;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_seals() IS 'Grants on the tables and views of seals; setup() calls it last.';

GRANT EXECUTE ON FUNCTION consent.prove(text, bigint), consent.prove(bigint), consent.verify_proof(jsonb), consent.seal_head() TO consent_audit, consent_batch;
GRANT EXECUTE ON FUNCTION consent._sealed_logs(), consent._seal_text(integer, timestamptz, bigint[], integer, bytea, bytea) TO consent_audit, consent_batch;
GRANT EXECUTE ON FUNCTION
    consent._seal_horizon(), consent._seal_writers(), consent._seal_begin(bytea, timestamptz, bigint[], integer, bytea, bytea),
    consent._seal_leaves(integer, text, integer, bigint[], bytea[]), consent._seal_erasures()
    TO consent_batch;
-- What the view of the texts calls is checked against who reads it.
GRANT EXECUTE ON FUNCTION
    consent._commitment(uuid, jsonb), consent._event_personal(text, jsonb, jsonb, text, bytea), consent._decision_personal(text, bytea, jsonb, text),
    consent._restricts(text, boolean), consent._restriction_detail(jsonb)
    TO consent_audit, consent_batch;

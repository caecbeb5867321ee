-- Proofs of rows by their seals, and whether erasures account for what they changed.

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

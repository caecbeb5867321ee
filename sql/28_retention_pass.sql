-- The pass over the contacts: what the batch found is recorded, and announced.

-- A contact that was acted on and has done nothing since is not found again, whatever its erased data would say now.
CREATE FUNCTION consent._retention_news(contacts text[], senders integer[], stages text[], since timestamptz[], ends timestamptz[])
    RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.n FROM unnest(contacts, senders, stages, since, ends) WITH ORDINALITY f (contact, sender_id, stage, since, ends_at, n)
     WHERE NOT EXISTS (
        SELECT FROM consent_data.retention_action a
         WHERE a.contact_id = consent_data.key(f.contact)
           -- Who came back and has gone again is found again, though the end is the same instant.
           AND (a.sender_id = f.sender_id AND a.stage = f.stage AND a.ends_at = f.ends_at AND (a.outcome IN ('saved', 'gone')) IS NOT TRUE
                OR a.outcome = 'done' AND a.acted_at >= f.since))
$$;
COMMENT ON FUNCTION consent._retention_news(text[], integer[], text[], timestamptz[], timestamptz[])
    IS 'Which of these findings (by their place) are not recorded yet.';

CREATE FUNCTION consent._retention_record(
    run bigint, contacts text[], senders integer[], stages text[], rules text[], since timestamptz[], ends timestamptz[]) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH grace AS (
        SELECT s.source, max(s.grace) AS grace FROM consent_data.retention_setting s GROUP BY s.source
    ), written AS (
        INSERT INTO consent_data.retention_action AS a (run_id, contact_id, sender_id, stage, rule, since, ends_at, act_after, announced_at)
        SELECT run, consent_data.key(f.contact), f.sender_id, f.stage, f.rule, f.since, f.ends_at,
               CASE WHEN f.stage = 'expired' THEN now() + g.grace END, CASE WHEN f.stage = 'expired' AND g.grace IS NOT NULL THEN now() END
          FROM unnest(contacts, senders, stages, rules, since, ends) f (contact, sender_id, stage, rule, since, ends_at)
          LEFT JOIN grace g ON g.source IS NOT DISTINCT FROM consent._retention_source(f.contact)
        ON CONFLICT (contact_id, sender_id, stage, ends_at) DO UPDATE
            SET run_id = excluded.run_id, rule = excluded.rule, since = excluded.since, found_at = now(), act_after = excluded.act_after,
                announced_at = excluded.announced_at, outcome = NULL, reason = NULL, acted_run_id = NULL
            WHERE a.outcome IN ('saved', 'gone')
        RETURNING 1)
    SELECT count(*) FROM written
$$;
COMMENT ON FUNCTION consent._retention_record(bigint, text[], integer[], text[], text[], timestamptz[], timestamptz[])
    IS 'Records findings; those expired are announced for the grace period that is configured. Answers with how many are new.';

-- Whoever was found before there was anything to be done is announced from now on.
CREATE FUNCTION consent._retention_configured(most integer) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH open AS (
        SELECT a.retention_action_id, g.grace
          FROM consent_data.retention_action a
          JOIN (SELECT s.source, max(s.grace) AS grace FROM consent_data.retention_setting s GROUP BY s.source) g
            ON g.source IS NOT DISTINCT FROM consent._retention_source(a.contact_id::text)
         WHERE a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after IS NULL AND a.outcome IS NULL
         LIMIT most FOR UPDATE OF a SKIP LOCKED
    ), announced AS (
        UPDATE consent_data.retention_action a SET act_after = now() + o.grace, announced_at = now()
          FROM open o WHERE a.retention_action_id = o.retention_action_id RETURNING 1)
    SELECT count(*) FROM announced
$$;
COMMENT ON FUNCTION consent._retention_configured(integer) IS 'Announces expired contacts that were found before an action was configured; answers with their number.';

-- seen: contacts just assessed. What is noted of them is replaced by what falls due next.
CREATE FUNCTION consent._retention_move(seen text[], contacts text[], senders integer[], due timestamptz[]) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM consent_data.retention_due d USING unnest(seen) s (contact) WHERE d.contact_id = consent_data.key(s.contact);
    INSERT INTO consent_data.retention_due (contact_id, sender_id, due_at)
    SELECT consent_data.key(n.contact), n.sender_id, n.due_at FROM unnest(contacts, senders, due) n (contact, sender_id, due_at)
     WHERE EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = consent_data.key(n.contact))
    ON CONFLICT (contact_id, sender_id) DO UPDATE SET due_at = excluded.due_at
$$;
COMMENT ON FUNCTION consent._retention_move(text[], text[], integer[], timestamptz[]) IS 'Notes when the next stage begins for contacts just assessed.';

CREATE FUNCTION consent._retention_begin() RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
BEGIN
    DROP TABLE IF EXISTS consent_data.retention_due_next;
    CREATE TABLE consent_data.retention_due_next (LIKE consent_data.retention_due);
    GRANT INSERT ON consent_data.retention_due_next TO consent_batch;
    RETURN clock_timestamp();
END
$$;
COMMENT ON FUNCTION consent._retention_begin() IS 'Makes the empty table that a full pass fills; answers with the time.';

CREATE FUNCTION consent._retention_swap(fingerprint bytea, run bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    n bigint;
    v_comment text := obj_description('consent_data.retention_due'::regclass, 'pg_class');
BEGIN
    ALTER TABLE consent_data.retention_due_next ADD CONSTRAINT retention_due_next_pkey PRIMARY KEY (contact_id, sender_id);
    CREATE INDEX retention_due_next_at ON consent_data.retention_due_next (due_at);
    -- From here on an erasure waits for us, or we see that it is over.
    LOCK TABLE consent_data.retention_due IN ACCESS EXCLUSIVE MODE;
    -- Whoever went while the pass ran, for good or to come back, is found by the next one.
    DELETE FROM consent_data.retention_due_next d USING consent_data.contact_gone g WHERE g.contact_id = d.contact_id;
    SELECT count(*) INTO n FROM consent_data.retention_due_next;
    DROP TABLE consent_data.retention_due;
    ALTER TABLE consent_data.retention_due_next RENAME TO retention_due;
    ALTER TABLE consent_data.retention_due RENAME CONSTRAINT retention_due_next_pkey TO retention_due_pkey;
    ALTER INDEX consent_data.retention_due_next_at RENAME TO retention_due_at;
    EXECUTE format('COMMENT ON TABLE consent_data.retention_due IS %L', v_comment);
    REVOKE ALL ON consent_data.retention_due FROM consent_batch;
    GRANT SELECT ON consent_data.retention_due TO consent_audit, consent_batch;
    INSERT INTO consent_data.retention_pass AS p (fingerprint, run_id) VALUES (fingerprint, run)
    ON CONFLICT (one_row) DO UPDATE SET fingerprint = excluded.fingerprint, run_id = excluded.run_id, passed_at = now();
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._retention_swap(bytea, bigint) IS 'Puts the table of a full pass into use, and notes the pass; answers with its rows.';

-- The action, on whoever was announced and has not come back.

CREATE FUNCTION consent._retention_questions() RETURNS bytea[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(consent._question_bytes(consent.question('marketing', sender => s.name)) ORDER BY s.sender_id) FROM consent_data.sender s
$$;
COMMENT ON FUNCTION consent._retention_questions() IS 'One question a sender, as retention asks it now.';

-- In the CRM, as the owner of its table. Nothing is left of that role, nor of what it set.
-- With the rights of _retire() alone: whoever else might call it could touch any row of a configured table.
CREATE FUNCTION consent._retention_act(setting_id integer, native text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fault text := consent._retention_fault(setting_id);
    s consent_data.retention_setting;
    owner oid;
    home text;
BEGIN
    SELECT x.* INTO STRICT s FROM consent_data.retention_setting x WHERE x.retention_setting_id = setting_id;
    IF s.action = 'flag' THEN
        RETURN 0;
    END IF;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'the action can''t be done: %', fault USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'consent.retention_configuration shows it; configure it anew with consent.set_retention().';
    END IF;
    SELECT c.relowner, c.relnamespace::regnamespace::text INTO owner, home FROM pg_class c WHERE c.oid = to_regclass(s.relation);
    RETURN consent._execute_as(owner, format('pg_catalog, %s, pg_temp', home), consent._retention_statement(setting_id), native);
END
$$;
COMMENT ON FUNCTION consent._retention_act(integer, text) IS 'Does one configured action for one native key, as the owner of the CRM''s table; answers with how many rows it touched.';

-- Whether anything but the contact's own clocks keeps it: a hold on, or the life of, whoever it was merged with, or
-- engagement that only a whole refold reads and none has since the announcement, and in the last day.
CREATE FUNCTION consent._retention_kept(contact text, verdict jsonb, questions bytea[]) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    other jsonb;
    r record;
BEGIN
    IF NOT (verdict->>'retire')::boolean THEN
        RETURN verdict->>'kept';
    END IF;
    -- Binding a view is not reading it.
    IF EXISTS (SELECT FROM consent_data.binding b
                WHERE NOT b.by_key
                  AND (b.seen_at <= greatest(b.bound_at, now() - interval '1 day')
                       OR b.seen_at <= (SELECT max(coalesce(a.announced_at, a.found_at)) FROM consent_data.retention_action a
                                         WHERE a.contact_id = key AND a.stage = 'expired' AND a.acted_at IS NULL))) THEN
        RETURN 'unread_engagement';
    END IF;
    FOR r IN SELECT p AS contact FROM consent._same_person(contact) p LOOP
        -- Gives no permission yet, so no state knows of it.
        IF EXISTS (SELECT FROM consent_data.crm_event_of(consent_data.key(r.contact)) c WHERE c.at > now()) THEN
            RETURN 'future_activity';
        END IF;
        IF EXISTS (SELECT FROM consent._holds(r.contact)) THEN
            RETURN 'legal_hold';
        END IF;
        CONTINUE WHEN r.contact = contact;
        other := consent._retention(consent._current_state(r.contact), questions);
        -- Of one who is nowhere any more there is no state.
        IF consent._current_state(r.contact) IS NOT NULL AND NOT (other->>'retire')::boolean AND other->>'kept' <> 'not_begun' THEN
            RETURN 'merged_contact';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._retention_kept(text, jsonb, bytea[]) IS 'What keeps a contact from being retired; NULL if nothing does.';

-- What was refused with a sale stands in the CRM's row alone, which is about to go; to whom it is refused since, in facts that
-- are erased.
CREATE FUNCTION consent._keep_refusals(contact text) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    hash bytea := consent._key_hash(contact);
    v_now timestamptz := clock_timestamp();
    n bigint;
    r record;
BEGIN
    INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, channels, category_id)
    SELECT DISTINCT key, consent._restriction_kind(c.kind), least(c.at, v_now), v_now, c.sender_id, c.channels, c.category_id
      FROM consent_data.crm_event_of(key) c
     WHERE consent._restricts(c.kind, c.refused)
       AND NOT EXISTS (
        SELECT FROM consent_data.event e
         WHERE (e.contact_id = key OR e.erased_as = hash) AND e.kind = consent._restriction_kind(c.kind) AND e.at = least(c.at, v_now)
           AND (e.sender_id, e.channels, e.category_id) IS NOT DISTINCT FROM (c.sender_id, c.channels, c.category_id));
    GET DIAGNOSTICS n = ROW_COUNT;
    -- Whoever took over a business from the sender took over what was refused to it; that it did, an erasure forgets.
    FOR r IN SELECT e.*, b AS bound_id FROM consent_data.event e, LATERAL consent._bound_senders(contact, e.sender_id) b
              WHERE e.contact_id = key AND consent._restricts(e.kind, e.refused) AND e.kind <> 'register_delisted' AND b <> e.sender_id LOOP
        WITH taken_over AS (
            INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, channels, category_id, detail, address_hash)
            VALUES (key, consent._restriction_kind(r.kind), r.at, v_now, r.bound_id, r.channels, r.category_id, r.detail, r.address_hash)
            RETURNING event_id)
        INSERT INTO consent_data.address_event (address_hash, event_id)
        SELECT ae.address_hash, t.event_id FROM taken_over t, consent_data.address_event ae WHERE ae.event_id = r.event_id;
        n := n + 1;
    END LOOP;
    IF n > 0 THEN
        PERFORM consent._carry_on(contact);
    END IF;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._keep_refusals(text) IS 'Takes what a contact refused with sales, and to whoever took over a business, into the ledger, where an erasure keeps it by hash; answers with how many.';

-- The CRM's change, our erasure and the record are one: an error undoes all three.
CREATE FUNCTION consent._retire_contact(contact text, run bigint, questions bytea[]) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    source text := consent._retention_source(contact);
    native text := consent._native_key(contact, source, consent._native_type(source));
    state consent.state;
    verdict jsonb;
    why_kept text;
    rules text;
    actions text;
    erases boolean;
    touched bigint := 0;
    touched_person bigint;
    n bigint;
    s record;
BEGIN
    -- Locks the states, and folds what committed before: a click, a purchase or a hold that came in between is in them. The
    -- life of whoever it was merged with counts, too, and nothing may have watched it.
    FOR s IN SELECT p AS contact FROM consent._same_person(contact) p LOOP
        PERFORM consent._refold_contact(s.contact);
    END LOOP;
    IF EXISTS (SELECT FROM consent_data.pending p WHERE p.contact_id = key) THEN
        RETURN 'busy';
    END IF;
    SELECT coalesce(o.state, x.state) INTO state
      FROM consent_data.contact_state x LEFT JOIN consent_data.contact_overflow o USING (contact_id) WHERE x.contact_id = key;
    IF state IS NULL THEN
        UPDATE consent_data.retention_action a SET outcome = 'gone', act_after = NULL, acted_run_id = run
         WHERE a.contact_id = key AND a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after IS NOT NULL;
        RETURN 'gone';
    END IF;
    verdict := consent._retention(state, questions);
    why_kept := consent._retention_kept(contact, verdict, questions);
    IF why_kept IS NOT NULL THEN
        -- A row whose own clock has moved is over; the others wait for what keeps the contact.
        UPDATE consent_data.retention_action a
           SET acted_run_id = run, reason = why_kept,
               outcome = CASE WHEN x.still OR why_kept = 'unread_engagement' OR NOT (verdict->>'assessed')::boolean THEN 'kept' ELSE 'saved' END,
               -- The next night, whenever it comes, may have read it.
               act_after = CASE WHEN why_kept = 'unread_engagement' THEN now() + interval '12 hours'
                                WHEN x.still THEN greatest(now() + interval '1 day', coalesce((verdict->>'until')::timestamptz, now() + interval '7 days'))
                                WHEN NOT (verdict->>'assessed')::boolean THEN now() + interval '1 day' END
          FROM (SELECT b.retention_action_id, EXISTS (
                    SELECT FROM jsonb_to_recordset(verdict->'senders') v (sender_id integer, stage text, ends_at timestamptz)
                     WHERE v.sender_id = b.sender_id AND v.stage = 'expired' AND v.ends_at = b.ends_at) AS still
                  FROM consent_data.retention_action b WHERE b.contact_id = key) x
         WHERE a.retention_action_id = x.retention_action_id AND a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after IS NOT NULL;
        INSERT INTO consent_data.retention_due AS d (contact_id, sender_id, due_at)
        SELECT key, v.sender_id, v.next FROM jsonb_to_recordset(verdict->'senders') v (sender_id integer, next timestamptz) WHERE v.next IS NOT NULL
        ON CONFLICT (contact_id, sender_id) DO UPDATE SET due_at = excluded.due_at;
        RETURN 'kept';
    END IF;

    SELECT string_agg(x.action, ', ' ORDER BY x.retention_setting_id), bool_or(x.action IN ('anonymise', 'delete')) INTO actions, erases
      FROM consent_data.retention_setting x WHERE x.source IS NOT DISTINCT FROM source;
    IF actions IS NULL THEN
        -- What was to be done has been taken back; whatever is configured next is announced anew.
        UPDATE consent_data.retention_action a SET act_after = NULL, outcome = NULL, reason = NULL
         WHERE a.contact_id = key AND a.stage = 'expired' AND a.acted_at IS NULL;
        RETURN 'unconfigured';
    END IF;
    SELECT string_agg(DISTINCT v.rule, ', ') INTO rules FROM jsonb_to_recordset(verdict->'senders') v (rule text);
    IF erases THEN
        -- First, while the CRM shows what was refused there, and the addresses are known that refusals bind.
        PERFORM consent._keep_refusals(contact);
        PERFORM consent._erase_contact(contact, ARRAY[contact], consent._key_hash(contact), format('retention: %s, run %s', rules, run), false);
    END IF;
    FOR s IN SELECT x.retention_setting_id AS id, x.action IN ('anonymise', 'delete') AND EXISTS (
                        SELECT FROM consent_data.binding b, LATERAL consent._tables_of(b.view) t (id)
                         WHERE b.kind = 'contacts' AND b.source IS NOT DISTINCT FROM source AND t.id IN (SELECT consent._watched_relations(x.relation)::oid)) AS shows
               FROM consent_data.retention_setting x
              WHERE x.source IS NOT DISTINCT FROM source AND native IS NOT NULL ORDER BY x.retention_setting_id LOOP
        n := consent._retention_act(s.id, native);
        touched := touched + n;
        -- What the contacts are shown from, if any of it is acted on, is where the person is.
        touched_person := CASE WHEN s.shows THEN coalesce(touched_person, 0) + n ELSE touched_person END;
    END LOOP;
    IF erases THEN
        IF coalesce(touched_person, touched) = 0 AND EXISTS (SELECT FROM consent_data.crm_contact_of(key)) THEN
            RAISE EXCEPTION 'the action finds no row of a contact that the CRM shows' USING ERRCODE = 'no_data_found',
                HINT = 'Does its key column hold what the bound view gives as contact_id?';
        END IF;
        -- A fold keeps an address that the CRM has let go; here it must go too.
        DELETE FROM consent_data.contact_address ca WHERE ca.contact_id = key;
        PERFORM consent._refold_contact(contact);
    END IF;
    UPDATE consent_data.retention_action a
       SET acted_at = now(), outcome = 'done', action = actions, acted_run_id = run, rows_touched = touched, reason = NULL
     WHERE a.contact_id = key AND a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after IS NOT NULL;
    RETURN 'done';
END
$$;
COMMENT ON FUNCTION consent._retire_contact(text, bigint, bytea[]) IS 'Judges an announced contact anew, under its lock, and does what is configured if nothing keeps it; answers with the outcome.';

-- What the CRM commits between our last look and the action would be deleted unread: a refusal, or the purchase of somebody
-- who is back. Held are the tables that an action names and a bound view reads; and all that refusals come from, unless
-- watched, since an action may lead there by a foreign key, a trigger or a function. Writers wait for one call.
CREATE FUNCTION consent._hold_crm() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN WITH acted AS (
                 SELECT t::oid AS id FROM consent_data.retention_setting s, LATERAL consent._watched_relations(s.relation) t WHERE s.relation IS NOT NULL)
             SELECT t.id::regclass AS relation
               FROM consent_data.binding b CROSS JOIN LATERAL consent._tables_of(b.view) t (id)
               JOIN pg_class c ON c.oid = t.id AND c.relkind IN ('r', 'p') AND c.relnamespace <> 'pg_catalog'::regnamespace
              WHERE EXISTS (SELECT FROM acted)
                AND (EXISTS (SELECT FROM acted a JOIN consent._watched_relations(t.id::regclass::text) x ON x = a.id)
                     OR (b.kind = 'consents' OR 'refused' = ANY (b.columns))
                        AND NOT EXISTS (SELECT FROM consent_data.watch w
                                         WHERE w.triggers IS NOT NULL AND t.id IN (SELECT consent._watched_relations(w.relation)::oid)))
              GROUP BY t.id ORDER BY t.id LOOP
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', r.relation);
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._hold_crm() IS 'Keeps the CRM from writing, until the transaction ends, to what an action could take away unread.';

-- Refusals wait for the lock below, so a call is short. What is locked is left to the next run.
CREATE FUNCTION consent._retire(run bigint, most integer) RETURNS TABLE (outcome text, contacts bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $$
#variable_conflict use_variable
DECLARE
    questions bytea[];
    outcomes text[] := '{}';
    v_outcome text;
    v_code text;
    r record;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR NOT consent._has_key() THEN
        RAISE EXCEPTION 'nobody can be retired now' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'It needs the newest rows, and the address key, by which refusals outlive the contact.',
            HINT = 'Run it in READ COMMITTED, and see consent.key_status().';
    END IF;
    IF NOT EXISTS (SELECT FROM consent_data.retention_action a
                    WHERE a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after <= now() AND a.run_id <> run) THEN
        RETURN;
    END IF;
    -- The CRM first, before refusals are kept waiting. While either writes, nobody is acted on: a later run will.
    BEGIN
        PERFORM consent._hold_crm();
        -- As erase() does first of all.
        LOCK TABLE consent_data.contact_merge IN SHARE ROW EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        RETURN QUERY
        WITH due AS (
            SELECT a.retention_action_id FROM consent_data.retention_action a
             WHERE a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after <= now() AND a.run_id <> run
             ORDER BY a.act_after, a.retention_action_id LIMIT most FOR UPDATE SKIP LOCKED
        ), put_off AS (
            UPDATE consent_data.retention_action a SET act_after = now() + interval '1 minute', acted_run_id = run
              FROM due d WHERE a.retention_action_id = d.retention_action_id RETURNING a.contact_id)
        SELECT 'busy', count(DISTINCT p.contact_id) FROM put_off p HAVING count(*) > 0;
        RETURN;
    END;
    -- Deferred triggers would run at commit, with the session's rights.
    SET CONSTRAINTS ALL IMMEDIATE;
    questions := consent._retention_questions();
    FOR r IN SELECT d.contact_id, max(d.latest) AS latest FROM (
                 SELECT a.contact_id, (SELECT max(o.act_after) FROM consent_data.retention_action o
                                        WHERE o.contact_id = a.contact_id AND o.stage = 'expired' AND o.acted_at IS NULL) AS latest
                   FROM consent_data.retention_action a
                  WHERE a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after <= now()
                    AND NOT EXISTS (SELECT FROM consent_data.retention_action o
                                     WHERE o.contact_id = a.contact_id AND o.stage = 'expired' AND o.acted_at IS NULL AND o.run_id = run)
                  ORDER BY a.act_after, a.retention_action_id LIMIT most FOR UPDATE SKIP LOCKED) d
              GROUP BY d.contact_id ORDER BY d.contact_id LOOP
        v_code := NULL;
        IF r.latest > now() THEN
            -- Another sender's announcement still runs.
            UPDATE consent_data.retention_action a SET act_after = r.latest
             WHERE a.contact_id = r.contact_id AND a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after <= now();
            outcomes := outcomes || 'waits'::text;
            CONTINUE;
        END IF;
        BEGIN
            v_outcome := consent._retire_contact(r.contact_id::text, run, questions);
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN v_outcome := 'busy';
            WHEN OTHERS THEN
                RAISE LOG 'retention could not act on a contact: %', SQLSTATE;
                v_outcome := 'failed';
                v_code := SQLSTATE;
        END;
        IF v_outcome IN ('busy', 'failed') THEN
            UPDATE consent_data.retention_action a
               SET act_after = now() + CASE v_outcome WHEN 'busy' THEN interval '1 minute' ELSE interval '1 day' END,
                   outcome = CASE v_outcome WHEN 'failed' THEN 'failed' ELSE a.outcome END, reason = coalesce(v_code, a.reason), acted_run_id = run
             WHERE a.contact_id = r.contact_id AND a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after <= now();
        END IF;
        outcomes := outcomes || v_outcome;
        -- Slow triggers must not keep refusals waiting once for each contact; who is left is taken by the next call.
        EXIT WHEN clock_timestamp() > statement_timestamp() + interval '500 milliseconds';
    END LOOP;
    RETURN QUERY SELECT o, count(*) FROM unnest(outcomes) o GROUP BY o ORDER BY o;
END
$$;
COMMENT ON FUNCTION consent._retire(bigint, integer)
    IS 'Does what is configured with contacts whose announcement of an earlier run has run out, the longest waiting first; answers with how many had which outcome. No row: none is left.';

CREATE FUNCTION consent._retention_due() RETURNS TABLE (
    contact text, source text, native_key text, sender text, stage text, rule text, since timestamptz, ends_at timestamptz,
    found_at timestamptz, act_after timestamptz, action text, acted_at timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    questions bytea[] := consent._retention_questions();
BEGIN
    -- As of this moment: whoever has come back since is not shown, nor whose state is to be folded anew.
    RETURN QUERY
    SELECT a.contact_id::text, k.source, consent._native_key(a.contact_id::text, k.source, consent._native_type(k.source)), n.name,
           a.stage, a.rule, a.since, a.ends_at, a.found_at, a.act_after,
           CASE WHEN a.stage = 'expired' THEN coalesce(a.action, (SELECT string_agg(x.action, ', ' ORDER BY x.retention_setting_id)
               FROM consent_data.retention_setting x WHERE x.source IS NOT DISTINCT FROM k.source)) END, a.acted_at
      FROM consent_data.retention_action a
      JOIN consent_data.sender n USING (sender_id)
      JOIN consent_data.contact_state s USING (contact_id)
      LEFT JOIN consent_data.contact_overflow o USING (contact_id),
      LATERAL (SELECT consent._retention_source(a.contact_id::text)) k (source),
      LATERAL (SELECT consent._retention(coalesce(o.state, s.state), questions)) v (verdict)
     WHERE NOT EXISTS (SELECT FROM consent_data.pending p WHERE p.contact_id = a.contact_id)
       AND (a.outcome = 'done' AND a.action ~ '(anonymise|delete)') IS NOT TRUE
       AND (a.stage = 'renewal' OR a.stage = 'expired' AND (v.verdict->>'retire')::boolean AND (a.act_after IS NOT NULL OR a.acted_at IS NOT NULL))
       -- Nobody is asked to stay who has said no.
       AND (a.stage <> 'renewal'
            OR coalesce(consent._decide(coalesce(o.state, s.state), consent.question('marketing', sender => n.name))->>'reason', '')
               <> ALL ('{opted_out,objected,suppressed_address,erased,registered,relationship_refused_at_collection}'))
       AND EXISTS (SELECT FROM jsonb_to_recordset(v.verdict->'senders') w (sender_id integer, stage text, ends_at timestamptz)
                    WHERE w.sender_id = a.sender_id AND w.stage = a.stage AND w.ends_at = a.ends_at);
END
$$;
COMMENT ON FUNCTION consent._retention_due() IS 'The rows of consent.retention_due.';

CREATE PROCEDURE consent._create_retention_views(key_type text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    EXECUTE format($ddl$
    CREATE OR REPLACE VIEW consent.retention_due AS
    SELECT d.contact::%s AS contact_id, d.source, d.native_key, d.sender, d.stage, d.rule, d.since, d.ends_at, d.found_at, d.act_after, d.action, d.acted_at
      FROM consent._retention_due() d$ddl$, key_type);
    COMMENT ON VIEW consent.retention_due IS 'CRM: whose time is over and what will be done from when on (act_after) or was flagged (acted_at); and, in stage renewal, whom one message may still ask to stay. As of this moment: whoever came back or is held is not shown, nor in renewal who refused.';

    CREATE OR REPLACE VIEW consent.retention_configuration AS
    SELECT s.source, s.relation, s.action, s.key_column, s.columns, s.function, s.grace,
           (SELECT pg_get_userbyid(c.relowner)::text FROM pg_class c WHERE c.oid = to_regclass(s.relation)) AS runs_as,
           s.configured_by, s.configured_at, consent._retention_fault(s.retention_setting_id) AS problem
      FROM consent_data.retention_setting s;
    COMMENT ON VIEW consent.retention_configuration IS 'DBA: what is done with expired contacts of each source, with whose rights, and what keeps it from being done.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_retention_views(text) IS 'Makes the views of retention.';

-- The batch's refold: addresses, then one fold of everything into a temporary table under one snapshot, then
-- differences only, in short transactions, by compare-and-set on rev. What changed meanwhile is refolded by key; whoever's
-- state stood at the snapshot is left alone, since what changes later is maintained under its row's lock.

-- Of thousands of contacts among millions, rows are looked up, not joined by reading everybody's: what the night folds
-- was written today and is in memory. Where the CRM has no index the planner still reads the table, once.
CREATE FUNCTION consent._prefer_indexes() RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT set_config('random_page_cost', '0.2', true)
$$;
COMMENT ON FUNCTION consent._prefer_indexes() IS 'Has the rest of the transaction planned for rows that are in memory.';

-- only_noted: of the contacts noted as pending alone, but in sets too; by key each would cost ten times as much.
CREATE FUNCTION consent._refold_addresses(only_noted boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    SET parallel_tuple_cost = 0 SET parallel_setup_cost = 0
AS $$
DECLARE
    n bigint;
    noted text[];
    fresh integer;
BEGIN
    PERFORM consent._hold_keys();
    -- Raises without the key: every address would look like one that can't be read, and lose its permissions.
    PERFORM consent.address_hash('email', 'probe@example.org');
    -- What was noted before anything is read is taken in by what follows, and by nothing else.
    DROP TABLE IF EXISTS pg_temp.consent_taken, pg_temp.consent_fresh, pg_temp.consent_stage;
    CREATE TEMPORARY TABLE consent_stage AS SELECT only_noted, false AS folded;
    CREATE TEMPORARY TABLE consent_taken AS
    SELECT now() AS started_at, p.pending_id, p.contact_id, NULL::bigint AS watch_failure_id, NULL::integer AS watch_id, NULL::text AS triggers,
           NULL::integer AS binding_id, NULL::text AS definition FROM consent_data.pending p;
    IF only_noted THEN
        PERFORM consent._prefer_indexes();
        PERFORM consent._note_holders(NULL);
        INSERT INTO pg_temp.consent_taken (pending_id, contact_id, started_at)
        SELECT p.pending_id, p.contact_id, now() FROM consent_data.pending p WHERE p.xmin = pg_current_xact_id()::xid;
        noted := ARRAY(SELECT DISTINCT t.contact_id::text FROM pg_temp.consent_taken t);
        PERFORM consent._take_refusals(noted, NULL);
        PERFORM consent._look_for_gone();
    ELSE
        INSERT INTO pg_temp.consent_taken (started_at, watch_failure_id, watch_id, triggers, binding_id, definition)
        SELECT now(), f.watch_failure_id, NULL, NULL, NULL::integer, NULL FROM consent_data.watch_failure f
        UNION ALL
        SELECT now(), NULL, w.watch_id, consent._trigger_print(w.watch_id, w.relation), NULL, NULL FROM consent_data.watch w
        UNION ALL
        SELECT now(), NULL, NULL, NULL, b.binding_id, consent._definition(b.view) FROM consent_data.binding b;
        DELETE FROM consent_data.contact_moved m WHERE m.moved_at < now() - interval '1 day';
        PERFORM consent._note_holders(NULL);
        PERFORM consent._take_refusals(NULL, NULL);
    END IF;
    ANALYZE pg_temp.consent_taken;
    DROP TABLE IF EXISTS pg_temp.consent_new_address;
    -- Only what is not known yet comes back from the workers that hash; what can't be read gives NULL.
    EXECUTE format($q$
    CREATE TEMPORARY TABLE consent_new_address ON COMMIT DROP AS
    SELECT a.contact_id, a.channel_group, a.address_hash FROM (
        SELECT c.contact_id, g.name AS channel_group, consent._try_address_hash(g.channel, g.address, c.country) AS address_hash
          FROM consent_data.crm_contact c,
               LATERAL (VALUES ('email', 'email', c.email), ('phone', 'sms', c.phone), ('post', 'post', c.post)) g (name, channel, address)
         WHERE consent._names_address(g.name, g.address) AND %s) a
      LEFT JOIN consent_data.contact_address ca ON ca.contact_id = a.contact_id AND ca.channel_group = a.channel_group
     WHERE (ca.address_hash = a.address_hash AND ca.since IS DISTINCT FROM 'infinity') IS NOT TRUE$q$,
        CASE WHEN only_noted THEN 'c.contact_id IN (SELECT t.contact_id FROM pg_temp.consent_taken t)' ELSE 'true' END);
    -- What stands in the place of an address and can't be read is none that a permission is for.
    UPDATE consent_data.contact_address c SET since = 'infinity' FROM pg_temp.consent_new_address a
     WHERE c.contact_id = a.contact_id AND c.channel_group = a.channel_group AND a.address_hash IS NULL AND c.since IS DISTINCT FROM 'infinity';
    DELETE FROM pg_temp.consent_new_address a WHERE a.address_hash IS NULL;
    PERFORM consent._rekey_new_addresses();
    INSERT INTO consent_data.address AS t (address_hash, channel_group)
    SELECT a.address_hash, min(a.channel_group) FROM pg_temp.consent_new_address a GROUP BY 1 ORDER BY 1
    ON CONFLICT (address_hash) DO UPDATE SET touched_at = now();
    INSERT INTO consent_data.contact_address AS t (contact_id, channel_group, address_hash, since)
    SELECT a.contact_id, a.channel_group, a.address_hash, CASE WHEN consent._has_profile(s.state) THEN clock_timestamp() END
      FROM (SELECT DISTINCT ON (n.contact_id, n.channel_group) n.* FROM pg_temp.consent_new_address n
             ORDER BY n.contact_id, n.channel_group, n.address_hash) a
      LEFT JOIN consent_data.contact_state s ON s.contact_id = a.contact_id
    ON CONFLICT (contact_id, channel_group) DO UPDATE SET address_hash = excluded.address_hash, since = clock_timestamp();
    GET DIAGNOSTICS n = ROW_COUNT;
    -- With the addresses there are now.
    IF only_noted THEN
        PERFORM consent._carry_on(c), consent._carry_over(c) FROM unnest(noted) c
          WHERE EXISTS (SELECT FROM consent_data.contact_merge);
        PERFORM consent._link_refusals(noted);
    ELSE
        PERFORM consent._carry_on(m.from_id::text) FROM (SELECT DISTINCT m.from_id FROM consent_data.contact_merge m ORDER BY 1) m;
        PERFORM consent._link_refusals(NULL);
        PERFORM consent._forget_addresses();
    END IF;
    -- What this has noted itself is in the fold that follows.
    INSERT INTO pg_temp.consent_taken (pending_id, contact_id, started_at)
    SELECT p.pending_id, p.contact_id, now() FROM consent_data.pending p
     WHERE p.xmin = pg_current_xact_id()::xid AND NOT EXISTS (SELECT FROM pg_temp.consent_taken t WHERE t.pending_id = p.pending_id);
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._refold_addresses(boolean) IS 'Takes refusals and current addresses over from the CRM, of all contacts or of the noted ones; answers with the number of new and changed addresses.';

-- One query, so that all of it has one snapshot, and shaped so that workers make and merge the facts: the differences alone
-- come out. The planner can't know that, hence the costs set. dry: nothing is to follow that writes.
CREATE FUNCTION consent._refold_fold(only_noted boolean DEFAULT false, dry boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    SET parallel_tuple_cost = 0 SET parallel_setup_cost = 0
AS $$
DECLARE
    n bigint;
    erased boolean := consent._anybody_erased();
    one_of text := CASE WHEN only_noted THEN 'IN (SELECT t.contact_id FROM pg_temp.consent_taken t WHERE t.contact_id IS NOT NULL)' ELSE 'IS NOT NULL' END;
    -- The planner takes no set of keys into the branches of a bound view: contact by contact it uses the CRM's indexes.
    by_key boolean := only_noted AND NOT EXISTS (SELECT FROM consent_data.binding b WHERE NOT b.by_key);
    crm_rows text := CASE WHEN by_key THEN '(SELECT DISTINCT t.contact_id AS key FROM pg_temp.consent_taken t WHERE t.contact_id IS NOT NULL) t, LATERAL consent_data.%s_of(t.key) c'
                          ELSE 'consent_data.%s c' END;
BEGIN
    IF only_noted THEN
        PERFORM consent._check_own_table('consent_taken');
    END IF;
    IF NOT dry THEN
        IF to_regclass('pg_temp.consent_stage') IS NOT NULL THEN
            PERFORM consent._check_own_table('consent_stage');
            UPDATE pg_temp.consent_stage s SET folded = s.only_noted = _refold_fold.only_noted;
        END IF;
        -- Whoever went before this has gone for the fold, too.
        DELETE FROM consent_data.contact_gone;
    END IF;
    PERFORM consent._prefer_indexes() WHERE only_noted;
    DROP TABLE IF EXISTS pg_temp.consent_fresh, pg_temp.consent_erased;
    CREATE TEMPORARY TABLE consent_erased AS SELECT x.erased_as, x.state FROM consent._erased_states() x WHERE erased;
    ANALYZE pg_temp.consent_erased;
    EXECUTE format($q$
    CREATE TEMPORARY TABLE consent_fresh AS
    SELECT row_number() OVER (ORDER BY d.contact_id) AS n, d.contact_id, d.rev, d.state, d.stored, d.beside FROM (
        SELECT contact_id, s.rev, coalesce(consent._merge(f.state, x.state), f.state) AS state, s.state AS stored, o.state AS beside
          FROM (
            SELECT u.contact_id, consent.fold(u.state) AS state FROM (
                SELECT e.contact_id, consent.fact(e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id,
                           e.opt_out_offered, e.refused, e.from_person, e.purposes, e.detail, e.evidence,
                           consent._tag(coalesce(al.new_hash, e.address_hash))) AS state
                  FROM consent_data.event e LEFT JOIN consent_data.address_alias al ON al.old_hash = e.address_hash
                 WHERE e.contact_id %1$s
                UNION ALL
                SELECT ca.contact_id, consent._address_fact(coalesce(e.contact_id::text, encode(e.erased_as, 'hex')), e.kind, e.at, e.recorded_at, e.sender_id,
                           e.channels, e.category_id, e.detail)
                  FROM consent_data.address_event ae
                  JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
                  JOIN consent_data.event e ON e.event_id = ae.event_id
                 WHERE e.contact_id IS DISTINCT FROM ca.contact_id AND ca.contact_id %1$s
                   AND (e.erased_as IS NULL OR e.erased_as IS DISTINCT FROM consent._key_hash(ca.contact_id::text))
                UNION ALL
                SELECT ca.contact_id, consent._crm_consent(e.kind, NULL, NULL, e.sender_id, e.channels, e.category_id, NULL, NULL, NULL, NULL, e.detail->>'via')
                  FROM consent_data.address_event ae
                  JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
                  JOIN consent_data.event e ON e.event_id = ae.event_id
                 WHERE ca.contact_id %1$s AND e.event_id IN (SELECT x.event_id FROM consent_data.standing_refusal x)
                UNION ALL
                SELECT c.contact_id, consent._crm_fact(c.kind, CASE WHEN c.at IS NOT NULL THEN least(c.at, %2$L::timestamptz) END, c.sender_id, c.channels,
                           c.category_id, c.opt_out_offered, c.refused, c.from_person)
                  FROM %4$s
                 WHERE c.contact_id %1$s AND (c.at IS NULL OR c.at <= %2$L::timestamptz OR c.refused)
                UNION ALL
                SELECT c.contact_id, consent._crm_consent(c.kind, c.at, c.recorded_at, c.sender_id, c.channels, c.category_id, c.purposes, c.method,
                           c.evidence, c.double_opt_in, c.via)
                  FROM %5$s
                 WHERE c.contact_id %1$s AND consent._crm_consent_counts(c.kind, c.at, %2$L::timestamptz)
                UNION ALL
                SELECT c.contact_id, consent._dirty() FROM consent_data.crm_contact c WHERE c.contact_id %1$s GROUP BY c.contact_id HAVING count(*) > 1
                UNION ALL
                SELECT c.contact_id, consent._crm_profile(c.country, c.region, c.timezone, c.subscriber, c.address_kind, c.line,
                           ARRAY[consent._tag(em.address_hash), consent._tag(ph.address_hash), consent._tag(po.address_hash)],
                           ARRAY[CASE WHEN em.address_hash IS NULL AND consent._names_address('email', c.email) THEN 'infinity' ELSE em.since END,
                                 CASE WHEN ph.address_hash IS NULL AND consent._names_address('phone', c.phone) THEN 'infinity' ELSE ph.since END,
                                 CASE WHEN po.address_hash IS NULL AND consent._names_address('post', c.post) THEN 'infinity' ELSE po.since END])
                  FROM consent_data.crm_contact c
                  LEFT JOIN consent_data.contact_address em ON em.contact_id = c.contact_id AND em.channel_group = 'email'
                  LEFT JOIN consent_data.contact_address ph ON ph.contact_id = c.contact_id AND ph.channel_group = 'phone'
                  LEFT JOIN consent_data.contact_address po ON po.contact_id = c.contact_id AND po.channel_group = 'post'
                 WHERE c.contact_id %1$s
            ) u GROUP BY u.contact_id
          ) f
          -- Nobody's key is hashed before somebody was erased.
          LEFT JOIN pg_temp.consent_erased x ON x.erased_as = CASE WHEN %3$L::boolean THEN consent._key_hash(f.contact_id::text) END
          FULL JOIN (SELECT s.contact_id, s.rev, s.state FROM consent_data.contact_state s WHERE s.contact_id %1$s) s USING (contact_id)
          FULL JOIN (SELECT o.contact_id, o.state FROM consent_data.contact_overflow o WHERE o.contact_id %1$s) o USING (contact_id)
    ) d WHERE NOT consent._stands(d.state, d.stored, d.beside)$q$, one_of, clock_timestamp(), erased,
        format(crm_rows, 'crm_event'), format(crm_rows, 'crm_consent'));
    GET DIAGNOSTICS n = ROW_COUNT;
    CREATE UNIQUE INDEX ON pg_temp.consent_fresh (n);
    ANALYZE pg_temp.consent_fresh;
    -- The batch counts them for its figures.
    GRANT SELECT ON pg_temp.consent_fresh TO consent_batch;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._refold_fold(boolean, boolean) IS 'Folds everything, or the noted contacts, and keeps in a temporary table whose stored state differs, beside its revision; answers with their number.';

-- Unwatched views change unseen, and the night is there to take that in. Whatever else differs was maintained, and wrong.
CREATE FUNCTION consent._refold_drift(examples integer DEFAULT 5) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unwatched text[] := ARRAY(SELECT DISTINCT b.kind FROM consent._freshness() f JOIN consent_data.binding b USING (binding_id)
                               WHERE f.fresh_until <> 'infinity');
    report jsonb;
BEGIN
    PERFORM consent._check_own_table('consent_fresh');
    WITH difference AS (
        SELECT f.contact_id, k.kind,
               CASE WHEN EXISTS (SELECT FROM consent_data.pending p WHERE p.contact_id = f.contact_id) THEN 'noted'
                    WHEN k.kind = 'no state' AND f.beside IS NULL AND NOT EXISTS (SELECT FROM consent_data.binding b WHERE b.seen_at IS NOT NULL) THEN 'taken_in'
                    WHEN consent._drifts_by(k.kind) && unwatched THEN 'taken_in' ELSE 'finding' END AS standing
          FROM pg_temp.consent_fresh f,
               LATERAL unnest(CASE WHEN f.stored IS NULL AND f.state IS NULL THEN '{no facts}'
                                   WHEN f.stored IS NOT NULL AND f.state IS NOT NULL AND consent._same(f.stored, consent._cap(f.state)) THEN '{overflow}'
                                   WHEN f.state IS NOT NULL THEN consent._differences(f.stored, consent._cap(f.state))
                                   ELSE consent._differences(f.stored, f.state) END) k (kind)
    ), contact AS (
        -- One difference that nothing explains is enough.
        SELECT d.contact_id, min(d.standing) AS standing FROM difference d GROUP BY 1
    )
    SELECT jsonb_build_object(
               -- Whom the fold looked at: everybody who has a state, and who is to get one.
               'contacts', (SELECT count(*) FROM consent_data.contact_state) + (SELECT count(*) FROM pg_temp.consent_fresh f WHERE f.rev IS NULL),
               'different', (SELECT count(*) FROM pg_temp.consent_fresh),
               'findings', (SELECT count(*) FROM contact c WHERE c.standing = 'finding'),
               'taken_in', (SELECT count(*) FROM contact c WHERE c.standing = 'taken_in'),
               'noted', (SELECT count(*) FROM contact c WHERE c.standing = 'noted'),
               'kinds', coalesce((SELECT jsonb_object_agg(k.standing, k.kinds) FROM (
                    SELECT d.standing, jsonb_object_agg(d.kind, d.n) AS kinds
                      FROM (SELECT d.standing, d.kind, count(*) AS n FROM difference d GROUP BY 1, 2) d GROUP BY 1) k), '{}'),
               'found_in', coalesce((SELECT jsonb_agg(c.contact_id ORDER BY c.contact_id)
                              FROM (SELECT c.contact_id FROM contact c WHERE c.standing = 'finding' ORDER BY 1 LIMIT examples) c), '[]'),
               'unwatched', to_jsonb(unwatched))
      INTO report;
    RETURN report;
END
$$;
COMMENT ON FUNCTION consent._refold_drift(integer) IS 'What the fold found different, by kind: findings that a maintained base should not have, with a few contacts; what unwatched views explain; what was noted.';

CREATE FUNCTION consent._differences(stored consent.state, fresh consent.state) RETURNS text[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_differences_wrapper';
COMMENT ON FUNCTION consent._differences(consent.state, consent.state) IS 'In what a stored state differs from the one that all facts give.';

CREATE FUNCTION consent._stands(fresh consent.state, stored consent.state, beside consent.state) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_stands_wrapper';
COMMENT ON FUNCTION consent._stands(consent.state, consent.state, consent.state) IS 'Whether what is stored of a contact, and beside it, is what a fold gives.';

-- The views whose rows can leave such a difference.
CREATE FUNCTION consent._drifts_by(difference text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN difference IN ('profile', 'address') THEN '{contacts}'::text[]
                WHEN difference IN ('no state', 'no facts', 'dirty', 'horizon', 'overflow') THEN '{contacts,purchases,engagement,consents}'
                WHEN difference ~ ' (refusal_of_another|register_entry)$' THEN '{contacts,consents}'
                WHEN difference ~ ' (relationship|contract)$' THEN '{purchases}'
                WHEN difference ~ ' (action|inbound_contact)$' THEN '{purchases,engagement}'
                WHEN difference ~ ' refusal_at_collection$' THEN '{purchases,consents}'
                WHEN difference ~ ' (opt_in|confirmation|opt_out|opt_out_by_system|objection|erasure_request)$' THEN '{consents}'
                ELSE '{}' END
$$;
COMMENT ON FUNCTION consent._drifts_by(text) IS 'Which kinds of bound views can leave a difference of this kind when they change unseen.';

-- A table or view of the caller's own by this name would run its code with our rights.
CREATE FUNCTION consent._check_own_table(name text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('pg_temp.' || name) AND c.relkind = 'r'
                      AND pg_get_userbyid(c.relowner) = current_user) THEN
        RAISE EXCEPTION 'there is no fold to go on with' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Run consent._refold_addresses() and consent._refold_fold() first, in the same session.';
    END IF;
END
$$;
COMMENT ON FUNCTION consent._check_own_table(text) IS 'Refuses a temporary table that a fold has not made.';

CREATE FUNCTION consent._refold_apply(first bigint, last bigint,
    OUT added bigint, OUT drifted bigint, OUT removed bigint, OUT lost bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    PERFORM consent._check_own_table('consent_fresh');

    INSERT INTO consent_data.contact_state (contact_id, state)
    SELECT f.contact_id, consent._cap(f.state) FROM pg_temp.consent_fresh f
     WHERE f.n BETWEEN first AND last AND f.rev IS NULL AND NOT EXISTS (SELECT FROM consent_data.contact_gone g WHERE g.contact_id = f.contact_id)
     ORDER BY f.contact_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;

    UPDATE consent_data.contact_state s SET state = consent._cap(f.state), rev = s.rev + 1
      FROM pg_temp.consent_fresh f
     WHERE f.n BETWEEN first AND last AND f.state IS NOT NULL AND s.contact_id = f.contact_id AND s.rev = f.rev
       AND NOT EXISTS (SELECT FROM consent_data.contact_gone g WHERE g.contact_id = f.contact_id)
       AND (s.state IS NULL OR NOT consent._same(s.state, consent._cap(f.state)));
    GET DIAGNOSTICS drifted = ROW_COUNT;

    DELETE FROM consent_data.contact_state s USING pg_temp.consent_fresh f
     WHERE f.n BETWEEN first AND last AND f.state IS NULL AND s.contact_id = f.contact_id AND s.rev = f.rev
       AND NOT EXISTS (SELECT FROM consent_data.contact_gone g WHERE g.contact_id = f.contact_id);
    GET DIAGNOSTICS removed = ROW_COUNT;

    INSERT INTO consent_data.contact_overflow (contact_id, state)
    SELECT f.contact_id, f.state FROM pg_temp.consent_fresh f
      JOIN consent_data.contact_state s ON s.contact_id = f.contact_id AND s.rev = 1
     WHERE f.n BETWEEN first AND last AND f.rev IS NULL AND consent._overflows(consent._cap(f.state))
       AND consent._same(s.state, consent._cap(f.state))
     ORDER BY f.contact_id
    ON CONFLICT (contact_id) DO UPDATE SET state = excluded.state;

    -- Fold again, under the row's lock, what somebody else has changed since the snapshot (their revision may look
    -- like ours, their state does not), and whose full state beside it is missing, another, or no longer needed.
    lost := 0;
    FOR r IN SELECT f.contact_id FROM pg_temp.consent_fresh f
               LEFT JOIN consent_data.contact_state s ON s.contact_id = f.contact_id
               LEFT JOIN consent_data.contact_overflow o ON o.contact_id = f.contact_id
              WHERE f.n BETWEEN first AND last
                AND (EXISTS (SELECT FROM consent_data.contact_gone g WHERE g.contact_id = f.contact_id)
                     OR s.contact_id IS NOT NULL AND s.rev IS DISTINCT FROM f.rev
                         AND consent._same(s.state, consent._cap(f.state)) IS NOT TRUE
                     OR CASE WHEN consent._overflows(consent._cap(f.state)) THEN consent._same(o.state, f.state) IS NOT TRUE
                             ELSE o.contact_id IS NOT NULL END)
              ORDER BY f.contact_id LOOP
        PERFORM consent._refold_contact(r.contact_id::text);
        lost := lost + 1;
    END LOOP;
    DELETE FROM pg_temp.consent_fresh f WHERE f.n BETWEEN first AND last;
END
$$;
COMMENT ON FUNCTION consent._refold_apply(bigint, bigint) IS 'Writes a stretch of the fold where the stored state differs and has not changed since.';

CREATE FUNCTION consent._refold_finish() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM consent._check_own_table(t) FROM unnest(ARRAY['consent_taken', 'consent_stage', 'consent_fresh']) t;
    IF NOT (SELECT s.folded FROM pg_temp.consent_stage s) OR EXISTS (SELECT FROM pg_temp.consent_fresh) THEN
        RAISE EXCEPTION 'the refold is not complete' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'What was noted has not been folded, or not been written.',
            HINT = 'Run consent._refold_fold() with the same argument as _refold_addresses(), and _refold_apply() over all of it.';
    END IF;
    DELETE FROM consent_data.pending p USING pg_temp.consent_taken t WHERE t.pending_id = p.pending_id;
    DELETE FROM consent_data.watch_failure f USING pg_temp.consent_taken t WHERE t.watch_failure_id = f.watch_failure_id;
    UPDATE consent_data.watch w SET triggers = t.triggers FROM pg_temp.consent_taken t
     WHERE t.watch_id = w.watch_id AND t.triggers IS DISTINCT FROM w.triggers;
    UPDATE consent_data.binding b SET seen_at = greatest(b.seen_at, t.started_at), definition = t.definition
      FROM pg_temp.consent_taken t WHERE t.binding_id = b.binding_id;
    DROP TABLE pg_temp.consent_taken, pg_temp.consent_fresh, pg_temp.consent_stage;
END
$$;
COMMENT ON FUNCTION consent._refold_finish() IS 'After the last stretch: everything noted before the refold is done, and the bound views have been seen.';

CREATE FUNCTION consent._refold_due() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM consent._freshness() f WHERE f.fresh_until < statement_timestamp()) THEN 'a bound view is stale or broken'
        WHEN EXISTS (SELECT FROM consent_data.watch w WHERE w.triggers IS NULL) THEN 'a watch has not been refolded since'
        WHEN EXISTS (SELECT FROM consent._watch_problems()) THEN 'a watch has missed changes'
        WHEN EXISTS (SELECT FROM consent._freshness() f WHERE f.fresh_until <> 'infinity') THEN 'a bound view is not watched'
        WHEN NOT EXISTS (SELECT FROM consent_data.run r
                          WHERE r.step = 'refold' AND r.outcome = 'done' AND r.figures->>'mode' = 'whole'
                            AND r.finished_at > now() - interval '7 days') THEN 'the last whole refold is older than a week' END
$$;
COMMENT ON FUNCTION consent._refold_due() IS 'Why a night should fold everything rather than the noted contacts alone; NULL: it need not.';

-- The batch's refold: addresses, then one fold of everything into a temporary table under one snapshot, then
-- differences only, in short transactions, by compare-and-set on rev. What changed meanwhile is refolded by key.

CREATE FUNCTION consent._refold_addresses() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    n bigint;
BEGIN
    PERFORM consent._hold_keys();
    -- Raises without the key: every address would look like one that can't be read, and lose its permissions.
    PERFORM consent.address_hash('email', 'probe@example.org');
    DELETE FROM consent_data.contact_moved m WHERE m.moved_at < now() - interval '1 day';
    -- What was noted before anything is read is taken in by what follows.
    DROP TABLE IF EXISTS pg_temp.consent_taken;
    CREATE TEMPORARY TABLE consent_taken AS
    SELECT now() AS started_at, p.pending_id, NULL::bigint AS watch_failure_id, NULL::integer AS watch_id, NULL::text AS triggers,
           NULL::integer AS binding_id, NULL::text AS definition FROM consent_data.pending p
    UNION ALL
    SELECT now(), NULL, f.watch_failure_id, NULL, NULL, NULL, NULL FROM consent_data.watch_failure f
    UNION ALL
    SELECT now(), NULL, NULL, w.watch_id, consent._trigger_print(w.watch_id, w.relation), NULL, NULL FROM consent_data.watch w
    UNION ALL
    SELECT now(), NULL, NULL, NULL, NULL, b.binding_id, consent._definition(b.view) FROM consent_data.binding b
    UNION ALL
    SELECT now(), NULL, NULL, NULL, NULL, NULL, NULL;
    PERFORM consent._note_holders(NULL);
    PERFORM consent._take_refusals(NULL, NULL);
    DROP TABLE IF EXISTS pg_temp.consent_new_address;
    CREATE TEMPORARY TABLE consent_new_address ON COMMIT DROP AS
    SELECT c.contact_id, g.name AS channel_group, consent._try_address_hash(g.channel, g.address, c.country) AS address_hash
      FROM consent_data.crm_contact c,
           LATERAL (VALUES ('email', 'email', c.email), ('phone', 'sms', c.phone), ('post', 'post', c.post)) g (name, channel, address)
     WHERE consent._names_address(g.name, g.address);
    DELETE FROM pg_temp.consent_new_address a USING consent_data.contact_address c
     WHERE c.contact_id = a.contact_id AND c.channel_group = a.channel_group AND c.address_hash = a.address_hash
       AND c.since IS DISTINCT FROM 'infinity';
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
    PERFORM consent._carry_on(m.from_id::text) FROM (SELECT DISTINCT m.from_id FROM consent_data.contact_merge m ORDER BY 1) m;
    PERFORM consent._link_refusals(NULL);
    PERFORM consent._forget_addresses();
    -- What this has noted itself is in the fold that follows.
    INSERT INTO pg_temp.consent_taken (pending_id, started_at)
    SELECT p.pending_id, now() FROM consent_data.pending p WHERE p.xmin = pg_current_xact_id()::xid;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._refold_addresses() IS 'Takes all contacts'' refusals and current addresses over from the CRM; answers with the number of new and changed addresses.';

CREATE FUNCTION consent._refold_fold() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    by_now timestamptz := clock_timestamp();
    n bigint;
BEGIN
    -- Whoever went before this has gone for the fold, too.
    DELETE FROM consent_data.contact_gone;
    DROP TABLE IF EXISTS pg_temp.consent_fresh;
    CREATE TEMPORARY TABLE consent_fresh AS
    SELECT row_number() OVER (ORDER BY contact_id) AS n, contact_id, s.rev, coalesce(consent._merge(f.state, x.state), f.state) AS state
      FROM (
        SELECT u.contact_id, consent.fold(u.state) AS state FROM (
            SELECT e.contact_id, consent.fact(e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id,
                       e.opt_out_offered, e.refused, e.from_person, e.purposes, e.detail, e.evidence,
                       consent._tag(coalesce(al.new_hash, e.address_hash))) AS state
              FROM consent_data.event e LEFT JOIN consent_data.address_alias al ON al.old_hash = e.address_hash
             WHERE e.contact_id IS NOT NULL
            UNION ALL
            SELECT ca.contact_id, consent._address_fact(coalesce(e.contact_id::text, encode(e.erased_as, 'hex')), e.kind, e.at, e.recorded_at, e.sender_id,
                       e.channels, e.category_id, e.detail)
              FROM consent_data.address_event ae
              JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
              JOIN consent_data.event e ON e.event_id = ae.event_id
             WHERE e.contact_id IS DISTINCT FROM ca.contact_id
               AND (e.erased_as IS NULL OR e.erased_as IS DISTINCT FROM consent._key_hash(ca.contact_id::text))
            UNION ALL
            SELECT ca.contact_id, consent._crm_consent(e.kind, NULL, NULL, e.sender_id, e.channels, e.category_id, NULL, NULL, NULL, NULL, e.detail->>'via')
              FROM (SELECT DISTINCT x.event_id FROM consent_data.standing_refusal x) x
              JOIN consent_data.event e USING (event_id) JOIN consent_data.address_event ae USING (event_id)
              JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
            UNION ALL
            SELECT c.contact_id, consent._crm_fact(c.kind, CASE WHEN count(*) = count(c.at) THEN least(max(c.at), by_now) END, c.sender_id, c.channels, c.category_id,
                       c.opt_out_offered, c.refused, c.from_person)
              FROM consent_data.crm_event c
             WHERE c.contact_id IS NOT NULL AND (c.at IS NULL OR c.at <= by_now OR c.refused)
             GROUP BY c.contact_id, c.kind, c.sender_id, c.channels, c.category_id, c.opt_out_offered, c.refused, c.from_person
            UNION ALL
            SELECT c.contact_id, consent._crm_consent(c.kind, c.at, c.recorded_at, c.sender_id, c.channels, c.category_id, c.purposes, c.method,
                       c.evidence, c.double_opt_in, c.via)
              FROM consent_data.crm_consent c
             WHERE c.contact_id IS NOT NULL AND consent._crm_consent_counts(c.kind, c.at, by_now)
            UNION ALL
            SELECT c.contact_id, consent._dirty() FROM consent_data.crm_contact c GROUP BY c.contact_id HAVING count(*) > 1
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
             WHERE c.contact_id IS NOT NULL
        ) u GROUP BY u.contact_id
      ) f
      -- Nobody's key is hashed before somebody was erased.
      LEFT JOIN consent._erased_states() x ON x.erased_as = CASE WHEN (SELECT consent._anybody_erased()) THEN consent._key_hash(f.contact_id::text) END
      FULL JOIN consent_data.contact_state s USING (contact_id);
    GET DIAGNOSTICS n = ROW_COUNT;
    CREATE UNIQUE INDEX ON pg_temp.consent_fresh (n);
    ANALYZE pg_temp.consent_fresh;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._refold_fold() IS 'Folds everything into a temporary table, beside the revision each stored state has; answers with the number of contacts.';

CREATE FUNCTION consent._refold_apply(first bigint, last bigint,
    OUT added bigint, OUT drifted bigint, OUT removed bigint, OUT lost bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    -- A table or view of the caller's own by this name would run its code with our rights.
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('pg_temp.consent_fresh') AND c.relkind = 'r'
                      AND pg_get_userbyid(c.relowner) = current_user) THEN
        RAISE EXCEPTION 'there is no fold to apply' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Run consent._refold_fold() first, in the same session.';
    END IF;

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
END
$$;
COMMENT ON FUNCTION consent._refold_apply(bigint, bigint) IS 'Writes a stretch of the fold where the stored state differs and has not changed since.';

CREATE FUNCTION consent._refold_finish() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('pg_temp.consent_taken') AND c.relkind = 'r'
                      AND pg_get_userbyid(c.relowner) = current_user) THEN
        RAISE EXCEPTION 'there is no refold to finish' USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Run consent._refold_addresses(), _refold_fold() and _refold_apply() first, in the same session.';
    END IF;
    DELETE FROM consent_data.pending p USING pg_temp.consent_taken t WHERE t.pending_id = p.pending_id;
    DELETE FROM consent_data.watch_failure f USING pg_temp.consent_taken t WHERE t.watch_failure_id = f.watch_failure_id;
    UPDATE consent_data.watch w SET triggers = t.triggers FROM pg_temp.consent_taken t
     WHERE t.watch_id = w.watch_id AND t.triggers IS DISTINCT FROM w.triggers;
    UPDATE consent_data.binding b SET seen_at = greatest(b.seen_at, t.started_at), definition = t.definition
      FROM pg_temp.consent_taken t WHERE t.binding_id = b.binding_id;
    DROP TABLE pg_temp.consent_taken;
    DROP TABLE IF EXISTS pg_temp.consent_fresh;
END
$$;
COMMENT ON FUNCTION consent._refold_finish() IS 'After the last stretch: everything noted before the refold is done, and the bound views have been seen.';

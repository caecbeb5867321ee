-- Folding: a contact's state from everything there is, by key here and for all in the batch.

-- The full (uncapped) state of one contact from the facts that had happened by `upto` and were recorded by `known`.
-- Rows of the CRM carry no record of when they became known; they count by the time they happened.
CREATE FUNCTION consent._state_of(contact text, upto timestamptz, known timestamptz) RETURNS consent.state
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    found consent.state;
    erased consent.state;
BEGIN
    found := (SELECT consent.fold(f.state) FROM (
        SELECT consent.fact(e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.opt_out_offered,
                            e.refused, e.from_person, e.purposes, e.detail, e.evidence, consent._tag(e.address_hash)) AS state
          FROM consent_data.event e
         WHERE e.contact_id = key AND e.at <= upto AND e.recorded_at <= known
        UNION ALL
        SELECT consent._address_fact(coalesce(e.contact_id::text, encode(e.erased_as, 'hex')), e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.detail)
          FROM consent_data.contact_address ca
          JOIN consent_data.address_event ae ON ae.address_hash = ca.address_hash
          JOIN consent_data.event e ON e.event_id = ae.event_id
         WHERE ca.contact_id = key AND e.contact_id IS DISTINCT FROM key AND e.at <= upto AND e.recorded_at <= known
           AND (e.erased_as IS NULL OR e.erased_as IS DISTINCT FROM consent._key_hash(key::text))
        UNION ALL
        SELECT consent._crm_fact(c.kind, CASE WHEN count(*) = count(c.at) THEN max(c.at) END, c.sender_id, c.channels, c.category_id, c.opt_out_offered, c.refused, c.from_person)
          FROM consent_data.crm_event c
         WHERE c.contact_id = key AND (c.at IS NULL OR c.at <= least(upto, now()))
         GROUP BY c.kind, c.sender_id, c.channels, c.category_id, c.opt_out_offered, c.refused, c.from_person
        UNION ALL
        SELECT consent._crm_profile(c.country, c.region, c.timezone, c.subscriber, c.address_kind, c.line,
                                    ARRAY(SELECT consent._tag(ca.address_hash)
                                            FROM unnest(ARRAY['email', 'phone', 'post']) WITH ORDINALITY g (name, n)
                                            LEFT JOIN consent_data.contact_address ca ON ca.contact_id = key AND ca.channel_group = g.name
                                           ORDER BY g.n),
                                    ARRAY(SELECT ca.since
                                            FROM unnest(ARRAY['email', 'phone', 'post']) WITH ORDINALITY g (name, n)
                                            LEFT JOIN consent_data.contact_address ca ON ca.contact_id = key AND ca.channel_group = g.name
                                           ORDER BY g.n))
          FROM consent_data.crm_contact c WHERE c.contact_id = key
    ) f);
    -- Somebody erased who is back. Of one who is not, no state is made.
    IF found IS NOT NULL THEN
        erased := consent._erased_state(key::text, upto, known);
    END IF;
    RETURN CASE WHEN erased IS NULL THEN found ELSE consent._merge(found, erased) END;
END
$$;
COMMENT ON FUNCTION consent._state_of(text, timestamptz, timestamptz) IS 'The state of one contact from all facts happened and recorded by then.';

-- What another holder's (or nobody's) event on the same address means for a contact: a register entry and an opt-out
-- given by address are the contact's own; somebody else's refusal suppresses the address.
CREATE FUNCTION consent._address_fact(
    other text, kind text, at timestamptz, recorded_at timestamptz, sender_id integer, channels text[],
    category_id integer, detail jsonb)
    RETURNS consent.state
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN consent.fact(kind, at, recorded_at, sender_id, channels, category_id, detail => detail,
        other_contact_tag => CASE WHEN other IS NULL OR kind LIKE 'register%' THEN 0 ELSE consent._contact_tag(other) END);
COMMENT ON FUNCTION consent._address_fact(text, text, timestamptz, timestamptz, integer, text[], integer, jsonb)
    IS 'What an event that rests on an address means for a contact who uses it.';

-- A row of the CRM is its own proof: the sender's book of record. One that can't be read makes its contact dirty, which
-- denies; it must not keep an opt-out from being recorded, nor the other contacts from being folded.
CREATE FUNCTION consent._crm_fact(
    kind text, at timestamptz, sender_id integer, channels text[], category_id integer, opt_out_offered text,
    refused boolean, from_person boolean)
    RETURNS consent.state
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_crm_fact_wrapper';
COMMENT ON FUNCTION consent._crm_fact(text, timestamptz, integer, text[], integer, text, boolean, boolean)
    IS 'The state that a row of the CRM leaves; a dirty one if it can''t be read.';

CREATE FUNCTION consent._crm_profile(
    country text, region text, timezone text, subscriber text, address_kind text, line text, tags bigint[], since timestamptz[])
    RETURNS consent.state
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN consent.profile(NULL, country, region, timezone, subscriber, address_kind, line, tags, since);
COMMENT ON FUNCTION consent._crm_profile(text, text, text, text, text, text, bigint[], timestamptz[])
    IS 'The state that a CRM''s master data leaves. A refold replaces it, so it needs no date.';

-- An address that a contact has from the first counts from the beginning; one added or changed later starts from nothing
-- (a bought address must not inherit the purchases of the time before).
CREATE FUNCTION consent._new_address_since(contact text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN (SELECT CASE WHEN consent.state_json(s.state)->'profile' <> 'null' THEN clock_timestamp() END
              FROM consent_data.contact_state s WHERE s.contact_id = key);
END
$$;
COMMENT ON FUNCTION consent._new_address_since(text) IS 'Since when a newly seen address belongs to a contact; NULL for a contact first seen now.';

-- Refusals that named a contact and found no address then: ties them to the addresses known now.
CREATE FUNCTION consent._link_refusals(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    INSERT INTO consent_data.address_event (address_hash, event_id)
    SELECT ca.address_hash, e.event_id
      FROM consent_data.event e JOIN consent_data.contact_address ca USING (contact_id)
     WHERE (contact IS NULL OR e.contact_id = key) AND e.address_hash IS NULL
       AND consent._binds_address(e.kind)
       AND ca.channel_group = ANY (consent._groups(e.kind, e.channels))
       AND NOT EXISTS (SELECT FROM consent_data.address_event x JOIN consent_data.address a USING (address_hash)
                        WHERE x.event_id = e.event_id AND a.channel_group = ca.channel_group)
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION consent._link_refusals(text) IS 'Ties refusals recorded before an address was known to the address; NULL: of all contacts.';

-- Takes the contact's current addresses over from the CRM. A new or changed one is locked first, so that an opt-out
-- on it either is seen by the fold that follows or sees this contact.
CREATE FUNCTION consent._sync_addresses(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    linked boolean := false;
    r record;
BEGIN
    FOR r IN
        SELECT g.name, consent._try_address_hash(g.channel, g.address, c.country) AS hash
          FROM consent_data.crm_contact c,
               LATERAL (VALUES ('email', 'email', c.email), ('phone', 'sms', c.phone), ('post', 'post', c.post)) g (name, channel, address)
         WHERE c.contact_id = key AND g.address IS NOT NULL
         ORDER BY 2
    LOOP
        CONTINUE WHEN r.hash IS NULL OR EXISTS (
            SELECT FROM consent_data.contact_address a
             WHERE a.contact_id = key AND a.channel_group = r.name AND a.address_hash = r.hash);
        PERFORM consent._touch_address(r.hash, r.name);
        INSERT INTO consent_data.contact_address AS a (contact_id, channel_group, address_hash, since)
        VALUES (key, r.name, r.hash, consent._new_address_since(contact))
        ON CONFLICT (contact_id, channel_group) DO UPDATE SET address_hash = excluded.address_hash, since = clock_timestamp();
        linked := true;
    END LOOP;
    -- Refusals recorded before the address was known reach it now, and whoever shares it.
    IF linked THEN
        PERFORM consent._link_refusals(key::text);
        FOR r IN SELECT ca.contact_id, e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.detail
                   FROM consent_data.event e
                   JOIN consent_data.address_event ae ON ae.event_id = e.event_id
                   JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
                  WHERE e.contact_id = key AND ca.contact_id <> key
                  ORDER BY ca.contact_id LOOP
            PERFORM consent._take_in(r.contact_id::text, consent._address_fact(
                key::text, r.kind, r.at, r.recorded_at, r.sender_id, r.channels, r.category_id, r.detail));
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION consent._sync_addresses(text) IS 'Takes a contact''s current addresses over from the CRM, under the locks of the new ones.';

CREATE FUNCTION consent._refold_contact(contact text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    news consent.state;
BEGIN
    PERFORM consent._sync_addresses(contact);
    -- Locked first, folded in a later snapshot: whatever committed before the lock is in the fold.
    INSERT INTO consent_data.contact_state AS s (contact_id, state) VALUES (key, consent._dirty())
    ON CONFLICT (contact_id) DO UPDATE SET rev = s.rev + 1;
    news := consent._state_of(contact, 'infinity', 'infinity');
    IF news IS NULL THEN
        DELETE FROM consent_data.contact_state s WHERE s.contact_id = key;
    ELSE
        UPDATE consent_data.contact_state s SET state = consent._cap(news) WHERE s.contact_id = key;
    END IF;
    PERFORM consent._store_overflow(contact, news);
END
$$;
COMMENT ON FUNCTION consent._refold_contact(text) IS 'Rebuilds one contact''s state from the ledger and the CRM.';

CREATE FUNCTION consent._store_overflow(contact text, news consent.state) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    IF consent._overflows(consent._cap(news)) THEN
        INSERT INTO consent_data.contact_overflow (contact_id, state) VALUES (key, news)
        ON CONFLICT (contact_id) DO UPDATE SET state = excluded.state;
    ELSE
        DELETE FROM consent_data.contact_overflow o WHERE o.contact_id = key;
    END IF;
END
$$;
COMMENT ON FUNCTION consent._store_overflow(text, consent.state) IS 'Keeps the full state of a contact whose own does not fit, and only then.';

CREATE FUNCTION consent.refold(contacts text[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
    n bigint := 0;
BEGIN
    FOR r IN SELECT DISTINCT consent._key(c) AS contact FROM unnest(contacts) c ORDER BY 1 LOOP
        PERFORM consent._refold_contact(r.contact);
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent.refold(text[]) IS 'Rebuilds the states of these contacts from the ledger and the CRM; for after a change there that nothing watched. Answers with their number.';

-- The batch's refold: addresses, then one fold of everything into a temporary table under one snapshot, then
-- differences only, in short transactions, by compare-and-set on rev. What changed meanwhile is refolded by key.

CREATE FUNCTION consent._refold_addresses() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n bigint;
BEGIN
    CREATE TEMPORARY TABLE consent_new_address ON COMMIT DROP AS
    SELECT c.contact_id, g.name AS channel_group, consent._try_address_hash(g.channel, g.address, c.country) AS address_hash
      FROM consent_data.crm_contact c,
           LATERAL (VALUES ('email', 'email', c.email), ('phone', 'sms', c.phone), ('post', 'post', c.post)) g (name, channel, address)
     WHERE g.address IS NOT NULL;
    DELETE FROM pg_temp.consent_new_address a
     WHERE a.address_hash IS NULL
        OR EXISTS (SELECT FROM consent_data.contact_address c WHERE c.contact_id = a.contact_id
                      AND c.channel_group = a.channel_group AND c.address_hash = a.address_hash);
    INSERT INTO consent_data.address AS t (address_hash, channel_group)
    SELECT a.address_hash, min(a.channel_group) FROM pg_temp.consent_new_address a GROUP BY 1 ORDER BY 1
    ON CONFLICT (address_hash) DO UPDATE SET touched_at = now();
    INSERT INTO consent_data.contact_address AS t (contact_id, channel_group, address_hash, since)
    SELECT DISTINCT ON (a.contact_id, a.channel_group) a.contact_id, a.channel_group, a.address_hash,
           consent._new_address_since(a.contact_id::text)
      FROM pg_temp.consent_new_address a ORDER BY 1, 2, 3
    ON CONFLICT (contact_id, channel_group) DO UPDATE SET address_hash = excluded.address_hash, since = clock_timestamp();
    GET DIAGNOSTICS n = ROW_COUNT;
    PERFORM consent._link_refusals(NULL);
    PERFORM consent._forget_addresses();
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._refold_addresses() IS 'Takes all contacts'' current addresses over from the CRM; answers with the number of new and changed ones.';

CREATE FUNCTION consent._refold_fold() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    n bigint;
BEGIN
    DROP TABLE IF EXISTS pg_temp.consent_fresh;
    CREATE TEMPORARY TABLE consent_fresh AS
    SELECT row_number() OVER (ORDER BY contact_id) AS n, contact_id, s.rev, coalesce(consent._merge(f.state, x.state), f.state) AS state
      FROM (
        SELECT u.contact_id, consent.fold(u.state) AS state FROM (
            SELECT e.contact_id, consent.fact(e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id,
                       e.opt_out_offered, e.refused, e.from_person, e.purposes, e.detail, e.evidence,
                       consent._tag(e.address_hash)) AS state
              FROM consent_data.event e WHERE e.contact_id IS NOT NULL
            UNION ALL
            SELECT ca.contact_id, consent._address_fact(coalesce(e.contact_id::text, encode(e.erased_as, 'hex')), e.kind, e.at, e.recorded_at, e.sender_id,
                       e.channels, e.category_id, e.detail)
              FROM consent_data.address_event ae
              JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
              JOIN consent_data.event e ON e.event_id = ae.event_id
             WHERE e.contact_id IS DISTINCT FROM ca.contact_id
               AND (e.erased_as IS NULL OR e.erased_as IS DISTINCT FROM consent._key_hash(ca.contact_id::text))
            UNION ALL
            SELECT c.contact_id, consent._crm_fact(c.kind, CASE WHEN count(*) = count(c.at) THEN max(c.at) END, c.sender_id, c.channels, c.category_id,
                       c.opt_out_offered, c.refused, c.from_person)
              FROM consent_data.crm_event c
             WHERE c.contact_id IS NOT NULL AND (c.at IS NULL OR c.at <= now())
             GROUP BY c.contact_id, c.kind, c.sender_id, c.channels, c.category_id, c.opt_out_offered, c.refused, c.from_person
            UNION ALL
            SELECT c.contact_id, consent._crm_profile(c.country, c.region, c.timezone, c.subscriber, c.address_kind, c.line,
                       ARRAY[consent._tag(em.address_hash), consent._tag(ph.address_hash), consent._tag(po.address_hash)],
                       ARRAY[em.since, ph.since, po.since])
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
     WHERE f.n BETWEEN first AND last AND f.rev IS NULL
     ORDER BY f.contact_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;

    UPDATE consent_data.contact_state s SET state = consent._cap(f.state), rev = s.rev + 1
      FROM pg_temp.consent_fresh f
     WHERE f.n BETWEEN first AND last AND f.state IS NOT NULL AND s.contact_id = f.contact_id AND s.rev = f.rev
       AND (s.state IS NULL OR NOT consent._same(s.state, consent._cap(f.state)));
    GET DIAGNOSTICS drifted = ROW_COUNT;

    DELETE FROM consent_data.contact_state s USING pg_temp.consent_fresh f
     WHERE f.n BETWEEN first AND last AND f.state IS NULL AND s.contact_id = f.contact_id AND s.rev = f.rev;
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
                AND (s.contact_id IS NOT NULL AND s.rev IS DISTINCT FROM f.rev
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

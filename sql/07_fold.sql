-- Folding: a contact's state from everything there is, by key here and for all in the batch.

-- The addresses of a contact: as the CRM has them now, or as they were last seen; under the newest key, and under all. Since
-- when, if the contact was known before: a permission that names no address counts from then on only (a bought address must
-- not inherit the purchases of the time before). One that can't be read is the contact's since never: no suppression
-- reaches it, so no permission may.
CREATE FUNCTION consent._addresses_now(contact text) RETURNS TABLE (channel_group text, address_hash bytea, hashes bytea[], since timestamptz)
    LANGUAGE plpgsql STABLE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (g.name) g.name, coalesce(h.hashes[1], ca.address_hash), coalesce(h.hashes, ARRAY[ca.address_hash]),
           CASE WHEN h.name IS NOT NULL AND h.hashes[1] IS NULL THEN 'infinity'
                WHEN h.name IS NULL OR ca.address_hash = ANY (h.hashes) AND ca.since IS DISTINCT FROM 'infinity' THEN ca.since
                WHEN ca.address_hash IS NOT NULL OR consent._is_known(contact) THEN clock_timestamp() END
      FROM (VALUES ('email'), ('phone'), ('post')) g (name)
      LEFT JOIN (SELECT a.name, consent._address_hashes(a.channel, a.address, c.country) AS hashes
                   FROM consent_data.crm_contact_of(key) c,
                        LATERAL (VALUES ('email', 'email', c.email), ('phone', 'sms', c.phone), ('post', 'post', c.post)) a (name, channel, address)
                  WHERE consent._names_address(a.name, a.address)) h ON h.name = g.name
      LEFT JOIN consent_data.contact_address ca ON ca.contact_id = key AND ca.channel_group = g.name
     WHERE h.name IS NOT NULL OR ca.address_hash IS NOT NULL
     ORDER BY g.name, h.hashes[1];
END
$$;
COMMENT ON FUNCTION consent._addresses_now(text) IS 'A contact''s addresses by keyed hash, as the CRM has them now.';

CREATE FUNCTION consent._names_address(channel_group text, address text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE channel_group WHEN 'email' THEN pg_catalog.strpos(address, '@') > 0
                              WHEN 'phone' THEN address OPERATOR(pg_catalog.~) '[0-9]{3}'
                              ELSE pg_catalog.btrim(address) <> '' END;
COMMENT ON FUNCTION consent._names_address(text, text) IS 'Whether a field of the CRM was meant to be an address, and not a dash or "none".';

CREATE FUNCTION consent._has_profile(state consent.state) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_has_profile_wrapper';
COMMENT ON FUNCTION consent._has_profile(consent.state) IS 'Whether a state knows the contact''s master data.';

CREATE FUNCTION consent._is_known(contact text) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = key AND consent._has_profile(s.state));
END
$$;
COMMENT ON FUNCTION consent._is_known(text) IS 'Whether the CRM''s master data of a contact have been folded before.';

-- The full (uncapped) state of one contact from the facts that had happened by `upto` and were recorded by `known`.
-- Rows of the CRM carry no record of when they became known; they count by the time they happened.
CREATE FUNCTION consent._state_of(contact text, upto timestamptz, known timestamptz) RETURNS consent.state
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    hashes bytea[];
    all_hashes bytea[];
    since timestamptz[];
    -- Not the transaction's start: what others committed since must not pass for the future.
    by_now timestamptz := least(upto, clock_timestamp());
    found consent.state;
    erased consent.state;
BEGIN
    SELECT array_agg(a.address_hash ORDER BY g.n), array_agg(a.since ORDER BY g.n) INTO hashes, since
      FROM unnest(ARRAY['email', 'phone', 'post']) WITH ORDINALITY g (name, n)
      LEFT JOIN consent._addresses_now(contact) a ON a.channel_group = g.name;
    -- Not everything is kept under the newest key yet.
    all_hashes := ARRAY(SELECT unnest(a.hashes) FROM consent._addresses_now(contact) a);
    found := (SELECT consent.fold(f.state) FROM (
        SELECT consent.fact(e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.opt_out_offered,
                            e.refused, e.from_person, e.purposes, e.detail, e.evidence, consent._tag(consent._canonical(e.address_hash))) AS state
          FROM consent_data.event e
         WHERE e.contact_id = key AND e.at <= upto AND e.recorded_at <= known
        UNION ALL
        SELECT consent._address_fact(coalesce(e.contact_id::text, encode(e.erased_as, 'hex')), e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.detail)
          FROM consent_data.address_event ae
          JOIN consent_data.event e ON e.event_id = ae.event_id
         WHERE ae.address_hash = ANY (all_hashes) AND e.contact_id IS DISTINCT FROM key AND e.at <= upto AND e.recorded_at <= known
           AND (e.erased_as IS NULL OR e.erased_as IS DISTINCT FROM consent._key_hash(key::text))
        UNION ALL
        SELECT consent._crm_fact(c.kind, CASE WHEN count(*) = count(c.at) THEN least(max(c.at), by_now) END, c.sender_id, c.channels, c.category_id, c.opt_out_offered, c.refused, c.from_person)
          FROM consent_data.crm_event_of(key) c
         WHERE c.at IS NULL OR c.at <= by_now OR c.refused AND upto >= statement_timestamp()
         GROUP BY c.kind, c.sender_id, c.channels, c.category_id, c.opt_out_offered, c.refused, c.from_person
        UNION ALL
        SELECT consent._crm_consent(c.kind, c.at, c.recorded_at, c.sender_id, c.channels, c.category_id, c.purposes, c.method,
                                    c.evidence, c.double_opt_in, c.via)
          FROM consent_data.crm_consent_of(key) c WHERE consent._crm_consent_counts(c.kind, c.at, by_now)
        UNION ALL
        SELECT consent._activity(s.state) FROM consent_data.contact_state s
         WHERE s.contact_id = key AND upto = 'infinity' AND EXISTS (SELECT FROM consent_data.binding b WHERE NOT b.by_key)
        UNION ALL
        -- More than one row: the view multiplies them, and nobody knows which is the person's.
        SELECT CASE WHEN count(*) > 1 THEN consent._dirty() ELSE
                   consent._crm_profile(min(c.country), min(c.region), min(c.timezone), min(c.subscriber), min(c.address_kind), min(c.line),
                                        ARRAY[consent._tag(hashes[1]), consent._tag(hashes[2]), consent._tag(hashes[3])], since) END
          FROM consent_data.crm_contact_of(key) c HAVING count(*) > 0
    ) f);
    -- Somebody erased who is back. Of one who is not, no state is made.
    IF found IS NOT NULL THEN
        erased := consent._erased_state(key::text, upto, known);
    END IF;
    RETURN CASE WHEN erased IS NULL THEN found ELSE consent._merge(found, erased) END;
END
$$;
COMMENT ON FUNCTION consent._state_of(text, timestamptz, timestamptz) IS 'The state of one contact from all facts happened and recorded by then.';

-- For the gate, which must not fail: what can't be folded denies.
CREATE FUNCTION consent._state_now(contact text) RETURNS consent.state
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    -- What was refused on a contact that was merged into this one is carried over by a fold that may write.
    IF EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.into_id = key) THEN
        RETURN consent._dirty();
    END IF;
    RETURN consent._state_of(contact, 'infinity', 'infinity');
EXCEPTION WHEN OTHERS THEN
    RETURN consent._dirty();
END
$$;
COMMENT ON FUNCTION consent._state_now(text) IS 'The state of a contact whose stored one is to be folded anew, folded on the spot.';

CREATE FUNCTION consent._current_state(contact text) RETURNS consent.state
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    IF EXISTS (SELECT FROM consent_data.pending p WHERE p.contact_id = key) OR EXISTS (SELECT FROM consent_data.pending_address) THEN
        RETURN consent._state_now(contact);
    END IF;
    RETURN (SELECT coalesce(o.state, s.state, consent._dirty())
              FROM consent_data.contact_state s LEFT JOIN consent_data.contact_overflow o USING (contact_id)
             WHERE s.contact_id = key);
END
$$;
COMMENT ON FUNCTION consent._current_state(text) IS 'The state that answers by key are given from: the stored one, or folded on the spot where that is behind.';

-- Opt-ins without a date don't count; refusals without one do, for ever.
CREATE FUNCTION consent._crm_consent_counts(kind text, at timestamptz, upto timestamptz) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN at IS NULL THEN consent._refuses(kind) ELSE at <= upto END;
COMMENT ON FUNCTION consent._crm_consent_counts(text, timestamptz, timestamptz) IS 'Whether a consent of the CRM counts by an instant.';

CREATE FUNCTION consent._crm_consent(
    kind text, at timestamptz, recorded_at timestamptz, sender_id integer, channels text[], category_id integer,
    purposes text[], method text, evidence jsonb, double_opt_in boolean, via text)
    RETURNS consent.state
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_crm_consent_wrapper';
COMMENT ON FUNCTION consent._crm_consent(text, timestamptz, timestamptz, integer, text[], integer, text[], text, jsonb, boolean, text)
    IS 'The state that a row of a consents view leaves; a dirty one if it can''t be read. A refusal without a date stands: nothing lifts it as long as the row is there.';

CREATE FUNCTION consent._activity(state consent.state) RETURNS consent.state
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_activity_wrapper';
COMMENT ON FUNCTION consent._activity(consent.state) IS 'What a state knows of the person''s activity, for bindings that only the night reads.';

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

-- Refusals that named a contact reach every address the contact has since: an opt-out goes with the person and stays with
-- the address that was left. A register's entry is about a number and stays with it.
CREATE FUNCTION consent._link_refusals(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    WITH linked AS (
        INSERT INTO consent_data.address_event (address_hash, event_id)
        SELECT ca.address_hash, e.event_id
          FROM consent_data.event e JOIN consent_data.contact_address ca USING (contact_id)
         WHERE (contact IS NULL OR e.contact_id = key)
           AND consent._binds_address(e.kind)
           AND ca.channel_group = ANY (consent._reached(e.kind, e.channels, e.address_hash IS NOT NULL))
           AND NOT EXISTS (SELECT FROM consent_data.address_event x WHERE x.address_hash = ca.address_hash AND x.event_id = e.event_id)
           AND (e.kind NOT LIKE 'register%' OR e.address_hash IS NULL AND NOT EXISTS (
                SELECT FROM consent_data.address_event x JOIN consent_data.address a USING (address_hash)
                 WHERE x.event_id = e.event_id AND a.channel_group = ca.channel_group))
        ON CONFLICT DO NOTHING
        RETURNING address_hash, event_id)
    -- Whoever shares the address is bound, too.
    INSERT INTO consent_data.pending (contact_id, restricts)
    SELECT DISTINCT ca.contact_id, true
      FROM linked l JOIN consent_data.contact_address ca USING (address_hash) JOIN consent_data.event e USING (event_id)
     WHERE ca.contact_id <> e.contact_id;
END
$$;
COMMENT ON FUNCTION consent._link_refusals(text) IS 'Ties a contact''s refusals to the addresses known now, and notes whoever shares them; NULL: of all contacts.';

-- Takes the contact's current addresses over from the CRM. A new or changed one is locked first, so that an opt-out
-- on it either is seen by the fold that follows or sees this contact.
CREATE FUNCTION consent._sync_addresses(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    r record;
BEGIN
    PERFORM consent._hold_keys();
    PERFORM consent._rekey_contact(contact);
    FOR r IN SELECT a.channel_group, a.address_hash, a.since FROM consent._addresses_now(contact) a
              WHERE a.address_hash IS NOT NULL
                AND NOT EXISTS (SELECT FROM consent_data.contact_address ca
                                 WHERE ca.contact_id = key AND ca.channel_group = a.channel_group AND ca.address_hash = a.address_hash
                                   AND ca.since IS NOT DISTINCT FROM a.since)
              ORDER BY a.address_hash LOOP
        PERFORM consent._touch_address(r.address_hash, r.channel_group);
        INSERT INTO consent_data.contact_address AS a (contact_id, channel_group, address_hash, since)
        VALUES (key, r.channel_group, r.address_hash, r.since)
        ON CONFLICT (contact_id, channel_group) DO UPDATE SET address_hash = excluded.address_hash, since = excluded.since;
    END LOOP;
    -- Also without a new address: a refusal may have come while another fold was giving the contact one.
    PERFORM consent._link_refusals(contact);
END
$$;
COMMENT ON FUNCTION consent._sync_addresses(text) IS 'Takes a contact''s current addresses over from the CRM, under the locks of the new ones.';

CREATE FUNCTION consent._refold_contact(contact text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    noted bigint[];
    news consent.state;
BEGIN
    -- An older snapshot would leave out what others committed since.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM consent._note(contact, true);
        RETURN;
    END IF;
    -- What is noted from here on stays noted, but for what this transaction notes itself.
    noted := ARRAY(SELECT p.pending_id FROM consent_data.pending p WHERE p.contact_id = key FOR UPDATE SKIP LOCKED);
    PERFORM consent._take_refusals(ARRAY[contact], NULL);
    PERFORM consent._carry_on(contact), consent._carry_over(contact);
    PERFORM consent._sync_addresses(contact);
    noted := noted || ARRAY(SELECT p.pending_id FROM consent_data.pending p WHERE p.contact_id = key AND p.xmin = pg_current_xact_id()::xid);
    -- Locked first, folded in a later snapshot: whatever committed before the lock is in the fold.
    INSERT INTO consent_data.contact_state AS s (contact_id, state) VALUES (key, consent._dirty())
    ON CONFLICT (contact_id) DO UPDATE SET rev = s.rev + 1;
    news := consent._state_of(contact, 'infinity', 'infinity');
    IF news IS NULL THEN
        DELETE FROM consent_data.contact_state s WHERE s.contact_id = key;
        INSERT INTO consent_data.contact_gone (contact_id) VALUES (key);
    ELSE
        UPDATE consent_data.contact_state s SET state = consent._cap(news) WHERE s.contact_id = key;
    END IF;
    PERFORM consent._store_overflow(contact, news);
    DELETE FROM consent_data.pending p WHERE p.pending_id = ANY (noted);
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

CREATE FUNCTION consent._note_holders(max_addresses integer) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT p.address_hash, array_agg(p.ctid) AS ids FROM (
                 SELECT x.ctid, x.address_hash FROM consent_data.pending_address x LIMIT max_addresses FOR UPDATE SKIP LOCKED) p
              GROUP BY 1 ORDER BY 1 LOOP
        BEGIN
            -- Under the lock, so that whoever is just getting the address is seen.
            PERFORM FROM consent_data.address a WHERE a.address_hash = r.address_hash FOR SHARE;
            INSERT INTO consent_data.pending (contact_id, restricts)
            SELECT ca.contact_id, true FROM consent_data.contact_address ca WHERE ca.address_hash = r.address_hash;
            DELETE FROM consent_data.pending_address p WHERE p.ctid = ANY (r.ids);
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- The next time.
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._note_holders(integer) IS 'Notes everybody who has an address that was refused out of sight of them.';

-- The batch's refold: addresses, then one fold of everything into a temporary table under one snapshot, then
-- differences only, in short transactions, by compare-and-set on rev. What changed meanwhile is refolded by key.

CREATE FUNCTION consent._refold_addresses() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    n bigint;
BEGIN
    PERFORM consent._hold_keys();
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
    PERFORM consent._carry_on(m.from_id::text) FROM (SELECT DISTINCT m.from_id FROM consent_data.contact_merge m ORDER BY 1) m;
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

-- What triggers and locked rows have left to do. Waits for nobody for long: what it can't have now it leaves noted.
CREATE FUNCTION consent.refold_pending(max_contacts integer DEFAULT 1000) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $$
DECLARE
    r record;
    n bigint := 0;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a fold needs the newest rows' USING ERRCODE = 'invalid_transaction_state',
            HINT = 'Run it in READ COMMITTED.';
    END IF;
    PERFORM consent._note_holders(max_contacts);
    FOR r IN WITH due AS (
                 SELECT p.pending_id, p.contact_id FROM consent_data.pending p ORDER BY p.pending_id
                  LIMIT max_contacts FOR UPDATE SKIP LOCKED)
             SELECT d.contact_id, array_agg(d.pending_id) AS ids FROM due d GROUP BY d.contact_id ORDER BY d.contact_id LOOP
        BEGIN
            PERFORM consent._refold_contact(r.contact_id::text);
            n := n + 1;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN NULL;
            WHEN OTHERS THEN
                -- Denies from now on, and does not come back each minute.
                RAISE LOG 'a contact could not be folded: %', SQLSTATE;
                INSERT INTO consent_data.contact_state AS s (contact_id, state) VALUES (r.contact_id, consent._dirty())
                ON CONFLICT (contact_id) DO UPDATE SET state = consent._dirty(), rev = s.rev + 1;
                DELETE FROM consent_data.contact_overflow o WHERE o.contact_id = r.contact_id;
                DELETE FROM consent_data.pending p WHERE p.pending_id = ANY (r.ids);
        END;
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent.refold_pending(integer) IS 'Folds the contacts that triggers have noted, the oldest first, and answers with their number. Run it every minute (pg_cron), or consent-batch refold --pending.';

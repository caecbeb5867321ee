-- Folding: a contact's state from everything there is, by key.

-- The full (uncapped) state of one contact from the facts that had happened by `upto` and were recorded by `known`.
-- Rows of the CRM carry no record of when they became known; they count by the time they happened.
CREATE FUNCTION consent._state_of(contact text, upto timestamptz, known timestamptz) RETURNS consent.state
    -- A plan of its own for each contact would cost more than what it does.
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
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
          FROM consent_data.address_event ae,
               -- By the index, of the few there are: OFFSET keeps the order of the look-ups.
               LATERAL (SELECT x.* FROM consent_data.event x WHERE x.event_id = ae.event_id OFFSET 0) e
         WHERE ae.address_hash = ANY (all_hashes) AND e.contact_id IS DISTINCT FROM key AND e.at <= upto AND e.recorded_at <= known
           AND (e.erased_as IS NULL OR e.erased_as IS DISTINCT FROM consent._key_hash(key::text))
        UNION ALL
        SELECT consent._crm_consent(e.kind, NULL, NULL, e.sender_id, e.channels, e.category_id, NULL, NULL, NULL, NULL, e.detail->>'via')
          FROM consent_data.standing_refusal s
          JOIN consent_data.address_event ae ON ae.event_id = s.event_id AND ae.address_hash = ANY (all_hashes),
               LATERAL (SELECT x.* FROM consent_data.event x WHERE x.event_id = s.event_id OFFSET 0) e
         WHERE e.at <= upto AND e.recorded_at <= known
        UNION ALL
        SELECT consent._crm_fact(c.kind, CASE WHEN c.at IS NOT NULL THEN least(c.at, by_now) END, c.sender_id, c.channels, c.category_id, c.opt_out_offered, c.refused, c.from_person)
          FROM consent_data.crm_event_of(key) c
         WHERE c.at IS NULL OR c.at <= by_now OR c.refused AND upto >= statement_timestamp()
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

CREATE FUNCTION consent._refold_contact(contact text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    noted bigint[];
    news consent.state;
BEGIN
    -- An older snapshot would leave out what others committed since; without the key a changed address is not seen.
    IF current_setting('transaction_isolation') <> 'read committed' OR NOT consent._has_key() THEN
        PERFORM consent._note(contact, true);
        RETURN;
    END IF;
    -- What is noted from here on stays noted, but for what this transaction notes itself.
    noted := ARRAY(SELECT p.pending_id FROM consent_data.pending p WHERE p.contact_id = key FOR UPDATE SKIP LOCKED);
    PERFORM consent._take_refusals(ARRAY[contact], NULL);
    PERFORM consent._sync_addresses(contact);
    -- With the addresses there are now: what was refused at one of them is carried, too.
    PERFORM consent._carry_on(contact), consent._carry_over(contact);
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

CREATE FUNCTION consent._look_for_gone() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids tid[] := ARRAY(SELECT g.ctid FROM consent_data.standing_gone g FOR UPDATE SKIP LOCKED);
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM consent._see_standing(NULL);
        DELETE FROM consent_data.standing_gone g WHERE g.ctid = ANY (ids);
    END IF;
END
$$;
COMMENT ON FUNCTION consent._look_for_gone() IS 'Looks at the CRM''s undated refusals of addresses if one may have been taken away.';

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
    IF NOT consent._has_key() THEN
        RETURN 0;
    END IF;
    IF consent._opt_outs_wait() THEN
        PERFORM consent.settle_unread_tokens();
    END IF;
    PERFORM consent._note_holders(max_contacts);
    PERFORM consent._look_for_gone();
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

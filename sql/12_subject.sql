-- The rights of the person: access (GDPR art. 15), erasure (art. 17), legal hold (art. 17(3)(e)); and what happens to
-- refusals where the CRM merges two records of one person.

CREATE FUNCTION consent._key_hash(contact text) RETURNS bytea
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_key_hash_wrapper';
COMMENT ON FUNCTION consent._key_hash(text)
    IS 'Keyed hash of a contact key in the spelling of the tables: what is left of an erased contact. NULL without the address key.';

CREATE PROCEDURE consent._create_subject_tables(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    CREATE TABLE IF NOT EXISTS consent_data.erasure (
        erasure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key_hash bytea NOT NULL,
        why text NOT NULL CHECK (btrim(why) <> ''),
        erased_at timestamptz NOT NULL DEFAULT now(),
        erased_by text NOT NULL DEFAULT session_user,
        figures jsonb NOT NULL DEFAULT '{}'
    );
    CREATE INDEX IF NOT EXISTS erasure_key_hash ON consent_data.erasure (key_hash);
    COMMENT ON TABLE consent_data.erasure IS 'Who was erased (by keyed hash), when, by whom and why, and how many rows of which table went: the proof of acting.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.contact_merge (
        from_id %1$s NOT NULL,
        into_id %1$s NOT NULL CHECK (into_id <> from_id),
        merged_at timestamptz NOT NULL DEFAULT now(),
        merged_by text NOT NULL DEFAULT session_user,
        why text,
        PRIMARY KEY (from_id, into_id)
    )$ddl$, key_column);
    CREATE INDEX IF NOT EXISTS contact_merge_into ON consent_data.contact_merge (into_id);
    COMMENT ON TABLE consent_data.contact_merge IS 'Contacts that the CRM merged: what is refused on the one that went, now or later, binds the one that stayed.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_subject_tables(text) IS 'Makes the tables of erasures and merges that are not there yet.';

-- What of a fact still restricts: survives an erasure and follows a merge.

CREATE FUNCTION consent._restricts(kind text, refused boolean) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind IN ('opt_out', 'objection', 'erasure_request', 'opt_in_refused', 'register_listed', 'register_delisted')
        OR COALESCE(refused, false);
COMMENT ON FUNCTION consent._restricts(text, boolean) IS 'Whether a fact takes permission away (or says that a register no longer does).';

CREATE FUNCTION consent._restriction_kind(kind text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN consent._restricts(kind, false) OR kind = 'legal_hold' THEN kind ELSE 'opt_in_refused' END;
COMMENT ON FUNCTION consent._restriction_kind(text)
    IS 'The kind under which a restriction lives on without the rest of its fact: of a sale with a refusal, the refusal alone.';

CREATE FUNCTION consent._restriction_detail(detail jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(d.key, d.value) FROM jsonb_each(detail) d WHERE d.key IN ('scope', 'via', 'register', 'source', 'standing')
$$;
COMMENT ON FUNCTION consent._restriction_detail(jsonb) IS 'What a restriction needs of its detail: codes and the number of the CRM''s row, by which it is known not to be a new one.';

-- Erasure ---------------------------------------------------------------------------------------------------------

-- The only change a row of the ledger can ever undergo, and only beside its record in consent_data.erasure.
CREATE FUNCTION consent._only_erasure() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked consent_data.event%ROWTYPE := OLD;
    erased consent_data.event%ROWTYPE := OLD;
BEGIN
    -- Names the day only: the instant would tie together all rows of one person.
    asked.erased_at := date_trunc('day', now(), 'UTC');
    asked.erased_as := NEW.erased_as;
    IF OLD.erased_at IS NULL AND NEW OPERATOR(pg_catalog.*=) asked
       AND (OLD.contact_id IS NULL OR NEW.erased_as = consent._key_hash(OLD.contact_id::text))
       AND EXISTS (SELECT FROM consent_data.erasure x WHERE x.key_hash = NEW.erased_as AND x.erased_at = now()) THEN
        erased.erased_at := asked.erased_at;
        erased.contact_id := NULL;
        erased.evidence := NULL;
        erased.reason := NULL;
        IF consent._restricts(OLD.kind, OLD.refused) THEN
            erased.detail := consent._restriction_detail(OLD.detail);
            -- An opt-out by address alone has no contact whose key could come back.
            erased.erased_as := CASE WHEN OLD.contact_id IS NOT NULL THEN NEW.erased_as END;
        ELSE
            erased.detail := NULL;
            erased.address_hash := NULL;
        END IF;
        RETURN erased;
    END IF;
    RAISE EXCEPTION '% of %.% is not allowed', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = 'The ledger is append-only: it is the proof of every decision.',
              HINT = 'Record a further event that corrects the earlier one; a person''s request for erasure is met with consent.erase().';
END
$$;
COMMENT ON FUNCTION consent._only_erasure() IS 'Trigger: the one change that the ledger''s rows allow is to take the person out of them.';

-- Refusals take the same lock in the weaker mode, before all others: who merges or erases sees them, or they see that.
CREATE FUNCTION consent._hold_merges() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    -- Refusals queue behind this lock: rather give up than keep them waiting.
    SET lock_timeout = '5s'
AS $$
BEGIN
    LOCK TABLE consent_data.contact_merge IN SHARE ROW EXCLUSIVE MODE;
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'refusals are being recorded' USING ERRCODE = 'lock_not_available',
        DETAIL = 'A transaction that has recorded one has not ended.', HINT = 'Try again when it has.';
END
$$;
COMMENT ON FUNCTION consent._hold_merges() IS 'Keeps refusals, merges and erasures of others waiting until the transaction ends.';

CREATE FUNCTION consent._erased_fact(
    kind text, at timestamptz, recorded_at timestamptz, sender_id integer, channels text[], category_id integer, detail jsonb)
    RETURNS consent.state
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN consent.fact(consent._restriction_kind(kind), at, recorded_at, sender_id, channels, category_id, detail => detail);
COMMENT ON FUNCTION consent._erased_fact(text, timestamptz, timestamptz, integer, text[], integer, jsonb)
    IS 'What an erased restriction means for the contact it came from, should that key come back.';

-- Without the address key nobody can say who was erased: the fold is dirty then, which denies.
CREATE FUNCTION consent._erased_state(contact text, upto timestamptz, known timestamptz) RETURNS consent.state
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hash bytea;
BEGIN
    IF contact IS NULL OR NOT EXISTS (SELECT FROM consent_data.event e WHERE e.erased_as IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    hash := consent._key_hash(contact);
    IF hash IS NULL THEN
        RETURN consent._dirty();
    END IF;
    RETURN (SELECT consent.fold(consent._erased_fact(e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.detail))
              FROM consent_data.event e WHERE e.erased_as = hash AND e.at <= upto AND e.recorded_at <= known);
END
$$;
COMMENT ON FUNCTION consent._erased_state(text, timestamptz, timestamptz)
    IS 'What an erased contact refused, by its key; NULL where nothing was erased under it.';

-- For folds of everybody. A join would find nobody without the key, and say nothing.
CREATE FUNCTION consent._anybody_erased() RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM consent_data.event e WHERE e.erased_as IS NOT NULL) THEN
        RETURN false;
    END IF;
    IF consent._key_hash('') IS NULL THEN
        RAISE EXCEPTION 'the address key is missing or another one' USING ERRCODE = 'config_file_error',
            DETAIL = 'Without it nobody can say who was erased.',
            HINT = 'Put the key back where pg_consent.key_file says; until then all marketing is denied.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION consent._anybody_erased() IS 'Whether refusals of erased contacts are kept; raises where nobody can say whose.';

CREATE FUNCTION consent._erased_states() RETURNS TABLE (erased_as bytea, state consent.state)
    LANGUAGE sql STABLE ROWS 1000 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.erased_as, consent.fold(consent._erased_fact(e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.detail))
      FROM consent_data.event e WHERE e.erased_as IS NOT NULL GROUP BY e.erased_as
$$;
COMMENT ON FUNCTION consent._erased_states() IS 'What all erased contacts refused, by the keyed hash of their keys.';

-- A fold keeps the addresses of contacts that the CRM no longer shows. Of one who was erased, it must not.
CREATE FUNCTION consent._forget_addresses() RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n bigint := 0;
BEGIN
    IF consent._anybody_erased() THEN
        DELETE FROM consent_data.contact_address ca
         WHERE consent._key_hash(ca.contact_id::text) IN (SELECT e.erased_as FROM consent_data.event e WHERE e.erased_as IS NOT NULL)
           AND NOT EXISTS (SELECT FROM consent_data.event e WHERE e.contact_id = ca.contact_id)
           AND NOT EXISTS (SELECT FROM consent_data.crm_contact c WHERE c.contact_id = ca.contact_id);
        GET DIAGNOSTICS n = ROW_COUNT;
    END IF;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._forget_addresses() IS 'Drops the addresses of erased contacts whom the CRM has let go too; answers with their number.';

-- Everybody whom the CRM merged with this contact is the same person.
CREATE FUNCTION consent._same_person(contact text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN QUERY WITH RECURSIVE person (id) AS (
        SELECT key
        UNION
        SELECT CASE m.from_id WHEN p.id THEN m.into_id ELSE m.from_id END
          FROM person p JOIN consent_data.contact_merge m ON p.id IN (m.from_id, m.into_id))
    SELECT p.id::text FROM person p ORDER BY p.id;
END
$$;
COMMENT ON FUNCTION consent._same_person(text) IS 'The contact and all that were merged with it, in the order of their keys.';

-- Holds in force, by sender. A release counts for the sender that gave it; one of the same instant releases nothing.
CREATE FUNCTION consent._holds(contact text) RETURNS TABLE (event_id bigint, sender text, at timestamptz, reason text)
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN QUERY SELECT e.event_id, s.name, e.at, e.reason
      FROM consent_data.event e JOIN consent_data.sender s USING (sender_id)
     WHERE e.contact_id = key AND e.kind = 'legal_hold'
       AND NOT EXISTS (SELECT FROM consent_data.event r WHERE r.contact_id = key AND r.sender_id = e.sender_id
                          AND r.kind = 'legal_hold_released' AND r.at > e.at)
     ORDER BY e.at, e.event_id;
END
$$;
COMMENT ON FUNCTION consent._holds(text) IS 'The legal holds on a contact that are in force.';

-- Whether there is anything of the person to erase. What a fold makes again while the CRM shows an erased contact is
-- nothing new, unless an address has come since.
CREATE FUNCTION consent._holds_data(contact text, hash bytea) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    PERFORM consent._sync_addresses(contact);
    RETURN EXISTS (SELECT FROM consent_data.event e WHERE e.contact_id = key)
        OR EXISTS (SELECT FROM consent_data.outbox o WHERE o.contact_id = key)
        OR EXISTS (SELECT FROM consent_data.retention_action a WHERE a.contact_id = key)
        OR EXISTS (SELECT FROM consent_data.contact_similar s WHERE s.contact_id = key)
        OR EXISTS (SELECT FROM consent_data.contact_merge m WHERE key IN (m.from_id, m.into_id))
        OR EXISTS (SELECT FROM consent_data.contact_address ca
                    WHERE ca.contact_id = key
                      AND NOT EXISTS (SELECT FROM consent_data.address_event ae JOIN consent_data.event e USING (event_id)
                                       WHERE ae.address_hash = ca.address_hash AND e.erased_as = hash AND e.kind = 'erasure_request'))
        OR CASE WHEN consent._in_crm(contact) THEN NOT EXISTS (SELECT FROM consent_data.erasure x WHERE x.key_hash = hash)
                ELSE EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = key)
                  OR EXISTS (SELECT FROM consent_data.contact_address ca WHERE ca.contact_id = key) END;
END
$$;
COMMENT ON FUNCTION consent._holds_data(text, bytea) IS 'Whether our tables hold, or the CRM shows, something of a contact that was not erased yet.';

CREATE FUNCTION consent._erase_contact(contact text, person text[], hash bytea, why text) RETURNS jsonb
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    had_state boolean;
    had_overflow boolean;
    v_day timestamptz := date_trunc('day', now(), 'UTC');
    v_erasure bigint;
    v_events bigint[];
    v_kept bigint;
    v_words bigint;
    v_removed jsonb;
    v_figures jsonb;
    v_held text;
    n bigint;
    r record;
BEGIN
    INSERT INTO consent_data.erasure (key_hash, why) VALUES (hash, why) RETURNING erasure_id INTO v_erasure;
    -- Waited for: a hold that is being recorded must be seen below.
    PERFORM FROM consent_data.contact_state s WHERE s.contact_id = key FOR UPDATE;
    -- Of every sender: all of them lose their data, and none may start again with what an import brings.
    PERFORM consent._record(contact, 'erasure_request', NULL, NULL, NULL, s.name, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
      FROM (SELECT name FROM consent_data.sender ORDER BY sender_id OFFSET 0) s;
    -- Only now: the request has locked the state, which a hold must lock too. The error undoes the request.
    SELECT string_agg(format('event %s of sender `%s`, since %s', h.event_id, h.sender, h.at), '; ') INTO v_held
      FROM consent._holds(contact) h;
    IF v_held IS NOT NULL THEN
        RAISE EXCEPTION 'the contact is under a legal hold' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = v_held,
            HINT = 'Data needed for legal claims may be kept (GDPR art. 17(3)(e)): record_event(contact, ''erasure_request'') ends all messages meanwhile. Once the claim is settled, release the hold with consent.legal_hold(contact, reason, on_hold => false, sender => ...).';
    END IF;
    had_state := EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = key);
    had_overflow := EXISTS (SELECT FROM consent_data.contact_overflow o WHERE o.contact_id = key);

    WITH e AS (UPDATE consent_data.event e SET erased_at = v_day, erased_as = hash WHERE e.contact_id = key RETURNING e.event_id, e.erased_as)
    SELECT coalesce(array_agg(e.event_id), '{}'), count(e.erased_as) INTO v_events, v_kept FROM e;
    -- What somebody wrote who refused by address alone: the person's, where nobody else has the address.
    UPDATE consent_data.event e SET erased_at = v_day, erased_as = hash
     WHERE e.contact_id IS NULL AND e.erased_at IS NULL AND (e.reason IS NOT NULL OR e.evidence IS NOT NULL)
       AND e.event_id IN (SELECT ae.event_id FROM consent_data.contact_address ca JOIN consent_data.address_event ae USING (address_hash)
                           WHERE ca.contact_id = key
                             AND NOT EXISTS (SELECT FROM consent_data.contact_address o
                                              WHERE o.address_hash = ca.address_hash AND o.contact_id::text <> ALL (person)));
    GET DIAGNOSTICS v_words = ROW_COUNT;

    DELETE FROM consent_data.outbox o WHERE o.contact_id = key OR o.event_id = ANY (v_events);
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := jsonb_build_object('outbox', n);
    SELECT coalesce(jsonb_object_agg(a.stage, a.n), '{}') INTO v_figures
      FROM (SELECT a.stage, count(*) AS n FROM consent_data.retention_action a WHERE a.contact_id = key GROUP BY a.stage) a;
    DELETE FROM consent_data.retention_action a WHERE a.contact_id = key;
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := v_removed || jsonb_build_object('retention_action', n);
    DELETE FROM consent_data.contact_similar s WHERE s.contact_id = key;
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := v_removed || jsonb_build_object('contact_similar', n);
    DELETE FROM consent_data.contact_merge m WHERE key IN (m.from_id, m.into_id);
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := v_removed || jsonb_build_object('contact_merge', n);
    DELETE FROM consent_data.contact_moved m WHERE key IN (m.from_id, m.into_id);
    DELETE FROM consent_data.pending p WHERE p.contact_id = key;
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := v_removed || jsonb_build_object('pending', n);
    DELETE FROM consent_data.contact_address ca WHERE ca.contact_id = key;
    GET DIAGNOSTICS n = ROW_COUNT;
    -- Takes the state away, or, while the CRM still shows the contact, leaves one that says erased. In place, not by
    -- DELETE: a batch that has folded meanwhile must find another revision.
    PERFORM consent._refold_contact(contact);
    v_removed := v_removed || jsonb_build_object(
        'event', cardinality(v_events), 'event_by_address', v_words, 'contact_address', n,
        'contact_state', (had_state AND NOT EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = key))::integer,
        'contact_overflow', (had_overflow AND NOT EXISTS (SELECT FROM consent_data.contact_overflow o WHERE o.contact_id = key))::integer);

    -- Those who share an address knew whose refusal it was; now they know it by the hash.
    FOR r IN SELECT DISTINCT ca.contact_id
               FROM consent_data.event e
               JOIN consent_data.address_event ae USING (event_id)
               JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
              WHERE e.erased_as = hash AND ca.contact_id <> key
              ORDER BY ca.contact_id LOOP
        PERFORM consent._refold_contact(r.contact_id::text);
    END LOOP;

    v_figures := jsonb_build_object('removed', v_removed, 'retention', v_figures,
        'kept', jsonb_build_object('restrictions', v_kept, 'without_the_person', cardinality(v_events) - v_kept));
    UPDATE consent_data.erasure x SET figures = v_figures WHERE x.erasure_id = v_erasure;
    RETURN v_figures || jsonb_build_object('erasure_id', v_erasure);
END
$$;
COMMENT ON FUNCTION consent._erase_contact(text, text[], bytea, text) IS 'Takes one contact out of our tables; answers with what went and what stays.';

CREATE FUNCTION consent.erase(contact text, why text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key text := consent._key(contact);
    person text[];
    done jsonb[] := '{}';
    removed jsonb;
    restrictions bigint;
    without_the_person bigint;
    in_crm boolean;
    r record;
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION 'no contact is named' USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the contact to be erased by its key.';
    END IF;
    IF coalesce(btrim(why), '') = '' THEN
        RAISE EXCEPTION 'no reason is given for the erasure' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Say why, without naming the person, for example: request of 2026-03-01, ticket 17.';
    END IF;
    IF consent._key_hash(key) IS NULL THEN
        RAISE EXCEPTION 'the address key is missing or another one' USING ERRCODE = 'config_file_error',
            DETAIL = 'Without it an erased contact who is imported again would not be known.',
            HINT = 'Put the key back where pg_consent.key_file says; until then all marketing is denied.';
    END IF;
    -- As merge_contacts() does first of all, so that neither waits for the other half-way, and no twin is overlooked.
    PERFORM consent._hold_merges();
    person := ARRAY(SELECT consent._same_person(key));
    FOR r IN SELECT p.key, consent._key_hash(p.key) AS hash FROM unnest(person) WITH ORDINALITY p (key, n) ORDER BY p.n LOOP
        IF consent._holds_data(r.key, r.hash) THEN
            done := done || consent._erase_contact(r.key, person, r.hash, why);
        END IF;
    END LOOP;
    SELECT jsonb_object_agg(t.key, t.n) INTO removed
      FROM (SELECT x.key, sum(x.value::bigint) AS n FROM unnest(done) d, jsonb_each_text(d->'removed') x GROUP BY x.key) t;
    SELECT sum((d->'kept'->>'restrictions')::bigint), sum((d->'kept'->>'without_the_person')::bigint)
      INTO restrictions, without_the_person FROM unnest(done) d;
    in_crm := EXISTS (SELECT FROM unnest(person) p WHERE consent._in_crm(p));
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'held', cardinality(done) > 0,
        'message', CASE WHEN cardinality(done) = 0 THEN 'nothing is held' END,
        'erasures', (SELECT jsonb_agg(d->'erasure_id') FROM unnest(done) d),
        'removed', coalesce(removed, '{}'),
        'kept', CASE WHEN cardinality(done) > 0 THEN jsonb_build_array(
            jsonb_build_object('what', 'refusals and register entries, by keyed hashes of the contact''s key and addresses', 'rows', restrictions,
                'why', 'so that nobody writes to the person again when the key or an address comes back (GDPR art. 17(3)(b), 21(3))'),
            jsonb_build_object('what', 'other rows of the ledger, without the contact, its address, evidence and words', 'rows', without_the_person,
                'why', 'the ledger stays complete and verifiable; they name nobody'),
            jsonb_build_object('what', 'the record of the erasure, by keyed hash', 'rows', cardinality(done),
                'why', 'proof of acting on the request (GDPR art. 5(2))')) END,
        'in_crm', in_crm,
        'advice', CASE WHEN in_crm THEN 'the bound views still show the contact: erase it in the CRM too, with its rows in block lists, then call erase() again; until then a state is kept that denies' END));
END
$$;
COMMENT ON FUNCTION consent.erase(text, text)
    IS 'GDPR art. 17: takes the person, with all contacts merged into one, out of our tables, in one transaction; what was refused stays by keyed hash, so that neither the key nor an address is written to when it comes back. Answers with what went and what stays. Refused under a legal hold. why: without personal data.';

CREATE FUNCTION consent._in_crm(contact text) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN EXISTS (SELECT FROM consent_data.crm_contact_of(key)) OR EXISTS (SELECT FROM consent_data.crm_event_of(key));
END
$$;
COMMENT ON FUNCTION consent._in_crm(text) IS 'Whether the bound views show the contact.';

-- Merged contacts -------------------------------------------------------------------------------------------------

CREATE FUNCTION consent._merged_into(contact text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN QUERY WITH RECURSIVE merged (id) AS (
        SELECT m.into_id FROM consent_data.contact_merge m WHERE m.from_id = key
        UNION
        SELECT m.into_id FROM merged JOIN consent_data.contact_merge m ON m.from_id = merged.id)
    SELECT merged.id::text FROM merged ORDER BY merged.id;
END
$$;
COMMENT ON FUNCTION consent._merged_into(text) IS 'The contacts into which this one was merged, at once or by way of others.';

-- Copies one restriction onto the contact that stayed. It counts as recorded now, so that no opt-in from before the merge
-- lifts it, and comes into force when the original did. Where only a later date helps (a hold or a listing that the other
-- contact was already released from), it has that one.
CREATE FUNCTION consent._carry(event_id bigint, contact text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    e consent_data.event%ROWTYPE;
    v_kind text;
    v_release text;
    v_origin text;
    carried boolean := false;
    r record;
BEGIN
    SELECT x.* INTO STRICT e FROM consent_data.event x WHERE x.event_id = event_id;
    v_kind := consent._restriction_kind(e.kind);
    v_release := CASE v_kind WHEN 'legal_hold' THEN 'legal_hold_released' WHEN 'register_listed' THEN 'register_delisted' END;
    -- Over several merges the first stays the origin, or each path would bring its own copy.
    v_origin := CASE WHEN e.detail->>'merged_from' ~ '^[0-9]{1,18}$' THEN e.detail->>'merged_from' ELSE e.event_id::text END;
    IF e.contact_id = key
       OR EXISTS (SELECT FROM consent_data.event x
                   WHERE x.contact_id = e.contact_id AND x.kind = v_release AND x.sender_id = e.sender_id AND x.at > e.at
                     AND x.detail->>'register' IS NOT DISTINCT FROM e.detail->>'register') THEN
        RETURN false;
    END IF;
    -- Whoever took over a business from the sender took over what was refused to it.
    FOR r IN WITH RECURSIVE bound (sender_id) AS (
                 SELECT e.sender_id
                 UNION
                 SELECT (t.detail->>'to_sender_id')::integer FROM bound JOIN consent_data.event t USING (sender_id)
                  WHERE t.contact_id = e.contact_id AND t.kind = 'business_transferred')
             SELECT s.sender_id, s.name FROM bound JOIN consent_data.sender s USING (sender_id) ORDER BY s.sender_id LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM consent_data.event x
             WHERE x.contact_id = key AND x.kind = v_kind AND x.sender_id = r.sender_id AND x.detail->>'merged_from' = v_origin
               AND (x.channels, x.category_id, x.detail->>'scope', x.detail->>'register')
                   IS NOT DISTINCT FROM (e.channels, e.category_id, e.detail->>'scope', e.detail->>'register'));
        PERFORM consent._record(
            contact, v_kind,
            greatest(e.at, (SELECT max(greatest(x.at, CASE WHEN v_kind = 'register_listed' THEN x.recorded_at END)) FROM consent_data.event x
                             WHERE x.kind = v_release
                               AND (x.contact_id = key
                                    OR x.event_id IN (SELECT ae.event_id FROM consent_data.contact_address ca
                                                        JOIN consent_data.address_event ae USING (address_hash) WHERE ca.contact_id = key)))),
            e.channels, (SELECT c.name FROM consent_data.category c WHERE c.category_id = e.category_id), r.name, NULL, NULL, NULL, NULL,
            coalesce(consent._restriction_detail(e.detail) - '{source,standing}'::text[], '{}') || jsonb_build_object('merged_from', v_origin::bigint),
            NULL, NULL, NULL, NULL);
        carried := true;
    END LOOP;
    RETURN carried;
END
$$;
COMMENT ON FUNCTION consent._carry(bigint, text) IS 'Copies a restriction onto the contact into which its own was merged; false if it is there already or no longer in force.';

-- The contact's own restrictions: recorded of it, before an erasure too, or given by its address alone. Not those of
-- others at the same address, and no register's entry of a number, which is about the number.
CREATE FUNCTION consent._carry_on(contact text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    hash bytea;
    carried bigint := 0;
    r record;
BEGIN
    IF NOT EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.from_id = key) THEN
        RETURN 0;
    END IF;
    hash := consent._key_hash(key::text);
    FOR r IN SELECT m.into_id, o.event_id
               FROM consent_data.contact_merge m,
                    (SELECT e.event_id FROM consent_data.event e
                      WHERE (e.contact_id = key OR e.erased_as = hash)
                        AND (e.kind = 'legal_hold' OR consent._restricts(e.kind, e.refused) AND e.kind <> 'register_delisted'
                                                      AND NOT (e.kind = 'register_listed' AND e.address_hash IS NOT NULL))
                     UNION
                     SELECT e.event_id FROM consent_data.contact_address ca
                       JOIN consent_data.address_event ae USING (address_hash)
                       JOIN consent_data.event e USING (event_id)
                      WHERE ca.contact_id = key AND e.contact_id IS NULL AND e.erased_as IS NULL
                        AND e.kind IN ('opt_out', 'objection', 'erasure_request')) o
              WHERE m.from_id = key
              ORDER BY m.into_id, o.event_id LOOP
        carried := carried + consent._carry(r.event_id, r.into_id::text)::integer;
    END LOOP;
    RETURN carried;
END
$$;
COMMENT ON FUNCTION consent._carry_on(text)
    IS 'Carries what a contact refused on to the contacts it was merged into, as far as it is not there yet; answers with how many. Nothing for a contact that was never merged.';

-- Triggers only remember that the CRM merged two contacts, and folds carry on what that means.
CREATE FUNCTION consent._carry_over(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    r record;
BEGIN
    FOR r IN WITH RECURSIVE merged (id) AS (
                 SELECT m.from_id FROM consent_data.contact_merge m WHERE m.into_id = key
                 UNION
                 SELECT m.from_id FROM merged JOIN consent_data.contact_merge m ON m.into_id = merged.id)
             SELECT merged.id FROM merged WHERE merged.id <> key ORDER BY merged.id LOOP
        PERFORM consent._carry_on(r.id::text);
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._carry_over(text) IS 'Carries what was refused on all contacts that were merged into this one.';

CREATE FUNCTION consent.merge_contacts(from_contact text, into_contact text, why text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_from consent_data.contact_state.contact_id%TYPE := consent._key(from_contact);
    v_into consent_data.contact_state.contact_id%TYPE := consent._key(into_contact);
    carried bigint;
    r record;
BEGIN
    IF v_from IS NULL OR v_into IS NULL THEN
        RAISE EXCEPTION 'a merge names two contacts' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Name the contact that goes, then the one that stays.';
    END IF;
    IF v_from = v_into THEN
        RAISE EXCEPTION 'a contact can''t be merged into itself' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Name the contact that goes, then the one that stays.';
    END IF;
    -- Two merges at once could close a circle that neither sees.
    PERFORM consent._hold_merges();
    IF v_from::text IN (SELECT consent._merged_into(v_into::text)) THEN
        RAISE EXCEPTION 'the merges would go round in a circle' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'The contact that would stay was itself merged into the one that would go.',
            HINT = 'Merge in the direction of the merges that are in consent_data.contact_merge.';
    END IF;
    carried := (SELECT count(*) FROM consent_data.event e WHERE e.contact_id = v_into AND e.detail ? 'merged_from');
    INSERT INTO consent_data.contact_merge (from_id, into_id, why) VALUES (v_from, v_into, why) ON CONFLICT DO NOTHING;
    -- Addresses first, then the states: a refusal of the moment is either seen here or sees the merge.
    FOR r IN SELECT k.key FROM (VALUES (v_from), (v_into)) k (key) ORDER BY k.key LOOP
        PERFORM consent._sync_addresses(r.key::text);
    END LOOP;
    PERFORM FROM consent_data.address a
      WHERE a.address_hash IN (SELECT ca.address_hash FROM consent_data.contact_address ca WHERE ca.contact_id = v_into)
      ORDER BY a.address_hash FOR NO KEY UPDATE;
    FOR r IN SELECT k.key FROM (VALUES (v_from), (v_into)) k (key) ORDER BY k.key LOOP
        PERFORM consent._refold_contact(r.key::text);
    END LOOP;
    PERFORM consent._carry_on(v_from::text);
    RETURN (SELECT count(*) FROM consent_data.event e WHERE e.contact_id = v_into AND e.detail ? 'merged_from') - carried;
END
$$;
COMMENT ON FUNCTION consent.merge_contacts(text, text, text)
    IS 'The CRM merged two records of one person: what the first refused, now or later, binds the second and its addresses. Permissions are not carried, and nothing is lifted. Answers with the number of restrictions carried; merging again carries only what is new.';

-- Legal hold ------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent.legal_hold(contact text, reason text, on_hold boolean DEFAULT true, sender text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF contact IS NULL THEN
        RAISE EXCEPTION 'no contact is named' USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the contact whose data must be kept by its key.';
    END IF;
    IF coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION 'no reason is given for the legal hold' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Name the claim or the order, for example its file number; on release, how it ended.';
    END IF;
    -- Unclear means held.
    RETURN consent._record(contact, CASE WHEN on_hold IS NOT FALSE THEN 'legal_hold' ELSE 'legal_hold_released' END,
                           NULL, NULL, NULL, sender, NULL, NULL, NULL, NULL, NULL, NULL, NULL, reason, NULL);
END
$$;
COMMENT ON FUNCTION consent.legal_hold(text, text, boolean, text)
    IS 'Keeps a contact''s data for a legal claim: retention leaves it alone and erase() is refused until the hold is released (on_hold => false) for the same sender. The reason is kept. It allows no message.';

-- Access ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent._subject_access(contact text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    hash bytea := consent._key_hash(key::text);
    found jsonb;
BEGIN
    found := jsonb_build_object(
        'crm_contacts', (SELECT jsonb_agg(to_jsonb(c) ORDER BY to_jsonb(c)::text) FROM consent_data.crm_contact_of(key) c),
        'crm_events', (SELECT jsonb_agg(consent._with_names(to_jsonb(c)) ORDER BY c.at, to_jsonb(c)::text)
                         FROM consent_data.crm_event c WHERE c.contact_id = key),
        'crm_consents', (SELECT jsonb_agg(consent._with_names(to_jsonb(c)) ORDER BY c.at, to_jsonb(c)::text) FROM consent_data.crm_consent_of(key) c),
        'ledger', (SELECT jsonb_agg(consent._with_names(to_jsonb(e) - '{contact_id,erased_at,erased_as}'::text[])
                                    || jsonb_build_object('address_hash', encode(e.address_hash, 'hex'), 'binds_addresses', (
                                        SELECT coalesce(jsonb_agg(encode(ae.address_hash, 'hex') ORDER BY ae.address_hash), '[]')
                                          FROM consent_data.address_event ae WHERE ae.event_id = e.event_id))
                                    ORDER BY e.at, e.event_id)
                     FROM consent_data.event e WHERE e.contact_id = key),
        'addresses', (SELECT jsonb_agg(jsonb_build_object('group', ca.channel_group, 'hash', encode(ca.address_hash, 'hex'), 'since', ca.since)
                                       ORDER BY ca.channel_group)
                        FROM consent_data.contact_address ca WHERE ca.contact_id = key),
        -- What reaches the contact without being recorded of it. Whose it is stays unsaid, and so do their words.
        'suppressions', (SELECT jsonb_agg(s.row ORDER BY s.at, s.row::text) FROM (
            SELECT e.at, consent._suppression(to_jsonb(e)) || jsonb_build_object('through', ca.channel_group, 'given_by', CASE
                       WHEN e.contact_id IS NOT NULL OR e.erased_as IS NOT NULL THEN 'another contact with this address'
                       ELSE 'somebody with this address' END)
                   || CASE WHEN e.contact_id IS NULL AND e.erased_as IS NULL
                                AND NOT EXISTS (SELECT FROM consent_data.contact_address o
                                                 WHERE o.address_hash = ca.address_hash AND o.contact_id <> key)
                           THEN jsonb_build_object('reason', e.reason, 'evidence', e.evidence, 'recorded_by', e.recorded_by) ELSE '{}' END AS row
              FROM consent_data.contact_address ca
              JOIN consent_data.address_event ae ON ae.address_hash = ca.address_hash
              JOIN consent_data.event e ON e.event_id = ae.event_id
             WHERE ca.contact_id = key AND e.contact_id IS DISTINCT FROM key AND (e.erased_as IS NULL OR e.erased_as IS DISTINCT FROM hash)
            UNION ALL
            SELECT e.at, consent._suppression(to_jsonb(e)) || '{"through": "key", "given_by": "the contact, before it was erased"}'
              FROM consent_data.event e WHERE e.erased_as = hash) s),
        'state', (SELECT jsonb_agg(consent.state_json(coalesce(o.state, s.state, consent._dirty())))
                    FROM consent_data.contact_state s LEFT JOIN consent_data.contact_overflow o USING (contact_id) WHERE s.contact_id = key),
        'legal_holds', (SELECT jsonb_agg(to_jsonb(h) ORDER BY h.at, h.event_id) FROM consent._holds(contact) h),
        'retention', (SELECT jsonb_agg(consent._with_names(to_jsonb(a) - 'contact_id') ORDER BY a.retention_action_id)
                        FROM consent_data.retention_action a WHERE a.contact_id = key),
        'similar_categories', (SELECT jsonb_agg(consent._with_names(to_jsonb(s) - 'contact_id' - 'rests_on')
                                                || jsonb_build_object('rests_on', (SELECT c.name FROM consent_data.category c WHERE c.category_id = s.rests_on))
                                                ORDER BY s.version, s.sender_id, s.category_id)
                                 FROM consent_data.contact_similar s WHERE s.contact_id = key),
        'outbox', (SELECT jsonb_agg(to_jsonb(o) - 'contact_id' ORDER BY o.outbox_id) FROM consent_data.outbox o WHERE o.contact_id = key),
        'pending', (SELECT jsonb_agg(to_jsonb(p) - 'contact_id' ORDER BY p.pending_id) FROM consent_data.pending p WHERE p.contact_id = key),
        'merges', (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.merged_at, m.from_id, m.into_id)
                     FROM consent_data.contact_merge m WHERE key IN (m.from_id, m.into_id)),
        'erasures', (SELECT jsonb_agg(to_jsonb(x) - 'key_hash' ORDER BY x.erasure_id) FROM consent_data.erasure x WHERE x.key_hash = hash));
    -- An empty section says that nothing of the kind is held.
    found := (SELECT jsonb_object_agg(f.key, coalesce(nullif(f.value, 'null'), '[]')) FROM jsonb_each(found) f);
    RETURN found || jsonb_build_object(
        'contact', to_jsonb(key),
        'held', EXISTS (SELECT FROM jsonb_each(found) f WHERE f.value <> '[]'),
        'answers', (SELECT coalesce(jsonb_agg(jsonb_build_object('message_kind', q.message_kind, 'product_category', q.product_category, 'sender', s.name)
                                              || consent._explain_send(key::text, q.message_kind, q.product_category, NULL, s.name, NULL)
                                              ORDER BY q.message_kind, q.product_category, s.sender_id), '[]')
                      FROM consent_data.audit_question q CROSS JOIN consent_data.sender s));
END
$$;
COMMENT ON FUNCTION consent._subject_access(text) IS 'Everything held about one contact, by section.';

CREATE FUNCTION consent._with_names(fact jsonb) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fact - '{sender_id,category_id}'::text[]
        || CASE WHEN fact ? 'sender_id' THEN jsonb_build_object('sender',
               (SELECT s.name FROM consent_data.sender s WHERE s.sender_id = (fact->>'sender_id')::integer)) ELSE '{}' END
        || CASE WHEN fact ? 'category_id' THEN jsonb_build_object('category',
               (SELECT c.name FROM consent_data.category c WHERE c.category_id = (fact->>'category_id')::integer)) ELSE '{}' END
$$;
COMMENT ON FUNCTION consent._with_names(jsonb) IS 'A row with the names of its sender and category in place of their numbers.';

CREATE FUNCTION consent._suppression(event jsonb) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT consent._with_names((SELECT jsonb_object_agg(f.key, f.value) FROM jsonb_each(event) f
                                 WHERE f.key IN ('kind', 'at', 'recorded_at', 'channels', 'sender_id', 'category_id')))
        || coalesce(consent._restriction_detail(nullif(event->'detail', 'null')) - '{source,standing}'::text[], '{}')
$$;
COMMENT ON FUNCTION consent._suppression(jsonb) IS 'What a contact may be told of a refusal that reaches it from another.';

CREATE FUNCTION consent.subject_access(contact text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text := consent._key(contact);
BEGIN
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'no contact is named' USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the contact by its key.';
    END IF;
    RETURN consent._subject_access(v_key) || jsonb_build_object('made_at', statement_timestamp(), 'merged_contacts', (
        SELECT coalesce(jsonb_agg(consent._subject_access(p.key) ORDER BY p.n), '[]')
          FROM consent._same_person(v_key) WITH ORDINALITY p (key, n) WHERE p.key <> v_key));
END
$$;
COMMENT ON FUNCTION consent.subject_access(text)
    IS 'GDPR art. 15: everything held about the person as one document: the bound rows as seen, ledger with evidence, state, addresses by hash, suppressions, retention, merges, holds, and the answers to consent_data.audit_question; contacts merged with it likewise. An empty section: nothing of the kind is held. Nothing of other people.';

-- The same for numeric and uuid keys.
DO $$
DECLARE
    f record;
    key_type text;
BEGIN
    FOR f IN SELECT p.oid, p.proname, p.provolatile, pg_catalog.pg_get_function_arguments(p.oid) AS arguments,
                    pg_catalog.pg_get_function_identity_arguments(p.oid) AS identity, pg_catalog.format_type(p.prorettype, NULL) AS result,
                    (SELECT pg_catalog.string_agg(CASE WHEN a.name LIKE '%contact' THEN a.name || '::text' ELSE a.name END, ', ' ORDER BY a.n)
                       FROM pg_catalog.unnest(p.proargnames) WITH ORDINALITY a (name, n)) AS passed,
                    pg_catalog.obj_description(p.oid, 'pg_proc') AS comment
               FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'consent'::pg_catalog.regnamespace
                AND p.proname IN ('subject_access', 'erase', 'merge_contacts', 'legal_hold') LOOP
        FOREACH key_type IN ARRAY ARRAY['bigint', 'uuid'] LOOP
            EXECUTE pg_catalog.format(
                'CREATE FUNCTION consent.%I(%s) RETURNS %s LANGUAGE sql %s RETURN consent.%1$I(%5$s)',
                f.proname, pg_catalog.replace(f.arguments, 'contact text', 'contact ' || key_type), f.result,
                CASE f.provolatile WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END, f.passed);
            EXECUTE pg_catalog.format('COMMENT ON FUNCTION consent.%I(%s) IS %L', f.proname,
                pg_catalog.replace(f.identity, 'contact text', 'contact ' || key_type), f.comment);
        END LOOP;
    END LOOP;
END
$$;

CREATE PROCEDURE consent._create_subject_views()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    CREATE OR REPLACE VIEW consent.audit_subject AS
    SELECT 'erasure' AS act, x.erased_at AS at, x.erased_by AS done_by, NULL AS contact_id, NULL AS into_id, x.why, x.figures FROM consent_data.erasure x
    UNION ALL
    SELECT 'merge', m.merged_at, m.merged_by, m.from_id, m.into_id, m.why, NULL FROM consent_data.contact_merge m
    UNION ALL
    SELECT e.kind, e.at, e.recorded_by, e.contact_id, NULL, e.reason, NULL FROM consent_data.event e
     WHERE e.kind IN ('legal_hold', 'legal_hold_released');
    COMMENT ON VIEW consent.audit_subject IS 'Privacy officer: whom did we erase, merge and hold back from erasure, when and why?';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_subject_views() IS 'Makes the view of erasures, merges and legal holds.';

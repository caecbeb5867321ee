-- Erasure (GDPR art. 17): the person is taken out of our tables, and what was refused stays by keyed hash.

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
        erased.commitment := consent._commitment(OLD.salt, consent._event_personal(OLD.contact_id::text, OLD.detail, OLD.evidence, OLD.reason, OLD.address_hash));
        erased.salt := NULL;
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
    PERFORM consent._raise_append_only(TG_OP, TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION consent._only_erasure() IS 'Trigger: the one change that the ledger''s rows allow is to take the person out of them.';

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
        OR EXISTS (SELECT FROM consent_data.decision d WHERE d.contact_id = key)
        OR EXISTS (SELECT FROM consent_data.outbox o WHERE o.contact_id = key)
        OR EXISTS (SELECT FROM consent_data.retention_action a WHERE a.contact_id = key)
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

-- asked: at the person's request, which binds key and addresses from now on. What has only had its time (retention) leaves
-- the restrictions there were, and the proof of what was done.
CREATE FUNCTION consent._erase_contact(contact text, person text[], hash bytea, why text, asked boolean) RETURNS jsonb
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
      FROM (SELECT name FROM consent_data.sender WHERE asked ORDER BY sender_id OFFSET 0) s;
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
    UPDATE consent_data.decision d SET erased_at = v_day WHERE d.contact_id = key;
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := jsonb_build_object('decision', n);

    DELETE FROM consent_data.outbox o WHERE o.contact_id = key OR o.event_id = ANY (v_events);
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := v_removed || jsonb_build_object('outbox', n);
    SELECT coalesce(jsonb_object_agg(a.stage, a.n), '{}') INTO v_figures
      FROM (SELECT a.stage, count(*) AS n FROM consent_data.retention_action a WHERE a.contact_id = key GROUP BY a.stage) a;
    DELETE FROM consent_data.retention_action a WHERE a.contact_id = key AND (asked OR a.stage <> 'expired');
    GET DIAGNOSTICS n = ROW_COUNT;
    v_removed := v_removed || jsonb_build_object('retention_action', n);
    DELETE FROM consent_data.retention_due d WHERE d.contact_id = key;
    -- Without a request, what is refused on one of them later still binds the other, should it come back.
    DELETE FROM consent_data.contact_merge m
     WHERE key IN (m.from_id, m.into_id)
       AND (asked OR NOT EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id IN (m.from_id, m.into_id) AND s.contact_id <> key));
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
COMMENT ON FUNCTION consent._erase_contact(text, text[], bytea, text, boolean) IS 'Takes one contact out of our tables; answers with what went and what stays.';

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
            done := done || consent._erase_contact(r.key, person, r.hash, why, true);
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

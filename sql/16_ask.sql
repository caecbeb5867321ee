-- Asking: the answer with its grounds, now and as of then, for one contact and for all; and what the law says.

CREATE FUNCTION consent._unpack(answer jsonb) RETURNS TABLE (
    allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, freshness text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (answer->>'allowed')::boolean, answer->>'reason', answer->>'basis', answer->>'rule', answer->>'citation',
           (answer->>'valid_until')::timestamptz, (answer->>'not_before')::timestamptz, answer->>'missing',
           nullif(answer->'evidence', 'null'), ARRAY(SELECT jsonb_array_elements_text(answer->'obligations')),
           answer->>'jurisdiction', nullif(answer->'policy_decision', 'null'), answer->>'policy_version', answer->>'freshness'
$$;
COMMENT ON FUNCTION consent._unpack(jsonb) IS 'An answer as a row.';

CREATE FUNCTION consent.decide(state consent.state, question consent.compiled_question) RETURNS TABLE (
    allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, freshness text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM consent._unpack(consent._decide(state, question)) $$;
COMMENT ON FUNCTION consent.decide(consent.state, consent.compiled_question)
    IS 'state @@ question with its grounds. Frequency limits are not judged here: they belong to the moment of sending.';

-- What stands behind the evidence: the ledger's events and the categories' names.
CREATE FUNCTION consent._with_sources(contact text, answer jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    ids bigint[];
    v_category text;
BEGIN
    IF jsonb_typeof(answer->'evidence') IS DISTINCT FROM 'object' OR answer->'evidence'->>'at' IS NULL THEN
        RETURN answer;
    END IF;
    SELECT array_agg(e.event_id ORDER BY e.event_id) INTO ids FROM consent_data.event e
     WHERE e.contact_id = key
       AND date_trunc('second', e.at) = date_trunc('second', (answer->'evidence'->>'at')::timestamptz);
    SELECT c.name INTO v_category FROM consent_data.category c WHERE c.category_id = (answer->'evidence'->>'category_id')::integer;
    RETURN jsonb_set(answer, '{evidence}', jsonb_strip_nulls(answer->'evidence'
        || jsonb_build_object('event_ids', to_jsonb(ids), 'category', v_category)));
END
$$;
COMMENT ON FUNCTION consent._with_sources(text, jsonb) IS 'Adds the ledger''s event ids and the category''s name to an answer''s evidence.';

-- Calls that were recorded, and calls and texts that were claimed and not released (as far as known by then): one that failed was an
-- attempt all the same. A claim counts when the last yes to it was given. What is planned for later counts from the instant that is
-- asked about: no order of claiming may make room for one more.
CREATE FUNCTION consent._attempts_of(contact text, sender text, upto timestamptz, known timestamptz, but bigint, texts boolean) RETURNS timestamptz[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    v_sender integer := (SELECT s.sender_id FROM consent_data.sender s WHERE CASE WHEN sender IS NULL THEN s.is_default ELSE s.name = sender END);
BEGIN
    RETURN ARRAY(SELECT e.at FROM consent_data.event e
                  WHERE NOT texts AND e.contact_id = key AND e.kind = 'call_attempt' AND e.at <= upto AND e.recorded_at <= known
                    AND e.sender_id = v_sender
                 UNION ALL
                 SELECT least(greatest(d.decided_at, d.not_before,
                                       (SELECT max(greatest(x.decided_at, x.not_before)) FROM consent_data.decision x
                                         WHERE x.rechecks = d.decision_id AND x.allowed AND x.decided_at <= least(upto, known))), upto)
                   FROM consent_data.decision d
                  WHERE d.contact_id = key AND d.made_for = 'claim' AND d.allowed AND d.sender_id = v_sender
                    AND CASE WHEN texts THEN d.channel = 'sms' ELSE d.channel IN ('phone_live', 'phone_auto') END
                    AND d.decided_at <= least(upto, known) AND d.decided_at > greatest(upto, '2000-01-01Z') - interval '1 year'
                    AND d.decision_id IS DISTINCT FROM but
                    AND coalesce((SELECT o.outcome FROM consent_data.outcome o
                                   WHERE o.decision_id = d.decision_id AND o.decided_at = d.decided_at AND o.noted_at <= known), 'sent') <> 'released');
END
$$;
COMMENT ON FUNCTION consent._attempts_of(text, text, timestamptz, timestamptz, bigint, boolean) IS 'Part of _attempts: of one key.';

CREATE FUNCTION consent._attempts(contact text, sender text, upto timestamptz, known timestamptz, but bigint DEFAULT NULL, texts boolean DEFAULT false) RETURNS timestamptz[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    IF EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.from_id = key OR m.into_id = key) THEN
        RETURN ARRAY(SELECT unnest(consent._attempts_of(p, sender, upto, known, but, texts)) FROM consent._same_person(contact) p);
    END IF;
    RETURN consent._attempts_of(contact, sender, upto, known, but, texts);
END
$$;
COMMENT ON FUNCTION consent._attempts(text, text, timestamptz, timestamptz, bigint, boolean)
    IS 'The call attempts on a person that frequency limits count, or the texts that some count beside them. but: a claim that is left out.';

CREATE FUNCTION consent._explain_send_as_of(
    contact text, message_kind text, product_category text, at timestamptz, known_at timestamptz, channel text, sender text)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key text;
    -- Compared with NULL, no event of the ledger would count, and with it no opt-out.
    v_at timestamptz := coalesce(at, statement_timestamp());
    v_known timestamptz := coalesce(known_at, 'infinity');
    is_call boolean := coalesce(channel, (SELECT k.channel FROM consent_data.message_kind k WHERE k.name = message_kind), '') NOT IN ('email', 'post');
BEGIN
    BEGIN
        key := consent._key(contact);
    EXCEPTION WHEN invalid_parameter_value THEN
        key := NULL;
    END;
    RETURN consent._with_sources(key, consent._explain(
        consent._state_of(key, v_at, v_known), message_kind, product_category, channel, sender, v_at,
        CASE WHEN is_call THEN consent._attempts(key, sender, v_at, v_known) END,
        CASE WHEN is_call THEN consent._attempts(key, sender, v_at, v_known, NULL, true) END));
END
$$;
COMMENT ON FUNCTION consent._explain_send_as_of(text, text, text, timestamptz, timestamptz, text, text)
    IS 'The answer from all facts happened by `at` and recorded by `known_at`.';

-- What an import brings is known since the day it says; nobody can vouch for that but whoever imported it.
CREATE FUNCTION consent._entered_later(contact text, at timestamptz, known_at timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := consent._key_or_null(contact);
BEGIN
    RETURN known_at < 'infinity' AND EXISTS (
        SELECT FROM consent_data.event e
         WHERE e.contact_id = key AND e.at <= at AND e.recorded_at <= known_at AND e.entered_at > known_at + interval '1 minute');
END
$$;
COMMENT ON FUNCTION consent._entered_later(text, timestamptz, timestamptz)
    IS 'Whether some of a contact''s facts count as known by an instant at which the ledger did not have them yet.';

CREATE FUNCTION consent.explain_send_as_of(
    contact text, message_kind text, product_category text, at timestamptz, known_at timestamptz DEFAULT 'infinity',
    channel text DEFAULT NULL, sender text DEFAULT NULL)
    RETURNS TABLE (
    allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, freshness text, exactness text)
    LANGUAGE sql STABLE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.*, concat_ws('; ', CASE WHEN EXISTS (SELECT FROM consent_data.binding)
                          THEN 'exact for the ledger; rows of the CRM as they are now' ELSE 'exact' END,
                     CASE WHEN EXISTS (SELECT FROM consent_data.policy_override o WHERE o.enabled)
                            OR EXISTS (SELECT FROM consent_data.policy_decision d WHERE d.revoked_at IS NULL)
                          THEN 'own rules and decisions as they are now' END,
                     CASE WHEN consent._entered_later(contact, coalesce(at, statement_timestamp()), known_at) THEN 'some facts were entered later than they say they were recorded' END)
      FROM consent._unpack(consent._explain_send_as_of(contact, message_kind, product_category, at, known_at, channel, sender)) u
$$;
COMMENT ON FUNCTION consent.explain_send_as_of(text, text, text, timestamptz, timestamptz, text, text)
    IS 'The answer as it was, or should have been: with the facts that had happened by `at`, as far as recorded by `known_at`, under the law in force at `at`.';

CREATE FUNCTION consent._explain_send(
    contact text, message_kind text, product_category text, channel text, sender text, at timestamptz)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE;
    v_at timestamptz := coalesce(at, statement_timestamp());
    is_call boolean := coalesce(channel, (SELECT k.channel FROM consent_data.message_kind k WHERE k.name = message_kind), '') NOT IN ('email', 'post');
    answer jsonb;
BEGIN
    BEGIN
        key := consent._key(contact);
    EXCEPTION WHEN invalid_parameter_value THEN
        key := NULL;
    END;
    answer := consent._explain(consent._current_state(key::text), message_kind, product_category, channel, sender, v_at,
                               CASE WHEN is_call THEN consent._attempts(key::text, sender, v_at, 'infinity') END,
                               CASE WHEN is_call THEN consent._attempts(key::text, sender, v_at, 'infinity', NULL, true) END);
    -- The state knows only the present; the facts know earlier instants too.
    IF answer->>'reason' = 'history_needed' THEN
        RETURN consent._explain_send_as_of(key::text, message_kind, product_category, v_at, 'infinity', channel, sender);
    END IF;
    RETURN consent._with_sources(key::text, answer);
END
$$;
COMMENT ON FUNCTION consent._explain_send(text, text, text, text, text, timestamptz) IS 'Implements explain_send().';

CREATE FUNCTION consent.explain_send(
    contact text, message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL,
    sender text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS TABLE (
    allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, freshness text)
    LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM consent._unpack(consent._explain_send(contact, message_kind, product_category, channel, sender, at)) $$;
COMMENT ON FUNCTION consent.explain_send(text, text, text, text, text, timestamptz)
    IS 'can_send with its grounds: reason or basis, rule and citation, until when, on what evidence, with what obligations. One row, always.';

-- Found by address: whoever has it now, by the CRM's own word and not by the last fold's.
CREATE FUNCTION consent.contacts_at(address text, channel text DEFAULT 'email', country text DEFAULT NULL) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    hashes bytea[] := consent._with_aliases(consent._address_hashes(channel, address, country));
BEGIN
    RETURN QUERY SELECT DISTINCT ca.contact_id::text FROM consent_data.contact_address ca
     WHERE ca.address_hash = ANY (hashes)
       AND EXISTS (SELECT FROM consent._addresses_now(ca.contact_id::text) a WHERE a.hashes && hashes AND a.in_use AND a.since IS DISTINCT FROM 'infinity');
END
$$;
COMMENT ON FUNCTION consent.contacts_at(text, text, text) IS 'The keys of the contacts who have an address now. country: for a national phone number.';

CREATE FUNCTION consent.can_send_address(
    address text, message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL, sender text DEFAULT NULL,
    at timestamptz DEFAULT NULL, country text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(bool_or(consent.can_send(c, message_kind, product_category, channel, sender, at)), false)
      FROM consent.contacts_at(address, coalesce(channel, (SELECT k.channel FROM consent_data.message_kind k WHERE k.name = message_kind)), country) c
$$;
COMMENT ON FUNCTION consent.can_send_address(text, text, text, text, text, timestamptz, text)
    IS 'can_send for whoever has the address: yes if it is yes for one of them, since a refusal binds all who share it. Nobody''s address, or a malformed one: no. country: for a national phone number.';

-- The law itself, in words.

CREATE FUNCTION consent._policy(jurisdiction text, at timestamptz) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE COST 5000 AS 'MODULE_PATHNAME', '_policy_wrapper';
COMMENT ON FUNCTION consent._policy(text, timestamptz) IS 'The rules in force as a JSON array; no jurisdiction: all of them.';

CREATE FUNCTION consent._rules(jurisdiction text, at timestamptz) RETURNS TABLE (
    jurisdiction_id text, rule text, in_force_from date, in_force_until date, messages text, channels text,
    recipients text, requirement text, contested text[], citation text, source text, confidence text,
    obligations text[], note text, switches text[])
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.jurisdiction, r.rule, r.in_force_from, r.in_force_until, r.messages, r.channels, r.recipients, r.requirement,
           r.contested, r.citation, r.source, r.confidence, r.obligations, r.note, r.switches
      FROM jsonb_to_recordset(consent._policy(jurisdiction, at)) r (
           jurisdiction text, rule text, in_force_from date, in_force_until date, messages text, channels text,
           recipients text, requirement text, contested text[], citation text, source text, confidence text,
           obligations text[], note text, switches text[])
$$;
COMMENT ON FUNCTION consent._rules(text, timestamptz) IS 'The rules in force as rows, with the contested points they rest on.';

CREATE FUNCTION consent.policy(jurisdiction text, at timestamptz DEFAULT statement_timestamp()) RETURNS TABLE (
    rule text, in_force_from date, in_force_until date, messages text, channels text, recipients text,
    requirement text, contested text[], citation text, source text, confidence text, obligations text[], note text)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.rule, r.in_force_from, r.in_force_until, r.messages, r.channels, r.recipients, r.requirement, r.contested,
           r.citation, r.source, r.confidence, r.obligations, r.note
      FROM consent._rules(jurisdiction, at) r
$$;
COMMENT ON FUNCTION consent.policy(text, timestamptz)
    IS 'The rules of a jurisdiction in force at an instant, in words. jurisdiction: a pack''s id (eu) or a country''s code (AT, for which rules of other countries are left out); NULL: all. in_force_until: the first day on which the rule no longer holds. contested: the contested points it rests on, and how each stands now. Raises for an unknown jurisdiction.';

CREATE FUNCTION consent.opt_out_deadline(country text, requested_at timestamptz, region text DEFAULT NULL) RETURNS date
    LANGUAGE c STABLE PARALLEL SAFE COST 20 AS 'MODULE_PATHNAME', 'opt_out_deadline_wrapper';
COMMENT ON FUNCTION consent.opt_out_deadline(text, timestamptz, text)
    IS 'The last day, in the country''s principal time zone, on which an opt-out may still be without effect: for messages that were under way when it came. The gate itself denies at once. NULL where the law names no number of days, and for a country that no pack names: there, nothing may go out any more. region: no pack distinguishes regions in this; principal zone and national holidays are used.';

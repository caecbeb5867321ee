-- The log of decisions: a question asked for the record, asked again when the message has waited, what became of it, and how long
-- all that is kept.

CREATE PROCEDURE consent._create_decisions()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    -- Limits and repeated claims look back for a quarter of a year.
    ALTER TABLE consent_data.setting ADD COLUMN IF NOT EXISTS keep_decisions interval DEFAULT interval '3 years'
        CHECK (keep_decisions >= interval '4 months');
    COMMENT ON COLUMN consent_data.setting.keep_decisions IS 'How long the log of decisions is kept, in whole months; NULL: for ever.';
    CREATE INDEX IF NOT EXISTS decision_rechecks ON consent_data.decision (rechecks) WHERE rechecks IS NOT NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_decisions() IS 'Makes the tables and views of this part that are not there yet.';

-- Whoever writes a contact's key shares this lock with the recording of refusals: erase() and merge_contacts() take it alone, and
-- either see the row or are seen. It is held until the transaction ends.
CREATE FUNCTION consent._share_merges() RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '150ms'
AS $$
BEGIN
    LOCK TABLE consent_data.contact_merge IN ROW EXCLUSIVE MODE;
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION consent._share_merges() IS 'Keeps contacts from being erased and merged until the transaction ends; false where that would take long.';

CREATE FUNCTION consent._key_or_null(contact text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN consent._key(contact);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._key_or_null(text) IS 'A contact key in the spelling of the tables; NULL, an unknown contact, for what is no key.';

CREATE FUNCTION consent._channel_group(channel text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE channel WHEN 'email' THEN 'email' WHEN 'post' THEN 'post' ELSE 'phone' END;
COMMENT ON FUNCTION consent._channel_group(text) IS 'The kind of address that a channel uses.';

-- A no that is not the law's: it has no ground, and time alone lifts it where not_before says so.
CREATE FUNCTION consent._denied(answer jsonb, reason text, missing text, rule text DEFAULT NULL, citation text DEFAULT NULL,
                                not_before timestamptz DEFAULT NULL, evidence jsonb DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN answer OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(
        'allowed', false, 'reason', reason, 'missing', missing, 'basis', NULL, 'rule', rule, 'citation', citation, 'valid_until', NULL,
        'not_before', not_before, 'evidence', evidence, 'obligations', '[]'::jsonb, 'policy_decision', NULL);
COMMENT ON FUNCTION consent._denied(jsonb, text, text, text, text, timestamptz, jsonb) IS 'An answer turned into a no.';

CREATE FUNCTION consent._wait_until(until timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN until IS NULL THEN 'a higher limit'
                ELSE 'to wait until ' || pg_catalog.to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' END;
COMMENT ON FUNCTION consent._wait_until(timestamptz) IS 'What a limit that is reached lacks, in words.';

CREATE FUNCTION consent._log_decision(
    contact text, address_hash bytea, message_kind text, category_id integer, channel text, sender_id integer, campaign text,
    message_ref text, answer jsonb, made_for text, rechecks bigint, planned timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    id bigint;
BEGIN
    INSERT INTO consent_data.decision (contact_id, address_hash, message_kind, category_id, channel, sender_id, campaign, message_ref,
        allowed, reason, basis, rule, jurisdiction, valid_until, not_before, obligations, evidence, policy_decision,
        policy_version, similarity_version, made_for, rechecks)
    VALUES (key, address_hash, coalesce(left(message_kind, 200), ''), category_id, left(channel, 200), sender_id, campaign, message_ref,
        (answer->>'allowed')::boolean, answer->>'reason', answer->>'basis', answer->>'rule', answer->>'jurisdiction',
        (answer->>'valid_until')::timestamptz, coalesce((answer->>'not_before')::timestamptz, planned),
        ARRAY(SELECT jsonb_array_elements_text(answer->'obligations')), nullif(answer->'evidence', 'null'),
        nullif(answer->'policy_decision', 'null'), answer->>'policy_version',
        (SELECT s.similarity_version FROM consent_data.setting s), made_for, rechecks)
    RETURNING decision_id INTO id;
    RETURN id;
END
$$;
COMMENT ON FUNCTION consent._log_decision(text, bytea, text, integer, text, integer, text, text, jsonb, text, bigint, timestamptz)
    IS 'Writes a decision to the log. planned: when a message that is allowed shall go out, if not at once.';

CREATE FUNCTION consent.log_decision(
    contact text, message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL, sender text DEFAULT NULL,
    campaign text DEFAULT NULL, message_ref text DEFAULT NULL)
    RETURNS TABLE (
    decision_id bigint, allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, freshness text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_key text := consent._key_or_null(contact);
    v_channel text := coalesce(channel, (SELECT k.channel FROM consent_data.message_kind k WHERE k.name = message_kind));
    answer jsonb;
BEGIN
    LOCK TABLE consent_data.contact_merge IN ROW EXCLUSIVE MODE;
    answer := consent._explain_send(v_key, message_kind, product_category, channel, sender, NULL);
    decision_id := consent._log_decision(
        v_key,
        (SELECT a.address_hash FROM consent._addresses_now(v_key) a
          WHERE a.channel_group = consent._channel_group(v_channel) AND a.since IS DISTINCT FROM 'infinity'),
        message_kind, (SELECT c.category_id FROM consent_data.category c WHERE c.name = product_category), v_channel,
        (SELECT s.sender_id FROM consent_data.sender s WHERE CASE WHEN sender IS NULL THEN s.is_default ELSE s.name = sender END),
        campaign, message_ref, answer, 'question', NULL, NULL);
    RETURN QUERY SELECT decision_id, u.* FROM consent._unpack(answer) u;
END
$$;
COMMENT ON FUNCTION consent.log_decision(text, text, text, text, text, text, text)
    IS 'explain_send() for the record: the question and its answer go into the log of decisions. One row, always. It reserves no message and counts for no limit: whoever is about to send calls claim_send().';

-- Asked again -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent.recheck(decision_id bigint)
    RETURNS TABLE (
    recheck_id bigint, allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, changed boolean)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    d record;
    v_outcome text;
    v_sender text;
    v_category text;
    v_may_name boolean;
    v_plan timestamptz;
    answer jsonb;
    v_hash bytea;
    id bigint := decision_id;
BEGIN
    PERFORM consent._need_newest_rows();
    v_may_name := consent._share_merges();
    SELECT x.* INTO d FROM consent_data.decision x WHERE x.decision_id = id;
    IF d.rechecks IS NOT NULL THEN
        id := d.rechecks;
        SELECT x.* INTO d FROM consent_data.decision x WHERE x.decision_id = id;
    END IF;
    IF d.decision_id IS NULL THEN
        answer := consent._denied('{}', 'unknown_contact', 'a decision of this id in the log; one that is long past was dropped');
    ELSIF NOT v_may_name THEN
        answer := consent._busy();
    ELSIF d.erased_at IS NOT NULL THEN
        answer := consent._denied('{}', 'erased', 'nothing: the person was erased since');
    ELSIF d.reason IN ('unknown_kind', 'unknown_category') OR d.sender_id IS NULL OR d.channel IS NULL THEN
        -- What was not known then is not in the log, and the question without it would be another one.
        answer := consent._denied('{}', coalesce(d.reason, 'unknown_kind'), 'another question: the one in the log named something unknown');
    ELSIF d.made_for = 'claim' AND NOT consent._hold_contact(d.contact_id::text) THEN
        answer := consent._busy();
    ELSE
        SELECT s.name INTO v_sender FROM consent_data.sender s WHERE s.sender_id = d.sender_id;
        SELECT c.name INTO v_category FROM consent_data.category c WHERE c.category_id = d.category_id;
        v_plan := CASE WHEN d.allowed THEN d.not_before END;
        SELECT j.answer INTO answer
          FROM consent._judge(d.contact_id::text, CASE WHEN d.address_hash IS NOT NULL THEN ARRAY[d.address_hash] END,
                              d.made_for = 'claim', d.message_kind, v_category, d.channel, v_sender, d.sender_id, v_plan,
                              d.made_for = 'claim', d.decision_id) j;
        IF d.made_for = 'claim' AND (answer->>'allowed')::boolean THEN
            SELECT o.outcome INTO v_outcome FROM consent_data.outcome o WHERE o.decision_id = d.decision_id AND o.decided_at = d.decided_at;
            IF NOT d.allowed OR v_outcome IS NOT NULL OR d.decided_at < clock_timestamp() - consent._claim_known() THEN
                answer := consent._denied(answer, 'frequency_cap', format('a new claim: this one %s', CASE WHEN NOT d.allowed
                              THEN 'was denied' WHEN v_outcome IS NULL THEN 'is long past' WHEN v_outcome = 'sent' THEN 'has been sent' ELSE 'was ' || v_outcome END));
            END IF;
        END IF;
        -- No longer lawful, so it must not be sent, and what is not sent does not count.
        IF d.made_for = 'claim' AND d.allowed AND NOT (answer->>'allowed')::boolean THEN
            INSERT INTO consent_data.outcome (decision_id, decided_at, outcome) VALUES (d.decision_id, d.decided_at, 'released')
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF d.decision_id IS NOT NULL THEN
        recheck_id := consent._log_decision(
            CASE WHEN v_may_name THEN d.contact_id::text END, CASE WHEN v_may_name THEN d.address_hash END, d.message_kind, d.category_id,
            d.channel, d.sender_id, d.campaign, CASE WHEN v_may_name THEN d.message_ref END,
            answer, 'recheck', d.decision_id, CASE WHEN (answer->>'allowed')::boolean THEN v_plan END);
    END IF;
    RETURN QUERY SELECT recheck_id, u.allowed, u.reason, u.basis, u.rule, u.citation, u.valid_until, coalesce(u.not_before, CASE WHEN u.allowed THEN v_plan END), u.missing, u.evidence,
                        u.obligations, u.jurisdiction, u.policy_decision, u.policy_version, u.allowed IS DISTINCT FROM d.allowed
                   FROM consent._unpack(answer) u;
END
$$;
COMMENT ON FUNCTION consent.recheck(bigint)
    IS 'Asks a logged question again, for a message that has waited: now, and for the same address, which must still be the contact''s. A yes counts for limits from now on. changed: the answer is another than then. A no to a claim that was not sent yet releases it; a claim that was denied, released, failed or sent is no permission any more. One row, always; a decision that is not in the log is a no.';

-- The answers are of the moment: an older snapshot does not see what others have committed since it was taken.
CREATE FUNCTION consent._need_newest_rows() RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a claim needs the newest rows' USING ERRCODE = 'feature_not_supported',
            DETAIL = format('A snapshot of isolation level %s does not show what others have claimed and refused since.', current_setting('transaction_isolation')),
            HINT = 'Claim and recheck in READ COMMITTED.';
    END IF;
END
$$;
COMMENT ON FUNCTION consent._need_newest_rows() IS 'Raises in a transaction whose snapshot may be behind.';

CREATE FUNCTION consent._busy() RETURNS jsonb
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT consent._denied('{}', 'frequency_cap', 'to ask again: others are claiming, erasing or merging this contact', 'busy', NULL,
                           clock_timestamp() + interval '1 second')
$$;
COMMENT ON FUNCTION consent._busy() IS 'The answer where a contact''s lock could not be had soon: nobody knows whether its limits are reached.';

-- What became of it ----------------------------------------------------------------------------------------------------

CREATE FUNCTION consent.claim_outcomes(decision_ids bigint[], outcome text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    other record;
    noted bigint;
BEGIN
    IF outcome IS NULL OR outcome NOT IN ('sent', 'failed', 'released') THEN
        RAISE EXCEPTION 'outcome `%` is not known', outcome USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Say sent, failed (it was tried and did not arrive) or released (it was not tried).';
    END IF;
    -- In one order, so that two of these never wait for each other.
    WITH claims AS (
        SELECT d.decision_id, d.decided_at FROM consent_data.decision d
         WHERE d.decision_id = ANY (decision_ids) AND d.made_for = 'claim' AND d.allowed ORDER BY d.decision_id),
    noting AS (
        INSERT INTO consent_data.outcome (decision_id, decided_at, outcome) SELECT c.decision_id, c.decided_at, outcome FROM claims c
        ON CONFLICT DO NOTHING RETURNING 1)
    SELECT count(*) INTO noted FROM noting;
    IF noted < cardinality(decision_ids) THEN
        -- In a new snapshot, which has what was waited for.
        SELECT i.id, o.outcome INTO other FROM unnest(decision_ids) i (id)
          LEFT JOIN consent_data.decision d ON d.decision_id = i.id AND d.made_for = 'claim' AND d.allowed
          LEFT JOIN consent_data.outcome o ON o.decision_id = d.decision_id AND o.decided_at = d.decided_at
         WHERE o.outcome IS DISTINCT FROM outcome ORDER BY i.id LIMIT 1;
        IF FOUND AND other.outcome IS NULL THEN
            RAISE EXCEPTION 'decision % is no claim that was allowed', coalesce(other.id::text, 'NULL') USING ERRCODE = 'undefined_object',
                DETAIL = 'It is not in the log (any more), or was a question, a recheck or a no.', HINT = 'Pass the decision_id of a claim_send() that answered yes.';
        ELSIF FOUND THEN
            RAISE EXCEPTION 'claim % is already noted as %', other.id, other.outcome USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = format('What became of a message is said once; `%s` comes too late.', outcome),
                HINT = 'A message that went out although its claim was released or failed is a mistake to look into; one that shall go out is claimed anew.';
        END IF;
    END IF;
    RETURN noted;
END
$$;
COMMENT ON FUNCTION consent.claim_outcomes(bigint[], text)
    IS 'What became of claimed messages: sent, failed or released. The last two no longer count for limits; of what nothing is noted counts as sent. Saying the same again changes nothing, something else raises. Answers with the number newly noted; all or none.';

CREATE FUNCTION consent.claim_outcome(decision_id bigint, outcome text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN consent.claim_outcomes(ARRAY[decision_id], outcome) > 0;
END
$$;
COMMENT ON FUNCTION consent.claim_outcome(bigint, text) IS 'What became of a claimed message: sent, failed or released. Answers whether that is new; the first word stands, and another one raises.';

-- How long ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent._sealed_upto(log text) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    upto bigint;
BEGIN
    IF to_regclass('consent_data.seal') IS NOT NULL THEN
        EXECUTE format('SELECT max(s.%I) FROM consent_data.seal s', 'upto_' || log) INTO upto;
    END IF;
    RETURN coalesce(upto, 0);
END
$$;
COMMENT ON FUNCTION consent._sealed_upto(text) IS 'The last row of a log (decision, outcome) that is sealed; 0: none.';

-- Rows of one month of a log, its partition's and what lies in the default one, and whether all are sealed.
CREATE FUNCTION consent._log_month(log text, month text) RETURNS TABLE (first_id bigint, last_id bigint, rows bigint, is_sealed boolean)
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT min(t.%1$I), max(t.%1$I), count(*), coalesce(max(t.%1$I) <= consent._sealed_upto(%2$L), true)
                                   FROM consent_data.%2$I t WHERE t.decided_at >= $1 AND t.decided_at < $1 + interval ''1 month''', log || '_id', log)
           USING to_date(month, 'YYYY_MM')::timestamptz;
END
$$;
COMMENT ON FUNCTION consent._log_month(text, text) IS 'What a log (decision, outcome) holds of a month (2026_01).';

-- A month's decisions and their outcomes go together, or not at all, wherever they lie.
CREATE FUNCTION consent._prune_month(month text, before timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    log text;
    part text;
    m record;
    n bigint := 0;
    spilled bigint;
BEGIN
    -- In this order everywhere. A late outcome waits here, or is seen.
    LOCK TABLE consent_data.decision IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE consent_data.outcome IN ACCESS EXCLUSIVE MODE;
    FOREACH log IN ARRAY ARRAY['decision', 'outcome'] LOOP
        SELECT x.* INTO STRICT m FROM consent._log_month(log, month) x;
        IF NOT m.is_sealed THEN
            RAISE EXCEPTION 'rows came in that are not sealed yet' USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        IF m.rows > 0 THEN
            INSERT INTO consent_data.prune (log, decided_before, first_id, last_id, rows) VALUES (log, before, m.first_id, m.last_id, m.rows);
        END IF;
        part := log || '_' || month;
        IF to_regclass('consent_data.' || part) IS NOT NULL THEN
            EXECUTE format('ALTER TABLE consent_data.%I DETACH PARTITION consent_data.%I', log, part);
            EXECUTE format('DROP TABLE consent_data.%I', part);
        END IF;
        -- The rest of the month, which came while it had no partition. Nobody else gets in while the trigger is off.
        part := log || '_default';
        EXECUTE format('SELECT count(*) FROM consent_data.%I WHERE decided_at >= $1 AND decided_at < $2', part)
           INTO spilled USING before - interval '1 month', before;
        IF spilled > 0 THEN
            EXECUTE format('ALTER TABLE consent_data.%I DISABLE TRIGGER append_only_row', part);
            EXECUTE format('DELETE FROM consent_data.%I WHERE decided_at >= $1 AND decided_at < $2', part) USING before - interval '1 month', before;
            EXECUTE format('ALTER TABLE consent_data.%I ENABLE TRIGGER append_only_row', part);
        END IF;
        n := n + m.rows;
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._prune_month(text, timestamptz) IS 'Drops one month of the log of decisions; answers with the number of rows.';

CREATE FUNCTION consent.prune_decisions() RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    -- Claims queue behind this lock.
    SET lock_timeout = '200ms'
AS $$
DECLARE
    oldest timestamptz := (SELECT date_trunc('month', now() - s.keep_decisions) FROM consent_data.setting s);
    before timestamptz;
    month text;
    n bigint := 0;
BEGIN
    -- As a whole: an open query would keep its tables from being altered.
    FOREACH month IN ARRAY ARRAY(
                 SELECT substring(c.relname FROM '_([0-9]{4}_[0-9]{2})$')
                   FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent IN ('consent_data.decision'::regclass, 'consent_data.outcome'::regclass)
                    AND c.relname ~ '^(decision|outcome)_[0-9]{4}_[0-9]{2}$'
                 UNION SELECT to_char(d.decided_at, 'YYYY_MM') FROM consent_data.decision_default d WHERE d.decided_at < oldest
                 UNION SELECT to_char(o.decided_at, 'YYYY_MM') FROM consent_data.outcome_default o WHERE o.decided_at < oldest
                  ORDER BY 1) LOOP
        before := to_date(month, 'YYYY_MM')::timestamp + interval '1 month';
        -- Without a limit nothing is old enough.
        EXIT WHEN oldest IS NULL OR before > oldest;
        CONTINUE WHEN EXISTS (
            SELECT FROM unnest(ARRAY['decision', 'outcome']) l (log), LATERAL consent._log_month(l.log, month) x
             WHERE NOT x.is_sealed);
        BEGIN
            n := n + consent._prune_month(month, before);
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR object_not_in_prerequisite_state THEN
            RAISE WARNING 'the decisions of % are kept for now', replace(month, '_', '-')
                USING HINT = 'The log is in use, or not sealed; the next night tries again.';
        END;
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent.prune_decisions()
    IS 'Drops whole months of the log of decisions that are older than consent_data.setting.keep_decisions and sealed, each with a row of consent_data.prune in the same transaction; answers with the number of rows. The nightly batch calls it.';

GRANT EXECUTE ON FUNCTION consent.log_decision(text, text, text, text, text, text, text), consent.recheck(bigint) TO consent_decide;
GRANT EXECUTE ON FUNCTION consent.claim_outcomes(bigint[], text), consent.claim_outcome(bigint, text) TO consent_record;
GRANT EXECUTE ON FUNCTION consent.prune_decisions() TO consent_batch;

-- Asking as of then, and a campaign decided once more from its log.

CREATE FUNCTION consent.can_send_as_of(
    contact text, message_kind text, product_category text, at timestamptz, known_at timestamptz DEFAULT 'infinity',
    channel text DEFAULT NULL, sender text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((consent._explain_send_as_of(contact, message_kind, product_category, at, known_at, channel, sender)->>'allowed')::boolean, false);
END
$$;
COMMENT ON FUNCTION consent.can_send_as_of(text, text, text, timestamptz, timestamptz, text, text)
    IS 'can_send as it was, or should have been: with the facts that had happened by `at`, as far as recorded by `known_at`, under the law in force at `at`. Never NULL; explain_send_as_of has the grounds and how exact they are.';

-- What an answer depends on that is not of the facts, and has changed since.
CREATE FUNCTION consent._rules_changed_since(at timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN EXISTS (SELECT FROM consent_data.policy_override o WHERE o.made_at > at)
        OR EXISTS (SELECT FROM consent_data.policy_decision d WHERE d.decided_on >= at::date OR d.revoked_at > at);
END
$$;
COMMENT ON FUNCTION consent._rules_changed_since(timestamptz) IS 'Whether own rules or decisions on contested points were made or revoked after an instant.';

-- What turned an answer: facts that had happened by one instant and were taken down only between two others.
CREATE FUNCTION consent._recorded_between(contact text, at timestamptz, after timestamptz, until timestamptz) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN ARRAY(
        SELECT e.event_id FROM consent_data.event e WHERE e.contact_id = key AND e.at <= at AND e.recorded_at > after AND e.recorded_at <= until
        UNION
        SELECT e.event_id
          FROM consent_data.contact_address ca JOIN consent_data.address_event ae USING (address_hash) JOIN consent_data.event e USING (event_id)
         WHERE ca.contact_id = key AND e.at <= at AND e.recorded_at > after AND e.recorded_at <= until
        ORDER BY 1);
END
$$;
COMMENT ON FUNCTION consent._recorded_between(text, timestamptz, timestamptz, timestamptz)
    IS 'The events of a contact and its addresses that had happened by the first instant and were recorded between the two others.';

-- logged: the claim, if there is one, with its outcome. What was claimed and taken back went to nobody.
CREATE FUNCTION consent._replay(
    contact text, message_kind text, product_category text, channel text, sender text, sent timestamptz, is_sent boolean, is_extra boolean,
    logged jsonb)
    RETURNS TABLE (cause text, known_then boolean, known_now boolean, reason text, rule text, event_ids bigint[])
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    decided timestamptz := coalesce((logged->>'decided_at')::timestamptz, sent);
    v_then jsonb;
    v_now jsonb;
    v_claim jsonb;
    -- Noes that the facts and the law don't explain.
    of_the_moment text[] := ARRAY['frequency_cap', 'quiet_hours', 'unknown_kind', 'unknown_category', 'unknown_contact', 'switched_off',
                                  'key_missing', 'stale_source', 'dirty', 'state_overflow', 'history_needed'];
    did boolean := is_sent OR coalesce((logged->>'allowed')::boolean, false);
    told jsonb;
BEGIN
    -- Nobody can be asked about any more who was erased after the message.
    IF EXISTS (SELECT FROM consent_data.erasure x WHERE x.key_hash = consent._key_hash(contact) AND x.erased_at >= sent) THEN
        cause := 'erased';
        RETURN NEXT;
        RETURN;
    END IF;
    v_then := consent._explain_send_as_of(contact, message_kind, product_category, sent, sent, channel, sender);
    v_now := consent._explain_send_as_of(contact, message_kind, product_category, sent, 'infinity', channel, sender);
    IF v_now->>'reason' IN ('switched_off', 'key_missing') THEN
        RAISE EXCEPTION 'nothing can be decided once more: %', replace(v_now->>'reason', '_', ' ') USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Marketing is denied now whatever was known then.',
            HINT = 'Replay when consent_data.setting.marketing_off is false again and consent.key_status() names no missing file.';
    END IF;
    known_then := coalesce((v_then->>'allowed')::boolean, false);
    known_now := coalesce((v_now->>'allowed')::boolean, false);
    told := CASE WHEN known_now = did THEN v_then ELSE v_now END;
    cause := CASE
        WHEN is_sent AND NOT (logged->>'allowed')::boolean THEN 'sent_against_the_answer'
        WHEN is_sent AND logged->>'outcome' IN ('released', 'failed') THEN 'sent_after_release'
        WHEN is_sent AND is_extra THEN 'sent_twice'
        WHEN is_sent AND logged IS NULL AND NOT known_then THEN 'sent_without_permission'
        WHEN NOT is_sent AND ((logged->>'allowed')::boolean OR logged->>'reason' = ANY (of_the_moment)) THEN NULL
        WHEN known_then = did AND known_now = did THEN NULL
        WHEN known_then = did THEN 'recorded_late'
        ELSE 'other' END;
    IF cause = 'other' THEN
        v_claim := CASE WHEN decided = sent THEN v_then
                        ELSE consent._explain_send_as_of(contact, message_kind, product_category, decided, decided, channel, sender) END;
        cause := CASE
            WHEN coalesce((v_claim->>'allowed')::boolean, false) = did THEN 'lapsed_after_claim'
            WHEN logged->>'policy_version' IS DISTINCT FROM v_claim->>'policy_version' THEN 'changed_rule'
            WHEN 'relationship_not_similar' IN (logged->>'reason', v_claim->>'reason')
                 AND ((logged->>'similarity_version')::integer IS DISTINCT FROM (SELECT s.similarity_version FROM consent_data.setting s)
                      OR EXISTS (SELECT FROM consent_data.similarity_override o WHERE o.decided_at > decided)) THEN 'changed_similarity'
            WHEN consent._rules_changed_since(decided) THEN 'changed_own_rule'
            -- The ledger only grows; the CRM's rows may be others than they were.
            WHEN EXISTS (SELECT FROM consent_data.binding) THEN 'changed_in_crm'
            ELSE 'unexplained' END;
    END IF;
    IF cause IS NULL THEN
        RETURN;
    END IF;
    reason := coalesce(told->>'reason', told->>'basis');
    rule := told->>'rule';
    event_ids := CASE cause WHEN 'recorded_late' THEN consent._recorded_between(contact, sent, sent, 'infinity')
                            WHEN 'lapsed_after_claim' THEN consent._recorded_between(contact, sent, decided, sent) END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION consent._replay(text, text, text, text, text, timestamptz, boolean, boolean, jsonb)
    IS 'Decides one message of the past once more, by what was known when it went out and by what is known now; a row where either differs from what was answered and done, with the cause. is_extra: there were fewer claims than messages. reason: the denying code, or the basis.';

CREATE FUNCTION consent._replay_claims(ids bigint[]) RETURNS TABLE (
    decision_id bigint, contact_id text, message_kind text, at timestamptz, cause text, known_then boolean, known_now boolean, reason text, rule text, event_ids bigint[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.decision_id, d.contact_id::text, d.message_kind, w.at, r.cause, r.known_then, r.known_now, r.reason, r.rule, r.event_ids
      FROM consent_data.decision d
      LEFT JOIN consent_data.outcome o USING (decision_id, decided_at)
      LEFT JOIN consent_data.sender s USING (sender_id)
      LEFT JOIN consent_data.category c USING (category_id),
           -- One that was planned went out at its hour.
           LATERAL (SELECT CASE WHEN d.allowed THEN greatest(d.decided_at, d.not_before) ELSE d.decided_at END AS at) w,
           LATERAL consent._replay(d.contact_id::text, d.message_kind, c.name, d.channel, s.name, w.at,
                                   -- A claim nobody took back was sent.
                                   coalesce(o.outcome = 'sent', d.allowed), false, to_jsonb(d)) r
     WHERE d.decision_id = ANY (ids) AND d.contact_id IS NOT NULL
     ORDER BY d.decision_id;
END
$$;
COMMENT ON FUNCTION consent._replay_claims(bigint[]) IS 'The claims among these decisions that would be decided, or should have been sent, otherwise.';

CREATE FUNCTION consent._replay_sends(
    contacts text[], kinds text[], categories text[], channels text[], senders text[], sent timestamptz[], decisions bigint[], are_extra boolean[])
    RETURNS TABLE (
    decision_id bigint, contact_id text, message_kind text, at timestamptz, cause text, known_then boolean, known_now boolean, reason text, rule text, event_ids bigint[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n.decision_id, n.contact, n.kind, n.sent, r.cause, r.known_then, r.known_now, r.reason, r.rule, r.event_ids
      FROM unnest(contacts, kinds, categories, channels, senders, sent, decisions, are_extra) WITH ORDINALITY
               n (contact, kind, category, channel, sender, sent, decision_id, is_extra, i)
      LEFT JOIN LATERAL (
           SELECT to_jsonb(d) || jsonb_build_object('outcome', o.outcome) AS logged, c.name AS category
             FROM consent_data.decision d
             LEFT JOIN consent_data.outcome o USING (decision_id, decided_at)
             LEFT JOIN consent_data.category c USING (category_id)
            WHERE d.decision_id = n.decision_id) d ON true,
           LATERAL consent._replay(n.contact, n.kind, coalesce(n.category, d.category), n.channel, n.sender, n.sent, true, n.is_extra, d.logged) r
     ORDER BY n.i;
END
$$;
COMMENT ON FUNCTION consent._replay_sends(text[], text[], text[], text[], text[], timestamptz[], bigint[], boolean[])
    IS 'The messages of a send log that nobody may have sent: on a claim that said no or was taken back, more messages than claims, no claim and no permission, or an answer that is another by now.';

GRANT EXECUTE ON FUNCTION consent.can_send_as_of(text, text, text, timestamptz, timestamptz, text, text) TO consent_decide, consent_audit;
GRANT EXECUTE ON FUNCTION
    consent._replay_claims(bigint[]), consent._replay_sends(text[], text[], text[], text[], text[], timestamptz[], bigint[], boolean[])
    TO consent_batch, consent_audit;
GRANT EXECUTE ON FUNCTION consent._key_or_null(text) TO consent_batch, consent_audit;

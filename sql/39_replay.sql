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
CREATE FUNCTION consent.can_send_as_of(
    contact bigint, message_kind text, product_category text, at timestamptz, known_at timestamptz DEFAULT 'infinity',
    channel text DEFAULT NULL, sender text DEFAULT NULL)
    RETURNS boolean LANGUAGE sql STABLE
    RETURN consent.can_send_as_of(contact::text, message_kind, product_category, at, known_at, channel, sender);
CREATE FUNCTION consent.can_send_as_of(
    contact uuid, message_kind text, product_category text, at timestamptz, known_at timestamptz DEFAULT 'infinity',
    channel text DEFAULT NULL, sender text DEFAULT NULL)
    RETURNS boolean LANGUAGE sql STABLE
    RETURN consent.can_send_as_of(contact::text, message_kind, product_category, at, known_at, channel, sender);
COMMENT ON FUNCTION consent.can_send_as_of(text, text, text, timestamptz, timestamptz, text, text)
    IS 'can_send as it was, or should have been: with the facts that had happened by `at`, as far as recorded by `known_at`, under the law in force at `at`. Never NULL; explain_send_as_of has the grounds and how exact they are.';
COMMENT ON FUNCTION consent.can_send_as_of(bigint, text, text, timestamptz, timestamptz, text, text) IS 'can_send as it was, or should have been.';
COMMENT ON FUNCTION consent.can_send_as_of(uuid, text, text, timestamptz, timestamptz, text, text) IS 'can_send as it was, or should have been.';

CREATE FUNCTION consent.explain_send_as_of(
    contact bigint, message_kind text, product_category text, at timestamptz, known_at timestamptz DEFAULT 'infinity',
    channel text DEFAULT NULL, sender text DEFAULT NULL)
    RETURNS TABLE (
    allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, freshness text, exactness text)
    LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM consent.explain_send_as_of(contact::text, message_kind, product_category, at, known_at, channel, sender) $$;
CREATE FUNCTION consent.explain_send_as_of(
    contact uuid, message_kind text, product_category text, at timestamptz, known_at timestamptz DEFAULT 'infinity',
    channel text DEFAULT NULL, sender text DEFAULT NULL)
    RETURNS TABLE (
    allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, freshness text, exactness text)
    LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM consent.explain_send_as_of(contact::text, message_kind, product_category, at, known_at, channel, sender) $$;
COMMENT ON FUNCTION consent.explain_send_as_of(bigint, text, text, timestamptz, timestamptz, text, text) IS 'The answer as it was, or should have been, with its grounds. One row, always.';
COMMENT ON FUNCTION consent.explain_send_as_of(uuid, text, text, timestamptz, timestamptz, text, text) IS 'The answer as it was, or should have been, with its grounds. One row, always.';

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

-- The facts of the ledger that somebody knows now and nobody knew then.
CREATE FUNCTION consent._recorded_late(contact text, at timestamptz, known_at timestamptz) RETURNS bigint[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN ARRAY(
        SELECT e.event_id FROM consent_data.event e WHERE e.contact_id = key AND e.at <= at AND e.recorded_at > known_at
        UNION
        SELECT e.event_id
          FROM consent_data.contact_address ca JOIN consent_data.address_event ae USING (address_hash) JOIN consent_data.event e USING (event_id)
         WHERE ca.contact_id = key AND e.at <= at AND e.recorded_at > known_at
        UNION
        SELECT e.event_id FROM consent_data.event e
         WHERE e.erased_as = consent._key_hash(contact) AND e.at <= at AND e.recorded_at > known_at
        ORDER BY 1);
END
$$;
COMMENT ON FUNCTION consent._recorded_late(text, timestamptz, timestamptz) IS 'The events of a contact and its addresses that had happened by an instant and were recorded only after another.';

-- logged: the row of the log, if there is one. A cap and an hour are of their moment and can't be asked about again; what was
-- claimed and taken back went to nobody.
CREATE FUNCTION consent._replay(
    contact text, message_kind text, product_category text, channel text, sender text, at timestamptz, known_at timestamptz, is_sent boolean,
    logged jsonb)
    RETURNS TABLE (cause text, known_then boolean, known_now boolean, reason text, rule text, event_ids bigint[])
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_then jsonb := consent._explain_send_as_of(contact, message_kind, product_category, at, known_at, channel, sender);
    v_now jsonb := consent._explain_send_as_of(contact, message_kind, product_category, at, 'infinity', channel, sender);
    did boolean := coalesce((logged->>'allowed')::boolean, is_sent);
    told jsonb;
BEGIN
    known_then := coalesce((v_then->>'allowed')::boolean, false);
    known_now := coalesce((v_now->>'allowed')::boolean, false);
    told := CASE WHEN known_now = did THEN v_then ELSE v_now END;
    cause := CASE
        WHEN is_sent AND NOT (logged->>'allowed')::boolean THEN 'sent_against_the_answer'
        WHEN is_sent AND logged IS NULL AND NOT known_then THEN 'sent_without_permission'
        WHEN NOT is_sent AND ((logged->>'allowed')::boolean OR logged->>'reason' IN ('frequency_cap', 'quiet_hours')) THEN NULL
        WHEN known_then = did AND known_now = did THEN NULL
        WHEN known_then = did THEN 'recorded_late'
        WHEN logged->>'policy_version' IS DISTINCT FROM v_then->>'policy_version' THEN 'changed_rule'
        WHEN 'relationship_not_similar' IN (logged->>'reason', v_then->>'reason')
             AND ((logged->>'similarity_version')::integer IS DISTINCT FROM (SELECT s.similarity_version FROM consent_data.setting s)
                  OR EXISTS (SELECT FROM consent_data.similarity_override o WHERE o.decided_at > known_at)) THEN 'changed_similarity'
        WHEN consent._rules_changed_since(known_at) THEN 'changed_own_rule'
        -- The ledger only grows; the CRM's rows may be others than they were.
        WHEN EXISTS (SELECT FROM consent_data.binding) THEN 'changed_in_crm'
        ELSE 'unexplained' END;
    IF cause IS NULL THEN
        RETURN;
    END IF;
    reason := coalesce(told->>'reason', told->>'basis');
    rule := told->>'rule';
    event_ids := CASE WHEN cause = 'recorded_late' THEN consent._recorded_late(contact, at, known_at) END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION consent._replay(text, text, text, text, text, timestamptz, timestamptz, boolean, jsonb)
    IS 'Decides one message of the past once more, by what was known then and by what is known now; a row where either differs from what was answered and done, with the cause. reason: the denying code, or the basis.';

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
           -- One that was planned is for the hour it was planned for.
           LATERAL (SELECT CASE WHEN d.allowed THEN greatest(d.decided_at, d.not_before) ELSE d.decided_at END AS at) w,
           LATERAL consent._replay(d.contact_id::text, d.message_kind, c.name, d.channel, s.name, w.at, d.decided_at,
                                   -- A claim nobody took back was sent.
                                   coalesce(o.outcome = 'sent', d.allowed), to_jsonb(d)) r
     WHERE d.decision_id = ANY (ids) AND d.contact_id IS NOT NULL
     ORDER BY d.decision_id;
END
$$;
COMMENT ON FUNCTION consent._replay_claims(bigint[]) IS 'The claims among these decisions that would be decided, or should have been sent, otherwise.';

-- Each send is held against the last claim of its contact for its campaign before it.
CREATE FUNCTION consent._replay_sends(campaign text, contacts text[], kinds text[], categories text[], channels text[], senders text[], sent timestamptz[])
    RETURNS TABLE (
    decision_id bigint, contact_id text, message_kind text, at timestamptz, cause text, known_then boolean, known_now boolean, reason text, rule text, event_ids bigint[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.decision_id, n.contact, n.kind, n.sent, r.cause, r.known_then, r.known_now, r.reason, r.rule, r.event_ids
      FROM unnest(contacts, kinds, categories, channels, senders, sent) WITH ORDINALITY n (contact, kind, category, channel, sender, sent, i)
      LEFT JOIN LATERAL (
           SELECT d.* FROM consent_data.decision d
            WHERE d.contact_id = consent_data.key(n.contact) AND d.message_kind = n.kind AND d.made_for = 'claim'
              AND d.campaign IS NOT DISTINCT FROM _replay_sends.campaign AND d.decided_at <= n.sent
            ORDER BY d.decided_at DESC LIMIT 1) d ON true,
           LATERAL consent._replay(n.contact, n.kind, n.category, n.channel, n.sender, n.sent, coalesce(d.decided_at, n.sent), true,
                                   CASE WHEN d.decision_id IS NOT NULL THEN to_jsonb(d) END) r
     ORDER BY n.i;
END
$$;
COMMENT ON FUNCTION consent._replay_sends(text, text[], text[], text[], text[], text[], timestamptz[])
    IS 'The messages of a send log that nobody may have sent: no claim, a claim that said no, or an answer that is another by now.';

GRANT EXECUTE ON FUNCTION
    consent.can_send_as_of(text, text, text, timestamptz, timestamptz, text, text),
    consent.can_send_as_of(bigint, text, text, timestamptz, timestamptz, text, text),
    consent.can_send_as_of(uuid, text, text, timestamptz, timestamptz, text, text),
    consent.explain_send_as_of(bigint, text, text, timestamptz, timestamptz, text, text),
    consent.explain_send_as_of(uuid, text, text, timestamptz, timestamptz, text, text)
    TO consent_decide, consent_audit;
GRANT EXECUTE ON FUNCTION
    consent._replay_claims(bigint[]), consent._replay_sends(text, text[], text[], text[], text[], text[], timestamptz[])
    TO consent_batch, consent_audit;

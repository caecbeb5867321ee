-- Access (GDPR art. 15) and legal hold (art. 17(3)(e)).

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
        'ledger', (SELECT jsonb_agg(consent._with_names(to_jsonb(e) - '{contact_id,erased_at,erased_as,entered_at,salt,commitment}'::text[])
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
        'retention_due', (SELECT jsonb_agg(consent._with_names(to_jsonb(d) - 'contact_id') ORDER BY d.sender_id)
                            FROM consent_data.retention_due d WHERE d.contact_id = key),
        'similar_categories', (SELECT jsonb_agg(consent._with_names(jsonb_build_object('sender_id', l.sender_id, 'category_id', l.category_id, 'score', l.score))
                                                || jsonb_build_object('rests_on', (SELECT c.name FROM consent_data.category c WHERE c.category_id = l.rests_on))
                                                ORDER BY l.sender_id, l.rank)
                                 FROM consent_data.contact_state s LEFT JOIN consent_data.contact_overflow o USING (contact_id),
                                      consent._similar_to(coalesce(o.state, s.state), 10) l
                                WHERE s.contact_id = key),
        'decisions', (SELECT jsonb_agg(consent._with_names(to_jsonb(d) - '{contact_id,erased_at,salt,commitment}'::text[])
                                       || jsonb_build_object('address_hash', encode(d.address_hash, 'hex'), 'outcome', o.outcome, 'outcome_noted_at', o.noted_at)
                                       ORDER BY d.decision_id)
                        FROM consent_data.decision d LEFT JOIN consent_data.outcome o USING (decision_id, decided_at) WHERE d.contact_id = key),
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
    IS 'GDPR art. 15: everything held about the person as one document: the bound rows as seen, ledger with evidence, state, addresses by hash, suppressions, logged decisions, retention, merges, holds, and the answers to consent_data.audit_question; contacts merged with it likewise. An empty section: nothing of the kind is held. Nothing of other people.';

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

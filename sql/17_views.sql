-- Views and the set functions over them. They name tables, so setup() makes them, and they belong to whoever runs it.

CREATE PROCEDURE consent._create_views(key_type text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    PERFORM consent._rebuild_crm_views();

    -- A contact whose relationships don't fit has a short state that denies, and a full one beside it. One from whom
    -- something may have been taken away since the last fold is left out until the next.
    CREATE OR REPLACE VIEW consent_data.restricted AS
    SELECT p.contact_id FROM consent_data.pending p WHERE p.restricts
    UNION ALL
    SELECT ca.contact_id FROM consent_data.pending_address p JOIN consent_data.contact_address ca USING (address_hash);
    COMMENT ON VIEW consent_data.restricted IS 'Contacts from whom something may have been taken away since the last fold.';

    CREATE OR REPLACE VIEW consent.decidable AS
    SELECT s.contact_id, s.state FROM consent_data.contact_state s
     WHERE NOT EXISTS (SELECT FROM consent_data.restricted r WHERE r.contact_id = s.contact_id)
    UNION ALL
    SELECT o.contact_id, o.state FROM consent_data.contact_overflow o
     WHERE NOT EXISTS (SELECT FROM consent_data.restricted r WHERE r.contact_id = o.contact_id);
    COMMENT ON VIEW consent.decidable IS 'Every contact with the state to decide on: WHERE state @@ (SELECT consent.question(...)).';

    EXECUTE format($ddl$
    CREATE OR REPLACE FUNCTION consent.audience(
        message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL, sender text DEFAULT NULL,
        at timestamptz DEFAULT NULL)
        RETURNS TABLE (contact_id %1$s)
        LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT d.contact_id FROM consent.decidable d
         WHERE d.state OPERATOR(consent.@@) (SELECT consent.question(message_kind, product_category, channel, sender, at));
    END$ddl$, key_type);
    COMMENT ON FUNCTION consent.audience(text, text, text, text, timestamptz)
        IS 'Everybody the message may go to; for joins. Inlined into the query and run in parallel. Raises for unknown kinds, categories, channels and senders.';

    CREATE OR REPLACE FUNCTION consent.explain_audience(
        message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL, sender text DEFAULT NULL,
        at timestamptz DEFAULT NULL)
        RETURNS TABLE (jurisdiction text, allowed boolean, basis text, reason text, contacts bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT coalesce(a.answer->>'jurisdiction', 'none'), (a.answer->>'allowed')::boolean, a.answer->>'basis', a.answer->>'reason', count(*)
          FROM (SELECT consent._decide(d.state, (SELECT consent.question(message_kind, product_category, channel, sender, at))) AS answer
                  FROM consent.decidable d
                 WHERE NOT consent._overflows(d.state)
                UNION ALL
                SELECT consent._decide(consent._dirty(), (SELECT consent.question(message_kind, product_category, channel, sender, at)))
                  FROM (SELECT r.contact_id FROM consent_data.restricted r INTERSECT SELECT s.contact_id FROM consent_data.contact_state s) n) a
         GROUP BY 1, 2, 3, 4
         ORDER BY 1, 2 DESC, 5 DESC;
    END;
    COMMENT ON FUNCTION consent.explain_audience(text, text, text, text, timestamptz)
        IS 'How many contacts a message may go to on which basis, and how many not for which reason, by jurisdiction.';

    -- What a sender must be able to show of each contact (CASL s.13; Telecom CRTC advisory of 2016-07-27).
    CREATE OR REPLACE VIEW consent.audit_contact_record AS
    SELECT c.contact_id, c.country, nullif(btrim(c.name), '') IS NOT NULL AS has_name, a.clean_addresses,
           h.kind AS subscribed_by, h.method, h.at AS subscribed_at, h.proven,
           CASE WHEN s.contact_id IS NULL THEN 'unknown' ELSE coalesce(r.kind, 'never unsubscribed') END AS unsubscribe_state,
           r.at AS unsubscribed_at,
           array_remove(ARRAY[
               CASE WHEN nullif(btrim(c.name), '') IS NULL THEN 'name' END,
               CASE WHEN a.clean_addresses IS NULL THEN 'clean address' END,
               CASE WHEN h.kind IS NULL THEN 'how subscribed' WHEN NOT h.proven THEN 'evidence' END,
               CASE WHEN s.contact_id IS NULL THEN 'unsubscribe state' END], NULL) AS lacks
      FROM consent_data.crm_contact c
      LEFT JOIN consent_data.contact_state s USING (contact_id)
      LEFT JOIN (SELECT ca.contact_id, array_agg(ca.channel_group ORDER BY ca.channel_group) AS clean_addresses
                   FROM consent_data.contact_address ca GROUP BY 1) a USING (contact_id)
      LEFT JOIN (SELECT DISTINCT ON (x.contact_id) x.contact_id, x.kind, x.method, x.at, x.proven FROM (
               SELECT e.contact_id, e.kind, e.detail->>'method' AS method, e.at,
                      jsonb_strip_nulls(e.evidence) <> '{}' IS TRUE AS proven
                 FROM consent_data.event e
               UNION ALL
               SELECT v.contact_id, v.kind, v.method, v.at, jsonb_strip_nulls(v.evidence) <> '{}' IS TRUE FROM consent_data.crm_consent v
               UNION ALL
               SELECT v.contact_id, v.kind, NULL, v.at, true FROM consent_data.crm_event v) x
            WHERE x.kind IN ('opt_in', 'purchase', 'contract_start', 'subscription_start', 'quote_request', 'enquiry',
                             'trial_start', 'free_account', 'donation', 'volunteering', 'support_expressed',
                             'membership_start', 'referral', 'address_published', 'address_disclosed')
            ORDER BY x.contact_id, x.kind = 'opt_in' DESC, x.proven DESC, x.at DESC) h USING (contact_id)
      LEFT JOIN (SELECT DISTINCT ON (x.contact_id) x.contact_id, x.kind, x.at FROM (
               SELECT e.contact_id, CASE WHEN e.refused THEN 'opt_in_refused' ELSE e.kind END AS kind, e.at
                 FROM consent_data.event e
                WHERE e.refused OR e.kind IN ('opt_out', 'objection', 'erasure_request', 'opt_in_refused')
               UNION ALL
               SELECT ca.contact_id, e.kind, e.at
                 FROM consent_data.event e
                 JOIN consent_data.address_event ae USING (event_id)
                 JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
                WHERE e.kind IN ('opt_out', 'objection', 'erasure_request')
               UNION ALL
               SELECT v.contact_id, 'opt_in_refused', v.at FROM consent_data.crm_event v
                WHERE v.refused OR v.kind = 'opt_in_refused') x
            ORDER BY x.contact_id, x.at DESC) r USING (contact_id);
    COMMENT ON VIEW consent.audit_contact_record IS 'Privacy officer: is the record there that must exist of a contact (name, clean address, how subscribed, unsubscribe state: the last refusal of any kind), and what does it lack? Whether a later opt-in lifts a refusal, explain_send says. At once for one contact (WHERE contact_id = ...), minutes for all; how many lack what, audit_data_quality says.';

    CREATE OR REPLACE VIEW consent.audit_similarity AS
    SELECT n.name AS sender, a.name AS category_a, b.name AS category_b, s.score, s.score >= t.similarity_threshold AS counts_as_similar,
           c.name AS common_ancestor, s.wu_palmer, s.buyers_a, s.buyers_b, s.buyers_both, s.buyers_all, s.expected_both,
           s.npmi, s.llr, s.evidence, t.similarity_threshold AS threshold, s.version
      FROM consent_data.similarity s
      JOIN consent_data.setting t ON s.version = t.similarity_version
      JOIN consent_data.sender n USING (sender_id)
      JOIN consent_data.category a ON a.category_id = s.category_a
      JOIN consent_data.category b ON b.category_id = s.category_b
      LEFT JOIN consent_data.category c ON c.category_id = s.common_ancestor;
    COMMENT ON VIEW consent.audit_similarity IS 'Privacy officer: which categories count as similar, and why? Each score can be recomputed from its row. At once for one category; a whole catalogue of thousands lists hundreds of thousands of pairs.';

    CREATE OR REPLACE VIEW consent.audit_policy AS
    SELECT r.jurisdiction_id AS jurisdiction, r.rule, r.in_force_from, r.in_force_until, r.messages, r.channels, r.recipients,
           r.requirement, r.contested, r.citation, r.source, r.confidence, r.obligations, r.note, d.decisions
      FROM consent._rules(NULL, NULL) r
      LEFT JOIN LATERAL (SELECT jsonb_agg(to_jsonb(p) - '{policy_decision_id,revoked_at}'::text[] ORDER BY p.switch) AS decisions
                           FROM consent_data.policy_decision p
                          WHERE p.revoked_at IS NULL AND p.switch = ANY (r.switches)) d ON true
    UNION ALL
    SELECT split_part(p.switch, '.', 1), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           'no rule in force rests on this contested point',
           jsonb_build_array(to_jsonb(p) - '{policy_decision_id,revoked_at}'::text[])
      FROM consent_data.policy_decision p
     WHERE p.revoked_at IS NULL AND NOT EXISTS (SELECT FROM consent._rules(NULL, NULL) r WHERE p.switch = ANY (r.switches));
    COMMENT ON VIEW consent.audit_policy IS 'Privacy officer: which rules are in force now, of all jurisdictions, and what did we decide where the law is contested? A decision on which no rule in force rests stands at the end, without a rule.';

    CREATE OR REPLACE VIEW consent.audit_ledger AS
    SELECT e.event_id, e.contact_id, e.kind, e.at, e.recorded_at, s.name AS sender, e.channels, c.name AS category, e.detail, e.evidence, e.reason, e.recorded_by,
           e.entered_at, e.erased_at
      FROM consent_data.event e JOIN consent_data.sender s USING (sender_id) LEFT JOIN consent_data.category c USING (category_id);
    COMMENT ON VIEW consent.audit_ledger IS 'Privacy officer: what was recorded of a contact, when, by whom, on what evidence, and in which words? Each fact with names. At once for one contact (WHERE contact_id = ...) or one event; counts of all are in audit_opt_out_trend and audit_evidence_gap.';

    CREATE OR REPLACE VIEW consent.audit_policy_override AS
    SELECT o.name, coalesce(o.document->>'extends', o.document->>'id') AS pack, o.document ? 'extends' AS amends, o.enabled,
           o.made_by, o.made_at, o.reason, o.reference,
           ARRAY(SELECT f.path || ': ' || f.problem FROM consent.validate_policy(o.document) f) AS faults, o.document
      FROM consent_data.policy_override o;
    COMMENT ON VIEW consent.audit_policy_override IS 'Privacy officer: which rules of our own are in force, who made them and why? faults: why one denies all marketing of its pack instead.';

    CREATE OR REPLACE VIEW consent.audit_run AS
    SELECT r.run_id, r.step, r.started_at, r.finished_at, r.finished_at - r.started_at AS took, r.outcome, r.figures
      FROM consent_data.run r;
    COMMENT ON VIEW consent.audit_run IS 'DBA: what did the batch do, and when?';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_views(text) IS 'Makes the views and set functions over the data.';

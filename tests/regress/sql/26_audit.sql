-- What auditors see must be counted by the night, say how old it is, and hold nothing that only one row may tell; what is
-- handed to an authority must be whole.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
-- Never counted: no figures, and that is told.
SELECT counted_at, age, run_id, counted, stale FROM consent.audit_summary_age;
SELECT (SELECT count(*) FROM consent.audit_permission) AS permission, (SELECT count(*) FROM consent.audit_expiring) AS expiring,
       (SELECT count(*) FROM consent.audit_opt_out_trend) AS trend, (SELECT count(*) FROM consent.audit_data_quality) AS quality,
       (SELECT count(*) FROM consent.audit_service_share) AS service, (SELECT count(*) FROM consent.audit_retention) AS retention;
-- Two refuse: with a code and words, with words in the place of a code (as was possible once); and a third in a month of its own.
SELECT consent.record_event(1::bigint, 'opt_out', at => '2026-03-01 12:00Z', detail => '{"via": "link", "reason_code": "too_many"}', reason => 'I am Ann', recorded_at => '2026-03-01 13:00Z') > 0 AS recorded;
INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, detail, reason)
VALUES (2, 'opt_out', '2026-03-02Z', '2026-03-02Z', 1, '{"via": "letter", "reason_code": "Ben says no"}', 'I am Ben'),
       (3, 'objection', '2026-03-31 23:30Z', '2026-04-01Z', 1, '{"via": "letter"}', NULL);
INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, detail, evidence)
VALUES (4, 'opt_in', '2026-03-03Z', '2026-03-03Z', 1, '{"method": "active"}', '{}'), (5, 'opt_in', '2026-03-03Z', '2026-03-03Z', 1, '{"method": "oral"}', NULL);
SELECT month, kind, channels, sender, via, reason, events FROM consent_data.count_opt_out ORDER BY month, kind, via, reason;
SELECT kind, sender, method, kept_in, events, without_evidence, empty_evidence FROM consent_data.count_evidence ORDER BY method;
SELECT * FROM consent_data.count_quality;
-- Messages: to one who had refused, to one who had not, one that was not sent after all, and advertising.
INSERT INTO consent_data.decision (contact_id, decided_at, message_kind, channel, sender_id, campaign, message_ref, allowed, basis, rule, jurisdiction, policy_decision, policy_version, made_for, reason)
VALUES (1, date_trunc('month', now()), 'order_confirmation', 'email', 1, 'orders', 'm1', true, 'contract', 'gb.service/1', 'gb', NULL, '2026.1', 'claim', NULL),
       (4, date_trunc('month', now()), 'order_confirmation', 'email', 1, 'orders', 'm2', true, 'contract', 'gb.service/1', 'gb', NULL, '2026.1', 'claim', NULL),
       (1, date_trunc('month', now()), 'order_confirmation', 'email', 1, 'orders', 'm3', true, 'contract', 'gb.service/1', 'gb', NULL, '2026.1', 'claim', NULL),
       (4, date_trunc('month', now()), 'newsletter', 'email', 1, 'spring', 'm4', true, 'soft_opt_in', 'gb.soft_opt_in/2', 'gb', '{"switch": "gb.free_account_is_sale", "decided_by": "default"}', '2026.1', 'claim', NULL),
       (1, date_trunc('month', now()), 'newsletter', 'email', 1, 'spring', NULL, false, NULL, NULL, 'gb', NULL, '2026.1', 'question', 'opted_out');
INSERT INTO consent_data.outcome (decision_id, decided_at, outcome) SELECT decision_id, decided_at, 'released' FROM consent_data.decision WHERE message_ref = 'm3';
SELECT message_kind, nature, campaign, sender, messages, to_refused, erased_since FROM consent_data.count_service_share;
SELECT message_kind, campaign, sent, refused FROM consent_data.count_opt_out_rate ORDER BY 1, 2;
-- Who says it three times is one who refused.
BEGIN;
INSERT INTO consent_data.event (contact_id, kind, at, sender_id) SELECT 4, 'opt_out', date_trunc('month', now()) + interval '1 second', 1 FROM generate_series(1, 3);
SELECT message_kind, campaign, sent, refused FROM consent_data.count_opt_out_rate ORDER BY 1, 2;
ROLLBACK;
-- What the batch hands over takes the place of all that was there.
SELECT consent._summary_replace(7, '2026-05-01Z', jsonb_build_object(
    'opt_out', (SELECT jsonb_agg(c) FROM consent_data.count_opt_out c), 'service_share', (SELECT jsonb_agg(c) FROM consent_data.count_service_share c),
    'decision', (SELECT jsonb_agg(c) FROM consent_data.count_decision c), 'evidence', '[]'::jsonb));
SELECT run_id, counted_at FROM consent.audit_summary_age;
SELECT month, kind, via, reason, events, counted_at FROM consent.audit_opt_out_trend ORDER BY month, kind, via;
SELECT message_kind, campaign, messages, to_refused, share, counted_at FROM consent.audit_service_share;
INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, decided_on, reason, document) VALUES ('gb.free_account_is_sale', true, 'counsel', '2026-04-01', 'as advised', 'memo 3');
SELECT switch, permissive, decided_by, decided_on, document, in_force, answers, allowed, claims FROM consent.audit_decision ORDER BY decided_by;
SELECT consent._summary_replace(8, '2026-05-02Z', '{"quality": [{"contacts": 6}]}');
SELECT contacts, counted_at FROM consent.audit_data_quality;
SELECT (SELECT count(*) FROM consent.audit_opt_out_trend) AS trend, counted_at FROM consent.audit_summary_age;
-- Single decisions, by name.
SELECT contact_id, message_kind, sender, campaign, allowed, reason, outcome FROM consent.audit_decision_log WHERE campaign = 'orders' ORDER BY message_ref;
SELECT contact_id, message_kind, allowed, reason, made_for FROM consent.audit_decision_log WHERE message_ref = 'm4';
-- One contact's rows, one campaign's and one message's are found by index, in every part of the logs.
CREATE FUNCTION test.reads_all(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    SET LOCAL enable_seqscan = off;
    FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
        IF line ~ 'Seq Scan on (event|decision|outcome|address_event|contact_)' THEN RETURN NEXT substring(line FROM 'on ([a-z_]+)'); END IF;
    END LOOP;
END
$$;
SELECT v, w, array(SELECT test.reads_all(format('SELECT * FROM consent.%I WHERE %s', v, w))) AS reads_all_of
  FROM (VALUES ('audit_ledger', 'contact_id = 1'), ('audit_contact_record', 'contact_id = 1'), ('audit_decision_log', 'contact_id = 1'),
               ('audit_decision_log', $$message_ref = 'm1'$$), ('audit_decision_log', $$campaign = 'orders'$$)) q (v, w);
-- The dossier: its parts, its facts in order, and nothing that another wrote.
SELECT jsonb_object_keys(consent.dossier(1::bigint)) AS part ORDER BY 1;
SELECT f->>'kind' AS kind, f->>'at' AS at, f->>'reason' AS reason, f ? 'proof' AS has_proof_or_why_not, f->'personal_part'->>'text' LIKE '%I am Ann%' AS words_are_sealed
  FROM jsonb_array_elements(consent.dossier(1::bigint)->'contact'->'facts') f;
SELECT d->>'message_kind' AS message_kind, d->>'rule' AS rule, d->>'citation' AS citation, d->'outcome'->>'outcome' AS outcome
  FROM jsonb_array_elements(consent.dossier('1')->'contact'->'decisions') d;
SELECT l->>'rule' AS rule, l->>'requirement' AS requirement FROM jsonb_array_elements(consent.dossier('1')->'law') l;
SELECT consent.dossier('1')::text LIKE '%Ben%' AS tells_of_others;
SELECT test.fails('SELECT consent.dossier(NULL::text)') AS nobody, test.fails($$SELECT consent.dossier('one')$$) AS no_key;

-- An answer must carry what it rests on: rule, citation, end, evidence, and who decided what the law leaves open.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
-- A fixed day in the answers.
UPDATE consent_data.binding SET seen_at = '2100-01-01Z';
\set ECHO all
INSERT INTO crm.customer VALUES (6, 'FR', 'guy@example.org', NULL), (7, 'GB', 'hal@example.org', NULL);
INSERT INTO crm.sale VALUES (6, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
SELECT consent.opt_in(3::bigint, evidence => '{"form": "footer/2"}', at => '2026-02-01 12:00Z') AS opt_in, consent.record_event(7::bigint, 'basket', category => 'books', opt_out_offered => 'yes', evidence => '{"basket": 9}', at => '2026-02-02 12:00Z') AS basket,
       consent.record_event(3::bigint, 'free_account', category => 'books', sender => 'sister', opt_out_offered => 'yes', evidence => '{"account": 9}', detail => '{"funded_by_paid": true}', at => '2026-02-03 12:00Z') AS free_account,
       consent.record_event(2::bigint, 'opt_out', channels => '{any}', category => 'shoes', detail => '{"scope": "category"}', at => '2026-02-04 12:00Z', recorded_at => '2026-02-05 12:00Z') AS opt_out, consent.refold('{6}');
SET SESSION AUTHORIZATION test_decide;
\pset expanded on
SELECT * FROM consent.explain_send(1::bigint, 'newsletter', 'shoes', at => '2026-06-01Z');
SELECT * FROM consent.explain_send(2::bigint, 'newsletter', 'shoes', at => '2026-06-01Z');
SELECT * FROM consent.explain_send(3::bigint, 'newsletter', 'shoes', at => '2026-06-01Z');
SELECT * FROM consent.explain_send(6::bigint, 'newsletter', 'shoes', at => '2026-06-01Z');
SELECT * FROM consent.explain_send(1::bigint, 'order_confirmation', at => '2026-06-01Z');
SELECT * FROM consent.explain_send(99::bigint, 'newsletter', at => '2026-06-01Z');
-- The end is an end: the millisecond before it the answer is yes.
\pset expanded off
SELECT valid_until AS end, consent.can_send(6::bigint, 'newsletter', 'shoes', at => valid_until - interval '1 ms') AS before, consent.can_send(6::bigint, 'newsletter', 'shoes', at => valid_until) AS at
  FROM consent.explain_send(6::bigint, 'newsletter', 'shoes', at => '2026-06-01Z');

-- Contested points: the named default, then another decision, then its revocation.
SELECT n AS contact, sender, a.allowed, coalesce(a.basis, a.reason) AS because, a.policy_decision FROM (VALUES (7, 'shop'), (3, 'sister')) c (n, sender), LATERAL consent.explain_send(n::bigint, 'newsletter', 'books', sender => sender) a;
RESET SESSION AUTHORIZATION;
INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, decided_on, reason, document) VALUES
    ('gb.basket_is_negotiation', false, 'the privacy officer', '2026-05-01', 'no ruling yet', 'memo 7'),
    ('gb.free_account_is_sale', true, 'the privacy officer', '2026-05-02', 'Inteligo will be followed', 'memo 8');
SET SESSION AUTHORIZATION test_decide;
SELECT n AS contact, sender, a.allowed, consent.can_send(n::bigint, 'newsletter', 'books', sender => sender), coalesce(a.basis, a.reason) AS because, a.policy_decision FROM (VALUES (7, 'shop'), (3, 'sister')) c (n, sender), LATERAL consent.explain_send(n::bigint, 'newsletter', 'books', sender => sender) a;
RESET SESSION AUTHORIZATION;
UPDATE consent_data.policy_decision SET revoked_at = now();
SELECT n AS contact, sender, a.allowed, coalesce(a.basis, a.reason) AS because, a.policy_decision->>'decided_by' AS by FROM (VALUES (7, 'shop'), (3, 'sister')) c (n, sender), LATERAL consent.explain_send(n::bigint, 'newsletter', 'books', sender => sender) a;

-- The kill switch: marketing stops at once, on every path; service goes on.
CREATE VIEW test.paths AS
SELECT kind, consent.can_send(1::bigint, kind, 'shoes'), a.allowed, a.reason, EXISTS (SELECT FROM consent.audience(kind, 'shoes') WHERE contact_id = 1) AS in_audience,
       (SELECT contacts FROM consent.explain_audience(kind, 'shoes') x WHERE x.allowed AND x.jurisdiction = 'gb' ORDER BY basis DESC LIMIT 1) AS counted
  FROM unnest(ARRAY['newsletter', 'marketing', 'mixed', 'order_confirmation']) kind, LATERAL consent.explain_send(1::bigint, kind, 'shoes') a;
TABLE test.paths;
UPDATE consent_data.setting SET marketing_off = true;
TABLE test.paths;
UPDATE consent_data.setting SET marketing_off = false;
TABLE test.paths;

-- Without the key that the suppressions were hashed under, nobody knows who refused. Nothing is hashed under another one either.
BEGIN;
UPDATE consent_data.key_generation SET fingerprint = '\x00';
TABLE test.paths;
SELECT test.fails($$SELECT consent.opt_out_addresses('{a@example.org}')$$);
SELECT test.fails($$SELECT consent.opt_out(1::bigint)$$);
CALL consent.setup();
SELECT reason FROM consent.explain_send(1::bigint, 'newsletter', 'shoes');
ROLLBACK;
TABLE test.paths;
-- A newer generation without its key, beside the old one.
BEGIN;
INSERT INTO consent_data.key_generation (fingerprint) VALUES ('\x01');
SELECT reason FROM consent.explain_send(1::bigint, 'newsletter', 'shoes');
ROLLBACK;

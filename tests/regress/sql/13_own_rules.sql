-- An organisation may tighten the law and add to it. What a pack forbids no document may allow, and what can't be read denies.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
INSERT INTO crm.customer VALUES (6, 'FR', 'guy@example.org', NULL), (7, 'QQ', 'hal@example.org', NULL), (8, 'GB', 'ida@example.org', NULL);
INSERT INTO crm.sale VALUES (6, '2026-01-15 12:00Z', 'shoes'), (8, '2023-01-15 12:00Z', 'shoes');
SELECT consent.opt_in(7::bigint, evidence => '{"form": "footer/2"}', at => '2026-02-01 12:00Z') AS opt_in, consent.refold('{6,7,8}');
CREATE VIEW test.answer AS
SELECT n AS contact, kind, a.allowed, consent.can_send(n::bigint, kind, 'shoes', at => '2026-06-01Z') AS can_send, coalesce(a.basis, a.reason) AS because, a.rule, a.valid_until, a.policy_version
  FROM (VALUES (1, 'marketing'), (1, 'survey'), (1, 'order_confirmation'), (6, 'marketing'), (7, 'marketing'), (8, 'marketing')) q (n, kind),
       LATERAL consent.explain_send(n::bigint, kind, 'shoes', at => '2026-06-01Z') a;
TABLE test.answer;

-- Tightened: a window, surveys as marketing, and a ban that begins later.
INSERT INTO consent_data.policy_override (name, document, made_by, reason, reference) VALUES ('uk', '{"extends": "gb",
    "tighten": {"gb.soft_opt_in/1": {"then": {"relationship": {"window": {"years": 2}}}}, "gb.research/1": {"when": {"natures": ["review_request"]}}},
    "rules": [{"id": "gb.own_summer/1", "from": "2026-07-01", "until": "2026-09-01", "then": {"prohibited": {}}, "citation": "board decision 12", "confidence": "high"}]}',
    'J. Doe', 'we write to nobody who has not bought for two years', 'BD-12');
TABLE test.answer;
SELECT day, a.allowed, coalesce(a.basis, a.reason) AS because, a.rule, a.citation FROM unnest('{2026-06-30 22:59:59Z,2026-06-30 23:00Z,2026-09-01Z,2028-01-16Z}'::timestamptz[]) day, LATERAL consent.explain_send(1::bigint, 'marketing', 'shoes', at => day) a;
SELECT count(*) FROM consent.audience('marketing', 'shoes', at => '2026-06-01Z');

-- Every fault at once, before and when it is written.
SELECT * FROM consent.validate_policy('{"extends": "gb", "tighten": {"gb.tps/1": {"until": "2027-01-01", "then": {"register": {"grace_days": 60}}}, "gb.corporate/1": {"when": {"channels": ["email", "fax"]}}, "gb.tos/1": {}},
    "rules": [{"id": "gb.own_yes/1", "from": "2026-01-01", "then": {"consent": {}}, "citation": "wish", "confidence": "high"}]}');
SELECT test.fails($$INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('lax', '{"extends": "fr", "tighten": {"fr.retention/1": {"then": {"retention": {"after": {"years": 5}}}}, "fr.calling_hours/2": {"then": {"hours": {"saturday": [{"from": "10:00", "to": "12:00"}]}}}}}', 'why not')$$);
SELECT test.fails($$INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('none', '{}', 'x')$$);
SELECT test.fails($$INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('none', 'null', 'x')$$);
SELECT test.fails($$INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('no reason', '{"extends": "gb", "tighten": {"gb.form/1": {"then": {"form": {"postal_address": true}}}}}', ' ')$$);
SELECT test.fails($$UPDATE consent_data.policy_override SET document = jsonb_set(document, '{extends}', '"fr"')$$);
-- One rule is tightened by one document only.
SELECT test.fails($$INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('uk 2', '{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2030-01-01"}}}', 'x')$$);
INSERT INTO consent_data.policy_override (name, document, enabled, reason) VALUES ('uk 2', '{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2030-01-01"}}}', false, 'x');
SELECT test.fails($$UPDATE consent_data.policy_override SET enabled = true$$);

-- A jurisdiction that no pack has, with a contested point of its own; none that has one.
SELECT test.fails($$INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('mine', '{"id": "uk", "title": "UK", "authority": "us", "mixed_from": "substantial", "countries": [{"code": "GB", "zone": "Europe/London"}], "rules": []}', 'x')$$);
INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('nowhere', '{"id": "qq", "title": "Nowhere", "authority": "none", "mixed_from": "incidental", "countries": [{"code": "QQ", "zone": "Etc/UTC"}],
    "switches": [{"id": "qq.box", "default": false, "argument": "one may doubt it", "citation": "Act 1"}],
    "rules": [{"id": "qq.consent/1", "from": "2020-01-01", "then": {"consent": {}}, "contested": "qq.box", "citation": "Act 2", "confidence": "low"}]}', 'we sell there');
SELECT test.fails($$INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('nowhere 2', '{"id": "qr", "title": "Nowhere", "authority": "none", "mixed_from": "incidental", "countries": [{"code": "QQ", "zone": "Etc/UTC"}], "rules": []}', 'x')$$);
SELECT allowed, reason, rule, jurisdiction, policy_decision FROM consent.explain_send(7::bigint, 'marketing', 'shoes', at => '2026-06-01Z');
INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, decided_on, reason, document) VALUES ('qq.box', true, 'J. Doe', '2026-05-01', 'counsel says yes', 'memo 9');
SELECT allowed, basis, rule, jurisdiction, policy_decision FROM consent.explain_send(7::bigint, 'marketing', 'shoes', at => '2026-06-01Z');
-- A decision names who, why and where it is written, and a point that some pack has.
SELECT test.fails(format('INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, reason, document) VALUES (%L, true, %L, %L, %L)', s, by, why, doc))
  FROM (VALUES ('gb.basket', 'me', 'so', 'm1'), ('xx.any', 'me', 'so', 'm1'), ('gb.free_account_is_sale', '', 'so', 'm1'), ('gb.free_account_is_sale', 'me', ' ', 'm1'), ('gb.free_account_is_sale', 'me', 'so', '')) v (s, by, why, doc);
SELECT test.fails($$INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, reason) VALUES ('gb.free_account_is_sale', true, 'me', 'so')$$);
-- A no that rests on a strict decision shows it.
INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, decided_on, reason, document) VALUES ('fr.opt_in_invitation_in_service_mail', false, 'J. Doe', '2026-05-01', 'not in France', 'memo 10');
SELECT n, allowed, coalesce(basis, reason) AS because, policy_decision FROM unnest('{6,1}'::bigint[]) n, LATERAL consent.explain_send(n, 'opt_in_invitation', at => '2026-06-01Z');

-- What a later version does not accept any more denies marketing there, and nowhere else; it can be switched off.
ALTER TABLE consent_data.policy_override DISABLE TRIGGER check_document;
UPDATE consent_data.policy_override SET document = '{"extends": "gb", "tighten": {"gb.gone/1": {"until": "2027-01-01"}}}' WHERE name = 'uk';
ALTER TABLE consent_data.policy_override ENABLE TRIGGER check_document;
TABLE test.answer;
SET SESSION AUTHORIZATION test_audit;
SELECT name, pack, amends, enabled, reason, reference, faults FROM consent.audit_policy_override ORDER BY name;
SELECT count(*) FROM consent.validate_policy('{}');
RESET SESSION AUTHORIZATION;
UPDATE consent_data.policy_override SET enabled = false WHERE name = 'uk';
SELECT contact, kind, allowed, because, policy_version FROM test.answer;
-- Only the administrator writes, and all sessions obey from the commit on; what is undone is undone.
SET SESSION AUTHORIZATION test_audit;
SELECT test.fails('DELETE FROM consent_data.policy_override');
SET SESSION AUTHORIZATION test_decide;
SELECT test.fails('SELECT * FROM consent_data.policy_override'), test.fails($$SELECT * FROM consent.validate_policy('{}')$$);
SET SESSION AUTHORIZATION test_admin;
BEGIN;
INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('stop', '{"extends": "fr", "rules": [{"id": "fr.own_stop/1", "from": "2026-01-01", "then": {"prohibited": {}}, "citation": "board decision 13", "confidence": "high"}]}', 'stop');
SELECT allowed, reason, citation FROM consent.explain_send(6::bigint, 'marketing', 'shoes', at => '2026-06-01Z');
ROLLBACK;
SELECT allowed, basis FROM consent.explain_send(6::bigint, 'marketing', 'shoes', at => '2026-06-01Z');

-- A file of refusals loses none and lifts none; what can't be read is said row by row and never guessed.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
GRANT consent_decide TO test_record;
GRANT CREATE ON SCHEMA test TO test_record;
SELECT consent.record_event(4::bigint, 'opt_out', at => '2020-01-01Z', recorded_at => '2020-01-02Z') > 0 AS recorded;
SET SESSION AUTHORIZATION test_record;

-- Up front: a typo must not silently drop a column, and every import says where it comes from.
CREATE TABLE test.typo (adress text, reason text);
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.typo', '{"from": "Mailchimp"}')$$);
CREATE TABLE test.file (contact text, address text, country text, channel text, at text, kind text, category text, scope text, reason text, reason_code text);
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.file', '{"file": "a.csv"}')$$);
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.file', NULL)$$);
SELECT test.fails($$SELECT * FROM consent.import_suppressions(NULL, '{"from": "Mailchimp"}')$$);
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.file', '{"from": "Mailchimp", "timezone": "Europe/Atlantis"}')$$);
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.file', '{"from": "Mailchimp"}', sender => 'nobody')$$);
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.file', '{"from": "Mailchimp"}', channel => 'fax')$$);
SELECT test.fails($$SELECT * FROM consent.import_suppressions('consent_data.event', '{"from": "the ledger"}')$$);

INSERT INTO test.file (contact, address, country, channel, at, kind, category, scope, reason, reason_code) VALUES
    (' 1 ', NULL, NULL, NULL, '2024-03-01T10:00:00+01:00', NULL, NULL, NULL, 'too many', 'frequency'),
    ('1', NULL, NULL, '', '2024-03-01 09:00Z', 'opt_out', NULL, 'all', NULL, NULL),
    (NULL, '"Cat" <CAT@example.org>', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (NULL, 'cat@example.org', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (NULL, 'later@example.org', NULL, NULL, '2024-03-01', NULL, NULL, NULL, NULL, NULL),
    (NULL, '020 7946 0001', 'gb', 'sms', NULL, NULL, NULL, NULL, NULL, NULL),
    ('2', NULL, NULL, NULL, '2999-01-01Z', 'objection', NULL, NULL, NULL, NULL),
    ('4', NULL, NULL, 'any', NULL, NULL, 'shoes', NULL, NULL, NULL),
    -- Nothing of these is guessed.
    (NULL, 'cat@example.org', NULL, NULL, '03/04/2024', NULL, NULL, NULL, NULL, NULL),
    (NULL, 'cat@example.org', NULL, NULL, '2023-02-29Z', NULL, NULL, NULL, NULL, NULL),
    (NULL, 'nonsense', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (NULL, '020 7946 0001', NULL, 'sms', NULL, NULL, NULL, NULL, NULL, NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'secret', NULL),
    ('one', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('99999999999999999999', NULL, NULL, 'fax', NULL, 'purchase', 'hats', 'category', NULL, NULL),
    (NULL, 'cat@example.org', NULL, NULL, NULL, 'opt_in_refused', NULL, NULL, NULL, NULL),
    ('3', NULL, NULL, NULL, NULL, 'register_listed', NULL, NULL, NULL, NULL);
-- A date without a zone is not read in the session's.
SELECT outcome, problem FROM consent.import_suppressions('test.file', '{"from": "Mailchimp"}', dry_run => true) WHERE line = 5;
-- A dry run tells the same and does nothing.
SELECT * FROM consent.import_suppressions('test.file', '{"from": "Mailchimp", "timezone": "Europe/Paris"}', dry_run => true);
SELECT n, consent.can_send(n, 'newsletter', 'shoes') FROM unnest('{1, 2, 3}'::bigint[]) n;
SET timezone = 'Asia/Tokyo';
SET datestyle = 'SQL, DMY';
CREATE TEMPORARY TABLE first AS SELECT * FROM consent.import_suppressions('test.file', '{"from": "Mailchimp", "timezone": "Europe/Paris"}');
RESET timezone;
RESET datestyle;
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SELECT outcome, count(*) FROM first GROUP BY 1 ORDER BY 1;
-- The second time nothing is added.
SELECT f.line, s.outcome, f.event_id = s.event_id AS same_event
  FROM first f JOIN consent.import_suppressions('test.file', '{"from": "Mailchimp", "timezone": "Europe/Paris"}') s USING (line) WHERE f.outcome <> 'rejected';
RESET SESSION AUTHORIZATION;
SELECT contact_id, kind, CASE WHEN at < '2026-01-01Z' THEN at END AS at, channels, category_id, detail, address_hash IS NOT NULL AS hash, reason, recorded_by FROM consent_data.event ORDER BY detail->'provenance'->'line';
SELECT count(*) AS confirmations_owed FROM consent_data.outbox JOIN consent_data.event USING (event_id) WHERE detail ? 'provenance';
SELECT consent.refold_pending() > 0 AS drained;
INSERT INTO crm.customer VALUES (6, 'GB', 'later@example.org', NULL), (7, 'GB', 'free@example.org', NULL);
INSERT INTO crm.sale SELECT n, '2026-01-15Z', 'shoes', 'purchase', 'yes' FROM unnest('{3, 6, 7}'::bigint[]) n;
SELECT consent.refold('{3, 6, 7}') AS folded;
SELECT n, a.allowed, coalesce(a.reason, a.basis) AS because FROM unnest('{1, 2, 3, 6, 7}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes') a;
-- Lifted by the person since: the same undated row is a new refusal, the dated one is not.
SELECT consent.opt_in(3::bigint, evidence => '{"form": 1}') > 0 AS recorded, consent.opt_in(1::bigint, evidence => '{"form": 1}') > 0 AS recorded;
SELECT outcome, count(*) FROM consent.import_suppressions('test.file', '{"from": "Mailchimp", "timezone": "Europe/Paris"}') GROUP BY 1 ORDER BY 1;

-- Consents -------------------------------------------------------------------------------------------------------
SET SESSION AUTHORIZATION test_record;
CREATE TABLE test.given (contact text, at text, channels text, purposes text, method text, evidence text, expires text, double_opt_in text, confirmed_at text);
INSERT INTO test.given VALUES
    ('7', '2024-01-01Z', NULL, 'newsletter, marketing', 'active', '{"form": "footer/2"}', NULL, NULL, NULL),
    ('7', '2024-01-01Z', '{email}', '["marketing", "newsletter"]', 'active', '{"form": "footer/2"}', NULL, 'no', NULL),
    ('7', '2024-02-01Z', 'sms', NULL, NULL, NULL, 'never', 'yes', '2024-02-02Z'),
    -- An opt-in later than a refusal on record would lift it; an earlier one changes nothing.
    ('4', '2024-01-01Z', NULL, NULL, 'active', '{"form": "footer/2"}', NULL, NULL, NULL),
    ('4', '2019-01-01Z', NULL, NULL, 'active', '{"form": "footer/2"}', NULL, NULL, NULL),
    ('7', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (NULL, '2999-01-01Z', 'any', 'fun', 'whatever', '[1]', 'soon', 'perhaps', '2024-01-01');
SELECT * FROM consent.import_consents('test.given', '{"from": "Mailchimp"}', dry_run => true);
SELECT outcome, count(*) FROM consent.import_consents('test.given', '{"from": "Mailchimp"}') GROUP BY 1 ORDER BY 1;
SELECT outcome, count(*) FROM consent.import_consents('test.given', '{"from": "Mailchimp"}') GROUP BY 1 ORDER BY 1;
RESET SESSION AUTHORIZATION;
SELECT contact_id, kind, at, channels, purposes, detail - 'provenance' AS detail, evidence FROM consent_data.event WHERE kind LIKE 'opt_in%' AND detail ? 'provenance' ORDER BY event_id;
SELECT consent.refold_pending() > 0 AS drained;
SELECT n, a.allowed, coalesce(a.reason, a.basis) AS because FROM unnest('{4, 7}'::bigint[]) n, consent.explain_send(n, 'newsletter') a;

-- Export ---------------------------------------------------------------------------------------------------------
SET SESSION AUTHORIZATION test_record;
SELECT test.fails('SELECT * FROM consent.export_suppressions()');
RESET SESSION AUTHORIZATION;
-- A refusal of somebody who left the CRM stays, by hash.
DELETE FROM crm.customer WHERE id = 6;
SET SESSION AUTHORIZATION test_audit;
SELECT contact, address, address_hash IS NOT NULL AS hash, key_fingerprint IS NOT NULL AS fingerprint, channel, kind, category, scope, reason, reason_code FROM consent.export_suppressions(NULL);
SELECT contact, channels, purposes, method, at, evidence, expires, double_opt_in, confirmed_at FROM consent.export_consents() WHERE at < '2025';
RESET SESSION AUTHORIZATION;
CREATE TABLE test.suppressions AS SELECT * FROM consent.export_suppressions(NULL);
CREATE TABLE test.consents AS SELECT * FROM consent.export_consents();
SELECT outcome, count(*) FROM consent.import_suppressions('test.suppressions', '{"from": "ourselves"}') GROUP BY 1;
SELECT outcome, count(*) FROM consent.import_consents('test.consents', '{"from": "ourselves"}') GROUP BY 1;
-- A hash made with another key can't be matched with any address: not taken and forgotten.
UPDATE test.suppressions SET key_fingerprint = '00ff00ff00ff00ff', address = NULL, contact = NULL;
SELECT DISTINCT outcome, problem FROM consent.import_suppressions('test.suppressions', '{"from": "elsewhere"}') WHERE problem LIKE '%key%';

-- Whoever imports needs to be able to read the table; what is theirs by our tables' names never runs as the owner.
CREATE TABLE test.secret (contact text);
SET SESSION AUTHORIZATION test_record;
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.secret', '{"from": "x"}')$$);
CREATE TEMPORARY VIEW consent_import AS SELECT 1 AS n;
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.file', '{"from": "x"}')$$);
DROP VIEW consent_import;
CREATE TEMPORARY TABLE consent_import_fact (n integer CHECK (current_user = 'test_record'));
SELECT count(*) FROM consent.import_suppressions('test.file', '{"from": "x"}', dry_run => true);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_decide;
SELECT test.fails($$SELECT * FROM consent.import_suppressions('test.file', '{"from": "x"}')$$);
RESET SESSION AUTHORIZATION;

-- Typed columns mean what their text means, whatever the session's settings. A date without a zone stays one.
CREATE TABLE test.typed (line integer, contact bigint, at timestamptz, channels text[], evidence jsonb, double_opt_in boolean);
INSERT INTO test.typed VALUES (70, 7, '2024-01-05 12:00Z', '{sms,email}', '{"form": 1}', true), (80, 7, 'infinity', NULL, NULL, NULL);
CREATE VIEW test.naive AS SELECT line, contact, at::timestamp AS at, channels, evidence, double_opt_in FROM test.typed WHERE line = 70;
SET timezone = 'Asia/Tokyo';
SELECT * FROM consent.import_consents('test.typed', '{"from": "x"}', dry_run => true);
SELECT * FROM consent.import_consents('test.naive', '{"from": "x"}', dry_run => true);
SELECT outcome FROM consent.import_consents('test.typed', '{"from": "x"}');
RESET timezone;
SELECT contact_id, at = '2024-01-05 12:00Z' AS same, channels, detail, evidence FROM consent_data.event WHERE detail->'provenance'->>'from' = 'x';

-- A refusal by address that is not folded yet is not lifted either.
SELECT consent.record_event(NULL::bigint, 'opt_out', at => '2022-01-01Z', recorded_at => '2022-01-01Z', address => 'dan@example.org', sender => 'sister') > 0 AS recorded;
UPDATE consent_data.contact_state SET state = consent._dirty() WHERE contact_id = 4;
CREATE TABLE test.late AS SELECT '4' AS contact, at FROM unnest('{2021-01-01Z, 2023-01-01Z}'::text[]) at;
SELECT outcome, problem FROM consent.import_consents('test.late', '{"from": "x"}', sender => 'sister');

-- An opt-in that only the CRM has lifts as well: the undated row is a new refusal then, of the contact and of the address.
CREATE TABLE test.signed (contact_id bigint, kind text, at timestamptz, method text, evidence jsonb);
CREATE INDEX ON test.signed (contact_id);
CREATE VIEW test.signed_view AS SELECT * FROM test.signed;
SELECT count(*) > 0 AS bound FROM consent.bind_consents('test.signed_view');
INSERT INTO crm.customer VALUES (8, 'GB', 'eve@example.org', NULL);
CREATE TABLE test.undated AS SELECT * FROM (VALUES ('8', NULL), (NULL, 'eve@example.org')) v (contact, address);
SELECT consent.refold('{8}') AS folded;
SELECT outcome FROM consent.import_suppressions('test.undated', '{"from": "x"}');
SELECT outcome FROM consent.import_suppressions('test.undated', '{"from": "x"}');
SELECT pg_sleep(0.01);
INSERT INTO test.signed VALUES (8, 'opt_in', clock_timestamp(), 'active', '{"form": 1}');
SELECT outcome FROM consent.import_suppressions('test.undated', '{"from": "x"}');

-- After a rotation nobody can say of a hash alone under which key it was made.
SELECT consent.rotate_key();
CREATE TABLE test.rotated AS SELECT address, country, channel, address_hash, key_fingerprint FROM consent.export_suppressions(NULL) WHERE address_hash IS NOT NULL;
SELECT outcome, problem, count(*) FROM consent.import_suppressions('test.rotated', '{"from": "x"}', dry_run => true) GROUP BY 1, 2 ORDER BY 1, 2;
UPDATE test.rotated SET address = NULL, key_fingerprint = (SELECT encode(g.fingerprint, 'hex') FROM consent_data.key_generation g WHERE g.generation = 1);
SELECT DISTINCT problem FROM consent.import_suppressions('test.rotated', '{"from": "x"}', dry_run => true);
-- Under an older key, of an address that was seen since.
SELECT consent.refold('{8}') AS folded;
SELECT outcome, count(*) > 0 AS some FROM consent.import_suppressions('test.rotated', '{"from": "x"}', dry_run => true) GROUP BY 1 ORDER BY 1;
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm pg_consent.key.*';

REVOKE consent_decide FROM test_record;

-- The word on a screen must say what the person did, and not what others did.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
-- 1 and 2 bought and could refuse; 4 bought without the offer.
INSERT INTO crm.customer SELECT n, 'GB', 'c' || n || '@example.org', '020 7946 00' || n FROM generate_series(10, 25) n;
INSERT INTO crm.customer VALUES (26, 'GB', 'C25@example.org', NULL);
SELECT consent.refold(ARRAY(SELECT id::text FROM crm.customer WHERE id >= 10));
SELECT consent.opt_in(10::bigint, evidence => '{"form": 1}', at => '2026-02-01Z') > 0 AS own,
       consent.opt_in(11::bigint, evidence => '{"script": 1}', method => 'oral', expires => '2099-01-01T00:00:00Z', at => '2026-02-01Z') > 0 AS oral,
       consent.opt_in(12::bigint, evidence => '{"form": 1}', method => 'pre_ticked', at => '2026-02-01Z') > 0 AS pre_ticked,
       consent.opt_in(13::bigint, at => '2026-02-01Z') > 0 AS unproven,
       consent.opt_in(14::bigint, evidence => '{"form": 1}', double_opt_in => true, at => '2026-02-01Z') > 0 AS pending,
       consent.opt_in(15::bigint, evidence => '{"form": 1}', double_opt_in => true, at => '2026-02-01Z') > 0 AS double,
       consent.opt_in(16::bigint, evidence => '{"form": 1}', expires => '2026-03-01T00:00:00Z', at => '2026-02-01Z') > 0 AS expired,
       consent.opt_in(17::bigint, evidence => '{"form": 1}', category => 'shoes', purposes => '{newsletter}', at => '2026-02-01Z') > 0 AS narrow,
       consent.record_event(18::bigint, 'system_opt_in', at => '2026-02-01Z') > 0 AS system;
SELECT consent.confirm_opt_in(15::bigint, at => '2026-02-03Z') > 0 AS confirmed,
       consent.record_event(19::bigint, 'opt_out', at => '2026-03-01 10:00Z', channels => '{any}', reason => 'too many mails', detail => '{"scope": "all", "via": "link", "reason_code": "too_many"}') > 0 AS opt_out,
       consent.object(20::bigint, at => '2026-03-02 10:00Z') > 0 AS objection,
       consent.opt_out(21::bigint, via => 'system', at => '2026-03-03 10:00Z') > 0 AS passive,
       consent.record_event(22::bigint, 'purchase', category => 'shoes', opt_out_offered => 'yes', refused => true, evidence => '{"order": 1}', at => '2026-03-04 10:00Z') > 0 AS refused,
       consent.opt_in(23::bigint, evidence => '{"form": 1}', at => '2026-02-01Z') > 0 AS opt_in, consent.opt_out(23::bigint, category => 'shoes', at => '2026-03-05 10:00Z') > 0 AS but_shoes,
       consent.record_event(24::bigint, 'register_listed', address => '020 7946 0024', detail => '{"register": "TPS"}', channels => '{phone_live}', at => '2026-01-01Z') > 0 AS listed,
       consent.opt_out(25::bigint, reason => 'a private matter', at => '2026-03-06 10:00Z') > 0 AS of_one_holder;
SELECT count(*) FROM consent.opt_out_addresses('{c5x@example.org,"Fourteen (x) <C18@example.org>"}', via => 'reply', at => '2026-01-15Z');
SET SESSION AUTHORIZATION test_decide;
SELECT n, s.status, s.since, s.how, s.detail - 'event_id' AS detail FROM unnest('{1, 2, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 99}'::bigint[]) n, consent.subscription_status(n) s ORDER BY n;
SELECT n, s.status, s.since, s.how FROM unnest('{10, 19, 24}'::bigint[]) n, consent.subscription_status(n, 'phone_live') s ORDER BY n;
SELECT s.status FROM consent.subscription_status(10::bigint, sender => 'sister') s;
-- One row for whatever key; a typing error in what the caller chose is told.
SELECT status FROM consent.subscription_status('no key');
SELECT status FROM consent.subscription_status(NULL::text);
SELECT status FROM consent.subscription_status('00000000-0000-0000-0000-000000000001'::uuid);
SELECT test.fails($$SELECT * FROM consent.subscription_status(1::bigint, 'e-mail')$$);
SELECT test.fails($$SELECT * FROM consent.subscription_status(1::bigint, sender => 'nobody')$$);
RESET SESSION AUTHORIZATION;
-- Only a later act of the person's own changes it; a refold does not.
SELECT consent.opt_in(19::bigint, evidence => '{"form": 2}', purposes => '{newsletter}') > 0 AS again, consent.record_event(20::bigint, 'purchase', category => 'shoes', opt_out_offered => 'yes', evidence => '{"order": 2}') > 0 AS sale;
CREATE TABLE test.before AS SELECT n, s.* FROM generate_series(1, 26) n, consent.subscription_status(n::bigint) s;
SELECT n, status, since > '2026-03-02 10:00Z' AS later, how FROM test.before WHERE n IN (19, 20);
SELECT consent.refold(ARRAY(SELECT id::text FROM crm.customer)) > 0 AS refolded;
SELECT b.n, b.status, s.status FROM test.before b, consent.subscription_status(n::bigint) s WHERE (b.status, b.since, b.how) IS DISTINCT FROM (s.status, s.since, s.how);
-- A state that can't be read does not look as if there were nothing.
BEGIN;
UPDATE consent_data.contact_state SET state = consent._merge(state, consent._dirty()) WHERE contact_id = 10;
SELECT status, how FROM consent.subscription_status(10::bigint);
ROLLBACK;
-- A country in whatever spelling; what nobody can know is unknown.
SELECT c, consent.country_code(c) FROM unnest(ARRAY['gb', 'UK', 'GBR', '826', 'United Kingdom', 'Deutschland', 'Korea, Republic of', '', '0', 'ZZ', 'Korea', 'Congo', '44', NULL]) c;
INSERT INTO crm.customer VALUES (30, 'United Kingdom', 'c30@example.org', NULL), (31, 'gbr', 'c31@example.org', NULL), (32, '0', 'c32@example.org', NULL), (33, 'America', 'c33@example.org', NULL);
INSERT INTO crm.sale SELECT n, '2026-01-15Z', 'shoes', 'purchase', 'yes' FROM unnest('{30, 31, 32, 33}'::bigint[]) n;
SELECT consent.refold('{30, 31, 32, 33}');
SELECT n, a.allowed, coalesce(a.basis, a.reason) AS because, a.jurisdiction FROM unnest('{30, 31, 32, 33}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes') a;

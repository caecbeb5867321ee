-- What is recorded is checked first, and stays.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SET SESSION AUTHORIZATION test_record;
SELECT consent.opt_in(3::bigint, evidence => '{"form": "footer/2"}', at => '2026-02-01Z') AS opt_in,
       consent.opt_in(2::bigint, '{sms}', '{newsletter}', double_opt_in => true, evidence => '{"form": "app/1"}', at => '2026-02-02Z') AS pending,
       consent.confirm_opt_in(2::bigint, '{sms}', evidence => '{"link": "clicked"}', at => '2026-02-03Z') AS confirmed,
       consent.opt_out(2::bigint, 'email', 'books', via => 'reply', reason => 'not a reader', at => '2026-02-04Z') AS category,
       consent.object(4::bigint, reason => 'stop it', at => '2026-02-05Z') AS objection,
       consent.opt_out('4', sender => 'sister', at => '2026-02-06Z') AS sister,
       consent.record_event(1::bigint, 'click', at => '2026-02-07Z') AS click,
       array(SELECT consent.opt_out_addresses('{new@example.org, newer@example.org}', at => '2026-02-08Z')) AS addresses;
RESET SESSION AUTHORIZATION;
SELECT event_id, contact_id, kind, to_char(at, 'MM-DD') AS at, recorded_at >= at AS recorded_later, sender_id, channels, category_id, purposes, detail, evidence,
       address_hash IS NOT NULL AS by_address, reason, recorded_by FROM consent_data.event ORDER BY event_id;
SELECT n AS contact, channel, a.allowed, a.reason, a.basis FROM generate_series(1, 4) n, unnest(ARRAY['email', 'sms']) channel,
       LATERAL consent.explain_send(n::bigint, 'newsletter', 'shoes', channel) a ORDER BY 1, 2;

-- Refused, and nothing written by any of them.
CREATE VIEW test.written AS
SELECT (SELECT count(*) FROM consent_data.event) AS events, (SELECT count(*) FROM consent_data.outbox) AS outbox, (SELECT count(*) FROM consent_data.address) AS addresses,
       (SELECT sum(rev) FROM consent_data.contact_state) AS revisions;
CREATE TABLE test.before AS TABLE test.written;
SET SESSION AUTHORIZATION test_record;
SELECT test.fails($$SELECT consent.opt_out(1::bigint, address => 'not an address', channel => 'email')$$) AS malformed_email;
SELECT test.fails($$SELECT consent.opt_out(NULL::bigint, address => '12', channel => 'sms')$$) AS malformed_phone;
SELECT test.fails($$SELECT consent.opt_out_addresses(ARRAY['fine@example.org', 'not an address'])$$) AS one_of_two_malformed;
SELECT test.fails($$SELECT consent.opt_out(1::bigint, 'fax')$$) AS unknown_channel;
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'subscribed')$$) AS unknown_kind;
SELECT test.fails($$SELECT consent.record_event(1::bigint, NULL)$$) AS no_kind;
SELECT test.fails($$SELECT consent.opt_in(1::bigint, method => 'guessed')$$) AS unknown_method;
SELECT test.fails($$SELECT consent.opt_in(1::bigint, purposes => '{spam}')$$) AS unknown_purpose;
SELECT test.fails($$SELECT consent.opt_in(1::bigint, expires => 'soon')$$) AS malformed_expiry;
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'register_listed', detail => '{"register": "XYZ"}')$$) AS unknown_register;
SELECT test.fails($$SELECT consent.opt_out(1::bigint, via => 'pigeon')$$) AS unknown_route;
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'opt_out', detail => '{"scope": "some"}')$$) AS unknown_scope;
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'opt_out', detail => '{"scope": "category"}')$$) AS scope_without_category;
SELECT test.fails($$SELECT consent.opt_out(1::bigint, category => 'shoe')$$) AS unknown_category;
SELECT test.fails($$SELECT consent.opt_out(1::bigint, sender => 'shopp')$$) AS unknown_sender;
SELECT test.fails($$SELECT consent.opt_in(1::bigint, at => now() + interval '1 hour')$$) AS future;
SELECT test.fails($$SELECT consent.opt_out(1::bigint, at => 'infinity')$$) AS never;
SELECT test.fails($$SELECT consent.opt_out(NULL::bigint)$$) AS nobody;
SELECT test.fails($$SELECT consent.opt_in(NULL::text, address => '')$$) AS nobody_either;
SELECT test.fails($$SELECT consent.opt_out('ann')$$) AS no_key;
SELECT test.fails($$SELECT consent.opt_out('00000000-0000-0000-0000-000000000001'::uuid)$$) AS other_key;
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'click', at => '2026-01-01Z', recorded_at => '2026-01-02Z')$$) AS backdated;
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'opt_in', detail => '[]')$$) AS detail_is_no_object;
SELECT test.fails($$SELECT consent.opt_in(1::bigint, evidence => '"yes"')$$) AS evidence_is_no_object;
RESET SESSION AUTHORIZATION;
-- Dates before the calendar's begin are dates: nothing breaks, and nothing is allowed by them.
BEGIN;
SELECT consent.opt_out(1::bigint, at => '-infinity') > 0 AS recorded;
SELECT consent.can_send(1::bigint, 'newsletter', 'shoes');
SELECT test.fails($$SELECT consent.explain_send(1::bigint, 'newsletter', 'shoes')$$);
SELECT consent.opt_in(3::bigint, at => '0044-03-15Z BC', evidence => '{"form": "wax"}') > 0 AS recorded;
SELECT test.fails($$SELECT consent.explain_send(3::bigint, 'newsletter', 'shoes')$$);
ROLLBACK;
SELECT b = w AS nothing_written FROM test.before b, test.written w;

-- Administrators may say when an event was recorded, for imports; not in the future.
SET SESSION AUTHORIZATION test_admin;
SELECT consent.record_event(1::bigint, 'click', at => '2026-01-01Z', recorded_at => '2026-01-02Z') > 0 AS recorded;
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'click', at => '2026-01-01Z', recorded_at => now() + interval '1 hour')$$);
RESET SESSION AUTHORIZATION;

SET client_min_messages = warning;
-- The ledger only grows, whoever asks; so do the categories.
SELECT test.fails('UPDATE consent_data.event SET at = at');
SELECT test.fails('DELETE FROM consent_data.event');
SELECT test.fails('DELETE FROM consent_data.event WHERE false');
SELECT test.fails('TRUNCATE consent_data.event CASCADE');
SELECT test.fails('DELETE FROM consent_data.category');
SELECT test.fails('TRUNCATE consent_data.category CASCADE');
SET SESSION AUTHORIZATION test_record;
SELECT test.fails('DELETE FROM consent_data.event');
SELECT test.fails('INSERT INTO consent_data.event (contact_id, kind, at, sender_id) VALUES (1, ''opt_in'', now(), 1)');

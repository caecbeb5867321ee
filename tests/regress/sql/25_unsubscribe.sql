-- Tokens, headers, preferences, evidence: whoever wants out gets out, and what was agreed to can be shown.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
CREATE FUNCTION test.may(contact bigint) RETURNS TABLE (shoes boolean, boots boolean, books boolean, anything boolean) LANGUAGE sql SECURITY DEFINER AS $$
    SELECT consent.can_send(contact, 'newsletter', 'shoes'), consent.can_send(contact, 'newsletter', 'boots'),
           consent.can_send(contact, 'newsletter', 'books'), consent.can_send(contact, 'newsletter') $$;
SELECT count(consent.opt_in(n, evidence => '{"form": 1}', at => '2026-02-01Z')) AS recorded FROM unnest('{1, 2, 3, 4}'::bigint[]) n \gset ignored_
\set ECHO all

-- Without a page there is no header; what could end one is no page.
SELECT test.fails($$SELECT consent.list_unsubscribe_headers(1::bigint)$$);
UPDATE consent_data.sender SET unsubscribe_url = 'https://shop.example/u/{token}', unsubscribe_mailto = 'mailto:leave@shop.example?subject={token}' WHERE name = 'shop';
SELECT test.fails($$UPDATE consent_data.sender SET unsubscribe_url = E'https://shop.example/{token}\r\nBcc: x@example.org' WHERE name = 'shop'$$) ~ '^23514' AS refused;
SELECT key, replace(value, consent.unsubscribe_token(1::bigint), '<token>') AS value FROM jsonb_each_text(consent.list_unsubscribe_headers(1::bigint));
SELECT test.fails($$SELECT consent.list_unsubscribe_headers(1::bigint, channel => 'sms')$$);
SELECT test.fails($$SELECT consent.unsubscribe_token(NULL::bigint)$$), test.fails($$SELECT consent.unsubscribe_token(1::bigint, 'nobody')$$),
       test.fails($$SELECT consent.unsubscribe_token(1::bigint, channel => 'pigeon')$$), test.fails($$SELECT consent.unsubscribe_token(1::bigint, category => 'hats')$$);
-- Different for whatever it says, the same for the same.
SELECT count(DISTINCT t) AS tokens, count(*) AS of, max(length(t)) < 120 AS short
  FROM (VALUES (consent.unsubscribe_token(1::bigint)), (consent.unsubscribe_token('1')), (consent.unsubscribe_token(2::bigint)), (consent.unsubscribe_token(1::bigint, 'sister')),
               (consent.unsubscribe_token(1::bigint, channel => 'sms')), (consent.unsubscribe_token(1::bigint, channel => NULL)), (consent.unsubscribe_token(1::bigint, category => 'shoes')),
               (consent.unsubscribe_token(1::bigint, address => 'ann@example.org')), (consent.unsubscribe_token(1::bigint, address => 'other@example.org'))) v (t);

-- Looking changes nothing; a click opts out of what the link says, or of what was chosen on the page.
SELECT consent.unsubscribe_token(1::bigint) AS all_mail, consent.unsubscribe_token(2::bigint, category => 'shoes') AS shoes, consent.unsubscribe_token(3::bigint, channel => NULL) AS everything,
       consent.unsubscribe_token(NULL::bigint, address => 'dan@example.org') AS address, consent.unsubscribe_token(4::bigint) AS for_the_page \gset
SET SESSION AUTHORIZATION test_record;
BEGIN READ ONLY;
SELECT t.* FROM unnest(ARRAY[:'all_mail', :'shoes', :'everything', :'address']) WITH ORDINALITY k (token, n), LATERAL consent.read_token(k.token) t ORDER BY n;
SELECT test.fails(format('SELECT * FROM consent.unsubscribe(%L)', :'all_mail'));
COMMIT;
SELECT event_id > 0 AS recorded, sender, channels, product_category FROM consent.unsubscribe(:'all_mail');
SELECT event_id > 0 AS recorded, sender, channels, product_category FROM consent.unsubscribe(:'shoes', via => 'link');
SELECT event_id > 0 AS recorded, sender, channels, product_category FROM consent.unsubscribe(:'everything');
SELECT event_id > 0 AS recorded, sender, channels, product_category FROM consent.unsubscribe(:'address');
SELECT count(DISTINCT u.event_id) AS events FROM generate_series(1, 3), LATERAL consent.unsubscribe(:'all_mail') u;
SELECT t.* FROM unnest(ARRAY[:'all_mail', :'shoes', :'everything', :'address', :'for_the_page']) WITH ORDINALITY k (token, n), LATERAL consent.read_token(k.token) t ORDER BY n;
SELECT test.fails($$SELECT * FROM consent.unsubscribe('AQFAV')$$), test.fails($$SELECT * FROM consent.read_token(NULL)$$);
RESET SESSION AUTHORIZATION;
SELECT n AS contact, m.* FROM generate_series(1, 4) n, LATERAL test.may(n) m;
SELECT contact_id, kind, channels, category_id, detail, address_hash IS NOT NULL AS by_address, (SELECT count(*) FROM consent_data.address_event ae WHERE ae.event_id = e.event_id) AS addresses
  FROM consent_data.event e WHERE kind = 'opt_out' ORDER BY event_id;
-- One category, another channel, everything; and what is not known here is read as more.
INSERT INTO crm.customer SELECT n, 'GB', 'page' || n || '@example.org', '+44 20 7946 01' || n FROM generate_series(41, 45) n;
SELECT consent.refold(ARRAY(SELECT n::text FROM generate_series(41, 45) n)) \gset ignored_
SELECT u.channels, u.product_category FROM consent.unsubscribe(consent.unsubscribe_token(41::bigint), category => 'shoes') u;
SELECT u.channels, u.product_category FROM consent.unsubscribe(consent.unsubscribe_token(42::bigint, category => 'shoes'), channel => 'sms') u;
SELECT u.channels, u.product_category FROM consent.unsubscribe(consent.unsubscribe_token(43::bigint, category => 'shoes'), everything => true) u;
SELECT u.channels, u.product_category FROM consent.unsubscribe(consent.unsubscribe_token(44::bigint, category => 'shoes'), category => 'hats', via => 'carrier pigeon') u;
SELECT u.channels, u.product_category FROM consent.unsubscribe(consent.unsubscribe_token(45::bigint, channel => 'sms'), everything => true) u;
SELECT e.contact_id, array_agg(a.channel_group ORDER BY a.channel_group) AS bound, e.detail FROM consent_data.event e JOIN consent_data.address_event ae USING (event_id) JOIN consent_data.address a ON a.address_hash = ae.address_hash
 WHERE e.contact_id BETWEEN 41 AND 45 GROUP BY e.event_id, e.contact_id, e.detail ORDER BY e.event_id;

-- A click long after is recorded again: an opt-in that is dated in between may be recorded later.
INSERT INTO crm.customer VALUES (46, 'GB', 'page46@example.org', NULL);
INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, entered_at, sender_id, channels, detail)
SELECT 46, 'opt_out', t, t, t, 1, '{email}', '{"scope": "all", "via": "link"}' FROM (SELECT now() - interval '10 days') x (t);
SELECT consent.refold('{46}') \gset ignored_
SELECT u.since > now() - interval '1 hour' AS said_anew FROM consent.unsubscribe(consent.unsubscribe_token(46::bigint)) u;
SELECT consent.opt_in(46::bigint, evidence => '{"form": 1}', at => now() - interval '5 days') > 0 AS recorded_late;
SELECT * FROM test.may(46);

-- A snapshot that may not show what came after is none to skip by.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(DISTINCT u.event_id) AS events FROM generate_series(1, 2) n, LATERAL consent.unsubscribe(consent.unsubscribe_token(45::bigint, channel => CASE WHEN n > 0 THEN 'sms' END)) u;
ROLLBACK;

-- Preferences: all or nothing, and what is said of a category holds against what is said above it.
INSERT INTO crm.customer VALUES (50, 'GB', 'prefs@example.org', NULL), (51, 'GB', 'also@example.org', NULL);
SELECT consent.refold('{50,51}') \gset ignored_
SET SESSION AUTHORIZATION test_record;
SELECT cardinality(consent.set_preferences(50::bigint, '{shoes,books}', '{boots}', 4, evidence => '{"form": "centre/1", "wording": 1, "page": "/choose"}')) AS events;
SELECT * FROM test.may(50);
SELECT cardinality(consent.set_preferences(50::bigint, '{shoes,books}', '{boots}', 4, evidence => '{"form": "centre/1", "wording": 1, "page": "/choose"}')) AS nothing_new;
SELECT cardinality(consent.set_preferences(50::bigint, '{boots}', '{shoes}', evidence => '{"form": "centre/1", "wording": 1, "page": "/choose"}')) AS the_other_way;
SELECT * FROM test.may(50);
-- What is not mentioned and was refused below stays refused.
SELECT cardinality(consent.set_preferences(51::bigint, NULL, '{boots}')) AS refused, cardinality(consent.set_preferences(51::bigint, '{shoes}', evidence => '{"form": 1}')) AS wanted_and_refused_again;
SELECT * FROM test.may(51);
-- What was refused, agreed to below or in the CRM, and is refused again is refused.
RESET SESSION AUTHORIZATION;
INSERT INTO crm.customer SELECT n, 'GB', 'pref' || n || '@example.org', NULL FROM generate_series(52, 56) n;
SELECT consent.refold('{52,53,54,55,56}') \gset ignored_
CREATE TABLE crm.said (contact_id bigint, kind text, at timestamptz, category text, method text, evidence jsonb);
CREATE INDEX ON crm.said (contact_id);
CREATE VIEW crm.bound_said AS SELECT * FROM crm.said;
SELECT count(*) FROM consent.bind_consents('crm.bound_said') \gset ignored_
SELECT cardinality(consent.set_preferences(52::bigint, NULL, '{shoes}')) AS refused, cardinality(consent.set_preferences(52::bigint, '{boots}', evidence => '{"form": 1}')) AS wanted_below,
       cardinality(consent.set_preferences(52::bigint, NULL, '{shoes}')) AS refused_again;
SELECT * FROM test.may(52);
SELECT cardinality(consent.set_preferences(53::bigint, NULL, '{shoes}')) AS refused;
INSERT INTO crm.said VALUES (53, 'opt_in', clock_timestamp(), NULL, 'active', '{"form": 1}');
SELECT consent.refold('{53}') \gset ignored_
SELECT cardinality(consent.set_preferences(53::bigint, NULL, '{shoes}')) AS refused_again;
SELECT * FROM test.may(53);
INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, entered_at, sender_id, channels, category_id, detail)
SELECT 54, 'opt_out', t, t, t, 1, '{email}', category_id, '{"scope": "category", "via": "link"}' FROM (SELECT now() - interval '10 days') x (t), consent_data.category WHERE name = 'boots';
SELECT consent.refold('{54}') \gset ignored_
SELECT cardinality(consent.set_preferences(54::bigint, NULL, '{boots}')) AS long_after,
       consent.opt_in(54::bigint, category => 'boots', evidence => '{"form": 1}', at => now() - interval '5 days') > 0 AS recorded_late;
SELECT * FROM test.may(54);
-- What is not understood of a refusal is more, not less.
BEGIN;
SELECT cardinality(consent.set_preferences(54::bigint, '{books}', '{shoes,hats}', evidence => '{"form": 1}')) AS events;
SELECT * FROM test.may(54);
ROLLBACK;
-- Not folded yet.
BEGIN;
INSERT INTO crm.said VALUES (56, 'opt_out', '2026-03-01Z', 'boots', NULL, NULL);
SELECT cardinality(consent.set_preferences(56::bigint, '{shoes}', evidence => '{"form": 1}')) AS events, consent.refold('{56}');
SELECT * FROM test.may(56);
ROLLBACK;
-- Refused in the CRM alone: what is wanted above does not reach it, and what is wanted itself is said anew.
INSERT INTO crm.said VALUES (55, 'opt_out', clock_timestamp(), 'boots', NULL, NULL);
SELECT consent.refold('{55}') \gset ignored_
SELECT cardinality(consent.set_preferences(55::bigint, '{shoes}', evidence => '{"form": 1}')) AS events;
SELECT * FROM test.may(55);
INSERT INTO crm.said VALUES (55, 'opt_out', clock_timestamp(), 'shoes', NULL, NULL);
SELECT consent.refold('{55}') \gset ignored_
SELECT cardinality(consent.set_preferences(55::bigint, '{shoes}', evidence => '{"form": 1}')) > 0 AS said_anew;
SELECT * FROM test.may(55);
SET SESSION AUTHORIZATION test_record;
SELECT p - 'categories' AS preferences, c->>'name' AS category, c->>'parent' AS parent, c->>'wanted' AS wanted FROM consent.preferences(50::bigint) p, jsonb_array_elements(p->'categories') c ORDER BY 2;
SELECT cardinality(consent.set_preferences(50::bigint, max_per_month => 2)) AS fewer, cardinality(consent.set_preferences(50::bigint)) AS nothing_said;
SELECT consent.preferences(50::bigint)->'max_per_month' AS now;
SELECT cardinality(consent.set_preferences(50::bigint, no_limit => true)) AS taken_back;
SELECT consent.preferences(50::bigint)->'max_per_month' AS now;
SELECT test.fails($$SELECT consent.set_preferences(50::bigint, max_per_month => 0)$$),
       test.fails($$SELECT consent.set_preferences(NULL::bigint, NULL, '{shoes}')$$), test.fails($$SELECT consent.set_preferences(50::bigint, '{books}', '{shoes}', channel => 'any')$$),
       test.fails($$SELECT consent.set_preferences(50::bigint, '{books}', '{books}', evidence => '{"form": []}')$$) AS both_is_unwanted,
       test.fails($$SELECT consent.set_preferences(50::bigint, '{books}', '{boots}', evidence => '{"form": []}')$$) AS malformed;
SELECT * FROM test.may(50);
RESET SESSION AUTHORIZATION;
SELECT kind, detail, recorded_at >= at AS ok FROM consent_data.event WHERE kind = 'preference' ORDER BY event_id;

-- Confirmations owed, and by when.
SET SESSION AUTHORIZATION test_record;
SELECT count(*) > 10 AS owed, bool_and(due > refused_at) AS later, array_agg(DISTINCT law) AS laws FROM consent.outbox_due WHERE jurisdiction = 'gb';
RESET SESSION AUTHORIZATION;
SELECT * FROM consent.audit_confirmation;
SELECT consent.opt_out(2::bigint, 'sms', at => '2026-01-31 12:00Z') > 0 AS by_letter \gset ignored_
SELECT kind, sender, contact_id, jurisdiction, refused_at, due, days_over > 0 AS over, law FROM consent.audit_confirmation;
SELECT jurisdiction, sender, refusals, answered_in_time, answered_late, answer_due, answer_overdue, answer_law FROM consent.audit_opt_out_deadline WHERE month = '2026-01-01';
UPDATE consent_data.outbox SET sent_at = '2026-02-10Z' WHERE event_id = (SELECT max(event_id) FROM consent_data.event WHERE kind = 'opt_out');
SELECT count(*) AS overdue FROM consent.audit_confirmation;
SELECT refusals, answered_in_time, answered_late, answer_due, answer_overdue FROM consent.audit_opt_out_deadline WHERE month = '2026-01-01';
SELECT consent._opt_out_law('CA', '2026-05-11 12:00Z') AS ca, consent._opt_out_law('FR', '2026-05-31 12:00Z') AS fr, consent._opt_out_law('XX', '2026-05-11 12:00Z') AS unknown;

-- Evidence: what is plainly wrong is refused of an opt-in, and kept of a refusal.
SELECT test.fails($$SELECT consent.opt_in(3::bigint, evidence => '{"form": true}')$$) AS form, test.fails($$SELECT consent.confirm_opt_in(3::bigint, evidence => '{"double_opt_in_token": 7}')$$) AS token,
       test.fails($$SELECT consent.opt_in(3::bigint, evidence => '{"ip": "300.1.1.1", "other": []}')$$) AS ip;
SELECT consent.record_event(3::bigint, 'opt_out', evidence => '{"form": true}') > 0 AS refused, consent.record_event(3::bigint, 'objection', evidence => '"by letter"') > 0 AS objected,
       consent.opt_in(3::bigint, evidence => '{"anything": {"goes": 1}, "form": "x"}') > 0 AS other_keys;
SELECT kind, evidence FROM consent_data.event WHERE contact_id = 3 AND evidence IS NOT NULL ORDER BY event_id DESC LIMIT 3;
CREATE TABLE test.given (contact text, at text, evidence text);
INSERT INTO test.given VALUES ('4', '2026-01-01T00:00:00Z', '{"form": "paper/1"}'), ('4', '2026-01-02T00:00:00Z', '{"form": "paper/2", "page": 7}'), ('4', '2026-01-03T00:00:00Z', '{"form": ""}');
SELECT line, outcome, problem FROM consent.import_consents('test.given', '{"from": "paper"}', dry_run => true);
SELECT k.kind, k.method, k.evidence, g.* FROM (VALUES ('opt_in', 'active', '{"form": 1, "wording": 2, "page": "/"}'::jsonb), ('opt_in', 'active', '{"form": 1}'), ('opt_in', 'oral', '{"script": 1}'),
    ('opt_in', 'oral', '{"script": 1, "recording": "r"}'), ('opt_in', NULL, NULL), ('opt_in_confirmed', NULL, '{"double_opt_in_token": "t"}'), ('opt_out', NULL, NULL), ('purchase', NULL, '{"order": 1}')) k (kind, method, evidence),
    LATERAL consent.evidence_grade(k.kind, k.method, k.evidence) g;

-- Wordings: each once, for ever, and the officer sees which are missing.
SELECT test.fails($$SELECT consent.keep_wording(' ', 'x')$$), test.fails($$SELECT consent.keep_wording('x', 'x', language => 'English')$$);
SET SESSION AUTHORIZATION test_record;
SELECT consent.keep_wording('Ja, ich möchte Post.', 'footer', '2', 'de') AS hash, consent.keep_wording('Ja, ich möchte Post.', 'another name') AS same, consent.keep_wording('Never shown', 'draft') AS unused \gset
SELECT :'hash' = :'same' AS once, :'hash' = encode(sha256(convert_to('Ja, ich möchte Post.', 'UTF8')), 'hex') AS sha256, consent.opt_in(1::bigint, '{sms}', evidence => jsonb_build_object('wording', upper(:'hash')), at => '2026-02-03Z') > 0 AS used;
RESET SESSION AUTHORIZATION;
SELECT left(wording, 8) AS wording, name, version, language, uses, problem FROM consent.audit_wording ORDER BY problem NULLS FIRST, 1;
SELECT test.fails('UPDATE consent_data.wording SET text = ''changed''') AS changed, test.fails('DELETE FROM consent_data.wording') ~ '^42501' AS deleted, test.fails('TRUNCATE consent_data.wording') ~ '^42501' AS emptied;

-- Who may do what.
SELECT p.proname AS function, string_agg(r.role, ', ' ORDER BY r.role) FILTER (WHERE has_function_privilege('consent_' || r.role, p.oid, 'EXECUTE')) AS roles
  FROM pg_proc p, unnest('{decide,record,audit,batch,admin}'::text[]) r (role)
 WHERE p.pronamespace = 'consent'::regnamespace AND (p.proname IN ('unsubscribe', 'read_token', 'settle_unread_tokens', '_unsubscribe', '_record_bare', '_read_token', '_token_open', '_token_seal', 'keep_wording', 'evidence_grade')
       OR p.proname IN ('unsubscribe_token', 'list_unsubscribe_headers', 'set_preferences', 'preferences') AND p.proargtypes[0] = 'bigint'::regtype) GROUP BY 1 ORDER BY 1;
SELECT t.name, string_agg(r.role, ', ' ORDER BY r.role) FILTER (WHERE has_table_privilege('consent_' || r.role, t.name, 'SELECT')) AS may_read,
       string_agg(r.role, ', ' ORDER BY r.role) FILTER (WHERE has_table_privilege('consent_' || r.role, t.name, 'INSERT, UPDATE, DELETE')) AS may_write
  FROM unnest('{consent.outbox_due,consent.audit_confirmation,consent.audit_opt_out_deadline,consent.audit_wording,consent_data.wording,consent_data.unread_token}'::text[]) t (name),
       unnest('{decide,record,audit,batch,admin}'::text[]) r (role) GROUP BY 1 ORDER BY 1;

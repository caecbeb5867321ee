-- Access, erasure, merging and legal hold: a person gets what is held and nobody else's, what is erased is gone, and
-- neither an erasure nor a merge loses a refusal.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
-- Documents with what differs from run to run made equal.
CREATE FUNCTION test.steady(doc jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(jsonb_pretty(doc), '"[0-9a-f]{64}"', '"<hash>"', 'g'),
        '"(at|recorded_at|made_at|erased_at|merged_at|queued_at|as_of|horizon|since|lifted_only_after)": "202[^"]*[.][0-9][^"]*"', '"\1": "<time>"', 'g')
$$;
CREATE VIEW test.answer AS
SELECT s.contact_id, q.kind, a.allowed, coalesce(a.basis, a.reason) AS because, s.contact_id IN (SELECT contact_id FROM consent.audience(q.kind, 'shoes')) AS in_audience
  FROM (VALUES ('newsletter'), ('order_confirmation'), ('opt_out_confirmation')) q (kind),
       consent_data.contact_state s, LATERAL consent.explain_send(s.contact_id, q.kind, 'shoes') a ORDER BY 1, 2;
-- By key and by the batch the same answers.
CREATE PROCEDURE test.refold_all() LANGUAGE plpgsql AS $$ BEGIN PERFORM consent._refold_addresses(); PERFORM consent._refold_fold(); PERFORM consent._refold_apply(1, 1000); END $$;
INSERT INTO consent_data.audit_question VALUES ('newsletter', 'shoes'), ('order_confirmation', NULL);
-- 1 (Ann) shares her e-mail address with 6 (Al), who bought too.
INSERT INTO crm.customer VALUES (6, 'GB', 'Ann@Example.org', NULL);
INSERT INTO crm.sale VALUES (6, '2026-01-20 12:00Z', 'shoes', 'purchase', 'yes');
SELECT consent.refold('{6}') \gset ignored_
\set ECHO all

-- Access: everything of the person, nothing of another; by the privacy officer only.
SELECT consent.opt_in(1::bigint, '{email,sms}', evidence => '{"form": "footer/2"}', at => '2026-02-01Z') > 0 AS opted_in,
       consent.opt_out(6::bigint, 'sms', reason => 'Al is annoyed', at => '2026-02-02Z') > 0 AS other_number,
       consent.opt_out(6::bigint, 'email', category => 'books', reason => 'Al has enough books', at => '2026-02-03Z') > 0 AS shared_address,
       consent.opt_out(NULL::bigint, 'email', category => 'books', address => 'ann@example.org', reason => 'whose words?', at => '2026-02-04Z') > 0 AS by_address,
       consent.opt_out(1::bigint, 'post', reason => 'no paper', at => '2026-02-05Z') > 0 AS own;
INSERT INTO consent_data.retention_action (run_id, contact_id, sender_id, stage, rule, since, ends_at, found_at) VALUES (1, 1, 1, 'warning', 'gb.r', '2024-01-01Z', '2027-01-01Z', '2026-03-01Z'), (1, 6, 1, 'warning', 'gb.r', '2024-01-02Z', '2027-01-02Z', '2026-03-01Z');
INSERT INTO consent_data.retention_due (contact_id, sender_id, due_at) VALUES (1, 1, '2026-12-01Z'), (6, 1, '2026-12-01Z');
INSERT INTO consent_data.similarity_override (category_a, category_b, is_similar, reason)
SELECT a.category_id, b.category_id, true, 'what one reads while walking' FROM consent_data.category a, consent_data.category b WHERE (a.name, b.name) = ('shoes', 'books');
SET SESSION AUTHORIZATION test_audit;
SELECT test.steady(consent.subject_access(1::bigint) - '{state,answers}'::text[]);
RESET SESSION AUTHORIZATION;
DELETE FROM consent_data.similarity_override;
SET SESSION AUTHORIZATION test_audit;
SELECT a->'message_kind' AS kind, a->'product_category' AS category, a->'sender' AS sender, a->'allowed' AS allowed, coalesce(nullif(a->'basis', 'null'), a->'reason') AS because FROM jsonb_array_elements(consent.subject_access(1::bigint)->'answers') a;
SELECT jsonb_path_query(consent.subject_access('1'), '$.state[*].facts[*].kind') AS fact;
SELECT consent.subject_access(1::bigint)::text ~ 'Al |annoyed|whose words' AS tells_of_another;
-- Of somebody unknown every section is there, and says so.
SELECT key, value FROM jsonb_each(consent.subject_access('77') - 'made_at') WHERE key <> 'answers';
SELECT test.fails('SELECT consent.subject_access(NULL::bigint)'), test.fails('SELECT consent.subject_access(''ann'')'),
       test.fails('SELECT consent.erase(1::bigint, ''because'')');
RESET SESSION AUTHORIZATION;

-- Legal hold: what a court may want is not erased, and nobody is written to because of it.
SET SESSION AUTHORIZATION test_record;
SELECT consent.legal_hold(1::bigint, 'claim 4711') > 0 AS held, consent.legal_hold(1::bigint, 'claim 4712', sender => 'sister') > 0 AS held_by_sister;
SELECT test.fails('SELECT consent.legal_hold(1::bigint, '' '')'), test.fails('SELECT consent.legal_hold(NULL::bigint, ''claim'')'),
       test.fails('SELECT consent.legal_hold(1::bigint, ''claim'', sender => ''nobody'')'), test.fails('SELECT consent.erase(1::bigint, ''request'')');
SET SESSION AUTHORIZATION test_admin;
SELECT regexp_replace(test.fails('SELECT consent.erase(1::bigint, ''request'')'), 'since 20[0-9: .+-]*', 'since <time>', 'g') AS while_held;
SELECT consent.legal_hold(1::bigint, 'settled', false) > 0 AS released;
SELECT regexp_replace(test.fails('SELECT consent.erase(1::bigint, ''request'')'), 'since 20[0-9: .+-]*', 'since <time>', 'g') AS while_another_sender_holds;
SELECT consent.legal_hold(1::bigint, 'unclear', NULL, 'sister') > 0 AS unclear_is_held;
SELECT consent.legal_hold(1::bigint, 'settled', false, 'sister') > 0 AS released;
RESET SESSION AUTHORIZATION;
SELECT act, done_by, contact_id, why FROM consent.audit_subject ORDER BY at;
SELECT count(*) AS erasures, (SELECT count(*) FROM consent_data.event WHERE kind = 'erasure_request') AS requests FROM consent_data.erasure;

-- Erasure without a reason or a contact.
SELECT test.fails('SELECT consent.erase(1::bigint, ''  '')'), test.fails('SELECT consent.erase(1::bigint, NULL)'), test.fails('SELECT consent.erase(NULL::bigint, ''request'')');

-- Erased: nothing of the person stays in our tables, and those who share the address lose nothing.
CREATE TABLE test.before AS SELECT * FROM test.answer;
CREATE TABLE test.ledger AS SELECT * FROM consent_data.event;
SET SESSION AUTHORIZATION test_admin;
SELECT jsonb_pretty(consent.erase(1::bigint, 'request of 2026-03-01, ticket 17') - 'erasures') AS erased;
SELECT consent.erase(1::bigint, 'again') AS again, consent.erase('01', 'and again')->'message' AS however_spelt, consent.erase('77', 'never seen')->'message' AS never_seen;
RESET SESSION AUTHORIZATION;
SELECT erased_by, why, figures FROM consent_data.erasure;
SELECT b.contact_id, b.kind, b.allowed, b.because, a.allowed AS allowed_now, a.because AS because_now FROM test.before b JOIN test.answer a USING (contact_id, kind)
 WHERE (b.allowed, b.because, b.in_audience) IS DISTINCT FROM (a.allowed, a.because, a.in_audience);
SELECT * FROM test.answer WHERE contact_id IN (1, 6);
SELECT count(*) FILTER (WHERE contact_id = 6) AS al, count(*) FILTER (WHERE contact_id = 1) AS ann FROM (
    SELECT contact_id FROM consent_data.retention_action UNION ALL SELECT contact_id FROM consent_data.retention_due UNION ALL SELECT contact_id FROM consent_data.outbox) o;
-- Only what had to go went: of the rows that stay, nothing else has changed.
SELECT e.kind, l.contact_id AS was, e.contact_id, e.at = l.at AS at, e.channels, e.detail, e.evidence, e.reason, e.address_hash IS NOT NULL AS address, e.erased_as IS NOT NULL AS restricts, e.erased_at = date_trunc('day', now(), 'UTC') AS erased
  FROM consent_data.event e LEFT JOIN test.ledger l USING (event_id) WHERE e.erased_at IS NOT NULL OR e.contact_id = 6 OR l.contact_id IS NULL ORDER BY event_id;
SELECT e.event_id FROM consent_data.event e JOIN test.ledger l USING (event_id)
 WHERE e.erased_at IS NULL AND e IS DISTINCT FROM l
    OR (e.kind, e.at, e.recorded_at, e.sender_id, e.channels, e.category_id, e.opt_out_offered, e.refused, e.from_person, e.purposes, e.recorded_by)
       IS DISTINCT FROM (l.kind, l.at, l.recorded_at, l.sender_id, l.channels, l.category_id, l.opt_out_offered, l.refused, l.from_person, l.purposes, l.recorded_by);

-- The ledger allows that one change only, and only beside the record of an erasure: not even its owner may alter a row.
SELECT test.fails('UPDATE consent_data.event SET reason = ''x''') AS reason, test.fails('UPDATE consent_data.event SET erased_at = NULL WHERE erased_at IS NOT NULL') AS undo;
SELECT test.fails('UPDATE consent_data.event SET erased_at = date_trunc(''day'', now(), ''UTC''), erased_as = consent._key_hash(''6'') WHERE contact_id = 6') AS without_a_record;
SELECT test.fails($$WITH x AS (INSERT INTO consent_data.erasure (key_hash, why) VALUES (consent._key_hash('6'), 'x')) UPDATE consent_data.event SET erased_at = date_trunc('day', now(), 'UTC'), erased_as = consent._key_hash('6') WHERE contact_id = 6$$) AS too_early,
       test.fails('DELETE FROM consent_data.event');
BEGIN;
INSERT INTO consent_data.erasure (key_hash, why) VALUES (consent._key_hash('6'), 'x');
SELECT test.fails('UPDATE consent_data.event SET erased_at = date_trunc(''day'', now(), ''UTC''), erased_as = consent._key_hash(''6''), kind = ''click'' WHERE contact_id = 6') AS more_than_that,
       test.fails('UPDATE consent_data.event SET erased_at = date_trunc(''day'', now(), ''UTC''), erased_as = consent._key_hash(''6'') WHERE contact_id IS NULL AND erased_at IS NOT NULL') AS twice,
       test.fails('UPDATE consent_data.event SET erased_at = date_trunc(''day'', now(), ''UTC''), erased_as = consent._key_hash(''2'') WHERE contact_id = 6') AS another_contact;
ROLLBACK;

-- Deleted from the CRM and imported again: under the same key even without the address, under another with it. Old sales
-- come back with it and revive nothing.
DELETE FROM crm.customer WHERE id = 1;
DELETE FROM crm.sale WHERE customer = 1;
CALL test.refold_all();
CREATE VIEW test.held AS
SELECT (SELECT count(*) FROM consent_data.contact_state WHERE contact_id = 1) AS states, (SELECT count(*) FROM consent_data.contact_address WHERE contact_id = 1) AS addresses,
       (SELECT count(*) FROM consent_data.event WHERE contact_id = 1) AS events, (SELECT reason FROM consent.explain_send(1::bigint, 'newsletter', 'shoes'));
TABLE test.held;
SELECT consent.refold('{1}');
TABLE test.held;
INSERT INTO crm.customer VALUES (1, 'GB', NULL, NULL), (31, 'GB', 'ANN@example.org', NULL), (32, 'GB', NULL, '020 7946 0001');
INSERT INTO crm.sale SELECT c, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes' FROM unnest('{1, 31, 32}'::bigint[]) c;
BEGIN;
SELECT consent.refold('{1, 31, 32}');
SELECT * FROM test.answer WHERE contact_id IN (1, 31, 32);
SELECT channel, reason FROM unnest('{email,sms,phone_live}'::text[]) channel, LATERAL consent.explain_send(32::bigint, 'newsletter', 'shoes', channel);
ROLLBACK;
CALL test.refold_all();
SELECT * FROM test.answer WHERE contact_id IN (1, 31, 32);
SELECT channel, reason FROM unnest('{email,sms,phone_live}'::text[]) channel, LATERAL consent.explain_send(32::bigint, 'newsletter', 'shoes', channel);
-- A fact recorded of the key without a refold; of the sister too.
DELETE FROM crm.customer WHERE id = 1;
DELETE FROM crm.sale WHERE customer = 1;
CALL test.refold_all();
SELECT consent.record_event('001', 'purchase', category => 'shoes', opt_out_offered => 'yes', evidence => '{"order": 1}', at => '2026-01-15Z') > 0 AS recorded;
SELECT jsonb_path_query_array(consent.state_json(state), '$.facts[*].kind') AS facts FROM consent_data.contact_state WHERE contact_id = 1;
-- Deleted from the CRM after the erasure, a further one takes what a fold has made meanwhile.
BEGIN;
SELECT consent.erase(1::bigint, 'first here, then in the CRM')->'removed' AS removed;
TABLE test.held;
SELECT consent.erase(1::bigint, 'again')->'message' AS message;
ROLLBACK;
-- The person's own later word counts, as it would without an erasure; at the shared address another's does not.
INSERT INTO crm.customer VALUES (1, 'GB', 'new@example.org', NULL);
SELECT consent.refold('{1}');
SELECT consent.opt_in(n, evidence => '{"form": 1}') > 0 AS opted_in FROM unnest('{1, 31}'::bigint[]) n;
SELECT * FROM test.answer WHERE contact_id IN (1, 31);
CALL test.refold_all();
SELECT * FROM test.answer WHERE contact_id IN (1, 31);
-- What came since can be erased too, with the new address.
SELECT consent.erase(1::bigint, 'second request')->'removed'->'event' AS erased, consent.erase(1::bigint, 'once more')->'held' AS held;
INSERT INTO crm.customer VALUES (33, 'GB', 'new@example.org', NULL);
SELECT consent.refold('{33}');
SELECT reason FROM consent.explain_send(33::bigint, 'newsletter', 'shoes');
SELECT test.steady(consent.subject_access(1::bigint) - '{state,answers,erasures}'::text[]);

-- A refusal given with a sale stays a refusal, and the sale does not come back with it.
INSERT INTO crm.customer VALUES (40, 'GB', 'kim@example.org', NULL);
SELECT consent.record_event(40::bigint, 'purchase', category => 'shoes', opt_out_offered => 'yes', refused => true, evidence => '{"order": 2}', at => '2026-01-10Z') > 0 AS recorded;
SELECT consent.erase(40::bigint, 'request') ? 'erasures' AS erased;
SELECT jsonb_path_query_array(consent.state_json(state), '$.facts[*].kind') AS facts FROM consent_data.contact_state WHERE contact_id = 40;
CALL test.refold_all();
SELECT jsonb_path_query_array(consent.state_json(state), '$.facts[*].kind') AS facts FROM consent_data.contact_state WHERE contact_id = 40;

-- What somebody wrote who refused by address: erased with the only contact that has it.
INSERT INTO crm.customer VALUES (41, 'GB', 'lea@example.org', NULL);
SELECT consent.refold('{41}');
SELECT consent.opt_out(NULL::bigint, 'email', address => 'lea@example.org', reason => 'Lea has moved') > 0 AS recorded;
SELECT consent.erase(41::bigint, 'request')->'removed'->'event_by_address' AS by_address;
SELECT count(*) FROM consent_data.event WHERE reason ~ 'Lea';
SELECT reason FROM consent.explain_send(41::bigint, 'newsletter', 'shoes');

-- An overflowing contact leaves no second copy.
INSERT INTO consent_data.category (name) SELECT 'c' || n FROM generate_series(1, 900) n;
INSERT INTO crm.customer VALUES (50, 'GB', 'all@example.org', NULL);
INSERT INTO crm.sale SELECT 50, '2026-01-15Z'::timestamptz + make_interval(hours => n), 'c' || n, 'purchase', 'yes' FROM generate_series(1, 900) n;
SELECT consent.refold('{50}');
SELECT count(*) FROM consent_data.contact_overflow WHERE contact_id = 50;
SELECT allowed FROM consent.explain_send(50::bigint, 'newsletter', 'c1');
SELECT jsonb_array_length(consent.subject_access(50::bigint)->'state'->0->'facts') AS facts, consent.subject_access(50::bigint)->'state'->0->'overflow' AS overflow;
SELECT consent.erase(50::bigint, 'request')->'removed' AS removed;
SELECT allowed, reason, EXISTS (SELECT FROM consent.audience('newsletter', 'c1') WHERE contact_id = 50) AS in_audience FROM consent.explain_send(50::bigint, 'newsletter', 'c1');
DELETE FROM crm.sale WHERE customer = 50;
DELETE FROM crm.customer WHERE id = 50;
CALL test.refold_all();
SELECT (SELECT count(*) FROM consent_data.contact_state WHERE contact_id = 50) AS states, (SELECT count(*) FROM consent_data.contact_overflow WHERE contact_id = 50) AS overflows;

-- Merging. 60 opted in, 61 refused: before it, as a standing refusal of a sale, of a category, and is held.
INSERT INTO crm.customer SELECT n, 'GB', 'm' || n || '@example.org', NULL FROM generate_series(60, 69) n;
INSERT INTO crm.sale SELECT n, '2026-01-15Z', 'shoes', 'purchase', 'yes' FROM generate_series(60, 69) n;
SELECT consent.refold(ARRAY(SELECT generate_series(60, 69)::text));
SELECT consent.opt_out(61::bigint, 'email', at => '2026-02-01Z') > 0 AS opted_out, consent.opt_in(60::bigint, evidence => '{"form": 1}', at => '2026-03-01Z') > 0 AS opted_in_later,
       consent.record_event(61::bigint, 'purchase', category => 'books', refused => true, at => '2026-02-02Z', evidence => '{"order": 3}') > 0 AS refused,
       consent.opt_out(61::bigint, category => 'books', via => 'system', at => '2026-02-03Z') > 0 AS category, consent.opt_in(61::bigint, '{post}', evidence => '{"form": 2}', at => '2026-02-04Z') > 0 AS permission,
       consent.legal_hold(61::bigint, 'claim 1') > 0 AS held;
SELECT max(outbox_id) AS last FROM consent_data.outbox \gset
SELECT allowed FROM consent.explain_send(60::bigint, 'newsletter', 'shoes');
SET SESSION AUTHORIZATION test_record;
SELECT consent.merge_contacts(61::bigint, 60::bigint, 'duplicate') AS carried, consent.merge_contacts('61', '60') AS again;
RESET SESSION AUTHORIZATION;
SELECT allowed, reason FROM consent.explain_send(60::bigint, 'newsletter', 'shoes');
SELECT e.kind, CASE WHEN e.kind <> 'legal_hold' THEN e.at END AS at, e.recorded_at > now() - interval '1 hour' AS recorded_now, e.channels, c.name AS category, e.detail - 'merged_from' AS detail, o.kind AS origin, e.evidence, e.reason
  FROM consent_data.event e LEFT JOIN consent_data.category c USING (category_id) LEFT JOIN LATERAL (SELECT kind FROM consent_data.event x WHERE x.event_id = (e.detail->>'merged_from')::bigint) o (kind) ON true
 WHERE e.contact_id = 60 ORDER BY e.event_id;
SELECT count(*) AS confirmations FROM consent_data.outbox WHERE outbox_id > :last;
-- The address of the one that stays is bound too.
INSERT INTO crm.customer VALUES (70, 'GB', 'm60@example.org', NULL);
SELECT consent.refold('{70}');
SELECT reason FROM consent.explain_send(70::bigint, 'newsletter', 'shoes');
-- The same merged into another, by way of a third, and a refusal after the merge: an old link.
SELECT consent.merge_contacts(60::bigint, 62::bigint) AS carried, consent.merge_contacts(62::bigint, 63::bigint) AS carried_on;
SELECT n, reason FROM unnest('{62, 63}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes');
SELECT consent.merge_contacts(64::bigint, 65::bigint) AS clean, consent.merge_contacts(65::bigint, 66::bigint) AS clean;
SELECT n, allowed FROM unnest('{64, 65, 66}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes');
SELECT consent.opt_out(64::bigint, 'email') > 0 AS old_link;
SELECT n, allowed, reason FROM unnest('{64, 65, 66}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes');
SELECT count(*) AS confirmations FROM consent_data.outbox WHERE outbox_id > :last;
SELECT consent._merged_into('61') AS merged_into;
-- By the address alone, of one that was merged.
SELECT consent.merge_contacts(67::bigint, 68::bigint) AS clean, consent.opt_out(NULL::bigint, 'email', address => 'm67@example.org') > 0 AS by_address;
SELECT n, allowed, reason FROM unnest('{67, 68}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes');
-- Nothing is lifted: a clean twin into one that refused; and a hold or a listing that the other was released from.
SELECT consent.opt_out(4::bigint, 'email') > 0 AS refused, consent.merge_contacts(69::bigint, 4::bigint) AS carried;
SELECT reason FROM consent.explain_send(4::bigint, 'newsletter', 'shoes');
SELECT consent.record_event(2::bigint, 'register_listed', detail => '{"register": "TPS"}', at => '2025-01-01Z') > 0 AS listed, consent.record_event(3::bigint, 'register_listed', detail => '{"register": "TPS"}', at => '2025-01-01Z') > 0 AS listed,
       consent.record_event(3::bigint, 'register_delisted', detail => '{"register": "TPS"}', at => '2025-06-01Z', recorded_at => '2025-06-01Z') > 0 AS delisted,
       consent.legal_hold(2::bigint, 'claim 2') > 0 AS held, consent.legal_hold(3::bigint, 'claim 3') > 0 AS held;
SELECT consent.legal_hold(3::bigint, 'settled', false) > 0 AS released;
SELECT a.allowed, a.basis FROM consent.explain_send(3::bigint, 'marketing', 'shoes', 'phone_live') a;
SELECT consent.merge_contacts(2::bigint, 3::bigint) AS carried;
SELECT reason FROM consent.explain_send(3::bigint, 'marketing', 'shoes', 'phone_live');
SELECT count(*) FROM consent._holds('3');
SELECT f->>'held' >= f->>'released' AS held FROM consent_data.contact_state, jsonb_path_query(consent.state_json(state), '$.facts[*] ? (@.kind == "legal_hold")') f WHERE contact_id = 3;
-- The other way round what was settled is not taken up again.
SELECT consent.merge_contacts(3::bigint, 5::bigint) AS carried;
-- What was refused to a business that another took over.
INSERT INTO crm.customer SELECT n, 'GB', 't' || n || '@example.org' FROM generate_series(71, 72) n;
SELECT consent.refold('{71, 72}');
SELECT consent.opt_in(72::bigint, evidence => '{"form": 1}', sender => 'sister', at => '2026-01-01Z') > 0 AS opted_in, consent.opt_out(71::bigint) > 0 AS refused_to_the_shop,
       consent.record_event(71::bigint, 'business_transferred', detail => '{"to": "sister"}') > 0 AS taken_over;
SELECT n, allowed, reason FROM generate_series(71::bigint, 72) n, consent.explain_send(n, 'newsletter', sender => 'sister');
SELECT consent.merge_contacts(71::bigint, 72::bigint) AS carried;
SELECT n, allowed, reason FROM generate_series(71::bigint, 72) n, consent.explain_send(n, 'newsletter', sender => 'sister');
-- A circle, itself, nobody, what is no key.
SELECT test.fails('SELECT consent.merge_contacts(63::bigint, 61::bigint)') AS circle, test.fails('SELECT consent.merge_contacts(60::bigint, 60::bigint)') AS itself,
       test.fails('SELECT consent.merge_contacts(60::bigint, NULL::bigint)') AS nobody, test.fails('SELECT consent.merge_contacts(''60'', ''ann'')') AS no_key,
       test.fails('SELECT consent.merge_contacts(''60'', ''060'')') AS itself_otherwise_spelt;
SET SESSION AUTHORIZATION test_audit;
SELECT test.fails('SELECT consent.merge_contacts(60::bigint, 61::bigint)');
SELECT act, done_by, contact_id, into_id, why, figures IS NOT NULL AS figures FROM consent.audit_subject WHERE act NOT LIKE 'legal%' ORDER BY at, act, contact_id;
SELECT jsonb_path_query_array(consent.subject_access(60::bigint), '$.merged_contacts[*].contact') AS merged_with;
RESET SESSION AUTHORIZATION;
-- A refold of everybody keeps all of it.
CREATE TABLE test.kept AS SELECT * FROM test.answer;
CALL test.refold_all();
SELECT k.*, a.allowed AS allowed_now, a.because AS because_now FROM test.kept k LEFT JOIN test.answer a USING (contact_id, kind) WHERE (k.allowed, k.because, k.in_audience) IS DISTINCT FROM (a.allowed, a.because, a.in_audience);
-- One person, one erasure: with every record that was merged. A hold on any of them stops it.
SELECT regexp_replace(test.fails('SELECT consent.erase(63::bigint, ''request'')'), 'since 20[0-9: .+-]*', 'since <time>', 'g') AS held_by_way_of_another;
SELECT count(consent.legal_hold(n, 'settled', false)) AS released FROM generate_series(60::bigint, 63) n;
SELECT consent.erase(63::bigint, 'request')->'removed' AS removed;
SELECT count(*) FROM consent_data.event WHERE contact_id BETWEEN 60 AND 63;
SELECT n, reason FROM generate_series(60::bigint, 63) n, consent.explain_send(n, 'newsletter', 'shoes');
-- Merging a record that was erased erases nothing else, but what was refused binds.
SELECT consent.merge_contacts(63::bigint, 68::bigint) > 0 AS carried;
SELECT reason FROM consent.explain_send(68::bigint, 'newsletter', 'shoes');

-- Without the address key nobody can say who was erased: then the fold denies, and the batch stops.
UPDATE consent_data.key_generation SET fingerprint = '\x00';
SELECT test.fails('SELECT consent.erase(6::bigint, ''request'')');
SELECT consent.refold('{63}');
SELECT test.fails('SELECT consent._refold_fold()');
SELECT 63 IN (SELECT contact_id FROM consent.decidable) AS decidable, e.reason FROM consent.explain_send(63::bigint, 'order_confirmation') e;

-- The same with keys of another type, which have several spellings or none.
\set ECHO none
SET client_min_messages = warning;
CREATE PROCEDURE test.fresh(key_type text) LANGUAGE plpgsql AS $$
BEGIN
    DROP EXTENSION pg_consent CASCADE;
    DROP SCHEMA IF EXISTS consent, consent_data CASCADE;
    CREATE EXTENSION pg_consent;
    EXECUTE format('CALL consent.setup(key_type => %L)', key_type);
    EXECUTE format('CREATE FUNCTION test.k_%1$s(n integer) RETURNS %1$s LANGUAGE sql IMMUTABLE RETURN %2$s', key_type,
        CASE key_type WHEN 'uuid' THEN '(''ABCDEFAB-0000-0000-0000-00000000000'' || n)::uuid' ELSE '''res.partner:'' || n' END);
    INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
    EXECUTE format('CREATE VIEW crm.keyed_%1$s AS SELECT test.k_%1$s(id::integer) AS contact_id, country, email FROM crm.customer', key_type);
    EXECUTE format('SELECT consent.bind_contacts(''crm.keyed_%s'')', key_type);
    EXECUTE format('SELECT consent.refold(ARRAY(SELECT contact_id::text FROM crm.keyed_%s))', key_type);
    EXECUTE format('SELECT count(consent.opt_in(test.k_%s(n), evidence => ''{"form": 1}'', at => ''2026-01-01Z'')) FROM generate_series(2, 4) n', key_type);
END $$;
DELETE FROM crm.customer;
INSERT INTO crm.customer SELECT n, 'GB', 'k' || n || '@example.org' FROM generate_series(1, 4) n;
RESET client_min_messages;
\set ECHO all
SET client_min_messages = warning;
CALL test.fresh('uuid');
SELECT consent.opt_out(test.k_uuid(1), reason => 'no more') > 0 AS opted_out, consent.legal_hold(test.k_uuid(4), 'claim') > 0 AS held;
SELECT consent.merge_contacts(test.k_uuid(1), test.k_uuid(2)) AS carried;
SELECT n, allowed, reason FROM generate_series(1, 4) n, consent.explain_send(test.k_uuid(n), 'newsletter');
SELECT consent.subject_access(test.k_uuid(1))->'ledger'->0->'reason' AS reason, consent.subject_access(test.k_uuid(1))->'contact' = consent.subject_access('{ABCDEFAB000000000000000000000001}')->'contact' AS however_spelt,
       consent.subject_access(test.k_uuid(1))->'merged_contacts'->0->'contact' AS merged_with;
SELECT consent.erase('{ABCDEFAB000000000000000000000003}', 'request')->'removed'->'event' AS erased, consent.erase(test.k_uuid(3), 'again')->'held' AS again, consent.erase(test.k_uuid(1), 'request')->'erasures' AS of_the_merged;
SELECT left(test.fails('SELECT consent.erase(test.k_uuid(4), ''request'')'), 45) AS held, left(test.fails('SELECT consent.erase(''4'', ''request'')'), 45) AS no_key;
SELECT n, allowed, reason FROM generate_series(1, 4) n, consent.explain_send(test.k_uuid(n), 'newsletter');
CALL test.refold_all();
SELECT n, allowed, reason FROM generate_series(1, 4) n, consent.explain_send(test.k_uuid(n), 'newsletter');
CALL test.fresh('text');
SELECT consent.opt_out(test.k_text(1), reason => 'no more') > 0 AS opted_out, consent.legal_hold(test.k_text(4), 'claim') > 0 AS held;
SELECT consent.merge_contacts(test.k_text(1), test.k_text(2)) AS carried;
SELECT consent.subject_access(test.k_text(1))->'ledger'->0->'reason' AS reason, consent.erase(test.k_text(3), 'request')->'removed'->'event' AS erased, consent.erase(test.k_text(1), 'request')->'erasures' AS of_the_merged;
SELECT n, allowed, reason FROM generate_series(1, 4) n, consent.explain_send(test.k_text(n), 'newsletter');
CALL test.refold_all();
SELECT n, allowed, reason FROM generate_series(1, 4) n, consent.explain_send(test.k_text(n), 'newsletter');

-- Ways to a wrong yes, a lost opt-out or more rights than granted, each found once and closed.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all

-- A type in the caller's temporary schema must not run code as the owner of the configuration.
GRANT TEMPORARY ON DATABASE consent_test TO test_decide;
\c - - - -
\set fresh :folder /fresh.sql
SET client_min_messages = warning;
SET SESSION AUTHORIZATION test_decide;
CREATE FUNCTION pg_temp.spy(pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'run as %', current_user; END$$;
CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.spy(VALUE));
SELECT consent.can_send(1::bigint, 'newsletter'::pg_catalog.text, 'shoes'::pg_catalog.text);
DROP DOMAIN pg_temp.text;
RESET SESSION AUTHORIZATION;

-- An address that was added later must not inherit the purchases from before.
INSERT INTO crm.customer VALUES (31, 'GB', NULL, NULL);
INSERT INTO crm.sale VALUES (31, '2026-01-15Z', 'shoes');
SELECT consent.refold('{31}');
UPDATE crm.customer SET email = 'bought@example.org' WHERE id = 31;
SELECT consent.refold('{31}');
SELECT consent.can_send(31::bigint, 'newsletter', 'shoes');

-- A refusal that reaches nothing, and a detail of the wrong type, must not be taken in silence.
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'opt_out', channels => '{}')$$);
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'register_listed')$$);
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'opt_in', detail => '{"method": "active", "double_opt_in": "true"}')$$);
SELECT test.fails($$SELECT consent.record_event(1::bigint, 'opt_in', detail => '{"method": "active", "expires": 1767225600}')$$);

-- A list of opt-outs must be recorded whole, however few rows are fetched.
SELECT FROM consent.opt_out_addresses('{p@example.org,q@example.org,r@example.org}') LIMIT 1;
SELECT count(*) FROM consent_data.event WHERE kind = 'opt_out' AND contact_id IS NULL;

-- An opt-out from before the contact was in the CRM must bind the address it then turns out to have.
SELECT consent.opt_out(41::bigint) > 0 AS recorded;
INSERT INTO crm.customer VALUES (41, 'GB', 'shared@example.org', NULL), (42, 'GB', 'Shared@example.org', NULL);
INSERT INTO crm.sale VALUES (42, '2026-01-15Z', 'shoes');
SELECT consent.refold('{42}'), consent.refold('{41}');
SELECT reason FROM consent.explain_send(42::bigint, 'newsletter', 'shoes');

-- A no to a pair of categories must beat a yes to it, whoever said which first.
INSERT INTO consent_data.similarity_override (category_a, category_b, is_similar, reason)
SELECT a.category_id, b.category_id, true, 'same aisle' FROM consent_data.category a, consent_data.category b WHERE (a.name, b.name) = ('shoes', 'books');
SELECT consent.can_send(2::bigint, 'newsletter', 'books') AS similar;
INSERT INTO consent_data.similarity_override (category_a, category_b, is_similar, reason)
SELECT b.category_id, a.category_id, false, 'they are not' FROM consent_data.category a, consent_data.category b WHERE (a.name, b.name) = ('shoes', 'books');
SELECT consent.can_send(2::bigint, 'newsletter', 'books') AS not_similar;

-- A scored pair must not outlive what made it possible: in this statement, not after the next night.
INSERT INTO consent_data.similarity (version, sender_id, category_a, category_b, score, wu_palmer, buyers_a, buyers_b, buyers_both, buyers_all,
    expected_both, npmi, llr, evidence, threshold)
SELECT 0, 1, least(a.category_id, b.category_id), greatest(a.category_id, b.category_id), 0.9, 0.7, 20, 20, 15, 100, 4, 0.7, 30, true, 0.5
  FROM consent_data.category a, consent_data.category b WHERE (a.name, b.name) = ('shoes', 'boots');
SELECT consent.can_send(2::bigint, 'newsletter', 'boots') AS similar;
UPDATE consent_data.sender SET breadth = 'specialist' WHERE name = 'shop';
SELECT consent.can_send(2::bigint, 'newsletter', 'boots') AS to_a_specialist;
UPDATE consent_data.sender SET breadth = 'general' WHERE name = 'shop';
UPDATE consent_data.category SET sensitive = true WHERE name = 'shoes';
SELECT consent.can_send(2::bigint, 'newsletter', 'boots') AS within_a_sensitive_one;
UPDATE consent_data.category SET sensitive = false WHERE name = 'shoes';
UPDATE consent_data.category SET parent_id = (SELECT c.category_id FROM consent_data.category c WHERE c.name = 'books') WHERE name = 'boots';
SELECT consent.can_send(2::bigint, 'newsletter', 'boots') AS in_another_department;
UPDATE consent_data.category SET parent_id = (SELECT c.category_id FROM consent_data.category c WHERE c.name = 'shoes') WHERE name = 'boots';
SELECT consent.can_send(2::bigint, 'newsletter', 'boots') AS similar_again;
DELETE FROM consent_data.similarity;

-- A ban on a sector must reach what lies within.
UPDATE consent_data.category SET sector = 'energy_renovation' WHERE name = 'shoes';
INSERT INTO crm.customer VALUES (51, 'FR', 'fr@example.org', NULL);
SELECT consent.opt_in(51::bigint, evidence => '{"form": "x"}') > 0 AS opted_in;
SELECT reason FROM consent.explain_send(51::bigint, 'marketing', 'boots');
UPDATE consent_data.category SET sector = NULL WHERE name = 'shoes';

-- The confirmation of one double opt-in must not confirm another.
SELECT consent.opt_in(3::bigint, purposes => '{marketing}', double_opt_in => true, evidence => '{"form": "x"}', at => '2026-02-01Z') > 0 AS asked;
SELECT consent.opt_in(3::bigint, purposes => '{newsletter}', double_opt_in => true, evidence => '{"form": "x"}', at => '2026-03-01Z') > 0 AS asked;
SELECT consent.confirm_opt_in(3::bigint, at => '2026-03-02Z') > 0 AS confirmed;
SELECT consent.can_send(3::bigint, 'newsletter', 'shoes') AS newsletter, consent.can_send(3::bigint, 'marketing', 'shoes') AS marketing;

-- Administrators must not write into what is executed as the owner.
SET SESSION AUTHORIZATION test_admin;
SELECT test.fails($$INSERT INTO consent_data.binding (kind, view, columns) VALUES ('contacts', 'x; --', '{}')$$);
RESET SESSION AUTHORIZATION;

-- One malformed message kind must not take the others with it.
INSERT INTO consent_data.message_kind VALUES ('odd', 'marketing', 'email', '{"unsubscribe": "somehow"}');
SELECT consent.can_send(2::bigint, 'newsletter', 'shoes') AS newsletter, consent.can_send(2::bigint, 'odd', 'shoes') AS odd;

-- A row of the CRM without a date must not be passed over with the refusal in it.
ALTER TABLE crm.sale ALTER at DROP NOT NULL;
INSERT INTO crm.sale VALUES (2, NULL, 'shoes');
SELECT consent.refold('{2}');
SELECT reason FROM consent.explain_send(2::bigint, 'newsletter', 'shoes');

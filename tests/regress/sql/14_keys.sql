-- A new generation of the address key must hide nothing that was recorded under the older ones.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
-- Generations of a run before.
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm -f pg_consent.key.*';
\set ECHO all
-- 11 and 12 share an address, 13 and 14 likewise; all but 19 could be written to.
INSERT INTO crm.customer VALUES (11, 'GB', 'one@example.org', NULL), (12, 'GB', 'One@example.org', NULL), (13, 'GB', 'two@example.org', NULL),
    (14, 'GB', 'two@EXAMPLE.org', NULL), (15, 'United Kingdom', 'three@example.org', '020 7946 0015'), (16, 'GB', 'four@example.org', NULL), (17, 'GB', 'five@example.org', NULL);
INSERT INTO crm.sale SELECT n, '2026-01-15Z', 'shoes', 'purchase', 'yes' FROM unnest('{11, 12, 13, 14, 15, 17}'::bigint[]) n;
SELECT consent.refold('{11, 12, 13, 14, 15, 16, 17}');
CREATE VIEW test.answer AS
SELECT n AS contact, a.allowed, coalesce(a.basis, a.reason) AS because FROM unnest('{11, 12, 13, 14, 15, 16, 17}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes') a;
-- Before the rotation: by contact, by address of nobody yet, and a consent that names its address.
SELECT consent.opt_out(11::bigint, 'email') > 0 AS by_contact, count(*) AS by_address FROM consent.opt_out_addresses('{later@example.org}');
SELECT consent.opt_in(16::bigint, evidence => '{"form": 1}', address => '"Four" <FOUR@example.org>', at => '2026-02-01Z') > 0 AS opt_in;
TABLE test.answer;
CREATE TABLE test.since AS SELECT contact_id, channel_group, since FROM consent_data.contact_address;

-- Administrators only; the file is the server's own affair.
SET SESSION AUTHORIZATION test_record;
SELECT test.fails('SELECT consent.rotate_key()');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_admin;
BEGIN;
SELECT consent.rotate_key();
ROLLBACK;
SELECT consent.rotate_key();
SELECT generation, file, newest, problem FROM consent.key_status();
RESET SESSION AUTHORIZATION;
SELECT f AS file, s.size, (s).modification IS NOT NULL AS there FROM unnest('{pg_consent.key,pg_consent.key.2}'::text[]) f, pg_stat_file(f) s;
SELECT cardinality(consent._address_hashes('email', 'one@example.org')) AS hashes, consent.address_hash('email', 'One <ONE@example.org>') = (consent._address_hashes('email', 'one@example.org'))[1] AS newest_first,
       consent._address_hashes('email', 'one@example.org, two@example.org') AS malformed;

-- Nothing has been seen since: the answers are what they were.
TABLE test.answer;
-- The same address under another contact's id, for the first time after the rotation; so the address of nobody.
INSERT INTO crm.customer VALUES (18, 'GB', '<one@example.org>', NULL), (19, 'GB', 'later@example.org', NULL);
INSERT INTO crm.sale SELECT n, '2026-01-15Z', 'shoes', 'purchase', 'yes' FROM unnest('{18, 19}'::bigint[]) n;
SELECT consent.refold('{18, 19}');
SELECT n, a.allowed, a.reason FROM unnest('{11, 12, 18, 19}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes') a;

-- By address after the rotation: reaches those who have not been folded since.
SELECT count(*) FROM consent.opt_out_addresses('{Two@example.org}');
SELECT * FROM test.answer WHERE contact IN (13, 14);
-- By contact likewise, where the sharer was folded since and the contact was not, and the other way round.
INSERT INTO crm.customer VALUES (20, 'GB', 'five@example.org', NULL);
INSERT INTO crm.sale VALUES (20, '2026-01-15Z', 'shoes', 'purchase', 'yes');
SELECT consent.refold('{20}');
SELECT consent.can_send(17::bigint, 'newsletter', 'shoes') AS before, consent.can_send(20::bigint, 'newsletter', 'shoes') AS sharer, consent.opt_out(17::bigint) > 0 AS recorded;
SELECT n, a.allowed, a.reason FROM unnest('{17, 20}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes') a;

-- A consent that names its address, refolded: it is the same address, and the contact has it since then as before.
SELECT consent.refold('{15, 16}');
SELECT * FROM test.answer WHERE contact IN (15, 16);
SELECT count(*) AS moved FROM test.since s JOIN consent_data.contact_address c USING (contact_id, channel_group) WHERE s.since IS DISTINCT FROM c.since;
SELECT consent.opt_in(16::bigint, evidence => '{"form": 2}', address => 'four@example.org', at => '2026-03-01Z') > 0 AS opt_in;
SELECT * FROM test.answer WHERE contact = 16;

-- The whole fold, as a night does it, twice rotated; the fold by key says the same.
SELECT consent.rotate_key();
CREATE TABLE test.before AS SELECT contact_id, a.allowed, a.reason FROM consent_data.contact_state, consent.explain_send(contact_id, 'newsletter', 'shoes') a;
SELECT consent._refold_addresses() AS changed, consent._refold_fold() > 0 AS folded;
SELECT sum(added) AS added, sum(lost) AS lost FROM consent._refold_apply(1, 1000);
SELECT count(*) AS moved FROM test.since s JOIN consent_data.contact_address c USING (contact_id, channel_group) WHERE s.since IS DISTINCT FROM c.since;
SELECT count(*) AS old FROM consent_data.contact_address c JOIN crm.customer u ON u.id = c.contact_id AND c.channel_group = 'email' WHERE c.address_hash <> consent.address_hash('email', u.email);
SELECT b.* FROM test.before b, consent.explain_send(contact_id, 'newsletter', 'shoes') a WHERE (b.allowed, b.reason) IS DISTINCT FROM (a.allowed, a.reason);
CREATE TABLE test.state AS SELECT contact_id, state FROM consent_data.contact_state;
SELECT consent.refold(ARRAY(SELECT contact_id::text FROM consent_data.contact_state)) > 0 AS refolded;
SELECT s.contact_id FROM test.state s JOIN consent_data.contact_state c USING (contact_id) WHERE NOT consent._same(s.state, c.state);
DROP TABLE test.state;

-- Without any one of the files nobody knows who refused. Service goes out, nothing is hashed, nothing is rotated.
CREATE VIEW test.paths AS
SELECT kind, consent.can_send(16::bigint, kind, 'shoes'), a.reason, EXISTS (SELECT FROM consent.audience(kind, 'shoes') WHERE contact_id = 16) AS in_audience
  FROM unnest(ARRAY['newsletter', 'order_confirmation']) kind, LATERAL consent.explain_send(16::bigint, kind, 'shoes') a;
TABLE test.paths;
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; mv pg_consent.key pg_consent.away';
\c - - - -
SET client_min_messages = warning;
\pset null NULL
TABLE test.paths;
SELECT generation, file, newest, problem FROM consent.key_status();
SELECT test.fails($$SELECT consent.opt_out_addresses('{a@example.org}')$$);
SELECT test.fails($$SELECT consent.rotate_key()$$);
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; cp pg_consent.key.2 pg_consent.key';
TABLE test.paths;
SELECT generation, file, newest, problem FROM consent.key_status();
-- Folding without the key must not take anybody's addresses for unreadable ones.
SELECT test.fails($$SELECT consent._refold_addresses()$$);
SELECT consent.refold('{13, 15, 16, 17}');
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; mv pg_consent.away pg_consent.key';
SELECT count(*) FROM consent_data.contact_address WHERE since = 'infinity';
SELECT consent.refold('{13, 15, 16, 17}');
TABLE test.answer;
TABLE test.paths;
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; cp pg_consent.key.2 pg_consent.key.4';
SELECT test.fails($$SELECT consent.rotate_key()$$);
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm pg_consent.key.*';

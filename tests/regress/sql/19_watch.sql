-- No change of the CRM may slip past: what takes permission away denies inside its own transaction, whatever the way it
-- was made, and what can't be watched denies too.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
SET client_min_messages = warning;
CREATE TABLE crm.list (id bigint PRIMARY KEY, customer bigint NOT NULL, opted_out boolean, at timestamptz, double boolean);
CREATE INDEX ON crm.list (customer);
CREATE TABLE crm.blacklist (id bigint PRIMARY KEY, email text NOT NULL UNIQUE);
CREATE TABLE crm.shop_order (id bigint, customer bigint, at timestamptz, category text, refused boolean DEFAULT false, note json, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE crm.order_2025 PARTITION OF crm.shop_order FOR VALUES FROM ('2025-01-01Z') TO ('2026-01-01Z');
CREATE TABLE crm.order_2026 PARTITION OF crm.shop_order FOR VALUES FROM ('2026-01-01Z') TO ('2027-01-01Z');
CREATE INDEX ON crm.shop_order (customer);
CREATE VIEW crm.bound_list AS SELECT customer AS contact_id, CASE WHEN opted_out THEN 'opt_out' ELSE 'opt_in' END AS kind, at,
    '{newsletter,marketing}'::text[] AS purposes, 'active'::text AS method, '{"form": 1}'::jsonb AS evidence, double AS double_opt_in, 'list:' || id AS source FROM crm.list;
CREATE VIEW crm.bound_blacklist AS SELECT email AS address, 'opt_out'::text AS kind, NULL::timestamptz AS at, 'blacklist:' || id AS source FROM crm.blacklist
    UNION ALL SELECT NULL, NULL, NULL, NULL WHERE false;
CREATE VIEW crm.bound_order AS SELECT customer AS contact_id, at, category, 'yes'::text AS opt_out_offered, refused FROM crm.shop_order;
SELECT count(*) FROM consent.bind_consents('crm.bound_list') \gset ignored_
SELECT count(*) FROM consent.bind_consents('crm.bound_blacklist') \gset ignored_
SELECT count(*) FROM consent.bind_purchases('crm.bound_order') \gset ignored_
SELECT consent.watch('crm.customer', 'contacts', contact => 'r.id', columns => '{country,email,phone}') \gset ignored_
SELECT consent.watch('crm.sale', 'purchases', contact => 'r.customer') \gset ignored_
SELECT consent.watch('crm.shop_order', 'purchases', contact => 'r.customer', columns => '{customer,at,category,refused}') \gset ignored_
SELECT consent.watch('crm.list', 'consents', contact => 'r.customer') \gset ignored_
SELECT consent.watch('crm.blacklist', 'consents', address => 'r.email') \gset ignored_
CREATE FUNCTION test.whole_refold() RETURNS bigint LANGUAGE sql AS $$
    SELECT consent._refold_addresses();
    SELECT consent._refold_fold();
    SELECT * FROM consent._refold_apply(1, 1000);
    SELECT consent._refold_finish();
    SELECT count(*) FROM consent_data.pending;
$$;
CREATE VIEW test.answers AS SELECT n, consent.can_send(n::bigint, 'newsletter', 'shoes'), n IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes')) AS in_audience,
    (SELECT coalesce(e.basis, e.reason) FROM consent.explain_send(n::bigint, 'newsletter', 'shoes') e) AS because,
    (SELECT string_agg(CASE WHEN p.restricts THEN 'restricts' ELSE 'gives' END, ',') FROM consent_data.pending p WHERE p.contact_id = n) AS noted FROM generate_series(1, 4) n;
RESET client_min_messages;
\set ECHO all
SELECT test.fails($$SELECT consent.watch('crm.sale', 'sales', contact => 'r.customer')$$);
SELECT test.fails($$SELECT consent.watch('crm.sale', 'purchases')$$);
SELECT test.fails($$SELECT consent.watch('crm.sale', 'purchases', contact => 'r.buyer')$$);
SELECT test.fails($$SELECT consent.watch('crm.sale', 'purchases', contact => '''one''')$$);
SELECT test.fails($$SELECT consent.watch('crm.sale', 'purchases', contact => 'r.customer', columns => '{sum}')$$);
SELECT binding, problem, detail, denies FROM consent.check_bindings();
SELECT test.whole_refold();
SELECT binding, problem, detail, denies FROM consent.check_bindings();
TABLE test.answers;

-- A sale gives: by key at once, to audiences after the next fold. A voided one takes away at once.
INSERT INTO crm.sale VALUES (3, '2026-02-01Z', 'shoes', 'purchase', 'yes');
SELECT * FROM test.answers WHERE n = 3;
SELECT consent.refold_pending();
SELECT * FROM test.answers WHERE n = 3;
BEGIN;
UPDATE crm.sale SET kind = 'cancelled' WHERE customer = 3;
SELECT * FROM test.answers WHERE n = 3;
ROLLBACK;
SELECT * FROM test.answers WHERE n = 3;
BEGIN;
DELETE FROM crm.sale WHERE customer = 3;
SELECT * FROM test.answers WHERE n = 3;
COMMIT;
SELECT consent.refold_pending();
-- A change of nothing that matters is no change; rows that trade their contents are.
UPDATE crm.customer SET id = id;
UPDATE crm.shop_order SET note = '{}';
SELECT count(*) FROM consent_data.pending;
INSERT INTO crm.sale VALUES (3, '2026-01-15 12:00Z', 'books', 'purchase', 'yes');
SELECT consent.refold_pending();
UPDATE crm.sale SET category = CASE category WHEN 'shoes' THEN 'books' ELSE 'shoes' END WHERE customer IN (1, 3);
SELECT * FROM test.answers WHERE n IN (1, 3);
SELECT consent.refold_pending();
SELECT * FROM test.answers WHERE n IN (1, 3);
UPDATE crm.sale SET category = CASE category WHEN 'shoes' THEN 'books' ELSE 'shoes' END WHERE customer IN (1, 3);
SELECT consent.refold_pending();

-- A refusal that comes with an order denies at once, by whatever name the partition is called.
INSERT INTO crm.order_2026 VALUES (1, 2, '2026-02-01Z', 'shoes', true);
SELECT * FROM test.answers WHERE n = 2;
SELECT consent.refold_pending();
SELECT * FROM test.answers WHERE n = 2;
DELETE FROM crm.shop_order;
SELECT consent.refold_pending();
SELECT * FROM test.answers WHERE n = 2;
-- Nor does a session that calls itself a replica's pass by.
SET session_replication_role = replica;
INSERT INTO crm.shop_order VALUES (2, 2, '2025-02-01Z', 'shoes', true);
RESET session_replication_role;
SELECT * FROM test.answers WHERE n = 2;
SELECT consent.refold_pending();
TRUNCATE crm.shop_order;
SELECT * FROM test.answers;
SELECT consent.refold_pending();
TABLE test.answers;

-- Refusals in the CRM's own lists go into the ledger, and outlive the list.
INSERT INTO crm.list VALUES (1, 3, false, '2026-03-01Z'), (2, 1, true, '2026-03-01Z');
TABLE test.answers;
SELECT consent.refold_pending();
TABLE test.answers;
TRUNCATE crm.list;
SELECT consent.refold_pending();
TABLE test.answers;
SELECT contact_id, kind, at, detail FROM consent_data.event ORDER BY event_id;
-- Deny wins over any list's opt-in, and over one of the same instant. A double opt-in that is pending is none.
INSERT INTO crm.list VALUES (3, 2, false, '2026-03-01Z', false), (4, 2, true, '2026-03-01Z', false), (5, 3, false, '2026-03-01Z', true);
SELECT * FROM test.answers WHERE n IN (2, 3);
SELECT consent.refold_pending();
SELECT * FROM test.answers WHERE n IN (2, 3);

-- A blacklist knows addresses only, in its own spelling.
INSERT INTO crm.customer VALUES (6, 'GB', 'Fay <FAY@example.org>', NULL);
INSERT INTO crm.sale VALUES (6, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
SELECT consent.refold_pending();
SELECT consent.can_send(6::bigint, 'newsletter', 'shoes'), 6 IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes')) AS in_audience;
BEGIN;
INSERT INTO crm.blacklist VALUES (1, 'fay@example.org'), (2, 'gus@example.org');
SELECT consent.can_send(6::bigint, 'newsletter', 'shoes'), 6 IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes')) AS in_audience;
COMMIT;
DELETE FROM crm.blacklist;
INSERT INTO crm.customer VALUES (7, 'GB', 'gus@example.org', NULL);
INSERT INTO crm.sale VALUES (7, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
SELECT consent.can_send(7::bigint, 'newsletter', 'shoes');
SELECT consent.refold_pending();
SELECT n, e.reason FROM unnest(ARRAY[6, 7]) n, consent.explain_send(n::bigint, 'newsletter', 'shoes') e;
-- Deleted and imported anew under other keys.
DELETE FROM crm.customer WHERE id IN (6, 7);
UPDATE crm.sale SET customer = customer + 10 WHERE customer IN (6, 7);
INSERT INTO crm.customer VALUES (16, 'GB', 'fay@example.org', NULL), (17, 'GB', 'gus@example.org', NULL);
SELECT n, consent.can_send(n::bigint, 'newsletter', 'shoes') FROM unnest(ARRAY[6, 7, 16, 17]) n;
SELECT consent.refold_pending();
SELECT n, consent.can_send(n::bigint, 'newsletter', 'shoes') FROM unnest(ARRAY[6, 7, 16, 17]) n;

-- An undated flag on an address denies as long as it stands, in whatever spelling and whatever the person does.
INSERT INTO crm.customer VALUES (8, 'GB', 'ivo@example.org', NULL);
INSERT INTO crm.sale VALUES (8, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
INSERT INTO crm.blacklist VALUES (3, 'ivo@example.org'), (4, 'Ivo <IVO@example.org>');
SELECT consent.refold_pending();
SELECT consent.opt_in(8, purposes => '{newsletter,marketing}', evidence => '{"form": 1}') > 0 AS asked_for_it;
SELECT consent.can_send(8::bigint, 'newsletter', 'shoes'), 8 IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes')) AS in_audience;
DELETE FROM crm.blacklist WHERE id = 3;
SELECT consent.refold_pending() > 0 AS folded, test.whole_refold();
SELECT consent.can_send(8::bigint, 'newsletter', 'shoes'), 8 IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes')) AS in_audience;
DELETE FROM crm.blacklist WHERE id = 4;
SELECT consent.refold_pending();
SELECT e.allowed, e.basis, 8 IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes')) AS in_audience FROM consent.explain_send(8, 'newsletter', 'shoes') e;

-- Notes go with their fold only, and nobody else may take them away.
UPDATE crm.sale SET kind = 'cancelled' WHERE customer = 8;
SELECT consent._refold_addresses() IS NOT NULL AS begun;
SELECT test.fails($$SELECT consent._refold_finish()$$);
SELECT consent._refold_fold(only_noted => true) > 0 AS another_fold;
SELECT test.fails($$SELECT consent._refold_finish()$$);
SELECT consent._refold_fold() > 0 AS folded;
SELECT test.fails($$SELECT consent._refold_finish()$$);
SELECT count(*) > 0 AS still_noted FROM consent_data.pending;
SELECT test.whole_refold();
-- A refusal on a channel that nobody knows is one on all of them, and does not poison the ledger.
CREATE TABLE crm.fax (customer bigint PRIMARY KEY);
CREATE VIEW crm.bound_fax AS SELECT customer AS contact_id, 'opt_out'::text AS kind, '2026-03-01Z'::timestamptz AS at, '{fax}'::text[] AS channels, 'pigeon'::text AS via FROM crm.fax;
SELECT count(*) FROM consent.bind_consents('crm.bound_fax') \gset ignored_
INSERT INTO crm.fax VALUES (8);
SELECT test.whole_refold();
SELECT e.channels, e.detail FROM consent_data.event e WHERE e.contact_id = 8 AND e.kind = 'opt_out' ORDER BY e.event_id DESC LIMIT 1;
DELETE FROM crm.fax;
SELECT test.whole_refold(), consent.can_send(8::bigint, 'newsletter', 'shoes', 'sms');
SELECT consent.unbind('crm.bound_fax') \gset ignored_

-- A change of address takes the refusal along and leaves it behind; consent it leaves behind only.
SELECT consent.opt_out(4::bigint) > 0 AS recorded;
UPDATE crm.customer SET email = 'dan2@example.org' WHERE id = 4;
INSERT INTO crm.customer VALUES (41, 'GB', 'dan@example.org', NULL), (42, 'GB', 'dan2@example.org', NULL);
INSERT INTO crm.sale VALUES (41, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes'), (42, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
SELECT n, consent.can_send(n::bigint, 'newsletter', 'shoes') FROM unnest(ARRAY[4, 41]) n;
SELECT consent.refold_pending();
SELECT consent.refold_pending();
SELECT n, e.reason FROM unnest(ARRAY[4, 41, 42]) n, consent.explain_send(n::bigint, 'newsletter', 'shoes') e;
INSERT INTO crm.customer VALUES (43, 'GB', 'hal@example.org', NULL);
INSERT INTO crm.list VALUES (43, 43, false, '2026-03-01Z');
SELECT consent.refold_pending(), consent.can_send(43::bigint, 'newsletter', 'books');
UPDATE crm.customer SET email = 'hal2@example.org' WHERE id = 43;
SELECT consent.can_send(43::bigint, 'newsletter', 'books');
SELECT consent.refold_pending(), consent.can_send(43::bigint, 'newsletter', 'books');

-- The CRM's own statement goes through whatever becomes of us, and what was missed denies.
SELECT consent.refold_pending();
CREATE FUNCTION crm.buyer(bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN 1 / ($1 - 13); END';
SELECT consent.watch('crm.sale', 'purchases', contact => 'crm.buyer(r.customer)') > 0 AS watched;
INSERT INTO crm.list VALUES (6, 3, false, '2026-03-02Z');
SELECT consent.refold_pending();
SELECT consent.can_send(3::bigint, 'newsletter', 'shoes') AS by_consent, e.reason FROM consent.explain_send(16::bigint, 'newsletter', 'shoes') e;
SELECT n, e.allowed, coalesce(e.basis, e.reason) AS because FROM unnest(ARRAY[1, 2]) n, consent.explain_send(n::bigint, 'newsletter', 'shoes') e;
INSERT INTO crm.customer VALUES (50, 'GB', 'ivy@example.org', NULL);
INSERT INTO crm.sale VALUES (50, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
SELECT consent.refold_pending();
SELECT consent.can_send(50::bigint, 'newsletter', 'shoes') AS before;
INSERT INTO crm.sale VALUES (13, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
SELECT allowed, coalesce(basis, reason) AS because FROM consent.explain_send(50::bigint, 'newsletter', 'shoes');
SELECT consent.can_send(3::bigint, 'newsletter', 'shoes') AS by_consent, consent.can_send(50::bigint, 'order_confirmation') AS service;
SELECT binding, problem, regexp_replace(detail, 'at [-0-9: .+]+', 'at ...') AS detail, hint, denies FROM consent.check_bindings() ORDER BY 1, 2;
SELECT consent.watch('crm.sale', 'purchases', contact => 'r.customer') > 0 AS mended;
SELECT test.whole_refold();
SELECT consent.can_send(50::bigint, 'newsletter', 'shoes') AS after, count(*) AS noted FROM consent_data.pending;

-- A trigger that somebody switches off, a partition that nobody watches, a table that is gone.
ALTER TABLE crm.sale DISABLE TRIGGER USER;
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(50::bigint, 'newsletter', 'shoes');
SELECT consent.can_send(3::bigint, 'newsletter', 'shoes') AS by_consent;
-- What was voided meanwhile nobody noted: switching it on again is not enough.
DELETE FROM crm.sale WHERE customer = 50;
ALTER TABLE crm.sale ENABLE TRIGGER USER;
SELECT consent.watch('crm.sale', 'purchases', contact => 'r.customer') > 0 AS mended;
SELECT binding, problem, denies FROM consent.check_bindings();
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(50::bigint, 'newsletter', 'shoes');
SELECT test.whole_refold();
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(50::bigint, 'newsletter', 'shoes');
INSERT INTO crm.sale VALUES (50, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
ALTER TABLE crm.sale DISABLE TRIGGER USER;
ALTER TABLE crm.sale ENABLE TRIGGER USER;
ALTER TABLE crm.sale ENABLE ALWAYS TRIGGER consent_watch_2_insert, ENABLE ALWAYS TRIGGER consent_watch_2_update, ENABLE ALWAYS TRIGGER consent_watch_2_delete, ENABLE ALWAYS TRIGGER consent_watch_2_truncate;
SELECT binding, problem, denies FROM consent.check_bindings();
SELECT test.whole_refold();
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(50::bigint, 'newsletter', 'shoes');
CREATE TABLE crm.order_2027 PARTITION OF crm.shop_order FOR VALUES FROM ('2027-01-01Z') TO ('2028-01-01Z');
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(50::bigint, 'newsletter', 'shoes');
SELECT binding, problem, detail, hint, denies FROM consent.check_bindings() ORDER BY 1, 2, 3;
SELECT consent.watch('crm.shop_order', 'purchases', contact => 'r.customer') > 0 AS mended;
SELECT test.whole_refold();
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(50::bigint, 'newsletter', 'shoes');
ALTER TABLE crm.list ENABLE REPLICA TRIGGER consent_watch_4_update;
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(3::bigint, 'newsletter', 'shoes');
SELECT consent.unwatch('crm.list');
SELECT coalesce(basis, reason) AS because FROM consent.explain_send(3::bigint, 'newsletter', 'shoes');
-- Unwatched, it is as fresh as the last refold, and no fresher than was accepted.
UPDATE consent_data.binding SET seen_at = now() - interval '3 days' WHERE view = 'crm.bound_list';
SELECT coalesce(basis, reason) AS because, freshness ~ 'crm.bound_list as of .* up to 2 days old' AS said FROM consent.explain_send(3::bigint, 'newsletter', 'shoes');
SELECT consent.can_send(3::bigint, 'newsletter', 'shoes') AS marketing, consent.can_send(3::bigint, 'order_confirmation') AS service;
SELECT count(*) FROM consent.audience('newsletter', 'shoes');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'consent_watch%' AND tgrelid = 'crm.list'::regclass;
DROP VIEW crm.bound_list CASCADE;
SELECT binding, problem, denies FROM consent.check_bindings() WHERE problem = 'view is gone';

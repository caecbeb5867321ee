-- A contact who bought in hundreds of categories does not fit into a row. Every path must find the full state, and no
-- copy of it may outlive an opt-out.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
INSERT INTO consent_data.category (name) SELECT 'c' || n FROM generate_series(1, 900) n;
INSERT INTO crm.customer VALUES (100, 'GB', 'all@example.org', NULL), (101, 'GB', 'more@example.org', NULL), (102, 'GB', 'gone@example.org', NULL);
INSERT INTO crm.sale SELECT c, '2026-01-15Z'::timestamptz + make_interval(hours => n), 'c' || n, 'purchase', 'yes' FROM generate_series(1, 900) n, unnest('{100, 102}'::bigint[]) c WHERE n <> 9;
CREATE VIEW test.paths AS
SELECT s.contact_id, q.kind, q.category, consent.can_send(s.contact_id, q.kind, q.category), a.allowed, coalesce(a.basis, a.reason) AS because,
       (SELECT count(*) FROM consent.audience(q.kind, q.category) x WHERE x.contact_id = s.contact_id) AS in_audience
  FROM (VALUES (100), (101), (102)) s (contact_id), (VALUES ('newsletter', 'c1'), ('newsletter', 'c7'), ('newsletter', 'c9'), ('order_confirmation', NULL)) q (kind, category),
       LATERAL consent.explain_send(s.contact_id::bigint, q.kind, q.category) a ORDER BY 1, 2, 3;
CREATE VIEW test.stored AS
SELECT contact_id, consent._overflows(s.state) AS short, pg_column_size(s.state) < 1904 AS fits, o.contact_id IS NOT NULL AS beside FROM consent_data.contact_state s FULL JOIN consent_data.contact_overflow o USING (contact_id)
 WHERE contact_id >= 100 ORDER BY 1;
CREATE PROCEDURE test.refold_all() LANGUAGE plpgsql AS $$ BEGIN PERFORM consent._refold_addresses(); PERFORM consent._refold_fold(); PERFORM consent._refold_apply(1, 1000); END $$;

-- By the batch, by key, and by events of the ledger, one after the other.
CALL test.refold_all();
TABLE test.stored;
SELECT * FROM test.paths WHERE contact_id = 100;
SELECT consent.refold('{100}');
SELECT * FROM test.paths WHERE contact_id = 100;
SELECT count(consent.record_event(101::bigint, (ARRAY['purchase', 'enquiry', 'quote_request'])[1 + n * 7 % 3], category => 'c' || n, opt_out_offered => 'yes', evidence => '{"order": 1}', at => '2026-02-01Z'::timestamptz + make_interval(hours => n))) FROM generate_series(1, 900) n WHERE n <> 9;
TABLE test.stored;
SELECT * FROM test.paths WHERE contact_id = 101;
SELECT contacts FROM consent.explain_audience('newsletter', 'c1') WHERE allowed;

-- A later sale counts for all, after the batch.
INSERT INTO crm.sale SELECT 100, '2026-03-01Z', 'c9', 'purchase', 'yes';
CALL test.refold_all();
SELECT * FROM test.paths WHERE contact_id = 100;

-- Opted out of one category, then of all: on every path, in the transaction and after it.
SELECT consent.opt_out(100::bigint, category => 'c7') > 0 AS recorded;
SELECT * FROM test.paths WHERE contact_id = 100;
BEGIN;
SELECT consent.opt_out(101::bigint) > 0 AS recorded;
SELECT * FROM test.paths WHERE contact_id = 101;
COMMIT;
CALL test.refold_all();
SELECT * FROM test.paths WHERE contact_id IN (100, 101);

-- Opted out between the batch's fold and its writing.
SELECT consent._refold_fold();
SELECT consent.opt_out(100::bigint) > 0 AS recorded;
SELECT * FROM consent._refold_apply(1, 1000);
SELECT * FROM test.paths WHERE contact_id = 100;
-- The same, and the CRM changed too, so that the batch has something to write.
INSERT INTO crm.sale SELECT 102, '2026-03-02Z', 'c9', 'purchase', 'yes';
UPDATE crm.customer SET email = 'moved@example.org' WHERE id = 102;
SELECT consent._refold_addresses();
SELECT consent._refold_fold();
SELECT consent.opt_out(102::bigint) > 0 AS recorded;
SELECT * FROM consent._refold_apply(1, 1000);
SELECT * FROM test.paths WHERE contact_id = 102;

-- Small again: no full state stays behind that a later opt-out would not reach.
INSERT INTO crm.customer VALUES (103, 'GB', 'small@example.org', NULL), (104, 'GB', 'deleted@example.org', NULL);
INSERT INTO crm.sale SELECT c, '2026-01-15Z'::timestamptz + make_interval(hours => n), 'c' || n, 'purchase', 'yes' FROM generate_series(1, 900) n, unnest('{103, 104}'::bigint[]) c;
CALL test.refold_all();
SELECT * FROM test.stored WHERE contact_id IN (103, 104);
DELETE FROM crm.sale WHERE customer = 103 AND category <> 'c1' OR customer = 104;
DELETE FROM crm.customer WHERE id = 104;
CALL test.refold_all();
SELECT * FROM test.stored WHERE contact_id IN (103, 104);
SELECT consent.opt_out(103::bigint) > 0 AS recorded;
SELECT contact_id FROM consent.audience('newsletter', 'c1') WHERE contact_id IN (103, 104);

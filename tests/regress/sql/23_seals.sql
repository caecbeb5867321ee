-- Seals: who may make one, and that nobody can make a false one or change one.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SELECT count(consent.opt_in(n::text)) FROM generate_series(1, 5) n;
SELECT test.fails('SELECT consent.seal_head()');
SELECT consent.prove(2);
SELECT test.fails('SELECT consent.prove(77)'), test.fails($$SELECT consent.prove('run', 1)$$), test.fails('SELECT consent.prove(NULL)');

-- As the batch's role. A seal over what there is, made by hand as the batch makes it.
SET SESSION AUTHORIZATION test_batch;
CREATE TEMPORARY TABLE horizon AS SELECT read_at, upto FROM consent._seal_horizon();
SELECT upto FROM horizon;
CREATE TEMPORARY TABLE leaf AS SELECT row_number() OVER (ORDER BY row_id) - 1 AS n, row_id, sha256('\x00'::bytea || convert_to(content, 'UTF8')) AS leaf
  FROM consent.sealed_text WHERE log = 'event';
CREATE FUNCTION pg_temp.root() RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    level bytea[] := ARRAY(SELECT leaf FROM leaf ORDER BY n);
BEGIN
    -- Whoever is alone on a level goes up as it is.
    WHILE cardinality(level) > 1 LOOP
        level := ARRAY(SELECT CASE WHEN level[i + 1] IS NULL THEN level[i] ELSE sha256('\x01'::bytea || level[i] || level[i + 1]) END
                         FROM generate_series(1, cardinality(level), 2) i ORDER BY i);
    END LOOP;
    RETURN level[1];
END
$$;
CREATE FUNCTION pg_temp.seal(upto bigint[] DEFAULT NULL, root bytea DEFAULT NULL, previous bytea DEFAULT decode(repeat('00', 32), 'hex'), leaves integer DEFAULT 5) RETURNS integer
    LANGUAGE sql RETURN (SELECT consent._seal_begin($3, h.read_at, coalesce($1, h.upto), $4, coalesce($2, pg_temp.root()), coalesce($2, pg_temp.root())) FROM horizon h);
CREATE FUNCTION pg_temp.leaves(seal integer) RETURNS void
    LANGUAGE sql AS $$ SELECT consent._seal_leaves(seal, 'event', 0, array_agg(row_id ORDER BY n), array_agg(leaf ORDER BY n)) FROM leaf $$;
-- It begins at the end of the chain, goes on from there, and no further than the logs.
SELECT test.fails($$SELECT pg_temp.seal(previous => sha256('x'))$$);
SELECT test.fails($$SELECT pg_temp.seal(upto => '{6,0,0,0,0}')$$) ~ '^22023 a seal goes on from where' AS too_far, test.fails($$SELECT pg_temp.seal(upto => '{5,0,0,0}')$$) ~ '^22023' AS too_few,
       test.fails($$SELECT pg_temp.seal(upto => '{-1,0,0,0,0}')$$) ~ '^22023' AS backwards;
-- What is wrong shows when the transaction ends, which is here at once.
\set VERBOSITY terse
BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SELECT pg_temp.seal(); ROLLBACK;
BEGIN; SELECT pg_temp.seal(); COMMIT;
BEGIN; SELECT pg_temp.seal(root => sha256('x')); SELECT pg_temp.leaves(1); COMMIT;
BEGIN; SELECT pg_temp.seal(upto => '{4,0,0,0,0}'); SELECT pg_temp.leaves(1); COMMIT;
DELETE FROM leaf WHERE n = 4;
BEGIN; SELECT pg_temp.seal(leaves => 4); SELECT pg_temp.leaves(1); COMMIT;
\set VERBOSITY default
INSERT INTO leaf SELECT 4, row_id, sha256('\x00'::bytea || convert_to(content, 'UTF8')) FROM consent.sealed_text WHERE log = 'event' AND row_id = 5;
BEGIN; SELECT pg_temp.seal(); SELECT pg_temp.leaves(1); COMMIT;
-- Once made, it gets no further leaves, and nobody changes it.
SELECT test.fails($$SELECT consent._seal_leaves(1, 'event', 5, '{6}', ARRAY[sha256('x')])$$);
SELECT test.fails($$INSERT INTO consent_data.seal_leaf VALUES (6, 1, 5, 1, sha256('x'))$$), test.fails('DELETE FROM consent_data.seal');
RESET SESSION AUTHORIZATION;
SELECT test.fails('UPDATE consent_data.seal SET leaves = 4'), test.fails('DELETE FROM consent_data.seal_leaf'), test.fails('TRUNCATE consent_data.seal');

-- The auditor proves; and may not seal.
SET SESSION AUTHORIZATION test_audit;
SELECT seal_id, leaves, upto_event, upto_erasure, head = encode(sha256(convert_to(text, 'UTF8')), 'hex') AS of_its_text FROM consent.audit_seal;
SELECT regexp_replace(regexp_replace(text, '[0-9a-f]{64}', 'HASH', 'g'), '[0-9]+\.[0-9]{6}', 'INSTANT') AS text FROM consent.audit_seal;
SELECT id, p->>'index' AS index, p->>'size' AS size, jsonb_array_length(p->'path') AS path, p->'chain' AS chain, p->>'newest' = p->>'head' AS newest, consent.verify_proof(p) AS holds
  FROM generate_series(1, 5) id, consent.prove(id) p;
SELECT consent.verify_proof(consent.prove(2) || '{"index": 2}') AS elsewhere, consent.verify_proof(consent.prove(2) || jsonb_build_object('content', consent.prove(3)->'content')) AS another_row,
       consent.verify_proof(NULL) AS nothing, consent.verify_proof('[]') AS list, consent.verify_proof('{"proved": true}') AS claim;
SELECT h->>'seal' AS seal, h->>'head' = h->>'chain' AS first, h->>'head' = s.head AS newest FROM consent.seal_head() h, consent.audit_seal s;
SELECT test.fails('SELECT * FROM consent._seal_horizon()'), test.fails($$SELECT consent._seal_begin(NULL, NULL, NULL, NULL, NULL, NULL)$$);
SET SESSION AUTHORIZATION test_record;
SELECT test.fails('SELECT consent.prove(2)'), test.fails('SELECT consent.seal_head()'), test.fails('SELECT * FROM consent.audit_seal');
RESET SESSION AUTHORIZATION;

-- Erased, it still holds; altered past the triggers, it says so.
SELECT consent.erase('2', 'request')->>'held' AS held;
SELECT consent.verify_proof(consent.prove(2)) AS holds;
SELECT * FROM consent._seal_erasures();
ALTER TABLE consent_data.event DISABLE TRIGGER USER;
UPDATE consent_data.event SET purposes = '{survey}' WHERE event_id = 3;
DELETE FROM consent_data.event WHERE event_id = 4;
ALTER TABLE consent_data.event ENABLE TRIGGER USER;
SELECT consent.prove(id) FROM generate_series(3, 4) id;
-- Numbers that a session keeps back would be used after their seal.
ALTER SEQUENCE consent_data.event_event_id_seq CACHE 10;
SELECT test.fails('SELECT * FROM consent._seal_horizon()');
ALTER SEQUENCE consent_data.event_event_id_seq CACHE 1;
-- Who may be writing is seen, and the session that asks is not.
BEGIN;
SELECT consent.opt_in('9') > 0 AS recorded;
SELECT count(*) FROM consent._seal_writers();
ROLLBACK;

-- What is done in the CRM with the expired: configured by whoever owns its table, checked when it is configured.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
SET client_min_messages = warning;
DROP ROLE IF EXISTS test_crm_owner, test_stranger;
CREATE ROLE test_crm_owner;
CREATE ROLE test_stranger;
GRANT consent_admin TO test_crm_owner;
CREATE TABLE crm.person (id bigint PRIMARY KEY, name text, email text NOT NULL UNIQUE, born date, seen integer NOT NULL DEFAULT 0, whole text GENERATED ALWAYS AS (name || email) STORED);
CREATE TABLE crm.note (person bigint, body text);
CREATE FUNCTION crm.retire(id bigint) RETURNS void LANGUAGE sql AS 'UPDATE crm.person SET name = NULL WHERE person.id = retire.id';
CREATE FUNCTION crm.retire_all() RETURNS void LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION crm.strange(id bigint) RETURNS void LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION crm.strange(bigint) OWNER TO test_stranger;
GRANT USAGE ON SCHEMA crm TO test_crm_owner, test_stranger;
ALTER TABLE crm.person OWNER TO test_crm_owner;
ALTER TABLE crm.note OWNER TO test_crm_owner;
RESET client_min_messages;
\set ECHO all
-- What can be done.
SELECT consent.set_retention();
SELECT consent.set_retention('crm.person', key => 'id', action => 'anonymise', columns => '{"name": null, "email": "gone-{key}@invalid", "born": null, "seen": 0}');
SELECT consent.set_retention('crm.note', key => 'person', action => 'delete', grace => '7 days');
CREATE INDEX ON crm.note (person);
SELECT consent.set_retention('crm.note', key => 'person', action => 'delete', grace => '14 days');
SELECT consent.set_retention('crm.customer', action => 'call', function => 'crm.retire(bigint)');
SELECT source, relation, action, key_column, columns, function, grace, runs_as = current_user AS runs_as_us, problem FROM consent.retention_configuration ORDER BY relation;
SELECT relation, consent._retention_statement(retention_setting_id) FROM consent_data.retention_setting WHERE action <> 'flag' ORDER BY relation;

-- What can't, and why.
SELECT test.fails($$SELECT consent.set_retention(action => 'burn')$$);
SELECT test.fails($$SELECT consent.set_retention(grace => '-1 day')$$);
SELECT test.fails($$SELECT consent.set_retention(source => 'shop')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', action => 'flag')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', action => 'delete')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'id', action => 'anonymise')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.bound_customer', key => 'contact_id', action => 'delete')$$);
SELECT test.fails($$SELECT consent.set_retention('consent_data.contact_state', key => 'contact_id', action => 'delete')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'number', action => 'delete')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'name', action => 'delete')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'id', action => 'anonymise', columns => '{}')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'id', action => 'anonymise', columns => '["name"]')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'id', action => 'anonymise', columns => '{"surname": null, "id": null, "email": null, "seen": null, "whole": null, "born": [1]}')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'id', action => 'anonymise', columns => '{"email": "gone@invalid"}')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', key => 'id', action => 'anonymise', columns => '{"born": "long ago"}')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', action => 'call')$$);
SELECT test.fails($$SELECT consent.set_retention('crm.person', action => 'call', function => 'crm.retire_all()')$$);
-- The one who owns the function would act as the table's owner.
SELECT test.fails($$SELECT consent.set_retention('crm.person', action => 'call', function => 'crm.strange(bigint)')$$);
ALTER FUNCTION crm.strange(bigint) SECURITY DEFINER;
SELECT consent.set_retention('crm.person', action => 'call', function => 'crm.strange(bigint)', grace => '1 day') IS NOT NULL;
SELECT relation, action, key_column, columns, function FROM consent.retention_configuration WHERE relation = 'crm.person';
ALTER FUNCTION crm.strange(bigint) SECURITY INVOKER;
SELECT problem FROM consent.retention_configuration WHERE relation = 'crm.person';

-- Only an administrator who owns the table, and nobody by hand.
GRANT USAGE ON SCHEMA crm, test TO test_admin, test_batch;
SET SESSION AUTHORIZATION test_admin;
SELECT test.fails($$SELECT consent.set_retention('crm.note', key => 'person', action => 'delete')$$);
SELECT test.fails($$INSERT INTO consent_data.retention_setting (action, grace) VALUES ('flag', '0')$$);
SELECT test.fails($$SELECT consent._execute_as(10, 'pg_catalog', 'SELECT 1', '1')$$);
SELECT count(*) FROM consent.retention_configuration;
SET SESSION AUTHORIZATION test_crm_owner;
SELECT consent.set_retention('crm.note', key => 'person', action => 'delete') IS NOT NULL;
SET SESSION AUTHORIZATION test_batch;
SELECT test.fails($$SELECT consent.set_retention()$$);
SELECT test.fails($$INSERT INTO consent_data.retention_action (run_id, contact_id, sender_id, stage, rule, since, ends_at) VALUES (1, 1, 1, 'expired', 'r', now(), now())$$);
SELECT test.fails($$SELECT consent._retention_act(1, '1')$$);
SELECT * FROM consent._retire(1, 10);
RESET SESSION AUTHORIZATION;
SELECT test.fails($$SELECT consent._execute_as(10, 'pg_catalog', 'SELECT 1', '1')$$);
-- Nor by an administrator, and not by what runs as a table's owner in somebody else's session.
SET SESSION AUTHORIZATION test_admin;
SELECT test.fails($$SELECT consent._retention_act(1, '1')$$);
SELECT test.fails($$SELECT consent._retire_contact('1', 1, '{}')$$);
RESET SESSION AUTHORIZATION;
CREATE FUNCTION test.inside(statement text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
    $$SELECT consent._execute_as('test_crm_owner'::regrole, 'pg_catalog', statement, '1')$$;
SELECT test.inside('SELECT 1');
SELECT test.fails($$SELECT test.inside('SELECT consent.set_retention(''crm.sale'', key => ''customer'', action => ''delete'')')$$);
SELECT test.fails($$SELECT test.inside('SELECT consent.watch(''crm.sale'', ''purchases'', contact => ''r.customer'')')$$);

-- A change has the announced announced anew, and those reopened to whom less was done. What stays as it is changes nothing.
INSERT INTO consent_data.retention_action (run_id, contact_id, sender_id, stage, rule, since, ends_at, act_after, announced_at, outcome, action, acted_at)
SELECT 1, n, 1, 'expired', 'r', '2020-01-01Z', '2023-01-01Z', CASE WHEN outcome IS DISTINCT FROM 'saved' THEN now() END, now(), outcome, action, CASE outcome WHEN 'done' THEN now() END
  FROM (VALUES (1, NULL, NULL), (2, 'kept', NULL), (3, 'done', 'flag'), (4, 'done', 'call'), (5, 'done', 'flag, delete'), (6, 'saved', NULL)) v (n, outcome, action);
CREATE FUNCTION test.actions() RETURNS TABLE (contact bigint, open boolean, announced boolean, outcome text, action text) LANGUAGE sql AS
    'SELECT contact_id, acted_at IS NULL, act_after IS NOT NULL AND announced_at IS NOT NULL, outcome, action FROM consent_data.retention_action ORDER BY 1';
-- As it is.
SELECT consent.set_retention('crm.note', key => 'person', action => 'delete') IS NOT NULL;
SELECT * FROM test.actions();
SELECT consent.set_retention('crm.note', key => 'person', action => 'delete', grace => '60 days') IS NOT NULL;
SELECT * FROM test.actions();
SELECT consent._retention_configured(100), consent._retention_configured(100);
SELECT contact_id, act_after = announced_at + interval '60 days' AS in_time FROM consent_data.retention_action WHERE announced_at IS NOT NULL AND acted_at IS NULL AND outcome IS NULL ORDER BY 1;
SELECT consent.unset_retention('crm.note');
SELECT * FROM test.actions();
-- Who was saved and has gone again is found again; who was acted on is not.
SELECT * FROM consent._retention_news('{1,5,6,7}', '{1,1,1,1}', '{expired,expired,expired,expired}', ARRAY(SELECT '2020-01-01Z'::timestamptz FROM generate_series(1, 4)),
                                      ARRAY(SELECT '2023-01-01Z'::timestamptz FROM generate_series(1, 4)));
SELECT consent._retention_record(2, '{1,5,6}', '{1,1,1}', '{expired,expired,expired}', '{r,r,r}', ARRAY(SELECT '2020-01-01Z'::timestamptz FROM generate_series(1, 3)),
                                 ARRAY(SELECT '2023-01-01Z'::timestamptz FROM generate_series(1, 3)));
SELECT contact_id, run_id, outcome FROM consent_data.retention_action ORDER BY 1;
SELECT consent.unset_retention('crm.note'), consent.unset_retention();
DROP TABLE crm.person CASCADE;
SELECT relation, problem FROM consent.retention_configuration ORDER BY relation;
\set ECHO none
SET client_min_messages = warning;
DROP SCHEMA crm CASCADE;
DROP OWNED BY test_crm_owner, test_stranger;
DROP ROLE test_crm_owner, test_stranger;

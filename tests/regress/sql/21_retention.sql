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
SELECT consent.unset_retention('crm.note'), consent.unset_retention('crm.note'), consent.unset_retention();
DROP TABLE crm.person CASCADE;
SELECT relation, problem FROM consent.retention_configuration ORDER BY relation;
\set ECHO none
SET client_min_messages = warning;
DROP SCHEMA crm CASCADE;
DROP OWNED BY test_crm_owner, test_stranger;
DROP ROLE test_crm_owner, test_stranger;

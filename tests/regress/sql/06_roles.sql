-- Who may do what. Each command is tried by each role and undone; PUBLIC may do nothing.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
CREATE TABLE test.command (n serial, command text, expected text);
-- expected: the roles that succeed, by their initials: nothing Decide Record Audit Batch adMin.
INSERT INTO test.command (command, expected) VALUES
    ($$SELECT consent.can_send(1::bigint, 'newsletter', 'shoes')$$, 'DABM'),
    ($$SELECT consent.can_send('1', 'newsletter', 'shoes')$$, 'DABM'),
    ($$SELECT * FROM consent.explain_send(1::bigint, 'newsletter', 'shoes')$$, 'DAM'),
    ($$SELECT * FROM consent.explain_send_as_of('1', 'newsletter', 'shoes', '2026-06-01Z')$$, 'DAM'),
    ($$SELECT consent.question('newsletter', 'shoes')$$, 'DABM'),
    ($$SELECT * FROM consent.audience('newsletter', 'shoes')$$, 'DBM'),
    ($$SELECT * FROM consent.decidable$$, 'DBM'),
    ($$SELECT count(*) FROM consent.decidable WHERE state OPERATOR(consent.@@) (SELECT consent.question('newsletter', 'shoes'))$$, 'DBM'),
    ($$SELECT d.allowed FROM consent.decidable, consent.decide(state, (SELECT consent.question('newsletter', 'shoes'))) d$$, 'DBM'),
    ($$SELECT consent.state_json(state) FROM consent.decidable$$, 'BM'),
    ($$SELECT * FROM consent.explain_audience('newsletter', 'shoes')$$, 'AM'),
    ($$SELECT consent.opt_out(1::bigint)$$, 'RM'),
    ($$SELECT consent.opt_in('1')$$, 'RM'),
    ($$SELECT consent.object(1::bigint)$$, 'RM'),
    ($$SELECT consent.confirm_opt_in(1::bigint)$$, 'RM'),
    ($$SELECT consent.record_event(1::bigint, 'click')$$, 'RM'),
    ($$SELECT consent.opt_out_addresses('{a@example.org}')$$, 'RM'),
    ($$SELECT consent.address_hash('email', 'a@example.org')$$, 'RM'),
    ($$SELECT * FROM consent_data.outbox$$, 'RABM'),
    ($$UPDATE consent_data.outbox SET sent_at = now()$$, 'RM'),
    ($$UPDATE consent_data.outbox SET contact_id = 2$$, ''),
    ($$SELECT * FROM consent_data.event$$, 'ABM'),
    ($$SELECT * FROM consent_data.contact_state$$, 'ABM'),
    ($$SELECT * FROM consent_data.contact_address$$, 'ABM'),
    ($$SELECT * FROM consent_data.crm_contact$$, 'ABM'),
    ($$SELECT * FROM consent_data.key_generation$$, 'ABM'),
    ($$INSERT INTO consent_data.event (contact_id, kind, at, sender_id) VALUES (1, 'opt_in', '2026-02-01Z', 1)$$, ''),
    ($$UPDATE consent_data.event SET at = at$$, ''),
    ($$DELETE FROM consent_data.event$$, ''),
    ($$UPDATE consent_data.contact_state SET state = state$$, ''),
    ($$DELETE FROM consent_data.contact_state$$, ''),
    ($$DELETE FROM consent_data.address_event$$, ''),
    ($$UPDATE consent_data.key_generation SET fingerprint = '\x00'$$, ''),
    ($$INSERT INTO consent_data.category (name) VALUES ('hats')$$, 'M'),
    ($$DELETE FROM consent_data.category$$, ''),
    ($$INSERT INTO consent_data.sender (name) VALUES ('cousin')$$, 'M'),
    ($$UPDATE consent_data.message_kind SET nature = 'transactional' WHERE name = 'newsletter'$$, 'M'),
    ($$INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, reason, document) VALUES ('gb.free_account_is_sale', true, 'me', 'so', 'memo 1')$$, 'M'),
    ($$UPDATE consent_data.setting SET marketing_off = true$$, 'M'),
    ($$UPDATE consent_data.setting SET similarity_version = 1$$, 'M'),
    ($$INSERT INTO consent_data.run (step) VALUES ('refold')$$, 'BM'),
    ($$SELECT consent.refold('{1}')$$, 'BM'),
    ($$SELECT consent._refold_fold()$$, 'BM'),
    ($$SELECT consent._state_bytes(state) FROM consent.decidable$$, 'BM'),
    ($$SELECT * FROM consent.audit_permission$$, 'AM'),
    ($$SELECT * FROM consent.audit_policy$$, 'AM'),
    ($$SELECT * FROM consent.policy('gb')$$, 'AM'),
    ($$SELECT consent.opt_out_deadline('GB', '2026-06-01Z')$$, 'AM'),
    ($$SELECT * FROM consent.audit_ledger$$, 'AM'),
    ($$SELECT * FROM consent.audit_expiring$$, 'AM'),
    ($$SELECT * FROM consent.audit_data_quality$$, 'AM'),
    ($$SELECT consent.subject_access(1::bigint)$$, 'AM'),
    ($$SELECT consent.erase(1::bigint, 'request')$$, 'M'),
    ($$SELECT consent._erase_contact('1', '{1}', '\x00', 'request')$$, ''),
    ($$SELECT consent.merge_contacts(1::bigint, 2::bigint)$$, 'RM'),
    ($$SELECT consent._carry(1, '3')$$, 'M'),
    ($$SELECT consent.legal_hold(1::bigint, 'claim')$$, 'RM'),
    ($$SELECT * FROM consent.audit_subject$$, 'AM'),
    ($$SELECT * FROM consent_data.erasure$$, 'ABM'),
    ($$DELETE FROM consent_data.erasure$$, ''),
    ($$INSERT INTO consent_data.erasure (key_hash, why) VALUES ('\x00', 'x')$$, ''),
    ($$DELETE FROM consent_data.contact_merge$$, ''),
    ($$UPDATE consent_data.event SET erased_at = now()$$, ''),
    ($$SELECT consent.bind_contacts('crm.bound_customer')$$, 'M'),
    ($$SELECT consent.unbind('crm.bound_sale')$$, 'M'),
    ($$SELECT consent._key_create()$$, 'M'),
    ($$SELECT consent._merge(state, state) FROM consent.decidable$$, 'M'),
    ($$SELECT consent._record('1', 'click', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$, 'RM');
INSERT INTO consent_data.audit_question VALUES ('newsletter', 'shoes');
SELECT consent.opt_out(2::bigint) > 0 AS recorded;
GRANT SELECT ON test.command TO PUBLIC;
GRANT USAGE ON SCHEMA crm TO test_admin;
GRANT SELECT ON crm.bound_customer, crm.bound_sale TO test_admin;

-- The outcome of a command, which is undone: its rows are read, so that functions run.
CREATE FUNCTION test.may(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
BEGIN
    BEGIN
        IF command LIKE 'SELECT%' THEN
            EXECUTE format('SELECT count(t.*::text) FROM (%s) t', command);
        ELSE
            EXECUTE command;
        END IF;
        RAISE EXCEPTION 'done' USING ERRCODE = 'P0999';
    EXCEPTION WHEN OTHERS THEN
        code := SQLSTATE;
    END;
    RETURN CASE code WHEN 'P0999' THEN 'yes' WHEN '42501' THEN 'no' ELSE code END;
END
$$;
CREATE TABLE test.outcome (role text, n integer, outcome text);
GRANT INSERT ON test.outcome TO PUBLIC;
SET SESSION AUTHORIZATION test_nothing; INSERT INTO test.outcome SELECT 'nothing', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_decide; INSERT INTO test.outcome SELECT 'Decide', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_record; INSERT INTO test.outcome SELECT 'Record', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_audit; INSERT INTO test.outcome SELECT 'Audit', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_batch; INSERT INTO test.outcome SELECT 'Batch', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_admin; INSERT INTO test.outcome SELECT 'adMin', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;

-- Where the matrix is another than expected, and where it is neither yes nor no.
SELECT c.command, o.role, o.outcome FROM test.command c JOIN test.outcome o USING (n)
 WHERE o.outcome <> CASE WHEN strpos(c.expected, substring(o.role FROM '[A-Z]')) > 0 THEN 'yes' ELSE 'no' END ORDER BY c.n, o.role;

-- PUBLIC has nothing: no schema, table, function or type.
SELECT coalesce(acl.privilege_type, 'default') AS privilege, x.object FROM (
    SELECT 'schema ' || nspname AS object, nspacl AS acl, 'n'::"char" AS kind, nspowner AS owner FROM pg_namespace WHERE nspname IN ('consent', 'consent_data')
    UNION ALL SELECT 'function ' || oid::regprocedure, proacl, 'f', proowner FROM pg_proc WHERE pronamespace = 'consent'::regnamespace
    UNION ALL SELECT 'relation ' || oid::regclass, relacl, 'r', relowner FROM pg_class WHERE relnamespace IN ('consent'::regnamespace, 'consent_data'::regnamespace) AND relkind IN ('r', 'v')
    UNION ALL SELECT 'type ' || oid::regtype, typacl, 'T', typowner FROM pg_type WHERE typnamespace = 'consent'::regnamespace AND typtype = 'b' AND typcategory <> 'A') x,
    LATERAL aclexplode(coalesce(x.acl, acldefault(x.kind, x.owner))) acl WHERE acl.grantee = 0 ORDER BY 2;

-- A state shows its version and size, and no more, to those who may only ask.
SET SESSION AUTHORIZATION test_decide;
SELECT contact_id, regexp_replace(state::text, '[0-9]+ bytes', 'N bytes') AS state FROM consent.decidable ORDER BY 1 LIMIT 2;
-- And a question cannot be written by hand: it would say yes to anything.
SELECT test.fails(format('SELECT %L::consent.compiled_question', consent.question('newsletter', 'shoes'))) AS forged;
SELECT test.fails('SELECT ''state:00''::consent.state') AS state;
RESET SESSION AUTHORIZATION;
SELECT left(state::text, 6) AS state FROM consent.decidable ORDER BY contact_id LIMIT 1;
SELECT consent.question('newsletter', 'shoes')::text::consent.compiled_question::text = consent.question('newsletter', 'shoes')::text AS administrators_may;

-- The batch's temporary table is no door to the owner's rights.
CREATE FUNCTION test.who() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'run with the rights of %', current_user; RETURN current_user; END $$;
SET SESSION AUTHORIZATION test_batch;
CREATE TEMPORARY VIEW consent_fresh AS SELECT 1 AS n, 1::bigint AS contact_id, length(test.who())::bigint AS rev, NULL::consent.state AS state;
SELECT test.fails('SELECT * FROM consent._refold_apply(1, 10)');
DROP VIEW consent_fresh;
CREATE TEMPORARY TABLE consent_fresh AS SELECT 1 AS n, 1::bigint AS contact_id, NULL::bigint AS rev, NULL::consent.state AS state;
SELECT test.fails('SELECT * FROM consent._refold_apply(1, 10)');
DROP TABLE consent_fresh;
SELECT test.fails('SELECT consent._refold_fold()'), test.fails('SELECT * FROM consent._refold_apply(1, 10)');

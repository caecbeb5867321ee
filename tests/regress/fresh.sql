-- What every file of this folder starts from: an empty database of a shop, with its CRM, and one person a role.
-- Each file can run alone, and ids are the same each time.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_consent CASCADE;
DROP SCHEMA IF EXISTS consent, consent_data, crm, test CASCADE;
CREATE EXTENSION pg_consent;
CALL consent.setup();

INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true), ('sister', false);
INSERT INTO consent_data.category (name) VALUES ('shoes'), ('books');
INSERT INTO consent_data.category (name, parent_id)
SELECT 'boots', category_id FROM consent_data.category WHERE name = 'shoes';

CREATE SCHEMA crm;
CREATE TABLE crm.customer (id bigint PRIMARY KEY, country text, email text, phone text);
CREATE TABLE crm.sale (customer bigint NOT NULL, at timestamptz NOT NULL, category text NOT NULL,
    kind text NOT NULL DEFAULT 'purchase', opt_out_offered text NOT NULL DEFAULT 'yes');
CREATE INDEX ON crm.sale (customer);
CREATE VIEW crm.bound_customer AS SELECT id AS contact_id, country, email, phone FROM crm.customer;
CREATE VIEW crm.bound_sale AS SELECT customer AS contact_id, at, category, kind, opt_out_offered FROM crm.sale;
-- 1 and 2 bought shoes and could refuse; 3 bought nothing; 4 bought without an offer to refuse; 5 is nowhere.
INSERT INTO crm.customer VALUES (1, 'GB', 'ann@example.org', '+44 20 7946 0001'), (2, 'GB', 'ben@example.org', NULL),
    (3, 'GB', 'cat@example.org', NULL), (4, 'GB', 'dan@example.org', NULL), (5, NULL, 'eve@example.org', NULL);
INSERT INTO crm.sale VALUES (1, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes'),
    (2, '2026-01-16 12:00Z', 'shoes', 'purchase', 'yes'), (4, '2026-01-17 12:00Z', 'shoes', 'purchase', 'no');
SELECT count(*) FROM consent.bind_contacts('crm.bound_customer') \gset ignored_
SELECT count(*) FROM consent.bind_purchases('crm.bound_sale') \gset ignored_
SELECT consent.refold(ARRAY(SELECT id::text FROM crm.customer)) \gset ignored_

-- Roles are the cluster's, and may be there from the file before.
DO $$
DECLARE
    duty text;
BEGIN
    FOREACH duty IN ARRAY ARRAY['decide', 'record', 'audit', 'batch', 'admin', 'nothing'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'test_' || duty) THEN
            EXECUTE format('CREATE ROLE test_%s', duty);
        END IF;
        IF duty <> 'nothing' THEN
            EXECUTE format('GRANT consent_%1$s TO test_%1$s', duty);
        END IF;
    END LOOP;
END
$$;

-- Errors with all that a user sees of them; psql's own verbose form also has source lines.
CREATE SCHEMA test;
GRANT USAGE ON SCHEMA test TO PUBLIC;
CREATE FUNCTION test.fails(command text) RETURNS text
    LANGUAGE plpgsql
AS $$
DECLARE
    code text; message text; detail text; hint text;
BEGIN
    EXECUTE command;
    RETURN 'it works';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n  ', code || ' ' || message, 'detail: ' || nullif(detail, ''), 'hint: ' || nullif(hint, ''));
END
$$;
RESET client_min_messages;
\pset format unaligned
\pset null NULL

-- Several sources must not be taken for one another, nor a view that would be misread be bound.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
SET client_min_messages = warning;
DROP EXTENSION pg_consent CASCADE;
DROP SCHEMA consent_data CASCADE;
CREATE EXTENSION pg_consent;
SET client_min_messages = warning;
CALL consent.setup(key_type => 'text');
INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
INSERT INTO consent_data.category (name) VALUES ('shoes');
CREATE TABLE crm.lead (id uuid PRIMARY KEY, country text, email text);
INSERT INTO crm.lead VALUES ('11111111-1111-1111-1111-111111111111', 'GB', '"Ann" <Ann@Example.org>'),
    ('22222222-2222-2222-2222-222222222222', '0', 'lee@example.org'), ('33333333-3333-3333-3333-333333333333', 'GB', 'no address');
CREATE VIEW crm.bound_lead AS SELECT id AS contact_id, country, email FROM crm.lead;
CREATE VIEW crm.again AS SELECT id AS contact_id, country, email FROM crm.customer;
CREATE VIEW crm.twice AS SELECT c.id AS contact_id, country FROM crm.customer c, generate_series(1, 2);
CREATE VIEW crm.session_zone AS SELECT customer AS contact_id, (at AT TIME ZONE 'UTC')::timestamptz AS at, category FROM crm.sale;
CREATE VIEW crm.zone AS SELECT customer AS contact_id, (at AT TIME ZONE 'UTC') AT TIME ZONE 'Europe/Paris' AS at, category FROM crm.sale;
CREATE FUNCTION crm.hidden(t timestamp) RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT t::timestamptz';
CREATE VIEW crm.hidden_zone AS SELECT customer AS contact_id, crm.hidden(at AT TIME ZONE 'UTC') AS at, category FROM crm.sale;
CREATE VIEW crm.nobody AS SELECT now() AS at, 'opt_out'::text AS kind;
CREATE VIEW crm.not_by_key AS SELECT customer + 0 AS contact_id, at, category FROM crm.sale;
CREATE VIEW crm.misspelt AS SELECT customer AS contact_id, at, category, true AS refusd FROM crm.sale;
RESET client_min_messages;
\set ECHO all
SELECT * FROM consent.bind_contacts('crm.bound_customer', source => 'customer');
SELECT * FROM consent.bind_contacts('crm.bound_lead', source => 'lead');
SELECT test.fails($$SELECT consent.bind_contacts('crm.again', source => 'customer')$$);
SELECT test.fails($$SELECT consent.bind_contacts('crm.again')$$);
SELECT test.fails($$SELECT consent.bind_contacts('crm.again', source => 'a:b')$$);
SELECT test.fails($$SELECT consent.bind_contacts('crm.twice', source => 'twice')$$);
SELECT test.fails($$SELECT consent.bind_purchases('crm.session_zone', source => 'customer')$$);
SELECT test.fails($$SELECT consent.bind_purchases('crm.hidden_zone', source => 'customer')$$);
SELECT test.fails($$SELECT consent.bind_consents('crm.nobody', source => 'customer')$$);
SELECT test.fails($$SELECT consent.bind_purchases('crm.bound_sale', source => 'customer', accepts_staleness => '-1 day')$$);
SELECT * FROM consent.bind_purchases('crm.not_by_key', source => 'customer');
SELECT consent.unbind('crm.not_by_key');
SELECT * FROM consent.bind_purchases('crm.misspelt', source => 'customer');
SELECT consent.unbind('crm.misspelt');
SELECT * FROM consent.bind_purchases('crm.bound_sale', source => 'customer');
SELECT kind, view, source, native_type, by_key, columns FROM consent_data.binding ORDER BY view;

-- One address, two sources: each has its own key, and an opt-out of one reaches the other.
SELECT consent.refold(ARRAY(SELECT contact_id FROM consent_data.crm_contact));
SELECT contact_id, consent.can_send(contact_id, 'newsletter', 'shoes') FROM consent_data.contact_state ORDER BY 1;
SELECT consent.opt_out('lead:11111111-1111-1111-1111-111111111111') > 0 AS recorded;
SELECT contact_id, consent.can_send(contact_id, 'newsletter', 'shoes'), e.reason
  FROM consent_data.contact_state, LATERAL consent.explain_send(contact_id, 'newsletter', 'shoes') e ORDER BY 1;

-- Another spelling of a key is nobody's.
SELECT k, consent.can_send(k, 'newsletter', 'shoes') FROM unnest(ARRAY['customer:2', 'customer:02', 'customer: 2', 'customer:+2', 'CUSTOMER:2', 'customer:2 ', '2', 'lead:2', 'customer:']) k;
SELECT consent.refold('{customer:02,customer:2x,lead:2,customer:99999999999999999999}'), count(*) FROM consent_data.contact_state WHERE contact_id ~ ':(02|2x|9+)$|lead:2$';

-- A view that multiplies rows after it was bound: nobody knows which is the person's, which denies.
CREATE TABLE crm.country (code text, name text);
INSERT INTO crm.country VALUES ('GB', 'Britain');
CREATE OR REPLACE VIEW crm.bound_customer AS SELECT c.id AS contact_id, n.code AS country, email, phone FROM crm.customer c LEFT JOIN crm.country n ON n.code = c.country;
-- A view that says something else than it did when it was read denies until it is bound again and folded.
SELECT reason FROM consent.explain_send('customer:2', 'newsletter', 'shoes');
SELECT count(*) > 0 AS bound FROM consent.bind_contacts('crm.bound_customer', source => 'customer');
SELECT consent.refold(ARRAY(SELECT contact_id FROM consent_data.crm_contact)), consent.can_send('customer:2', 'newsletter', 'shoes');
INSERT INTO crm.country VALUES ('GB', 'England');
SELECT consent.refold('{customer:2}');
SELECT allowed, reason FROM consent.explain_send('customer:2', 'newsletter', 'shoes');
SELECT binding, problem, detail, denies FROM consent.check_bindings();
SELECT consent._refold_addresses() >= 0 AS addresses, consent._refold_fold() > 0 AS folded;
SELECT drifted FROM consent._refold_apply(1, 1000);
SELECT allowed, reason FROM consent.explain_send('customer:2', 'newsletter', 'shoes');
-- Keys of 19 digits are keys, and what was refused under them was refused.
INSERT INTO crm.customer VALUES (1234567890123456789, 'GB', 'flake@example.org', NULL);
INSERT INTO crm.sale VALUES (1234567890123456789, '2026-01-15 12:00Z', 'shoes', 'purchase', 'yes');
SELECT count(*) AS purchases FROM consent_data.crm_event_of('customer:1234567890123456789');

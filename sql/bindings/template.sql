-- A binding of any CRM: copy this file, replace what is in CAPITALS, and leave out what the CRM does not have.
-- Names of CRM's tables and columns in capitals are yours to fill in; 'GB' and SQL's own words stay. docs/binding.md explains each column. As an administrator, in the CRM's database:
--
--   psql -v ON_ERROR_STOP=1 -v sender='Shop Ltd' -f my_crm.sql
--
-- before it: CREATE EXTENSION pg_consent; CALL consent.setup(key_type => 'bigint');  -- the type of CRM.CUSTOMER.ID
-- after it:  consent-batch refold. Several tables of contacts: key_type => 'text', and source => '...' in every call below.

\set ON_ERROR_STOP on
BEGIN;
CREATE SCHEMA IF NOT EXISTS consent_crm;
-- The country of the sender's seat, GB for the UK: some laws ask for the sender's. Leave the line out if it is not known.
INSERT INTO consent_data.sender (name, is_default)
SELECT :'sender', NOT EXISTS (SELECT FROM consent_data.sender s WHERE s.is_default) ON CONFLICT (name) DO NOTHING;
UPDATE consent_data.sender SET country = 'SENDER_COUNTRY' WHERE name = :'sender';

-- Categories: by the names that the view of sales uses.
INSERT INTO consent_data.category (name) SELECT DISTINCT p.CATEGORY FROM CRM.PRODUCT p WHERE p.CATEGORY IS NOT NULL ON CONFLICT DO NOTHING;

-- One row a contact, archived ones too. contact_id is the column itself, no expression.
CREATE OR REPLACE VIEW consent_crm.contact AS
SELECT c.ID AS contact_id,
       CASE WHEN c.ARCHIVED IS NOT TRUE THEN nullif(upper(c.COUNTRY), '')::text END AS country,
       -- Unless the CRM knows better: nothing, which counts as an individual.
       NULL::text AS subscriber,
       nullif(btrim(c.EMAIL), '')::text AS email,
       nullif(btrim(c.PHONE), '')::text AS phone,
       c.NAME::text AS name
  FROM CRM.CUSTOMER c;

-- Who bought what; cancelled and credited sales give nothing.
CREATE OR REPLACE VIEW consent_crm.purchase AS
SELECT o.CUSTOMER_ID AS contact_id,
       o.ORDERED_AT AT TIME ZONE 'UTC' AS at,
       p.CATEGORY::text AS category,
       CASE WHEN o.CANCELLED THEN 'cancelled' ELSE 'purchase' END AS kind,
       -- Whether the form that took the address offered a refusal of advertising. Only if you can show that it did:
       --   CASE WHEN o.ORDERED_AT >= timestamp 'FORM_OFFERED_SINCE' THEN 'yes' ELSE 'unknown' END AS opt_out_offered
       'unknown'::text AS opt_out_offered
  FROM CRM.SALES_ORDER o
  JOIN CRM.SALES_LINE l ON l.ORDER_ID = o.ID AND l.QUANTITY > 0 AND l.PRICE > 0
  JOIN CRM.PRODUCT p ON p.ID = l.PRODUCT_ID;

-- Refusals, and opt-ins with their proof.
CREATE OR REPLACE VIEW consent_crm.consent AS
-- A flag without a date: it denies as long as it is there.
SELECT c.ID AS contact_id, c.EMAIL::text AS address, 'opt_out'::text AS kind, NULL::timestamptz AS at, '{email}'::text[] AS channels,
       NULL::text[] AS purposes, NULL::text AS method, NULL::jsonb AS evidence, 'CUSTOMER:' || c.ID AS source
  FROM CRM.CUSTOMER c WHERE c.NO_MAIL
UNION ALL
-- By address, with a date.
SELECT NULL::TYPE_OF_ID, u.EMAIL::text, 'opt_out'::text, u.UNSUBSCRIBED_AT AT TIME ZONE 'UTC', '{email}'::text[],
       NULL::text[], NULL::text, NULL::jsonb, 'UNSUBSCRIBED:' || u.ID
  FROM CRM.UNSUBSCRIBED u
UNION ALL
SELECT s.CUSTOMER_ID, NULL::text, 'opt_in'::text, s.SIGNED_AT AT TIME ZONE 'UTC', '{email}'::text[],
       '{newsletter}'::text[], 'active'::text, jsonb_build_object('form', s.FORM, 'ip', s.IP), 'SIGN_UP:' || s.ID
  FROM CRM.SIGN_UP s;

-- What people did. No opens, no "last updated".
CREATE OR REPLACE VIEW consent_crm.engagement AS
SELECT k.CUSTOMER_ID AS contact_id, k.CLICKED_AT AT TIME ZONE 'UTC' AS at, 'click'::text AS kind,
       k.CLICKED_AT < k.SENT_AT + interval '10 seconds' IS NOT FALSE AS machine
  FROM CRM.CLICK k WHERE k.CLICKED_AT IS NOT NULL;

SELECT * FROM consent.bind_contacts('consent_crm.contact');
SELECT * FROM consent.bind_consents('consent_crm.consent', sender => :'sender');
SELECT * FROM consent.bind_purchases('consent_crm.purchase', sender => :'sender');
SELECT * FROM consent.bind_engagement('consent_crm.engagement', sender => :'sender');

-- columns => '{email,country}' names those whose change matters, so that other edits cost nothing; left out, all do.
SELECT consent.watch('CRM.CUSTOMER', 'contacts', contact => 'r.ID');
SELECT consent.watch('CRM.CUSTOMER', 'consents', contact => 'r.ID', address => 'r.EMAIL');
SELECT consent.watch('CRM.UNSUBSCRIBED', 'consents', address => 'r.EMAIL');
SELECT consent.watch('CRM.SIGN_UP', 'consents', contact => 'r.CUSTOMER_ID');
SELECT consent.watch('CRM.SALES_ORDER', 'purchases', contact => 'r.CUSTOMER_ID');
SELECT consent.watch('CRM.SALES_LINE', 'purchases', contact => 'SELECT o.CUSTOMER_ID FROM CRM.SALES_ORDER o WHERE o.ID = r.ORDER_ID');
SELECT consent.watch('CRM.CLICK', 'engagement', contact => 'r.CUSTOMER_ID');
COMMIT;
SELECT * FROM consent.check_bindings();
\echo 'now run: consent-batch refold'

-- The extension over that CRM: two senders, the category tree, own retention rules where no pack has one, five views.

CREATE EXTENSION pg_consent;
CALL consent.setup();
CREATE ROLE night LOGIN IN ROLE consent_batch;
INSERT INTO consent_data.sender (name, country, is_default) VALUES ('shop', 'GB', true), ('garden', 'GB', false);
INSERT INTO consent_data.category (category_id, name, parent_id, sensitive) OVERRIDING SYSTEM VALUE
SELECT c.id, c.name, c.parent, c.sensitive FROM crm.category c ORDER BY c.id;
INSERT INTO consent_data.audit_question VALUES ('newsletter', 'type 1000');

-- France's three years are in its pack. The others' are the firm's own.
CREATE TABLE crm.retention_rule (country text PRIMARY KEY, years integer NOT NULL, pack text);
INSERT INTO crm.retention_rule VALUES ('FR', 3, NULL), ('GB', 5, 'gb'), ('DE', 2, 'de'), ('CA', 3, 'ca'), ('US', 4, 'us');
INSERT INTO consent_data.policy_override (name, document, reason)
SELECT 'retention ' || r.country, jsonb_build_object('extends', r.pack, 'rules', jsonb_build_array(jsonb_build_object(
           'id', r.pack || '.own_retention/1', 'from', '1900-01-01', 'citation', 'board decision', 'confidence', 'high',
           'when', jsonb_build_object('to', f.document->'when'->'to'),
           'then', jsonb_build_object('retention', jsonb_set(f.document->'then'->'retention', '{after,years}', to_jsonb(r.years)))))), 'benchmark'
  FROM crm.retention_rule r, (SELECT $${"when": {"to": ["individual:*", "unknown:*", "corporate:personal", "corporate:named_work", "corporate:unknown"]},
      "then": {"retention": {"after": {"years": 0}, "warn_days": 90, "renewal_days": 60, "actions": ["purchase", "opt_in", "opt_in_confirmed",
      "click", "login", "inbound_contact"]}}}$$::jsonb AS document) f
 WHERE r.pack IS NOT NULL;

CREATE VIEW crm.consent_contact AS SELECT id AS contact_id, country, email, subscriber, address_kind FROM crm.customer;
CREATE VIEW crm.consent_purchase_shop AS
SELECT s.customer AS contact_id, s.at, c.name AS category, CASE WHEN s.opt_out_offered THEN 'yes' ELSE 'no' END AS opt_out_offered
  FROM crm.sale s JOIN crm.category c ON c.id = s.category WHERE s.company = 1;
CREATE VIEW crm.consent_purchase_garden AS
SELECT s.customer AS contact_id, s.at, c.name AS category, CASE WHEN s.opt_out_offered THEN 'yes' ELSE 'no' END AS opt_out_offered
  FROM crm.sale s JOIN crm.category c ON c.id = s.category WHERE s.company = 2;
CREATE VIEW crm.consent_engagement AS SELECT customer AS contact_id, at, kind, machine FROM crm.engagement;
CREATE VIEW crm.consent_answer AS
SELECT a.customer AS contact_id, a.kind, a.at, a.at AS recorded_at, c.name AS category, ARRAY['email'] AS channels,
       CASE a.kind WHEN 'opt_in' THEN ARRAY['marketing', 'newsletter'] END AS purposes, a.method,
       CASE a.kind WHEN 'opt_in' THEN '{"form": "sign-up", "wording": 3}'::jsonb END AS evidence
  FROM crm.answer a LEFT JOIN crm.category c ON c.id = a.category;
SELECT consent.bind_contacts('crm.consent_contact');
SELECT consent.bind_purchases('crm.consent_purchase_shop', sender => 'shop');
SELECT consent.bind_purchases('crm.consent_purchase_garden', sender => 'garden');
SELECT consent.bind_engagement('crm.consent_engagement', sender => 'shop');
SELECT consent.bind_consents('crm.consent_answer', sender => 'shop');
SELECT consent.watch('crm.customer', 'contacts', contact => 'r.id');
SELECT consent.watch('crm.sale', 'purchases', contact => 'r.customer');
SELECT consent.watch('crm.engagement', 'engagement', contact => 'r.customer');
SELECT consent.watch('crm.answer', 'consents', contact => 'r.customer');
-- A view with a table that nobody watches makes every night fold everybody, also for a table that hardly ever changes.
SELECT consent.watch('crm.category', 'purchases', contact => 'SELECT s.customer FROM crm.sale s WHERE s.category = r.id', columns => '{name}');
SELECT consent.watch('crm.category', 'consents', contact => 'SELECT a.customer FROM crm.answer a WHERE a.category = r.id', columns => '{name}');

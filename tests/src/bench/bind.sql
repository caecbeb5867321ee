-- The extension over that CRM: one sender, its categories, the consents in the ledger, customers and sales bound.

CREATE EXTENSION pg_consent;
CALL consent.setup();
INSERT INTO consent_data.sender (name, country, is_default) VALUES ('shop', 'GB', true);
INSERT INTO consent_data.category (name) SELECT DISTINCT department FROM crm.category;
INSERT INTO consent_data.category (name, parent_id)
SELECT c.name, d.category_id FROM crm.category c JOIN consent_data.category d ON d.name = c.department;
INSERT INTO consent_data.similarity_override (category_a, category_b, is_similar, reason)
SELECT a.category_id, b.category_id, true, 'benchmark'
  FROM crm.similar_category s
  JOIN crm.category t ON t.id = s.target JOIN consent_data.category a ON a.name = t.name
  JOIN crm.category o ON o.id = s.category JOIN consent_data.category b ON b.name = o.name
 WHERE s.category <> s.target;

INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, channels, category_id, purposes, detail, evidence)
SELECT e.customer, e.kind, e.at, e.at, s.sender_id, ARRAY['email'], k.category_id,
       CASE e.kind WHEN 'opt_in' THEN ARRAY['marketing'] END,
       CASE e.kind WHEN 'opt_in' THEN jsonb_build_object('method', e.method)
                   ELSE jsonb_build_object('via', 'link', 'scope', CASE WHEN e.category IS NULL THEN 'all' ELSE 'category' END) END,
       CASE WHEN e.proven THEN '{"form": "sign-up", "wording": 3}'::jsonb END
  FROM crm.consent_event e
  CROSS JOIN consent_data.sender s
  LEFT JOIN crm.category c ON c.id = e.category
  LEFT JOIN consent_data.category k ON k.name = c.name
 ORDER BY e.at;

CREATE VIEW crm.bound_customer AS
SELECT id AS contact_id, country, email, 'individual'::text AS subscriber FROM crm.customer;
CREATE VIEW crm.bound_sale AS
SELECT s.customer AS contact_id, s.at, c.name AS category, CASE WHEN s.opt_out_offered THEN 'yes' ELSE 'no' END AS opt_out_offered
  FROM crm.sale s JOIN crm.category c ON c.id = s.category;
SELECT consent.bind_contacts('crm.bound_customer');
SELECT consent.bind_purchases('crm.bound_sale');
ANALYZE consent_data.event;

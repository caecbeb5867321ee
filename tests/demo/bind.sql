-- What a DBA writes to point pg_consent at this CRM: who sends, which categories there are, and three views.

INSERT INTO consent_data.sender (name, country, breadth, is_default) VALUES ('Corner Grocer Ltd', 'GB', 'supermarket', true);

INSERT INTO consent_data.category (name)
SELECT c.name FROM crm.category c WHERE c.level = 1 ORDER BY c.id;
INSERT INTO consent_data.category (name, parent_id)
SELECT d.name || ' / ' || c.name, p.category_id
  FROM crm.category c JOIN crm.category d ON d.id = c.parent_id JOIN consent_data.category p ON p.name = d.name
 WHERE c.level = 2 ORDER BY c.id;

CREATE SCHEMA crm_consent;

CREATE VIEW crm_consent.contact AS
SELECT c.id AS contact_id, c.country, c.email, c.phone,
       CASE c.kind WHEN 'company' THEN 'corporate' ELSE 'individual' END AS subscriber,
       CASE WHEN c.kind <> 'company' THEN 'personal'
            WHEN c.email ~ '^(info|office|contact|accueil|hello|kontakt|mail|sales|service)@' THEN 'role'
            ELSE 'named_work' END AS address_kind
  FROM crm.customer c;

CREATE VIEW crm_consent.purchase AS
SELECT o.customer_id AS contact_id, o.ordered_at AS at,
       CASE c.level WHEN 3 THEN g.name || ' / ' || p.name WHEN 2 THEN p.name || ' / ' || c.name ELSE c.name END AS category,
       CASE o.status WHEN 'cancelled' THEN 'cancelled' ELSE 'purchase' END AS kind,
       CASE o.opt_out_offered WHEN true THEN 'yes' WHEN false THEN 'no' ELSE 'unknown' END AS opt_out_offered,
       o.opt_out_ticked AS refused
  FROM crm."order" o
  JOIN crm.order_line l ON l.order_id = o.id
  JOIN crm.product t ON t.id = l.product_id
  LEFT JOIN crm.category c ON c.id = t.category_id
  LEFT JOIN crm.category p ON p.id = c.parent_id
  LEFT JOIN crm.category g ON g.id = p.parent_id;

CREATE VIEW crm_consent.engagement AS
SELECT k.customer_id AS contact_id, k.clicked_at AS at, 'click'::text AS kind, k.machine FROM crm.campaign_click k;

SELECT consent.bind_contacts('crm_consent.contact'),
       consent.bind_purchases('crm_consent.purchase'),
       consent.bind_engagement('crm_consent.engagement');

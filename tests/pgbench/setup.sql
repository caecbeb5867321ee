-- A shop under load: 1,000 customers who share some addresses, everything watched.
SET client_min_messages = warning;
CREATE SCHEMA crm;
CREATE TABLE crm.customer (id bigint PRIMARY KEY, country text, email text);
CREATE TABLE crm.sale (id bigserial PRIMARY KEY, customer bigint NOT NULL, at timestamptz NOT NULL, category text NOT NULL,
    kind text NOT NULL, refused boolean NOT NULL DEFAULT false, client int NOT NULL DEFAULT -1);
CREATE INDEX ON crm.sale (customer);
CREATE INDEX ON crm.sale (client);
CREATE TABLE crm.list (id bigserial PRIMARY KEY, customer bigint NOT NULL, opted_out boolean NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON crm.list (customer);
CREATE TABLE crm.blacklist (id bigserial PRIMARY KEY, email text NOT NULL);
CREATE INDEX ON crm.blacklist (email);
CREATE VIEW crm.bound_customer AS SELECT id AS contact_id, country, email FROM crm.customer;
CREATE VIEW crm.bound_sale AS SELECT customer AS contact_id, at, category, kind, 'yes'::text AS opt_out_offered, refused FROM crm.sale;
CREATE VIEW crm.bound_list AS SELECT customer AS contact_id, CASE WHEN opted_out THEN 'opt_out' ELSE 'opt_in' END AS kind, at,
    '{newsletter,marketing}'::text[] AS purposes, 'active'::text AS method, '{"form": 1}'::jsonb AS evidence FROM crm.list;
CREATE VIEW crm.bound_blacklist AS SELECT email AS address, 'opt_out'::text AS kind, NULL::timestamptz AS at FROM crm.blacklist;
INSERT INTO consent_data.sender (name, country, is_default) VALUES ('shop', 'GB', true);
INSERT INTO consent_data.category (name) VALUES ('shoes'), ('books');
INSERT INTO crm.customer SELECT n, 'GB', format('p%s@example.org', n - n % 3) FROM generate_series(1, 1000) n;
INSERT INTO crm.sale (customer, at, category, kind) SELECT n, now() - interval '1 month', 'shoes', 'purchase' FROM generate_series(1, 1000) n;
-- Those whom only the checker touches.
INSERT INTO crm.customer SELECT n, 'GB', format('c%s@example.org', n) FROM generate_series(1000001, 1001000) n;
INSERT INTO crm.sale (customer, at, category, kind) SELECT n, now() - interval '1 month', 'shoes', 'purchase' FROM generate_series(1000001, 1001000) n;
SELECT FROM consent.bind_contacts('crm.bound_customer');
SELECT FROM consent.bind_purchases('crm.bound_sale');
SELECT FROM consent.bind_consents('crm.bound_list');
SELECT FROM consent.bind_consents('crm.bound_blacklist');
SELECT consent.watch('crm.customer', 'contacts', contact => 'r.id'), consent.watch('crm.sale', 'purchases', contact => 'r.customer'),
       consent.watch('crm.list', 'consents', contact => 'r.customer'), consent.watch('crm.blacklist', 'consents', address => 'r.email');
SELECT consent._refold_addresses(), consent._refold_fold();
SELECT consent._refold_apply(1, 1000000);
SELECT consent._refold_finish();

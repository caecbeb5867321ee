-- A shop with 3,000 customers, whose data the CRM anonymises when their time is over.
SET client_min_messages = warning;
CREATE SCHEMA crm;
CREATE TABLE crm.customer (id bigint PRIMARY KEY, country text, name text, email text);
CREATE TABLE crm.sale (id bigint PRIMARY KEY, customer bigint NOT NULL, at timestamptz NOT NULL, category text NOT NULL);
CREATE INDEX ON crm.sale (customer);
-- Every change the night makes here is seen.
CREATE TABLE crm.changed (customer bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION crm.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO crm.changed (customer) VALUES (OLD.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER note_change AFTER UPDATE OR DELETE ON crm.customer FOR EACH ROW EXECUTE FUNCTION crm.note_change();
CREATE VIEW crm.bound_customer AS SELECT id AS contact_id, country, email FROM crm.customer;
CREATE VIEW crm.bound_sale AS SELECT customer AS contact_id, at, category, 'yes'::text AS opt_out_offered FROM crm.sale;
INSERT INTO consent_data.sender (name, country, is_default) VALUES ('shop', 'FR', true);
INSERT INTO consent_data.category (name) SELECT 'department ' || n FROM generate_series(1, 4) n;
INSERT INTO consent_data.category (name, parent_id)
SELECT format('category %s', n), (SELECT c.category_id FROM consent_data.category c WHERE c.name = 'department ' || 1 + n % 4) FROM generate_series(1, 40) n;
INSERT INTO crm.customer SELECT n, CASE WHEN n % 3 = 0 THEN 'GB' ELSE 'FR' END, 'Customer ' || n, format('k%s@example.org', n) FROM generate_series(1, 3000) n;
-- Every tenth bought four years ago and never since: in France their time is over.
INSERT INTO crm.sale
SELECT n * 4 + k, n, CASE WHEN n % 10 = 0 THEN timestamptz '2022-06-01 12:00Z' ELSE now() - interval '2 months' * (1 + (n * 7 + k) % 9) END,
       format('category %s', 1 + (n * n + k * (1 + n % 5)) % 40)
  FROM generate_series(1, 3000) n, generate_series(0, 3) k;
SELECT FROM consent.bind_contacts('crm.bound_customer');
SELECT FROM consent.bind_purchases('crm.bound_sale');
SELECT consent.watch('crm.customer', 'contacts', contact => 'r.id'), consent.watch('crm.sale', 'purchases', contact => 'r.customer');
SELECT consent.set_retention('crm.customer', key => 'id', action => 'anonymise', columns => '{"name": null, "email": null}', grace => '0 days');

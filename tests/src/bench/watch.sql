-- Two pairs of tables, alike but for the triggers.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['plain_', 'watched_'] LOOP
        EXECUTE format('CREATE TABLE crm.%1$sorder (id bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES crm.customer,
            category integer NOT NULL REFERENCES crm.category, at timestamptz NOT NULL, state text NOT NULL DEFAULT ''sale'', note text)', name);
        EXECUTE format('CREATE INDEX ON crm.%sorder (customer)', name);
        EXECUTE format('CREATE TABLE crm.%slist (id bigserial PRIMARY KEY, customer bigint NOT NULL REFERENCES crm.customer,
            opted_out boolean NOT NULL, at timestamptz NOT NULL)', name);
        EXECUTE format('CREATE INDEX ON crm.%slist (customer)', name);
    END LOOP;
END
$$;
CREATE VIEW crm.bound_order AS
SELECT o.customer AS contact_id, o.at, c.name AS category, CASE o.state WHEN 'cancelled' THEN 'cancelled' ELSE 'purchase' END AS kind,
       'yes'::text AS opt_out_offered
  FROM crm.watched_order o JOIN crm.category c ON c.id = o.category;
CREATE VIEW crm.bound_list AS
SELECT l.customer AS contact_id, CASE WHEN l.opted_out THEN 'opt_out' ELSE 'opt_in' END AS kind, l.at, 'list:' || l.id AS source
  FROM crm.watched_list l;
SELECT FROM consent.bind_purchases('crm.bound_order');
SELECT FROM consent.bind_consents('crm.bound_list');
SELECT consent.watch('crm.watched_order', 'purchases', contact => 'r.customer', columns => '{customer,category,at,state}'),
       consent.watch('crm.watched_list', 'consents', contact => 'r.customer');

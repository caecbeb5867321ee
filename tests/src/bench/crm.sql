-- A shop's CRM, made inside the server, the same at each run: everything is a hash of the row's number and a seed.
-- Ages are the same too; they are counted back from today, so that the share of yes does not drift.
-- bench.contacts is set by the program. Tables that grow with time are stored in its order, as in real life.

CREATE SCHEMA crm;

CREATE FUNCTION crm.u(n bigint, seed bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashint8extended(n, seed) & 4294967295)::double precision / 4294967296;

CREATE FUNCTION crm.days_ago(days double precision) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN date_trunc('day', now()) - days * interval '1 day';

CREATE TABLE crm.customer (
    id bigint PRIMARY KEY,
    email text NOT NULL,
    country text NOT NULL,
    newsletter_ok boolean NOT NULL DEFAULT false
);
INSERT INTO crm.customer (id, email, country)
SELECT n, 'customer' || n || '@example.org', CASE WHEN crm.u(n, 1) < 0.6 THEN 'GB' ELSE 'FR' END
  FROM generate_series(1, current_setting('bench.contacts')::bigint) n;

-- Twenty departments with ten categories each. 42 is asked about; the rest of its department but two, and five
-- others, count as similar.
CREATE TABLE crm.category (id integer PRIMARY KEY, name text NOT NULL UNIQUE, department text NOT NULL);
INSERT INTO crm.category
SELECT n, 'category ' || n, 'department ' || (n - 1) / 10 + 1 FROM generate_series(1, 200) n;
CREATE TABLE crm.similar_category (target integer NOT NULL, category integer NOT NULL, PRIMARY KEY (target, category));
INSERT INTO crm.similar_category SELECT 42, n FROM generate_series(41, 48) n UNION ALL SELECT 42, n FROM generate_series(11, 171, 40) n;

CREATE TABLE crm.sale (
    customer bigint NOT NULL,
    category integer NOT NULL,
    at timestamptz NOT NULL,
    opt_out_offered boolean NOT NULL
);
INSERT INTO crm.sale
SELECT c.id, 1 + floor(200 * crm.u(c.id * 64 + n, 4) ^ 1.5),
       crm.days_ago(1 + 1800 * crm.u(c.id, 3) ^ 1.3 + 700 * crm.u(c.id * 64 + n, 5)) AS at,
       crm.u(c.id * 64 + n, 6) < 0.8
  FROM crm.customer c, generate_series(1, least(40, floor(-4.5 * ln(1 - crm.u(c.id, 2))))::integer) n
 ORDER BY at;
-- All that the hand-written rule reads of a sale, so that it never visits the table.
CREATE INDEX ON crm.sale (customer, category, opt_out_offered, at);

CREATE TABLE crm.consent_event (
    customer bigint NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    method text,
    proven boolean,
    category integer
);
INSERT INTO crm.consent_event
SELECT * FROM (
    SELECT id, 'opt_in', crm.days_ago(1 + 1500 * crm.u(id, 11)) AS at,
           CASE WHEN crm.u(id, 12) < 0.9 THEN 'active' ELSE 'pre_ticked' END, crm.u(id, 13) < 0.93, NULL::integer
      FROM crm.customer WHERE crm.u(id, 10) < 0.33
    UNION ALL
    SELECT id, 'opt_out', crm.days_ago(1 + 1500 * crm.u(id, 21)), NULL, NULL,
           CASE WHEN crm.u(id, 22) < 0.15 THEN 1 + floor(200 * crm.u(id, 23) ^ 1.5)::integer END
      FROM crm.customer WHERE crm.u(id, 20) < 0.1
    UNION ALL
    SELECT id, 'opt_in', crm.days_ago(1 + 1500 * crm.u(id, 21) * crm.u(id, 25)), 'active', true, NULL
      FROM crm.customer WHERE crm.u(id, 20) < 0.1 AND crm.u(id, 24) < 0.15
) e
 ORDER BY at;
CREATE INDEX ON crm.consent_event (customer, kind, at) INCLUDE (method, proven, category);

VACUUM ANALYZE crm.customer, crm.category, crm.similar_category, crm.sale, crm.consent_event;

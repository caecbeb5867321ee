-- A view that would be misread must not be bound, and what is taken out of the bindings must not count.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
CREATE VIEW crm.no_country AS SELECT id AS contact_id FROM crm.customer;
CREATE VIEW crm.varchar_and_int AS SELECT id::integer AS contact_id, country::varchar(2) AS country, email::varchar AS email FROM crm.customer;
CREATE VIEW crm.naive_time AS SELECT customer AS contact_id, at AT TIME ZONE 'UTC' AS at, category, 'maybe'::text AS refused FROM crm.sale;
CREATE VIEW crm.odd_kinds AS SELECT customer AS contact_id, at, category, CASE customer WHEN 1 THEN 'refund' WHEN 2 THEN 'gift' ELSE kind END AS kind FROM crm.sale;
CREATE VIEW crm.clicks AS SELECT customer AS contact_id, at, 'opened'::text AS kind FROM crm.sale;
SELECT test.fails($$SELECT consent.bind_contacts('crm.no_country')$$);
SELECT test.fails($$SELECT consent.bind_contacts('crm.varchar_and_int')$$);
SELECT test.fails($$SELECT consent.bind_contacts('crm.sale')$$);
SELECT test.fails($$SELECT consent.bind_purchases('crm.naive_time')$$);
SELECT test.fails($$SELECT consent.bind_purchases('crm.odd_kinds')$$);
SELECT test.fails($$SELECT consent.bind_purchases('crm.bound_sale', sender => 'shopp')$$);
SELECT test.fails($$SELECT consent.bind_engagement('crm.clicks')$$);
SELECT test.fails($$SELECT consent.bind_contacts('crm.nowhere')$$);
SELECT kind, view, sender_id, columns FROM consent_data.binding ORDER BY binding_id;

-- What was cancelled or credited gives nothing; what was bought of another sender gives it to that sender.
INSERT INTO crm.sale VALUES (3, '2026-01-18Z', 'books', 'cancelled', 'yes'), (3, '2026-01-19Z', 'books', 'credit_note', 'yes');
CREATE VIEW crm.sister_sale AS SELECT 3::bigint AS contact_id, '2026-01-20Z'::timestamptz AS at, 'books'::text AS category, 'yes'::text AS opt_out_offered;
SELECT (SELECT count(*) > 0 FROM consent.bind_purchases('crm.sister_sale', sender => 'sister')) AS bound, consent.refold('{3}');
SELECT sender, a.allowed, coalesce(a.basis, a.reason) AS because FROM unnest(ARRAY['shop', 'sister']) sender, LATERAL consent.explain_send(3::bigint, 'newsletter', 'books', sender => sender) a;

-- An unknown category of the CRM is no similar one; a machine's click is none.
INSERT INTO crm.sale VALUES (3, '2026-01-21Z', 'hats', 'purchase', 'yes');
CREATE VIEW crm.click AS SELECT 1::bigint AS contact_id, '2026-01-22Z'::timestamptz + make_interval(days => n) AS at, 'click'::text AS kind, n = 2 AS machine FROM generate_series(1, 2) n;
SELECT (SELECT count(*) > 0 FROM consent.bind_engagement('crm.click')) AS bound, consent.refold('{1, 3}');
SELECT reason FROM consent.explain_send(3::bigint, 'newsletter', 'books');
SELECT f->>'kind' AS kind, f->>'at' AS at FROM consent_data.contact_state, jsonb_array_elements(consent.state_json(state)->'facts') f WHERE contact_id = 1 ORDER BY 2;

-- Unbound: what rested on it goes with the next refold, by key and all at once, and nothing else goes.
CREATE VIEW test.answers AS SELECT n, consent.can_send(n::bigint, 'newsletter', 'shoes'), a.reason, consent.can_send(n::bigint, 'newsletter', 'books', sender => 'sister') AS sister
  FROM generate_series(1, 4) n, consent.explain_send(n::bigint, 'newsletter', 'shoes') a ORDER BY n;
SELECT consent.opt_out(2::bigint) > 0 AS recorded;
TABLE test.answers;
SELECT consent.unbind('crm.bound_sale');
SELECT consent.refold('{1}');
TABLE test.answers;
SELECT consent._refold_fold();
SELECT * FROM consent._refold_apply(1, 1000);
TABLE test.answers;
SELECT kind, view FROM consent_data.binding ORDER BY binding_id;

-- Bound again: all is as before. Twice is harmless.
SELECT (SELECT count(*) > 0 FROM consent.bind_purchases('crm.bound_sale')) AS bound, (SELECT count(*) > 0 FROM consent.bind_purchases('crm.bound_sale')) AS again;
SELECT consent._refold_fold();
SELECT * FROM consent._refold_apply(1, 1000);
TABLE test.answers;
SELECT * FROM consent._refold_apply(1, 1000);

-- Contacts unbound: the country is unknown, which denies; the opt-out stays.
SELECT consent.unbind('crm.bound_customer');
SELECT consent._refold_fold();
SELECT * FROM consent._refold_apply(1, 1000);
TABLE test.answers;
SELECT consent.can_send(1::bigint, 'order_confirmation');

-- A row that came after the binding and cannot be read must not stop the fold of all others.
SELECT (SELECT count(*) > 0 FROM consent.bind_contacts('crm.bound_customer')) AS bound;
INSERT INTO crm.sale VALUES (4, '2026-01-23Z', 'shoes', 'refund', 'yes'), (4, '2026-01-23Z', 'shoes', 'purchase', 'perhaps');
SELECT test.fails($$SELECT consent._refold_fold()$$);
SELECT test.fails($$SELECT * FROM consent._refold_apply(1, 1000)$$);
SELECT n, can_send FROM test.answers;

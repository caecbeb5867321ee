-- A past answer must be the one that could be given then, and the one that should have been.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SET SESSION AUTHORIZATION test_admin;
SELECT consent.record_event(1::bigint, 'opt_out', at => '2026-03-01Z', recorded_at => '2026-03-10Z', channels => '{any}', detail => '{"via": "letter"}') AS late_letter,
       consent.opt_in(2::bigint, at => '2026-04-01Z', evidence => '{"form": 1}') AS consent;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_decide;
-- The letter came on 1 March and was recorded on the 10th. Then nobody knew on the 5th; now we know we should not have written.
SELECT at::date, known::date, a.allowed, coalesce(a.basis, a.reason) AS because, a.exactness
  FROM (VALUES ('2026-02-20Z', 'infinity'), ('2026-03-05Z', '2026-03-05Z'), ('2026-03-05Z', '2026-03-09 23:59Z'), ('2026-03-05Z', '2026-03-10Z'), ('2026-03-05Z', 'infinity'), ('2026-03-11Z', 'infinity')) v (t, k),
       LATERAL (SELECT t::timestamptz AS at, k::timestamptz AS known) i, LATERAL consent.explain_send_as_of('1', 'newsletter', 'shoes', at, known) a;
-- Before the first sale there was no relationship.
SELECT a.allowed, a.reason FROM consent.explain_send_as_of('1', 'newsletter', 'shoes', '2026-01-14Z') a;
-- A state knows the present only. The gate denies for earlier instants; the explanation goes back to the facts.
SELECT at::date, consent.can_send(1::bigint, 'newsletter', 'shoes', at => at), a.allowed, coalesce(a.basis, a.reason) AS because
  FROM unnest(ARRAY['2026-01-14Z', '2026-02-20Z', '2026-03-05Z']::timestamptz[]) at, LATERAL consent.explain_send(1::bigint, 'newsletter', 'shoes', at => at) a;
SELECT at::date, consent.can_send(2::bigint, 'newsletter', at => at), a.allowed, coalesce(a.basis, a.reason) AS because
  FROM unnest(ARRAY['2026-03-31Z', '2026-04-01Z']::timestamptz[]) at, LATERAL consent.explain_send(2::bigint, 'newsletter', at => at) a;
-- No instant is now, and no limit of knowledge is all of it: an opt-out must not get lost between the two.
SELECT a.allowed, a.reason FROM consent.explain_send_as_of('1', 'newsletter', 'shoes', NULL) a;
SELECT a.allowed, a.reason FROM consent.explain_send_as_of('1', 'newsletter', 'shoes', now(), NULL) a;
-- Nobody, no key, unknown words: an answer all the same.
SELECT key, kind, a.allowed, a.reason FROM (VALUES ('99', 'newsletter'), ('ann', 'newsletter'), (NULL, 'newsletter'), ('1', 'newsleter'), ('1', NULL)) v (key, kind), LATERAL consent.explain_send_as_of(key, kind, 'shoes', '2026-06-01Z') a;
-- The law of then: the charity soft opt-in began on 5 February 2026.
RESET SESSION AUTHORIZATION;
UPDATE consent_data.sender SET charity = true WHERE name = 'shop';
SET SESSION AUTHORIZATION test_admin;
SELECT consent.record_event(3::bigint, 'donation', at => '2026-02-10Z', opt_out_offered => 'yes', evidence => '{"gift": 1}') > 0 AS late, consent.record_event(4::bigint, 'donation', at => '2026-02-01Z', opt_out_offered => 'yes', evidence => '{"gift": 2}') > 0 AS early;
RESET SESSION AUTHORIZATION;
SELECT n, at::date, a.allowed, coalesce(a.basis, a.reason) AS because FROM (VALUES (3, '2026-02-11Z'::timestamptz), (4, '2026-02-02Z'), (4, '2026-02-11Z')) v (n, at), LATERAL consent.explain_send_as_of(n::text, 'charity_fundraising', NULL, at) a;
-- Without a binding all is in the ledger.
SELECT consent.unbind('crm.bound_sale'), consent.unbind('crm.bound_customer');
SELECT a.exactness FROM consent.explain_send_as_of('1', 'newsletter', 'shoes', '2026-06-01Z') a;

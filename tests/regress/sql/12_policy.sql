-- The law in words must be the law that decides: of the day asked about, with the operator's decisions, and whole.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SET SESSION AUTHORIZATION test_audit;
SELECT rule, in_force_from, in_force_until, channels, recipients, confidence, obligations FROM consent.policy('GB', '2026-06-01Z');
\pset expanded on
SELECT * FROM consent.policy('gb', '2026-06-01Z') WHERE rule = 'gb.soft_opt_in/1';
SELECT * FROM consent.policy('FR', '2026-08-01Z') WHERE rule ~ 'bloctel|existing_customer|hours|attempts|cpf';
\pset expanded off
-- A rule is listed on its days only, as days go in its country.
SELECT at, count(*) FILTER (WHERE rule = 'gb.charity_soft_opt_in/1') AS listed FROM unnest('{2026-02-04 23:59:59Z,2026-02-05 00:00Z}'::timestamptz[]) at, consent.policy('GB', at) GROUP BY 1 ORDER BY 1;
SELECT at, count(*) FILTER (WHERE rule = 'fr.calling_hours/1') AS old, count(*) FILTER (WHERE rule = 'fr.calling_hours/2') AS new FROM unnest('{2026-08-10 21:59:59Z,2026-08-10 22:00Z}'::timestamptz[]) at, consent.policy('FR', at) GROUP BY 1 ORDER BY 1;
-- Either name, in either case; no instant is now; no name is all.
SELECT name, (SELECT count(*) FROM consent.policy(name, NULL)) = (SELECT count(*) FROM consent.policy('gb')) AS the_same FROM unnest('{gb,GB,Gb," GB "}'::text[]) name;
SELECT (SELECT array_agg(rule) FROM consent.policy(NULL)) = (SELECT array_agg(rule) FROM consent.audit_policy) AS all_rules, (SELECT count(DISTINCT split_part(rule, '.', 1)) FROM consent.policy(NULL)) >= 3 AS of_several_packs;
-- Nothing without words or citation.
SELECT rule FROM consent.policy(NULL) WHERE NOT (messages <> '' AND channels <> '' AND recipients <> '' AND requirement <> '' AND citation <> '' AND confidence <> '' AND in_force_from IS NOT NULL AND contested IS NOT NULL AND obligations IS NOT NULL) OR source = '' OR note = '';
-- A typing error must not look like a country without law.
SELECT regexp_replace(test.fails($$SELECT consent.policy('XX')$$), '(known ones are ).*fr, gb.*zz, and', '\1..., fr, gb, ..., zz, and');
SELECT test.fails($$SELECT consent.policy('')$$) ~ 'jurisdiction `` is not known' AS unknown;

-- What the answer of the gate cites is listed.
SELECT count(*) FILTER (WHERE NOT EXISTS (SELECT FROM consent.policy(a.jurisdiction) p WHERE p.rule = a.rule AND p.citation = a.citation AND p.obligations = a.obligations)) AS missing, count(*) AS answers
  FROM unnest('{newsletter,order_confirmation,review_request,opt_out_confirmation}'::text[]) kind, unnest('{1,2}'::bigint[]) contact, LATERAL consent.explain_send(contact, kind, 'shoes') a WHERE a.allowed;

-- Contested points: the default, a decision, its revocation; a decision that no rule rests on is no secret.
RESET SESSION AUTHORIZATION;
INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, decided_on, reason, document) VALUES
    ('gb.basket_is_negotiation', false, 'the privacy officer', '2026-05-01', 'no ruling yet', 'memo 7');
SET SESSION AUTHORIZATION test_audit;
SELECT rule, contested FROM consent.policy('GB', '2026-06-01Z') WHERE contested <> '{}';
SELECT jurisdiction, rule, contested, note, decisions FROM consent.audit_policy WHERE decisions IS NOT NULL AND jurisdiction = 'gb' ORDER BY rule;
RESET SESSION AUTHORIZATION;
UPDATE consent_data.policy_decision SET revoked_at = now();
SELECT rule, contested FROM consent.policy('GB', '2026-06-01Z') WHERE contested <> '{}';
SELECT count(*) FROM consent.audit_policy WHERE decisions IS NOT NULL;

-- How long an opt-out may take. No number of days in the law is no number here, and no country is no grace.
SET SESSION AUTHORIZATION test_audit;
SELECT country, consent.opt_out_deadline(country, '2026-05-11 12:00Z') AS gone, consent.opt_out_deadline(country, NULL) AS never FROM unnest('{GB,FR,XX,nowhere,"",NULL}'::text[]) country;
-- Five business days from the day itself, ten from the day after; days as they go there, without holidays.
SELECT country, at, consent.opt_out_deadline(country, at, region)
  FROM (VALUES ('AU', '2026-05-11 12:00+10'::timestamptz, 'NSW'), ('au', '2026-05-11 23:59:59+10', NULL), ('AU', '2026-05-12 00:00+10', NULL),
               ('CA', '2026-05-11 12:00-04', 'ON'), ('US', '2026-05-11 12:00-04', NULL)) v (country, at, region);
-- A country is not shown the law of its neighbours.
SELECT name, bool_or(recipients ~ 'not in PL') AS outside_poland, bool_or(recipients ~ 'in PT') AS in_portugal FROM unnest('{eu,AT,PL,PT}'::text[]) name, consent.policy(name, '2026-06-01Z') GROUP BY 1 ORDER BY name COLLATE "C";

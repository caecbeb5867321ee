-- The gate must answer: never NULL, never an error for data. Asked as somebody who may only ask.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SET SESSION AUTHORIZATION test_decide;
SELECT n AS contact, consent.can_send(n::bigint, 'newsletter', 'shoes'), a.allowed, a.reason, a.basis
  FROM generate_series(1, 6) n, consent.explain_send(n::bigint, 'newsletter', 'shoes') a ORDER BY n;

-- The key as text: the same contact, and what is no key is an unknown contact.
SELECT key, consent.can_send(key, 'newsletter', 'shoes'), a.allowed, a.reason
  FROM unnest(ARRAY['1', ' 1 ', '+1', '01', '1.0', '', 'ann', '9223372036854775807', '9223372036854775808', '1; DROP TABLE', NULL]) WITH ORDINALITY k (key, n),
       LATERAL consent.explain_send(key, 'newsletter', 'shoes') a ORDER BY n;
SELECT consent.can_send('00000000-0000-0000-0000-000000000001'::uuid, 'newsletter', 'shoes'), a.allowed, a.reason
  FROM consent.explain_send('00000000-0000-0000-0000-000000000001'::uuid, 'newsletter', 'shoes') a;

-- Unknown in every other position.
SELECT v.*, consent.can_send(1::bigint, kind, category, channel, sender) AS can_send, a.allowed, a.reason
  FROM (VALUES ('newsletter', 'shoes', 'email', 'shop'), ('newsleter', 'shoes', 'email', 'shop'), ('newsletter', 'shoe', 'email', 'shop'),
               ('newsletter', 'shoes', 'fax', 'shop'), ('newsletter', 'shoes', 'email', 'shopp'), ('', '', '', '')) v (kind, category, channel, sender),
       LATERAL consent.explain_send(1::bigint, kind, category, channel, sender) a;

-- NULL in every position: the tail's NULL is the default, a NULL contact or kind is unknown.
SELECT consent.can_send(NULL::bigint, 'newsletter', 'shoes') AS contact, consent.can_send(1::bigint, NULL, 'shoes') AS kind,
       consent.can_send(1::bigint, 'newsletter', NULL) AS category, consent.can_send(1::bigint, 'newsletter', 'shoes', NULL) AS channel,
       consent.can_send(1::bigint, 'newsletter', 'shoes', NULL, NULL) AS sender, consent.can_send(1::bigint, 'newsletter', 'shoes', at => NULL) AS at,
       consent.can_send(NULL::text, NULL, NULL, NULL, NULL, NULL) AS text, consent.can_send(NULL::uuid, NULL, NULL, NULL, NULL, NULL) AS uuid;
SELECT n, a.allowed, a.reason FROM (
    SELECT 'contact' AS n, a.* FROM consent.explain_send(NULL::bigint, 'newsletter', 'shoes') a
    UNION ALL SELECT 'kind', a.* FROM consent.explain_send(1::bigint, NULL, 'shoes') a
    UNION ALL SELECT 'category', a.* FROM consent.explain_send(1::bigint, 'newsletter', NULL) a
    UNION ALL SELECT 'tail', a.* FROM consent.explain_send(1::bigint, 'newsletter', 'shoes', NULL, NULL, NULL) a
    UNION ALL SELECT 'all', a.* FROM consent.explain_send(NULL::text, NULL, NULL, NULL, NULL, NULL) a) a;
-- So that a gate in PL/pgSQL never falls through.
SELECT NOT consent.can_send(NULL::bigint, 'newsletter') AS denied;

-- A category is similar to itself, not to its child or parent, and not to others.
SELECT category, consent.can_send(1::bigint, 'newsletter', category) FROM unnest(ARRAY['shoes', 'boots', 'books']) category;
RESET SESSION AUTHORIZATION;
INSERT INTO consent_data.similarity_override (category_a, category_b, is_similar, reason)
SELECT a.category_id, b.category_id, true, 'worn together' FROM consent_data.category a, consent_data.category b WHERE (a.name, b.name) = ('boots', 'shoes');
SET SESSION AUTHORIZATION test_decide;
SELECT category, consent.can_send(1::bigint, 'newsletter', category) FROM unnest(ARRAY['shoes', 'boots', 'books']) category;

-- Instants without end, before the contact, and outside the calendar.
SELECT at, consent.can_send(1::bigint, 'newsletter', 'shoes', at => at), a.allowed, a.reason
  FROM unnest(ARRAY['infinity', '294276-12-31Z', '4199-12-01Z', '2026-01-15 12:00Z', '2026-01-15 11:59Z', '0001-01-01Z', '4713-01-01Z BC', '-infinity']::timestamptz[]) WITH ORDINALITY t (at, n),
       LATERAL consent.explain_send(1::bigint, 'newsletter', 'shoes', at => at) a ORDER BY n;

-- A question and an audience raise where a silent no would hide a typing error.
SELECT test.fails($$SELECT consent.question('newsleter')$$);
SELECT test.fails($$SELECT consent.question('newsletter', 'shoe')$$);
SELECT test.fails($$SELECT consent.question('newsletter', 'shoes', 'fax')$$);
SELECT test.fails($$SELECT consent.question('newsletter', 'shoes', sender => 'shopp')$$);
SELECT test.fails($$SELECT consent.question(NULL)$$);
SELECT test.fails($$SELECT * FROM consent.audience('newsleter', 'shoes')$$);
SELECT test.fails($$SELECT * FROM consent.audience('newsletter', 'shoe')$$);
SELECT test.fails($$SELECT * FROM consent.audience('newsletter', 'shoes', 'fax')$$);
SELECT test.fails($$SELECT * FROM consent.audience('newsletter', 'shoes', sender => 'shopp')$$);

-- No default sender: the gate denies, a question raises.
RESET SESSION AUTHORIZATION;
BEGIN;
UPDATE consent_data.sender SET is_default = false;
SELECT consent.can_send(1::bigint, 'newsletter', 'shoes'), reason FROM consent.explain_send(1::bigint, 'newsletter', 'shoes');
SELECT consent.can_send(1::bigint, 'newsletter', 'shoes', sender => 'shop');
SELECT test.fails($$SELECT consent.question('newsletter')$$);
ROLLBACK;
SELECT consent.can_send(1::bigint, 'newsletter', 'shoes');

-- One function called twice in a statement, with the switch thrown between: the second answer is by the new rules.
CREATE FUNCTION test.twice() RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE
    answers boolean[];
BEGIN
    FOR n IN 1..2 LOOP
        answers := answers || consent.can_send(1::bigint, 'newsletter', 'shoes');
        UPDATE consent_data.setting SET marketing_off = true;
    END LOOP;
    RETURN answers;
END
$$;
SELECT test.twice();
UPDATE consent_data.setting SET marketing_off = false;
-- The same across statements of one transaction, for a fixed instant.
CREATE FUNCTION test.ask() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN consent.can_send(1::bigint, 'newsletter', 'shoes', at => '2026-06-01Z');
END
$$;
BEGIN;
SELECT test.ask();
UPDATE consent_data.setting SET marketing_off = true;
SELECT test.ask();
ROLLBACK;
SELECT test.ask();

-- Null and broken operands of @@ deny.
SELECT NULL OPERATOR(consent.@@) (SELECT consent.question('newsletter')) AS no_state, consent._dirty() OPERATOR(consent.@@) NULL AS no_question,
       consent._dirty() OPERATOR(consent.@@) (SELECT consent.question('order_confirmation')) AS dirty;

-- An opt-out must deny from the next expression on, everywhere it reaches, and nothing may lose it.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
-- One and the same person may ask and record.
GRANT consent_decide TO test_record;
SET SESSION AUTHORIZATION test_record;
CREATE TEMPORARY VIEW answers AS
SELECT kind, category, channel, a.allowed, coalesce(a.basis, a.reason) AS because
  FROM (VALUES ('newsletter', 'shoes', 'email'), ('marketing', 'shoes', 'email'), ('newsletter', 'books', 'email'), ('newsletter', NULL, 'email'),
               ('newsletter', 'shoes', 'sms'), ('newsletter', 'shoes', 'post'), ('order_confirmation', NULL, 'email'), ('opt_out_confirmation', NULL, 'email')) q (kind, category, channel),
       LATERAL consent.explain_send(1::bigint, kind, category, channel) a;
TABLE answers;

-- In its own transaction, in the next statement, and gone with a rollback.
BEGIN;
SELECT consent.can_send(1::bigint, 'newsletter', 'shoes') AS before, consent.opt_out(1::bigint) > 0 AS recorded;
SELECT consent.can_send(1::bigint, 'newsletter', 'shoes'), EXISTS (SELECT FROM consent.audience('newsletter', 'shoes') WHERE contact_id = 1) AS in_audience;
TABLE answers;
ROLLBACK;
SELECT consent.can_send(1::bigint, 'newsletter', 'shoes') AS after_rollback;
-- In the statement that records it, once it is recorded.
DO $$
BEGIN
    PERFORM consent.opt_out(1::bigint);
    RAISE NOTICE 'can_send: %', consent.can_send(1::bigint, 'newsletter', 'shoes');
    RAISE EXCEPTION 'undone';
EXCEPTION WHEN raise_exception THEN
    RAISE NOTICE 'after the rollback to the savepoint: %', consent.can_send(1::bigint, 'newsletter', 'shoes');
END
$$;

-- Committed: it lasts. No later sale, click or system flag lifts it; an opt-in from before does not, one after does.
SELECT consent.opt_out(1::bigint, at => '2026-03-01Z') > 0 AS recorded;
TABLE answers;
SELECT consent.record_event(1::bigint, 'purchase', category => 'shoes', opt_out_offered => 'yes', evidence => '{"order": 7}') > 0 AS purchase,
       consent.record_event(1::bigint, 'click') > 0 AS click, consent.record_event(1::bigint, 'system_opt_in') > 0 AS flag,
       consent.opt_in(1::bigint, at => '2026-02-28Z', evidence => '{"form": 1}') > 0 AS earlier_opt_in,
       consent.opt_in(1::bigint, '{sms}', evidence => '{"form": 2}') > 0 AS other_channel;
TABLE answers;
SELECT consent.opt_in(1::bigint, purposes => '{newsletter}', evidence => '{"form": 3}') > 0 AS recorded;
TABLE answers;

-- A tie denies: the same instant for both.
BEGIN;
SELECT consent.opt_in(2::bigint, at => '2026-04-01Z', evidence => '{"form": 3}') > 0, consent.opt_out(2::bigint, at => '2026-04-01Z') > 0;
SELECT reason FROM consent.explain_send(2::bigint, 'newsletter', 'shoes');
ROLLBACK;

-- From one category and what is below it.
SELECT consent.opt_out(2::bigint, category => 'shoes') > 0 AS recorded, consent.opt_in(2::bigint, evidence => '{"form": 3}', at => '2026-02-01Z') > 0 AS consented;
SELECT category, a.allowed, coalesce(a.basis, a.reason) AS because FROM unnest(ARRAY['shoes', 'boots', 'books', NULL]) category, LATERAL consent.explain_send(2::bigint, 'newsletter', category) a;
RESET SESSION AUTHORIZATION;
UPDATE consent_data.category SET parent_id = NULL WHERE name = 'boots';
UPDATE consent_data.category SET parent_id = (SELECT category_id FROM consent_data.category WHERE name = 'shoes') WHERE name = 'books';
SET SESSION AUTHORIZATION test_record;
SELECT category, a.reason FROM unnest(ARRAY['boots', 'books']) category, LATERAL consent.explain_send(2::bigint, 'newsletter', category) a;

-- Whoever else uses the address is not written to either, however it is spelt; nor whoever gets it later.
RESET SESSION AUTHORIZATION;
INSERT INTO crm.customer VALUES (21, 'GB', ' Cat@EXAMPLE.org', NULL), (22, 'GB', 'other@example.org', NULL);
INSERT INTO crm.sale SELECT n, '2026-01-15Z', 'shoes', 'purchase', 'yes' FROM unnest('{3, 21, 22}'::bigint[]) n;
SELECT consent.refold('{3, 21, 22}');
SET SESSION AUTHORIZATION test_record;
SELECT n, consent.can_send(n, 'newsletter', 'shoes') FROM unnest('{3, 21, 22}'::bigint[]) n;
SELECT consent.opt_out(3::bigint, 'email') > 0 AS recorded;
SELECT n, a.allowed, a.reason, a.evidence->>'by_another_contact' AS by_another FROM unnest('{3, 21, 22}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes') a;
SELECT n, a.allowed, a.basis FROM unnest('{3, 21, 22}'::bigint[]) n, consent.explain_send(n, 'order_confirmation') a;
RESET SESSION AUTHORIZATION;
UPDATE crm.customer SET email = 'CAT@example.org' WHERE id = 22;
SELECT consent.refold('{22}');
SELECT reason FROM consent.explain_send(22::bigint, 'newsletter', 'shoes');

-- By address alone, before anybody has it; without a channel it is about all of them.
SET SESSION AUTHORIZATION test_record;
SELECT count(*) FROM consent.opt_out_addresses('{Later@example.org}');
SELECT consent.opt_out(NULL::bigint, address => 'latest@example.org') > 0 AS without_a_channel;
RESET SESSION AUTHORIZATION;
INSERT INTO crm.customer VALUES (23, 'GB', 'later@Example.org', NULL), (24, 'GB', 'latest@example.org', NULL);
INSERT INTO crm.sale SELECT n, '2026-01-15Z', 'shoes', 'purchase', 'yes' FROM unnest('{23, 24}'::bigint[]) n;
SELECT consent.refold('{23, 24}');
SELECT n, a.allowed, a.reason FROM unnest('{23, 24}'::bigint[]) n, consent.explain_send(n, 'newsletter', 'shoes') a;
-- A phone number's national spelling, by the contact's country. Texts are off; live calls are another channel.
INSERT INTO crm.customer VALUES (26, 'GB', NULL, '020 7946 0026');
SELECT consent.refold('{26}');
SELECT consent.opt_in(26::bigint, '{sms}', evidence => '{"form": 1}', at => '2026-02-01Z') > 0 AS recorded;
SELECT consent.can_send(26::bigint, 'newsletter', channel => 'sms');
SELECT consent.opt_out(NULL::bigint, 'sms', address => '+442079460026') > 0 AS recorded;
SELECT channel, a.allowed, coalesce(a.reason, a.basis) AS because FROM unnest(ARRAY['sms', 'phone_live']) channel, LATERAL consent.explain_send(26::bigint, 'newsletter', 'shoes', channel) a;
-- A register's entry without a channel is about its own kinds of address.
SELECT consent.record_event(NULL::bigint, 'register_listed', address => '+442079460026', detail => '{"register": "TPS"}', at => '2026-01-01Z') > 0 AS listed;
SELECT reason FROM consent.explain_send(26::bigint, 'newsletter', 'shoes', 'phone_live');

-- A row of the CRM that cannot be read must not cost an opt-out.
INSERT INTO crm.customer VALUES (25, 'GB', 'fay@example.org', NULL);
INSERT INTO crm.sale VALUES (25, '2026-01-15Z', 'shoes', 'purchase', 'yes'), (25, '2026-01-16Z', 'shoes', 'refund', 'yes');
SELECT test.fails($$SELECT consent.opt_out(25::bigint)$$) AS recorded;
SELECT count(*) FROM consent_data.event WHERE contact_id = 25;
SELECT consent.can_send(25::bigint, 'newsletter', 'shoes');
DELETE FROM crm.sale WHERE kind = 'refund';
SELECT consent.refold('{25}');

-- A refold keeps all of it.
CREATE TABLE test.before AS SELECT contact_id, a.allowed, a.reason FROM consent_data.contact_state, consent.explain_send(contact_id, 'newsletter', 'shoes') a;
SELECT consent.refold(ARRAY(SELECT contact_id::text FROM consent_data.contact_state)) > 0 AS refolded;
SELECT b.* FROM test.before b, consent.explain_send(contact_id, 'newsletter', 'shoes') a WHERE (b.allowed, b.reason) IS DISTINCT FROM (a.allowed, a.reason);

-- A confirmation is owed to the person, not for the operator's own clean-up.
SELECT max(outbox_id) AS last FROM consent_data.outbox \gset
BEGIN;
SELECT consent.opt_out(4::bigint, via => 'system') > 0 AS passive, consent.opt_out(4::bigint) > 0 AS active, consent.object(4::bigint) > 0 AS objection,
       consent.opt_in(4::bigint, at => '2026-01-01Z') > 0 AS no_opt_out, count(*) AS by_address FROM consent.opt_out_addresses('{gus@example.org}');
SELECT o.contact_id, e.kind, e.detail->>'via' AS via, o.kind, o.sent_at FROM consent_data.outbox o JOIN consent_data.event e USING (event_id) WHERE o.outbox_id > :last ORDER BY 1, 2;
ROLLBACK;
REVOKE consent_decide FROM test_record;

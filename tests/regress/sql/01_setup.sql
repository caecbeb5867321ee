-- Running setup again must not lose a row, a decision or the key; a wrong key type must change nothing.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SELECT consent.opt_out(1::bigint) > 0 AS recorded;
UPDATE consent_data.setting SET marketing_off = true, similarity_threshold = 0.7;
UPDATE consent_data.message_kind SET channel = 'sms' WHERE name = 'newsletter';
CREATE TABLE test.before AS
SELECT (SELECT count(*) FROM pg_class WHERE relnamespace IN ('consent'::regnamespace, 'consent_data'::regnamespace)) AS relations,
       (SELECT count(*) FROM pg_trigger) AS triggers, (SELECT count(*) FROM consent_data.event) AS events,
       (SELECT count(*) FROM consent_data.message_kind) AS kinds, (SELECT count(*) FROM consent_data.key_generation) AS keys,
       (SELECT count(*) FROM consent_data.binding) AS bindings;
CALL consent.setup();
CALL consent.setup(key_type => 'bigint');
SELECT (SELECT count(*) FROM pg_class WHERE relnamespace IN ('consent'::regnamespace, 'consent_data'::regnamespace)) = relations AS relations,
       (SELECT count(*) FROM pg_trigger) = triggers AS triggers, (SELECT count(*) FROM consent_data.event) = events AS events,
       (SELECT count(*) FROM consent_data.message_kind) = kinds AS kinds, (SELECT count(*) FROM consent_data.key_generation) = keys AS keys,
       (SELECT count(*) FROM consent_data.binding) = bindings AS bindings
  FROM test.before;
SELECT marketing_off, similarity_threshold FROM consent_data.setting;
SELECT channel FROM consent_data.message_kind WHERE name = 'newsletter';
SELECT reason FROM consent.explain_send(2::bigint, 'newsletter', channel => 'email');

-- A key type that does not exist, none, and another one than the data has.
SELECT test.fails($$CALL consent.setup(key_type => 'integer')$$);
SELECT test.fails($$CALL consent.setup(key_type => NULL)$$);
SELECT test.fails($$CALL consent.setup(key_type => 'uuid')$$);
SELECT key_type FROM consent_data.setting;
SELECT format_type(atttypid, atttypmod) AS contact_id FROM pg_attribute
 WHERE attrelid = 'consent_data.contact_state'::regclass AND attname = 'contact_id';

-- A kind for every nature, and nothing may be asked before setup.
SELECT array_agg(c) FROM unnest(consent._codes('nature')) c WHERE NOT EXISTS (SELECT FROM consent_data.message_kind k WHERE k.nature = c);
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SCHEMA consent_data CASCADE;
SELECT test.fails($$SELECT consent.can_send(1::bigint, 'newsletter')$$);
SELECT test.fails($$SELECT consent.question('newsletter')$$);
ROLLBACK;
SELECT consent.can_send(1::bigint, 'order_confirmation');

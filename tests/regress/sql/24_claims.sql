-- The surface of claims: one row always, a no with its reason for whatever is not known, errors only where a queue must stop.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
CREATE ROLE test_queue;
GRANT consent_decide, consent_record TO test_queue;
SET SESSION AUTHORIZATION test_queue;
SELECT n AS contact, c.allowed, c.reason, c.basis, c.rule, c.citation, c.jurisdiction, c.obligations, c.cap, c.valid_until
  FROM generate_series(1, 6) n, consent.claim_send(n::bigint, 'newsletter', 'shoes') c ORDER BY n;
-- What is not known denies: in each position, and NULL.
SELECT v.*, c.allowed, c.reason, c.missing, c.decision_id IS NOT NULL AS logged
  FROM (VALUES ('newsletter', 'shoes', 'email', 'shop', NULL), ('newsleter', 'shoes', 'email', 'shop', NULL), ('newsletter', 'shoe', 'email', 'shop', NULL),
               ('newsletter', 'shoes', 'fax', 'shop', 'ann@example.org'), ('newsletter', 'shoes', 'email', 'shopp', NULL), ('', '', '', '', ''),
               (NULL, 'shoes', 'email', 'shop', NULL), ('newsletter', 'shoes', 'email', 'shop', 'ben@example.org'),
               ('newsletter', 'shoes', 'email', 'shop', 'not an address'), ('newsletter', 'shoes', 'email', 'shop', ''),
               ('newsletter', 'shoes', 'sms', 'shop', 'ann@example.org'), ('order_confirmation', NULL, 'sms', 'shop', '020 7946 0001'),
               ('order_confirmation', NULL, 'post', 'shop', NULL)) v (kind, category, channel, sender, address),
       LATERAL consent.claim_send(1::bigint, kind, category, address, channel, sender) c;
SELECT key, c.allowed, c.reason FROM unnest(ARRAY['1', ' 1 ', '01', '1.0', '', 'ann', '5', NULL]) WITH ORDINALITY k (key, n), LATERAL consent.claim_send(key, 'newsletter', 'shoes') c ORDER BY n;
SELECT c.allowed, c.reason FROM consent.claim_send('00000000-0000-0000-0000-000000000001'::uuid, 'newsletter', 'shoes') c;
SELECT c.contact, c.allowed, c.reason FROM consent.claim_sends('{2,x,1,NULL,2}', 'newsletter', 'shoes', message_refs => '{a,b,c,d,a}') c;
SELECT test.fails($$SELECT consent.claim_sends('{1,2}', 'newsletter', message_refs => '{a}')$$);
SELECT test.fails($$SELECT count(*) FROM consent.claim_sends(ARRAY(SELECT n::text FROM generate_series(1, 1001) n), 'newsletter')$$);
-- A question for the record.
SELECT q.allowed, q.reason, q.basis, q.rule FROM unnest(ARRAY['1', '2', '4', 'x', NULL]) WITH ORDINALITY k (key, n), LATERAL consent.log_decision(key, 'newsletter', 'shoes', campaign => 'spring') q ORDER BY n;
SELECT q.allowed, q.reason FROM consent.log_decision('1', 'newsleter', 'shoe', 'fax', 'shopp') q;
RESET SESSION AUTHORIZATION;

-- Each is in the log, with what it rests on.
SELECT made_for, contact_id, address_hash IS NOT NULL AS address, message_kind, category_id, channel, sender_id, campaign, message_ref, allowed, reason, decided_by, count(*)
  FROM consent_data.decision GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 ORDER BY min(decision_id);
SELECT DISTINCT basis, rule, jurisdiction, valid_until, obligations, evidence - 'at' AS evidence, policy_version IS NOT NULL AS version, similarity_version FROM consent_data.decision WHERE allowed AND message_kind = 'newsletter';
SELECT count(*) FROM consent_data.counted_claim WHERE contact_id = 1;

-- Limits: all that speak of the message hold, and the one that lasts longest is named.
INSERT INTO consent_data.sender (name) VALUES ('cousin');
INSERT INTO consent_data.frequency_cap (message_kind, max_messages, per, reason) VALUES ('order_confirmation', 0, 'day', 'strike');
INSERT INTO consent_data.frequency_cap (nature, jurisdiction, max_messages, per, reason) VALUES ('survey', 'gb', 0, 'week', 'house rule 4'), ('survey', 'fr', 0, 'week', 'house rule 5');
INSERT INTO consent_data.frequency_cap (channel, max_messages, per, reason) VALUES ('email', 1, 'day', 'house rule 1'), ('email', 1, 'month', 'house rule 2'), ('email', 100, 'week', 'house rule 3');
INSERT INTO consent_data.frequency_cap (sender_id, max_messages, per, reason) VALUES (2, 0, 'day', 'nothing of the sister');
SELECT split_part(test.fails($$INSERT INTO consent_data.frequency_cap (max_messages, per, reason) VALUES (-1, 'day', 'x')$$), E'\n', 1) AS negative;
SELECT split_part(test.fails($$INSERT INTO consent_data.frequency_cap (max_messages, per, reason) VALUES (1, 'year', 'x')$$), E'\n', 1) AS period;
SELECT test.fails($$INSERT INTO consent_data.frequency_cap (max_messages, per, reason, jurisdiction) VALUES (1, 'day', 'x', 'FR')$$) AS jurisdiction;
SELECT split_part(test.fails($$INSERT INTO consent_data.frequency_cap (max_messages, per, reason, message_kind) VALUES (1, 'day', 'x', 'newsleter')$$), E'\n', 1) AS kind;
SELECT split_part(test.fails($$INSERT INTO consent_data.frequency_cap (max_messages, per, reason) VALUES (1, 'day', ' ')$$), E'\n', 1) AS reason;
SELECT consent.claim_outcomes(ARRAY(SELECT decision_id FROM consent_data.counted_claim), 'released') > 0 AS released;
SELECT kind, c.allowed, c.reason, c.cap, c.citation, date_trunc('hour', c.not_before - now() + interval '1 minute') AS wait, c.evidence
  FROM unnest(ARRAY['newsletter', 'newsletter', 'marketing', 'order_confirmation', 'order_tracking']) WITH ORDINALITY k (kind, n), LATERAL consent.claim_send(2::bigint, kind, 'shoes') c ORDER BY n;
SELECT consent.opt_in(3::bigint, purposes => '{survey,marketing}', evidence => '{"form": 1}') > 0 AS agreed;
SELECT c.allowed, c.cap FROM consent.claim_send(3::bigint, 'survey') c;
SELECT c.allowed, c.reason, c.cap FROM consent.claim_send(2::bigint, 'newsletter', 'shoes', sender => 'sister') c;
SELECT rule, evidence FROM consent_data.decision WHERE reason = 'frequency_cap' ORDER BY decision_id;
DELETE FROM consent_data.frequency_cap;

-- A permission for the first advertising message only (a referral, in Canada): what was claimed is that one, unless it was not sent.
INSERT INTO crm.customer VALUES (7, 'CA', 'guy@example.org', NULL);
SELECT consent.refold('{7}');
SELECT consent.record_event(7::bigint, 'referral', at => now() - interval '1 day', detail => '{"referrer_named": true, "referrer_related": true}', evidence => '{"letter": 1}') > 0 AS referred;
SELECT decision_id AS service, allowed FROM consent.claim_send(7::bigint, 'order_confirmation') \gset
SELECT c.allowed, c.reason FROM consent.claim_send(7::bigint, 'marketing') c;
SELECT consent.claim_outcome(:service, 'released');
BEGIN;
INSERT INTO consent_data.prune (log, decided_before, first_id, last_id, rows) VALUES ('decision', now(), 1, 1, 1);
SELECT c.allowed, c.reason FROM consent.claim_send(7::bigint, 'marketing') c;
ROLLBACK;
SELECT decision_id AS first FROM consent.claim_send(7::bigint, 'marketing') WHERE basis = 'implied_referral' \gset
SELECT c.allowed, c.reason FROM consent.claim_send(7::bigint, 'marketing') c;
SELECT r.allowed, r.basis, r.changed FROM consent.recheck(:first) r;
SELECT consent.claim_outcome(:first, 'failed');
SELECT c.allowed, c.basis FROM consent.claim_send(7::bigint, 'marketing') c;

-- Outcomes: the first word stands.
SELECT decision_id AS yes FROM consent.claim_send(1::bigint, 'newsletter', 'shoes') \gset
SELECT decision_id AS no FROM consent.claim_send(4::bigint, 'newsletter', 'shoes') \gset
SELECT consent.claim_outcome(:yes, 'sent'), consent.claim_outcome(:yes, 'sent') AS again, consent.claim_outcomes('{}'::bigint[], 'sent') AS none, consent.claim_outcomes(NULL::bigint[], 'sent') AS nothing;
SELECT regexp_replace(test.fails(format($$SELECT consent.claim_outcome(%s, 'released')$$, :yes)), ' [0-9]+ ', ' N ') AS other;
SELECT regexp_replace(test.fails(format($$SELECT consent.claim_outcome(%s, 'sent')$$, :no)), ' [0-9]+ ', ' N ') AS denied;
SELECT test.fails($$SELECT consent.claim_outcome(1000000, 'sent')$$) AS unknown;
SELECT test.fails($$SELECT consent.claim_outcome(NULL::bigint, 'sent')$$) AS null;
SELECT test.fails($$SELECT consent.claim_outcome(1, 'delivered')$$) AS code;
SELECT test.fails($$SELECT consent.claim_outcome(1, NULL)$$) AS no_code;
SELECT r.allowed, r.reason, r.missing, r.changed FROM unnest(ARRAY[:yes, :no, 1000000, NULL]) WITH ORDINALITY d (id, n), LATERAL consent.recheck(id) r ORDER BY n;

-- A yes given again counts when it is given again; a claim that is long past is none.
INSERT INTO crm.customer VALUES (8, 'GB', 'hal@example.org', NULL), (9, 'GB', 'ida@example.org', NULL), (10, 'GB', 'ida@example.net', NULL);
SELECT consent.refold('{8,9,10}'), consent.opt_in(n, evidence => '{"form": 1}') > 0 AS agreed FROM unnest('{8,9,10}'::bigint[]) n;
INSERT INTO consent_data.frequency_cap (max_messages, per, reason) VALUES (1, 'day', 'house rule 1');
INSERT INTO consent_data.decision (contact_id, message_kind, category_id, channel, sender_id, message_ref, allowed, basis, made_for, decided_at)
SELECT 8, 'newsletter', 1, 'email', 1, 'old/' || n, true, 'consent', 'claim', now() - CASE n WHEN 4 THEN interval '100 days' ELSE interval '3 days' END FROM generate_series(1, 4) n;
SELECT d.message_ref, r.allowed, r.reason, r.rule LIKE 'frequency_cap/%' AS by_limit FROM unnest('{old/4,old/1,old/2}'::text[]) WITH ORDINALITY m (ref, n) JOIN consent_data.decision d ON d.message_ref = m.ref AND d.made_for = 'claim', LATERAL consent.recheck(d.decision_id) r ORDER BY n;
SELECT m.ref, c.allowed, c.reason FROM unnest('{old/3,old/1,new}'::text[]) WITH ORDINALITY m (ref, n), LATERAL consent.claim_send(8::bigint, 'newsletter', 'shoes', message_ref => m.ref) c ORDER BY n;
SELECT message_ref, counts_at > decided_at + interval '1 day' AS counts_later FROM consent_data.counted_claim WHERE contact_id = 8 ORDER BY message_ref;
-- A question that is asked again counts for nothing.
SELECT r.allowed FROM consent.log_decision('9', 'newsletter', 'shoes') q, consent.recheck(q.decision_id) r;
DELETE FROM consent_data.frequency_cap;
-- The address that the CRM has emptied is not the contact's, folded or not.
UPDATE crm.customer SET email = NULL WHERE id = 8;
SELECT c.allowed, c.reason FROM consent.claim_send(8::bigint, 'order_confirmation', address => 'hal@example.org') c;
SELECT consent.refold('{8}'), c.allowed, c.reason FROM consent.claim_send(8::bigint, 'order_confirmation', address => 'hal@example.org') c;
-- Who was merged is one person, with one wish.
SELECT cardinality(consent.set_preferences(9::bigint, max_per_month => 1)) AS wished, consent.merge_contacts(9::bigint, 10::bigint) IS NOT NULL AS merged;
SELECT consent.preferences(10::bigint)->'max_per_month' AS most, consent.set_preferences(10::bigint, max_per_month => 1) AS so_already;
SELECT c.allowed, c.reason, c.cap FROM consent.claim_send(10::bigint, 'newsletter', 'shoes') c;
SELECT c.allowed, c.reason, c.cap FROM consent.claim_send(10::bigint, 'newsletter', 'shoes') c;
-- And one message, under whichever key.
SELECT consent.set_preferences(10::bigint, no_limit => true) <> '{}' AS no_limit;
INSERT INTO consent_data.decision (contact_id, message_kind, category_id, channel, sender_id, message_ref, allowed, made_for) VALUES (9, 'newsletter', 1, 'email', 1, 'once', true, 'claim');
SELECT c.decision_id = d.decision_id OR NOT c.allowed AS the_same FROM consent_data.decision d, LATERAL consent.claim_send(10::bigint, 'newsletter', 'shoes', message_ref => d.message_ref) c WHERE d.message_ref = 'once';
-- A call that nobody answered was an attempt; one that was not made was none.
INSERT INTO consent_data.decision (contact_id, message_kind, channel, sender_id, message_ref, allowed, made_for)
SELECT 2, 'marketing', 'phone_live', 1, 'call/' || o, true, 'claim' FROM unnest('{failed,released,sent}'::text[]) o;
SELECT bool_and(consent.claim_outcome(d.decision_id, split_part(d.message_ref, '/', 2))) AS noted FROM consent_data.decision d WHERE d.message_ref LIKE 'call/%';
SELECT cardinality(consent._attempts('2', 'shop', clock_timestamp(), 'infinity')) AS attempts;

-- Only in a snapshot of the moment.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT test.fails($$SELECT consent.claim_send(1::bigint, 'newsletter', 'shoes')$$) AS claim;
SELECT test.fails($$SELECT consent.recheck(1)$$) AS recheck;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT test.fails($$SELECT consent.claim_sends('{1}', 'newsletter')$$) AS claims;
ROLLBACK;

-- Rights: who asks claims and logs, who records says what became of it, and nobody writes the tables.
CREATE FUNCTION test.may(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE command;
        RAISE EXCEPTION 'done' USING ERRCODE = 'P0999';
    EXCEPTION WHEN OTHERS THEN
        RETURN CASE SQLSTATE WHEN 'P0999' THEN 'yes' WHEN '42501' THEN 'no' ELSE SQLSTATE END;
    END;
END
$$;
CREATE TABLE test.command (n serial, command text);
INSERT INTO test.command (command) VALUES
    ($$SELECT FROM consent.claim_send(2::bigint, 'newsletter', 'shoes')$$), ($$SELECT FROM consent.claim_sends('{2}', 'newsletter', 'shoes')$$),
    ($$SELECT FROM consent.log_decision('2', 'newsletter', 'shoes')$$), ($$SELECT FROM consent.recheck(1)$$),
    ($$SELECT FROM consent._log_decision('2', NULL, 'newsletter', NULL, NULL, NULL, NULL, NULL, '{}', 'question', NULL, NULL)$$),
    ($$SELECT FROM consent.claim_outcomes('{}'::bigint[], 'sent')$$), ($$SELECT consent.prune_decisions()$$),
    ($$SELECT FROM consent_data.decision$$), ($$SELECT FROM consent_data.counted_claim$$), ($$SELECT FROM consent_data.frequency_cap$$),
    ($$INSERT INTO consent_data.frequency_cap (max_messages, per, reason) VALUES (1, 'day', 'x')$$), ($$DELETE FROM consent_data.frequency_cap$$),
    ($$INSERT INTO consent_data.decision (message_kind, allowed, made_for) VALUES ('newsletter', true, 'claim')$$),
    ($$INSERT INTO consent_data.outcome (decision_id, decided_at, outcome) VALUES (1, now(), 'sent')$$),
    ($$UPDATE consent_data.decision SET allowed = true, reason = NULL$$), ($$DELETE FROM consent_data.decision$$),
    ($$UPDATE consent_data.outcome SET outcome = 'failed'$$), ($$DELETE FROM consent_data.outcome$$),
    ($$UPDATE consent_data.setting SET keep_decisions = '5 years'$$);
GRANT SELECT ON test.command TO PUBLIC;
CREATE TABLE test.outcome (role text, n integer, outcome text);
GRANT INSERT ON test.outcome TO PUBLIC;
SET SESSION AUTHORIZATION test_nothing; INSERT INTO test.outcome SELECT 'nothing', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_decide; INSERT INTO test.outcome SELECT 'decide', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_record; INSERT INTO test.outcome SELECT 'record', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_audit; INSERT INTO test.outcome SELECT 'audit', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_batch; INSERT INTO test.outcome SELECT 'batch', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION test_admin; INSERT INTO test.outcome SELECT 'admin', n, test.may(command) FROM test.command; RESET SESSION AUTHORIZATION;
SELECT c.command, coalesce(string_agg(o.role, ' ' ORDER BY o.role) FILTER (WHERE o.outcome = 'yes'), 'nobody') AS may, string_agg(o.role || ' ' || o.outcome, ' ') FILTER (WHERE o.outcome NOT IN ('yes', 'no')) AS other
  FROM test.command c JOIN test.outcome o USING (n) GROUP BY c.n, c.command ORDER BY c.n;
-- The owner, too, is refused.
SELECT test.fails($$UPDATE consent_data.decision SET allowed = true, reason = NULL$$) AS decision;
SELECT test.fails($$UPDATE consent_data.outcome SET outcome = 'failed'$$) AS outcome;
DROP ROLE test_queue;

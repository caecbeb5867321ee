-- People come back, and lists are cleaned.
\set one random(1, 1000)
BEGIN;
SELECT consent.opt_in(:one::bigint, evidence => '{"form": 1}');
INSERT INTO crm.list (customer, opted_out) VALUES (:one, false);
COMMIT;
DELETE FROM crm.list WHERE id IN (SELECT id FROM crm.list ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED);
DELETE FROM crm.blacklist WHERE id IN (SELECT id FROM crm.blacklist ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED);

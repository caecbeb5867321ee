-- Refusals by all ways, two in one transaction and in any order.
\set one random(1, 1000)
\set two random(1, 1000)
BEGIN;
SELECT consent.opt_out(:one::bigint, reason => 'load');
INSERT INTO crm.blacklist (email) VALUES (format('P%s@Example.org', :two));
INSERT INTO crm.list (customer, opted_out) VALUES (:two, true);
SELECT consent.opt_out(:two::bigint, 'email', 'shoes');
COMMIT;

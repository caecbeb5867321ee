-- The CRM's own merge: what hangs on one hangs on the other, and the one is gone.
\set one random(1, 999)
\set two random(:one + 1, 1000)
BEGIN;
SELECT FROM crm.customer WHERE id IN (:one, :two) ORDER BY id FOR UPDATE;
UPDATE crm.sale SET customer = :one WHERE id IN (SELECT id FROM crm.sale WHERE customer = :two ORDER BY id FOR UPDATE SKIP LOCKED);
DELETE FROM crm.customer WHERE id = :two;
COMMIT;

-- A sale, another voided, within one transaction and in any order of customers.
\set buyer random(1, 1000)
\set other random(1, 1000)
BEGIN;
INSERT INTO crm.sale (customer, at, category, kind, refused, client) VALUES (:buyer, now(), 'shoes', 'purchase', random() < 0.05, :client_id), (:other, now(), 'books', 'purchase', false, :client_id);
UPDATE crm.sale SET kind = 'cancelled' WHERE id = (SELECT min(id) FROM crm.sale WHERE client = :client_id AND kind = 'purchase');
UPDATE crm.sale SET customer = :other WHERE id = (SELECT max(id) FROM crm.sale WHERE client = :client_id);
COMMIT;

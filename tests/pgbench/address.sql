-- Somebody moves to an address that others have, had or are getting.
\set who random(1, 1000)
\set address random(1, 400)
UPDATE crm.customer SET email = format('p%s@example.org', :address) WHERE id = :who;

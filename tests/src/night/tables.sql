-- Tables that grow with time lie in its order, as in real life: a contact's rows are scattered.

CREATE TABLE crm.sale AS SELECT * FROM crm.sale_unsorted ORDER BY at;
DROP TABLE crm.sale_unsorted;
CREATE TABLE crm.engagement AS SELECT * FROM crm.engagement_unsorted ORDER BY at;
DROP TABLE crm.engagement_unsorted;
CREATE TABLE crm.answer AS SELECT * FROM crm.answer_unsorted ORDER BY at;
DROP TABLE crm.answer_unsorted;
ALTER TABLE crm.customer ADD PRIMARY KEY (id);
CREATE INDEX ON crm.sale (customer);
CREATE INDEX ON crm.engagement (customer);
CREATE INDEX ON crm.answer (customer);
VACUUM (ANALYZE) crm.customer;
VACUUM (ANALYZE) crm.sale;
VACUUM (ANALYZE) crm.engagement;
VACUUM (ANALYZE) crm.answer;

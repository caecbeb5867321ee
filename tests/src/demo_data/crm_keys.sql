SET LOCAL maintenance_work_mem = '256MB';

ALTER TABLE crm.customer ADD PRIMARY KEY (id), ADD CHECK (kind IN ('person', 'company'));
ALTER TABLE crm.category ADD PRIMARY KEY (id), ADD CHECK (level BETWEEN 1 AND 3);
ALTER TABLE crm.product ADD PRIMARY KEY (id);
ALTER TABLE crm."order" ADD PRIMARY KEY (id), ADD CHECK (status IN ('done', 'cancelled'));
-- Also the index by order_id.
ALTER TABLE crm.order_line ADD PRIMARY KEY (order_id, product_id);
ALTER TABLE crm.campaign ADD PRIMARY KEY (id);
ALTER TABLE crm.campaign_send ADD PRIMARY KEY (campaign_id, customer_id);
ALTER TABLE crm.campaign_click ADD PRIMARY KEY (campaign_id, customer_id, clicked_at);
ALTER TABLE crm.signup ADD PRIMARY KEY (id), ADD CHECK (answer IN ('yes', 'no', 'unanswered'));
ALTER TABLE crm.unsubscribe ADD PRIMARY KEY (id);

ALTER TABLE crm.category ADD FOREIGN KEY (parent_id) REFERENCES crm.category;
ALTER TABLE crm.product ADD FOREIGN KEY (category_id) REFERENCES crm.category;
ALTER TABLE crm."order" ADD FOREIGN KEY (customer_id) REFERENCES crm.customer;
ALTER TABLE crm.order_line
    ADD FOREIGN KEY (order_id) REFERENCES crm."order",
    ADD FOREIGN KEY (product_id) REFERENCES crm.product;
ALTER TABLE crm.campaign ADD FOREIGN KEY (category_id) REFERENCES crm.category;
ALTER TABLE crm.campaign_send
    ADD FOREIGN KEY (campaign_id) REFERENCES crm.campaign,
    ADD FOREIGN KEY (customer_id) REFERENCES crm.customer;
ALTER TABLE crm.campaign_click ADD FOREIGN KEY (campaign_id, customer_id) REFERENCES crm.campaign_send;
ALTER TABLE crm.signup ADD FOREIGN KEY (customer_id) REFERENCES crm.customer;
ALTER TABLE crm.unsubscribe
    ADD FOREIGN KEY (customer_id) REFERENCES crm.customer,
    ADD FOREIGN KEY (category_id) REFERENCES crm.category;

CREATE INDEX ON crm."order" (customer_id);

ANALYZE crm.customer, crm.category, crm.product, crm."order", crm.order_line, crm.campaign, crm.campaign_send,
    crm.campaign_click, crm.signup, crm.unsubscribe;

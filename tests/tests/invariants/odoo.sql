-- What users of Odoo do, and what Odoo writes then.
INSERT INTO res_company (name) VALUES ('Shop Ltd');
INSERT INTO res_country (name, code) VALUES ('{}', 'GB'), ('{}', 'FR'), ('{}', 'DE');
INSERT INTO product_category (name, parent_id) VALUES ('Clothes', NULL), ('Shoes', 1), ('Books', NULL);
INSERT INTO product_template (name, categ_id) SELECT '{}', id FROM product_category ORDER BY id;
INSERT INTO product_product (product_tmpl_id) SELECT id FROM product_template ORDER BY id;
INSERT INTO mailing_list (name) VALUES ('a'), ('b');
INSERT INTO mailing_mailing (mailing_type, state) VALUES ('mail', 'done');
CREATE SCHEMA t;
CREATE FUNCTION t.id(key text) RETURNS integer LANGUAGE sql RETURN split_part(key, ':', 2)::integer;
CREATE FUNCTION t.normalized(email text) RETURNS text LANGUAGE sql RETURN lower(substring(email, '[^<>" ]+@[^<>" ]+'));
CREATE FUNCTION t.person(email text, country text) RETURNS text LANGUAGE sql AS $$
    INSERT INTO public.res_partner (name, active, email, email_normalized, country_id, create_date, write_date)
    SELECT 'Person', true, email, t.normalized(email), (SELECT c.id FROM public.res_country c WHERE c.code = country), now(), now()
    RETURNING 'res.partner:' || id $$;
CREATE FUNCTION t.order(key text, category text, at timestamp, state text, website integer) RETURNS void LANGUAGE sql AS $$
    WITH o AS (INSERT INTO public.sale_order (name, company_id, partner_id, partner_invoice_id, partner_shipping_id, website_id, state, date_order, amount_total)
               VALUES ('S', 1, t.id(key), t.id(key), t.id(key), website, state, at, 20) RETURNING id)
    INSERT INTO public.sale_order_line (order_id, product_id, name, product_uom_qty, price_total)
    SELECT o.id, p.id, 'x', 1, 20 FROM o, public.product_product p JOIN public.product_template m ON m.id = p.product_tmpl_id
      JOIN public.product_category c ON c.id = m.categ_id WHERE c.name = category $$;
CREATE FUNCTION t.buy(key text, category text, ago interval) RETURNS void LANGUAGE sql AS $$
    SELECT t.order(key, category, (now() AT TIME ZONE 'UTC') - ago, 'sale', 1) $$;
CREATE FUNCTION t.offer(key text, category text) RETURNS void LANGUAGE sql AS $$
    SELECT t.order(key, category, now() AT TIME ZONE 'UTC', s, NULL) FROM (VALUES ('draft'), ('sent')) v (s) $$;
CREATE FUNCTION t.void(key text) RETURNS void LANGUAGE sql AS $$ UPDATE public.sale_order SET state = 'cancel' WHERE partner_id = t.id(key) $$;
CREATE FUNCTION t.unsubscribe(email text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.mail_blacklist (email, active, create_date, write_date) VALUES (email, true, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
    ON CONFLICT ON CONSTRAINT mail_blacklist_unique_email DO UPDATE SET active = true, write_date = excluded.write_date $$;
CREATE FUNCTION t.enlist(email text) RETURNS void LANGUAGE sql AS $$
    WITH m AS (INSERT INTO public.mailing_contact (email, email_normalized, create_date) VALUES (email, t.normalized(email), now()) RETURNING id)
    INSERT INTO public.mailing_subscription (contact_id, list_id, opt_out, create_date) SELECT m.id, l.id, false, now() AT TIME ZONE 'UTC' FROM m, public.mailing_list l $$;
CREATE FUNCTION t.leave_one_list(email text) RETURNS void LANGUAGE sql AS $$
    UPDATE public.mailing_subscription s SET opt_out = true, opt_out_datetime = now() AT TIME ZONE 'UTC'
      FROM public.mailing_contact m WHERE m.id = s.contact_id AND m.email_normalized = t.normalized(email) AND s.list_id = 1 $$;
-- Whoever imports sets every flag to what the file says.
CREATE FUNCTION t.overwrite() RETURNS void LANGUAGE sql AS $$
    UPDATE public.mail_blacklist SET active = false, write_date = now() AT TIME ZONE 'UTC';
    UPDATE public.mailing_subscription SET opt_out = false, opt_out_datetime = NULL;
    UPDATE public.res_partner SET name = name || ' (imported)', write_date = now(); $$;
CREATE FUNCTION t.clean_up() RETURNS void LANGUAGE sql AS $$
    DELETE FROM public.mail_blacklist; DELETE FROM public.mailing_subscription WHERE opt_out; $$;
CREATE FUNCTION t.remove(key text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM public.sale_order WHERE partner_id = t.id(key);
    DELETE FROM public.res_partner WHERE id = t.id(key); $$;
CREATE FUNCTION t.merge(twin text, into_key text) RETURNS void LANGUAGE sql AS $$
    UPDATE public.sale_order SET partner_id = t.id(into_key), partner_invoice_id = t.id(into_key), partner_shipping_id = t.id(into_key) WHERE partner_id = t.id(twin);
    UPDATE public.mailing_trace SET res_id = t.id(into_key) WHERE model = 'res.partner' AND res_id = t.id(twin);
    DELETE FROM public.res_partner WHERE id = t.id(twin); $$;
CREATE FUNCTION t.change_email(key text, email text) RETURNS void LANGUAGE sql AS $$
    UPDATE public.res_partner SET email = change_email.email, email_normalized = t.normalized(change_email.email) WHERE id = t.id(key) $$;
CREATE FUNCTION t.forget_country(key text) RETURNS void LANGUAGE sql AS $$ UPDATE public.res_partner SET country_id = NULL WHERE id = t.id(key) $$;
CREATE FUNCTION t.archive(key text) RETURNS void LANGUAGE sql AS $$ UPDATE public.res_partner SET active = false WHERE id = t.id(key) $$;
CREATE FUNCTION t.edit(key text) RETURNS void LANGUAGE sql AS $$ UPDATE public.res_partner SET write_date = now() AT TIME ZONE 'UTC' WHERE id = t.id(key) $$;
CREATE FUNCTION t.trace(key text, opened timestamp, clicked timestamp, sent timestamp, status text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.mailing_trace (trace_type, model, res_id, mass_mailing_id, sent_datetime, open_datetime, links_click_datetime, trace_status)
    VALUES ('mail', 'res.partner', t.id(key), 1, sent, opened, clicked, status) $$;
CREATE FUNCTION t.open(key text) RETURNS void LANGUAGE sql AS $$ SELECT t.trace(key, now() AT TIME ZONE 'UTC', NULL, now() AT TIME ZONE 'UTC' - interval '1 hour', 'open') $$;
CREATE FUNCTION t.machine_click(key text) RETURNS void LANGUAGE sql AS $$ SELECT t.trace(key, NULL, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' - interval '3 seconds', 'open') $$;
CREATE FUNCTION t.click(key text) RETURNS void LANGUAGE sql AS $$ SELECT t.trace(key, NULL, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' - interval '1 hour', 'open') $$;
CREATE FUNCTION t.bounce(key text) RETURNS void LANGUAGE sql AS $$
    SELECT t.trace(key, NULL, NULL, now() AT TIME ZONE 'UTC', 'bounce');
    UPDATE public.res_partner SET message_bounce = coalesce(message_bounce, 0) + 1 WHERE id = t.id(key); $$;
CREATE FUNCTION t.company(name text, email text, employee_email text, OUT company text, OUT employee text) LANGUAGE plpgsql AS $$
BEGIN
    company := t.person(email, 'GB');
    UPDATE public.res_partner p SET name = $1, is_company = true, commercial_partner_id = p.id WHERE p.id = t.id(company);
    employee := t.person(employee_email, NULL);
    UPDATE public.res_partner p SET parent_id = t.id(company), commercial_partner_id = t.id(company) WHERE p.id = t.id(employee);
END $$;
CREATE FUNCTION t.move_shoes_to_books() RETURNS void LANGUAGE sql AS $$
    UPDATE public.product_category SET parent_id = 3 WHERE name = 'Shoes' $$;
CREATE FUNCTION t.contacts() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM public.res_partner) + (SELECT count(*) FROM public.mailing_contact);

-- Binds Odoo 17/18 (and 14 to 16, as far as the tables go) to pg_consent. As an administrator, in Odoo's database:
--
--   psql -v ON_ERROR_STOP=1 -v sender='Shop Ltd' -f sql/bindings/odoo.sql
--
-- before it: CREATE EXTENSION pg_consent; CALL consent.setup(key_type => 'text');
-- after it:  consent-batch refold, then ask for 'res.partner:42' and 'mailing.contact:7'.
--
-- May be run again at any time. With several companies in one database: once for each, with its sender.
--   -v company=1                          the company's id in res_company; not needed where there is one only
--   -v crm_schema=public                  where Odoo's tables are
--   -v quotations_are_requested=yes       a quotation is only ever made because the customer asked for it
--   -v accepts_staleness='2 days'         how old the last refold may be where Odoo's table can't be watched by key
-- What the checkout offered is stated in consent_odoo.refusal_offered. docs/binding.md says what counts as what.

\set ON_ERROR_STOP on
\if :{?sender} \else
    \warn 'say who sends: psql -v sender=''Shop Ltd'' -f odoo.sql'
    \quit
\endif
\if :{?company} \else \set company '' \endif
\if :{?crm_schema} \else \set crm_schema public \endif
\if :{?quotations_are_requested} \else \set quotations_are_requested no \endif
\if :{?accepts_staleness} \else \set accepts_staleness '2 days' \endif

BEGIN;
SET LOCAL client_min_messages = warning;
\ir common.sql
CREATE SCHEMA IF NOT EXISTS consent_odoo;
COMMENT ON SCHEMA consent_odoo IS 'Odoo seen through pg_consent''s views; made by sql/bindings/odoo.sql.';
SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(:'crm_schema') || ', pg_catalog, pg_temp', true),
       pg_catalog.quote_ident(:'crm_schema') AS crm \gset

SELECT set_config('consent_odoo.company', :'company', true), set_config('consent_odoo.sender', :'sender', true) \gset ignored_
DO $$
DECLARE
    companies integer := (SELECT count(*) FROM res_company);
    named text := current_setting('consent_odoo.company');
BEGIN
    IF (SELECT s.key_type FROM consent_data.setting s) <> 'text' THEN
        RAISE EXCEPTION 'Odoo needs text keys' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Partners and mailing contacts are numbered apart, so their keys are res.partner:42 and mailing.contact:7.',
            HINT = 'Run CALL consent.setup(key_type => ''text''); in a database that has no data of pg_consent yet.';
    END IF;
    IF named = '' AND companies <> 1 THEN
        RAISE EXCEPTION 'there are % companies', companies USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'Each is a legal entity: what was sold by one gives no permission to another.',
            HINT = 'Run the script once for each, with -v company=... (res_company.id) and its sender.';
    END IF;
    IF named <> '' AND NOT EXISTS (SELECT FROM res_company c WHERE c.id::text = named) THEN
        RAISE EXCEPTION 'there is no company %', named USING ERRCODE = 'invalid_parameter_value',
            HINT = 'See SELECT id, name FROM res_company;';
    END IF;
    INSERT INTO consent_data.sender (name, is_default)
    SELECT current_setting('consent_odoo.sender'), NOT EXISTS (SELECT FROM consent_data.sender s WHERE s.is_default)
    ON CONFLICT (name) DO NOTHING;
END
$$;
SELECT coalesce(nullif(:'company', ''), (SELECT min(id)::text FROM res_company)) AS company,
       (SELECT count(*) FROM res_company) = 1 AS one_company \gset
SELECT format('consent_odoo.purchase_%s', :'company') AS purchase, format('consent_odoo.partner_consent_%s', :'company') AS partner_consent,
       format('consent_odoo.mailing_contact_consent_%s', :'company') AS mailing_contact_consent,
       format('consent_odoo.partner_engagement_%s', :'company') AS partner_engagement,
       format('consent_odoo.mailing_contact_engagement_%s', :'company') AS mailing_contact_engagement \gset

-- What this Odoo has ------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pg_temp.has(relation text, attribute text DEFAULT 'id') RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(relation) AND a.attname = attribute AND NOT a.attisdropped);
SELECT pg_temp.has('res_partner', 'phone_sanitized') AS has_phone_sanitized, pg_temp.has('res_partner', 'mobile') AS has_mobile,
       pg_temp.has('res_country_state') AS has_states, pg_temp.has('sale_order') AS has_sales,
       pg_temp.has('sale_order', 'website_id') AS has_shop, pg_temp.has('mailing_contact') AS has_mailings,
       pg_temp.has('mailing_subscription') AS has_subscriptions, pg_temp.has('mailing_contact_list_rel') AS has_old_subscriptions,
       pg_temp.has('mailing_subscription_optout') AND pg_temp.has('mailing_subscription', 'opt_out_reason_id') AS has_reasons,
       pg_temp.has('phone_blacklist') AS has_phone_blacklist, pg_temp.has('mail_unsubscription') AS has_unsubscriptions,
       pg_temp.has('privacy_consent') AS has_privacy, pg_temp.has('mailing_trace') AS has_traces,
       pg_temp.has('sale_order_line_invoice_rel', 'order_line_id') AND pg_temp.has('account_move', 'move_type') AS has_refunds \gset

-- Tables that only some versions and modules have, under one name and with the columns of Odoo 17.
\if :has_states
    CREATE OR REPLACE VIEW consent_odoo._state AS SELECT id, upper(code)::text AS code FROM res_country_state;
\else
    CREATE OR REPLACE VIEW consent_odoo._state AS SELECT NULL::integer AS id, NULL::text AS code WHERE false;
\endif
\if :has_subscriptions
    \if :has_reasons
        CREATE OR REPLACE VIEW consent_odoo._subscription AS
        SELECT s.id, s.contact_id, s.opt_out, s.opt_out_datetime, coalesce(o.name->>'en_US', (SELECT min(v) FROM jsonb_each_text(o.name) e (k, v))) AS reason
          FROM mailing_subscription s LEFT JOIN mailing_subscription_optout o ON o.id = s.opt_out_reason_id;
    \else
        CREATE OR REPLACE VIEW consent_odoo._subscription AS
        SELECT s.id, s.contact_id, s.opt_out, s.opt_out_datetime, NULL::text AS reason FROM mailing_subscription s;
    \endif
\elif :has_old_subscriptions
    CREATE OR REPLACE VIEW consent_odoo._subscription AS
    SELECT s.id, s.contact_id, s.opt_out, s.unsubscription_date AS opt_out_datetime, NULL::text AS reason FROM mailing_contact_list_rel s;
\endif
\if :has_phone_blacklist
    CREATE OR REPLACE VIEW consent_odoo._phone_blacklist AS SELECT id, number, active, create_date, write_date FROM phone_blacklist;
\else
    CREATE OR REPLACE VIEW consent_odoo._phone_blacklist AS
    SELECT NULL::integer AS id, NULL::varchar AS number, NULL::boolean AS active, NULL::timestamp AS create_date, NULL::timestamp AS write_date WHERE false;
\endif
\if :has_unsubscriptions
    CREATE OR REPLACE VIEW consent_odoo._unsubscription AS
    SELECT u.id, u.email, u.date, u.action, u.details FROM mail_unsubscription u;
\else
    CREATE OR REPLACE VIEW consent_odoo._unsubscription AS
    SELECT NULL::integer AS id, NULL::varchar AS email, NULL::timestamp AS date, NULL::varchar AS action, NULL::text AS details WHERE false;
\endif
\if :has_privacy
    CREATE OR REPLACE VIEW consent_odoo._privacy AS
    SELECT id, partner_id, activity_id, state, accepted, last_metadata, create_date, write_date, active FROM privacy_consent;
\else
    CREATE OR REPLACE VIEW consent_odoo._privacy AS
    SELECT NULL::integer AS id, NULL::integer AS partner_id, NULL::integer AS activity_id, NULL::varchar AS state, NULL::boolean AS accepted,
           NULL::text AS last_metadata, NULL::timestamp AS create_date, NULL::timestamp AS write_date, NULL::boolean AS active WHERE false;
\endif
\if :has_phone_sanitized
    \if :has_mobile
        CREATE OR REPLACE VIEW consent_odoo._phone AS
        SELECT id, coalesce(nullif(phone_sanitized, ''), nullif(mobile, ''), nullif(phone, ''))::text AS any_phone, nullif(phone_sanitized, '')::text AS sanitized FROM res_partner;
    \else
        CREATE OR REPLACE VIEW consent_odoo._phone AS
        SELECT id, coalesce(nullif(phone_sanitized, ''), nullif(phone, ''))::text AS any_phone, nullif(phone_sanitized, '')::text AS sanitized FROM res_partner;
    \endif
\else
    CREATE OR REPLACE VIEW consent_odoo._phone AS SELECT id, nullif(phone, '')::text AS any_phone, NULL::text AS sanitized FROM res_partner;
\endif

-- What the DBA states -----------------------------------------------------------------------------------------------

-- Odoo does not record whether a customer could refuse advertising when giving the address, so it is unknown, and no
-- soft opt-in rests on it. Whoever can show the form states here since when it offered that.
CREATE TABLE IF NOT EXISTS consent_odoo.refusal_offered (
    website_id integer,
    since timestamptz NOT NULL,
    until timestamptz CHECK (until > since),
    wording text NOT NULL CHECK (btrim(wording) <> '')
);
COMMENT ON TABLE consent_odoo.refusal_offered IS 'Since when the checkout of a website (website_id; NULL: orders that no website took) offered customers a refusal of advertising, and with which words. Run consent-batch refold after a change.';

-- An activity of the OCA module may be anything, from a newsletter to photographs: an answer to one counts as an opt-in
-- only for what is stated here. A refusal denies everything, since nothing says how far it goes.
CREATE TABLE IF NOT EXISTS consent_odoo.privacy_activity (
    activity_id integer PRIMARY KEY,
    purposes text[] NOT NULL,
    channels text[] NOT NULL DEFAULT '{email}',
    wording text NOT NULL CHECK (btrim(wording) <> '')
);
COMMENT ON TABLE consent_odoo.privacy_activity IS 'Which activities of the OCA module privacy_consent asked for consent to advertising, for what, on which channels, and with which words. Run consent-batch refold after a change.';

CREATE TABLE IF NOT EXISTS consent_odoo.category (
    native_id integer PRIMARY KEY,
    category_id integer NOT NULL REFERENCES consent_data.category,
    name text NOT NULL
);
COMMENT ON TABLE consent_odoo.category IS 'product_category.id and the category it is here; kept by consent_odoo.sync_categories().';
CREATE OR REPLACE VIEW consent_odoo.category_tree AS SELECT id AS native_id, parent_id, name::text AS label FROM product_category;
COMMENT ON VIEW consent_odoo.category_tree IS 'Odoo''s product categories.';
CREATE OR REPLACE FUNCTION consent_odoo.sync_categories(OUT added bigint, OUT renamed bigint, OUT moved bigint)
    LANGUAGE sql AS $$ SELECT * FROM consent_binding.sync_categories('consent_odoo.category_tree', 'consent_odoo.category') $$;
COMMENT ON FUNCTION consent_odoo.sync_categories() IS 'Takes new product categories over, follows renames and moves, deletes none. Run it when categories changed, for example each night before the refold.';
SELECT * FROM consent_odoo.sync_categories();

-- Contacts ----------------------------------------------------------------------------------------------------------

-- Not p.tz: Odoo fills it with the zone of whoever created the record. An archived record stays a contact, so that its
-- refusals count; it has no country, so that it gets service messages only.
CREATE OR REPLACE VIEW consent_odoo.partner AS
SELECT p.id AS contact_id,
       CASE WHEN p.active THEN upper(c.code)::text END AS country,
       CASE WHEN p.active AND c.code IN ('US', 'CA', 'AU') AND s.code ~ '^[A-Z]{2,3}$' THEN c.code || '-' || s.code END AS region,
       CASE WHEN consent_binding.is_legal_person(p.name) AND p.is_company
                 OR p.is_company IS NOT TRUE AND cp.is_company AND cp.id <> p.id AND consent_binding.is_company_mailbox(a.email, cp.name, coalesce(nullif(cp.email_normalized, ''), cp.email))
            THEN 'corporate' END AS subscriber,
       CASE WHEN p.is_company IS NOT TRUE AND (cp.id = p.id OR cp.id IS NULL) THEN NULL
            WHEN consent_binding.is_role_mailbox(a.email) THEN 'role'
            WHEN p.is_company IS NOT TRUE AND cp.is_company AND consent_binding.is_company_mailbox(a.email, cp.name, coalesce(nullif(cp.email_normalized, ''), cp.email))
            THEN 'named_work' END AS address_kind,
       a.email,
       -- Without a country a national number can't be read.
       CASE WHEN p.active THEN t.any_phone ELSE t.sanitized END AS phone,
       CASE WHEN btrim(p.street) <> '' THEN concat_ws(', ', p.street, p.zip, p.city, c.code) END AS post,
       p.name::text AS name
  FROM res_partner p
  LEFT JOIN res_partner cp ON cp.id = p.commercial_partner_id
  LEFT JOIN res_country c ON c.id = coalesce(p.country_id, cp.country_id)
  LEFT JOIN consent_odoo._state s ON s.id = coalesce(p.state_id, CASE WHEN p.country_id IS NULL OR p.country_id = cp.country_id THEN cp.state_id END)
  LEFT JOIN consent_odoo._phone t ON t.id = p.id,
       -- Odoo writes to all addresses of the field and blacklists the first: of several none is read, which denies.
       LATERAL (SELECT CASE WHEN p.email ~ '@.*@' THEN p.email ELSE coalesce(nullif(btrim(p.email_normalized), ''), nullif(btrim(p.email), '')) END::text AS email) a;
COMMENT ON VIEW consent_odoo.partner IS 'Partners, one row each: persons, companies, the people at companies and their addresses. Bound with source res.partner.';

\if :has_mailings
CREATE OR REPLACE VIEW consent_odoo.mailing_contact AS
SELECT m.id AS contact_id, upper(c.code)::text AS country,
       CASE WHEN m.email ~ '@.*@' THEN m.email ELSE coalesce(nullif(btrim(m.email_normalized), ''), nullif(btrim(m.email), '')) END::text AS email, m.name::text AS name
  FROM mailing_contact m LEFT JOIN res_country c ON c.id = m.country_id;
COMMENT ON VIEW consent_odoo.mailing_contact IS 'The contacts of mailing lists, which Odoo does not link to partners. Bound with source mailing.contact.';
\endif

-- Sales -------------------------------------------------------------------------------------------------------------

\if :has_sales
-- Who bought is the ordering partner: no colleague of hers, and no invoice or delivery address. A line gives something
-- where a product was sold for money: no text, down payment, gift, discount, or refunded one.
\if :has_shop \set website o.website_id \else \set website NULL::integer \endif
\if :has_refunds
    CREATE OR REPLACE VIEW consent_odoo._refunded AS
    SELECT r.order_line_id FROM sale_order_line_invoice_rel r JOIN account_move_line i ON i.id = r.invoice_line_id JOIN account_move v ON v.id = i.move_id
     WHERE v.move_type = 'out_refund' AND v.state = 'posted';
\else
    CREATE OR REPLACE VIEW consent_odoo._refunded AS SELECT NULL::integer AS order_line_id WHERE false;
\endif
CREATE OR REPLACE VIEW :purchase AS
SELECT o.partner_id AS contact_id, o.date_order AT TIME ZONE 'UTC' AS at, m.name AS category,
       CASE WHEN o.state = 'cancel' THEN 'cancelled'
            WHEN o.state IN ('sale', 'done') AND EXISTS (SELECT FROM consent_odoo._refunded x WHERE x.order_line_id = l.id) THEN 'credit_note'
            WHEN o.state IN ('sale', 'done') THEN 'purchase'
            -- Waiting for a bank transfer, an order of the shop is "sent".
            WHEN :website IS NOT NULL THEN 'basket'
            ELSE 'quote_request' END AS kind,
       CASE WHEN EXISTS (SELECT FROM consent_odoo.refusal_offered f
                          WHERE f.website_id IS NOT DISTINCT FROM :website
                            AND o.date_order AT TIME ZONE 'UTC' >= f.since AND (f.until IS NULL OR o.date_order AT TIME ZONE 'UTC' < f.until))
            THEN 'yes' ELSE 'unknown' END AS opt_out_offered
  FROM sale_order o
  JOIN res_partner p ON p.id = o.partner_id AND coalesce(p.type, 'contact') = 'contact'
  JOIN sale_order_line l ON l.order_id = o.id AND l.display_type IS NULL AND l.is_downpayment IS NOT TRUE
       AND l.product_uom_qty > 0 AND l.price_total > 0
  LEFT JOIN product_product v ON v.id = l.product_id
  LEFT JOIN product_template t ON t.id = v.product_tmpl_id
  LEFT JOIN consent_odoo.category m ON m.native_id = t.categ_id
 WHERE o.company_id = :company AND o.amount_total > 0
   -- A quotation is the seller's act: it shows no wish of the customer, unless the DBA says that it is only ever made on request.
   AND (o.state IN ('sale', 'done', 'cancel') OR o.state IN ('draft', 'sent') AND :website IS NOT NULL
        OR o.state = 'sent' AND :'quotations_are_requested' IN ('yes', 'true', 'on', '1'));
COMMENT ON VIEW :purchase IS 'What the company sold, one row a line of an order; baskets of the shop, and quotations where they are only made on request.';
\endif

-- Refusals and consents -----------------------------------------------------------------------------------------------

-- A blacklisted address denies as long as it is blacklisted. One that was taken off was refused once, from the first entry
-- to at most the last change of the row, and only the person's own later opt-in lifts that: whoever took it off may
-- have been anybody. The chatter's log of toggles adds nothing to these two dates.
CREATE OR REPLACE VIEW consent_odoo._blacklist AS
SELECT b.email::text AS address, '{email}'::text[] AS channels, 'mail_blacklist:' || b.id AS source, b.active,
       b.create_date AT TIME ZONE 'UTC' AS created, greatest(b.create_date, b.write_date) AT TIME ZONE 'UTC' AS written, b.email AS email, NULL::varchar AS number
  FROM mail_blacklist b
UNION ALL
SELECT n.number::text, '{sms,phone_live,phone_auto}'::text[], 'phone_blacklist:' || n.id, n.active,
       n.create_date AT TIME ZONE 'UTC', greatest(n.create_date, n.write_date) AT TIME ZONE 'UTC', NULL::varchar, n.number
  FROM consent_odoo._phone_blacklist n;

CREATE OR REPLACE VIEW :partner_consent AS
-- By address, whoever has it ...
SELECT NULL::integer AS contact_id, b.address, 'opt_out'::text AS kind, CASE WHEN b.active IS NOT TRUE THEN b.created END AS at,
       CASE WHEN b.active IS NOT TRUE AND b.created IS NOT NULL THEN b.written END AS recorded_at, b.channels, NULL::text[] AS purposes, NULL::text AS method, NULL::jsonb AS evidence,
       NULL::text AS reason, b.source
  FROM consent_odoo._blacklist b
UNION ALL
-- ... and by partner, since a refusal stays with the person whose address changes.
SELECT p.id, b.email::text, 'opt_out'::text, CASE WHEN b.active IS NOT TRUE THEN b.create_date AT TIME ZONE 'UTC' END,
       CASE WHEN b.active IS NOT TRUE AND b.create_date IS NOT NULL THEN greatest(b.create_date, b.write_date) AT TIME ZONE 'UTC' END, '{email}'::text[], NULL::text[], NULL::text, NULL::jsonb,
       NULL::text, 'mail_blacklist:' || b.id
  FROM res_partner p JOIN mail_blacklist b ON b.email = p.email_normalized
UNION ALL
SELECT p.id, n.number::text, 'opt_out'::text, CASE WHEN n.active IS NOT TRUE THEN n.create_date AT TIME ZONE 'UTC' END,
       CASE WHEN n.active IS NOT TRUE AND n.create_date IS NOT NULL THEN greatest(n.create_date, n.write_date) AT TIME ZONE 'UTC' END, '{sms,phone_live,phone_auto}'::text[], NULL::text[], NULL::text, NULL::jsonb,
       NULL::text, 'phone_blacklist:' || n.id
  FROM consent_odoo._phone p JOIN consent_odoo._phone_blacklist n ON n.number = p.sanitized
UNION ALL
-- The OCA module's log. What it calls a subscription names no words that were agreed to, so it gives nothing.
SELECT NULL::integer, lower(btrim(u.email))::text, 'opt_out'::text, u.date AT TIME ZONE 'UTC', u.date AT TIME ZONE 'UTC', '{email}'::text[],
       NULL::text[], NULL::text, NULL::jsonb, u.details, 'mail_unsubscription:' || u.id
  FROM consent_odoo._unsubscription u WHERE u.action IN ('unsubscription', 'blacklist_add')
UNION ALL
-- An answer's date is not kept, only the row's: an opt-in counts from the question, a refusal to this day. What was
-- archived asks and allows nothing any more.
SELECT v.partner_id, NULL::text, CASE WHEN v.accepted THEN 'opt_in' ELSE 'opt_out' END,
       CASE WHEN v.accepted THEN v.create_date ELSE v.write_date END AT TIME ZONE 'UTC',
       CASE WHEN v.accepted THEN v.create_date AT TIME ZONE 'UTC' END, CASE WHEN v.accepted THEN a.channels ELSE '{any}'::text[] END, a.purposes,
       CASE WHEN v.accepted THEN 'active' END,
       CASE WHEN v.accepted AND v.last_metadata <> '' THEN jsonb_build_object('privacy_consent', v.id, 'wording', a.wording, 'metadata', v.last_metadata) END,
       NULL::text, 'privacy_consent:' || v.id
  FROM consent_odoo._privacy v LEFT JOIN consent_odoo.privacy_activity a ON a.activity_id = v.activity_id
 WHERE v.state = 'answered' AND (v.accepted IS NOT TRUE OR v.active AND a.activity_id IS NOT NULL);
COMMENT ON VIEW :partner_consent IS 'Refusals by address and of partners, and answers to questions of the OCA module privacy_consent.';

\if :has_mailings
CREATE OR REPLACE VIEW :mailing_contact_consent AS
SELECT m.id AS contact_id, b.email::text AS address, 'opt_out'::text AS kind, CASE WHEN b.active IS NOT TRUE THEN b.create_date AT TIME ZONE 'UTC' END AS at,
       CASE WHEN b.active IS NOT TRUE AND b.create_date IS NOT NULL THEN greatest(b.create_date, b.write_date) AT TIME ZONE 'UTC' END AS recorded_at, '{email}'::text[] AS channels, NULL::text[] AS purposes,
       NULL::text AS method, NULL::jsonb AS evidence, NULL::text AS reason, 'mail_blacklist:' || b.id AS source
  FROM mailing_contact m JOIN mail_blacklist b ON b.email = m.email_normalized
UNION ALL
-- Whoever leaves a list has refused, and nothing says that the other lists were meant to stay: it denies everything.
SELECT m.id, m.email_normalized::text, 'opt_out'::text, s.opt_out_datetime AT TIME ZONE 'UTC', s.opt_out_datetime AT TIME ZONE 'UTC',
       '{email}'::text[], NULL::text[], NULL::text, NULL::jsonb, s.reason, 'mailing_subscription:' || s.id
  FROM mailing_contact m JOIN consent_odoo._subscription s ON s.contact_id = m.id WHERE s.opt_out
UNION ALL
-- Being on a list is an asserted opt-in: no proof, and no date, since the row's may be that of an import.
SELECT m.id, m.email_normalized::text, 'opt_in'::text, NULL::timestamptz, NULL::timestamptz, '{email}'::text[], '{marketing,newsletter}'::text[],
       NULL::text, NULL::jsonb, NULL::text, 'mailing_subscription:' || s.id
  FROM mailing_contact m JOIN consent_odoo._subscription s ON s.contact_id = m.id WHERE s.opt_out IS NOT TRUE;
COMMENT ON VIEW :mailing_contact_consent IS 'Refusals of list members; their memberships as unproven opt-ins.';
\endif

-- Engagement ----------------------------------------------------------------------------------------------------------

\if :has_traces
-- A click within ten seconds of sending is a mail scanner's. Odoo keeps the last click of a recipient and mailing.
CREATE OR REPLACE VIEW consent_odoo._trace AS
SELECT t.model, t.res_id AS contact_id, e.at AT TIME ZONE 'UTC' AS at, e.kind,
       e.kind = 'click' AND e.at < t.sent_datetime + interval '10 seconds' IS NOT FALSE AS machine
  FROM mailing_trace t,
       LATERAL (VALUES ('click'::text, t.links_click_datetime), ('inbound_contact'::text, t.reply_datetime), ('open'::text, t.open_datetime),
                       ('bounce'::text, CASE WHEN t.trace_status = 'bounce' THEN coalesce(t.sent_datetime, t.create_date) END)) e (kind, at)
 WHERE e.at IS NOT NULL;
CREATE OR REPLACE VIEW :partner_engagement AS SELECT contact_id, at, kind, machine FROM consent_odoo._trace WHERE model = 'res.partner';
COMMENT ON VIEW :partner_engagement IS 'What partners did with mailings; opens and bounces give nothing.';
CREATE OR REPLACE VIEW :mailing_contact_engagement AS SELECT contact_id, at, kind, machine FROM consent_odoo._trace WHERE model = 'mailing.contact';
COMMENT ON VIEW :mailing_contact_engagement IS 'What list members did with mailings; opens and bounces give nothing.';
\endif

-- Bind and watch --------------------------------------------------------------------------------------------------------

SELECT 'partners' AS binding, * FROM consent.bind_contacts('consent_odoo.partner', source => 'res.partner');
SELECT 'refusals of partners' AS binding, * FROM consent.bind_consents(:'partner_consent', sender => :'sender', source => 'res.partner');
-- The company's mark and country are its people's, too. r.id itself, not a look-up: a deleted row is found no more.
SELECT consent.watch('res_partner', 'contacts',
    contact => format('SELECT r.id UNION ALL SELECT p.id FROM %1$s.res_partner p WHERE p.commercial_partner_id = r.id AND p.id <> r.id', :'crm'),
    source => 'res.partner',
    columns => ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = 'res_partner'::regclass AND NOT a.attisdropped
                        AND a.attname IN ('active', 'is_company', 'name', 'commercial_partner_id', 'type', 'country_id', 'state_id', 'email',
                                          'email_normalized', 'phone', 'mobile', 'phone_sanitized', 'street', 'zip', 'city')));
SELECT consent.watch('mail_blacklist', 'consents', source => 'res.partner', address => 'r.email');
\if :has_phone_blacklist
    SELECT consent.watch('phone_blacklist', 'consents', source => 'res.partner', address => 'r.number');
\endif
\if :has_unsubscriptions
    SELECT consent.watch('mail_unsubscription', 'consents', source => 'res.partner', address => 'lower(btrim(r.email))');
\endif
\if :has_privacy
    SELECT consent.watch('privacy_consent', 'consents', contact => 'r.partner_id', source => 'res.partner');
\endif
\if :has_mailings
    SELECT 'list members' AS binding, * FROM consent.bind_contacts('consent_odoo.mailing_contact', source => 'mailing.contact');
    SELECT 'refusals of list members' AS binding, * FROM consent.bind_consents(:'mailing_contact_consent', sender => :'sender', source => 'mailing.contact');
    SELECT consent.watch('mailing_contact', 'contacts', contact => 'r.id', source => 'mailing.contact',
                         columns => '{email,email_normalized,country_id,name}');
    \if :has_subscriptions
        SELECT consent.watch('mailing_subscription', 'consents', contact => 'r.contact_id', source => 'mailing.contact', columns => '{contact_id,opt_out,opt_out_datetime}');
    \elif :has_old_subscriptions
        SELECT consent.watch('mailing_contact_list_rel', 'consents', contact => 'r.contact_id', source => 'mailing.contact', columns => '{contact_id,opt_out,unsubscription_date}');
    \endif
\endif
\if :has_sales
    SELECT 'sales' AS binding, * FROM consent.bind_purchases(:'purchase', sender => :'sender', source => 'res.partner');
    SELECT consent.watch('sale_order', 'purchases', contact => 'r.partner_id', source => 'res.partner',
        columns => ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = 'sale_order'::regclass AND NOT a.attisdropped
                            AND a.attname IN ('partner_id', 'state', 'date_order', 'company_id', 'website_id', 'amount_total')));
    SELECT consent.watch('sale_order_line', 'purchases', contact => format('SELECT o.partner_id FROM %s.sale_order o WHERE o.id = r.order_id', :'crm'),
        source => 'res.partner', columns => '{order_id,product_id,display_type,product_uom_qty,price_total,is_downpayment}');
    \if :has_refunds
        -- A refund takes a sale away, when it is posted or when its lines are tied to the order's.
        SELECT consent.watch('account_move', 'purchases', source => 'res.partner', restricts => 'true', columns => '{move_type,state}',
            contact => format('SELECT o.partner_id FROM %1$s.account_move_line i JOIN %1$s.sale_order_line_invoice_rel x ON x.invoice_line_id = i.id
                                 JOIN %1$s.sale_order_line l ON l.id = x.order_line_id JOIN %1$s.sale_order o ON o.id = l.order_id
                                WHERE i.move_id = r.id AND r.move_type = ''out_refund''', :'crm'));
        SELECT consent.watch('sale_order_line_invoice_rel', 'purchases', source => 'res.partner', restricts => 'true',
            contact => format('SELECT o.partner_id FROM %1$s.sale_order_line l JOIN %1$s.sale_order o ON o.id = l.order_id
                                WHERE l.id = r.order_line_id AND EXISTS (SELECT FROM %1$s.account_move_line i JOIN %1$s.account_move v ON v.id = i.move_id
                                                                          WHERE i.id = r.invoice_line_id AND v.move_type = ''out_refund'')', :'crm'));
    \endif
\endif
\if :has_traces
    -- Mailings name no company: where there are several, nobody can say whose mailing a click was.
    \if :one_company
        SELECT 'clicks and replies of partners' AS binding, * FROM consent.bind_engagement(:'partner_engagement', sender => :'sender', source => 'res.partner', accepts_staleness => :'accepts_staleness'::interval);
        \if :has_mailings
            SELECT 'clicks and replies of list members' AS binding, * FROM consent.bind_engagement(:'mailing_contact_engagement', sender => :'sender', source => 'mailing.contact', accepts_staleness => :'accepts_staleness'::interval);
        \endif
    \else
        \echo 'clicks and replies are not bound: nothing says which company a mailing was of'
    \endif
\endif
COMMIT;
SELECT * FROM consent.check_bindings();
\echo 'now run: consent-batch refold'

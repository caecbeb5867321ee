-- Binds Dolibarr to pg_consent. As an administrator, in Dolibarr's database:
--
--   psql -v ON_ERROR_STOP=1 -v sender='Shop Ltd' -v timezone=Europe/Paris -f sql/bindings/dolibarr.sql
--
-- before it: CREATE EXTENSION pg_consent; CALL consent.setup(key_type => 'text');
-- after it:  consent-batch refold, then ask for 'socpeople:42' and 'societe:7'.
--
-- timezone: that of Dolibarr's server, which writes its timestamps without one. May be run again at any time. With
-- several entities in one database: once for each, with its sender.
--   -v entity=1                           not needed where there is one only
--   -v crm_schema=public                  where Dolibarr's tables are
-- What customers were offered is stated in consent_dolibarr.refusal_offered. docs/binding.md says what counts as what.

\set ON_ERROR_STOP on
\if :{?sender} \else
    \warn 'say who sends: psql -v sender=''Shop Ltd'' -v timezone=Europe/Paris -f dolibarr.sql'
    \quit
\endif
\if :{?timezone} \else \set timezone '' \endif
\if :{?entity} \else \set entity '' \endif
\if :{?crm_schema} \else \set crm_schema public \endif

BEGIN;
SET LOCAL client_min_messages = warning;
\ir common.sql
CREATE SCHEMA IF NOT EXISTS consent_dolibarr;
COMMENT ON SCHEMA consent_dolibarr IS 'Dolibarr seen through pg_consent''s views; made by sql/bindings/dolibarr.sql.';
SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(:'crm_schema') || ', pg_catalog, pg_temp', true),
       pg_catalog.quote_ident(:'crm_schema') AS crm \gset

SELECT set_config('consent_dolibarr.entity', :'entity', true), set_config('consent_dolibarr.sender', :'sender', true),
       set_config('consent_dolibarr.timezone', :'timezone', true) \gset ignored_
CREATE OR REPLACE TEMPORARY VIEW consent_entity AS
SELECT entity FROM (SELECT entity FROM llx_societe UNION SELECT entity FROM llx_facture UNION SELECT entity FROM llx_socpeople) e WHERE entity > 0;
DO $$
DECLARE
    entities integer := (SELECT count(*) FROM pg_temp.consent_entity);
    named text := current_setting('consent_dolibarr.entity');
    zone text := current_setting('consent_dolibarr.timezone');
BEGIN
    IF (SELECT s.key_type FROM consent_data.setting s) <> 'text' THEN
        RAISE EXCEPTION 'Dolibarr needs text keys' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Contacts and third parties are numbered apart, so their keys are socpeople:42 and societe:7.',
            HINT = 'Run CALL consent.setup(key_type => ''text''); in a database that has no data of pg_consent yet.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = zone) THEN
        RAISE EXCEPTION 'the time zone of Dolibarr''s server is %', CASE zone WHEN '' THEN 'not given' ELSE 'not known' END
            USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'Dolibarr writes timestamps in its server''s zone and does not say which. The session''s zone would be a guess.',
            HINT = 'Run the script with -v timezone=Europe/Paris; the names are in pg_timezone_names.';
    END IF;
    IF named = '' AND entities > 1 THEN
        RAISE EXCEPTION 'there are % entities', entities USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'Each is a legal entity: what was sold by one gives no permission to another.',
            HINT = 'Run the script once for each, with -v entity=... and its sender.';
    END IF;
    IF named !~ '^[0-9]*$' THEN
        RAISE EXCEPTION 'an entity is a number' USING ERRCODE = 'invalid_parameter_value', HINT = 'See SELECT DISTINCT entity FROM llx_societe;';
    END IF;
    INSERT INTO consent_data.sender (name, is_default)
    SELECT current_setting('consent_dolibarr.sender'), NOT EXISTS (SELECT FROM consent_data.sender s WHERE s.is_default)
    ON CONFLICT (name) DO NOTHING;
END
$$;
SELECT coalesce(nullif(:'entity', ''), (SELECT min(entity)::text FROM pg_temp.consent_entity), '1') AS entity \gset
SELECT format('consent_dolibarr.purchase_%s', :'entity') AS purchase, format('consent_dolibarr._unsubscribed_%s', :'entity') AS unsubscribed,
       format('consent_dolibarr.socpeople_consent_%s', :'entity') AS socpeople_consent, format('consent_dolibarr.societe_consent_%s', :'entity') AS societe_consent \gset

CREATE OR REPLACE FUNCTION pg_temp.has(relation text, attribute text DEFAULT 'rowid') RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(relation) AND a.attname = attribute AND NOT a.attisdropped);
SELECT pg_temp.has('llx_socpeople', 'no_email') AS has_no_email, pg_temp.has('llx_mailing_unsubscribe') AS has_unsubscribe,
       pg_temp.has('llx_facture', 'fk_facture_source') AS has_source, pg_temp.has('llx_societe', 'tva_intra') AS has_vat \gset

-- Only some versions have these.
\if :has_no_email
    CREATE OR REPLACE VIEW consent_dolibarr._no_email AS SELECT rowid, email FROM llx_socpeople WHERE no_email = 1;
\else
    CREATE OR REPLACE VIEW consent_dolibarr._no_email AS SELECT rowid, email FROM llx_socpeople WHERE false;
\endif
\if :has_unsubscribe
    CREATE OR REPLACE VIEW consent_dolibarr._unsubscribe AS SELECT rowid, entity, email, unsubscribegroup, date_creat FROM llx_mailing_unsubscribe;
\else
    CREATE OR REPLACE VIEW consent_dolibarr._unsubscribe AS
    SELECT NULL::integer AS rowid, NULL::integer AS entity, NULL::varchar AS email, NULL::varchar AS unsubscribegroup, NULL::timestamp AS date_creat WHERE false;
\endif

-- A name alone says too little: a legal person has a kind of company (1 to 4, from start-up to group) or a VAT number.
\if :has_vat
    CREATE OR REPLACE VIEW consent_dolibarr._company AS
    SELECT rowid, fk_typent IN (1, 2, 3, 4) OR fk_typent IS DISTINCT FROM 8 AND btrim(tva_intra) <> '' AS is_company FROM llx_societe;
\else
    CREATE OR REPLACE VIEW consent_dolibarr._company AS SELECT rowid, fk_typent IN (1, 2, 3, 4) AS is_company FROM llx_societe;
\endif

-- What the DBA states -----------------------------------------------------------------------------------------------

-- Dolibarr does not record whether a customer could refuse advertising when giving the address, so it is unknown, and
-- no soft opt-in rests on it. Whoever can show the form states here since when it offered that.
CREATE TABLE IF NOT EXISTS consent_dolibarr.refusal_offered (
    entity integer NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz CHECK (until > since),
    wording text NOT NULL CHECK (btrim(wording) <> '')
);
COMMENT ON TABLE consent_dolibarr.refusal_offered IS 'Since when every customer of an entity was offered a refusal of advertising when giving the address, and with which words. Run consent-batch refold after a change.';

CREATE TABLE IF NOT EXISTS consent_dolibarr.category (
    native_id integer PRIMARY KEY,
    category_id integer NOT NULL REFERENCES consent_data.category,
    name text NOT NULL
);
COMMENT ON TABLE consent_dolibarr.category IS 'llx_categorie.rowid and the category it is here; kept by consent_dolibarr.sync_categories().';
-- Type 0: of products. A root's parent is 0.
CREATE OR REPLACE VIEW consent_dolibarr.category_tree AS
SELECT rowid AS native_id, nullif(fk_parent, 0) AS parent_id, label::text AS label FROM llx_categorie WHERE type = 0;
COMMENT ON VIEW consent_dolibarr.category_tree IS 'Dolibarr''s product categories.';
CREATE OR REPLACE FUNCTION consent_dolibarr.sync_categories(OUT added bigint, OUT renamed bigint, OUT moved bigint)
    LANGUAGE sql AS $$ SELECT * FROM consent_binding.sync_categories('consent_dolibarr.category_tree', 'consent_dolibarr.category') $$;
COMMENT ON FUNCTION consent_dolibarr.sync_categories() IS 'Takes new product categories over, follows renames and moves, deletes none. Run it when categories changed, for example each night before the refold.';
SELECT * FROM consent_dolibarr.sync_categories();

-- Contacts ----------------------------------------------------------------------------------------------------------

-- A country of 0 is none. One that was closed (status 0) stays a contact, so that its refusals count; it has no country,
-- so that it gets service messages only.
CREATE OR REPLACE VIEW consent_dolibarr.societe AS
SELECT s.rowid AS contact_id, CASE WHEN s.status = 1 THEN upper(c.code)::text END AS country,
       -- 8 is TE_PRIVATE, a private person.
       CASE WHEN s.fk_typent = 8 THEN 'individual' WHEN t.is_company AND consent_binding.is_legal_person(s.nom) THEN 'corporate' END AS subscriber,
       CASE WHEN s.fk_typent IS DISTINCT FROM 8 AND consent_binding.is_role_mailbox(s.email) THEN 'role' END AS address_kind,
       nullif(btrim(s.email), '')::text AS email, nullif(btrim(s.phone), '')::text AS phone,
       CASE WHEN btrim(s.address) <> '' THEN concat_ws(', ', s.address, s.zip, s.town, c.code) END AS post, s.nom::text AS name
  FROM llx_societe s LEFT JOIN consent_dolibarr._company t ON t.rowid = s.rowid LEFT JOIN llx_c_country c ON c.rowid = nullif(s.fk_pays, 0);
COMMENT ON VIEW consent_dolibarr.societe IS 'Third parties, one row each. Bound with source societe.';

CREATE OR REPLACE VIEW consent_dolibarr.socpeople AS
SELECT p.rowid AS contact_id, CASE WHEN p.statut = 1 THEN upper(c.code)::text END AS country,
       CASE WHEN s.fk_typent = 8 THEN 'individual' WHEN t.is_company AND consent_binding.is_company_mailbox(p.email, s.nom, s.email) THEN 'corporate' END AS subscriber,
       CASE WHEN s.rowid IS NULL OR s.fk_typent = 8 THEN NULL
            WHEN consent_binding.is_role_mailbox(p.email) THEN 'role'
            WHEN t.is_company AND consent_binding.is_company_mailbox(p.email, s.nom, s.email) THEN 'named_work' END AS address_kind,
       nullif(btrim(p.email), '')::text AS email, coalesce(nullif(btrim(p.phone_mobile), ''), nullif(btrim(p.phone), ''))::text AS phone,
       CASE WHEN btrim(p.address) <> '' THEN concat_ws(', ', p.address, p.zip, p.town, c.code) END AS post,
       nullif(concat_ws(' ', p.firstname, p.lastname), '') AS name
  FROM llx_socpeople p
  LEFT JOIN llx_societe s ON s.rowid = p.fk_soc
  LEFT JOIN consent_dolibarr._company t ON t.rowid = s.rowid
  LEFT JOIN llx_c_country c ON c.rowid = coalesce(nullif(p.fk_pays, 0), nullif(s.fk_pays, 0));
COMMENT ON VIEW consent_dolibarr.socpeople IS 'Contacts and addresses, one row each. Bound with source socpeople.';

-- Sales -------------------------------------------------------------------------------------------------------------

-- Invoices. Who bought is the third party; its people bought nothing. A line gives something where a product was sold for
-- money: no draft, deposit (type 3) or text. What a credit note names is void; one that names no product, or has no line, voids all.
-- The day is the invoice's own: tms changes with any edit.
\if :has_source \set voided 'x.fk_facture_source = f.rowid' \else \set voided false \endif
CREATE OR REPLACE VIEW :purchase AS
SELECT f.fk_soc AS contact_id, coalesce(f.datef::timestamp, f.datec) AT TIME ZONE :'timezone' AS at, m.name AS category,
       CASE WHEN f.fk_statut = 3 THEN 'cancelled'
            WHEN EXISTS (SELECT FROM llx_facture x LEFT JOIN llx_facturedet y ON y.fk_facture = x.rowid
                          WHERE x.fk_soc = f.fk_soc AND :voided AND x.type = 2 AND x.fk_statut IN (1, 2)
                            AND (y.fk_product = d.fk_product OR y.fk_product IS NULL)) THEN 'credit_note'
            ELSE 'purchase' END AS kind,
       CASE WHEN EXISTS (SELECT FROM consent_dolibarr.refusal_offered o
                          WHERE o.entity = f.entity AND coalesce(f.datef::timestamp, f.datec) AT TIME ZONE :'timezone' >= o.since
                            AND (o.until IS NULL OR coalesce(f.datef::timestamp, f.datec) AT TIME ZONE :'timezone' < o.until))
            THEN 'yes' ELSE 'unknown' END AS opt_out_offered
  FROM llx_facture f
  JOIN llx_facturedet d ON d.fk_facture = f.rowid AND coalesce(d.special_code, 0) = 0 AND coalesce(d.product_type, 0) IN (0, 1) AND d.qty > 0 AND d.total_ttc > 0
  LEFT JOIN llx_categorie_product cp ON cp.fk_product = d.fk_product
  LEFT JOIN consent_dolibarr.category m ON m.native_id = cp.fk_categorie
 WHERE f.entity = :entity AND f.type IN (0, 1) AND f.fk_statut IN (1, 2, 3) AND coalesce(f.datef::timestamp, f.datec) IS NOT NULL;
COMMENT ON VIEW :purchase IS 'What the entity sold, one row a line of an invoice and category of its product.';

-- Refusals ------------------------------------------------------------------------------------------------------------

-- Refusals by address, as Dolibarr spells it. The group says of which mailings; nothing says that the others were meant
-- to go on. Whoever used the link in a mailing did so some time after it was sent: nothing lifts that which is older
-- than our own first sight of it.
CREATE OR REPLACE VIEW :unsubscribed AS
SELECT u.email, u.date_creat AT TIME ZONE :'timezone' AS at, u.date_creat AT TIME ZONE :'timezone' AS recorded_at,
       'group ' || nullif(btrim(u.unsubscribegroup), '') AS reason, 'llx_mailing_unsubscribe:' || u.rowid AS source
  FROM consent_dolibarr._unsubscribe u WHERE u.entity IN (0, :entity) AND btrim(u.email) <> ''
UNION ALL
SELECT k.email, k.date_envoi AT TIME ZONE :'timezone', NULL::timestamptz, NULL::text, 'llx_mailing_cibles:' || k.rowid
  FROM llx_mailing_cibles k LEFT JOIN llx_mailing g ON g.rowid = k.fk_mailing
 -- Of a mailing that is gone nobody knows whose it was.
 WHERE k.statut = 3 AND g.entity IN (0, :entity) IS NOT FALSE AND btrim(k.email) <> '';

CREATE OR REPLACE VIEW :socpeople_consent AS
-- By address, whoever has it ...
SELECT NULL::integer AS contact_id, lower(btrim(u.email))::text AS address, 'opt_out'::text AS kind, u.at, u.recorded_at,
       '{email}'::text[] AS channels, u.reason, u.source
  FROM :unsubscribed u
UNION ALL
-- ... and by contact, since a refusal stays with the person whose address changes.
SELECT p.rowid, lower(btrim(u.email))::text, 'opt_out'::text, u.at, u.recorded_at, '{email}'::text[], u.reason, u.source
  FROM llx_socpeople p JOIN :unsubscribed u ON u.email IN (p.email, lower(btrim(p.email)))
UNION ALL
-- Up to version 9 a flag of the contact, without a date: it denies as long as it is there.
SELECT n.rowid, lower(btrim(n.email))::text, 'opt_out'::text, NULL::timestamptz, NULL::timestamptz, '{email}'::text[], NULL::text,
       'llx_socpeople:' || n.rowid
  FROM consent_dolibarr._no_email n;
COMMENT ON VIEW :socpeople_consent IS 'Refusals by address and of contacts. Dolibarr records no consent.';
CREATE OR REPLACE VIEW :societe_consent AS
SELECT s.rowid AS contact_id, lower(btrim(u.email))::text AS address, 'opt_out'::text AS kind, u.at, u.recorded_at,
       '{email}'::text[] AS channels, u.reason, u.source
  FROM llx_societe s JOIN :unsubscribed u ON u.email IN (s.email, lower(btrim(s.email)));
COMMENT ON VIEW :societe_consent IS 'Refusals of third parties.';

-- Engagement: Dolibarr knows openings only (llx_mailing_cibles.statut 2), which count for nothing, so none is bound.

-- Bind and watch --------------------------------------------------------------------------------------------------------

SELECT 'third parties' AS binding, * FROM consent.bind_contacts('consent_dolibarr.societe', source => 'societe');
SELECT 'contacts' AS binding, * FROM consent.bind_contacts('consent_dolibarr.socpeople', source => 'socpeople');
SELECT 'refusals of contacts' AS binding, * FROM consent.bind_consents(:'socpeople_consent', sender => :'sender', source => 'socpeople');
SELECT 'refusals of third parties' AS binding, * FROM consent.bind_consents(:'societe_consent', sender => :'sender', source => 'societe');
SELECT 'sales' AS binding, * FROM consent.bind_purchases(:'purchase', sender => :'sender', source => 'societe');
SELECT consent.watch('llx_societe', 'contacts', contact => 'r.rowid', source => 'societe',
                     columns => '{nom,status,fk_pays,fk_typent,email,phone,address,zip,town}'::text[] || CASE WHEN :'has_vat' THEN '{tva_intra}' ELSE '{}' END::text[]);
-- A third party's country and legal form are its people's, too.
SELECT consent.watch('llx_societe', 'contacts', contact => format('SELECT p.rowid FROM %s.llx_socpeople p WHERE p.fk_soc = r.rowid', :'crm'),
                     source => 'socpeople', columns => '{nom,fk_pays,fk_typent,email}'::text[] || CASE WHEN :'has_vat' THEN '{tva_intra}' ELSE '{}' END::text[]);
SELECT consent.watch('llx_socpeople', 'contacts', contact => 'r.rowid', source => 'socpeople',
                     columns => '{fk_soc,fk_pays,email,phone,phone_mobile,statut,address,zip,town,firstname,lastname}');
\if :has_no_email
    SELECT consent.watch('llx_socpeople', 'consents', contact => 'r.rowid', source => 'socpeople', columns => '{no_email}');
\endif
\if :has_unsubscribe
    SELECT consent.watch('llx_mailing_unsubscribe', 'consents', source => 'societe', address => 'lower(btrim(r.email))');
\endif
SELECT consent.watch('llx_mailing_cibles', 'consents', source => 'socpeople', address => 'CASE WHEN r.statut = 3 THEN lower(btrim(r.email)) END', columns => '{statut,email}');
-- A credit note takes a sale away.
SELECT consent.watch('llx_facture', 'purchases', contact => 'r.fk_soc', source => 'societe', restricts => 'r.type = 2',
    columns => ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = 'llx_facture'::regclass AND NOT a.attisdropped
                        AND a.attname IN ('fk_soc', 'datef', 'type', 'fk_statut', 'entity', 'fk_facture_source')));
SELECT consent.watch('llx_facturedet', 'purchases', contact => format('SELECT f.fk_soc FROM %s.llx_facture f WHERE f.rowid = r.fk_facture', :'crm'),
                     source => 'societe', restricts => format('(SELECT f.type = 2 FROM %s.llx_facture f WHERE f.rowid = r.fk_facture)', :'crm'),
                     columns => '{fk_facture,fk_product,qty,total_ttc,product_type,special_code}');
COMMIT;
SELECT * FROM consent.check_bindings();
\echo 'now run: consent-batch refold'

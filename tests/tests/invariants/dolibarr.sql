-- What users of Dolibarr do, and what Dolibarr writes then. A person who buys is a third party.
INSERT INTO llx_c_country (rowid, code) VALUES (1, 'GB'), (2, 'FR'), (3, 'DE');
INSERT INTO llx_categorie (label, fk_parent, type) VALUES ('Clothes', 0, 0), ('Shoes', 1, 0), ('Books', 0, 0);
INSERT INTO llx_product (ref) SELECT rowid::text FROM llx_categorie ORDER BY rowid;
INSERT INTO llx_categorie_product (fk_categorie, fk_product) SELECT rowid, rowid FROM llx_categorie;
INSERT INTO llx_mailing (statut) VALUES (3);
CREATE INDEX idx_facture_fk_soc ON llx_facture (fk_soc);
CREATE SCHEMA t;
CREATE FUNCTION t.id(key text) RETURNS integer LANGUAGE sql RETURN split_part(key, ':', 2)::integer;
CREATE FUNCTION t.here(ago interval DEFAULT '0') RETURNS timestamp LANGUAGE sql RETURN (now() - ago) AT TIME ZONE 'Europe/Paris';
CREATE FUNCTION t.person(email text, country text) RETURNS text LANGUAGE sql AS $$
    INSERT INTO public.llx_societe (nom, fk_typent, email, fk_pays, datec)
    SELECT 'Person', 8, email, coalesce((SELECT c.rowid FROM public.llx_c_country c WHERE c.code = country), 0), t.here()
    RETURNING 'societe:' || rowid $$;
CREATE FUNCTION t.invoice(key text, category text, ago interval, kind integer, status integer, source integer) RETURNS void LANGUAGE sql AS $$
    WITH f AS (INSERT INTO public.llx_facture (ref, fk_soc, type, datef, datec, fk_statut, fk_facture_source)
               VALUES ('F', t.id(key), kind, t.here(ago)::date, t.here(ago), status, source) RETURNING rowid)
    INSERT INTO public.llx_facturedet (fk_facture, fk_product, qty, total_ttc)
    SELECT f.rowid, c.rowid, 1, CASE kind WHEN 2 THEN -20 ELSE 20 END FROM f, public.llx_categorie c WHERE c.label = category $$;
CREATE FUNCTION t.buy(key text, category text, ago interval) RETURNS void LANGUAGE sql AS $$ SELECT t.invoice(key, category, ago, 0, 2, NULL) $$;
CREATE FUNCTION t.offer(key text, category text) RETURNS void LANGUAGE sql AS $$ SELECT t.invoice(key, category, '0', 0, 0, NULL), t.invoice(key, category, '0', 3, 2, NULL) $$;
CREATE FUNCTION t.void(key text) RETURNS void LANGUAGE sql AS $$
    SELECT t.invoice(key, 'Shoes', '0', 2, 1, f.rowid) FROM public.llx_facture f WHERE f.fk_soc = t.id(key) AND f.type = 0 $$;
CREATE FUNCTION t.unsubscribe(email text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.llx_mailing_unsubscribe (email, date_creat, tms) VALUES (email, t.here(), t.here()) $$;
CREATE FUNCTION t.enlist(email text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.llx_mailing_cibles (fk_mailing, fk_contact, email, statut, date_envoi) VALUES (1, 0, email, 1, t.here()) $$;
CREATE FUNCTION t.leave_one_list(email text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.llx_mailing_unsubscribe (email, unsubscribegroup, date_creat, tms) VALUES (email, 'news', t.here(), t.here()) $$;
CREATE FUNCTION t.overwrite() RETURNS void LANGUAGE sql AS $$
    DELETE FROM public.llx_mailing_unsubscribe;
    UPDATE public.llx_socpeople SET no_email = 0;
    UPDATE public.llx_societe SET nom = nom || ' (imported)', import_key = '1', tms = t.here(); $$;
CREATE FUNCTION t.clean_up() RETURNS void LANGUAGE sql AS $$ TRUNCATE public.llx_mailing_unsubscribe; DELETE FROM public.llx_mailing_cibles; $$;
CREATE FUNCTION t.remove(key text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM public.llx_facturedet d USING public.llx_facture f WHERE f.rowid = d.fk_facture AND f.fk_soc = t.id(key);
    DELETE FROM public.llx_facture WHERE fk_soc = t.id(key);
    DELETE FROM public.llx_societe WHERE rowid = t.id(key); $$;
CREATE FUNCTION t.merge(twin text, into_key text) RETURNS void LANGUAGE sql AS $$
    UPDATE public.llx_facture SET fk_soc = t.id(into_key) WHERE fk_soc = t.id(twin);
    UPDATE public.llx_socpeople SET fk_soc = t.id(into_key) WHERE fk_soc = t.id(twin);
    DELETE FROM public.llx_societe WHERE rowid = t.id(twin); $$;
CREATE FUNCTION t.change_email(key text, email text) RETURNS void LANGUAGE sql AS $$ UPDATE public.llx_societe SET email = change_email.email WHERE rowid = t.id(key) $$;
CREATE FUNCTION t.forget_country(key text) RETURNS void LANGUAGE sql AS $$ UPDATE public.llx_societe SET fk_pays = 0 WHERE rowid = t.id(key) $$;
CREATE FUNCTION t.archive(key text) RETURNS void LANGUAGE sql AS $$ UPDATE public.llx_societe SET status = 0 WHERE rowid = t.id(key) $$;
CREATE FUNCTION t.edit(key text) RETURNS void LANGUAGE sql AS $$ UPDATE public.llx_societe SET tms = t.here() WHERE rowid = t.id(key) $$;
CREATE FUNCTION t.recipient(key text, statut integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.llx_mailing_cibles (fk_mailing, fk_contact, email, statut, source_type, source_id, date_envoi)
    SELECT 1, 0, s.email, statut, 'thirdparty', s.rowid, t.here() FROM public.llx_societe s WHERE s.rowid = t.id(key) $$;
CREATE FUNCTION t.open(key text) RETURNS void LANGUAGE sql AS $$ SELECT t.recipient(key, 2) $$;
CREATE FUNCTION t.machine_click(key text) RETURNS void LANGUAGE sql AS $$ SELECT $$;
CREATE FUNCTION t.bounce(key text) RETURNS void LANGUAGE sql AS $$ SELECT t.recipient(key, -1) $$;
CREATE FUNCTION t.company(name text, email text, employee_email text, OUT company text, OUT employee text) LANGUAGE plpgsql AS $$
BEGIN
    company := t.person(email, 'GB');
    UPDATE public.llx_societe s SET nom = $1, fk_typent = 3 WHERE s.rowid = t.id(company);
    INSERT INTO public.llx_socpeople (fk_soc, lastname, email) VALUES (t.id(company), 'Jo', employee_email) RETURNING 'socpeople:' || rowid INTO employee;
END $$;
CREATE FUNCTION t.move_shoes_to_books() RETURNS void LANGUAGE sql AS $$ UPDATE public.llx_categorie SET fk_parent = 3 WHERE label = 'Shoes' $$;
CREATE FUNCTION t.contacts() RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM public.llx_societe) + (SELECT count(*) FROM public.llx_socpeople);

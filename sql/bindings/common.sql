-- What the bindings share: who an address belongs to, as far as a CRM lets one see, and the product categories' tree.
-- Included by the other scripts of this folder; may be run any number of times.

CREATE SCHEMA IF NOT EXISTS consent_binding;
COMMENT ON SCHEMA consent_binding IS 'What the bindings of CRMs share; see docs/binding.md. Each function may be replaced by a better one of your own.';

-- A record marked "company" may be a sole trader, whom the law protects like any individual. Only a legal form in the
-- name says that it is a legal person; whatever else is unknown, and unknown counts as an individual. Forms that are
-- surnames and words too (Maria Sa, Sunrise Spa) count with dots, or in capitals where not all is in capitals.
CREATE OR REPLACE FUNCTION consent_binding.is_legal_person(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(pg_catalog.replace(pg_catalog.lower(name), '.', '') ~
            '[ ,](ltd|limited|llp|plc|cic|gmbh|kgaa|sas|sasu|sarl|eurl|bvba|srl|slu|oyj|aps|a/s|asa|inc|incorporated|corp|corporation|llc|pty ltd|pte ltd) *$'
        OR name ~* '[ ,](a\.g|u\.g|s\.e|s\.a|b\.v|n\.v|s\.l|o\.y|a\.b|s\.p\.a)\.? *$'
        OR name ~ '[[:lower:]].*[ ,](AG|UG|SE|SA|BV|NV|SL|OY|AB|SPA|SpA) *$',
        false);
COMMENT ON FUNCTION consent_binding.is_legal_person(text) IS 'Whether a company''s name ends with the legal form of a legal person.';

CREATE OR REPLACE FUNCTION consent_binding.mail_domain(address text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.lower("substring"(address, '@([^@<>, ]+)>? *$'));
COMMENT ON FUNCTION consent_binding.mail_domain(text) IS 'The domain of an e-mail address, in lower case; NULL where there is none.';

-- The list can't be complete, so it only takes away: who is on it has no company's mailbox.
CREATE OR REPLACE FUNCTION consent_binding.is_public_mail(domain text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN domain ~ '^(gmail|googlemail|outlook|hotmail|live|msn|yahoo|ymail|icloud|me|mac|aol|gmx|web|t-online|freenet|mail|proton|protonmail|pm|orange|wanadoo|free|sfr|laposte|neuf|btinternet|sky|virginmedia|talktalk|libero|tiscali|alice|virgilio|telefonica|bigpond|optusnet|shaw|rogers|bell|sympatico|comcast|verizon|att|ziggo|kpnmail|planet|telenet|skynet|uol|bol|terra|rediffmail|naver|qq|163|126|fastmail|zoho|tutanota|hey|ntlworld|tesco|blueyonder|plus|numericable|bbox|club-internet|cegetel|arcor|vodafone|online|posteo|mailbox|chello|bluewin|hispeed|sunrise|eircom|iinet|telstra|xtra|cox|charter|earthlink|sbcglobal|bellsouth|videotron|telus|rocketmail|yandex|tin|fastwebnet|interia|onet|wp|o2|seznam|centrum|telia)\.[a-z.]+$';
COMMENT ON FUNCTION consent_binding.is_public_mail(text) IS 'Whether anybody can have a mailbox at this domain.';

CREATE OR REPLACE FUNCTION consent_binding.is_role_mailbox(address text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(pg_catalog.lower("substring"(address, '([^@<" ]+)@[^@]*$')) =
        ANY ('{info,sales,contact,office,admin,administration,support,help,accounts,accounting,billing,invoices,hello,enquiries,service,services,mail,post,marketing,hr,jobs,press,orders,purchasing,team,reception,webmaster,postmaster,noreply,no-reply,kontakt,vertrieb,einkauf,buchhaltung,bestellung,accueil,bonjour,commande,comptabilite,facturation,achats,ventas,contacto,compras,administracion,ufficio,vendite,acquisti,verkoop,inkoop}'::text[]),
        false);
COMMENT ON FUNCTION consent_binding.is_role_mailbox(text) IS 'Whether the mailbox is a function''s (info@, sales@) and not a person''s, by its local part.';

-- A person at a company has a company's mailbox only where its domain is the company's own: people put their private
-- addresses into CRMs too. A shared domain on no list is known by having nothing of the company's name.
CREATE OR REPLACE FUNCTION consent_binding.is_company_mailbox(address text, company_name text, company_address text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(consent_binding.is_legal_person(company_name)
        AND consent_binding.mail_domain(address) = consent_binding.mail_domain(company_address)
        AND NOT consent_binding.is_public_mail(consent_binding.mail_domain(address))
        AND EXISTS (SELECT FROM pg_catalog.regexp_split_to_table(pg_catalog.lower(company_name), '[^[:alnum:]]+') w
                     WHERE pg_catalog.length(w) >= 4 AND w <> ALL ('{limited,gmbh,kgaa,sasu,sarl,eurl,bvba,incorporated,corp,corporation,mail,email,online,internet}'::text[])
                       AND pg_catalog.strpos(pg_catalog.regexp_replace(consent_binding.mail_domain(address), '[.][^.]*$', ''), w) > 0), false);
COMMENT ON FUNCTION consent_binding.is_company_mailbox(text, text, text) IS 'Whether the address of somebody at a company is a mailbox of that company, which is a legal person.';

-- Categories ------------------------------------------------------------------------------------------------------

-- `tree` has native_id, parent_id and label; `map` native_id, category_id and name. A category is named by its path, so
-- that names are unique. None is ever deleted: old opt-outs keep their meaning. A path that comes back (deleted and
-- created again) is the same category again.
CREATE OR REPLACE FUNCTION consent_binding.sync_categories(tree regclass, map regclass,
    OUT added bigint, OUT renamed bigint, OUT moved bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    r record;
    id integer;
BEGIN
    DROP TABLE IF EXISTS pg_temp.consent_tree;
    -- What hangs below a circle has no path and is left out.
    EXECUTE format($query$
        CREATE TEMPORARY TABLE consent_tree ON COMMIT DROP AS
        WITH RECURSIVE t AS (
            SELECT c.native_id, NULL::integer AS parent_id, 1 AS depth, btrim(c.label) AS path
              FROM %1$s c WHERE NOT EXISTS (SELECT FROM %1$s p WHERE p.native_id = c.parent_id)
            UNION ALL
            SELECT c.native_id, c.parent_id, t.depth + 1, t.path || ' / ' || btrim(c.label)
              FROM %1$s c JOIN t ON c.parent_id = t.native_id)
        SELECT t.native_id, t.parent_id, t.depth, m.category_id,
               t.path || CASE WHEN row_number() OVER (PARTITION BY t.path ORDER BY t.native_id) > 1
                              THEN format(' (#%%s)', t.native_id) ELSE '' END AS name
          FROM t LEFT JOIN %2$s m USING (native_id)$query$, tree, map);

    -- Two categories may have swapped their names: out of the way first.
    UPDATE consent_data.category c SET name = format('(being renamed #%s)', c.category_id)
      FROM pg_temp.consent_tree t WHERE t.category_id = c.category_id AND c.name <> t.name;
    GET DIAGNOSTICS renamed = ROW_COUNT;
    added := 0;
    FOR r IN SELECT * FROM pg_temp.consent_tree t ORDER BY t.depth, t.native_id LOOP
        id := r.category_id;
        IF id IS NULL THEN
            INSERT INTO consent_data.category AS c (name) VALUES (r.name) ON CONFLICT (name) DO NOTHING RETURNING c.category_id INTO id;
            added := added + (id IS NOT NULL)::integer;
            id := coalesce(id, (SELECT c.category_id FROM consent_data.category c WHERE c.name = r.name));
            UPDATE pg_temp.consent_tree t SET category_id = id WHERE t.native_id = r.native_id;
        ELSE
            UPDATE consent_data.category c
               SET name = CASE WHEN EXISTS (SELECT FROM consent_data.category o WHERE o.name = r.name AND o.category_id <> id)
                               THEN format('%s (#%s)', r.name, r.native_id) ELSE r.name END
             WHERE c.category_id = id AND c.name <> r.name;
        END IF;
    END LOOP;
    UPDATE consent_data.category c SET parent_id = p.category_id
      FROM pg_temp.consent_tree t LEFT JOIN pg_temp.consent_tree p ON p.native_id = t.parent_id
     WHERE c.category_id = t.category_id AND c.parent_id IS DISTINCT FROM p.category_id AND c.category_id <> p.category_id IS NOT FALSE;
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format($query$
        INSERT INTO %s AS m (native_id, category_id, name)
        SELECT t.native_id, c.category_id, c.name FROM pg_temp.consent_tree t JOIN consent_data.category c USING (category_id)
        ON CONFLICT (native_id) DO UPDATE SET category_id = excluded.category_id, name = excluded.name
         WHERE (m.category_id, m.name) IS DISTINCT FROM (excluded.category_id, excluded.name)$query$, map);
    DROP TABLE pg_temp.consent_tree;
END
$$;
COMMENT ON FUNCTION consent_binding.sync_categories(regclass, regclass)
    IS 'Takes new product categories over from a CRM and follows renames and moves; deletes none.';

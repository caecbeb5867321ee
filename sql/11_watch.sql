-- Watching: triggers on the CRM's tables note whose state is to be folded anew. They insert and wait for nobody, fold
-- nothing, and never fail the CRM's statement.

-- Rows of a watched table as contact, address, whether they take something away, a fingerprint (a row that has another one
-- afterwards has changed) and the primary key.
CREATE FUNCTION consent._row_query(
    relation regclass, source text, contact text, address text, columns text[], restricts text)
    RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT replace(format('SELECT k.contact, %s AS address, (%s) AS restricts, %s AS print, %s AS ident FROM ',
               coalesce('(' || address || ')::text', 'NULL::text'), restricts,
               -- The key is part of the print: two rows may trade the rest.
               coalesce('ROW(' || (SELECT string_agg(format('r.%I', c), ', ' ORDER BY c)
                                     FROM (SELECT unnest(columns) AS c UNION SELECT unnest(pk.names) WHERE columns IS NOT NULL) u) || ')::text', 'r::text'),
               coalesce('ROW(' || (SELECT string_agg(format('r.%I', c), ', ' ORDER BY c) FROM unnest(pk.names) c) || ')::text', 'NULL::text')), '%', '%%')
           || '%s r, '
           || replace(format('LATERAL (%s) k (contact)', CASE WHEN contact IS NULL THEN 'SELECT NULL::text'
               ELSE format('SELECT %s x.contact::text FROM (%s) x (contact)', quote_literal(source || ':') || ' ||',
                           CASE WHEN contact ~* '^\s*select\M' THEN contact ELSE 'SELECT ' || contact END) END), '%', '%%')
      FROM (SELECT array_agg(a.attname::text) AS names
              FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = relation AND i.indisprimary) pk
$$;
COMMENT ON FUNCTION consent._row_query(regclass, text, text, text, text[], text) IS 'The query that leads from changed rows (%s) of a watched table to contacts and addresses.';

-- What is refused on a contact that was merged binds the one that stayed.
CREATE FUNCTION consent._note_merged(contacts text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM consent_data.contact_merge) THEN
        INSERT INTO consent_data.pending (contact_id, restricts)
        WITH RECURSIVE merged (id) AS (
            SELECT m.into_id FROM consent_data.contact_merge m WHERE m.from_id IN (SELECT consent_data.key(c) FROM unnest(contacts) c)
            UNION
            SELECT m.into_id FROM merged JOIN consent_data.contact_merge m ON m.from_id = merged.id)
        SELECT merged.id, true FROM merged;
    END IF;
END
$$;
COMMENT ON FUNCTION consent._note_merged(text[]) IS 'Notes the contacts into which others were merged, from whom something is taken away.';

-- Until the (sub)transaction is rolled back: there is no way back by a call, or whoever runs as another could take it.
CREATE FUNCTION consent._become(role oid) RETURNS void
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', '_become_wrapper';
COMMENT ON FUNCTION consent._become(oid) IS 'Goes on with the rights of another role, and no others, until the subtransaction is rolled back.';

CREATE FUNCTION consent._watched() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w consent_data.watch;
    v_owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID);
    before text;
    after text;
    contacts text[];
    restricted text[];
    addresses text[];
    moved_from text[];
    moved_into text[];
BEGIN
    SELECT * INTO STRICT w FROM consent_data.watch x WHERE x.watch_id = TG_ARGV[0]::integer;
    before := format(w.row_query, CASE WHEN TG_OP = 'TRUNCATE' THEN TG_RELID::regclass::text WHEN TG_LEVEL = 'STATEMENT' THEN 'old_rows' ELSE '(SELECT ($1).*)' END);
    after := format(w.row_query, CASE TG_LEVEL WHEN 'STATEMENT' THEN 'new_rows' ELSE '(SELECT ($2).*)' END);
    -- The expressions and whatever hides behind the table's types and views run with its owner's rights, and leave nothing.
    BEGIN
        PERFORM consent._become(v_owner);
        -- What a row said and no longer says is taken away, whoever it is of now.
        EXECUTE format('SELECT array_agg(DISTINCT d.contact) FILTER (WHERE d.contact IS NOT NULL),
                               array_agg(DISTINCT d.contact) FILTER (WHERE d.contact IS NOT NULL AND d.restricts IS NOT FALSE),
                               array_agg(DISTINCT d.address) FILTER (WHERE d.address IS NOT NULL) FROM (%s) d',
            CASE TG_OP WHEN 'INSERT' THEN after
                       WHEN 'UPDATE' THEN format('SELECT o.contact, o.address, true AS restricts FROM (%1$s EXCEPT ALL %2$s) o
                                    UNION ALL SELECT n.contact, n.address, n.restricts FROM (%2$s EXCEPT ALL %1$s) n', before, after)
                       ELSE format('SELECT o.contact, o.address, true AS restricts FROM (%s) o', before) END)
           INTO contacts, restricted, addresses USING OLD, NEW;
        IF TG_OP = 'UPDATE' AND w.kind <> 'contacts' AND cardinality(contacts) > 1 THEN
            EXECUTE format('SELECT array_agg(m.o), array_agg(m.n) FROM (SELECT DISTINCT o.contact AS o, n.contact AS n FROM (%s) o JOIN (%s) n ON %s WHERE o.contact <> n.contact) m',
                           before, after, CASE TG_LEVEL WHEN 'ROW' THEN 'true' ELSE 'o.ident = n.ident' END)
               INTO moved_from, moved_into USING OLD, NEW;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'CN000', MESSAGE = 'done';
    EXCEPTION WHEN SQLSTATE 'CN000' THEN
        NULL;
    END;
    IF TG_OP = 'TRUNCATE' THEN
        -- Also those whose state knows of the table and whose rows were gone before.
        INSERT INTO consent_data.pending (contact_id, restricts)
        SELECT s.contact_id, w.kind <> 'engagement' FROM consent_data.contact_state s
         WHERE w.source IS NULL OR starts_with(s.contact_id::text, w.source || ':');
        -- An older snapshot does not show them all.
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            PERFORM consent._watch_failed(w.watch_id, TG_OP, '40001');
        END IF;
    END IF;
    IF contacts IS NULL AND addresses IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO consent_data.pending (contact_id, restricts)
    SELECT consent_data.key(c.contact), w.kind <> 'engagement' AND bool_or(c.restricts)
      FROM (SELECT unnest(contacts) AS contact, false AS restricts UNION ALL SELECT unnest(restricted), true) c
     GROUP BY 1;
    INSERT INTO consent_data.contact_moved (from_id, into_id)
    SELECT consent_data.key(m.o), consent_data.key(m.n) FROM unnest(moved_from, moved_into) m (o, n);
    -- Asked first, since merges wait for those who erase, and most deletions are none.
    IF TG_OP = 'DELETE' AND w.kind = 'contacts' AND EXISTS (
        SELECT FROM consent_data.contact_moved m
         WHERE m.from_id IN (SELECT consent_data.key(c) FROM unnest(contacts) c) AND m.moved_at > now() - interval '1 day') THEN
        -- What the CRM merges without a word to us.
        INSERT INTO consent_data.contact_merge (from_id, into_id, why)
        SELECT DISTINCT m.from_id, m.into_id, 'the CRM gave its rows to the other contact and deleted it'
          FROM consent_data.contact_moved m
         WHERE m.from_id IN (SELECT consent_data.key(c) FROM unnest(contacts) c) AND m.moved_at > now() - interval '1 day'
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM consent._note_merged(restricted);
    IF w.kind = 'consents' AND TG_OP <> 'TRUNCATE' THEN
        BEGIN
            PERFORM consent._take_refusals(coalesce(contacts, '{}'), coalesce(addresses, '{}'));
        EXCEPTION WHEN OTHERS THEN
            -- The contacts are noted and deny; folding them takes the refusals in. An address alone would be lost.
            IF addresses IS NOT NULL THEN
                PERFORM consent._watch_failed(w.watch_id, TG_OP, SQLSTATE);
            END IF;
        END;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Raises where even this can't be written: better no change than a lost refusal.
    PERFORM consent._watch_failed(TG_ARGV[0]::integer, TG_OP, SQLSTATE);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._watched() IS 'Trigger on the CRM''s tables: notes the contacts of changed rows, and takes in refusals among them.';

CREATE FUNCTION consent._watch_failed(watch_id integer, operation text, error_code text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO consent_data.watch_failure (watch_id, operation, error_code) VALUES (watch_id, operation, error_code);
    RAISE LOG 'pg_consent could not take in a change of the CRM (watch %, %, %); marketing that rests on it is denied until the next refold',
        watch_id, operation, error_code;
END
$$;
COMMENT ON FUNCTION consent._watch_failed(integer, text, text) IS 'Remembers that a change was not taken in: what rests on its source denies until a whole refold.';

-- Whoever watches a table has code run with its owner's rights.
CREATE FUNCTION consent._check_owner(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In a security-restricted operation the code of a table's owner runs in the session of another, whose rights are not the
    -- owner's to use. This fails there, and does nothing elsewhere.
    BEGIN
        UNLISTEN consent_restricted;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'this can''t be done from inside an action or a view' USING ERRCODE = 'insufficient_privilege',
            HINT = 'Have the table''s owner, as a member of consent_admin, or a superuser do it.';
    END;
    IF NOT (SELECT pg_has_role(session_user, c.relowner, 'member') FROM pg_class c WHERE c.oid = relation) THEN
        RAISE EXCEPTION 'must be owner of %', relation USING ERRCODE = 'insufficient_privilege',
            HINT = 'Have the table''s owner, as a member of consent_admin, or a superuser do it.';
    END IF;
END
$$;
COMMENT ON FUNCTION consent._check_owner(regclass) IS 'Raises unless the session''s user owns the table.';

CREATE FUNCTION consent.watch(
    relation regclass, kind text, contact text DEFAULT NULL, source text DEFAULT NULL, address text DEFAULT NULL,
    columns text[] DEFAULT NULL, restricts text DEFAULT NULL, each_row boolean DEFAULT false)
    RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    w consent_data.watch;
    unknown text;
    probe text;
BEGIN
    PERFORM consent._check_owner(relation);
    IF kind IS NULL OR kind NOT IN ('contacts', 'purchases', 'engagement', 'consents') OR contact IS NULL AND (address IS NULL OR kind <> 'consents') THEN
        RAISE EXCEPTION '% can''t be watched as %', relation, kind USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'kind is contacts, purchases, engagement or consents; a row leads to a contact, of consents at least to an address.',
            HINT = 'For example consent.watch(''crm.sale'', ''purchases'', contact => ''r.customer_id'').';
    END IF;
    SELECT string_agg(c, ', ') INTO unknown FROM unnest(columns) c
     WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = c AND a.attnum > 0 AND NOT a.attisdropped);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION '% has no columns %', relation, unknown USING ERRCODE = 'undefined_column',
            HINT = 'columns names those whose change matters; leave it out for all.';
    END IF;
    restricts := coalesce(restricts, CASE
        WHEN kind IN ('contacts', 'consents') THEN 'true'
        -- A purchase only gives, unless a refusal may come with it.
        WHEN kind = 'purchases' AND EXISTS (SELECT FROM consent_data.binding b WHERE b.kind = 'purchases'
                 AND 'refused' = ANY (b.columns) AND relation::oid IN (SELECT consent._tables_of(b.view))) THEN 'true'
        -- Nor is it known yet what the binding will say.
        WHEN kind = 'purchases' AND NOT EXISTS (SELECT FROM consent_data.binding b WHERE b.kind = 'purchases'
                 AND relation::oid IN (SELECT consent._tables_of(b.view))) THEN 'true'
        ELSE 'false' END);
    INSERT INTO consent_data.watch AS x (relation, kind, source, row_query, columns, each_row)
    VALUES (relation::text, kind, source, consent._row_query(relation, source, contact, address, columns, restricts), columns, each_row)
    ON CONFLICT ON CONSTRAINT watch_relation_kind_source_key
        DO UPDATE SET row_query = excluded.row_query, columns = excluded.columns, each_row = excluded.each_row
    RETURNING x.* INTO w;
    BEGIN
        PERFORM consent._become((SELECT c.relowner FROM pg_class c WHERE c.oid = relation));
        EXECUTE format('SELECT x.contact FROM (%s) x WHERE x.restricts IS NOT DISTINCT FROM true OR true LIMIT 1',
                       format(w.row_query, format('(SELECT * FROM %s LIMIT 1)', relation))) INTO probe;
        RAISE EXCEPTION USING ERRCODE = 'CN000', MESSAGE = 'done';
    EXCEPTION WHEN SQLSTATE 'CN000' THEN
        NULL;
    WHEN OTHERS THEN
        -- Messages of other classes show the row.
        RAISE EXCEPTION '% can''t be watched: %', relation, CASE WHEN SQLSTATE LIKE '42%' THEN SQLERRM ELSE 'the expressions fail on a row' END
            USING ERRCODE = SQLSTATE,
            DETAIL = 'contact, address and restricts are SQL expressions over a row of the table that is called r.',
            HINT = 'Qualify the names of other tables with their schema; the table''s owner must be able to read them.';
    END;
    BEGIN
        PERFORM consent_data.key(probe);
    EXCEPTION WHEN OTHERS THEN
        RAISE EXCEPTION '% can''t be watched: what contact gives is no key', relation USING ERRCODE = SQLSTATE,
            HINT = 'contact gives the contact_id as the bound view has it.';
    END;
    PERFORM consent._create_watch_triggers(w.watch_id);
    -- Whatever changed before there were triggers.
    IF kind = 'consents' THEN
        PERFORM consent._take_refusals(NULL, NULL);
    END IF;
    RETURN w.watch_id;
END
$$;
COMMENT ON FUNCTION consent.watch(regclass, text, text, text, text, text[], text, boolean)
    IS 'Has triggers note changes of a table that a bound view reads. contact: the contact_id of a row r, as an expression, or SELECT for several; source: as bound; address: for consents known by address only; columns: those whose change matters; restricts: when an inserted row takes something away (a credit note); each_row: for tables that logical replication fills. Run it again after adding partitions.';

CREATE FUNCTION consent._watched_relations(relation text) RETURNS SETOF regclass
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE tree AS (
        SELECT to_regclass(relation)::oid AS relid
        UNION
        SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid)
    SELECT t.relid::regclass FROM tree t WHERE t.relid IS NOT NULL
$$;
COMMENT ON FUNCTION consent._watched_relations(text) IS 'The tables that need triggers: a table and whatever is part of it or inherits from it, since a row may name either.';

CREATE FUNCTION consent._create_watch_triggers(watch integer) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    w consent_data.watch;
    r record;
BEGIN
    SELECT * INTO STRICT w FROM consent_data.watch x WHERE x.watch_id = watch;
    FOR r IN SELECT t AS relation, o.operation, format('consent_watch_%s_%s', w.watch_id, lower(o.operation)) AS name
               FROM consent._watched_relations(w.relation) t, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) o (operation)
              ORDER BY t <> to_regclass(w.relation), t::oid LOOP
        -- PostgreSQL itself gives partitions the row triggers of their table.
        IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.relation AND t.tgname = r.name AND t.tgparentid <> 0) THEN
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', r.relation, r.name);
            CONTINUE;
        END IF;
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', r.name, r.relation);
        EXECUTE format('CREATE TRIGGER %I %s %s ON %s %s %s EXECUTE FUNCTION consent._watched(%L)', r.name,
            CASE r.operation WHEN 'TRUNCATE' THEN 'BEFORE' ELSE 'AFTER' END, r.operation, r.relation,
            CASE WHEN w.each_row OR r.operation = 'TRUNCATE' THEN ''
                 WHEN r.operation = 'INSERT' THEN 'REFERENCING NEW TABLE AS new_rows'
                 WHEN r.operation = 'DELETE' THEN 'REFERENCING OLD TABLE AS old_rows'
                 ELSE 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows' END,
            CASE WHEN w.each_row AND r.operation <> 'TRUNCATE' THEN 'FOR EACH ROW' ELSE 'FOR EACH STATEMENT' END, w.watch_id);
        -- Also where the session says that it is a replica's.
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', r.relation, r.name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._create_watch_triggers(integer) IS 'One trigger an operation, on the table and on each of its partitions.';

CREATE FUNCTION consent.unwatch(relation regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    r record;
BEGIN
    PERFORM consent._check_owner(relation);
    FOR r IN SELECT t.tgname, t.tgrelid::regclass AS relation
               FROM consent_data.watch w
              CROSS JOIN LATERAL consent._watched_relations(w.relation) x
               JOIN pg_trigger t ON t.tgrelid = x AND t.tgparentid = 0 AND starts_with(t.tgname, format('consent_watch_%s_', w.watch_id))
              WHERE w.relation = relation::text LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', r.tgname, r.relation);
    END LOOP;
    DELETE FROM consent_data.watch w WHERE w.relation = relation::text;
END
$$;
COMMENT ON FUNCTION consent.unwatch(regclass) IS 'Takes the triggers off a table. What rests on it is then as fresh as the last refold.';

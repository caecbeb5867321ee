-- Watching: triggers on the CRM's tables note whose state is to be folded anew. They insert and wait for nobody, fold
-- nothing, and never fail the CRM's statement.

-- Rows of a watched table as contact, address, whether they take something away, and a fingerprint: a row that has
-- another one afterwards has changed.
CREATE FUNCTION consent._row_query(
    relation regclass, source text, contact text, address text, columns text[], restricts text)
    RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT replace(format('SELECT k.contact, %s AS address, (%s) AS restricts, %s AS print FROM ', coalesce('(' || address || ')::text', 'NULL::text'), restricts,
               -- The key is part of the print: two rows may trade the rest.
               coalesce('ROW(' || (
                   SELECT string_agg(format('r.%I', c), ', ' ORDER BY c) FROM (
                       SELECT unnest(columns) AS c
                       UNION
                       SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                        WHERE columns IS NOT NULL AND i.indrelid = relation AND i.indisprimary) u) || ')::text', 'r::text')), '%', '%%')
           || '%s r, '
           || replace(format('LATERAL (%s) k (contact)', CASE WHEN contact IS NULL THEN 'SELECT NULL::text'
               ELSE format('SELECT %s x.contact::text FROM (%s) x (contact)', quote_literal(source || ':') || ' ||',
                           CASE WHEN contact ~* '^\s*select\M' THEN contact ELSE 'SELECT ' || contact END) END), '%', '%%')
$$;
COMMENT ON FUNCTION consent._row_query(regclass, text, text, text, text[], text) IS 'The query that leads from changed rows (%s) of a watched table to contacts and addresses.';

CREATE FUNCTION consent._watched() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w consent_data.watch;
    before text;
    after text;
    contacts text[];
    restricted text[];
    addresses text[];
BEGIN
    SELECT * INTO STRICT w FROM consent_data.watch x WHERE x.watch_id = TG_ARGV[0]::integer;
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO consent_data.pending (contact_id, restricts)
        SELECT s.contact_id, w.kind <> 'engagement' FROM consent_data.contact_state s
         WHERE w.source IS NULL OR starts_with(s.contact_id::text, w.source || ':');
        RETURN NULL;
    END IF;
    before := format(w.row_query, CASE TG_LEVEL WHEN 'STATEMENT' THEN 'old_rows' ELSE '(SELECT ($1).*)' END);
    after := format(w.row_query, CASE TG_LEVEL WHEN 'STATEMENT' THEN 'new_rows' ELSE '(SELECT ($2).*)' END);
    -- What a row said and no longer says is taken away, whoever it is of now.
    EXECUTE format('SELECT array_agg(DISTINCT d.contact) FILTER (WHERE d.contact IS NOT NULL),
                           array_agg(DISTINCT d.contact) FILTER (WHERE d.contact IS NOT NULL AND d.restricts IS NOT FALSE),
                           array_agg(DISTINCT d.address) FILTER (WHERE d.address IS NOT NULL) FROM (%s) d',
        CASE TG_OP WHEN 'INSERT' THEN after
                   WHEN 'DELETE' THEN format('SELECT o.contact, o.address, true AS restricts FROM (%s) o', before)
                   ELSE format('SELECT o.contact, o.address, true AS restricts FROM (%1$s EXCEPT ALL %2$s) o
                                UNION ALL SELECT n.contact, n.address, n.restricts FROM (%2$s EXCEPT ALL %1$s) n', before, after) END)
       INTO contacts, restricted, addresses USING OLD, NEW;
    IF contacts IS NULL AND addresses IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO consent_data.pending (contact_id, restricts)
    SELECT consent_data.key(c.contact), w.kind <> 'engagement' AND bool_or(c.restricts)
      FROM (SELECT unnest(contacts) AS contact, false AS restricts UNION ALL SELECT unnest(restricted), true) c
     GROUP BY 1;
    IF w.kind = 'consents' THEN
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
BEGIN
    IF NOT has_table_privilege(session_user, relation, 'TRIGGER') THEN
        RAISE EXCEPTION '% can''t be watched', relation USING ERRCODE = 'insufficient_privilege',
            HINT = 'Grant TRIGGER on it, or have its owner watch it.';
    END IF;
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
                 AND b.source IS NOT DISTINCT FROM source AND 'refused' = ANY (b.columns)) THEN 'true'
        ELSE 'false' END);
    INSERT INTO consent_data.watch AS x (relation, kind, source, row_query, each_row)
    VALUES (relation::text, kind, source, consent._row_query(relation, source, contact, address, columns, restricts), each_row)
    ON CONFLICT ON CONSTRAINT watch_relation_kind_source_key DO UPDATE SET row_query = excluded.row_query, each_row = excluded.each_row
    RETURNING x.* INTO w;
    BEGIN
        EXECUTE format('SELECT consent_data.key(x.contact), x.address, x.restricts IS TRUE FROM (%s) x LIMIT 1',
                       format(w.row_query, format('(SELECT * FROM %s LIMIT 1)', relation)));
    EXCEPTION WHEN OTHERS THEN
        RAISE EXCEPTION '% can''t be watched: %', relation, SQLERRM USING ERRCODE = SQLSTATE,
            DETAIL = 'contact, address and restricts are SQL expressions over a row of the table that is called r.',
            HINT = 'Qualify the names of other tables with their schema.';
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

CREATE FUNCTION consent._watched_relations(relation text, each_row boolean) RETURNS SETOF regclass
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.relation FROM (
        SELECT to_regclass(relation) AS relation
        UNION
        SELECT t.relid FROM pg_partition_tree(to_regclass(relation)) t WHERE NOT each_row) r
     WHERE r.relation IS NOT NULL
$$;
COMMENT ON FUNCTION consent._watched_relations(text, boolean) IS 'The tables that need triggers: a partitioned table and its partitions each, since a row may name either.';

CREATE FUNCTION consent._create_watch_triggers(watch integer) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
DECLARE
    w consent_data.watch;
    r record;
BEGIN
    SELECT * INTO STRICT w FROM consent_data.watch x WHERE x.watch_id = watch;
    FOR r IN SELECT t AS relation, o.operation, format('consent_watch_%s_%s', w.watch_id, lower(o.operation)) AS name
               FROM consent._watched_relations(w.relation, w.each_row) t, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) o (operation) LOOP
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
    FOR r IN SELECT t.tgname, t.tgrelid::regclass AS relation
               FROM consent_data.watch w
              CROSS JOIN LATERAL consent._watched_relations(w.relation, w.each_row) x
               JOIN pg_trigger t ON t.tgrelid = x AND t.tgparentid = 0 AND starts_with(t.tgname, format('consent_watch_%s_', w.watch_id))
              WHERE w.relation = relation::text LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', r.tgname, r.relation);
    END LOOP;
    DELETE FROM consent_data.watch w WHERE w.relation = relation::text;
END
$$;
COMMENT ON FUNCTION consent.unwatch(regclass) IS 'Takes the triggers off a table. What rests on it is then as fresh as the last refold.';

-- What is wrong with a watch, if anything.
CREATE FUNCTION consent._watch_problems() RETURNS TABLE (watch_id integer, problem text, detail text, hint text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.watch_id, 'table is gone', w.relation, 'Watch the table that took its place, or unwatch it.'
      FROM consent_data.watch w WHERE to_regclass(w.relation) IS NULL
    UNION ALL
    SELECT w.watch_id, CASE WHEN t.oid IS NOT NULL THEN 'trigger is disabled' WHEN p.relid <> to_regclass(w.relation) THEN 'partition is not covered' ELSE 'trigger is missing' END,
           format('%s on %s', lower(o.operation), p.relid),
           CASE WHEN t.oid IS NOT NULL THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I, then consent-batch refold', p.relid, t.tgname)
                ELSE 'Call consent.watch() again, then consent-batch refold.' END
      FROM consent_data.watch w
     CROSS JOIN LATERAL consent._watched_relations(w.relation, w.each_row) p (relid)
     CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) o (operation)
      LEFT JOIN pg_trigger t ON t.tgrelid = p.relid AND t.tgname = format('consent_watch_%s_%s', w.watch_id, lower(o.operation))
     WHERE t.oid IS NULL OR t.tgenabled <> 'A'
    UNION ALL
    SELECT w.watch_id, 'replication passes the triggers by', w.relation, 'Call consent.watch(..., each_row => true): only row triggers see what logical replication writes.'
      FROM consent_data.watch w
     WHERE NOT w.each_row AND EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = to_regclass(w.relation))
    UNION ALL
    SELECT f.watch_id, 'change was not taken in', format('%s of them, first at %s, error %s', count(*), min(f.failed_at), min(f.error_code)),
           'Run consent-batch refold; mend the expressions given to consent.watch() if it comes again.'
      FROM consent_data.watch_failure f JOIN consent_data.watch w USING (watch_id) GROUP BY f.watch_id
$$;
COMMENT ON FUNCTION consent._watch_problems() IS 'What keeps changes of watched tables from being noted.';

-- Until when each binding can be relied on.
CREATE FUNCTION consent._freshness() RETURNS TABLE (binding_id integer, kind text, sender_id integer, fresh_until timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.binding_id, b.kind, b.sender_id,
           CASE WHEN to_regclass(b.view) IS NULL OR bool_or(p.watch_id IS NOT NULL) THEN '-infinity'
                WHEN count(w.watch_id) > 0 THEN 'infinity'
                ELSE b.seen_at + b.accepts_staleness END
      FROM consent_data.binding b
      LEFT JOIN consent_data.watch w ON w.kind = b.kind AND w.source IS NOT DISTINCT FROM b.source
      LEFT JOIN (SELECT DISTINCT x.watch_id FROM consent._watch_problems() x) p ON p.watch_id = w.watch_id
     GROUP BY b.binding_id
$$;
COMMENT ON FUNCTION consent._freshness() IS 'Until when what the folds have seen of each bound view may be used.';

CREATE FUNCTION consent._freshness_in_words() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(string_agg(CASE f.fresh_until
               WHEN 'infinity' THEN format('%s watched', b.view)
               WHEN '-infinity' THEN format('%s broken', b.view)
               ELSE format('%s as of %s, up to %s days old', b.view, to_char(b.seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
                           trim_scale(round(extract(epoch FROM b.accepts_staleness) / 86400, 2))) END,
               '; ' ORDER BY b.view), 'no CRM is bound')
      FROM consent._freshness() f JOIN consent_data.binding b USING (binding_id)
$$;
COMMENT ON FUNCTION consent._freshness_in_words() IS 'How fresh what an answer rests on is, view by view.';

CREATE FUNCTION consent.check_bindings() RETURNS TABLE (binding text, problem text, detail text, hint text, denies boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT w.relation, p.problem, p.detail, p.hint, w.kind <> 'engagement'
      FROM consent._watch_problems() p JOIN consent_data.watch w USING (watch_id);
    RETURN QUERY
    SELECT b.view, 'view is gone'::text, NULL::text, 'Bind the view that took its place, or delete it from consent_data.binding.'::text, b.kind <> 'engagement'
      FROM consent_data.binding b WHERE to_regclass(b.view) IS NULL;
    RETURN QUERY
    SELECT b.view, 'not refolded in time'::text, format('seen %s, up to %s accepted', b.seen_at, b.accepts_staleness),
           'Run consent-batch refold each night, or watch its tables.'::text, b.kind <> 'engagement'
      FROM consent._freshness() f JOIN consent_data.binding b USING (binding_id)
     WHERE isfinite(f.fresh_until) AND f.fresh_until < statement_timestamp();
    -- Tables that a watched view reads and nothing watches: look-up tables are right not to be.
    RETURN QUERY
    WITH RECURSIVE reads AS (
        SELECT b.binding_id, b.view, to_regclass(b.view)::oid AS relation FROM consent_data.binding b
         WHERE EXISTS (SELECT FROM consent_data.watch w WHERE w.kind = b.kind AND w.source IS NOT DISTINCT FROM b.source)
        UNION
        SELECT r.binding_id, r.view, d.refobjid
          FROM reads r JOIN pg_rewrite w ON w.ev_class = r.relation
          JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.relation)
    SELECT r.view, 'table is not watched'::text, c.oid::regclass::text, 'Watch it too, if its rows say something about contacts.'::text, false
      FROM reads r JOIN pg_class c ON c.oid = r.relation AND c.relkind IN ('r', 'p', 'f', 'm')
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'consent_data'
     WHERE NOT EXISTS (SELECT FROM consent_data.watch w WHERE to_regclass(w.relation) = c.oid);
    RETURN QUERY
    SELECT 'consent_data.pending'::text, 'noted contacts wait'::text, format('%s of them, the oldest since %s', count(*), min(p.noted_at)),
           'Run SELECT consent.refold_pending() or consent-batch refold --pending each minute.'::text, true
      FROM consent_data.pending p HAVING min(p.noted_at) < clock_timestamp() - interval '5 minutes';
    RETURN QUERY EXECUTE
    'SELECT ''consent_data.crm_contact''::text, ''contacts have several rows''::text, format(''%s of them'', count(*)),
            ''A join in the bound view multiplies rows.''::text, true
       FROM (SELECT FROM consent_data.crm_contact c GROUP BY c.contact_id HAVING count(*) > 1) d HAVING count(*) > 0';
END
$$;
COMMENT ON FUNCTION consent.check_bindings() IS 'DBA: what keeps the CRM''s changes from being seen? denies: whether marketing that rests on it is denied meanwhile. No rows: all is well.';

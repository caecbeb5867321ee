-- How far bindings and watches can be relied on, and what is wrong with them.

-- The tables that a view reads, through whatever other views. Those that a function reads are not to be seen.
CREATE FUNCTION consent._tables_of(view text) RETURNS SETOF oid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE reads AS (
        SELECT to_regclass(view)::oid AS relation
        UNION
        SELECT d.refobjid FROM reads r JOIN pg_rewrite w ON w.ev_class = r.relation
          JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass)
    SELECT c.oid FROM reads r JOIN pg_class c ON c.oid = r.relation
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'consent_data'
     WHERE c.relkind IN ('r', 'p', 'f', 'm')
$$;
COMMENT ON FUNCTION consent._tables_of(text) IS 'The tables from which a view takes its rows.';

CREATE FUNCTION consent._watched_bindings() RETURNS TABLE (binding_id integer, watch_id integer)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.binding_id, w.watch_id
      FROM consent_data.binding b
      JOIN consent_data.watch w ON w.kind = b.kind AND w.source IS NOT DISTINCT FROM b.source
     WHERE to_regclass(w.relation) IS NULL
        OR EXISTS (SELECT FROM consent._tables_of(b.view) t WHERE t IN (SELECT consent._watched_relations(w.relation)::oid))
$$;
COMMENT ON FUNCTION consent._watched_bindings() IS 'Which bound views rest on which watched tables.';

-- Whoever switches a trigger off and on again leaves another version of its row in the catalog.
CREATE FUNCTION consent._trigger_print(watch integer, relation text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT md5(string_agg(t.oid || ' ' || t.xmin::text, ',' ORDER BY t.oid))
      FROM consent._watched_relations(relation) p (relid)
      JOIN pg_trigger t ON t.tgrelid = p.relid AND starts_with(t.tgname, format('consent_watch_%s_', watch))
$$;
COMMENT ON FUNCTION consent._trigger_print(integer, text) IS 'Fingerprint of the triggers of a watch, as they are now.';

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
     CROSS JOIN LATERAL consent._watched_relations(w.relation) p (relid)
     CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) o (operation)
      LEFT JOIN pg_trigger t ON t.tgrelid = p.relid AND t.tgname = format('consent_watch_%s_%s', w.watch_id, lower(o.operation))
     WHERE t.oid IS NULL OR t.tgenabled <> 'A'
    UNION ALL
    SELECT w.watch_id, 'triggers were changed', w.relation, 'Run consent-batch refold: what happened meanwhile was not noted.'
      FROM consent_data.watch w WHERE w.triggers <> consent._trigger_print(w.watch_id, w.relation)
    UNION ALL
    SELECT w.watch_id, 'replication passes the triggers by', w.relation, 'Call consent.watch(..., each_row => true): only row triggers see what logical replication writes.'
      FROM consent_data.watch w
     WHERE NOT w.each_row AND EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid IN (SELECT consent._watched_relations(w.relation)))
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
    SELECT b.binding_id,
           -- Where refusals come with sales, what was not seen may be one.
           CASE WHEN b.kind = 'purchases' AND 'refused' = ANY (b.columns) THEN 'consents' ELSE b.kind END, b.sender_id,
           CASE WHEN to_regclass(b.view) IS NULL OR b.definition IS DISTINCT FROM consent._definition(b.view)
                  OR EXISTS (SELECT FROM consent._watched_bindings() x JOIN consent._watch_problems() p USING (watch_id)
                              WHERE x.binding_id = b.binding_id) THEN '-infinity'
                -- Triggers know nothing of what was before them, nor of tables without: a whole refold does.
                WHEN EXISTS (SELECT FROM consent._tables_of(b.view))
                     AND NOT EXISTS (SELECT FROM consent._tables_of(b.view) t
                                      WHERE NOT EXISTS (SELECT FROM consent_data.watch w WHERE w.triggers IS NOT NULL
                                                           AND t IN (SELECT consent._watched_relations(w.relation)::oid))) THEN 'infinity'
                ELSE b.seen_at + b.accepts_staleness END
      FROM consent_data.binding b
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
    RETURN QUERY
    SELECT w.relation, 'not refolded since watched'::text, NULL::text, 'Run consent-batch refold once: triggers know nothing of what was before them.'::text, false
      FROM consent_data.watch w WHERE w.triggers IS NULL;
    -- Tables that a watched view reads and nothing watches: look-up tables are right not to be.
    RETURN QUERY
    SELECT b.view, 'table is not watched'::text, t::regclass::text, 'Watch it too, if its rows say something about contacts.'::text, false
      FROM consent_data.binding b, LATERAL consent._tables_of(b.view) t
     WHERE EXISTS (SELECT FROM consent._watched_bindings() x WHERE x.binding_id = b.binding_id)
       AND NOT EXISTS (SELECT FROM consent_data.watch w WHERE t IN (SELECT consent._watched_relations(w.relation)::oid));
    RETURN QUERY
    SELECT w.relation, 'column matters and is not watched'::text, format('%s of %s', string_agg(DISTINCT a.attname, ', '), b.view),
           'Name it in columns, or leave columns out.'::text, false
      FROM consent_data.watch w JOIN consent._watched_bindings() x USING (watch_id) JOIN consent_data.binding b USING (binding_id)
      JOIN pg_rewrite r ON r.ev_class = to_regclass(b.view)
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refobjid = to_regclass(w.relation) AND d.refobjsubid > 0
      JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
     WHERE a.attname <> ALL (w.columns)
       AND a.attname NOT IN (SELECT k.attname FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)
                              WHERE i.indrelid = to_regclass(w.relation) AND i.indisprimary)
     GROUP BY w.relation, b.view;
    RETURN QUERY
    SELECT w.relation, 'merges are not seen'::text, 'no primary key'::text, 'Call consent.merge_contacts() where the CRM merges contacts, or give the table a primary key.'::text, false
      FROM consent_data.watch w
     WHERE w.kind <> 'contacts' AND NOT w.each_row
       AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass(w.relation) AND i.indisprimary);
    RETURN QUERY
    SELECT b.view, 'view was changed'::text, NULL::text, 'Bind it again, then consent-batch refold.'::text, b.kind <> 'engagement'
      FROM consent_data.binding b WHERE to_regclass(b.view) IS NOT NULL AND b.definition IS DISTINCT FROM consent._definition(b.view);
    RETURN QUERY
    SELECT b.view, 'refusals name nobody'::text, format('%s of them', u.n), 'Their addresses can''t be read: mend them in the CRM or in the view.'::text, false
      FROM consent_data.binding b, LATERAL (SELECT consent._unread_refusals(b.view, b.columns) AS n) u
     WHERE b.kind = 'consents' AND to_regclass(b.view) IS NOT NULL AND u.n > 0;
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

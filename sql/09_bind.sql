-- Binding: the CRM's own rows seen through views. Nothing is copied, nothing of the CRM is changed.

CREATE FUNCTION consent._bindable() RETURNS TABLE (kind text, name text, type text, required boolean)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('contacts', 'contact_id', NULL, true), ('contacts', 'country', 'text', true),
           ('contacts', 'region', 'text', false), ('contacts', 'timezone', 'text', false),
           ('contacts', 'subscriber', 'text', false), ('contacts', 'address_kind', 'text', false),
           ('contacts', 'line', 'text', false), ('contacts', 'email', 'text', false),
           ('contacts', 'phone', 'text', false), ('contacts', 'post', 'text', false),
           ('contacts', 'name', 'text', false),
           ('purchases', 'contact_id', NULL, true), ('purchases', 'at', 'timestamp with time zone', true),
           ('purchases', 'category', 'text', true), ('purchases', 'kind', 'text', false),
           ('purchases', 'opt_out_offered', 'text', false), ('purchases', 'refused', 'boolean', false),
           ('purchases', 'from_person', 'boolean', false), ('purchases', 'channels', 'text[]', false),
           ('engagement', 'contact_id', NULL, true), ('engagement', 'at', 'timestamp with time zone', true),
           ('engagement', 'kind', 'text', true), ('engagement', 'machine', 'boolean', false),
           ('consents', 'contact_id', NULL, false), ('consents', 'address', 'text', false),
           ('consents', 'kind', 'text', true), ('consents', 'at', 'timestamp with time zone', true),
           ('consents', 'recorded_at', 'timestamp with time zone', false), ('consents', 'channels', 'text[]', false),
           ('consents', 'category', 'text', false), ('consents', 'purposes', 'text[]', false),
           ('consents', 'method', 'text', false), ('consents', 'evidence', 'jsonb', false),
           ('consents', 'double_opt_in', 'boolean', false), ('consents', 'via', 'text', false),
           ('consents', 'reason', 'text', false), ('consents', 'source', 'text', false)
$$;
COMMENT ON FUNCTION consent._bindable() IS 'The columns a binding view may have. A contact_id has a type that fits the keys chosen at setup.';

CREATE FUNCTION consent._bindable_kinds(kind text) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE kind
        WHEN 'engagement' THEN ARRAY['click', 'open', 'login', 'inbound_contact', 'bounce']
        WHEN 'consents' THEN ARRAY['opt_in', 'opt_in_confirmed', 'opt_in_refused', 'opt_in_unanswered', 'system_opt_in',
                                   'opt_out', 'objection', 'erasure_request']
        WHEN 'purchases' THEN ARRAY(SELECT k FROM unnest(consent._codes('event_kind')) k
                                     WHERE k !~ '^(opt_|objection|erasure|register_|system_|sent|call_|legal_)')
                              || ARRAY['cancelled', 'credit_note'] END
$$;
COMMENT ON FUNCTION consent._bindable_kinds(text) IS 'What a row of a binding view may be.';

-- Which types of the view's contact_id can be looked up by our keys, using the CRM's own index.
CREATE FUNCTION consent._native_types(key_type text, source text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE key_type WHEN 'bigint' THEN ARRAY['smallint', 'integer', 'bigint']
                         WHEN 'uuid' THEN ARRAY['uuid']
                         ELSE ARRAY['text'] || CASE WHEN source IS NOT NULL THEN ARRAY['smallint', 'integer', 'bigint', 'uuid'] END END
$$;
COMMENT ON FUNCTION consent._native_types(text, text) IS 'The types a view''s contact_id may have.';

-- Instants that depend on the session's time zone would change their meaning with whoever asks.
-- The same thousand rows are read twice: whichever come first, as long as they are the same ones.
CREATE FUNCTION consent._check_zone(view regclass, columns text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET synchronize_seqscans = off SET max_parallel_workers_per_gather = 0
AS $$
#variable_conflict use_variable
DECLARE
    before text := current_setting('TimeZone');
    name text;
    seen text[] := '{}';
    zone text;
    digest text;
BEGIN
    FOREACH name IN ARRAY ARRAY['at', 'recorded_at'] LOOP
        CONTINUE WHEN name <> ALL (columns);
        FOREACH zone IN ARRAY ARRAY['Etc/GMT+12', 'Etc/GMT-14'] LOOP
            PERFORM set_config('TimeZone', zone, true);
            EXECUTE format('SELECT md5(string_agg(extract(epoch FROM v.%1$I)::text, '','' ORDER BY v.%1$I))
                              FROM (SELECT v.%1$I FROM %2$s v WHERE v.%1$I IS NOT NULL LIMIT 1000) v', name, view)
               INTO digest;
            seen := seen || coalesce(digest, '');
        END LOOP;
        PERFORM set_config('TimeZone', before, true);
        -- An empty table shows no difference; what the view says does.
        IF seen[1] <> seen[2] OR pg_get_viewdef(view) ~ '[a-z0-9_")]::timestamp with time zone' THEN
            RAISE EXCEPTION '% has instants that depend on the session''s time zone', view USING ERRCODE = 'invalid_datetime_format',
                DETAIL = format('%I is made from a time without a zone.', name),
                HINT = 'Say which zone the CRM writes in: sold_at AT TIME ZONE ''Europe/Paris''.';
        END IF;
        seen := '{}';
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._check_zone(regclass, text[]) IS 'Refuses a view whose instants depend on who asks.';

-- Whether PostgreSQL can fetch one contact's rows by an index, whatever the statistics say today.
CREATE FUNCTION consent._read_in_full(view regclass, key_column text) RETURNS text[]
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    plan json;
    native text := (SELECT format_type(a.atttypid, NULL) FROM pg_attribute a WHERE a.attrelid = view AND a.attname = key_column);
BEGIN
    EXECUTE format('EXPLAIN (FORMAT json) SELECT * FROM %s v WHERE v.%I = %s', view, key_column,
                   CASE native WHEN 'uuid' THEN '''00000000-0000-0000-0000-000000000000''::uuid' WHEN 'text' THEN '''x''::text' ELSE '1::bigint' END) INTO plan;
    RETURN ARRAY(
        WITH RECURSIVE node AS (
            SELECT (plan->0->'Plan')::jsonb AS n
            UNION ALL
            SELECT jsonb_array_elements(n->'Plans') FROM node WHERE n ? 'Plans')
        SELECT DISTINCT n->>'Relation Name' FROM node WHERE n->>'Node Type' = 'Seq Scan' ORDER BY 1);
END
$$;
COMMENT ON FUNCTION consent._read_in_full(regclass, text) IS 'The tables that must be read in full to see one contact''s rows of a view.';

-- Folds read a bound view with this function's owner's rights, and so do the functions in it: whoever binds must be able
-- to read it, and whoever owns it must be trusted with the configuration anyway.
CREATE FUNCTION consent._bind(kind text, view regclass, sender text, source text, accepts_staleness interval)
    RETURNS TABLE (measure text, n bigint, of bigint, advice text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key_type text := (SELECT s.key_type FROM consent_data.setting s);
    types text[] := consent._native_types(key_type, source);
    v_sender integer := CASE WHEN kind <> 'contacts' THEN consent._sender_id(sender) END;
    v_columns text[];
    native text;
    faults text;
    unknown text;
    in_full text[];
    id integer;
BEGIN
    IF NOT has_table_privilege(session_user, view, 'SELECT')
       OR NOT (SELECT pg_has_role(c.relowner, 'consent_admin', 'member') FROM pg_class c WHERE c.oid = view) THEN
        RAISE EXCEPTION '% can''t be bound', view USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'Whoever binds a view must be able to read it, and its owner must be a member of consent_admin.',
            HINT = 'Grant SELECT on the view, or have an administrator own it.';
    END IF;
    IF source IS NOT NULL AND (key_type <> 'text' OR source !~ '^[^:]+$') THEN
        RAISE EXCEPTION 'source `%` can''t be part of a key', source USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('Keys are %s; a source is put before a text key, with a colon between.', key_type),
            HINT = 'Set up with key_type => ''text'' to bind several sources, and name each without a colon.';
    END IF;
    IF EXISTS (SELECT FROM consent_data.binding b WHERE b.kind = kind AND (b.source IS NULL) <> (source IS NULL) AND b.view <> view::text) THEN
        RAISE EXCEPTION 'keys with and without a source can''t be told apart' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give every binding a source, or none.';
    END IF;
    IF accepts_staleness IS NULL OR accepts_staleness < interval '0' THEN
        RAISE EXCEPTION 'accepts_staleness must be a time span' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'How old may be what the last refold saw of this view, where no trigger watches its tables?';
    END IF;
    SELECT array_agg(b.name) FILTER (WHERE a.attname IS NOT NULL),
           string_agg(CASE WHEN a.attname IS NULL THEN format('%s %s is missing', b.name, coalesce(b.type, array_to_string(types, ' or ')))
                           ELSE format('%s is %s, expected %s', b.name, t.name, coalesce(b.type, array_to_string(types, ' or '))) END,
                      '; ') FILTER (WHERE a.attname IS NULL AND b.required
                                       OR t.name <> ALL (coalesce(ARRAY[b.type], types))
                                       OR b.type IS NULL AND t.name <> ALL (types)),
           min(t.name) FILTER (WHERE b.name = 'contact_id')
      INTO v_columns, faults, native
      FROM consent._bindable() b
      LEFT JOIN pg_attribute a ON a.attrelid = view AND a.attname = b.name AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN LATERAL (SELECT format_type(a.atttypid, NULL) AS name) t ON true
     WHERE b.kind = kind;
    IF kind = 'consents' AND NOT v_columns && '{contact_id,address}' THEN
        faults := concat_ws('; ', faults, 'contact_id or address is missing');
    END IF;
    IF faults IS NOT NULL THEN
        RAISE EXCEPTION '% can''t be bound as %', view, kind
            USING ERRCODE = 'datatype_mismatch', DETAIL = faults,
                  HINT = 'Cast the column in the view: text, not varchar; timestamps with AT TIME ZONE, so that the zone is certain. Leave contact_id as the CRM has it.';
    END IF;
    SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) INTO unknown
      FROM pg_attribute a
     WHERE a.attrelid = view AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname NOT IN (SELECT b.name FROM consent._bindable() b WHERE b.kind = kind);
    IF unknown IS NOT NULL THEN
        RAISE WARNING '% has columns that are not used: %', view, unknown
            USING HINT = format('The known ones: %s.', (SELECT string_agg(b.name, ', ') FROM consent._bindable() b WHERE b.kind = kind));
    END IF;
    PERFORM consent._check_zone(view, v_columns);
    IF 'kind' = ANY (v_columns) THEN
        EXECUTE format('SELECT string_agg(DISTINCT v.kind, '', '') FROM %s v WHERE v.kind <> ALL ($1)', view)
           INTO unknown USING consent._bindable_kinds(kind);
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION '% has unknown kinds', view
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('unknown: %s', unknown),
                      HINT = format('Map them in the view to one of: %s.', array_to_string(consent._bindable_kinds(kind), ', '));
        END IF;
    END IF;
    IF kind = 'contacts' THEN
        EXECUTE format('SELECT 1 FROM %s v GROUP BY v.contact_id HAVING count(*) > 1 LIMIT 1', view) INTO unknown;
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION '% has more than one row of a contact', view USING ERRCODE = 'cardinality_violation',
                HINT = 'A join in the view multiplies rows; one contact must be one row.';
        END IF;
    END IF;
    in_full := CASE WHEN native IS NOT NULL THEN consent._read_in_full(view, 'contact_id')
                    ELSE consent._read_in_full(view, 'address') END;
    IF in_full <> '{}' THEN
        RAISE WARNING 'to see one contact''s rows of %, all of % is read', view, array_to_string(in_full, ', ')
            USING HINT = CASE WHEN kind = 'engagement' THEN 'It is read by the nightly refold only. For more, give the table an index by contact.'
                              ELSE 'Give the table an index by contact, cast every branch of a UNION ALL to the same types, and leave contact_id as the CRM has it.' END;
    END IF;
    -- What was folded from it as it was no longer counts.
    PERFORM consent._note_everybody() WHERE EXISTS (SELECT FROM consent_data.binding b WHERE b.kind = kind AND b.view = view::text
                                                       AND b.definition IS DISTINCT FROM consent._definition(view::text));
    INSERT INTO consent_data.binding AS b (kind, view, source, native_type, sender_id, columns, by_key, accepts_staleness, definition)
    VALUES (kind, view::text, source, coalesce(native, 'none'), v_sender, v_columns, kind <> 'engagement' OR in_full = '{}', accepts_staleness,
            consent._definition(view::text))
    ON CONFLICT ON CONSTRAINT binding_kind_view_key
        DO UPDATE SET source = excluded.source, native_type = excluded.native_type, sender_id = excluded.sender_id,
                      columns = excluded.columns, by_key = excluded.by_key, accepts_staleness = excluded.accepts_staleness,
                      definition = excluded.definition, bound_at = now()
    RETURNING b.binding_id INTO id;
    PERFORM consent._rebuild_crm_views();
    IF kind = 'contacts' THEN
        EXECUTE 'SELECT 1 FROM consent_data.crm_contact c GROUP BY c.contact_id HAVING count(*) > 1 LIMIT 1' INTO unknown;
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION '% has contacts that another bound view has', view USING ERRCODE = 'unique_violation',
                DETAIL = 'The same key would stand for two people.',
                HINT = 'Give each view a source, which is put before its keys: bind_contacts(..., source => ''shop'').';
        END IF;
    ELSIF kind = 'consents' THEN
        -- What the CRM refuses today is kept, whatever becomes of its rows.
        PERFORM consent._take_refusals(NULL, NULL);
    END IF;
    RETURN QUERY SELECT c.measure, c.n, c.of, c.advice FROM consent._coverage(id) c;
END
$$;
COMMENT ON FUNCTION consent._bind(text, regclass, text, text, interval) IS 'Checks a view, names what is missing, takes it into the bindings and reports how much of it can be used.';

CREATE FUNCTION consent.bind_contacts(view regclass, source text DEFAULT NULL, accepts_staleness interval DEFAULT '2 days')
    RETURNS TABLE (measure text, n bigint, of bigint, advice text)
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT * FROM consent._bind('contacts', view, NULL, source, accepts_staleness);
END;
COMMENT ON FUNCTION consent.bind_contacts(regclass, text, interval)
    IS 'Binds a view of contacts: contact_id, country; optional region, timezone, subscriber, address_kind, line, email, phone, post, name. A company''s contacts are subscriber corporate. source: put before the keys, where several views hold contacts.';
CREATE FUNCTION consent.bind_purchases(view regclass, sender text DEFAULT NULL, source text DEFAULT NULL, accepts_staleness interval DEFAULT '2 days')
    RETURNS TABLE (measure text, n bigint, of bigint, advice text)
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT * FROM consent._bind('purchases', view, sender, source, accepts_staleness);
END;
COMMENT ON FUNCTION consent.bind_purchases(regclass, text, text, interval)
    IS 'Binds a view of one sender''s sales and requests: contact_id, at, category; optional kind (default purchase; cancelled and credit_note give nothing), opt_out_offered, refused, from_person, channels.';
CREATE FUNCTION consent.bind_engagement(view regclass, sender text DEFAULT NULL, source text DEFAULT NULL, accepts_staleness interval DEFAULT '2 days')
    RETURNS TABLE (measure text, n bigint, of bigint, advice text)
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT * FROM consent._bind('engagement', view, sender, source, accepts_staleness);
END;
COMMENT ON FUNCTION consent.bind_engagement(regclass, text, text, interval)
    IS 'Binds a view of what people did: contact_id, at, kind (click, login, inbound_contact); optional machine (a scanner''s click does not count).';
CREATE FUNCTION consent.bind_consents(view regclass, sender text DEFAULT NULL, source text DEFAULT NULL, accepts_staleness interval DEFAULT '2 days')
    RETURNS TABLE (measure text, n bigint, of bigint, advice text)
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT * FROM consent._bind('consents', view, sender, source, accepts_staleness);
END;
COMMENT ON FUNCTION consent.bind_consents(regclass, text, text, interval)
    IS 'Binds a view of consents and refusals kept in the CRM: contact_id or address, kind, at (of a refusal without a date: NULL; it then denies as long as the row is there); optional recorded_at, channels, category, purposes, method, evidence, double_opt_in, via, reason, source. Refusals go into the ledger when first seen; opt-ins count as long as their row is there.';

CREATE FUNCTION consent.unbind(view regclass) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM consent_data.binding b WHERE b.view = unbind.view::text;
    SELECT consent._rebuild_crm_views();
    SELECT consent._note_everybody();
$$;
COMMENT ON FUNCTION consent.unbind(regclass) IS 'Takes a view out of the bindings. What rested on it no longer counts: audiences leave everybody out until the next refold.';

CREATE FUNCTION consent._note_everybody() RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ INSERT INTO consent_data.pending (contact_id, restricts) SELECT s.contact_id, true FROM consent_data.contact_state s $$;
COMMENT ON FUNCTION consent._note_everybody() IS 'Has everybody folded anew: what is bound has changed.';

CREATE FUNCTION consent._definition(view text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT md5(pg_get_viewdef(to_regclass(view))) $$;
COMMENT ON FUNCTION consent._definition(text) IS 'Fingerprint of what a view says.';

-- Refusals of a consents view that bind nobody, since nobody can tell whom.
CREATE FUNCTION consent._unread_refusals(view text, columns text[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n bigint := 0;
BEGIN
    IF 'address' = ANY (columns) THEN
        EXECUTE format('SELECT count(*) FROM %s v WHERE consent._refuses(v.kind) AND %s AND consent._refused_hashes(%s, v.address, NULL) IS NULL', view,
                       CASE WHEN 'contact_id' = ANY (columns) THEN 'v.contact_id IS NULL' ELSE 'true' END,
                       CASE WHEN 'channels' = ANY (columns) THEN 'v.channels' ELSE 'NULL' END) INTO n;
    END IF;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent._unread_refusals(text, text[]) IS 'How many refusals of a view name no contact, and an address that can''t be read.';

-- How much of a view can be used, and what is missing in the rest.
CREATE FUNCTION consent._coverage(binding integer) RETURNS TABLE (measure text, n bigint, of bigint, advice text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    b consent_data.binding := (SELECT x FROM consent_data.binding x WHERE x.binding_id = binding);
    has boolean;
BEGIN
    CASE b.kind
    WHEN 'contacts' THEN
        RETURN QUERY EXECUTE format($q$
            SELECT m.measure, m.n, t.n, m.advice FROM (
                SELECT count(*) AS n, %s AS country, %s AS email, %s AS phone FROM %s v) t,
                LATERAL (VALUES ('contacts', t.n, NULL),
                                ('with a country that is known', t.country, 'without, only service messages go out'),
                                ('with a valid e-mail address', t.email, 'malformed ones can''t be suppressed by address'),
                                ('with a valid phone number', t.phone, 'national numbers need the country')) m (measure, n, advice)
             WHERE m.n IS NOT NULL$q$,
            'count(consent.country_code(v.country))',
            CASE WHEN 'email' = ANY (b.columns) THEN 'count(consent._try_address_hash(''email'', v.email, v.country))' ELSE 'NULL::bigint' END,
            CASE WHEN 'phone' = ANY (b.columns) THEN 'count(consent._try_address_hash(''sms'', v.phone, v.country))' ELSE 'NULL::bigint' END,
            b.view);
    WHEN 'purchases' THEN
        RETURN QUERY EXECUTE format($q$
            SELECT m.measure, m.n, t.n, m.advice FROM (
                SELECT count(*) AS n, count(c.category_id) AS category, count(v.at) AS dated, %s AS offered
                  FROM %s v LEFT JOIN consent_data.category c ON c.name = v.category) t,
                LATERAL (VALUES ('rows', t.n, NULL),
                                ('with a date', t.dated, 'a row without one makes its contact dirty, which denies'),
                                ('of a known category', t.category, 'the others give no permission for similar products'),
                                ('where a refusal was offered', t.offered, 'the others give no soft opt-in')) m (measure, n, advice)$q$,
            CASE WHEN 'opt_out_offered' = ANY (b.columns) THEN 'count(*) FILTER (WHERE v.opt_out_offered = ''yes'')' ELSE '0::bigint' END, b.view);
    WHEN 'engagement' THEN
        RETURN QUERY EXECUTE format($q$
            SELECT m.measure, m.n, t.n, m.advice FROM (
                SELECT count(*) AS n, count(*) FILTER (WHERE v.kind IN ('click', 'login', 'inbound_contact') %s) AS counts FROM %s v) t,
                LATERAL (VALUES ('rows', t.n, NULL),
                                ('that count as activity', t.counts, 'opens, bounces and machine clicks don''t')) m (measure, n, advice)$q$,
            CASE WHEN 'machine' = ANY (b.columns) THEN 'AND v.machine IS NOT TRUE' ELSE '' END, b.view);
    ELSE
        RETURN QUERY EXECUTE format($q$
            SELECT m.measure, m.n, m.of, m.advice FROM (
                SELECT count(*) AS n, count(*) FILTER (WHERE v.kind LIKE 'opt_in%%' AND v.kind <> 'opt_in_refused') AS opt_ins,
                       count(*) FILTER (WHERE v.kind IN ('opt_out', 'objection', 'erasure_request', 'opt_in_refused')) AS refusals,
                       count(*) FILTER (WHERE v.kind = 'opt_in' AND v.at IS NOT NULL) AS dated,
                       count(*) FILTER (WHERE v.kind = 'opt_in' AND %s) AS proven FROM %s v) t,
                LATERAL (VALUES ('rows', t.n, t.n, NULL), ('refusals', t.refusals, t.n, NULL),
                                ('refusals that name somebody', t.refusals - %s, t.refusals, 'an address that can''t be read suppresses nobody'), ('opt-ins', t.opt_ins, t.n, NULL),
                                ('opt-ins with a date', t.dated, t.opt_ins, 'the others don''t count'),
                                ('opt-ins with evidence', t.proven, t.opt_ins, 'what can''t be proved gives no permission')) m (measure, n, of, advice)$q$,
            CASE WHEN 'evidence' = ANY (b.columns) THEN 'jsonb_strip_nulls(v.evidence) <> ''{}''' ELSE 'false' END, b.view,
            consent._unread_refusals(b.view, b.columns));
    END CASE;
END
$$;
COMMENT ON FUNCTION consent._coverage(integer) IS 'How many rows of a bound view have what a decision needs.';

-- Retention: what is done in the CRM with contacts whose time is over, in two steps. Who they are says policy alone: the
-- batch announces them, and the server judges each anew, under its lock, before anything is done.

CREATE FUNCTION consent._retention(state consent.state, questions bytea[]) RETURNS jsonb
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', '_retention_wrapper';
COMMENT ON FUNCTION consent._retention(consent.state, bytea[])
    IS 'Where a contact stands with every sender (one encoded question each), and whether it may be retired.';

-- Like _become: whoever may call it may become anybody.
CREATE FUNCTION consent._execute_as(role oid, path text, statement text, argument text) RETURNS bigint
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', '_execute_as_wrapper';
COMMENT ON FUNCTION consent._execute_as(oid, text, text, text)
    IS 'Runs one statement with the rights of another role and no others; answers with how many rows it touched.';

CREATE PROCEDURE consent._create_retention_tables(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    -- Rows of before this was an action were only findings.
    IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'consent_data.retention_action'::regclass AND a.attname = 'found_at') THEN
        ALTER TABLE consent_data.retention_action
            ADD COLUMN found_at timestamptz NOT NULL DEFAULT now(),
            ALTER COLUMN acted_at DROP NOT NULL, ALTER COLUMN acted_at DROP DEFAULT;
        UPDATE consent_data.retention_action a SET found_at = a.acted_at, acted_at = NULL;
    END IF;
    ALTER TABLE consent_data.retention_action
        ADD COLUMN IF NOT EXISTS act_after timestamptz,
        ADD COLUMN IF NOT EXISTS announced_at timestamptz,
        ADD COLUMN IF NOT EXISTS action text,
        ADD COLUMN IF NOT EXISTS outcome text CHECK (outcome IN ('done', 'saved', 'kept', 'failed', 'gone')),
        ADD COLUMN IF NOT EXISTS reason text,
        ADD COLUMN IF NOT EXISTS acted_run_id bigint,
        ADD COLUMN IF NOT EXISTS rows_touched bigint;
    CREATE INDEX IF NOT EXISTS retention_action_open ON consent_data.retention_action (act_after)
        WHERE stage = 'expired' AND acted_at IS NULL AND act_after IS NOT NULL;
    COMMENT ON TABLE consent_data.retention_action IS 'Which contact entered which retention stage, by which rule, resting on which last action (since), found in which run; of the expired, when it was announced and from when the configured action may be done (act_after), and what was done in which run with which outcome: done, saved (the person came back), kept (reason: what keeps it), failed (reason: SQLSTATE), gone. One row a stage: a rerun adds none.';

    CREATE TABLE IF NOT EXISTS consent_data.retention_setting (
        retention_setting_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source text,
        relation text,
        action text NOT NULL CHECK (action IN ('flag', 'call', 'anonymise', 'delete')),
        key_column text,
        columns jsonb,
        function text,
        grace interval NOT NULL,
        configured_by text NOT NULL DEFAULT session_user,
        configured_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE NULLS NOT DISTINCT (source, relation)
    );
    COMMENT ON TABLE consent_data.retention_setting IS 'What is done in the CRM with an expired contact, by source of contacts; several relations in the order of their configuration. Written by consent.set_retention() alone, which checks it.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.retention_due (
        contact_id %s NOT NULL,
        sender_id integer NOT NULL,
        due_at timestamptz NOT NULL,
        PRIMARY KEY (contact_id, sender_id)
    )$ddl$, key_column);
    CREATE INDEX IF NOT EXISTS retention_due_at ON consent_data.retention_due (due_at);
    COMMENT ON TABLE consent_data.retention_due IS 'When each contact''s next retention stage begins, if the person does nothing. Derived: a full pass of consent-batch retention makes it anew.';

    CREATE TABLE IF NOT EXISTS consent_data.retention_pass (
        one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
        fingerprint bytea NOT NULL,
        run_id bigint NOT NULL,
        passed_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE consent_data.retention_pass IS 'The last full pass over all contacts, and the fingerprint of the rules it judged by: under others, another one is due.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_retention_tables(text) IS 'Makes the tables of retention that are not there yet.';

-- Configuration -----------------------------------------------------------------------------------------------------

CREATE FUNCTION consent._retention_source(contact text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM consent_data.binding b WHERE b.kind = 'contacts' AND b.source IS NOT NULL)
                THEN split_part(contact, ':', 1) END
$$;
COMMENT ON FUNCTION consent._retention_source(text) IS 'The source a contact''s key names, where contacts are bound with sources.';

-- A key is the CRM's in one spelling only: '042' must not delete 42.
CREATE FUNCTION consent._native_key(contact text, source text, native_type text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.key FROM (SELECT CASE WHEN source IS NULL THEN contact
                                   WHEN starts_with(contact, source || ':') THEN substr(contact, length(source) + 2) END) k (key)
     WHERE CASE WHEN native_type IN ('smallint', 'integer', 'bigint') THEN k.key ~ '^(0|-?[1-9][0-9]{0,18})$'
                WHEN native_type = 'uuid' THEN k.key ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'
                ELSE true END
$$;
COMMENT ON FUNCTION consent._native_key(text, text, text) IS 'A contact''s key as the CRM has it; NULL where it can''t be one of the CRM''s.';

CREATE FUNCTION consent._native_type(source text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(b.native_type) FROM consent_data.binding b
     WHERE b.kind = 'contacts' AND b.source IS NOT DISTINCT FROM _native_type.source
$$;
COMMENT ON FUNCTION consent._native_type(text) IS 'The type of the keys that the CRM''s view of these contacts has; NULL where none is bound.';

-- Types a column or argument may have that is compared with a native key.
CREATE FUNCTION consent._key_types(native_type text) RETURNS text[]
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN native_type IN ('smallint', 'integer', 'bigint') THEN '{smallint,integer,bigint}'::text[]
                WHEN native_type = 'uuid' THEN '{uuid}' ELSE '{text,character varying}' END
$$;
COMMENT ON FUNCTION consent._key_types(text) IS 'The types of a column that holds these native keys.';

CREATE FUNCTION consent._retention_statement(setting_id integer) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting consent_data.retention_setting;
    native text;
    is_it text;
BEGIN
    SELECT x.* INTO STRICT setting FROM consent_data.retention_setting x WHERE x.retention_setting_id = setting_id;
    native := consent._native_type(setting.source);
    -- Every operator by its schema: the table's own may hold others, of whoever may create there, and would run as its owner.
    -- The CRM's index serves, whatever integer it is of; of texts that a collation takes for equal only the very one.
    is_it := CASE WHEN setting.key_column IS NULL THEN NULL
                  WHEN native IN ('smallint', 'integer', 'bigint') THEN format('%I OPERATOR(pg_catalog.=) $1::bigint', setting.key_column)
                  WHEN native = 'uuid' THEN format('%I OPERATOR(pg_catalog.=) $1::uuid', setting.key_column)
                  ELSE format('%1$I::text OPERATOR(pg_catalog.=) $1 AND %1$I::text COLLATE pg_catalog."C" OPERATOR(pg_catalog.=) $1', setting.key_column) END;
    RETURN CASE setting.action
        WHEN 'delete' THEN format('DELETE FROM %s WHERE %s', setting.relation, is_it)
        WHEN 'anonymise' THEN format('UPDATE %s SET %s WHERE %s', setting.relation, (
            SELECT string_agg(format('%I = %s', c.key, CASE WHEN c.value IS NULL THEN 'NULL'
                                  WHEN strpos(c.value, '{key}') > 0 THEN format('pg_catalog.replace(%L, ''{key}'', $1)', c.value)
                                  ELSE quote_literal(c.value) END), ', ' ORDER BY c.key)
              FROM jsonb_each_text(setting.columns) c), is_it)
        WHEN 'call' THEN (SELECT format('SELECT %s.%I($1::%s)', p.pronamespace::regnamespace, p.proname, format_type(p.proargtypes[0], NULL))
                            FROM pg_proc p WHERE p.oid = to_regprocedure(setting.function))
        END;
END
$$;
COMMENT ON FUNCTION consent._retention_statement(integer) IS 'The statement of an action; $1 is the native key as text.';

CREATE FUNCTION consent._retention_fault(setting_id integer) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN setting.action = 'flag' THEN NULL
        WHEN c.oid IS NULL THEN 'the relation is gone'
        WHEN setting.action = 'call' AND p.oid IS NULL THEN 'the function is gone'
        -- Or whoever may replace the function would have the rights of the table's owner.
        WHEN setting.action = 'call' AND NOT p.prosecdef AND NOT pg_has_role(p.proowner, c.relowner, 'member')
            THEN 'the function belongs neither to the table''s owner nor runs with its own owner''s rights'
        WHEN setting.action = 'call' AND NOT has_function_privilege(c.relowner, p.oid, 'EXECUTE')
            THEN 'the table''s owner may not call the function'
        WHEN consent._native_type(setting.source) IS NULL THEN 'no contacts are bound with this source' END
      FROM consent_data.retention_setting setting
      LEFT JOIN pg_class c ON c.oid = to_regclass(setting.relation)
      LEFT JOIN pg_proc p ON p.oid = to_regprocedure(setting.function)
     WHERE setting.retention_setting_id = setting_id
$$;
COMMENT ON FUNCTION consent._retention_fault(integer) IS 'Why an action can''t be done; NULL where it can.';

CREATE FUNCTION consent._check_retention_columns(relation regclass, key text, columns jsonb) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    faults text;
BEGIN
    IF jsonb_typeof(columns) IS DISTINCT FROM 'object' OR columns = '{}' THEN
        RAISE EXCEPTION 'no columns are named that are to be anonymised' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For example columns => ''{"name": null, "email": null}''; a constant in place of null, where {key} stands for the key.';
    END IF;
    SELECT string_agg(CASE
               WHEN a.attname IS NULL THEN format('%I does not exist', c.key)
               WHEN a.attname = key THEN format('%I is the key', c.key)
               WHEN a.attgenerated <> '' OR a.attidentity = 'a' THEN format('%I is generated', c.key)
               WHEN jsonb_typeof(c.value) IN ('object', 'array') AND format_type(a.atttypid, NULL) NOT IN ('json', 'jsonb') THEN format('%I is given no constant', c.key)
               WHEN c.value = 'null' AND a.attnotnull THEN format('%I can''t be null', c.key)
               WHEN c.value <> 'null' AND strpos(c.value::text, '{key}') = 0
                    AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = relation AND i.indisunique AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
                   THEN format('%I is unique, so no two may have the same', c.key)
           END, '; ' ORDER BY c.key) INTO faults
      FROM jsonb_each(columns) c
      LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attname = c.key AND a.attnum > 0 AND NOT a.attisdropped;
    IF faults IS NOT NULL THEN
        RAISE EXCEPTION '% can''t be anonymised so', relation USING ERRCODE = 'invalid_parameter_value', DETAIL = faults,
            HINT = 'Give a constant where null is not allowed, with {key} in it where it must be unique: ''{"email": "gone-{key}@invalid"}''.';
    END IF;
END
$$;
COMMENT ON FUNCTION consent._check_retention_columns(regclass, text, jsonb) IS 'Refuses columns that can''t have the value they are to get.';

-- What was announced was another action, or another grace. And who was only flagged, or handed to a function, is not
-- anonymised or deleted yet.
CREATE FUNCTION consent._retention_reopen(source text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    actions text[] := ARRAY(SELECT x.action FROM consent_data.retention_setting x WHERE x.source IS NOT DISTINCT FROM source);
BEGIN
    UPDATE consent_data.retention_action a
       SET act_after = NULL, announced_at = NULL, outcome = NULL, reason = NULL, acted_at = NULL, action = NULL, rows_touched = NULL
     WHERE a.stage = 'expired' AND consent._retention_source(a.contact_id::text) IS NOT DISTINCT FROM source
       AND CASE WHEN a.acted_at IS NULL THEN a.act_after IS NOT NULL
                WHEN a.outcome IS DISTINCT FROM 'done' OR a.action ~ '(anonymise|delete)' THEN false
                WHEN a.action ~ 'call' THEN actions && '{anonymise,delete}'
                ELSE actions && '{call,anonymise,delete}' END;
END
$$;
COMMENT ON FUNCTION consent._retention_reopen(text) IS 'Has the expired of a source announced anew, since what is configured for them has changed.';

CREATE FUNCTION consent.set_retention(
    relation regclass DEFAULT NULL, key text DEFAULT NULL, action text DEFAULT 'flag', columns jsonb DEFAULT NULL,
    function regprocedure DEFAULT NULL, grace interval DEFAULT '30 days', source text DEFAULT NULL)
    RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    native text := consent._native_type(source);
    types text[] := consent._key_types(native);
    found_type text;
    fault text;
    statement text;
    had consent_data.retention_setting;
    s consent_data.retention_setting;
BEGIN
    IF action IS NULL OR action NOT IN ('flag', 'call', 'anonymise', 'delete') THEN
        RAISE EXCEPTION 'action `%` is not known', action USING ERRCODE = 'invalid_parameter_value',
            HINT = 'flag shows the contact in consent.retention_due, call calls a function, anonymise sets columns, delete deletes rows.';
    END IF;
    IF grace IS NULL OR grace < interval '0' THEN
        RAISE EXCEPTION 'grace must be a time span' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'How long after a contact was announced as expired may the action be done?';
    END IF;
    IF native IS NULL THEN
        RAISE EXCEPTION 'no contacts are bound with %', coalesce(format('source `%s`', source), 'no source') USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Bind them first with consent.bind_contacts(), and name the source given there.';
    END IF;
    IF (action = 'flag') <> (relation IS NULL) OR (action IN ('anonymise', 'delete')) <> (key IS NOT NULL)
       OR (action = 'anonymise') <> (columns IS NOT NULL) OR (action = 'call') <> (function IS NOT NULL) THEN
        RAISE EXCEPTION 'these parameters do not make an action' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('action is `%s`', action),
            HINT = 'flag needs nothing; call a relation, as whose owner it is called, and a function; anonymise a relation, its key and columns; delete a relation and its key.';
    END IF;
    IF relation IS NOT NULL THEN
        PERFORM consent._check_owner(relation);
        IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relkind IN ('r', 'p')
                          AND c.relnamespace NOT IN ('consent_data'::regnamespace, 'consent'::regnamespace, 'pg_catalog'::regnamespace)) THEN
            RAISE EXCEPTION '% is no table of the CRM', relation USING ERRCODE = 'wrong_object_type',
                HINT = 'Name the table itself, not a view over it.';
        END IF;
    END IF;
    IF key IS NOT NULL THEN
        SELECT format_type(a.atttypid, NULL) INTO found_type FROM pg_attribute a
         WHERE a.attrelid = relation AND a.attname = key AND a.attnum > 0 AND NOT a.attisdropped;
        IF found_type IS NULL THEN
            RAISE EXCEPTION '% has no column %', relation, quote_ident(key) USING ERRCODE = 'undefined_column',
                HINT = 'key names the column that holds the contact''s key, as the bound view has it.';
        ELSIF found_type <> ALL (types) THEN
            RAISE EXCEPTION '%.% is %, and the contacts'' keys are %', relation, quote_ident(key), found_type, native USING ERRCODE = 'datatype_mismatch',
                DETAIL = format('expected %s', array_to_string(types, ' or ')), HINT = 'key names the column that holds the contact''s key, as the bound view has it.';
        END IF;
        IF NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                        WHERE i.indrelid = relation AND a.attname = key AND i.indpred IS NULL) THEN
            RAISE WARNING 'no index leads to a contact''s rows of %', relation
                USING HINT = format('Each action reads all of it. CREATE INDEX ON %s (%I);', relation, key);
        END IF;
    END IF;
    IF action = 'anonymise' THEN
        PERFORM consent._check_retention_columns(relation, key, columns);
    ELSIF action = 'call' AND NOT EXISTS (
        SELECT FROM pg_proc p WHERE p.oid = function AND p.prokind = 'f' AND p.pronargs = 1 AND format_type(p.proargtypes[0], NULL) = ANY (types)) THEN
        RAISE EXCEPTION '% can''t be called', function USING ERRCODE = 'invalid_function_definition',
            DETAIL = format('expected a function of one argument, %s', array_to_string(types, ' or ')),
            HINT = 'It is called with the contact''s key as the CRM has it.';
    END IF;
    SELECT x.* INTO had FROM consent_data.retention_setting x
     WHERE x.source IS NOT DISTINCT FROM source AND x.relation IS NOT DISTINCT FROM relation::text FOR UPDATE;
    INSERT INTO consent_data.retention_setting AS x (source, relation, action, key_column, columns, function, grace)
    VALUES (source, relation::text, action, key, columns, function::text, grace)
    ON CONFLICT ON CONSTRAINT retention_setting_source_relation_key
        DO UPDATE SET action = excluded.action, key_column = excluded.key_column, columns = excluded.columns, function = excluded.function,
                      grace = excluded.grace, configured_by = excluded.configured_by, configured_at = now()
    RETURNING x.* INTO s;
    fault := consent._retention_fault(s.retention_setting_id);
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '% can''t be configured for %', action, relation USING ERRCODE = 'insufficient_privilege', DETAIL = fault,
            HINT = 'The action runs with the rights of the table''s owner: have that role own the function and be allowed to call it, or make it SECURITY DEFINER.';
    END IF;
    IF relation IS NOT NULL THEN
        BEGIN
            -- As it will be run; the owner need have no rights of ours.
            statement := consent._retention_statement(s.retention_setting_id);
            PERFORM set_config('search_path', format('pg_catalog, %s, pg_temp', c.relnamespace::regnamespace), true), consent._become(c.relowner)
               FROM pg_class c WHERE c.oid = relation;
            EXECUTE 'EXPLAIN ' || statement
              USING CASE native WHEN 'uuid' THEN '00000000-0000-0000-0000-000000000000' WHEN 'text' THEN 'x' ELSE '1' END;
            RAISE EXCEPTION USING ERRCODE = 'CN000', MESSAGE = 'done';
        EXCEPTION WHEN SQLSTATE 'CN000' THEN
            NULL;
        WHEN OTHERS THEN
            RAISE EXCEPTION '% can''t be configured for %: %', action, relation,
                CASE WHEN SQLSTATE ~ '^(22|42)' THEN SQLERRM ELSE 'the statement can''t be planned' END USING ERRCODE = SQLSTATE,
                HINT = 'The action runs as the table''s owner; constants must be of the columns'' types.';
        END;
    END IF;
    IF (had.action, had.key_column, had.columns, had.function, had.grace) IS DISTINCT FROM (s.action, s.key_column, s.columns, s.function, s.grace) THEN
        PERFORM consent._retention_reopen(source);
    END IF;
    RETURN s.retention_setting_id;
END
$$;
COMMENT ON FUNCTION consent.set_retention(regclass, text, text, jsonb, regprocedure, interval, text)
    IS 'What is done with the contacts of a source whose time is over, once announced for the grace period: flag (shown in consent.retention_due), call (a function, with the key), anonymise (columns of the rows with this key to null or constants) or delete (these rows). One action a relation; they are done in the order of their configuration, as the relation''s owner. Whatever changes it has who is announced already announced anew. Only its owner, as a member of consent_admin, may configure it.';

CREATE FUNCTION consent.unset_retention(relation regclass DEFAULT NULL, source text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    DELETE FROM consent_data.retention_setting x
     WHERE x.relation IS NOT DISTINCT FROM relation::text AND x.source IS NOT DISTINCT FROM source;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM consent._retention_reopen(source);
    RETURN true;
END
$$;
COMMENT ON FUNCTION consent.unset_retention(regclass, text) IS 'Takes back what set_retention() configured for a relation and source; what is announced is no longer done. False: there was nothing.';

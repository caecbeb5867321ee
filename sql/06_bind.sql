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
           ('engagement', 'kind', 'text', true), ('engagement', 'machine', 'boolean', false)
$$;
COMMENT ON FUNCTION consent._bindable() IS 'The columns a binding view may have. A contact_id has the type chosen at setup.';

-- Folds read a bound view with this function's owner's rights, and so do the functions in it: whoever binds must be able
-- to read it, and whoever owns it must be trusted with the configuration anyway.
CREATE FUNCTION consent._bind(kind text, view regclass, sender text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key_type text := (SELECT s.key_type FROM consent_data.setting s);
    v_sender integer := CASE WHEN kind <> 'contacts' THEN consent._sender_id(sender) END;
    v_columns text[];
    faults text;
    unknown text;
    id integer;
BEGIN
    IF NOT has_table_privilege(session_user, view, 'SELECT')
       OR NOT (SELECT pg_has_role(c.relowner, 'consent_admin', 'member') FROM pg_class c WHERE c.oid = view) THEN
        RAISE EXCEPTION '% can''t be bound', view USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'Whoever binds a view must be able to read it, and its owner must be a member of consent_admin.',
            HINT = 'Grant SELECT on the view, or have an administrator own it.';
    END IF;
    SELECT array_agg(b.name) FILTER (WHERE a.attname IS NOT NULL),
           string_agg(CASE WHEN a.attname IS NULL THEN format('%s %s is missing', b.name, coalesce(b.type, key_type))
                           ELSE format('%s is %s, expected %s', b.name, format_type(a.atttypid, NULL), coalesce(b.type, key_type)) END,
                      '; ') FILTER (WHERE a.attname IS NULL AND b.required
                                       OR format_type(a.atttypid, NULL) <> coalesce(b.type, key_type))
      INTO v_columns, faults
      FROM consent._bindable() b
      LEFT JOIN pg_attribute a ON a.attrelid = view AND a.attname = b.name AND a.attnum > 0 AND NOT a.attisdropped
     WHERE b.kind = kind;
    IF faults IS NOT NULL THEN
        RAISE EXCEPTION '% can''t be bound as %', view, kind
            USING ERRCODE = 'datatype_mismatch', DETAIL = faults,
                  HINT = 'Cast the column in the view: text, not varchar; timestamps with AT TIME ZONE, so that the zone is certain.';
    END IF;
    IF 'kind' = ANY (v_columns) THEN
        EXECUTE format('SELECT string_agg(DISTINCT v.kind, '', '') FROM %s v WHERE v.kind <> ALL ($1)', view)
           INTO unknown USING CASE kind
               WHEN 'engagement' THEN ARRAY['click', 'open', 'login', 'inbound_contact', 'bounce']
               -- Consents and refusals belong into the ledger, where they are proved and reach addresses.
               ELSE ARRAY(SELECT k FROM unnest(consent._codes('event_kind')) k
                           WHERE k !~ '^(opt_|objection|erasure|register_|system_|sent|call_|legal_)') || ARRAY['cancelled', 'credit_note'] END;
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION '% has unknown kinds', view
                USING ERRCODE = 'invalid_parameter_value', DETAIL = format('unknown: %s', unknown),
                      HINT = 'Map them in the view to kinds of consent._codes(''event_kind''), cancelled or credit_note.';
        END IF;
    END IF;
    INSERT INTO consent_data.binding AS b (kind, view, sender_id, columns) VALUES (kind, view::text, v_sender, v_columns)
    ON CONFLICT ON CONSTRAINT binding_kind_view_key
        DO UPDATE SET sender_id = excluded.sender_id, columns = excluded.columns, bound_at = now()
    RETURNING b.binding_id INTO id;
    PERFORM consent._rebuild_crm_views();
    RETURN id;
END
$$;
COMMENT ON FUNCTION consent._bind(text, regclass, text) IS 'Checks a view''s columns, names what is missing, and takes it into the bindings.';

CREATE FUNCTION consent.bind_contacts(view regclass) RETURNS integer
    LANGUAGE sql VOLATILE RETURN consent._bind('contacts', view, NULL);
COMMENT ON FUNCTION consent.bind_contacts(regclass)
    IS 'Binds a view of contacts: contact_id, country; optional region, timezone, subscriber, address_kind, line, email, phone, post, name. A company''s contacts are subscriber corporate.';
CREATE FUNCTION consent.bind_purchases(view regclass, sender text DEFAULT NULL) RETURNS integer
    LANGUAGE sql VOLATILE RETURN consent._bind('purchases', view, sender);
COMMENT ON FUNCTION consent.bind_purchases(regclass, text)
    IS 'Binds a view of one sender''s sales and requests: contact_id, at, category; optional kind (default purchase; cancelled and credit_note give nothing), opt_out_offered, refused, from_person, channels.';
CREATE FUNCTION consent.bind_engagement(view regclass, sender text DEFAULT NULL) RETURNS integer
    LANGUAGE sql VOLATILE RETURN consent._bind('engagement', view, sender);
COMMENT ON FUNCTION consent.bind_engagement(regclass, text)
    IS 'Binds a view of what people did: contact_id, at, kind (click, login, inbound_contact); optional machine (a scanner''s click does not count).';
CREATE FUNCTION consent.unbind(view regclass) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM consent_data.binding b WHERE b.view = unbind.view::text;
    SELECT consent._rebuild_crm_views();
$$;
COMMENT ON FUNCTION consent.unbind(regclass) IS 'Takes a view out of the bindings. Run consent-batch refold afterwards: what rested on it no longer counts.';

-- Two views that every fold reads, whatever is bound.
CREATE FUNCTION consent._rebuild_crm_views() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key_type text := (SELECT s.key_type FROM consent_data.setting s);
    contacts text;
    events text;
BEGIN
    SELECT string_agg(format('SELECT contact_id, %s FROM %s', (
               SELECT string_agg(CASE WHEN c = ANY (b.columns) THEN c ELSE 'NULL::text AS ' || c END, ', ')
                 FROM unnest(ARRAY['country', 'region', 'timezone', 'subscriber', 'address_kind', 'line', 'email', 'phone', 'post', 'name']) c), b.view),
               ' UNION ALL ')
      INTO contacts FROM consent_data.binding b WHERE b.kind = 'contacts';
    SELECT string_agg(CASE b.kind
               WHEN 'purchases' THEN format(
                   'SELECT v.contact_id, %s AS kind, v.at, %s AS sender_id, %s AS channels, c.category_id, %s AS opt_out_offered, %s AS refused, %s AS from_person FROM %s v LEFT JOIN consent_data.category c ON c.name = v.category%s',
                   -- What was cancelled gives nothing, but a refusal given with it stands.
                   CASE WHEN 'kind' = ANY (b.columns)
                        THEN 'CASE WHEN v.kind IN (''cancelled'', ''credit_note'') THEN ''opt_in_refused'' ELSE v.kind END'
                        ELSE '''purchase''::text' END, b.sender_id,
                   CASE WHEN 'channels' = ANY (b.columns) THEN 'v.channels' ELSE 'NULL::text[]' END,
                   CASE WHEN 'opt_out_offered' = ANY (b.columns) THEN 'coalesce(v.opt_out_offered, ''unknown'')' ELSE '''unknown''::text' END,
                   CASE WHEN 'refused' = ANY (b.columns) THEN 'coalesce(v.refused, false)' ELSE 'false' END,
                   CASE WHEN 'from_person' = ANY (b.columns) THEN 'coalesce(v.from_person, true)' ELSE 'true' END,
                   b.view, CASE WHEN 'kind' <> ALL (b.columns) THEN ''
                        WHEN 'refused' = ANY (b.columns) THEN ' WHERE coalesce(v.kind, '''') <> ALL (''{cancelled,credit_note}'') OR v.refused'
                        ELSE ' WHERE coalesce(v.kind, '''') <> ALL (''{cancelled,credit_note}'')' END)
               ELSE format(
                   'SELECT v.contact_id, v.kind, v.at, %s, NULL::text[], NULL::integer, NULL::text, false, true FROM %s v%s',
                   b.sender_id, b.view, CASE WHEN 'machine' = ANY (b.columns) THEN ' WHERE v.machine IS NOT TRUE' ELSE '' END)
               END, ' UNION ALL ')
      INTO events FROM consent_data.binding b WHERE b.kind <> 'contacts';
    EXECUTE 'CREATE OR REPLACE VIEW consent_data.crm_contact (contact_id, country, region, timezone, subscriber, address_kind, line, email, phone, post, name) AS '
        || coalesce(contacts, format('SELECT NULL::%s, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text WHERE false', key_type));
    EXECUTE 'CREATE OR REPLACE VIEW consent_data.crm_event (contact_id, kind, at, sender_id, channels, category_id, opt_out_offered, refused, from_person) AS '
        || coalesce(events, format('SELECT NULL::%s, NULL::text, NULL::timestamptz, NULL::integer, NULL::text[], NULL::integer, NULL::text, false, true WHERE false', key_type));
    COMMENT ON VIEW consent_data.crm_contact IS 'All bound contacts.';
    COMMENT ON VIEW consent_data.crm_event IS 'All bound sales and engagement, as facts.';
END
$$;
COMMENT ON FUNCTION consent._rebuild_crm_views() IS 'Makes the two views through which folds read the CRM.';

-- What every fold reads of the CRM, whatever is bound: all rows through views, one contact's through functions that are
-- inlined, so that the CRM's own indexes serve.

-- Our key of a row, and the condition under which a row is a key's. A key is read back only in the spelling it is made
-- in: '042' and '42' must not be two contacts with one person's purchases.
CREATE FUNCTION consent._crm_key(binding integer) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b consent_data.binding;
BEGIN
    SELECT * INTO STRICT b FROM consent_data.binding x WHERE x.binding_id = binding;
    RETURN CASE WHEN b.native_type = 'none' THEN format('NULL::%s', (SELECT s.key_type FROM consent_data.setting s))
                WHEN b.source IS NOT NULL THEN format('%L || v.contact_id::text', b.source || ':')
                WHEN b.native_type IN ('smallint', 'integer') THEN 'v.contact_id::bigint'
                ELSE 'v.contact_id' END;
END
$$;
COMMENT ON FUNCTION consent._crm_key(integer) IS 'The expression that makes our key of a view''s contact_id.';

CREATE FUNCTION consent._crm_is(binding integer) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b consent_data.binding;
BEGIN
    SELECT * INTO STRICT b FROM consent_data.binding x WHERE x.binding_id = binding;
    RETURN CASE WHEN b.source IS NULL THEN 'v.contact_id = $1'
        ELSE format('v.contact_id = CASE WHEN starts_with($1, %L)%s THEN substr($1, %s)::%s END', b.source || ':',
            CASE b.native_type WHEN 'text' THEN ''
                WHEN 'uuid' THEN format(' AND substr($1, %s) ~ ''^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$''', length(b.source) + 2)
                ELSE format(' AND substr($1, %s) ~ ''^(0|-?[1-9][0-9]{0,17}|-?([1-8][0-9]|9[01])[0-9]{17})$''', length(b.source) + 2) END,
            length(b.source) + 2,
            CASE WHEN b.native_type IN ('smallint', 'integer') THEN 'bigint' ELSE b.native_type END) END;
END
$$;
COMMENT ON FUNCTION consent._crm_is(integer) IS 'The condition that a row of a view is of the contact $1.';

CREATE FUNCTION consent._crm_select(binding integer) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b consent_data.binding;
BEGIN
    SELECT * INTO STRICT b FROM consent_data.binding x WHERE x.binding_id = binding;
    RETURN CASE b.kind
        WHEN 'contacts' THEN format('SELECT %s, %s FROM %s v', consent._crm_key(binding), (
            SELECT string_agg(CASE WHEN c = ANY (b.columns) THEN 'v.' || c ELSE 'NULL::text' END, ', ' ORDER BY n)
              FROM unnest(ARRAY['country', 'region', 'timezone', 'subscriber', 'address_kind', 'line', 'email', 'phone', 'post', 'name'])
                   WITH ORDINALITY u (c, n)), b.view)
        WHEN 'purchases' THEN format(
            'SELECT %s, %s, v.at, %s, %s, c.category_id, %s, %s, %s FROM %s v LEFT JOIN consent_data.category c ON c.name = v.category WHERE %s',
            consent._crm_key(binding),
            -- What was cancelled gives nothing, but a refusal given with it stands.
            CASE WHEN 'kind' = ANY (b.columns)
                 THEN 'CASE WHEN v.kind IN (''cancelled'', ''credit_note'') THEN ''opt_in_refused'' ELSE v.kind END'
                 ELSE '''purchase''::text' END, b.sender_id,
            CASE WHEN 'channels' = ANY (b.columns) THEN 'v.channels' ELSE 'NULL::text[]' END,
            CASE WHEN 'opt_out_offered' = ANY (b.columns) THEN 'coalesce(v.opt_out_offered, ''unknown'')' ELSE '''unknown''::text' END,
            CASE WHEN 'refused' = ANY (b.columns) THEN 'coalesce(v.refused, false)' ELSE 'false' END,
            CASE WHEN 'from_person' = ANY (b.columns) THEN 'coalesce(v.from_person, true)' ELSE 'true' END, b.view,
            CASE WHEN 'kind' <> ALL (b.columns) THEN 'true'
                 WHEN 'refused' = ANY (b.columns) THEN '(coalesce(v.kind, '''') <> ALL (''{cancelled,credit_note}'') OR v.refused)'
                 ELSE 'coalesce(v.kind, '''') <> ALL (''{cancelled,credit_note}'')' END)
        WHEN 'engagement' THEN format(
            'SELECT %s, v.kind, v.at, %s, NULL::text[], NULL::integer, NULL::text, false, true FROM %s v WHERE %s',
            consent._crm_key(binding), b.sender_id, b.view, CASE WHEN 'machine' = ANY (b.columns) THEN 'v.machine IS NOT TRUE' ELSE 'true' END)
        ELSE format(
            'SELECT %s, %s, v.kind, v.at, %s, %s, %s, c.category_id, %s, %s FROM %s v LEFT JOIN consent_data.category c ON c.name = %s WHERE %s',
            consent._crm_key(binding), CASE WHEN 'address' = ANY (b.columns) THEN 'v.address' ELSE 'NULL::text' END,
            CASE WHEN 'recorded_at' = ANY (b.columns) THEN 'v.recorded_at' ELSE 'NULL::timestamptz' END, b.sender_id,
            CASE WHEN 'channels' = ANY (b.columns) THEN 'v.channels' ELSE 'NULL::text[]' END,
            CASE WHEN 'purposes' = ANY (b.columns) THEN 'v.purposes' ELSE 'NULL::text[]' END,
            format('%s, %s, %s, %s, %s, %s',
                CASE WHEN 'method' = ANY (b.columns) THEN 'v.method' ELSE 'NULL::text' END,
                CASE WHEN 'evidence' = ANY (b.columns) THEN 'v.evidence' ELSE 'NULL::jsonb' END,
                CASE WHEN 'double_opt_in' = ANY (b.columns) THEN 'coalesce(v.double_opt_in, false)' ELSE 'false' END,
                CASE WHEN 'via' = ANY (b.columns) THEN 'v.via' ELSE 'NULL::text' END,
                CASE WHEN 'reason' = ANY (b.columns) THEN 'v.reason' ELSE 'NULL::text' END,
                CASE WHEN 'source' = ANY (b.columns) THEN 'v.source' ELSE 'NULL::text' END),
            b.view, CASE WHEN 'category' = ANY (b.columns) THEN 'v.category' ELSE 'NULL::text' END,
            -- An opt-in for a category that is not known covers nothing; a refusal of one covers everything.
            CASE WHEN 'category' = ANY (b.columns)
                 THEN '(v.category IS NULL OR c.category_id IS NOT NULL OR consent._refuses(v.kind))' ELSE 'true' END)
        END;
END
$$;
COMMENT ON FUNCTION consent._crm_select(integer) IS 'The query that makes facts of a bound view''s rows.';

CREATE FUNCTION consent._refuses(kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind IN ('opt_out', 'objection', 'erasure_request', 'opt_in_refused');
COMMENT ON FUNCTION consent._refuses(text) IS 'Whether a row of a consents view takes permission away.';

-- Whose channel is not said is a mailbox if it looks like one, else a number.
CREATE FUNCTION consent._refused_hashes(channels text[], address text, country text) RETURNS bytea[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif(consent._address_hashes(coalesce(nullif(channels[1], 'any'), CASE WHEN strpos(address, '@') > 0 THEN 'email' ELSE 'sms' END),
                                          address, country), '{}')
$$;
COMMENT ON FUNCTION consent._refused_hashes(text[], text, text) IS 'The keyed hashes of an address that is refused on these channels; NULL if it can''t be read.';

CREATE FUNCTION consent._rebuild_crm_views() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
    key_type text := (SELECT s.key_type FROM consent_data.setting s);
    part record;
    everything text;
    one text;
    by_address text;
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION consent_data.key(contact text) RETURNS %s LANGUAGE sql IMMUTABLE PARALLEL SAFE AS ''SELECT $1::%1$s''', key_type);
    REVOKE ALL ON FUNCTION consent_data.key(text) FROM PUBLIC;
    COMMENT ON FUNCTION consent_data.key(text) IS 'A contact''s key in the type of the tables.';
    FOR part IN
        SELECT * FROM (VALUES
            ('contact', '{contacts}'::text[], 'All bound contacts.',
             ARRAY['country text', 'region text', 'timezone text', 'subscriber text', 'address_kind text', 'line text', 'email text',
                   'phone text', 'post text', 'name text']),
            ('event', '{purchases,engagement}', 'All bound sales and engagement, as facts.',
             ARRAY['kind text', 'at timestamptz', 'sender_id integer', 'channels text[]', 'category_id integer', 'opt_out_offered text',
                   'refused boolean', 'from_person boolean']),
            ('consent', '{consents}', 'All bound consents and refusals, as facts.',
             ARRAY['address text', 'kind text', 'at timestamptz', 'recorded_at timestamptz', 'sender_id integer', 'channels text[]',
                   'category_id integer', 'purposes text[]', 'method text', 'evidence jsonb', 'double_opt_in boolean', 'via text',
                   'reason text', 'source text'])) p (name, kinds, comment, columns) LOOP
        SELECT string_agg(consent._crm_select(b.binding_id), ' UNION ALL ' ORDER BY b.binding_id),
               string_agg(consent._crm_select(b.binding_id) || CASE WHEN b.kind = 'contacts' THEN ' WHERE ' ELSE ' AND ' END || consent._crm_is(b.binding_id),
                          ' UNION ALL ' ORDER BY b.binding_id) FILTER (WHERE b.native_type <> 'none' AND b.by_key),
               string_agg(consent._crm_select(b.binding_id) || ' AND v.address = $1', ' UNION ALL ' ORDER BY b.binding_id)
                   FILTER (WHERE b.kind = 'consents' AND 'address' = ANY (b.columns))
          INTO everything, one, by_address
          FROM consent_data.binding b WHERE b.kind = ANY (part.kinds);
        EXECUTE format('CREATE OR REPLACE VIEW consent_data.crm_%s (contact_id, %s) AS %s', part.name,
                       (SELECT string_agg(split_part(c, ' ', 1), ', ' ORDER BY n) FROM unnest(part.columns) WITH ORDINALITY u (c, n)),
                       coalesce(everything, consent._no_rows(key_type, part.columns)));
        EXECUTE format('COMMENT ON VIEW consent_data.crm_%s IS %L', part.name, part.comment);
        EXECUTE format('CREATE OR REPLACE FUNCTION consent_data.crm_%1$s_of(key %2$s) RETURNS SETOF consent_data.crm_%1$s LANGUAGE sql STABLE ROWS 5 AS %3$L',
                       part.name, key_type, coalesce(one, consent._no_rows(key_type, part.columns)));
        EXECUTE format('COMMENT ON FUNCTION consent_data.crm_%s_of(%s) IS %L', part.name, key_type, part.comment || ' Of one contact.');
        EXECUTE format('REVOKE ALL ON FUNCTION consent_data.crm_%s_of(%s) FROM PUBLIC', part.name, key_type);
        IF part.name = 'consent' THEN
            EXECUTE format('CREATE OR REPLACE FUNCTION consent_data.crm_consent_at(address text) RETURNS SETOF consent_data.crm_consent LANGUAGE sql STABLE ROWS 2 AS %L',
                           coalesce(by_address, consent._no_rows(key_type, part.columns)));
            COMMENT ON FUNCTION consent_data.crm_consent_at(text) IS 'All bound consents and refusals of an address, as the CRM spells it.';
            REVOKE ALL ON FUNCTION consent_data.crm_consent_at(text) FROM PUBLIC;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._rebuild_crm_views() IS 'Makes the views and functions through which folds read the CRM.';

CREATE FUNCTION consent._no_rows(key_type text, columns text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT NULL::%s, %s WHERE false', key_type,
                  (SELECT string_agg('NULL::' || split_part(c, ' ', 2), ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY u (c, n)))
$$;
COMMENT ON FUNCTION consent._no_rows(text, text[]) IS 'A query of these columns without rows.';

-- A flag without a date and a contact, on an address alone, denies as long as it stands in the CRM, whatever the person
-- does. Which of the refusals in the ledger still stand is kept beside it, by the spelling in which the CRM has the
-- address: of two rows in other spellings one may go. A trigger only adds; that a row has gone, only a look at all of
-- them can tell, since another transaction may be taking away or adding its twin.
CREATE FUNCTION consent._see_standing(addresses text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF addresses IS NOT NULL THEN
        INSERT INTO consent_data.standing_gone (spelling)
        SELECT s FROM (SELECT consent._key_hash(a) AS s FROM unnest(addresses) a) h
         WHERE EXISTS (SELECT FROM consent_data.standing_refusal x WHERE x.spelling = h.s);
    END IF;
    WITH shown AS MATERIALIZED (
        SELECT c.* FROM consent_data.crm_consent c WHERE addresses IS NULL AND c.contact_id IS NULL AND c.at IS NULL
        UNION ALL
        SELECT c.* FROM unnest(addresses) a, LATERAL consent_data.crm_consent_at(a) c WHERE c.contact_id IS NULL AND c.at IS NULL
    ), stands AS MATERIALIZED (
        SELECT DISTINCT e.event_id, consent._key_hash(s.address) AS spelling
          FROM shown s, LATERAL unnest(consent._refused_hashes(s.channels, s.address, NULL)) h (hash)
          JOIN consent_data.address_event ae ON ae.address_hash = h.hash
          JOIN consent_data.event e USING (event_id)
         WHERE consent._refuses(s.kind) AND e.contact_id IS NULL AND e.detail->>'standing' = 'true' AND e.kind = s.kind
           AND e.sender_id = s.sender_id AND e.category_id IS NOT DISTINCT FROM s.category_id
           AND e.channels IS NOT DISTINCT FROM s.channels AND e.detail->>'source' IS NOT DISTINCT FROM s.source
    ), gone AS (
        DELETE FROM consent_data.standing_refusal x
         WHERE addresses IS NULL AND NOT EXISTS (SELECT FROM stands s WHERE s.event_id = x.event_id AND s.spelling = x.spelling)
        RETURNING x.event_id
    ), come AS (
        INSERT INTO consent_data.standing_refusal (event_id, spelling)
        SELECT s.event_id, s.spelling FROM stands s
         WHERE addresses IS NOT NULL
            OR NOT EXISTS (SELECT FROM consent_data.standing_refusal x WHERE x.event_id = s.event_id AND x.spelling = s.spelling)
        RETURNING event_id)
    INSERT INTO consent_data.pending (contact_id, restricts)
    SELECT ca.contact_id, bool_or(c.restricts)
      FROM (SELECT event_id, true AS restricts FROM come UNION ALL SELECT event_id, false FROM gone) c
      JOIN consent_data.address_event ae USING (event_id) JOIN consent_data.contact_address ca USING (address_hash)
     GROUP BY 1;
END
$$;
COMMENT ON FUNCTION consent._see_standing(text[]) IS 'Sees which undated refusals of an address alone stand in the CRM, and notes whom a change concerns; NULL: looks at all of them, and so finds those that have gone.';

-- Takes refusals that the CRM shows into the ledger, where they outlive the CRM's row, and notes everybody they reach.
-- Of these contacts and addresses (as the CRM spells them), or of all. Only inserts, and shares locks of addresses.
CREATE FUNCTION consent._take_refusals(contacts text[], addresses text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    keys text[] := contacts;
    v_now timestamptz := clock_timestamp();
    ids bigint[];
    noted text[];
    r record;
BEGIN
    IF NOT EXISTS (SELECT FROM consent_data.binding b WHERE b.kind = 'consents') THEN
        RETURN 0;
    END IF;
    IF contacts IS NULL THEN
        -- All at once, and perhaps just after an import: the plan must know how much there is.
        ANALYZE consent_data.event, consent_data.address_event, consent_data.contact_address;
    -- Most contacts have never refused anything.
    ELSIF NOT EXISTS (SELECT FROM unnest(contacts) k, LATERAL consent_data.crm_consent_of(consent_data.key(k)) c WHERE consent._refuses(c.kind))
       AND NOT EXISTS (SELECT FROM unnest(addresses) a, LATERAL consent_data.crm_consent_at(a) c WHERE consent._refuses(c.kind)) THEN
        PERFORM consent._see_standing(addresses) WHERE addresses IS NOT NULL;
        RETURN 0;
    END IF;
    IF addresses IS NOT NULL THEN
        -- Whoever has the address, too: their opt-ins tell whether an old flag has been set anew.
        keys := ARRAY(SELECT k FROM unnest(keys) k UNION
                      SELECT ca.contact_id::text FROM unnest(addresses) a CROSS JOIN unnest(ARRAY['email', 'sms', 'post']) c
                        JOIN consent_data.contact_address ca ON ca.address_hash = ANY (consent._address_hashes(c, a, NULL)));
    END IF;
    WITH shown AS MATERIALIZED (
        SELECT c.* FROM consent_data.crm_consent c WHERE contacts IS NULL AND addresses IS NULL
        UNION ALL
        SELECT c.* FROM unnest(keys) k, LATERAL consent_data.crm_consent_of(consent_data.key(k)) c
        UNION ALL
        SELECT c.* FROM unnest(addresses) a, LATERAL consent_data.crm_consent_at(a) c
         WHERE c.contact_id IS NULL OR c.contact_id::text <> ALL (keys)
    ), refusal AS (
        SELECT DISTINCT s.contact_id, s.kind, s.at, s.recorded_at, s.sender_id, s.channels, s.category_id, s.evidence,
               -- A code that nobody knows would keep the ledger from being folded for ever.
               CASE WHEN s.via = ANY (consent._codes('via')) THEN s.via END AS via, s.reason, s.source,
               consent._refused_hashes(s.channels, s.address, p.country) AS hashes
          FROM (SELECT x.contact_id, x.kind, x.at, x.recorded_at, x.sender_id, x.category_id, x.evidence, x.via, x.reason, x.source, x.address,
                       -- A refusal of unclear scope covers everything.
                       CASE WHEN x.channels IS NULL OR x.channels <@ (consent._codes('channel') || 'any'::text) THEN x.channels ELSE '{any}' END AS channels
                  FROM shown x) s
          LEFT JOIN LATERAL (SELECT c.country FROM consent_data.crm_contact_of(s.contact_id) c LIMIT 1) p
                 ON strpos(s.address, '@') = 0
         WHERE consent._refuses(s.kind)
    ), asked AS (
        SELECT x.contact_id, max(x.at) AS at FROM (
            SELECT s.contact_id, s.at FROM shown s WHERE s.kind IN ('opt_in', 'opt_in_confirmed') AND s.at <= v_now
            UNION ALL
            SELECT e.contact_id, e.recorded_at FROM consent_data.event e
             WHERE keys IS NULL AND e.kind IN ('opt_in', 'opt_in_confirmed')
            UNION ALL
            SELECT e.contact_id, e.recorded_at FROM unnest(keys) k JOIN consent_data.event e ON e.contact_id = consent_data.key(k)
             WHERE e.kind IN ('opt_in', 'opt_in_confirmed')) x GROUP BY 1
    ), asked_at_address AS (
        SELECT consent._canonical(ca.address_hash) AS address_hash, max(a.at) AS at
          FROM asked a JOIN consent_data.contact_address ca USING (contact_id) GROUP BY 1
    ), alias AS (
        INSERT INTO consent_data.address_alias (old_hash, new_hash)
        SELECT DISTINCT o, f.hashes[1] FROM refusal f, unnest(f.hashes[2:]) o ORDER BY 1
        ON CONFLICT DO NOTHING
    ), new AS (
        INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, channels, category_id, detail, evidence, address_hash, reason)
        SELECT n.contact_id, n.kind, least(n.at, n.known), n.known, n.sender_id, n.channels, n.category_id,
               jsonb_strip_nulls(jsonb_build_object('scope', CASE WHEN n.category_id IS NULL THEN 'all' ELSE 'category' END, 'via', n.via,
                                                    'source', n.source, 'standing', CASE WHEN n.at IS NULL THEN true END)),
               n.evidence, n.hashes[1], n.reason
          FROM (SELECT f.*, CASE WHEN f.at IS NULL THEN v_now ELSE least(coalesce(f.recorded_at, v_now), v_now) END AS known, coalesce(a.at, h.at) AS asked_at
                  FROM refusal f
                  LEFT JOIN asked a ON a.contact_id = f.contact_id
                  LEFT JOIN asked_at_address h ON f.contact_id IS NULL AND h.address_hash = f.hashes[1]) n
         WHERE (n.contact_id IS NOT NULL OR n.hashes[1] IS NOT NULL)
           AND NOT EXISTS (
            SELECT FROM (SELECT e.* FROM consent_data.event e WHERE e.contact_id = n.contact_id
                         UNION ALL
                         SELECT e.* FROM consent_data.address_event ae JOIN consent_data.event e USING (event_id)
                          WHERE n.contact_id IS NULL AND ae.address_hash = ANY (n.hashes) AND e.contact_id IS NULL
                         UNION ALL
                         -- Whoever was erased and is still shown must not have the words brought back.
                         SELECT e.* FROM consent_data.event e
                          WHERE n.contact_id IS NOT NULL AND e.erased_as = consent._key_hash(n.contact_id::text)) e
             WHERE e.kind = n.kind AND e.sender_id = n.sender_id AND e.category_id IS NOT DISTINCT FROM n.category_id
               AND e.channels IS NOT DISTINCT FROM n.channels AND e.detail->>'source' IS NOT DISTINCT FROM n.source
               AND CASE WHEN n.at IS NOT NULL THEN e.at = least(n.at, e.recorded_at)
                        -- A flag without a date: known since it was first seen, unless the person asked for mail since.
                        ELSE e.detail->>'standing' = 'true'
                             AND (e.recorded_at >= coalesce(n.asked_at, '-infinity')
                                  OR EXISTS (SELECT FROM consent_data.standing_refusal x WHERE x.event_id = e.event_id))
                   END)
         -- All are known before the first is written: a plan made for a small ledger would read it anew, growing, for each.
         ORDER BY n.known, n.contact_id, n.kind
        RETURNING event_id)
    SELECT array_agg(event_id) INTO ids FROM new;
    IF ids IS NULL THEN
        PERFORM consent._see_standing(addresses) WHERE contacts IS NULL OR addresses IS NOT NULL;
        RETURN 0;
    END IF;
    INSERT INTO consent_data.address_event (address_hash, event_id)
    SELECT DISTINCT a.hash, e.event_id
      FROM consent_data.event e,
           LATERAL (SELECT unnest(consent._with_aliases(ARRAY[e.address_hash])) WHERE e.address_hash IS NOT NULL
                    UNION ALL
                    SELECT unnest(n.hashes) FROM consent._addresses_now(e.contact_id::text) n
                     WHERE n.channel_group = ANY (consent._reached(e.kind, e.channels, e.address_hash IS NOT NULL))) a (hash)
     WHERE e.event_id = ANY (ids) AND consent._binds_address(e.kind) AND a.hash IS NOT NULL;
    PERFORM consent._see_standing(addresses) WHERE contacts IS NULL OR addresses IS NOT NULL;
    -- In the order of the addresses' locks.
    FOR r IN SELECT ae.address_hash, min(CASE WHEN e.channels[1] IN ('sms', 'phone_live', 'phone_auto') THEN 'phone'
                                              WHEN e.channels[1] = 'post' THEN 'post' ELSE 'email' END) AS channel_group
               FROM consent_data.address_event ae JOIN consent_data.event e USING (event_id)
              WHERE ae.event_id = ANY (ids) GROUP BY 1 ORDER BY 1 LOOP
        PERFORM consent._share_address(r.address_hash, r.channel_group);
    END LOOP;
    noted := ARRAY(
        SELECT e.contact_id::text FROM consent_data.event e WHERE e.event_id = ANY (ids) AND e.contact_id IS NOT NULL
        UNION
        SELECT ca.contact_id::text FROM consent_data.address_event ae JOIN consent_data.contact_address ca USING (address_hash)
         WHERE ae.event_id = ANY (ids));
    INSERT INTO consent_data.pending (contact_id, restricts) SELECT consent_data.key(k), true FROM unnest(noted) k;
    PERFORM consent._note_merged(noted);
    RETURN cardinality(ids);
END
$$;
COMMENT ON FUNCTION consent._take_refusals(text[], text[]) IS 'Takes refusals from the bound consents views into the ledger, of some contacts and addresses or (both NULL) of all; answers with their number.';

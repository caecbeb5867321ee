-- Reading what a CSV left in a table of the user's own: each cell to a value, or to NULL where it is none.

CREATE FUNCTION consent._import_columns(what text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE what
        WHEN 'suppressions' THEN ARRAY['line', 'contact', 'address', 'address_hash', 'key_fingerprint', 'channel', 'country', 'at',
            'kind', 'category', 'sender', 'scope', 'register', 'via', 'reason', 'reason_code']
        ELSE ARRAY['line', 'contact', 'address', 'address_hash', 'key_fingerprint', 'country', 'channels', 'purposes', 'method',
            'category', 'sender', 'at', 'evidence', 'expires', 'double_opt_in', 'confirmed_at', 'names_sender'] END;
COMMENT ON FUNCTION consent._import_columns(text) IS 'The columns an import of suppressions or consents may have.';

-- The whole table, in its physical order, as whoever calls may read it. No setting of the session may change a value.
CREATE FUNCTION consent._import_rows(what text, source regclass) RETURNS jsonb[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    SET synchronize_seqscans = off SET max_parallel_workers_per_gather = 0 SET bytea_output = 'hex'
AS $$
DECLARE
    unknown text;
    rows jsonb[];
BEGIN
    IF source IS NULL THEN
        RAISE EXCEPTION 'no table to import is named' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Copy the file into a table of your own and name that.';
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO unknown FROM pg_attribute a
     WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (consent._import_columns(what));
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION '% has columns that an import of % does not know', source, what
            USING ERRCODE = 'undefined_column', DETAIL = format('unknown: %s', unknown),
                  HINT = format('Known are %s. Select those and no others in a view.', array_to_string(consent._import_columns(what), ', '));
    END IF;
    EXECUTE format('SELECT array_agg(to_jsonb(r)) FROM %s r', source) INTO rows;
    RETURN coalesce(rows, '{}');
END
$$;
COMMENT ON FUNCTION consent._import_rows(text, regclass) IS 'The rows of a table to import, read with the caller''s rights.';

CREATE FUNCTION consent._import_is_key(contact text, key_type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (
    SELECT CASE key_type
        WHEN 'bigint' THEN CASE WHEN contact ~ '^-?[0-9]{1,19}$' THEN contact::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 ELSE false END
        WHEN 'uuid' THEN contact ~* '^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$'
        ELSE true END);
COMMENT ON FUNCTION consent._import_is_key(text, text) IS 'Whether a text is a contact''s key; never raises.';

-- ISO 8601 only, so that no DateStyle reads a date another way; a zone of its own or the file's, never the session's.
-- Where an hour or a day leaves several instants, a refusal has the last of them and a permission the first.
CREATE FUNCTION consent._import_instant(value text, zone text, refuses boolean) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD'
AS $$
DECLARE
    p text[] := regexp_match(value, '^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]{1,9})?))?)? ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?$', 'i');
    local timestamp;
    instant timestamptz;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    -- Nothing below can raise for what passes here.
    IF p IS NULL OR p[1] = '0000' OR p[2]::int NOT BETWEEN 1 AND 12 OR p[4]::int > 23 OR p[5]::int > 59 OR p[6]::numeric >= 60
       OR p[3]::int NOT BETWEEN 1 AND date_part('day', make_date(p[1]::int, p[2]::int, 1) + interval '1 month - 1 day')
       OR p[7] IS NULL AND zone IS NULL OR upper(p[7]) <> 'Z' AND (substr(p[7], 2, 2)::int > 15 OR right(p[7], 2)::int > 59) THEN
        RETURN NULL;
    END IF;
    local := make_timestamp(p[1]::int, p[2]::int, p[3]::int, coalesce(p[4], '0')::int, coalesce(p[5], '0')::int, coalesce(p[6], '0')::double precision);
    IF p[4] IS NULL AND refuses THEN
        local := local + interval '1 day - 1 microsecond';
    END IF;
    IF p[7] IS NULL THEN
        instant := local AT TIME ZONE zone;
        -- The hour that the end of summer time repeats.
        IF NOT refuses AND (instant - interval '1 hour') AT TIME ZONE zone = local THEN
            instant := instant - interval '1 hour';
        ELSIF refuses AND (instant + interval '1 hour') AT TIME ZONE zone = local THEN
            instant := instant + interval '1 hour';
        END IF;
    ELSIF upper(p[7]) = 'Z' THEN
        instant := local AT TIME ZONE 'UTC';
    ELSE
        instant := (local AT TIME ZONE 'UTC')
            - (left(p[7], 1) || '1')::int * make_interval(hours => substr(p[7], 2, 2)::int,
                                                          mins => CASE WHEN length(p[7]) > 3 THEN right(p[7], 2)::int ELSE 0 END);
    END IF;
    RETURN instant;
END
$$;
COMMENT ON FUNCTION consent._import_instant(text, text, boolean) IS 'The instant that an ISO 8601 date or time says; NULL where it says none. zone: for those without one.';

CREATE FUNCTION consent._import_time_problem(name text, value text, zone text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
    SELECT CASE WHEN value IS NULL OR consent._import_instant(value, zone, true) IS NOT NULL THEN NULL
                WHEN zone IS NULL AND consent._import_instant(value, 'UTC', true) IS NOT NULL
                    THEN name || ' has no time zone: write one, or the file''s into provenance as timezone'
                ELSE name || ' is not an ISO 8601 date or time, such as 2026-03-31T14:05:00+02:00' END);
COMMENT ON FUNCTION consent._import_time_problem(text, text, text) IS 'What is wrong with a date or time of a file; NULL for nothing.';

-- A JSON array, an array literal or words between commas, semicolons and spaces.
CREATE FUNCTION consent._import_list(value jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (
    SELECT nullif(ARRAY(SELECT lower(w) FROM regexp_split_to_table(CASE jsonb_typeof(value) WHEN 'null' THEN '' ELSE value #>> '{}' END,
                                                                   '[][{}",;\s]+') WITH ORDINALITY s (w, n)
                         WHERE w <> '' ORDER BY n), '{}'));
COMMENT ON FUNCTION consent._import_list(jsonb) IS 'The codes in one cell of a file; NULL for none.';

CREATE FUNCTION consent._import_boolean(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT CASE WHEN lower(value) IN ('true', 't', 'yes', 'y', '1') THEN true WHEN lower(value) IN ('false', 'f', 'no', 'n', '0') THEN false END);
COMMENT ON FUNCTION consent._import_boolean(text) IS 'true or false as a file has it; NULL for neither.';

CREATE FUNCTION consent._import_object(value jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        value := (value #>> '{}')::jsonb;
    END IF;
    RETURN CASE WHEN jsonb_typeof(value) = 'object' THEN value END;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._import_object(jsonb) IS 'A JSON object, also from its text; NULL for what is none.';

-- In PL/pgSQL: an SQL function with a query in it starts the executor at each call.
CREATE FUNCTION consent._import_sorted(codes text[]) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN cardinality(codes) < 2 THEN codes ELSE ARRAY(SELECT DISTINCT c FROM unnest(codes) c ORDER BY 1) END;
END
$$;
COMMENT ON FUNCTION consent._import_sorted(text[]) IS 'Codes in order, each once.';

CREATE FUNCTION consent._import_channels(kind text, channels text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN kind IN ('objection', 'erasure_request') OR 'any' = ANY (channels) THEN consent._import_sorted(consent._codes('channel'))
                WHEN cardinality(channels) < 2 THEN channels
                WHEN channels IS NOT NULL THEN consent._import_sorted(channels)
                WHEN kind IN ('register_listed', 'register_delisted') THEN '{}'::text[] ELSE '{email}'::text[] END;
COMMENT ON FUNCTION consent._import_channels(text, text[]) IS 'All channels that a fact is about, in one spelling.';

CREATE FUNCTION consent._import_purposes(purposes text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN consent._import_sorted(CASE WHEN purposes IS NULL OR 'any' = ANY (purposes) THEN consent._codes('purpose') ELSE purposes END);
COMMENT ON FUNCTION consent._import_purposes(text[]) IS 'All purposes of an opt-in, in one spelling.';

-- Two facts about one contact or address that agree in this say the same, whenever they say it. A confirmation's
-- evidence and category are the opt-in's.
CREATE FUNCTION consent._import_says(kind text, sender_id integer, channels text[], category_id integer, purposes text[], detail jsonb, evidence jsonb)
    RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    common text := kind || ' ' || sender_id || ' ' || consent._import_channels(kind, channels)::text || ' ';
BEGIN
    RETURN common || CASE kind
        WHEN 'opt_out' THEN jsonb_build_array(category_id, coalesce(detail->>'scope', 'all'), detail->>'via' IS NOT DISTINCT FROM 'system')::text
        WHEN 'register_listed' THEN detail->>'register'
        WHEN 'opt_in_confirmed' THEN consent._import_purposes(purposes)::text
        WHEN 'opt_in' THEN jsonb_build_array(consent._import_purposes(purposes), category_id, detail->>'method',
            coalesce(consent._import_instant(detail->>'expires', NULL, false)::text, detail->>'expires'),
            coalesce(detail->>'double_opt_in', 'false'), coalesce(detail->>'names_sender', 'false'), evidence)::text
        ELSE '' END;
END
$$;
COMMENT ON FUNCTION consent._import_says(text, integer, text[], integer, text[], jsonb, jsonb) IS 'What a fact says, apart from whom it concerns and when.';

CREATE FUNCTION consent._import_fingerprint() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT encode(g.fingerprint, 'hex') FROM consent_data.key_generation g ORDER BY g.generation DESC LIMIT 1 $$;
COMMENT ON FUNCTION consent._import_fingerprint() IS 'The fingerprint of the key under which addresses are hashed now.';

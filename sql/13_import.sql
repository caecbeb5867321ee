-- Import and export of suppressions and consents: from and to a table of the user's own, which a CSV was copied into.
-- A row means exactly what consent.record_event would have made of it; only it is done set by set.

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

CREATE FUNCTION consent._export_instant(at timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ( SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
COMMENT ON FUNCTION consent._export_instant(timestamptz) IS 'An instant as an import reads it.';

-- Gets rows and never a name of the caller's choosing, since it runs with its owner's rights. The tables it works on are
-- its owner's: whatever was there by their name is dropped first.
CREATE FUNCTION consent._import(what text, rows jsonb[], provenance jsonb, sender_name text, usual_channel text, is_dry boolean)
    RETURNS TABLE (line bigint, outcome text, problem text, event_id bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
AS $$
#variable_conflict use_column
DECLARE
    is_consent constant boolean := what = 'consents';
    key_type constant text := (SELECT s.key_type FROM consent_data.setting s);
    v_sender constant integer := consent._sender_id(sender_name);
    v_codes constant text[] := consent._codes('channel');
    v_fingerprint constant text := consent._import_fingerprint();
    v_now constant timestamptz := clock_timestamp();
    -- Around keys and addresses spreadsheets leave more than blanks.
    v_space constant text := (SELECT string_agg(chr(c), '') FROM unnest(ARRAY[9, 10, 11, 12, 13, 32, 160, 8192, 8193, 8194, 8195, 8196, 8197,
        8198, 8199, 8200, 8201, 8202, 8203, 8232, 8233, 8239, 8287, 8288, 12288, 65279]) c WHERE c < 128 OR getdatabaseencoding() = 'UTF8');
    -- Where each bound table of contacts has a prefix, a key without one is nobody's.
    v_sources constant text[] := CASE WHEN key_type = 'text' AND NOT EXISTS (SELECT FROM consent_data.binding b WHERE b.kind = 'contacts' AND b.source IS NULL)
        THEN (SELECT array_agg(DISTINCT b.source || ':') FROM consent_data.binding b WHERE b.source IS NOT NULL) END;
    v_zone text := provenance->>'timezone';
    v_noted text[];
    n bigint;
    of bigint;
BEGIN
    IF jsonb_typeof(provenance) IS DISTINCT FROM 'object' OR jsonb_typeof(provenance->'from') IS DISTINCT FROM 'string'
       OR btrim(provenance->>'from') = '' THEN
        RAISE EXCEPTION 'an import needs its provenance' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It is kept with every fact: where the file comes from.',
            HINT = 'Write for example {"from": "Mailchimp", "file": "unsubscribed.csv", "timezone": "Europe/Paris"}.';
    END IF;
    IF v_zone IS NOT NULL AND NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = v_zone) THEN
        RAISE EXCEPTION 'the timezone of the provenance is not known' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Write a name of pg_timezone_names, such as Europe/Paris.';
    END IF;
    IF usual_channel IS NULL OR usual_channel <> ALL (v_codes || CASE WHEN is_consent THEN '{}' ELSE ARRAY['any'] END) THEN
        RAISE EXCEPTION 'channel `%` is not known', usual_channel USING ERRCODE = 'undefined_object',
            HINT = format('Write one of %s.', array_to_string(v_codes, ', '));
    END IF;
    IF what IS NULL OR what NOT IN ('suppressions', 'consents') THEN
        RAISE EXCEPTION 'only suppressions and consents are imported' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One import at a time: of two of the same file the second finds what the first wrote.
    IF NOT is_dry THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('consent.import', 0));
    END IF;

    IF to_regclass('pg_temp.consent_import') IS NOT NULL THEN
        DROP TABLE pg_temp.consent_import;
    END IF;
    IF to_regclass('pg_temp.consent_import_fact') IS NOT NULL THEN
        DROP TABLE pg_temp.consent_import_fact;
    END IF;
    IF to_regclass('pg_temp.consent_import_bound') IS NOT NULL THEN
        DROP TABLE pg_temp.consent_import_bound;
    END IF;

    -- The cells ------------------------------------------------------------------------------------------------

    CREATE TEMPORARY TABLE consent_import ON COMMIT DROP AS
    SELECT c.*, NULL::bytea AS hash, NULL::text AS problem, g.name AS channel_group,
           CASE WHEN c.at_text IS NOT NULL THEN consent._import_instant(c.at_text, v_zone, NOT is_consent) END AS at,
           CASE WHEN c.confirmed_text IS NOT NULL THEN consent._import_instant(c.confirmed_text, v_zone, false) END AS confirmed_at
      FROM (SELECT r.n,
                   CASE WHEN r.j->>'line' ~ '^[0-9]{1,18}$' THEN (r.j->>'line')::bigint ELSE r.n END AS line,
                   nullif(btrim(r.j->>'contact', v_space), '') AS contact,
                   nullif(btrim(r.j->>'address', v_space), '') AS address,
                   nullif(regexp_replace(lower(btrim(r.j->>'address_hash')), '^\\x', ''), '') AS hash_text,
                   nullif(regexp_replace(lower(btrim(r.j->>'key_fingerprint')), '^\\x', ''), '') AS fingerprint,
                   consent._import_list(r.j->CASE WHEN is_consent THEN 'channels' ELSE 'channel' END) AS channels,
                   nullif(btrim(r.j->>'country'), '') AS country,
                   nullif(btrim(r.j->>'at'), '') AS at_text,
                   CASE WHEN is_consent THEN 'opt_in' ELSE coalesce(nullif(btrim(r.j->>'kind'), ''), 'opt_out') END AS kind,
                   nullif(btrim(r.j->>'category'), '') AS category,
                   nullif(btrim(r.j->>'sender'), '') AS sender,
                   nullif(btrim(r.j->>'scope'), '') AS scope,
                   nullif(btrim(r.j->>'register'), '') AS register,
                   nullif(btrim(r.j->>'via'), '') AS via,
                   nullif(btrim(r.j->>'reason'), '') AS reason,
                   nullif(btrim(r.j->>'reason_code'), '') AS reason_code,
                   coalesce(consent._import_list(r.j->'purposes'), '{marketing}') AS purposes,
                   nullif(btrim(r.j->>'method'), '') AS method,
                   nullif(btrim(r.j->>'evidence'), '') IS NOT NULL AS has_evidence,
                   CASE WHEN nullif(btrim(r.j->>'evidence'), '') IS NOT NULL THEN consent._import_object(r.j->'evidence') END AS evidence,
                   nullif(btrim(r.j->>'expires'), '') AS expires,
                   nullif(btrim(r.j->>'double_opt_in'), '') AS double_opt_in,
                   nullif(btrim(r.j->>'confirmed_at'), '') AS confirmed_text,
                   nullif(btrim(r.j->>'names_sender'), '') AS names_sender
              FROM unnest(rows) WITH ORDINALITY r (j, n) OFFSET 0) c,
           -- What an address is, as consent._record has it: the first channel says, or the usual one.
           LATERAL (SELECT coalesce((SELECT x FROM unnest(c.channels) x WHERE x = ANY (v_codes) LIMIT 1),
                        CASE WHEN c.kind = 'register_listed' AND usual_channel IN ('email', 'any') THEN 'sms'
                             WHEN usual_channel = 'any' THEN 'email' ELSE usual_channel END)) first (channel),
           LATERAL (SELECT CASE WHEN first.channel IN ('email', 'post') THEN first.channel ELSE 'phone' END) g (name);

    IF EXISTS (SELECT FROM pg_temp.consent_import i WHERE i.address IS NOT NULL OR i.hash_text IS NOT NULL) THEN
        -- Without the key every address would look malformed.
        PERFORM consent.address_hash('email', 'probe@example.org');
    END IF;
    UPDATE pg_temp.consent_import i
       SET hash = consent._try_address_hash(CASE i.channel_group WHEN 'phone' THEN 'sms' ELSE i.channel_group END, i.address,
               coalesce(consent.country_code(i.country),
                        CASE WHEN i.channel_group = 'phone' AND i.country IS NULL AND consent._import_is_key(i.contact, key_type)
                             THEN consent._country(i.contact) END))
     WHERE i.address IS NOT NULL;
    IF NOT is_dry AND (SELECT count(*) FROM consent_data.key_generation) > 1 THEN
        -- Contacts not seen since the key was rotated are found under its older generations.
        PERFORM consent._rekey_hashes(array_agg(p.o), array_agg(p.n)) FROM (
            SELECT DISTINCT o, h.hashes[1] AS n
              FROM pg_temp.consent_import i,
                   LATERAL (SELECT consent._address_hashes(CASE i.channel_group WHEN 'phone' THEN 'sms' ELSE i.channel_group END, i.address,
                                                           consent.country_code(i.country)) AS hashes OFFSET 0) h,
                   LATERAL unnest(h.hashes[2:]) o
             WHERE i.address IS NOT NULL) p;
    END IF;

    -- What is wrong with each; no value of a cell is told.
    UPDATE pg_temp.consent_import i SET problem = p.problem
      FROM (SELECT i.n, nullif(concat_ws('; ',
          CASE WHEN i.contact IS NULL AND is_consent THEN 'contact is missing'
               WHEN NOT consent._import_is_key(i.contact, key_type) THEN 'contact is not a ' || key_type || ' key'
               WHEN octet_length(i.contact) > 1000 THEN 'contact is longer than 1000 bytes'
               WHEN NOT EXISTS (SELECT FROM unnest(v_sources) p WHERE starts_with(i.contact, p) AND i.contact <> p) AND i.contact IS NOT NULL AND v_sources IS NOT NULL
                    THEN 'contact has no prefix of a bound source'
               WHEN i.contact IS NULL AND i.address IS NULL AND i.hash_text IS NULL THEN 'contact and address are missing'
               WHEN i.contact IS NULL AND i.kind = 'opt_in_refused' THEN 'contact is missing: without one, kind opt_out binds the address' END,
          CASE WHEN i.hash_text IS NULL AND i.address IS NOT NULL AND i.hash IS NULL THEN CASE i.channel_group
                    WHEN 'email' THEN 'address is not a valid e-mail address'
                    WHEN 'phone' THEN 'address is not a valid phone number, or a national one without its country'
                    ELSE 'address is not a postal address' END
               WHEN i.hash_text !~ '^[0-9a-f]{64}$' THEN 'address_hash is not 64 hexadecimal digits'
               WHEN i.hash_text IS NOT NULL AND i.hash IS NULL AND i.fingerprint IS NULL THEN 'cannot be told under which key address_hash was made: key_fingerprint is missing'
               WHEN i.hash_text IS NOT NULL AND i.hash IS NULL AND i.fingerprint <> v_fingerprint
                    THEN CASE WHEN NOT EXISTS (SELECT FROM consent_data.key_generation g WHERE encode(g.fingerprint, 'hex') = i.fingerprint)
                              THEN 'address_hash was made with another key than this database''s'
                              -- Found under the newest key only where the address has been seen since.
                              WHEN NOT EXISTS (SELECT FROM consent_data.address_alias a WHERE a.old_hash = decode(i.hash_text, 'hex'))
                              THEN 'address_hash was made with an older key of this database, and its address was not seen since: name the address' END
               WHEN i.fingerprint = v_fingerprint AND encode(i.hash, 'hex') <> i.hash_text THEN 'address and address_hash are not of one address' END,
          CASE WHEN NOT is_consent AND i.kind NOT IN ('opt_out', 'objection', 'opt_in_refused', 'erasure_request', 'register_listed')
                    THEN 'kind is not opt_out, objection, opt_in_refused, erasure_request or register_listed' END,
          CASE WHEN i.channels <@ (v_codes || ARRAY['any']) IS FALSE THEN CASE WHEN is_consent THEN 'channels' ELSE 'channel' END || ' is not known'
               WHEN is_consent AND 'any' = ANY (i.channels) THEN 'channels must be named' END,
          CASE WHEN i.at IS NULL THEN consent._import_time_problem('at', i.at_text, v_zone) END,
          CASE WHEN is_consent AND i.at_text IS NULL THEN 'at is missing: an undated opt-in counts for nothing'
               WHEN is_consent AND i.at > v_now THEN 'at is in the future' END,
          CASE WHEN i.category IS NOT NULL AND NOT EXISTS (SELECT FROM consent_data.category c WHERE c.name = i.category) THEN 'category is not known' END,
          CASE WHEN i.sender IS NOT NULL AND NOT EXISTS (SELECT FROM consent_data.sender s WHERE s.name = i.sender) THEN 'sender is not known' END,
          CASE WHEN i.scope <> ALL (consent._codes('scope')) THEN 'scope is not known'
               WHEN i.scope IS NOT NULL AND i.kind <> 'opt_out' THEN 'scope is for kind opt_out only'
               WHEN i.scope = 'category' AND i.category IS NULL THEN 'category is missing: the scope says so' END,
          CASE WHEN i.register <> ALL (consent._codes('register')) THEN 'register is not known'
               WHEN (i.register IS NULL) = (i.kind = 'register_listed') THEN 'register goes with kind register_listed, and only with it' END,
          CASE WHEN i.via <> ALL (consent._codes('via')) THEN 'via is not known' END,
          CASE WHEN is_consent AND NOT i.purposes <@ consent._codes('purpose') THEN 'purposes is not known' END,
          CASE WHEN i.method <> ALL (consent._codes('method')) THEN 'method is not known' END,
          CASE WHEN i.has_evidence AND i.evidence IS NULL THEN 'evidence is not a JSON object' END,
          CASE WHEN i.expires <> 'never' THEN consent._import_time_problem('expires', i.expires, v_zone) END,
          CASE WHEN i.double_opt_in IS NOT NULL AND consent._import_boolean(i.double_opt_in) IS NULL THEN 'double_opt_in is not true or false' END,
          CASE WHEN i.confirmed_at IS NULL THEN consent._import_time_problem('confirmed_at', i.confirmed_text, v_zone) END,
          CASE WHEN i.confirmed_at > v_now THEN 'confirmed_at is in the future'
               WHEN i.confirmed_at < i.at THEN 'confirmed_at is before at'
               WHEN i.confirmed_at IS NOT NULL AND NOT consent._import_boolean(i.double_opt_in) THEN 'confirmed_at without double_opt_in' END,
          CASE WHEN i.names_sender IS NOT NULL AND consent._import_boolean(i.names_sender) IS NULL THEN 'names_sender is not true or false' END), '') AS problem
              FROM pg_temp.consent_import i) p
     WHERE p.n = i.n AND p.problem IS NOT NULL;
    UPDATE pg_temp.consent_import i SET hash = consent._canonical(decode(i.hash_text, 'hex'))
     WHERE i.problem IS NULL AND i.hash IS NULL AND i.hash_text IS NOT NULL;

    -- The facts ------------------------------------------------------------------------------------------------

    CREATE TEMPORARY TABLE consent_import_fact ON COMMIT DROP AS
    SELECT 0::bigint AS n, 0 AS part, 0::bigint AS line, e.contact_id, e.kind, e.at, false AS undated, e.sender_id, e.channels, e.category_id,
           e.purposes, e.detail, e.evidence, e.address_hash AS hash, ''::text AS channel_group, e.reason, ''::text AS says,
           NULL::bigint AS event_id, NULL::bigint AS first_n, NULL::integer AS first_part, false AS is_new, NULL::text AS problem
      FROM consent_data.event e WHERE false;
    EXECUTE format($insert$
        INSERT INTO pg_temp.consent_import_fact
        SELECT f.n, f.part, f.line, f.contact_id, f.kind, f.at, f.undated, f.sender_id, f.channels, f.category_id, f.purposes, f.detail,
               f.evidence, f.hash, f.channel_group, f.reason,
               consent._import_says(f.kind, f.sender_id, f.channels, f.category_id, f.purposes, f.detail, f.evidence), NULL, NULL, NULL, false, NULL
          FROM (SELECT i.n, p.part, i.line, CASE WHEN i.problem IS NULL THEN i.contact::%s END AS contact_id,
                       CASE p.part WHEN 1 THEN i.kind ELSE 'opt_in_confirmed' END AS kind,
                       -- A refusal without a date, or with one to come, counts from now.
                       least(CASE p.part WHEN 1 THEN coalesce(i.at, $1) ELSE i.confirmed_at END, $1) AS at, i.at IS NULL OR i.at > $1 AS undated,
                       CASE WHEN i.sender IS NULL THEN $2 ELSE s.sender_id END AS sender_id,
                       CASE WHEN i.kind IN ('objection', 'erasure_request') OR i.kind = 'register_listed' AND i.channels IS NULL THEN NULL
                            ELSE coalesce(i.channels, ARRAY[$3]) END AS channels,
                       CASE p.part WHEN 1 THEN c.category_id END AS category_id, CASE WHEN $4 THEN i.purposes END AS purposes,
                       CASE WHEN p.part = 1 THEN jsonb_strip_nulls(jsonb_build_object('register', i.register, 'via', i.via, 'reason_code', i.reason_code,
                            'scope', CASE WHEN i.kind = 'opt_out' THEN coalesce(i.scope, CASE WHEN i.category IS NULL THEN 'all' ELSE 'category' END) END,
                            'method', i.method, 'expires', CASE i.expires WHEN 'never' THEN 'never' ELSE
                                CASE WHEN i.expires IS NOT NULL THEN consent._export_instant(consent._import_instant(i.expires, $5, false)) END END,
                            'double_opt_in', CASE WHEN i.confirmed_at IS NOT NULL THEN true ELSE consent._import_boolean(i.double_opt_in) END,
                            'names_sender', consent._import_boolean(i.names_sender))) ELSE '{}' END AS detail,
                       i.evidence, i.hash, i.channel_group, i.reason
                  FROM pg_temp.consent_import i
                  CROSS JOIN (VALUES (1), (2)) p (part)
                  LEFT JOIN consent_data.sender s ON s.name = i.sender
                  LEFT JOIN consent_data.category c ON c.name = i.category
                 WHERE i.problem IS NULL AND (p.part = 1 OR i.confirmed_at IS NOT NULL) OFFSET 0) f
         ORDER BY f.n, f.part $insert$, CASE key_type WHEN 'text' THEN 'text COLLATE "C"' ELSE key_type END)
        USING v_now, v_sender, usual_channel, is_consent, v_zone;
    ANALYZE pg_temp.consent_import_fact;

    -- What the ledger says already: of the contact, or of the address where no contact is named. What is undated is said
    -- already by a refusal that no later opt-in can have lifted.
    UPDATE pg_temp.consent_import_fact f SET event_id = d.event_id
      FROM (SELECT f.n, f.part, min(e.event_id) AS event_id
              FROM pg_temp.consent_import_fact f
              CROSS JOIN LATERAL (
                  SELECT e.* FROM consent_data.event e
                   WHERE e.contact_id = f.contact_id AND e.address_hash IS NOT DISTINCT FROM f.hash
                  UNION ALL
                  SELECT e.* FROM consent_data.address_event ae JOIN consent_data.event e USING (event_id)
                   WHERE f.contact_id IS NULL AND ae.address_hash = f.hash) e
             WHERE e.kind = f.kind AND e.sender_id = f.sender_id AND (f.undated OR e.at = f.at)
               AND consent._import_says(e.kind, e.sender_id, e.channels, e.category_id, e.purposes, e.detail, e.evidence) = f.says
               AND NOT (f.undated AND EXISTS (SELECT FROM consent_data.event o
                    WHERE o.contact_id = f.contact_id AND o.kind IN ('opt_in', 'opt_in_confirmed') AND o.sender_id = e.sender_id AND o.at > e.at))
               AND NOT (f.undated AND f.contact_id IS NOT NULL AND EXISTS (SELECT FROM consent_data.crm_consent_of(f.contact_id) o
                    WHERE o.kind IN ('opt_in', 'opt_in_confirmed') AND o.sender_id = e.sender_id AND o.at > e.at))
               AND NOT (f.undated AND f.contact_id IS NULL AND EXISTS (
                   -- By index, whatever the statistics: OFFSET keeps the order of the look-ups.
                   SELECT FROM (SELECT ca.contact_id FROM consent_data.contact_address ca WHERE ca.address_hash = f.hash OFFSET 0) h,
                        LATERAL (SELECT FROM (SELECT x.kind, x.sender_id, x.at FROM consent_data.event x WHERE x.contact_id = h.contact_id
                                              UNION ALL SELECT x.kind, x.sender_id, x.at FROM consent_data.crm_consent_of(h.contact_id) x) o
                                  WHERE o.kind IN ('opt_in', 'opt_in_confirmed') AND o.sender_id = e.sender_id AND o.at > e.at OFFSET 0) o))
             GROUP BY 1, 2) d
     WHERE d.n = f.n AND d.part = f.part;

    -- An opt-in later than a refusal on record would lift it, and an import lifts nothing.
    IF is_consent THEN
        UPDATE pg_temp.consent_import_fact f SET problem = 'the contact refused before this date, and an import lifts no refusal: record the opt-in by consent.opt_in()'
          FROM (SELECT f.n FROM pg_temp.consent_import_fact f
                 WHERE EXISTS (SELECT FROM consent_data.event e
                                WHERE e.contact_id = f.contact_id AND e.sender_id = f.sender_id AND greatest(e.at, e.recorded_at) < f.at
                                  AND (e.refused OR e.kind IN ('opt_out', 'objection', 'erasure_request', 'opt_in_refused'))
                                  AND consent._import_channels(e.kind, e.channels) && consent._import_channels(f.kind, f.channels))
                    -- By the address, also what no drain has folded yet.
                    OR EXISTS (SELECT FROM (SELECT ca.address_hash FROM consent_data.contact_address ca WHERE ca.contact_id = f.contact_id OFFSET 0) a,
                                    LATERAL (SELECT ae.event_id FROM consent_data.address_event ae WHERE ae.address_hash = a.address_hash OFFSET 0) ae,
                                    LATERAL (SELECT FROM consent_data.event e
                                              WHERE e.event_id = ae.event_id AND e.sender_id = f.sender_id AND greatest(e.at, e.recorded_at) < f.at
                                                AND e.kind IN ('opt_out', 'objection', 'erasure_request')
                                                AND consent._import_channels(e.kind, e.channels) && consent._import_channels(f.kind, f.channels) OFFSET 0) e)
                    -- What the CRM itself says.
                    OR EXISTS (SELECT FROM consent_data.contact_state s LEFT JOIN consent_data.contact_overflow o USING (contact_id),
                                    LATERAL jsonb_array_elements(consent.state_json(coalesce(o.state, s.state))->'facts') r
                                WHERE s.contact_id = f.contact_id AND r ? 'lifted_only_after' AND r->>'sender_id' = f.sender_id::text
                                  AND (r->>'lifted_only_after')::timestamptz < f.at
                                  AND EXISTS (SELECT FROM jsonb_array_elements_text(r->'channels') c WHERE c = ANY (f.channels)))) r
         WHERE r.n = f.n
           AND EXISTS (SELECT FROM pg_temp.consent_import_fact x WHERE x.n = f.n AND x.event_id IS NULL);
        UPDATE pg_temp.consent_import i SET problem = f.problem FROM pg_temp.consent_import_fact f WHERE f.n = i.n AND f.problem IS NOT NULL;
        DELETE FROM pg_temp.consent_import_fact f WHERE f.problem IS NOT NULL;
    END IF;

    -- The first row of the file that says a thing says it, the others repeat it.
    UPDATE pg_temp.consent_import_fact f
       SET first_n = d.first_n, first_part = d.first_part, is_new = d.is_new,
           event_id = CASE WHEN d.is_new AND NOT is_dry THEN nextval(pg_get_serial_sequence('consent_data.event', 'event_id')) END
      FROM (SELECT f.n, f.part, first_value(f.n) OVER same AS first_n, first_value(f.part) OVER same AS first_part, row_number() OVER same = 1 AS is_new
              FROM pg_temp.consent_import_fact f WHERE f.event_id IS NULL
            WINDOW same AS (PARTITION BY f.contact_id, f.hash, f.says, f.undated, CASE WHEN NOT f.undated THEN f.at END ORDER BY f.n, f.part)) d
     WHERE d.n = f.n AND d.part = f.part;
    UPDATE pg_temp.consent_import_fact f SET event_id = d.event_id FROM pg_temp.consent_import_fact d
     WHERE NOT f.is_new AND d.is_new AND d.n = f.first_n AND d.part = f.first_part;
    UPDATE pg_temp.consent_import_fact f SET detail = f.detail || jsonb_build_object('provenance', provenance || jsonb_build_object('line', f.line)) WHERE f.is_new;

    -- The ledger -----------------------------------------------------------------------------------------------

    IF NOT is_dry THEN
        -- Nothing may be written that a fold can't read.
        PERFORM count(consent.fact(f.kind, f.at, v_now, f.sender_id, f.channels, f.category_id, purposes => f.purposes, detail => f.detail,
                                   evidence => f.evidence, address_tag => consent._tag(f.hash)))
           FROM pg_temp.consent_import_fact f WHERE f.is_new;

        CREATE TEMPORARY TABLE consent_import_bound ON COMMIT DROP AS
        SELECT DISTINCT f.event_id, b.hash, b.channel_group
          FROM pg_temp.consent_import_fact f
          JOIN (SELECT k.kind, k.channels, k.named, consent._reached(k.kind, k.channels, k.named) AS names
                  FROM (SELECT DISTINCT f.kind, f.channels, f.hash IS NOT NULL AS named FROM pg_temp.consent_import_fact f OFFSET 0) k) g
            ON g.kind = f.kind AND g.channels IS NOT DISTINCT FROM f.channels AND g.named = (f.hash IS NOT NULL),
               LATERAL (SELECT unnest(consent._with_aliases(ARRAY[f.hash])), f.channel_group WHERE f.hash IS NOT NULL
                        UNION ALL
                        SELECT ca.address_hash, ca.channel_group FROM consent_data.contact_address ca
                         WHERE ca.contact_id = f.contact_id AND ca.channel_group = ANY (g.names)) b (hash, channel_group)
         WHERE f.is_new AND consent._binds_address(f.kind);

        -- The locks of the addresses, in the order of their hashes, against contacts who are just getting one of them.
        INSERT INTO consent_data.address AS a (address_hash, channel_group)
        SELECT b.hash, min(b.channel_group) FROM pg_temp.consent_import_bound b GROUP BY 1 ORDER BY 1
        ON CONFLICT DO NOTHING;
        PERFORM FROM consent_data.address a WHERE a.address_hash IN (SELECT b.hash FROM pg_temp.consent_import_bound b)
          ORDER BY a.address_hash FOR SHARE OF a;

        INSERT INTO consent_data.event (event_id, contact_id, kind, at, recorded_at, sender_id, channels, category_id, purposes, detail, evidence, address_hash, reason)
        OVERRIDING SYSTEM VALUE
        SELECT f.event_id, f.contact_id, f.kind, f.at, v_now, f.sender_id, f.channels, f.category_id, f.purposes, f.detail, f.evidence, f.hash, f.reason
          FROM pg_temp.consent_import_fact f WHERE f.is_new ORDER BY f.n, f.part;
        INSERT INTO consent_data.address_event (address_hash, event_id)
        SELECT b.hash, b.event_id FROM pg_temp.consent_import_bound b ORDER BY 1, 2;

        -- No contact's state is locked: from here on the contacts concerned deny, and a drain folds them.
        WITH noted AS (
            INSERT INTO consent_data.pending (contact_id, restricts)
            SELECT c.contact_id, NOT is_consent
              FROM (SELECT f.contact_id FROM pg_temp.consent_import_fact f WHERE f.is_new AND f.contact_id IS NOT NULL
                    UNION
                    SELECT ca.contact_id FROM pg_temp.consent_import_bound b JOIN consent_data.contact_address ca ON ca.address_hash = b.hash) c
             ORDER BY 1
            RETURNING contact_id)
        SELECT array_agg(x.contact_id::text) INTO v_noted FROM noted x;
        IF NOT is_consent THEN
            PERFORM consent._note_merged(v_noted);
        END IF;
        DROP TABLE pg_temp.consent_import_bound;
    END IF;

    SELECT count(*) FILTER (WHERE i.problem IS NOT NULL), count(*) INTO n, of FROM pg_temp.consent_import i;
    IF n > 0 THEN
        RAISE WARNING '% of % rows are rejected', n, of USING HINT = CASE
            WHEN is_consent THEN 'What they say counts for nothing until they are mended and imported again; problem says how.'
            ELSE 'Whoever they name is not suppressed until they are mended and imported again; problem says how.' END;
    END IF;
    SELECT count(*) FILTER (WHERE f.evidence IS NULL OR jsonb_strip_nulls(f.evidence) = '{}'), count(*) INTO n, of
      FROM pg_temp.consent_import_fact f WHERE is_consent AND f.is_new AND f.part = 1;
    IF n > 0 THEN
        RAISE NOTICE '% of % accepted consents have no evidence', n, of
            USING HINT = 'Where the law has the sender prove consent they allow nothing; consent.audit_evidence_gap counts them.';
    END IF;

    RETURN QUERY
    SELECT i.line, CASE WHEN i.problem IS NOT NULL THEN 'rejected' WHEN f.is_new THEN 'accepted' ELSE 'duplicate' END,
           coalesce(i.problem, CASE WHEN NOT is_consent AND i.at > v_now THEN 'at is in the future: it counts from now' END), f.event_id
      FROM pg_temp.consent_import i
      LEFT JOIN (SELECT f.n, bool_or(f.is_new) AS is_new, coalesce(min(f.event_id) FILTER (WHERE f.is_new), min(f.event_id)) AS event_id
                   FROM pg_temp.consent_import_fact f GROUP BY 1) f USING (n)
     ORDER BY i.n;
    DROP TABLE pg_temp.consent_import, pg_temp.consent_import_fact;
END
$$;
COMMENT ON FUNCTION consent._import(text, jsonb[], jsonb, text, text, boolean) IS 'Checks the rows of an import one by one and writes the good ones to the ledger together.';

CREATE FUNCTION consent.import_suppressions(
    source regclass, provenance jsonb, sender text DEFAULT NULL, channel text DEFAULT 'email', dry_run boolean DEFAULT false)
    RETURNS TABLE (line bigint, outcome text, problem text, event_id bigint)
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT i.line, i.outcome, i.problem, i.event_id
      FROM consent._import('suppressions', consent._import_rows('suppressions', source), provenance, sender, channel, COALESCE(dry_run, true)) i;
END;
COMMENT ON FUNCTION consent.import_suppressions(regclass, jsonb, text, text, boolean)
    IS 'Takes refusals over from a table with columns by name (contact or address; at, kind, category...), row by row accepted, duplicate or rejected. provenance: {"from": ...}, kept with each.';

CREATE FUNCTION consent.import_consents(
    source regclass, provenance jsonb, sender text DEFAULT NULL, channel text DEFAULT 'email', dry_run boolean DEFAULT false)
    RETURNS TABLE (line bigint, outcome text, problem text, event_id bigint)
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT i.line, i.outcome, i.problem, i.event_id
      FROM consent._import('consents', consent._import_rows('consents', source), provenance, sender, channel, COALESCE(dry_run, true)) i;
END;
COMMENT ON FUNCTION consent.import_consents(regclass, jsonb, text, text, boolean)
    IS 'Takes opt-ins over from a table with columns by name (contact and at; purposes, method, evidence...), row by row accepted, duplicate or rejected. None lifts a refusal.';

-- The address in the clear, where a bound CRM still has it.
CREATE FUNCTION consent._clear_addresses(hashes bytea[]) RETURNS TABLE (hash bytea, address text, country text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT ON (ca.address_hash) ca.address_hash, a.address, c.country
      FROM consent_data.contact_address ca
      JOIN consent_data.crm_contact c USING (contact_id),
           LATERAL (SELECT CASE ca.channel_group WHEN 'email' THEN c.email WHEN 'phone' THEN c.phone ELSE c.post END) a (address)
     WHERE ca.address_hash = ANY (hashes)
       AND ca.address_hash = ANY (consent._address_hashes(CASE ca.channel_group WHEN 'phone' THEN 'sms' ELSE ca.channel_group END, a.address, c.country))
     ORDER BY ca.address_hash, ca.contact_id
$$;
COMMENT ON FUNCTION consent._clear_addresses(bytea[]) IS 'The addresses behind hashes, where a bound CRM still has them.';

CREATE TYPE consent.suppression_row AS (contact text, address text, address_hash text, key_fingerprint text, channel text, country text,
    at text, kind text, category text, sender text, scope text, register text, via text, reason text, reason_code text);
COMMENT ON TYPE consent.suppression_row IS 'A refusal as export_suppressions writes and import_suppressions reads it.';
CREATE TYPE consent.consent_row AS (contact text, address text, address_hash text, key_fingerprint text, country text, channels text,
    purposes text, method text, category text, sender text, at text, evidence text, expires text, double_opt_in text, confirmed_at text, names_sender text);
COMMENT ON TYPE consent.consent_row IS 'An opt-in as export_consents writes and import_consents reads it.';

-- One row for each refusal that names a contact, and one for each address that a refusal reaches: in another database
-- the contact may have other addresses, or not be there.
CREATE FUNCTION consent.export_suppressions(channel text DEFAULT 'email', sender text DEFAULT NULL)
    RETURNS SETOF consent.suppression_row
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    asked constant text := $1;
    v_sender constant integer := consent._sender_id($2);
    -- Once the key was rotated, a hash says no more under which it was made, unless its address is at hand.
    only_one_key constant boolean := (SELECT count(*) FROM consent_data.key_generation) < 2;
    unlabelled bigint := 0;
    found consent.suppression_row;
BEGIN
    IF asked <> ALL (consent._codes('channel')) THEN
        RAISE EXCEPTION 'channel `%` is not known', asked USING ERRCODE = 'undefined_object',
            HINT = format('Write one of %s, or NULL for all.', array_to_string(consent._codes('channel'), ', '));
    END IF;
    FOR found IN
    WITH refusal AS (
        SELECT e.*, consent._import_channels(e.kind, e.channels) AS about FROM consent_data.event e
         WHERE e.sender_id = v_sender AND e.kind IN ('opt_out', 'objection', 'opt_in_refused', 'erasure_request', 'register_listed')
    ), written AS (
        SELECT r.event_id, r.contact_id::text AS contact, coalesce(o.new_hash, r.address_hash) AS hash
          FROM refusal r LEFT JOIN consent_data.address_alias o ON o.old_hash = r.address_hash
         WHERE r.contact_id IS NOT NULL
        UNION
        SELECT r.event_id, NULL, coalesce(n.new_hash, ae.address_hash) FROM refusal r JOIN consent_data.address_event ae USING (event_id)
          LEFT JOIN consent_data.address_alias o ON o.old_hash = r.address_hash
          LEFT JOIN consent_data.address_alias n ON n.old_hash = ae.address_hash
         WHERE r.contact_id IS NULL OR coalesce(n.new_hash, ae.address_hash) IS DISTINCT FROM coalesce(o.new_hash, r.address_hash)
    ), clear AS (
        SELECT * FROM consent._clear_addresses(ARRAY(SELECT DISTINCT w.hash FROM written w WHERE w.hash IS NOT NULL))
    )
    SELECT w.contact, c.address, encode(w.hash, 'hex'),
           CASE WHEN w.hash IS NOT NULL AND (only_one_key OR w.hash = consent._try_address_hash(CASE a.channel_group WHEN 'phone' THEN 'sms' ELSE a.channel_group END, c.address, c.country))
                THEN consent._import_fingerprint() END,
           -- The channel named first says what the address is.
           CASE WHEN r.about = '{}' THEN NULL
                WHEN r.kind IN ('objection', 'erasure_request') THEN CASE a.channel_group WHEN 'phone' THEN 'sms' ELSE coalesce(a.channel_group, 'email') END
                ELSE (SELECT string_agg(x, ' ' ORDER BY (CASE WHEN x IN ('email', 'post') THEN x ELSE 'phone' END) = a.channel_group DESC NULLS LAST, x) FROM unnest(r.about) x) END,
           c.country, consent._export_instant(r.at), r.kind, k.name, s.name,
           CASE WHEN r.kind = 'opt_out' THEN coalesce(r.detail->>'scope', 'all') END,
           CASE WHEN r.kind = 'register_listed' THEN r.detail->>'register' END, r.detail->>'via', r.reason, r.detail->>'reason_code'
      FROM written w JOIN refusal r USING (event_id)
      JOIN consent_data.sender s USING (sender_id)
      LEFT JOIN consent_data.category k USING (category_id)
      LEFT JOIN consent_data.address a ON a.address_hash = w.hash
      LEFT JOIN clear c ON c.hash = w.hash
     WHERE asked IS NULL OR asked = ANY (r.about) OR r.about = '{}' AND asked <> 'email'
     ORDER BY r.event_id, w.contact NULLS LAST, w.hash LOOP
        unlabelled := unlabelled + (found.address_hash IS NOT NULL AND found.key_fingerprint IS NULL AND found.address IS NULL)::integer;
        RETURN NEXT found;
    END LOOP;
    IF unlabelled > 0 THEN
        RAISE WARNING '% rows have an address_hash of which nobody can say under which key it was made', unlabelled
            USING DETAIL = 'The key was rotated, and the bound views don''t show the address. These rows have no key_fingerprint, and an import rejects them.',
                  HINT = 'Keep this database''s ledger until their addresses have been seen again, or are of no more use.';
    END IF;
END
$$;
COMMENT ON FUNCTION consent.export_suppressions(text, text)
    IS 'All refusals of one sender on a channel (NULL: on all), lifted or not, as import_suppressions takes them; addresses by keyed hash, and in the clear where the CRM has them.';

CREATE FUNCTION consent.export_consents(sender text DEFAULT NULL)
    RETURNS SETOF consent.consent_row
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_sender constant integer := consent._sender_id($1);
    only_one_key constant boolean := (SELECT count(*) FROM consent_data.key_generation) < 2;
BEGIN
    RETURN QUERY
    WITH given AS (
        -- What others say of a person is no consent.
        SELECT e.*, consent._import_channels(e.kind, e.channels) AS about,
               consent._import_purposes(e.purposes) AS aims
          FROM consent_data.event e
         WHERE e.sender_id = v_sender AND e.kind IN ('opt_in', 'opt_in_confirmed') AND e.from_person AND e.contact_id IS NOT NULL
    ), clear AS (
        SELECT * FROM consent._clear_addresses(ARRAY(SELECT DISTINCT g.address_hash FROM given g WHERE g.address_hash IS NOT NULL))
    )
    SELECT g.contact_id::text, c.address, encode(g.address_hash, 'hex'),
           CASE WHEN g.address_hash IS NOT NULL AND (only_one_key OR g.address_hash = consent._try_address_hash(CASE a.channel_group WHEN 'phone' THEN 'sms' ELSE a.channel_group END, c.address, c.country))
                THEN consent._import_fingerprint() END, c.country, (SELECT string_agg(x, ' ' ORDER BY (CASE WHEN x IN ('email', 'post') THEN x ELSE 'phone' END) = a.channel_group DESC NULLS LAST, x) FROM unnest(g.about) x),
           array_to_string(g.aims, ' '), g.detail->>'method', k.name, s.name, consent._export_instant(g.at), g.evidence::text,
           g.detail->>'expires', g.detail->>'double_opt_in', consent._export_instant(f.at), g.detail->>'names_sender'
      FROM given g
      JOIN consent_data.sender s USING (sender_id)
      LEFT JOIN consent_data.category k USING (category_id)
      LEFT JOIN consent_data.address a ON a.address_hash = g.address_hash
      LEFT JOIN clear c ON c.hash = g.address_hash
      -- A confirmation goes with the opt-ins it confirms, and no further than it went.
      LEFT JOIN given f ON f.kind = 'opt_in_confirmed' AND g.detail->>'double_opt_in' = 'true' AND f.contact_id = g.contact_id AND f.at >= g.at
           AND f.about = g.about AND f.aims = g.aims AND f.address_hash IS NOT DISTINCT FROM g.address_hash
     WHERE g.kind = 'opt_in'
     ORDER BY g.event_id, f.event_id;
END
$$;
COMMENT ON FUNCTION consent.export_consents(text) IS 'All opt-ins of contacts to one sender, with their confirmations, as import_consents takes them.';

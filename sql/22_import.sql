-- Import of suppressions and consents. A row means exactly what consent.record_event would have made of it; only it is
-- done set by set.

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
          CASE WHEN i.has_evidence AND i.evidence IS NULL THEN 'evidence is not a JSON object'
               WHEN is_consent THEN (SELECT format('evidence: `%s` is not %s', f[1], f[2]) FROM consent._evidence_fault('opt_in', i.evidence) f WHERE f IS NOT NULL) END,
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

    -- A seal waits for whoever holds this: no number may be taken that it believes to be used.
    LOCK TABLE consent_data.event IN ROW EXCLUSIVE MODE;
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

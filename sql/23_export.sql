-- Export of suppressions and consents, in the form that an import reads.

CREATE FUNCTION consent._export_instant(at timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ( SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
COMMENT ON FUNCTION consent._export_instant(timestamptz) IS 'An instant as an import reads it.';

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

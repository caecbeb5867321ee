-- The addresses of contacts: by keyed hash only, and as the CRM has them now.

-- The addresses of a contact: as the CRM has them now, or as they were last seen; under the newest key, and under all. Since
-- when, if the contact was known before: a permission that names no address counts from then on only (a bought address must
-- not inherit the purchases of the time before). One that can't be read is the contact's since never: no suppression
-- reaches it, so no permission may. in_use: not one that the CRM has emptied since.
CREATE FUNCTION consent._addresses_now(contact text) RETURNS TABLE (channel_group text, address_hash bytea, hashes bytea[], since timestamptz, in_use boolean)
    LANGUAGE plpgsql STABLE ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    -- Without the key none can be read, which says nothing of the addresses.
    has_key boolean := consent._has_key();
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (g.name) g.name, coalesce(h.hashes[1], ca.address_hash), coalesce(h.hashes, ARRAY[ca.address_hash]),
           CASE WHEN h.name IS NOT NULL AND h.hashes[1] IS NULL THEN 'infinity'
                WHEN h.name IS NULL OR ca.address_hash = ANY (h.hashes) AND ca.since IS DISTINCT FROM 'infinity' THEN ca.since
                WHEN ca.address_hash IS NOT NULL OR consent._is_known(contact) THEN clock_timestamp() END,
           h.name IS NOT NULL OR NOT has_key
      FROM (VALUES ('email'), ('phone'), ('post')) g (name)
      LEFT JOIN (SELECT a.name, consent._address_hashes(a.channel, a.address, c.country) AS hashes
                   FROM consent_data.crm_contact_of(key) c,
                        LATERAL (VALUES ('email', 'email', c.email), ('phone', 'sms', c.phone), ('post', 'post', c.post)) a (name, channel, address)
                  WHERE has_key AND consent._names_address(a.name, a.address)) h ON h.name = g.name
      LEFT JOIN consent_data.contact_address ca ON ca.contact_id = key AND ca.channel_group = g.name
     WHERE h.name IS NOT NULL OR ca.address_hash IS NOT NULL
     ORDER BY g.name, h.hashes[1];
END
$$;
COMMENT ON FUNCTION consent._addresses_now(text) IS 'A contact''s addresses by keyed hash, as the CRM has them now.';

CREATE FUNCTION consent._has_key() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN consent._try_address_hash('email', 'probe@example.org') IS NOT NULL;
COMMENT ON FUNCTION consent._has_key() IS 'Whether the address key is there, in all its generations.';

CREATE FUNCTION consent._names_address(channel_group text, address text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE channel_group WHEN 'email' THEN pg_catalog.strpos(address, '@') > 0
                              WHEN 'phone' THEN address OPERATOR(pg_catalog.~) '[0-9]([^0-9]*[0-9]){2}'
                              ELSE pg_catalog.btrim(address) <> '' END;
COMMENT ON FUNCTION consent._names_address(text, text) IS 'Whether a field of the CRM was meant to be an address, and not a dash or "none".';

CREATE FUNCTION consent._has_profile(state consent.state) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_has_profile_wrapper';
COMMENT ON FUNCTION consent._has_profile(consent.state) IS 'Whether a state knows the contact''s master data.';

CREATE FUNCTION consent._is_known(contact text) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = key AND consent._has_profile(s.state));
END
$$;
COMMENT ON FUNCTION consent._is_known(text) IS 'Whether the CRM''s master data of a contact have been folded before.';

-- Refusals that named a contact reach every address the contact has since: an opt-out goes with the person and stays with
-- the address that was left. A register's entry is about a number and stays with it.
CREATE FUNCTION consent._link_refusals(contacts text[]) RETURNS void
    -- A plan of its own for each contact would cost more than what it does.
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- Most have never refused anything.
    refusing text[] := CASE
        WHEN contacts IS NULL
        THEN ARRAY(SELECT DISTINCT e.contact_id::text FROM consent_data.event e WHERE e.contact_id IS NOT NULL AND consent._binds_address(e.kind))
        ELSE ARRAY(SELECT k FROM unnest(contacts) k
                    WHERE EXISTS (SELECT FROM consent_data.event e WHERE e.contact_id = consent_data.key(k) AND consent._binds_address(e.kind))) END;
BEGIN
    IF refusing = '{}' THEN
        RETURN;
    END IF;
    WITH linked AS (
        INSERT INTO consent_data.address_event (address_hash, event_id)
        SELECT u.address_hash, u.event_id FROM (
            SELECT ca.address_hash, ca.channel_group, e.event_id, e.kind, e.channels, e.address_hash IS NOT NULL AS names_address
              FROM (SELECT DISTINCT consent_data.key(k) AS contact_id FROM unnest(refusing) k) r
              JOIN consent_data.event e USING (contact_id) JOIN consent_data.contact_address ca USING (contact_id)
             WHERE consent._binds_address(e.kind)
               AND NOT EXISTS (SELECT FROM consent_data.address_event x WHERE x.address_hash = ca.address_hash AND x.event_id = e.event_id)
            -- What is tied already, which is nearly everything, needs no look at whom it reaches.
            OFFSET 0) u
         WHERE u.channel_group = ANY (consent._reached(u.kind, u.channels, u.names_address))
           AND (u.kind NOT LIKE 'register%' OR NOT u.names_address AND NOT EXISTS (
                SELECT FROM consent_data.address_event x JOIN consent_data.address a USING (address_hash)
                 WHERE x.event_id = u.event_id AND a.channel_group = u.channel_group))
        ON CONFLICT DO NOTHING
        RETURNING address_hash, event_id)
    -- Whoever shares the address is bound, too.
    INSERT INTO consent_data.pending (contact_id, restricts)
    SELECT DISTINCT ca.contact_id, true
      FROM linked l JOIN consent_data.contact_address ca USING (address_hash) JOIN consent_data.event e USING (event_id)
     WHERE ca.contact_id <> e.contact_id;
END
$$;
COMMENT ON FUNCTION consent._link_refusals(text[]) IS 'Ties contacts'' refusals to the addresses known now, and notes whoever shares them; NULL: of all contacts.';

-- Takes the contact's current addresses over from the CRM. A new or changed one is locked first, so that an opt-out
-- on it either is seen by the fold that follows or sees this contact.
CREATE FUNCTION consent._sync_addresses(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    r record;
BEGIN
    PERFORM consent._hold_keys();
    PERFORM consent._rekey_contact(contact);
    FOR r IN SELECT a.channel_group, a.address_hash, a.since FROM consent._addresses_now(contact) a
              WHERE a.address_hash IS NOT NULL
                AND NOT EXISTS (SELECT FROM consent_data.contact_address ca
                                 WHERE ca.contact_id = key AND ca.channel_group = a.channel_group AND ca.address_hash = a.address_hash
                                   AND ca.since IS NOT DISTINCT FROM a.since)
              ORDER BY a.address_hash LOOP
        PERFORM consent._touch_address(r.address_hash, r.channel_group);
        INSERT INTO consent_data.contact_address AS a (contact_id, channel_group, address_hash, since)
        VALUES (key, r.channel_group, r.address_hash, r.since)
        ON CONFLICT (contact_id, channel_group) DO UPDATE SET address_hash = excluded.address_hash, since = excluded.since;
    END LOOP;
    -- Also without a new address: a refusal may have come while another fold was giving the contact one.
    PERFORM consent._link_refusals(ARRAY[contact]);
END
$$;
COMMENT ON FUNCTION consent._sync_addresses(text) IS 'Takes a contact''s current addresses over from the CRM, under the locks of the new ones.';

CREATE FUNCTION consent._note_holders(max_addresses integer) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT p.address_hash, array_agg(p.ctid) AS ids FROM (
                 SELECT x.ctid, x.address_hash FROM consent_data.pending_address x LIMIT max_addresses FOR UPDATE SKIP LOCKED) p
              GROUP BY 1 ORDER BY 1 LOOP
        BEGIN
            -- Under the lock, so that whoever is just getting the address is seen.
            PERFORM FROM consent_data.address a WHERE a.address_hash = r.address_hash FOR SHARE;
            INSERT INTO consent_data.pending (contact_id, restricts)
            SELECT ca.contact_id, true FROM consent_data.contact_address ca WHERE ca.address_hash = r.address_hash;
            DELETE FROM consent_data.pending_address p WHERE p.ctid = ANY (r.ids);
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            -- The next time.
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._note_holders(integer) IS 'Notes everybody who has an address that was refused out of sight of them.';

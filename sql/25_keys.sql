-- Generations of the address key. New hashes are made under the newest; what was hashed before is found under the older
-- ones, and moves to the newest when its address is next seen in the clear. A hash can't be turned into another one.

CREATE PROCEDURE consent._create_key_tables()
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
BEGIN
    CREATE TABLE IF NOT EXISTS consent_data.address_alias (
        old_hash bytea PRIMARY KEY,
        new_hash bytea NOT NULL CHECK (new_hash <> old_hash)
    );
    CREATE INDEX IF NOT EXISTS address_alias_new ON consent_data.address_alias (new_hash);
    CREATE INDEX IF NOT EXISTS event_address ON consent_data.event (address_hash) WHERE address_hash IS NOT NULL;
    COMMENT ON TABLE consent_data.address_alias IS 'Hashes of one address under an older and the newest key, as far as it was seen since the key was rotated.';
END
$$;
COMMENT ON PROCEDURE consent._create_key_tables() IS 'Makes the table of aliases, where it is not there yet.';

CREATE FUNCTION consent.key_status() RETURNS TABLE (generation integer, file text, created_at timestamptz, newest boolean, problem text)
    LANGUAGE sql VOLATILE SECURITY DEFINER ROWS 2 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.generation, f.found[1], g.created_at, g.generation = max(g.generation) OVER (), f.found[2]
      FROM (SELECT k.*, min(k.generation) OVER () AS first FROM consent_data.key_generation k) g,
           LATERAL (SELECT consent._key_file(g.generation, g.first, g.fingerprint) AS found) f
     ORDER BY 1
$$;
COMMENT ON FUNCTION consent.key_status() IS 'The generations of the address key, the file each is in, and what is wrong with it. While one has a problem all marketing is denied.';

-- Hashing and rotating exclude each other: nobody may write an older hash once there is a newer key. Taking the lock
-- also makes a session notice a rotation since its statement began.
CREATE FUNCTION consent._hold_keys() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE consent_data.key_generation IN ROW SHARE MODE;
END
$$;
COMMENT ON FUNCTION consent._hold_keys() IS 'Keeps the address key from being rotated until the transaction ends; for whoever writes hashes.';

CREATE FUNCTION consent.rotate_key() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- Opt-outs queue behind this lock: rather give up than keep them waiting.
    SET lock_timeout = '5s'
AS $$
DECLARE
    fault record;
    v_first integer;
    v_next integer;
BEGIN
    LOCK TABLE consent_data.key_generation IN EXCLUSIVE MODE;
    SELECT s.file, s.problem INTO fault FROM consent.key_status() s WHERE s.problem IS NOT NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%', fault.problem USING ERRCODE = 'config_file_error',
            DETAIL = 'A newer key beside one that is missing would find nothing of what was suppressed under that.',
            HINT = format('Put `%s` back where pg_consent.key_file says.', fault.file);
    END IF;
    SELECT min(g.generation), max(g.generation) + 1 INTO v_first, v_next FROM consent_data.key_generation g;
    IF v_next IS NULL THEN
        RAISE EXCEPTION 'there is no key to rotate' USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run CALL consent.setup();';
    END IF;
    BEGIN
        INSERT INTO consent_data.key_generation (generation, fingerprint) OVERRIDING SYSTEM VALUE
        VALUES (v_next, consent._key_create(v_next, v_first));
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'the file of generation % holds the key of an older one', v_next USING ERRCODE = 'config_file_error',
            HINT = 'Remove that file, which is a copy, and rotate again.';
    END;
    RETURN v_next;
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'the address key is in use' USING ERRCODE = 'lock_not_available',
        DETAIL = 'A transaction that hashes addresses, such as a refold, has not ended.', HINT = 'Rotate again when it has.';
END
$$;
COMMENT ON FUNCTION consent.rotate_key() IS 'Makes a new generation of the address key, in a file of its own beside the first one, and answers with its number. Older ones are kept for look-up: copy the new file away, too, and remove none.';

-- For look-ups -------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent._canonical(hash bytea) RETURNS bytea
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce((SELECT a.new_hash FROM consent_data.address_alias a WHERE a.old_hash = hash), hash) $$;
COMMENT ON FUNCTION consent._canonical(bytea) IS 'The newest hash known of the address with this hash.';

CREATE FUNCTION consent._with_aliases(hashes bytea[]) RETURNS bytea[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM consent_data.address_alias) THEN
        RETURN ARRAY(SELECT DISTINCT h FROM unnest(hashes) h WHERE h IS NOT NULL ORDER BY 1);
    END IF;
    RETURN ARRAY(
        WITH newest AS (SELECT DISTINCT consent._canonical(h) AS hash FROM unnest(hashes) h)
        SELECT h FROM unnest(hashes) h WHERE h IS NOT NULL
        UNION SELECT n.hash FROM newest n WHERE n.hash IS NOT NULL
        UNION SELECT a.old_hash FROM consent_data.address_alias a JOIN newest n ON n.hash = a.new_hash
        ORDER BY 1);
END
$$;
COMMENT ON FUNCTION consent._with_aliases(bytea[]) IS 'These hashes with all others known of the same addresses, sorted.';

-- Moving to the newest key -------------------------------------------------------------------------------------------

-- Locks addresses in the order of their hashes, and only where there is something to move.
CREATE FUNCTION consent._rekey_hashes(olds bytea[], news bytea[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
    moved bigint := 0;
BEGIN
    SELECT array_agg(p.o), array_agg(p.n) INTO olds, news
      FROM unnest(olds, news) p (o, n)
     WHERE EXISTS (SELECT FROM consent_data.contact_address ca WHERE ca.address_hash = p.o)
        OR EXISTS (SELECT FROM consent_data.address_event ae WHERE ae.address_hash = p.o
                      AND NOT EXISTS (SELECT FROM consent_data.address_event x WHERE x.address_hash = p.n AND x.event_id = ae.event_id))
        OR NOT EXISTS (SELECT FROM consent_data.address_alias a WHERE a.old_hash = p.o AND a.new_hash = p.n)
           AND (EXISTS (SELECT FROM consent_data.event e WHERE e.address_hash = p.o)
                OR EXISTS (SELECT FROM consent_data.address_event ae WHERE ae.address_hash = p.o));
    IF olds IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO consent_data.address (address_hash, channel_group)
    SELECT p.n, min(a.channel_group) FROM unnest(olds, news) p (o, n) JOIN consent_data.address a ON a.address_hash = p.o
     GROUP BY 1 ORDER BY 1
    ON CONFLICT DO NOTHING;
    PERFORM FROM consent_data.address a WHERE a.address_hash = ANY (olds || news) ORDER BY a.address_hash FOR UPDATE;
    -- Written anew, so that a refusal that was recorded in an older snapshot fails, and is lost to nobody.
    UPDATE consent_data.address a SET touched_at = now() WHERE a.address_hash = ANY (olds || news);
    INSERT INTO consent_data.address_alias AS a (old_hash, new_hash)
    SELECT p.o, p.n FROM unnest(olds, news) p (o, n) ORDER BY 1
    ON CONFLICT (old_hash) DO UPDATE SET new_hash = excluded.new_hash WHERE a.new_hash <> excluded.new_hash;
    INSERT INTO consent_data.address_event (address_hash, event_id)
    SELECT p.n, ae.event_id FROM unnest(olds, news) p (o, n) JOIN consent_data.address_event ae ON ae.address_hash = p.o
    ON CONFLICT DO NOTHING;
    -- Since when a contact has the address stays: it is the same one.
    FOR r IN
        WITH m AS (UPDATE consent_data.contact_address ca SET address_hash = p.n FROM unnest(olds, news) p (o, n)
                    WHERE ca.address_hash = p.o RETURNING ca.contact_id, ca.address_hash)
        SELECT m.contact_id, bool_or(EXISTS (SELECT FROM consent_data.address_event ae WHERE ae.address_hash = m.address_hash)) AS restricts
          FROM m GROUP BY 1 ORDER BY 1
    LOOP
        -- Their states name the address by its older tag.
        PERFORM consent._note(r.contact_id::text, r.restricts);
        moved := moved + 1;
    END LOOP;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION consent._rekey_hashes(bytea[], bytea[]) IS 'Moves what is kept under older hashes of addresses (pairwise) to their newest; answers with the number of contacts concerned.';

CREATE FUNCTION consent._rekey(channel text, address text, country text) RETURNS bytea[]
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hashes bytea[] := consent._address_hashes(channel, address, country);
BEGIN
    IF cardinality(hashes) > 1 THEN
        PERFORM consent._rekey_hashes(hashes[2:], array_fill(hashes[1], ARRAY[cardinality(hashes) - 1]));
    END IF;
    RETURN hashes;
END
$$;
COMMENT ON FUNCTION consent._rekey(text, text, text) IS 'Moves what is kept under older hashes of an address seen in the clear to its newest; answers with all its hashes, the newest first.';

CREATE FUNCTION consent._rekey_contact(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    olds bytea[];
    news bytea[];
BEGIN
    IF (SELECT count(*) FROM consent_data.key_generation) < 2 THEN
        RETURN;
    END IF;
    SELECT array_agg(o), array_agg(h.hashes[1]) INTO olds, news
      FROM consent_data.crm_contact_of(key) c,
           LATERAL (VALUES ('email', c.email), ('sms', c.phone), ('post', c.post)) g (channel, address),
           LATERAL (SELECT consent._address_hashes(g.channel, g.address, c.country) AS hashes OFFSET 0) h,
           LATERAL unnest(h.hashes[2:]) o
     WHERE g.address IS NOT NULL;
    PERFORM consent._rekey_hashes(olds, news);
END
$$;
COMMENT ON FUNCTION consent._rekey_contact(text) IS 'Moves what is kept under older hashes of a contact''s current addresses to their newest.';

-- For _refold_addresses, which leaves the contacts with a new or changed hash in a temporary table of its own: those of
-- whom only the key has changed are moved and taken out.
CREATE FUNCTION consent._rekey_new_addresses() RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    olds bytea[];
    news bytea[];
    moved bigint;
BEGIN
    IF (SELECT count(*) FROM consent_data.key_generation) < 2 THEN
        RETURN 0;
    END IF;
    SELECT array_agg(p.o), array_agg(p.n) INTO olds, news FROM (
        SELECT DISTINCT o, h.hashes[1] AS n
          FROM pg_temp.consent_new_address a
          JOIN consent_data.crm_contact c ON c.contact_id = a.contact_id,
               LATERAL (VALUES ('email', 'email', c.email), ('phone', 'sms', c.phone), ('post', 'post', c.post)) g (name, channel, address),
               LATERAL (SELECT consent._address_hashes(g.channel, g.address, c.country) AS hashes OFFSET 0) h,
               LATERAL unnest(h.hashes[2:]) o
         WHERE g.name = a.channel_group AND g.address IS NOT NULL) p;
    moved := consent._rekey_hashes(olds, news);
    DELETE FROM pg_temp.consent_new_address a
     WHERE EXISTS (SELECT FROM consent_data.contact_address c WHERE c.contact_id = a.contact_id
                      AND c.channel_group = a.channel_group AND c.address_hash = a.address_hash);
    RETURN moved;
END
$$;
COMMENT ON FUNCTION consent._rekey_new_addresses() IS 'Moves the addresses that a refold sees under a new key for the first time; answers with the number of contacts concerned.';

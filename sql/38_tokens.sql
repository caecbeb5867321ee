-- The way out: tokens and headers for messages, and what a token says.

CREATE FUNCTION consent._token_seal(
    generation integer, first integer, fingerprint bytea, realm timestamptz, contact text, sender integer, channel text, category integer,
    address_hash bytea)
    RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_token_seal_wrapper';
COMMENT ON FUNCTION consent._token_seal(integer, integer, bytea, timestamptz, text, integer, text, integer, bytea)
    IS 'Encrypts and authenticates a token (AES-GCM-SIV) under a key derived from the address key of a generation. realm tells databases apart that share a key file.';
CREATE FUNCTION consent._token_generation(token text) RETURNS integer
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_token_generation_wrapper';
COMMENT ON FUNCTION consent._token_generation(text) IS 'The key generation that a text names as a token would; NULL for what is none.';
CREATE FUNCTION consent._token_open(token text, first integer, fingerprint bytea, realm timestamptz) RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_token_open_wrapper';
COMMENT ON FUNCTION consent._token_open(text, integer, bytea, timestamptz)
    IS 'What a token says: contact, sender, channel, category, address hash. NULL for a forged one; raises where the key of a known generation is missing.';

CREATE PROCEDURE consent._create_unsubscribe()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    -- What goes into a header must not be able to end it, nor the angle brackets around it.
    ALTER TABLE consent_data.sender ADD COLUMN IF NOT EXISTS unsubscribe_url text
        CONSTRAINT unsubscribe_url_is_https_with_token CHECK (
            unsubscribe_url ~ '^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/[A-Za-z0-9._~/?&=%:@!$''()*+;{}-]*$'
            AND unsubscribe_url ~ '^[^{}]*\{token\}[^{}]*$' AND octet_length(unsubscribe_url) <= 500);
    ALTER TABLE consent_data.sender ADD COLUMN IF NOT EXISTS unsubscribe_mailto text
        CONSTRAINT unsubscribe_mailto_is_mailto CHECK (
            unsubscribe_mailto ~ '^mailto:[A-Za-z0-9._+%=-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(\?[A-Za-z0-9._~/&=%:@+;{}-]*)?$'
            AND unsubscribe_mailto ~ '^[^{}]*(\{token\})?[^{}]*$' AND octet_length(unsubscribe_mailto) <= 200);
    COMMENT ON COLUMN consent_data.sender.unsubscribe_url IS 'Where people opt out: https, with {token} in the place of the token, such as https://shop.example/unsubscribe/{token}.';
    COMMENT ON COLUMN consent_data.sender.unsubscribe_mailto IS 'The mailbox for the same by mail: mailto:leave@shop.example?subject={token}.';

    CREATE TABLE IF NOT EXISTS consent_data.unread_token (
        unread_token_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        token text NOT NULL,
        channel text,
        category text,
        via text,
        everything boolean,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    COMMENT ON TABLE consent_data.unread_token IS 'Opt-outs by tokens whose key was missing when they came. While there is one all marketing is denied, since it may be anybody''s; consent.settle_unread_tokens() records them once the key is back.';
    CREATE OR REPLACE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON consent_data.unread_token
        FOR EACH STATEMENT EXECUTE FUNCTION consent._configuration_changed();
    ALTER TABLE consent_data.unread_token ENABLE ALWAYS TRIGGER configuration_changed;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_unsubscribe() IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_unsubscribe()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    -- Whoever has a token can use it.
    REVOKE SELECT ON consent_data.unread_token FROM consent_audit, consent_batch;
    GRANT SELECT (unread_token_id, channel, category, via, everything, received_at) ON consent_data.unread_token TO consent_audit, consent_batch;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_unsubscribe() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- Read with the configuration, also by setup() before the table is there.
CREATE FUNCTION consent._opt_outs_wait() RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('consent_data.unread_token') IS NULL THEN
        RETURN false;
    END IF;
    RETURN EXISTS (SELECT FROM consent_data.unread_token);
END
$$;
COMMENT ON FUNCTION consent._opt_outs_wait() IS 'Whether opt-outs wait for a missing key; all marketing is denied as long.';

-- Making -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent.unsubscribe_token(
    contact text, sender text DEFAULT NULL, channel text DEFAULT 'email', category text DEFAULT NULL, address text DEFAULT NULL)
    RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := consent._key(contact);
    v_channel text := nullif(channel, 'any');
    v_of text := coalesce(nullif(channel, 'any'), 'email');
    v_hash bytea;
    g record;
BEGIN
    v_hash := CASE WHEN btrim(address) <> '' THEN consent.address_hash(v_of, address, consent._country(contact))
                   ELSE (SELECT a.address_hash FROM consent._addresses_now(key::text) a
                          WHERE a.channel_group = ANY (consent._groups(NULL, ARRAY[v_of])) LIMIT 1) END;
    IF key IS NULL AND v_hash IS NULL THEN
        RAISE EXCEPTION 'neither a contact nor an address is named' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Name the contact, or the address for somebody who is not in the CRM.';
    END IF;
    IF key IS NOT NULL AND NOT consent._has_source(contact) THEN
        RAISE EXCEPTION 'the contact key has no prefix of a bound source' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Keys begin with the source that was named when the contacts were bound.';
    END IF;
    SELECT n.generation, n.fingerprint, f.generation AS first, f.created_at AS realm INTO g
      FROM (SELECT k.* FROM consent_data.key_generation k ORDER BY k.generation DESC LIMIT 1) n,
           (SELECT k.* FROM consent_data.key_generation k ORDER BY k.generation LIMIT 1) f;
    RETURN consent._token_seal(g.generation, g.first, g.fingerprint, g.realm, key::text, consent._sender_id(sender), v_channel,
                               consent._category_id(category), v_hash);
END
$$;
COMMENT ON FUNCTION consent.unsubscribe_token(text, text, text, text, text)
    IS 'The text for the unsubscribe link of a message: encrypted, so that nobody is named in it; the same for the same arguments until the key is rotated; good for ever. channel NULL: a click refuses all channels; category NULL: everything. address: the one that is written to, default the contact''s.';

CREATE FUNCTION consent.list_unsubscribe_headers(
    contact text, sender text DEFAULT NULL, channel text DEFAULT 'email', category text DEFAULT NULL, address text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    s record;
    v_token text;
    v_value text;
BEGIN
    SELECT x.unsubscribe_url AS url, x.unsubscribe_mailto AS mailto INTO s FROM consent_data.sender x WHERE x.sender_id = consent._sender_id(sender);
    IF s.url IS NULL THEN
        RAISE EXCEPTION 'the sender has no page for opting out' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'RFC 8058 needs an https address in each message.',
            HINT = 'UPDATE consent_data.sender SET unsubscribe_url = ''https://shop.example/unsubscribe/{token}'', unsubscribe_mailto = ''mailto:leave@shop.example?subject={token}'' WHERE name = ''...'';';
    END IF;
    IF channel NOT IN ('email', 'any') THEN
        RAISE EXCEPTION 'these headers are for e-mail' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'For other channels put the link into the message: consent.unsubscribe_token().';
    END IF;
    v_token := consent.unsubscribe_token(contact, sender, channel, category, address);
    v_value := '<' || replace(s.url, '{token}', v_token) || '>' || coalesce(', <' || replace(s.mailto, '{token}', v_token) || '>', '');
    -- RFC 5322 section 2.1.1: a line has 998 characters at most.
    IF octet_length('List-Unsubscribe: ' || v_value) > 998 THEN
        v_value := '<' || replace(s.url, '{token}', v_token) || '>';
    END IF;
    IF octet_length('List-Unsubscribe: ' || v_value) > 998 THEN
        RAISE EXCEPTION 'the link is too long for a header' USING ERRCODE = 'program_limit_exceeded', HINT = 'Use a shorter unsubscribe_url, or shorter contact keys.';
    END IF;
    RETURN jsonb_build_object('List-Unsubscribe', v_value, 'List-Unsubscribe-Post', 'List-Unsubscribe=One-Click');
END
$$;
COMMENT ON FUNCTION consent.list_unsubscribe_headers(text, text, text, text, text)
    IS 'The two headers that a message by e-mail must carry (RFC 8058, RFC 2369), as an object of name and value; sign both (DKIM). The page and mailbox are in consent_data.sender.';

-- Reading ------------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent._read_token(
    token text, OUT unread boolean, OUT contact text, OUT sender_id integer, OUT sender text, OUT channel text, OUT category_id integer, OUT hash bytea)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    first record;
    parts text[];
BEGIN
    unread := false;
    SELECT k.generation, k.created_at INTO first FROM consent_data.key_generation k ORDER BY k.generation LIMIT 1;
    BEGIN
        parts := consent._token_open(token, first.generation,
            (SELECT k.fingerprint FROM consent_data.key_generation k WHERE k.generation = consent._token_generation(token)), first.created_at);
    EXCEPTION WHEN config_file_error THEN
        unread := true;
        RETURN;
    END;
    SELECT s.sender_id, s.name INTO sender_id, sender FROM consent_data.sender s WHERE s.sender_id = parts[2]::integer;
    -- In one place for all causes, so that none can be told from another.
    IF sender_id IS NULL THEN
        RAISE EXCEPTION 'the unsubscribe token is not valid' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Offer another way: a form that asks for the address, or a reply. Whoever came here wants to opt out.';
    END IF;
    contact := parts[1];
    channel := parts[3];
    category_id := (SELECT c.category_id FROM consent_data.category c WHERE c.category_id = parts[4]::integer);
    hash := decode(parts[5], 'hex');
END
$$;
COMMENT ON FUNCTION consent._read_token(text) IS 'What a token says. Raises for what is none; unread: nobody can tell, since its key is missing.';

-- The latest opt-out by a person since an instant that says at least this, binds the address too, and that no opt-in came after.
-- In doubt there is none, and the next click is recorded.
CREATE FUNCTION consent._opt_out_in_force(
    contact text, erased_as bytea, hashes bytea[], sender_id integer, channel text, category_id integer, since timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    found record;
    persons text[];
BEGIN
    SELECT e.event_id, e.at, e.recorded_at INTO found
      FROM (SELECT x.* FROM consent_data.event x WHERE x.contact_id = key
            UNION ALL
            SELECT x.* FROM consent_data.event x WHERE x.erased_as = erased_as
            UNION ALL
            SELECT x.* FROM consent_data.address_event ae JOIN consent_data.event x USING (event_id)
             WHERE key IS NULL AND ae.address_hash = ANY (hashes) AND x.contact_id IS NULL AND x.erased_as IS NULL) e
     WHERE e.kind = 'opt_out' AND e.sender_id = sender_id AND e.detail->>'via' IS DISTINCT FROM 'system'
       AND e.at > since AND e.entered_at > since
       AND (channel = ANY (e.channels) OR 'any' = ANY (e.channels))
       AND CASE coalesce(e.detail->>'scope', 'all') WHEN 'all' THEN true WHEN 'category' THEN e.category_id = category_id ELSE false END
       AND (cardinality(hashes) = 0
            OR EXISTS (SELECT FROM consent_data.address_event ae WHERE ae.event_id = e.event_id AND ae.address_hash = ANY (hashes)))
     ORDER BY e.at DESC, e.event_id DESC LIMIT 1;
    IF found.event_id IS NULL THEN
        RETURN NULL;
    END IF;
    -- Whoever has the address by now may have opted in with it.
    persons := ARRAY(SELECT key::text WHERE key IS NOT NULL
                     UNION SELECT * FROM consent._merged_into(contact)
                     UNION SELECT ca.contact_id::text FROM consent_data.contact_address ca WHERE key IS NULL AND ca.address_hash = ANY (hashes));
    FOR key IN SELECT p FROM unnest(persons) p LOOP
        IF EXISTS (SELECT FROM consent_data.event x
                    WHERE x.contact_id = key AND x.kind IN ('opt_in', 'opt_in_confirmed') AND x.sender_id = sender_id
                      AND (x.at > found.at OR x.recorded_at > found.recorded_at))
           -- Of another category, too: it costs an event, and nothing is missed.
           OR EXISTS (SELECT FROM consent_data.crm_consent_of(key) x
                       WHERE x.kind IN ('opt_in', 'opt_in_confirmed') AND x.sender_id = sender_id AND x.at > found.at) THEN
            RETURN NULL;
        END IF;
    END LOOP;
    RETURN found.event_id;
EXCEPTION WHEN OTHERS THEN
    -- Such as a view of the CRM that is broken.
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._opt_out_in_force(text, bytea, bytea[], integer, text, integer, timestamptz)
    IS 'The opt-out of a person from a sender, given and recorded since, that covers channel and category and is in force; NULL for none, and where that can''t be told.';

-- One that is older is recorded again: an opt-in that is dated in between may be recorded later. So is each in a transaction whose
-- snapshot may not show the opt-in that came after it.
CREATE FUNCTION consent._said_anew() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN CASE WHEN current_setting('transaction_isolation') = 'read committed' THEN clock_timestamp() - interval '1 hour' ELSE 'infinity' END;
COMMENT ON FUNCTION consent._said_anew() IS 'Since when an opt-out must have been recorded for the same, said again, not to be recorded once more.';

CREATE FUNCTION consent.read_token(token text) RETURNS TABLE (sender text, channel text, product_category text, refused boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    t record;
BEGIN
    SELECT * INTO t FROM consent._read_token(token);
    IF t.unread THEN
        RETURN QUERY SELECT NULL::text, NULL::text, NULL::text, false;
        RETURN;
    END IF;
    RETURN QUERY SELECT t.sender, coalesce(t.channel, 'any'), (SELECT c.name FROM consent_data.category c WHERE c.category_id = t.category_id),
        consent._opt_out_in_force(t.contact, consent._key_hash(t.contact), consent._with_aliases(ARRAY[t.hash]), t.sender_id,
                                  coalesce(t.channel, 'any'), t.category_id, '-infinity') IS NOT NULL;
END
$$;
COMMENT ON FUNCTION consent.read_token(text)
    IS 'What a page may show before it is confirmed: from whom, on which channel, about what, and whether that was refused already. Nothing of the person, and nothing changes: link scanners open pages. All NULL while the key of the token is missing.';

-- The way out: tokens and headers for messages, and what a click on them does. An opt-out that came this far is never lost:
-- what can't be told is recorded as more, what can't be read is kept until it can, and meanwhile nothing goes out.

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

CREATE PROCEDURE consent._create_unsubscribe(key_column text)
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
COMMENT ON PROCEDURE consent._create_unsubscribe(text) IS 'Makes the tables and views of this part that are not there yet.';

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

-- Clicking -----------------------------------------------------------------------------------------------------------

-- Clicks on one link wait for each other, but not for long: two events are better than none.
CREATE FUNCTION consent._hold_clicks(whose text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('consent.unsubscribe ' || whose, 0));
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    NULL;
END
$$;
COMMENT ON FUNCTION consent._hold_clicks(text) IS 'Keeps other clicks on the same link waiting until the transaction ends.';

-- Inserts only, and folds nothing: of somebody erased, whose key must not be written down again, and where recording as
-- usual fails. Everybody concerned denies until folded.
CREATE FUNCTION consent._record_bare(
    contact text, erased_as bytea, hash bytea, sender_id integer, channels text[], category_id integer, detail jsonb, at timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    v_group text := (consent._groups(NULL, ARRAY[coalesce(nullif(channels[1], 'any'), 'email')]))[1];
    v_hashes bytea[];
    v_event bigint;
    r record;
BEGIN
    LOCK TABLE consent_data.contact_merge IN ROW EXCLUSIVE MODE;
    PERFORM consent._hold_keys();
    v_hashes := consent._with_aliases(ARRAY(
        SELECT hash WHERE hash IS NOT NULL
        UNION SELECT ca.address_hash FROM consent_data.contact_address ca
         WHERE ca.contact_id = key AND ca.channel_group = ANY (consent._groups('opt_out', channels))));
    FOR r IN SELECT h, coalesce((SELECT ca.channel_group FROM consent_data.contact_address ca WHERE ca.address_hash = h LIMIT 1), v_group) AS channel_group
               FROM unnest(v_hashes) h ORDER BY h LOOP
        PERFORM consent._share_address(r.h, r.channel_group);
    END LOOP;
    INSERT INTO consent_data.event (contact_id, kind, at, sender_id, channels, category_id, detail, address_hash, erased_at, erased_as)
    VALUES (CASE WHEN erased_as IS NULL THEN key END, 'opt_out', least(coalesce(at, statement_timestamp()), clock_timestamp()), sender_id, channels,
            category_id, detail, CASE WHEN key IS NULL AND erased_as IS NULL THEN hash END,
            CASE WHEN erased_as IS NOT NULL THEN date_trunc('day', now(), 'UTC') END, erased_as)
    RETURNING event_id INTO v_event;
    INSERT INTO consent_data.address_event (address_hash, event_id) SELECT h, v_event FROM unnest(v_hashes) h;
    INSERT INTO consent_data.pending (contact_id, restricts)
    SELECT c.contact_id, true
      FROM (SELECT key AS contact_id WHERE key IS NOT NULL AND erased_as IS NULL
            UNION SELECT s.contact_id FROM consent_data.contact_state s WHERE s.contact_id = key OR s.contact_id::text IN (SELECT * FROM consent._merged_into(contact))
            UNION SELECT ca.contact_id FROM consent_data.contact_address ca WHERE ca.address_hash = ANY (v_hashes)) c
     ORDER BY 1;
    IF erased_as IS NULL AND detail->>'via' IS DISTINCT FROM 'system' THEN
        INSERT INTO consent_data.outbox (contact_id, event_id) VALUES (key, v_event);
        PERFORM pg_notify('consent_outbox', v_event::text);
    END IF;
    RETURN v_event;
END
$$;
COMMENT ON FUNCTION consent._record_bare(text, bytea, bytea, integer, text[], integer, jsonb, timestamptz)
    IS 'Writes an opt-out to the ledger and leaves the folding to later; whoever it concerns denies until then. erased_as: the keyed hash that stands for an erased contact''s key.';

-- Of somebody erased who has not come back the key is known by its hash alone.
CREATE FUNCTION consent._is_gone(contact text) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN NOT EXISTS (SELECT FROM consent_data.event e WHERE e.contact_id = key) AND NOT consent._in_crm(contact);
EXCEPTION WHEN OTHERS THEN
    -- A broken view shows nobody; if it is mended, the hash binds the key again.
    RETURN NOT EXISTS (SELECT FROM consent_data.event e WHERE e.contact_id = key);
END
$$;
COMMENT ON FUNCTION consent._is_gone(text) IS 'Whether neither the ledger nor the CRM names the contact.';

CREATE FUNCTION consent._unsubscribe(
    token text, channel text, category text, via text, everything boolean, at timestamptz,
    OUT unread boolean, OUT event_id bigint, OUT sender text, OUT channels text[], OUT product_category text, OUT since timestamptz)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    t record;
    v_all boolean := coalesce(everything, false);
    v_codes text[] := consent._codes('channel');
    v_via text := CASE WHEN via = ANY (consent._codes('via')) THEN via ELSE 'link' END;
    v_channel text;
    v_category integer;
    v_group text;
    v_hash bytea;
    v_hashes bytea[];
    v_key_hash bytea;
    v_erased boolean := false;
    v_detail jsonb;
BEGIN
    SELECT * INTO t FROM consent._read_token(token);
    unread := t.unread;
    IF unread THEN
        RETURN;
    END IF;
    sender := t.sender;
    -- What the person chose on the page, else what the link says. What is not known here is read as more, not as nothing.
    v_channel := CASE WHEN v_all THEN 'any' WHEN channel IS NULL THEN coalesce(t.channel, 'any') WHEN channel = ANY (v_codes) THEN channel ELSE 'any' END;
    v_category := CASE WHEN v_all THEN NULL WHEN category IS NULL THEN t.category_id
                       ELSE (SELECT c.category_id FROM consent_data.category c WHERE c.name = category) END;
    IF NOT v_all AND (channel <> ALL (v_codes || ARRAY['any']) OR category IS NOT NULL AND v_category IS NULL) THEN
        RAISE WARNING 'the channel or the category of an opt-out is not known: it covers all of them'
            USING HINT = 'The known categories are in consent_data.category.';
    END IF;
    -- An address is of one kind: an opt-out from calls does not concern the mailbox.
    v_group := (consent._groups(NULL, ARRAY[coalesce(t.channel, 'email')]))[1];
    IF v_group = ANY (consent._groups('opt_out', ARRAY[v_channel])) THEN
        v_hash := t.hash;
        channels := CASE WHEN v_channel = 'any' AND v_group <> 'email' THEN ARRAY[t.channel, 'any'] ELSE ARRAY[v_channel] END;
    ELSIF t.contact IS NOT NULL THEN
        channels := ARRAY[v_channel];
    ELSE
        v_hash := t.hash;
        channels := ARRAY[coalesce(t.channel, 'email'), v_channel];
    END IF;
    v_hashes := consent._with_aliases(ARRAY[v_hash]);

    IF t.contact IS NOT NULL THEN
        v_key_hash := consent._key_hash(t.contact);
        IF EXISTS (SELECT FROM consent_data.erasure) AND consent._is_gone(t.contact) THEN
            -- Without the key nobody can say whether this contact was erased; the token names nobody.
            unread := v_key_hash IS NULL;
            v_erased := EXISTS (SELECT FROM consent_data.erasure x WHERE x.key_hash = v_key_hash);
        END IF;
    END IF;
    IF unread THEN
        RETURN;
    END IF;
    PERFORM consent._hold_clicks(t.sender_id || ' ' || coalesce(t.contact, encode(t.hash, 'hex')));
    event_id := consent._opt_out_in_force(t.contact, v_key_hash, v_hashes, t.sender_id, v_channel, v_category, consent._said_anew());
    IF event_id IS NULL THEN
        v_detail := jsonb_build_object('scope', CASE WHEN v_category IS NULL THEN 'all' ELSE 'category' END, 'via', v_via);
        IF v_erased THEN
            event_id := consent._record_bare(t.contact, v_key_hash, v_hash, t.sender_id, channels, v_category, v_detail, at);
        ELSE
            BEGIN
                event_id := consent._record(t.contact, 'opt_out', at, channels, (SELECT c.name FROM consent_data.category c WHERE c.category_id = v_category),
                    t.sender, NULL, NULL, NULL, NULL, v_detail, NULL, NULL, NULL, NULL, v_hash);
            EXCEPTION
                WHEN transaction_rollback OR lock_not_available OR read_only_sql_transaction THEN
                    RAISE;
                WHEN OTHERS THEN
                    RAISE WARNING 'an opt-out could not be folded: %', SQLSTATE
                        USING HINT = 'It is in the ledger, and whoever it concerns gets nothing until folded: see consent.check_bindings().';
                    event_id := consent._record_bare(t.contact, NULL, v_hash, t.sender_id, channels, v_category, v_detail, at);
            END;
        END IF;
    END IF;
    SELECT e.channels, c.name, e.at INTO channels, product_category, since
      FROM consent_data.event e LEFT JOIN consent_data.category c USING (category_id) WHERE e.event_id = event_id;
END
$$;
COMMENT ON FUNCTION consent._unsubscribe(text, text, text, text, boolean, timestamptz) IS 'Records the opt-out of a token, unless it was just recorded; unread: it has to wait for a key.';

CREATE FUNCTION consent.unsubscribe(
    token text, channel text DEFAULT NULL, category text DEFAULT NULL, via text DEFAULT 'one_click', everything boolean DEFAULT false)
    RETURNS TABLE (event_id bigint, sender text, channels text[], product_category text, since timestamptz)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    u record;
BEGIN
    -- Before anything is looked at, so that nothing can be told from it.
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'an opt-out can''t be recorded in a read-only transaction' USING ERRCODE = 'read_only_sql_transaction',
            HINT = 'Call it on the primary in a transaction that may write: SET TRANSACTION READ WRITE. For pages there is consent.read_token().';
    END IF;
    SELECT * INTO u FROM consent._unsubscribe(token, channel, category, via, everything, NULL);
    IF u.unread THEN
        IF NOT EXISTS (SELECT FROM consent_data.unread_token x
                        WHERE x.token = btrim(token, E' \t\r\n') AND (x.channel, x.category, x.everything) IS NOT DISTINCT FROM (channel, category, everything)) THEN
            INSERT INTO consent_data.unread_token (token, channel, category, via, everything)
            VALUES (btrim(token, E' \t\r\n'), channel, category, via, everything);
        END IF;
        RAISE WARNING 'an opt-out waits for a missing address key; all marketing is denied until it is recorded'
            USING HINT = 'See consent.key_status(), put the key back, and run SELECT consent.settle_unread_tokens().';
        u.since := statement_timestamp();
    END IF;
    RETURN QUERY SELECT u.event_id, u.sender, u.channels, u.product_category, u.since;
END
$$;
COMMENT ON FUNCTION consent.unsubscribe(text, text, text, text, boolean)
    IS 'Opts out whoever has the link, for ever, also of contacts gone, merged or erased; a second click within the hour answers as the first, later ones are recorded again. channel, category: what the person chose in place of what the link says; everything: nothing more from this sender. One error for whatever is no token of ours. event_id NULL: kept until a missing key is back.';

CREATE FUNCTION consent.settle_unread_tokens() RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    r record;
    n bigint := 0;
    v_unread boolean;
BEGIN
    FOR r IN SELECT * FROM consent_data.unread_token ORDER BY unread_token_id FOR UPDATE SKIP LOCKED LOOP
        BEGIN
            SELECT t.unread INTO v_unread FROM consent._read_token(r.token) t;
        EXCEPTION WHEN invalid_parameter_value THEN
            -- Somebody's invention, as it turns out.
            DELETE FROM consent_data.unread_token WHERE unread_token_id = r.unread_token_id;
            CONTINUE;
        END;
        CONTINUE WHEN v_unread;
        BEGIN
            SELECT u.unread INTO v_unread FROM consent._unsubscribe(r.token, r.channel, r.category, r.via, r.everything, r.received_at) u;
            CONTINUE WHEN v_unread;
            DELETE FROM consent_data.unread_token WHERE unread_token_id = r.unread_token_id;
            n := n + 1;
        EXCEPTION WHEN transaction_rollback OR lock_not_available THEN
            -- The next time.
            NULL;
        END;
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION consent.settle_unread_tokens() IS 'Records the opt-outs that waited for a missing key, with the instant they came, and answers with their number. refold_pending() does it too.';

DO $$
DECLARE
    f pg_catalog.regprocedure;
BEGIN
    FOR f IN SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'consent'::pg_catalog.regnamespace
                AND p.proname IN ('unsubscribe_token', 'list_unsubscribe_headers', 'read_token', 'unsubscribe') LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO consent_record', f);
    END LOOP;
END
$$;

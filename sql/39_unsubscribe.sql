-- What a click on the way out does. An opt-out that came this far is never lost: what can't be told is recorded as more, what
-- can't be read is kept until it can, and meanwhile nothing goes out.

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

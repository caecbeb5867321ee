-- Recording facts. Whatever takes permission away is in the state of every contact concerned when the transaction
-- commits, and denies inside it.

CREATE FUNCTION consent._key(contact text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE;
BEGIN
    key := contact;
    RETURN key::text;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION 'the contact key is not a %', (SELECT key_type FROM consent_data.setting)
        USING ERRCODE = 'invalid_parameter_value', HINT = 'The type of keys was chosen with consent.setup(key_type => ...).';
END
$$;
COMMENT ON FUNCTION consent._key(text) IS 'A contact key in the spelling of the tables; raises for what is no key.';

-- A key of nobody would be recorded and suppress nobody.
CREATE FUNCTION consent._has_source(contact text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(bool_or(b.source IS NULL OR starts_with(contact, b.source || ':')), true) FROM consent_data.binding b WHERE b.kind = 'contacts'
$$;
COMMENT ON FUNCTION consent._has_source(text) IS 'Whether a key is one of those that the bound contacts have; true while none are bound.';

CREATE FUNCTION consent._sender_id(sender text) RETURNS integer
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id integer := (SELECT s.sender_id FROM consent_data.sender s
                    WHERE CASE WHEN sender IS NULL THEN s.is_default ELSE s.name = sender END);
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION '%', CASE WHEN sender IS NULL THEN 'no sender is the default' ELSE format('sender `%s` is not known', sender) END
            USING ERRCODE = 'undefined_object', HINT = 'The known ones are in consent_data.sender.';
    END IF;
    RETURN id;
END
$$;
COMMENT ON FUNCTION consent._sender_id(text) IS 'The number of a sender; NULL is the default sender. Raises for an unknown one.';

CREATE FUNCTION consent._category_id(category text) RETURNS integer
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id integer := (SELECT c.category_id FROM consent_data.category c WHERE c.name = category);
BEGIN
    IF id IS NULL AND category IS NOT NULL THEN
        RAISE EXCEPTION 'product category `%` is not known', category
            USING ERRCODE = 'undefined_object', HINT = 'The known ones are in consent_data.category.';
    END IF;
    RETURN id;
END
$$;
COMMENT ON FUNCTION consent._category_id(text) IS 'The number of a category; NULL for none. Raises for an unknown one.';

CREATE FUNCTION consent._contact_tag(contact text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN consent._tag(pg_catalog.sha256(pg_catalog.convert_to(contact, 'UTF8')));
COMMENT ON FUNCTION consent._contact_tag(text) IS 'The short form of a contact key inside other contacts'' states.';

CREATE FUNCTION consent._binds_address(kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind IN ('opt_out', 'objection', 'erasure_request', 'register_listed', 'register_delisted');
COMMENT ON FUNCTION consent._binds_address(text) IS 'Whether a fact of this kind reaches everybody who uses the address.';

CREATE FUNCTION consent._groups(kind text, channels text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN kind IN ('objection', 'erasure_request') OR 'any' = ANY (channels) THEN ARRAY['email', 'phone', 'post']
        ELSE ARRAY(SELECT DISTINCT CASE c WHEN 'email' THEN 'email' WHEN 'post' THEN 'post' ELSE 'phone' END
                     FROM unnest(coalesce(channels, CASE WHEN kind LIKE 'register%' THEN ARRAY['sms', 'post'] ELSE ARRAY['email'] END)) c)
    END
$$;
COMMENT ON FUNCTION consent._groups(text, text[]) IS 'The kinds of address that a fact on these channels reaches.';

-- Of a contact's addresses those are reached that the fact is about: where one is named, what is in its place now. A
-- register's entry of a number is about that number only.
CREATE FUNCTION consent._reached(kind text, channels text[], names_address boolean) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN names_address AND kind LIKE 'register%' THEN '{}'
        WHEN names_address
        THEN consent._groups(NULL, ARRAY[coalesce(nullif(channels[1], 'any'), 'email')])
        ELSE consent._groups(kind, channels) END
$$;
COMMENT ON FUNCTION consent._reached(text, text[], boolean) IS 'The kinds of a contact''s addresses that a refusal binds.';

-- What a fold has yet to take in. Only inserts: whoever calls this waits for nobody.
CREATE FUNCTION consent._note(contact text, restricts boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    INSERT INTO consent_data.pending (contact_id, restricts) VALUES (key, restricts);
END
$$;
COMMENT ON FUNCTION consent._note(text, boolean) IS 'Has a contact folded anew soon. restricts: audiences leave it out until then.';

-- Merges a state into a contact's row. An upsert that overwrote would lose an opt-out under READ COMMITTED; this one
-- merges with the newest row, which it has locked. Where another transaction holds the row, the contact is noted instead:
-- a caller in the middle of the CRM's work must not wait in a circle.
CREATE FUNCTION consent._take_in(contact text, news consent.state) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    overflows boolean;
    is_new boolean;
BEGIN
    PERFORM FROM consent_data.contact_state s WHERE s.contact_id = key FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = key) THEN
        PERFORM consent._note(contact, true);
        RETURN;
    END IF;
    INSERT INTO consent_data.contact_state AS s (contact_id, state) VALUES (key, consent._cap(news))
    ON CONFLICT (contact_id) DO UPDATE
        SET state = consent._cap(consent._merge(coalesce(s.state, consent._dirty()), excluded.state)), rev = s.rev + 1
    RETURNING consent._overflows(s.state), s.rev = 1 INTO overflows, is_new;
    IF overflows THEN
        UPDATE consent_data.contact_overflow o SET state = consent._merge(o.state, news) WHERE o.contact_id = key;
    END IF;
    -- Seen for the first time, or just grown too large: fetch what the CRM knows.
    IF is_new OR overflows AND NOT FOUND THEN
        PERFORM consent._refold_contact(contact);
    END IF;
END
$$;
COMMENT ON FUNCTION consent._take_in(text, consent.state) IS 'Merges facts into a contact''s state.';

CREATE FUNCTION consent._record(
    contact text, kind text, at timestamptz, channels text[], category text, sender text, opt_out_offered text,
    refused boolean, from_person boolean, purposes text[], detail jsonb, evidence jsonb, address text, reason text,
    recorded_at timestamptz,
    -- Of an address that a token names: bound beside those of the contact, not in their place.
    known_hash bytea DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := consent._key(contact);
    -- A clock that runs a little ahead must not date a fact into the future.
    v_at timestamptz := least(coalesce(at, statement_timestamp()), clock_timestamp());
    v_recorded timestamptz := coalesce(recorded_at, clock_timestamp());
    v_sender integer := consent._sender_id(sender);
    v_category integer := consent._category_id(category);
    -- What an address is, where no channel or any says so: registers are of numbers, all else is of mailboxes.
    v_channel text := coalesce(nullif(channels[1], 'any'), CASE WHEN kind LIKE 'register%' THEN 'sms' ELSE 'email' END);
    v_hash bytea;
    v_hashes bytea[];
    v_event bigint;
    v_groups text[];
    had_groups text[];
    had_hashes bytea[];
    v_binds_address boolean := consent._binds_address(kind);
    own consent.state;
    others consent.state;
    r record;
BEGIN
    IF key IS NOT NULL AND v_binds_address THEN
        -- Before the wait below: retention may be taking the contact with its addresses away just now, and the refusal binds
        -- those it had when it was given.
        SELECT array_agg(x.channel_group), array_agg(x.hash) INTO had_groups, had_hashes FROM (
            SELECT a.channel_group, unnest(a.hashes) AS hash FROM consent._addresses_now(contact) a
            UNION
            SELECT ca.channel_group, ca.address_hash FROM consent_data.contact_address ca WHERE ca.contact_id = key) x
         WHERE x.hash IS NOT NULL;
    END IF;
    IF consent._restricts(kind, refused) OR kind = 'legal_hold' THEN
        -- Not while merge_contacts() or erase() is at work: neither would see the other.
        LOCK TABLE consent_data.contact_merge IN ROW EXCLUSIVE MODE;
        -- Nor would a merge that the CRM is just making: whichever is committed last leaves a note that both are there.
        IF key IS NOT NULL AND EXISTS (SELECT FROM consent_data.watch w WHERE w.kind = 'contacts') THEN
            PERFORM consent._note(contact, false);
        END IF;
    END IF;
    PERFORM consent._hold_keys();
    v_hash := CASE WHEN key IS NULL AND known_hash IS NOT NULL THEN consent._canonical(known_hash)
                   ELSE consent.address_hash(v_channel, address, consent._country(contact)) END;
    PERFORM consent._rekey(v_channel, address, consent._country(contact)) WHERE v_hash IS NOT NULL;
    IF key IS NULL AND v_hash IS NULL THEN
        RAISE EXCEPTION 'neither a contact nor an address is named' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Name the contact, or the address for somebody who is not in the CRM.';
    END IF;
    IF at > clock_timestamp() + interval '1 minute' OR v_recorded > clock_timestamp() + interval '1 minute' THEN
        RAISE EXCEPTION 'the event is dated in the future' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give the instant at which it happened, with its time zone.';
    END IF;
    IF v_at > v_recorded + interval '1 minute' THEN
        RAISE EXCEPTION 'the event is recorded before it happened' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give recorded_at the instant at which it was taken down, or leave it out.';
    END IF;
    IF recorded_at IS NOT NULL AND NOT pg_has_role(session_user, 'consent_admin', 'member') THEN
        RAISE EXCEPTION 'only administrators may say when an event was recorded' USING ERRCODE = 'insufficient_privilege',
            HINT = 'Leave recorded_at out.';
    END IF;
    -- A token's contact had one when the token was made.
    IF key IS NOT NULL AND known_hash IS NULL AND NOT consent._has_source(contact) THEN
        RAISE EXCEPTION 'the contact key has no prefix of a bound source' USING ERRCODE = 'invalid_parameter_value',
            HINT = format('Keys begin with one of %s.', (SELECT string_agg(DISTINCT b.source || ':', ', ') FROM consent_data.binding b WHERE b.kind = 'contacts'));
    END IF;
    IF kind = 'opt_out' AND detail->>'scope' = 'category' AND v_category IS NULL THEN
        RAISE EXCEPTION 'an opt-out from a category names none' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Name the category, or leave the scope out to opt out of everything.';
    END IF;
    IF jsonb_typeof(evidence) <> 'object' AND consent._restricts(kind, false) THEN
        -- A refusal needs none, so none can be wrong.
        evidence := jsonb_build_object('as_given', evidence);
    END IF;
    PERFORM consent._check_evidence(kind, evidence);
    -- The ledger's constraints say so too, but their messages show the row.
    IF jsonb_typeof(detail) <> 'object' OR jsonb_typeof(evidence) <> 'object' THEN
        RAISE EXCEPTION '% must be a JSON object', CASE WHEN jsonb_typeof(detail) <> 'object' THEN 'detail' ELSE 'evidence' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write for example {"form": "footer/2"}.';
    END IF;
    IF detail->>'reason_code' !~ '^[a-z0-9_]{1,40}$' THEN
        RAISE EXCEPTION 'the reason code is malformed' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Use up to 40 lower-case letters, digits and underscores, such as too_many; the person''s words go into reason.';
    END IF;
    -- A state knows senders by their numbers.
    detail := detail - 'to_sender_id';
    IF kind = 'business_transferred' THEN
        IF jsonb_typeof(detail->'to') IS DISTINCT FROM 'string' OR detail->>'to' NOT IN (SELECT s.name FROM consent_data.sender s) THEN
            RAISE EXCEPTION 'a transferred business names no known sender that took it over' USING ERRCODE = 'undefined_object',
                HINT = 'Give detail {"to": "..."}; the known ones are in consent_data.sender.';
        END IF;
        detail := detail || jsonb_build_object('to_sender_id', consent._sender_id(detail->>'to'));
    END IF;
    -- Also checks the codes, before anything is written.
    own := consent.fact(kind, v_at, v_recorded, v_sender, channels, v_category, opt_out_offered, refused, from_person,
                        purposes, detail, evidence, consent._tag(v_hash));

    IF v_binds_address THEN
        v_groups := consent._reached(kind, channels, v_hash IS NOT NULL);
        v_hashes := ARRAY(
            SELECT v_hash WHERE v_hash IS NOT NULL
            UNION
            SELECT known_hash WHERE known_hash IS NOT NULL
            UNION
            -- The address the contact has now, and the one it had when it was last folded.
            SELECT unnest(a.hashes) FROM consent._addresses_now(contact) a WHERE a.channel_group = ANY (v_groups)
            UNION
            SELECT ca.address_hash FROM consent_data.contact_address ca WHERE ca.contact_id = key AND ca.channel_group = ANY (v_groups)
            UNION
            SELECT u.hash FROM unnest(had_groups, had_hashes) u (channel_group, hash) WHERE u.channel_group = ANY (v_groups));
        -- Locks the addresses, in the order of their hashes, against contacts who are just getting one of them. While it
        -- waits, another session may move one to a newer key.
        LOOP
            v_hashes := consent._with_aliases(v_hashes);
            FOR r IN SELECT h, coalesce((SELECT a.channel_group FROM consent._addresses_now(contact) a WHERE h = ANY (a.hashes) LIMIT 1),
                                        (SELECT ca.channel_group FROM consent_data.contact_address ca WHERE ca.address_hash = h LIMIT 1),
                                        (SELECT u.channel_group FROM unnest(had_groups, had_hashes) u (channel_group, hash) WHERE u.hash = h LIMIT 1),
                                        (consent._groups(NULL, ARRAY[v_channel]))[1]) AS channel_group
                       FROM unnest(v_hashes) h ORDER BY h LOOP
                PERFORM consent._share_address(r.h, r.channel_group);
            END LOOP;
            EXIT WHEN consent._with_aliases(v_hashes) = v_hashes;
        END LOOP;
    END IF;

    INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, channels, category_id,
        opt_out_offered, refused, from_person, purposes, detail, evidence, address_hash, reason)
    VALUES (key, kind, v_at, v_recorded, v_sender, channels, v_category, opt_out_offered, coalesce(refused, false),
        coalesce(from_person, true), purposes, detail, evidence, v_hash, reason)
    RETURNING event_id INTO v_event;
    INSERT INTO consent_data.address_event (address_hash, event_id)
    SELECT DISTINCT h, v_event FROM unnest(v_hashes) h;

    IF key IS NOT NULL AND NOT v_binds_address THEN
        PERFORM consent._take_in(contact, own);
    ELSE
        -- The contact and all who share the address, in the order of their keys.
        FOR r IN SELECT c.contact_id, c.contact_id IS NOT DISTINCT FROM key OR key IS NULL OR kind LIKE 'register%' AS is_own
                   FROM (SELECT key AS contact_id WHERE key IS NOT NULL
                         UNION
                         SELECT ca.contact_id FROM consent_data.contact_address ca WHERE ca.address_hash = ANY (v_hashes)) c
                  ORDER BY c.contact_id LOOP
            IF NOT r.is_own AND others IS NULL THEN
                others := consent.fact(kind, v_at, v_recorded, v_sender, channels, v_category, detail => detail,
                                       other_contact_tag => consent._contact_tag(contact));
            END IF;
            PERFORM consent._take_in(r.contact_id::text, CASE WHEN r.is_own THEN own ELSE others END);
        END LOOP;
    END IF;

    -- Where the CRM merged the contact into another, the person's refusals follow.
    IF consent._restricts(kind, refused) OR kind = 'legal_hold' THEN
        PERFORM consent._carry_on(c.contact_id::text)
           FROM (SELECT key AS contact_id WHERE key IS NOT NULL
                 UNION
                 SELECT ca.contact_id FROM consent_data.contact_address ca WHERE key IS NULL AND ca.address_hash = ANY (v_hashes)) c;
    END IF;

    -- Not for what an import brings or a merge carries: those people were answered then.
    IF kind IN ('opt_out', 'objection') AND detail->>'via' IS DISTINCT FROM 'system' AND recorded_at IS NULL
       AND detail->'merged_from' IS NULL THEN
        INSERT INTO consent_data.outbox (contact_id, event_id) VALUES (key, v_event);
        PERFORM pg_notify('consent_outbox', v_event::text);
    END IF;
    RETURN v_event;
END
$$;
COMMENT ON FUNCTION consent._record(text, text, timestamptz, text[], text, text, text, boolean, boolean, text[], jsonb, jsonb, text, text, timestamptz, bytea)
    IS 'Writes one fact to the ledger and into every state it concerns.';

-- Refusals share the lock of an address, contacts who get it take it alone: either the fold sees the refusal, or the
-- refusal the contact. The row is written anew by the latter, so that a refusal in an older snapshot fails, and is lost
-- to nobody.
CREATE FUNCTION consent._touch_address(hash bytea, channel_group text) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO consent_data.address AS a (address_hash, channel_group) VALUES (hash, channel_group)
    ON CONFLICT (address_hash) DO UPDATE SET touched_at = now()
$$;
COMMENT ON FUNCTION consent._touch_address(bytea, text) IS 'Makes sure of an address''s row and locks it until the transaction ends: for a contact who gets the address.';

CREATE FUNCTION consent._share_address(hash bytea, channel_group text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    -- Less than deadlock_timeout: who waits in a circle gives up before anybody is made to.
    SET lock_timeout = '300ms'
AS $$
BEGIN
    PERFORM FROM consent_data.address a WHERE a.address_hash = hash FOR SHARE;
    IF NOT FOUND THEN
        INSERT INTO consent_data.address AS a (address_hash, channel_group) VALUES (hash, channel_group)
        ON CONFLICT (address_hash) DO NOTHING;
        PERFORM FROM consent_data.address a WHERE a.address_hash = hash FOR SHARE;
    END IF;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
    -- Whoever is just getting the address is not seen here: whoever has it later denies until folded.
    INSERT INTO consent_data.pending_address (address_hash) VALUES (hash);
END
$$;
COMMENT ON FUNCTION consent._share_address(bytea, text) IS 'Makes sure of an address''s row and shares its lock until the transaction ends, for a refusal that reaches the address; where that would take long, notes the address instead.';

CREATE FUNCTION consent._country(contact text) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN (SELECT consent.state_json(s.state)->'profile'->>'country' FROM consent_data.contact_state s WHERE s.contact_id = key);
END
$$;
COMMENT ON FUNCTION consent._country(text) IS 'The country of a contact, to read national phone numbers.';

-- Claiming a message: decided for the address really used, held to limits and quiet hours, and logged, in one round trip.

-- The answer of this moment for the address that will be used. hashes: of that address, one of which must be the contact's now;
-- none: the contact's own. planned: when the message shall go out, if later than now. but: the claim that is asked about again,
-- which does not count against itself.
CREATE FUNCTION consent._judge(
    contact text, hashes bytea[], needs_address boolean, message_kind text, product_category text, channel text, sender text, sender_id integer,
    planned timestamptz, is_claim boolean, but bigint, OUT answer jsonb, OUT address_hash bytea)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    v_group text := consent._channel_group(channel);
    is_call boolean := v_group = 'phone';
    v_at timestamptz;
    v_state consent.state;
    v_since timestamptz;
    v_sent timestamptz;
BEGIN
    -- One snapshot for the addresses and the state. A state that was folded with other addresses than there are now does not know
    -- what was refused at these, nor since when the contact has them.
    SELECT x.used, CASE WHEN x.is_folded THEN consent._current_state(contact) ELSE consent._state_now(contact) END
      INTO address_hash, v_state
      FROM (SELECT (array_agg(a.address_hash) FILTER (WHERE a.channel_group = v_group AND a.in_use AND (hashes IS NULL OR a.hashes && hashes)))[1] AS used,
                   coalesce(bool_and(EXISTS (SELECT FROM consent_data.contact_address ca
                                              WHERE ca.contact_id = key AND ca.channel_group = a.channel_group AND ca.address_hash = ANY (a.hashes))), true) AS is_folded
              FROM consent._addresses_now(contact) a
             WHERE a.since IS DISTINCT FROM 'infinity') x;
    -- Only now: what that snapshot shows must not lie after the instant that is asked about.
    v_at := greatest(planned, clock_timestamp());
    answer := consent._explain(v_state, message_kind, product_category, channel, sender, v_at,
        CASE WHEN is_call THEN consent._attempts(contact, sender, v_at, 'infinity', but) END,
        CASE WHEN is_call THEN consent._attempts(contact, sender, v_at, 'infinity', but, true) END);
    -- A permission for the first message only: what was claimed since is that one, of whatever nature. Where the log of that time was
    -- dropped nobody knows, and it counts as sent.
    IF answer->>'basis' = 'implied_referral' THEN
        v_since := (answer->'evidence'->>'at')::timestamptz;
        SELECT max(m.counts_at) INTO v_sent FROM consent._claims_of(contact, v_since) m
         WHERE m.sender_id = sender_id AND m.decision_id IS DISTINCT FROM but;
        v_sent := coalesce(v_sent, (SELECT max(p.decided_before) FROM consent_data.prune p WHERE p.log = 'decision' AND p.decided_before > v_since));
        IF v_sent IS NOT NULL THEN
            answer := consent._explain(consent._merge(v_state, consent.fact('sent', least(v_sent, v_at), least(v_sent, v_at), sender_id, ARRAY[channel])),
                                       message_kind, product_category, channel, sender, v_at, NULL);
        END IF;
    END IF;
    IF address_hash IS NULL AND (hashes IS NOT NULL OR needs_address AND (answer->>'allowed')::boolean) THEN
        answer := consent._denied(answer, CASE WHEN consent._has_key() THEN 'unknown_contact' ELSE 'key_missing' END,
            CASE WHEN hashes IS NULL THEN 'an address of this contact for this channel' ELSE 'the address to be one that the contact has now' END);
    ELSIF planned > clock_timestamp() + consent._claim_ahead() AND (answer->>'allowed')::boolean THEN
        answer := consent._denied(answer, 'frequency_cap', 'to claim it later: limits can''t be foreseen for more than 31 days', 'ahead', NULL,
            nullif(planned - consent._claim_ahead(), 'infinity'));
    ELSIF is_claim AND (answer->>'allowed')::boolean THEN
        answer := consent._keep_to_caps(answer, contact, message_kind, (SELECT k.nature FROM consent_data.message_kind k WHERE k.name = message_kind),
                                        channel, sender_id, v_at, but);
    END IF;
    answer := consent._with_sources(contact, answer);
END
$$;
COMMENT ON FUNCTION consent._judge(text, bytea[], boolean, text, text, text, text, integer, timestamptz, boolean, bigint) IS 'The answer of this moment for the address that will be used, and the hash of that.';

CREATE FUNCTION consent.claim_send(
    contact text, message_kind text, product_category text DEFAULT NULL, address text DEFAULT NULL, channel text DEFAULT NULL,
    sender text DEFAULT NULL, campaign text DEFAULT NULL, message_ref text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS TABLE (
    decision_id bigint, allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, cap text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    v_key text := consent._key_or_null(contact);
    key consent_data.contact_state.contact_id%TYPE := v_key;
    v_known boolean;
    v_channel text;
    v_sender integer;
    v_category integer;
    v_hashes bytea[];
    v_hash bytea;
    v_first bigint;
    v_may_name boolean := true;
    -- When it shall go out, if not at once. Nothing is sent in the past.
    v_plan timestamptz := CASE WHEN at > clock_timestamp() THEN at END;
    answer jsonb;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM consent._need_newest_rows();
    END IF;
    SELECT k.name IS NOT NULL AND s.sender_id IS NOT NULL AND (product_category IS NULL OR c.category_id IS NOT NULL)
           AND coalesce(channel, k.channel) = ANY (consent._codes('channel')), coalesce(channel, k.channel), s.sender_id, c.category_id
      INTO v_known, v_channel, v_sender, v_category
      FROM (VALUES (1)) one
      LEFT JOIN consent_data.message_kind k ON k.name = message_kind
      LEFT JOIN consent_data.sender s ON CASE WHEN sender IS NULL THEN s.is_default ELSE s.name = sender END
      LEFT JOIN consent_data.category c ON c.name = product_category;
    IF key IS NOT NULL THEN
        v_may_name := consent._share_merges();
    END IF;
    IF NOT v_known OR key IS NULL THEN
        answer := consent._explain(NULL, message_kind, product_category, channel, sender, coalesce(v_plan, clock_timestamp()), NULL);
    ELSIF NOT v_may_name OR NOT consent._hold_contact(v_key) THEN
        answer := consent._busy();
    ELSE
        -- From here on each statement sees what was claimed under the lock before.
        IF address IS NOT NULL THEN
            v_hashes := coalesce(consent._address_hashes(v_channel, address, CASE WHEN consent._channel_group(v_channel) = 'phone' THEN consent._country(v_key) END), '{}');
        END IF;
        IF message_ref IS NOT NULL THEN
            v_first := consent._claimed_before(v_key, message_ref, message_kind, v_category, v_channel, v_sender, v_hashes);
            IF v_first IS NOT NULL THEN
                RETURN QUERY SELECT CASE WHEN r.allowed THEN v_first ELSE r.recheck_id END, r.allowed, r.reason, r.basis, r.rule,
                                    r.citation, r.valid_until, r.not_before, r.missing,
                                    r.evidence, r.obligations, r.jurisdiction, r.policy_decision, r.policy_version,
                                    CASE WHEN r.reason = 'frequency_cap' THEN coalesce(r.rule, 'message_ref') END
                               FROM consent.recheck(v_first) r;
                RETURN;
            END IF;
        END IF;
        SELECT j.answer, j.address_hash INTO answer, v_hash
          FROM consent._judge(v_key, v_hashes, true, message_kind, product_category, v_channel, sender, v_sender, v_plan, true, NULL) j;
    END IF;
    allowed := (answer->>'allowed')::boolean;
    -- Of somebody whom erase() may be taking out at this moment only what names nobody.
    decision_id := consent._log_decision(
        CASE WHEN v_may_name THEN v_key END, v_hash, message_kind, v_category, v_channel, v_sender, campaign, CASE WHEN v_may_name THEN message_ref END,
        answer, 'claim', NULL, CASE WHEN allowed THEN v_plan END);
    reason := answer->>'reason';
    basis := answer->>'basis';
    rule := answer->>'rule';
    citation := answer->>'citation';
    valid_until := (answer->>'valid_until')::timestamptz;
    not_before := coalesce((answer->>'not_before')::timestamptz, CASE WHEN allowed THEN v_plan END);
    missing := answer->>'missing';
    evidence := nullif(answer->'evidence', 'null');
    obligations := ARRAY(SELECT jsonb_array_elements_text(answer->'obligations'));
    jurisdiction := answer->>'jurisdiction';
    policy_decision := nullif(answer->'policy_decision', 'null');
    policy_version := answer->>'policy_version';
    cap := CASE WHEN reason = 'frequency_cap' THEN rule END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION consent.claim_send(text, text, text, text, text, text, text, text, timestamptz)
    IS 'Reserves one message to one contact just before it is sent: decides for the address really used (address; none: the contact''s own for the channel, by the CRM''s word of this moment), holds it to all limits and quiet hours, and logs the answer, yes or no. A yes counts until claim_outcome() says released or failed. not_before: when to claim again; or, on a yes, when a message claimed for a later instant (at, 31 days ahead at most) may go out. cap: the limit that was reached; busy: somebody else is claiming this contact. message_ref: a repeated claim of the same message is answered as the first, asked again, and does not count twice. One row, always; READ COMMITTED only.';

GRANT EXECUTE ON FUNCTION consent.claim_send(text, text, text, text, text, text, text, text, timestamptz) TO consent_decide;

-- For many contacts at once: their locks are taken in one order, so that two of these never wait for each other.
CREATE FUNCTION consent.claim_sends(
    contacts text[], message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL, sender text DEFAULT NULL,
    campaign text DEFAULT NULL, at timestamptz DEFAULT NULL, message_refs text[] DEFAULT NULL)
    RETURNS TABLE (
    contact text, decision_id bigint, allowed boolean, reason text, basis text, rule text, citation text, valid_until timestamptz, not_before timestamptz,
    missing text, evidence jsonb, obligations text[], jurisdiction text, policy_decision jsonb, policy_version text, cap text)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    r record;
BEGIN
    IF message_refs IS NOT NULL AND cardinality(message_refs) IS DISTINCT FROM cardinality(contacts) THEN
        RAISE EXCEPTION 'there are % contacts and % message references', coalesce(cardinality(contacts), 0), cardinality(message_refs)
            USING ERRCODE = 'array_subscript_error', HINT = 'Give one reference a contact, NULL where there is none, or leave them out.';
    END IF;
    -- Each holds a lock; the server's table of locks is shared by all.
    IF cardinality(contacts) > 1000 THEN
        RAISE EXCEPTION '% contacts are too many for one transaction', cardinality(contacts) USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Claim up to 1000 at a time, each lot in a transaction of its own.';
    END IF;
    FOR r IN SELECT u.c, u.m FROM (SELECT x.c, x.m, x.n, consent._key_or_null(x.c) AS key FROM unnest(contacts, message_refs) WITH ORDINALITY x (c, m, n) OFFSET 0) u
              ORDER BY consent_data.key(u.key), u.n LOOP
        RETURN QUERY SELECT r.c, a.* FROM consent.claim_send(r.c, message_kind, product_category, NULL, channel, sender, campaign, r.m, at) a;
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent.claim_sends(text[], text, text, text, text, text, timestamptz, text[])
    IS 'claim_send() for many contacts, each at its own address, in the order of their keys. All their locks are held until the transaction ends: 1000 at most, and a transaction of its own. message_refs: one a contact.';

GRANT EXECUTE ON FUNCTION consent.claim_sends(text[], text, text, text, text, text, timestamptz, text[]) TO consent_decide;

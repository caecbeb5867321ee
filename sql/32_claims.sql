-- Claiming a message: decided for the address really used, held to limits and quiet hours, and logged, in one round trip.

CREATE PROCEDURE consent._create_claims(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.frequency_cap (
        frequency_cap_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        sender_id integer REFERENCES consent_data.sender,
        message_kind text REFERENCES consent_data.message_kind ON UPDATE CASCADE,
        nature text CHECK (nature = ANY (%s::text[])),
        channel text CHECK (channel = ANY (%s::text[])),
        jurisdiction text,
        max_messages integer NOT NULL CHECK (max_messages >= 0),
        per text NOT NULL CHECK (per IN ('day', 'week', 'month')),
        reason text NOT NULL CHECK (btrim(reason) <> ''),
        made_by text NOT NULL DEFAULT session_user,
        made_at timestamptz NOT NULL DEFAULT now(),
        CHECK (message_kind IS NULL OR nature IS NULL)
    )$ddl$, quote_literal(consent._codes('nature')), quote_literal(consent._codes('channel')));
    COMMENT ON TABLE consent_data.frequency_cap IS 'How many messages a person may get at most in any 24 hours, 7 days or 31 days (per). Each limit counts all messages it speaks of together; what it leaves open (NULL) it speaks of in full: all senders, all channels, every marketing nature. Service messages are limited only where their kind or nature is named. jurisdiction: of the person, by the pack''s id. reason: the law or the decision it comes from.';
    CREATE OR REPLACE TRIGGER check_cap BEFORE INSERT OR UPDATE ON consent_data.frequency_cap
        FOR EACH ROW EXECUTE FUNCTION consent._check_cap();

    CREATE INDEX IF NOT EXISTS event_preference ON consent_data.event (contact_id) WHERE kind = 'preference';

    -- When a planned message goes out it counts, not when it was claimed; and when the last yes to it was given.
    CREATE OR REPLACE VIEW consent_data.counted_claim AS
    SELECT d.decision_id, d.decided_at, d.contact_id,
           greatest(d.decided_at, d.not_before, (SELECT max(greatest(x.decided_at, x.not_before)) FROM consent_data.decision x
                                                  WHERE x.rechecks = d.decision_id AND x.allowed)) AS counts_at, d.message_kind, k.nature,
           coalesce(consent._is_service(k.nature), false) AS is_service, d.channel, d.sender_id, d.campaign, d.message_ref, d.jurisdiction
      FROM consent_data.decision d LEFT JOIN consent_data.message_kind k ON k.name = d.message_kind
     WHERE d.made_for = 'claim' AND d.allowed
       AND coalesce((SELECT o.outcome FROM consent_data.outcome o WHERE o.decision_id = d.decision_id AND o.decided_at = d.decided_at), 'sent') = 'sent';
    COMMENT ON VIEW consent_data.counted_claim IS 'Which messages count for limits? Those claimed with a yes and neither released nor failed; sent, or nothing noted yet. A kind that is no longer registered counts as marketing.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_claims(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_claims()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    GRANT SELECT, INSERT, UPDATE, DELETE ON consent_data.frequency_cap TO consent_admin;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_claims() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- A limit for a jurisdiction that no answer ever names would limit nothing.
CREATE FUNCTION consent._check_cap() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.jurisdiction IS NOT NULL AND NOT EXISTS (SELECT FROM consent._rules(NULL, now()) r WHERE r.jurisdiction_id = NEW.jurisdiction) THEN
        RAISE EXCEPTION 'jurisdiction `%` is not known', NEW.jurisdiction USING ERRCODE = 'undefined_object',
            HINT = format('The known ones are %s.', (SELECT string_agg(DISTINCT r.jurisdiction_id, ', ' ORDER BY r.jurisdiction_id) FROM consent._rules(NULL, now()) r));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION consent._check_cap() IS 'Trigger: refuses a limit for a jurisdiction that there is no pack of.';

CREATE FUNCTION consent._is_service(nature text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.array_position(consent._codes('nature'), nature) OPERATOR(pg_catalog.<)
           pg_catalog.array_position(consent._codes('nature'), 'marketing');
COMMENT ON FUNCTION consent._is_service(text) IS 'Whether a nature is that of a service message: those stand before marketing in the list of codes.';

CREATE FUNCTION consent._cap_span(per text) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- In hours, which no clock change and no calendar alters. With 31 days no month of the calendar holds more than the limit.
    RETURN CASE per WHEN 'day' THEN interval '24 hours' WHEN 'week' THEN interval '168 hours' ELSE interval '744 hours' END;
COMMENT ON FUNCTION consent._cap_span(text) IS 'The length of a limit''s period.';

-- How far ahead a message may be claimed: as far as the longest period, so that what counts was claimed within two of them.
CREATE FUNCTION consent._claim_ahead() RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN interval '744 hours';
COMMENT ON FUNCTION consent._claim_ahead() IS 'How long before it goes out a message may be claimed at most.';

CREATE FUNCTION consent._claim_known() RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN interval '93 days';
COMMENT ON FUNCTION consent._claim_known() IS 'How long a claim can be repeated and asked again.';

CREATE FUNCTION consent._claim_lock(contact text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.hashtextextended('pg_consent claim ' || contact, 0);
COMMENT ON FUNCTION consent._claim_lock(text) IS 'The number of the advisory lock under which a contact''s messages are claimed.';

CREATE FUNCTION consent._wait_for_claims(lock bigint) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    -- Less than deadlock_timeout: who waits in a circle is told no before anybody is made to give up.
    SET lock_timeout = '150ms'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(lock);
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION consent._wait_for_claims(bigint) IS 'Waits a little for a lock that another claim holds.';

-- The contact's lock, and those of all who were merged with it, in the order of their keys.
CREATE FUNCTION consent._hold_contact(contact text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    lock bigint := consent._claim_lock(contact);
    person text;
BEGIN
    IF NOT EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.from_id = key OR m.into_id = key) THEN
        RETURN pg_try_advisory_xact_lock(lock) OR consent._wait_for_claims(lock);
    END IF;
    FOR person IN SELECT consent._same_person(contact) LOOP
        lock := consent._claim_lock(person);
        IF NOT (pg_try_advisory_xact_lock(lock) OR consent._wait_for_claims(lock)) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION consent._hold_contact(text) IS 'Locks a person''s claims until the transaction ends; false where that would take long.';

-- What counts against limits: of the contact, and of all that were merged with it, who are the same person. A message is one, however
-- often it was asked about, and counts when the last yes to it was given. Plans of the log are kept, and made when a month begins, with
-- nothing in it: by index, however small it seems. Both ends of the time are given, so that other months' partitions are not even opened.
CREATE FUNCTION consent._claims_of(contact text, since timestamptz) RETURNS TABLE (
    decision_id bigint, counts_at timestamptz, message_kind text, nature text, is_service boolean, channel text, sender_id integer)
    LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    v_from timestamptz := since - consent._claim_ahead();
    v_upto timestamptz := clock_timestamp() + interval '1 minute';
    persons text[] := ARRAY[contact];
    ids bigint[];
    times timestamptz[];
    kinds text[];
    channels text[];
    senders integer[];
    again bigint[];
    gone bigint[];
BEGIN
    IF EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.from_id = key OR m.into_id = key) THEN
        persons := ARRAY(SELECT consent._same_person(contact));
    END IF;
    FOR key IN SELECT p FROM unnest(persons) p LOOP
        SELECT array_agg(coalesce(d.rechecks, d.decision_id)), array_agg(greatest(d.decided_at, d.not_before)), array_agg(d.message_kind),
               array_agg(d.channel), array_agg(d.sender_id), array_agg(d.rechecks) FILTER (WHERE d.rechecks IS NOT NULL)
          INTO ids, times, kinds, channels, senders, again
          FROM consent_data.decision d
         WHERE d.contact_id = key AND d.decided_at > v_from AND d.decided_at <= v_upto AND d.made_for IN ('claim', 'recheck') AND d.allowed;
        CONTINUE WHEN ids IS NULL;
        IF again IS NULL THEN
            gone := ARRAY(SELECT o.decision_id FROM consent_data.outcome o
                           WHERE o.decision_id = ANY (ids) AND o.decided_at > v_from AND o.decided_at <= v_upto AND o.outcome <> 'sent');
        ELSE
            -- Of claims from before that time, or of mere questions.
            gone := ARRAY(SELECT o.decision_id FROM consent_data.outcome o WHERE o.decision_id = ANY (ids) AND o.outcome <> 'sent'
                          UNION ALL
                          SELECT d.decision_id FROM consent_data.decision d WHERE d.decision_id = ANY (again) AND d.made_for <> 'claim');
        END IF;
        RETURN QUERY
        SELECT DISTINCT ON (c.id) c.id, c.t, c.kind, k.nature, coalesce(consent._is_service(k.nature), false), c.channel, c.sender
          FROM unnest(ids, times, kinds, channels, senders) c (id, t, kind, channel, sender) LEFT JOIN consent_data.message_kind k ON k.name = c.kind
         WHERE c.t > since AND c.id <> ALL (gone)
         ORDER BY c.id, c.t DESC;
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._claims_of(text, timestamptz) IS 'A person''s messages that count for limits, as far as they go out after an instant.';

-- The same message to the same person, and not another one under its name.
CREATE FUNCTION consent._claimed_before(
    contact text, message_ref text, message_kind text, category_id integer, channel text, sender_id integer, hashes bytea[]) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    is_merged boolean := EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.from_id = key OR m.into_id = key);
    since timestamptz := clock_timestamp() - consent._claim_known();
    upto timestamptz := clock_timestamp() + interval '1 minute';
BEGIN
    RETURN (SELECT d.decision_id FROM consent_data.decision d
             WHERE d.contact_id IN (SELECT key UNION ALL SELECT consent_data.key(p) FROM consent._same_person(contact) p WHERE is_merged)
               AND d.decided_at > since AND d.decided_at <= upto AND d.made_for = 'claim' AND d.allowed
               AND d.message_ref = message_ref AND d.message_kind = message_kind AND d.channel = channel AND d.sender_id = sender_id
               AND d.category_id IS NOT DISTINCT FROM category_id AND (hashes IS NULL OR d.address_hash = ANY (hashes))
               AND coalesce((SELECT o.outcome FROM consent_data.outcome o WHERE o.decision_id = d.decision_id AND o.decided_at = d.decided_at), 'sent') = 'sent'
             ORDER BY d.decided_at DESC, d.decision_id DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION consent._claimed_before(text, text, text, integer, text, integer, bytea[]) IS 'The claim of the same message that was neither released nor failed.';

-- The first instant from `at` on when one more message keeps to the limit; NULL: never.
CREATE FUNCTION consent._free_from(times timestamptz[], most integer, span interval, at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(s.t) FROM (SELECT at AS t UNION ALL SELECT x + span FROM unnest(times) x WHERE x + span > at) s
     WHERE most > 0
       -- No `most` messages that lie within one period together with this one, planned ones among them.
       AND NOT EXISTS (SELECT FROM (SELECT x AS first, lead(x, most - 1) OVER (ORDER BY x) AS last FROM unnest(times) x) r
                        WHERE r.last IS NOT NULL AND greatest(r.last, s.t) - least(r.first, s.t) < span)
$$;
COMMENT ON FUNCTION consent._free_from(timestamptz[], integer, interval, timestamptz) IS 'When one more message keeps to a limit.';

-- What one person wished may have been said under any of the keys that were merged.
CREATE FUNCTION consent._wishes(contact text, sender_id integer) RETURNS TABLE (channels text[], most integer, event_id bigint, at timestamptz)
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    is_merged boolean := EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.from_id = key OR m.into_id = key);
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (w.channels) w.channels, CASE jsonb_typeof(w.wish)
               WHEN 'null' THEN NULL
               -- What can't be read as a number is no leave to write.
               WHEN 'number' THEN least(greatest(floor(w.wish::numeric), 0), 1000000)::integer ELSE 0 END, w.event_id, w.at
      FROM (SELECT e.event_id, e.at, e.detail->'max_per_month' AS wish,
                   CASE WHEN 'any' = ANY (e.channels) OR cardinality(e.channels) = 0 THEN NULL
                        ELSE (SELECT array_agg(DISTINCT c ORDER BY c) FROM unnest(e.channels) c) END AS channels
              FROM (SELECT key AS id UNION SELECT consent_data.key(p) FROM consent._same_person(contact) p WHERE is_merged) person
              JOIN consent_data.event e ON e.contact_id = person.id
             WHERE e.kind = 'preference' AND e.sender_id = sender_id AND e.detail ? 'max_per_month') w
     ORDER BY w.channels, w.at DESC, w.event_id DESC;
END
$$;
COMMENT ON FUNCTION consent._wishes(text, integer)
    IS 'How many messages a month a person wants at most from a sender: the latest wish for each set of channels (NULL: all). most NULL: taken back.';

-- The limits that speak of a message: the operator's, and the person's own wishes.
CREATE FUNCTION consent._caps(contact text, message_kind text, nature text, channel text, sender_id integer, jurisdiction text)
    RETURNS TABLE (rule text, most integer, per text, sender integer, kind text, of_nature text, channels text[], citation text, event_id bigint)
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    marketing boolean := NOT coalesce(consent._is_service(nature), false);
BEGIN
    RETURN QUERY
    SELECT 'frequency_cap/' || f.frequency_cap_id, f.max_messages, f.per, f.sender_id, f.message_kind, f.nature,
           CASE WHEN f.channel IS NOT NULL THEN ARRAY[f.channel] END, f.reason, NULL::bigint
      FROM consent_data.frequency_cap f
     WHERE (f.sender_id IS NULL OR f.sender_id = sender_id)
       AND (f.channel IS NULL OR f.channel = channel)
       -- Of a person from who knows where, each.
       AND (f.jurisdiction IS NULL OR jurisdiction IS NULL OR f.jurisdiction = jurisdiction)
       AND CASE WHEN f.message_kind IS NOT NULL THEN f.message_kind = message_kind
                WHEN f.nature IS NOT NULL THEN f.nature = nature
                ELSE marketing END;
    IF marketing THEN
        RETURN QUERY
        SELECT 'preference', w.most, 'month', sender_id, NULL, NULL, w.channels, 'the person''s own wish', w.event_id
          FROM consent._wishes(contact, sender_id) w
         WHERE w.most IS NOT NULL AND (w.channels IS NULL OR channel = ANY (w.channels));
    END IF;
END
$$;
COMMENT ON FUNCTION consent._caps(text, text, text, text, integer, text) IS 'The limits that speak of a message to a person: consent_data.frequency_cap, and preferences with max_per_month.';

-- Whether a message that is allowed keeps to all limits; the answer as it was, or a no by the limit that lasts longest.
CREATE FUNCTION consent._keep_to_caps(
    answer jsonb, contact text, message_kind text, nature text, channel text, sender_id integer, at timestamptz, but bigint)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_variable
DECLARE
    c record;
    times timestamptz[];
    free timestamptz;
    worst timestamptz;
    kept jsonb := answer;
BEGIN
    FOR c IN SELECT x.* FROM consent._caps(contact, message_kind, nature, channel, sender_id, answer->>'jurisdiction') x LOOP
        SELECT array_agg(m.counts_at) INTO times FROM consent._claims_of(contact, at - consent._cap_span(c.per)) m
         WHERE m.decision_id IS DISTINCT FROM but
           AND (c.sender IS NULL OR m.sender_id = c.sender)
           AND (c.channels IS NULL OR m.channel = ANY (c.channels))
           AND CASE WHEN c.kind IS NOT NULL THEN m.message_kind = c.kind
                    WHEN c.of_nature IS NOT NULL THEN m.nature = c.of_nature OR m.nature IS NULL
                    ELSE NOT m.is_service END;
        CONTINUE WHEN coalesce(cardinality(times), 0) < c.most;
        free := consent._free_from(times, c.most, consent._cap_span(c.per), at);
        CONTINUE WHEN free = at OR coalesce(free, 'infinity') <= worst;
        worst := coalesce(free, 'infinity');
        kept := consent._denied(answer, 'frequency_cap', consent._wait_until(free), c.rule, c.citation, free, jsonb_strip_nulls(jsonb_build_object(
            'kind', 'frequency_cap', 'max_messages', c.most, 'per', c.per, 'counted', coalesce(cardinality(times), 0), 'event_ids', CASE WHEN c.event_id IS NOT NULL THEN ARRAY[c.event_id] END)));
    END LOOP;
    RETURN kept;
END
$$;
COMMENT ON FUNCTION consent._keep_to_caps(jsonb, text, text, text, text, integer, timestamptz, bigint) IS 'An answer after the limits.';

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

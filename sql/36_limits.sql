-- Limits on messages: how many one person gets in a time, by the law, the operator and the person's own wish.

CREATE PROCEDURE consent._create_claims()
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
COMMENT ON PROCEDURE consent._create_claims() IS 'Makes the tables and views of this part that are not there yet.';

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

-- Preferences, confirmations owed, and the days a law gives for both.

CREATE FUNCTION consent._opt_out_law(country text, requested_at timestamptz) RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE COST 20 AS 'MODULE_PATHNAME', '_opt_out_law_wrapper';
COMMENT ON FUNCTION consent._opt_out_law(text, timestamptz)
    IS 'Of a country''s law: jurisdiction, last day for an opt-out to take effect, by what law, last day to answer whoever gave it, by what law. NULL where no pack names the country.';
CREATE FUNCTION consent._state_country(state consent.state) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_state_country_wrapper';
COMMENT ON FUNCTION consent._state_country(consent.state) IS 'The country in a state''s master data.';

CREATE PROCEDURE consent._create_preferences()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    CREATE INDEX IF NOT EXISTS outbox_owed ON consent_data.outbox (outbox_id) WHERE sent_at IS NULL;
    CREATE INDEX IF NOT EXISTS outbox_event ON consent_data.outbox (event_id);

    CREATE OR REPLACE VIEW consent.outbox_due AS
    SELECT o.outbox_id, o.contact_id, o.event_id, o.kind, s.name AS sender, e.kind AS refusal, e.channels, c.name AS product_category,
           e.at AS refused_at, o.queued_at, l.law[1] AS jurisdiction, coalesce(l.law[4], l.law[2])::date AS due, coalesce(l.law[5], l.law[3]) AS law
      FROM consent_data.outbox o
      JOIN consent_data.event e USING (event_id)
      JOIN consent_data.sender s USING (sender_id)
      LEFT JOIN consent_data.category c USING (category_id)
      LEFT JOIN consent_data.contact_state x ON x.contact_id = o.contact_id,
           LATERAL (SELECT consent._opt_out_law(consent._state_country(x.state), e.at) AS law) l
     WHERE o.sent_at IS NULL;
    COMMENT ON VIEW consent.outbox_due IS 'The sender''s worker: which confirmations are owed, to whom, of what, and by which day of which law? Lock the rows in consent_data.outbox, as docs/unsubscribe.md shows.';

    CREATE OR REPLACE VIEW consent.audit_confirmation AS
    SELECT d.outbox_id, d.event_id, d.contact_id, d.kind, d.sender, d.jurisdiction, d.refused_at, d.due,
           (now() AT TIME ZONE 'UTC')::date - d.due AS days_over, d.law
      FROM consent.outbox_due d
     WHERE d.due < (now() AT TIME ZONE 'UTC')::date;
    COMMENT ON VIEW consent.audit_confirmation IS 'Privacy officer: who refused and was not told in time what was done, by how many days, and by what law?';

    CREATE OR REPLACE VIEW consent.audit_opt_out_deadline AS
    SELECT r.jurisdiction, r.sender, r.month, count(*) AS refusals, max(r.effect_law) AS effect_law,
           count(*) FILTER (WHERE r.entered_on <= r.effect_by) AS effective_in_time, count(*) FILTER (WHERE r.entered_on > r.effect_by) AS effective_late,
           max(r.answer_law) AS answer_law,
           count(*) FILTER (WHERE r.sent_on <= r.answer_by OR r.sent_on IS NOT NULL AND r.answer_by IS NULL) AS answered_in_time,
           count(*) FILTER (WHERE r.sent_on > r.answer_by) AS answered_late,
           count(*) FILTER (WHERE r.is_owed AND (r.answer_by >= r.today OR r.answer_by IS NULL)) AS answer_due,
           count(*) FILTER (WHERE r.is_owed AND r.answer_by < r.today) AS answer_overdue
      FROM (SELECT l.law[1] AS jurisdiction, s.name AS sender, (date_trunc('month', e.at, 'UTC') AT TIME ZONE 'UTC')::date AS month,
                   (e.entered_at AT TIME ZONE 'UTC')::date AS entered_on, l.law[2]::date AS effect_by, l.law[3] AS effect_law,
                   coalesce(l.law[4], l.law[2])::date AS answer_by, coalesce(l.law[5], l.law[3]) AS answer_law,
                   (o.sent_at AT TIME ZONE 'UTC')::date AS sent_on, o.outbox_id IS NOT NULL AND o.sent_at IS NULL AS is_owed,
                   (now() AT TIME ZONE 'UTC')::date AS today
              FROM consent_data.event e
              JOIN consent_data.sender s USING (sender_id)
              LEFT JOIN consent_data.outbox o USING (event_id)
              LEFT JOIN consent_data.contact_state x ON x.contact_id = e.contact_id,
                   LATERAL (SELECT consent._opt_out_law(consent._state_country(x.state), e.at) AS law OFFSET 0) l
             WHERE e.entered_at > now() - interval '13 months' AND e.kind IN ('opt_out', 'objection')
               -- An import's people were answered by whoever had the file, and a copy made by a merge is no request.
               AND e.detail->>'via' IS DISTINCT FROM 'system' AND NOT coalesce(e.detail ?| '{provenance,merged_from}', false)) r
     GROUP BY 1, 2, 3;
    COMMENT ON VIEW consent.audit_opt_out_deadline IS 'Privacy officer: of what was refused in the last 13 months, by month of the request: what took effect (was recorded) after the last day that a law gives, and what was answered in time, late, is still due, or overdue? No law: none names days there, or the country is not known.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_preferences() IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_preferences()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    GRANT SELECT ON consent.outbox_due TO consent_record, consent_audit;
    GRANT SELECT ON consent.audit_confirmation, consent.audit_opt_out_deadline TO consent_audit;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_preferences() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- Preferences --------------------------------------------------------------------------------------------------------

CREATE FUNCTION consent._category_line(category_id integer) RETURNS integer[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE line (id) AS (
            SELECT category_id UNION SELECT p.parent_id FROM line JOIN consent_data.category_parent p ON p.category_id = line.id)
        SELECT id FROM line ORDER BY id);
END
$$;
COMMENT ON FUNCTION consent._category_line(integer) IS 'A category and everything above it, now or ever.';

CREATE FUNCTION consent._max_per_month(contact text, sender_id integer, channel text) RETURNS integer
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN (SELECT min(w.most) FROM consent._wishes(contact, sender_id) w WHERE w.channels IS NULL OR channel = ANY (w.channels));
END
$$;
COMMENT ON FUNCTION consent._max_per_month(text, integer, text) IS 'How many messages a month the person wants at most from a sender on a channel; NULL: never said, or taken back.';

CREATE FUNCTION consent.set_preferences(
    contact text, wanted text[] DEFAULT NULL, unwanted text[] DEFAULT NULL, max_per_month integer DEFAULT NULL, sender text DEFAULT NULL,
    channel text DEFAULT 'email', evidence jsonb DEFAULT NULL, no_limit boolean DEFAULT false)
    RETURNS bigint[]
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := consent._key(contact);
    v_sender integer := consent._sender_id(sender);
    v_name text := (SELECT s.name FROM consent_data.sender s WHERE s.sender_id = v_sender);
    v_channel text := coalesce(channel, 'email');
    v_wanted integer[] := ARRAY(SELECT DISTINCT consent._category_id(w) FROM unnest(wanted) w WHERE w IS NOT NULL);
    v_unwanted integer[] := ARRAY(SELECT c.category_id FROM consent_data.category c WHERE c.name = ANY (unwanted));
    v_facts jsonb := '[]';
    v_so_already jsonb := '[]';
    v_limit integer;
    v_events bigint[] := '{}';
    v_refused boolean := false;
    r record;
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION 'no contact is named' USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the contact whose preferences these are by its key.';
    END IF;
    IF max_per_month NOT BETWEEN 1 AND 1000 OR max_per_month IS NOT NULL AND no_limit THEN
        RAISE EXCEPTION 'max_per_month is out of range' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give 1 to 1000, or no_limit => true to take an earlier one back. Who wants nothing opts out: consent.opt_out().';
    END IF;
    -- A refusal that is not understood is one of everything, and nothing is agreed to beside it.
    IF EXISTS (SELECT FROM unnest(unwanted) u WHERE u IS NOT NULL AND NOT EXISTS (SELECT FROM consent_data.category c WHERE c.name = u)) THEN
        RAISE WARNING 'an unwanted category is not known: the opt-out covers all of them' USING HINT = 'The known categories are in consent_data.category.';
        v_wanted := '{}';
        v_events := v_events || consent._record(contact, 'opt_out', clock_timestamp(), ARRAY[v_channel], NULL, v_name, NULL, NULL, NULL, NULL,
            '{"scope": "all", "via": "link"}', evidence, NULL, NULL, NULL);
    END IF;
    -- What is both wanted and unwanted is unwanted.
    v_wanted := ARRAY(SELECT w FROM unnest(v_wanted) w WHERE w <> ALL (v_unwanted));
    IF cardinality(v_wanted) > 0 THEN
        IF v_channel = 'any' THEN
            RAISE EXCEPTION 'an opt-in covers the channel it names' USING ERRCODE = 'invalid_parameter_value', HINT = 'Call it once for each channel that the person chose.';
        END IF;
        PERFORM consent._check_evidence('opt_in', evidence);
        BEGIN
            PERFORM consent._take_refusals(ARRAY[key::text], NULL);
        EXCEPTION WHEN OTHERS THEN
            -- A view of the CRM that can't be read keeps its contacts from being folded, which denies.
            NULL;
        END;
        v_facts := coalesce(consent.state_json(consent._current_state(key::text))->'facts', '[]');
        v_so_already := coalesce(jsonb_path_query_array(consent.preferences(key::text, v_name, v_channel), '$.categories[*] ? (@.wanted == true).name'), '[]');
        IF evidence IS NULL OR jsonb_strip_nulls(evidence) = '{}' THEN
            RAISE WARNING 'the opt-ins have no evidence' USING HINT = 'Where the law has the sender prove consent they allow nothing.';
        END IF;
    END IF;
    -- An opt-in to a category covers what is below it. What the person refused there before stays refused.
    v_unwanted := v_unwanted || ARRAY(
        SELECT DISTINCT e.category_id FROM consent_data.event e
         WHERE e.contact_id = key AND e.sender_id = v_sender AND e.kind = 'opt_out' AND e.detail->>'scope' = 'category'
           AND e.category_id <> ALL (v_wanted || v_unwanted) AND consent._category_line(e.category_id) && v_wanted
           AND NOT EXISTS (SELECT FROM consent_data.event x WHERE x.contact_id = key AND x.sender_id = v_sender AND x.kind = 'opt_in'
                              AND x.category_id = e.category_id AND x.at > e.at)
        UNION
        -- By address, without the contact's key.
        SELECT (f->>'category_id')::integer FROM jsonb_array_elements(v_facts) f
         WHERE f ? 'lifted_only_after' AND f->>'sender_id' = v_sender::text AND f->'channels' ? v_channel
           AND (f->>'category_id')::integer <> ALL (v_wanted || v_unwanted) AND consent._category_line((f->>'category_id')::integer) && v_wanted
           AND NOT EXISTS (SELECT FROM jsonb_array_elements(v_facts) o
                            WHERE o->>'kind' = 'opt_in' AND o->>'sender_id' = v_sender::text AND o->'category_id' = f->'category_id'
                              AND (o->>'at')::timestamptz > (f->>'lifted_only_after')::timestamptz));

    -- From the top of the tree down, so that what is said of a category holds against what is said of those above it.
    FOR r IN SELECT c.category_id, c.name, w.wants, l.line
               FROM (SELECT unnest(v_wanted) AS category_id, true AS wants UNION ALL SELECT unnest(v_unwanted), false) w
               JOIN consent_data.category c USING (category_id), LATERAL (SELECT consent._category_line(c.category_id) AS line OFFSET 0) l
              ORDER BY cardinality(l.line), w.wants DESC, c.category_id LOOP
        IF r.wants THEN
            -- A box that was ticked already and stays so is no new act, if it has the effect.
            CONTINUE WHEN v_so_already ? r.name AND EXISTS (
                SELECT FROM consent_data.event e
                 WHERE e.contact_id = key AND e.sender_id = v_sender AND e.kind = 'opt_in' AND e.category_id = r.category_id
                   AND v_channel = ANY (e.channels) AND e.evidence IS NOT NULL AND e.detail->>'expires' IS NULL
                   AND NOT EXISTS (SELECT FROM consent_data.event x
                                    WHERE x.contact_id = key AND x.sender_id = v_sender AND greatest(x.at, x.recorded_at) >= e.at
                                      AND (x.refused OR x.kind IN ('opt_out', 'objection', 'erasure_request', 'opt_in_refused'))
                                      AND (x.detail->>'scope' IS DISTINCT FROM 'category' OR x.category_id = ANY (r.line))));
            IF v_refused THEN
                -- States count in milliseconds, and ties deny.
                PERFORM pg_sleep(0.002);
            END IF;
            v_events := v_events || consent._record(contact, 'opt_in', clock_timestamp(), ARRAY[v_channel], r.name, v_name, NULL, NULL, NULL, '{marketing}',
                '{"method": "active"}', evidence, NULL, NULL, NULL);
        ELSE
            CONTINUE WHEN consent._opt_out_in_force(key::text, NULL, '{}', v_sender, v_channel, r.category_id, consent._said_anew()) IS NOT NULL;
            v_events := v_events || consent._record(contact, 'opt_out', clock_timestamp(), ARRAY[v_channel], r.name, v_name, NULL, NULL, NULL, NULL,
                '{"scope": "category", "via": "link"}', evidence, NULL, NULL, NULL);
            v_refused := true;
        END IF;
    END LOOP;

    v_limit := consent._max_per_month(key::text, v_sender, v_channel);
    IF (max_per_month IS NOT NULL OR no_limit)
       AND (max_per_month IS DISTINCT FROM v_limit
            OR max_per_month IS NOT NULL AND NOT EXISTS (SELECT FROM consent._wishes(key::text, v_sender) w
                                                          WHERE w.most = max_per_month AND w.at > consent._said_anew() AND (w.channels IS NULL OR v_channel = ANY (w.channels)))) THEN
        v_events := v_events || consent._record(contact, 'preference', NULL, ARRAY[v_channel], NULL, v_name, NULL, NULL, NULL, NULL,
            jsonb_build_object('max_per_month', max_per_month), evidence, NULL, NULL, NULL);
    END IF;
    RETURN v_events;
END
$$;
COMMENT ON FUNCTION consent.set_preferences(text, text[], text[], integer, text, text, jsonb, boolean)
    IS 'What a person chose in a preference centre, all or nothing: unwanted categories are opted out of, wanted ones opted in to (with evidence: what was ticked, and the wording), which lifts no other category''s opt-out. max_per_month: NULL leaves it; no_limit takes it back. Answers with the events recorded; a box that stays ticked is not recorded again, nor is what was said within the hour.';

CREATE FUNCTION consent.preferences(contact text, sender text DEFAULT NULL, channel text DEFAULT 'email') RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := consent._key(contact);
    v_sender integer := consent._sender_id(sender);
    v_channel text := coalesce(channel, 'email');
    facts jsonb := coalesce(consent.state_json(consent._current_state(key::text))->'facts', '[]');
BEGIN
    RETURN (
        WITH said AS (
            SELECT f->>'kind' = 'opt_in' AS wants, (f->>'category_id')::integer AS category_id,
                   coalesce(f->>'lifted_only_after', f->>'at')::timestamptz AS at
              FROM jsonb_array_elements(facts) f
             WHERE f->>'sender_id' = v_sender::text AND (v_channel = 'any' OR f->'channels' ? v_channel)
               AND (f ? 'lifted_only_after'
                    OR f->>'kind' = 'opt_in' AND f->>'evidence' = 'proof' AND f->>'pending' = 'false'
                       AND CASE WHEN f->>'expires' IS NULL OR f->>'expires' = 'never' THEN true ELSE (f->>'expires')::timestamptz > statement_timestamp() END)),
        answer AS (
            SELECT c.category_id, c.name, c.parent_id, last.wants, last.at
              FROM consent_data.category c
              LEFT JOIN LATERAL (SELECT s.wants, s.at FROM said s
                                  WHERE s.category_id IS NULL OR s.category_id = ANY (consent._category_line(c.category_id))
                                  ORDER BY s.at DESC, s.wants LIMIT 1) last ON true)
        SELECT jsonb_build_object(
            'sender', (SELECT s.name FROM consent_data.sender s WHERE s.sender_id = v_sender),
            'channel', v_channel,
            'refused', coalesce((SELECT NOT s.wants FROM said s WHERE s.category_id IS NULL ORDER BY s.at DESC, s.wants LIMIT 1), false),
            'max_per_month', consent._max_per_month(key::text, v_sender, v_channel),
            'categories', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'parent', p.name, 'wanted', a.wants, 'since', a.at) ORDER BY a.name), '[]')
                             FROM answer a LEFT JOIN consent_data.category p ON p.category_id = a.parent_id)));
END
$$;
COMMENT ON FUNCTION consent.preferences(text, text, text)
    IS 'What a preference centre shows of a person: refused (everything of the sender on the channel), max_per_month, and of each category whether it is wanted (true, false, or NULL: nothing was said) and since when. Whether a message may go, can_send says.';

GRANT EXECUTE ON FUNCTION consent._opt_out_law(text, timestamptz), consent._state_country(consent.state) TO consent_record, consent_audit;
DO $$
DECLARE
    f pg_catalog.regprocedure;
BEGIN
    FOR f IN SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'consent'::pg_catalog.regnamespace AND p.proname IN ('set_preferences', 'preferences') LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO consent_record', f);
    END LOOP;
END
$$;

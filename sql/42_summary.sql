-- What the night counts over everybody, so that audit views answer at once and say how old they are. The logs are counted
-- by the views consent_data.count_…, the states by the batch, all of one moment; consent-batch summarise puts both here.

CREATE PROCEDURE consent._create_summary()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    CREATE TABLE IF NOT EXISTS consent_data.summary (
        part text PRIMARY KEY,
        run_id bigint NOT NULL,
        counted_at timestamptz NOT NULL,
        rows jsonb NOT NULL CHECK (jsonb_typeof(rows) = 'array')
    );
    COMMENT ON TABLE consent_data.summary IS 'The last counts over everybody: the rows of one audit view each, all of the moment counted_at, and replaced together. Counts and codes alone, nothing of one person.';
    CALL consent._create_counts();
    CALL consent._create_summary_views();
END
$procedure$;
COMMENT ON PROCEDURE consent._create_summary() IS 'Makes the table of the counts that is not there yet, and the views that count and show them.';

CREATE FUNCTION consent._summary_replace(run bigint, counted_at timestamptz, parts jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One transaction: whoever reads meanwhile reads the whole of the one before.
    DELETE FROM consent_data.summary;
    INSERT INTO consent_data.summary (part, run_id, counted_at, rows) SELECT p.key, run, counted_at, p.value FROM jsonb_each(parts) p;
END
$$;
COMMENT ON FUNCTION consent._summary_replace(bigint, timestamptz, jsonb) IS 'Puts new counts in the place of all those before; parts: the rows of each.';

-- A person's words may stand where a code belongs: such a one is not shown.
CREATE FUNCTION consent._reason_code(detail jsonb, reason text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN detail->>'reason_code' ~ '^[a-z0-9_]{1,40}$' THEN detail->>'reason_code'
                WHEN reason IS NOT NULL THEN 'in words' ELSE 'not stated' END;
COMMENT ON FUNCTION consent._reason_code(jsonb, text) IS 'The code of a refusal''s reason; that it was given in words, but not the words.';

CREATE FUNCTION consent._covers(kind text, channels text[], channel text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN kind IN ('objection', 'erasure_request')
        OR channel IS NULL OR COALESCE(channels, '{email}') && ARRAY[channel, 'any'];
COMMENT ON FUNCTION consent._covers(text, text[], text) IS 'Whether a refusal or an opt-in on these channels is about messages on a channel; where that is not known, it is.';

CREATE PROCEDURE consent._create_counts()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
DECLARE
    -- Written out, not called: what is a service message by its nature, policy says (the natures before marketing).
    service text := quote_literal((consent._codes('nature'))[:array_position(consent._codes('nature'), 'marketing') - 1]);
    graded boolean := to_regprocedure('consent._evidence_grade(text, text, jsonb)') IS NOT NULL;
BEGIN
    CREATE OR REPLACE VIEW consent_data.count_opt_out AS
    SELECT date_trunc('month', e.at AT TIME ZONE 'UTC')::date AS month, e.kind, coalesce(array_to_string(e.channels, ','), 'any') AS channels,
           s.name AS sender, e.detail->>'via' AS via, consent._reason_code(e.detail, e.reason) AS reason, count(*) AS events
      FROM consent_data.event e JOIN consent_data.sender s USING (sender_id)
     WHERE e.kind IN ('opt_out', 'objection', 'erasure_request')
     GROUP BY 1, 2, 3, 4, 5, 6;
    COMMENT ON VIEW consent_data.count_opt_out IS 'Counts consent.audit_opt_out_trend as of now.';

    -- The rate is of messages: each refusal counts against the last one before it, if that is not too long ago.
    CREATE OR REPLACE VIEW consent_data.sent_message AS
    SELECT d.decision_id, d.decided_at, d.contact_id, d.address_hash, d.message_kind, d.campaign, d.sender_id, d.channel
      FROM consent_data.decision d
     WHERE d.made_for = 'claim' AND d.allowed
       -- Few: a table of them is kept beside, not of all outcomes.
       AND NOT EXISTS (SELECT FROM consent_data.outcome o WHERE o.decision_id = d.decision_id AND o.decided_at = d.decided_at AND o.outcome <> 'sent')
       AND d.decided_at >= (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '23 months') AT TIME ZONE 'UTC';
    COMMENT ON VIEW consent_data.sent_message IS 'The claims of this month and the 23 before that were sent, as far as is known.';

    CREATE OR REPLACE VIEW consent_data.count_opt_out_rate AS
    SELECT x.month, x.message_kind, x.campaign, s.name AS sender, x.channel, sum(x.sent)::bigint AS sent, sum(x.refused)::bigint AS refused
      FROM (SELECT date_trunc('month', m.decided_at AT TIME ZONE 'UTC')::date AS month, m.message_kind, m.campaign, m.sender_id, m.channel,
                   count(*) AS sent, 0 AS refused
              FROM consent_data.sent_message m GROUP BY 1, 2, 3, 4, 5
            UNION ALL
            (SELECT DISTINCT ON (e.contact_id, m.sender_id, m.message_kind, date_trunc('month', m.decided_at AT TIME ZONE 'UTC'))
                    date_trunc('month', m.decided_at AT TIME ZONE 'UTC')::date, m.message_kind, m.campaign, m.sender_id, m.channel, 0, 1
               FROM consent_data.event e,
                    LATERAL (SELECT n.* FROM consent_data.sent_message n
                              WHERE n.contact_id = e.contact_id AND n.sender_id = e.sender_id AND n.decided_at <= e.at
                                AND n.decided_at > e.at - interval '30 days' AND consent._covers(e.kind, e.channels, n.channel)
                              ORDER BY n.decided_at DESC, n.decision_id DESC LIMIT 1) m
              WHERE e.kind IN ('opt_out', 'objection', 'erasure_request')
                AND e.at >= (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '23 months') AT TIME ZONE 'UTC'
                -- What the person did: no clean-up of ours, and no copy that a merge made.
                AND e.detail->>'via' IS DISTINCT FROM 'system' AND e.detail->'merged_from' IS NULL
              -- A person who says it again is one person: the first time counts.
              ORDER BY e.contact_id, m.sender_id, m.message_kind, date_trunc('month', m.decided_at AT TIME ZONE 'UTC'), e.at, e.event_id)) x
      LEFT JOIN consent_data.sender s USING (sender_id)
     GROUP BY 1, 2, 3, 4, 5;
    COMMENT ON VIEW consent_data.count_opt_out_rate IS 'Counts consent.audit_opt_out_rate as of now.';

    -- Known to us, about this channel and everything of this sender, and not lifted before the message went.
    EXECUTE format($ddl$
    CREATE OR REPLACE VIEW consent_data.count_service_share AS
    WITH refusal AS (
        SELECT e.contact_id, e.sender_id, e.kind, e.channels, e.at, e.recorded_at FROM consent_data.event e
         WHERE e.kind IN ('opt_out', 'objection', 'erasure_request') AND e.contact_id IS NOT NULL AND e.detail->>'scope' IS DISTINCT FROM 'category'
        UNION ALL
        SELECT ca.contact_id, e.sender_id, e.kind, e.channels, e.at, e.recorded_at
          FROM consent_data.event e JOIN consent_data.address_event ae USING (event_id)
          JOIN consent_data.contact_address ca ON ca.address_hash = ae.address_hash
         WHERE e.kind IN ('opt_out', 'objection', 'erasure_request') AND ca.contact_id IS DISTINCT FROM e.contact_id
           AND e.detail->>'scope' IS DISTINCT FROM 'category'
    ), message AS NOT MATERIALIZED (
        SELECT m.*, k.nature FROM consent_data.sent_message m LEFT JOIN consent_data.message_kind k ON k.name = m.message_kind
         -- A kind that was taken away is looked at, too.
         WHERE k.nature IS NULL OR k.nature = ANY (%s::text[])
    )
    SELECT x.message_kind, x.nature, x.campaign, s.name AS sender, sum(x.messages)::bigint AS messages, sum(x.to_refused)::bigint AS to_refused,
           sum(x.erased_since)::bigint AS erased_since, min(x.first_at) AS first_at, max(x.last_at) AS last_at
      FROM (SELECT m.message_kind, m.nature, m.campaign, m.sender_id, count(m.contact_id) AS messages, 0 AS to_refused,
                   count(*) - count(m.contact_id) AS erased_since, NULL::timestamptz AS first_at, NULL::timestamptz AS last_at
              FROM message m GROUP BY 1, 2, 3, 4
            UNION ALL
            SELECT m.message_kind, m.nature, m.campaign, m.sender_id, 0, count(*), 0, min(m.decided_at), max(m.decided_at)
              FROM message m
             WHERE EXISTS (
                   SELECT FROM refusal r
                    WHERE r.contact_id = m.contact_id AND r.sender_id = m.sender_id AND greatest(r.at, r.recorded_at) <= m.decided_at
                      AND consent._covers(r.kind, r.channels, m.channel)
                      AND NOT EXISTS (SELECT FROM consent_data.event o
                                       WHERE o.contact_id = m.contact_id AND o.sender_id = m.sender_id AND o.kind IN ('opt_in', 'opt_in_confirmed')
                                         AND o.from_person AND consent._covers(o.kind, o.channels, m.channel)
                                         AND least(o.at, o.recorded_at) > greatest(r.at, r.recorded_at) AND o.recorded_at <= m.decided_at))
             GROUP BY 1, 2, 3, 4) x
      LEFT JOIN consent_data.sender s USING (sender_id)
     GROUP BY 1, 2, 3, 4$ddl$, service);
    COMMENT ON VIEW consent_data.count_service_share IS 'Counts consent.audit_service_share as of now.';

    CREATE OR REPLACE VIEW consent_data.count_decision AS
    SELECT d.policy_decision->>'switch' AS switch, (d.policy_decision->>'permissive')::boolean AS permissive,
           d.policy_decision->>'decided_by' AS decided_by, d.policy_decision->>'decided_on' AS decided_on, d.policy_decision->>'document' AS document,
           count(*) AS answers, count(*) FILTER (WHERE d.allowed) AS allowed, count(*) FILTER (WHERE d.allowed AND d.made_for = 'claim') AS claims,
           min(d.decided_at) AS first_at, max(d.decided_at) AS last_at
      FROM consent_data.decision d
     WHERE d.policy_decision IS NOT NULL
     GROUP BY 1, 2, 3, 4, 5;
    COMMENT ON VIEW consent_data.count_decision IS 'Counts the logged answers of consent.audit_decision as of now.';

    -- Of an erased person no evidence is missing.
    EXECUTE format($ddl$
    CREATE OR REPLACE VIEW consent_data.count_evidence AS
    SELECT x.kind, s.name AS sender, x.method, x.kept_in, g.grade, g.lacks, count(*) AS events,
           count(*) FILTER (WHERE x.evidence IS NULL) AS without_evidence, count(*) FILTER (WHERE x.evidence = '{}') AS empty_evidence
      FROM (SELECT e.kind, e.sender_id, e.detail->>'method' AS method, e.evidence, 'ledger' AS kept_in FROM consent_data.event e
             WHERE e.kind IN ('opt_in', 'opt_in_confirmed') AND e.erased_at IS NULL
            UNION ALL
            SELECT c.kind, c.sender_id, c.method, c.evidence, 'crm' FROM consent_data.crm_consent c
             WHERE c.kind IN ('opt_in', 'opt_in_confirmed')) x
      JOIN consent_data.sender s USING (sender_id), LATERAL %s g (grade, lacks)
     GROUP BY 1, 2, 3, 4, 5, 6$ddl$, CASE WHEN graded
        THEN '(SELECT f.found[1], f.found[2:] FROM (SELECT consent._evidence_grade(x.kind, x.method, x.evidence) AS found OFFSET 0) f)'
        ELSE $sql$(SELECT CASE WHEN x.evidence IS NULL THEN 'none' WHEN jsonb_strip_nulls(x.evidence) = '{}' THEN 'partial' ELSE 'complete' END, '{}'::text[])$sql$ END);
    COMMENT ON VIEW consent_data.count_evidence IS 'Counts consent.audit_evidence_gap as of now.';

    CREATE OR REPLACE VIEW consent_data.count_retention AS
    SELECT a.stage, a.rule, s.name AS sender, date_trunc('month', a.ends_at AT TIME ZONE 'UTC')::date AS ends_in, count(*) AS contacts,
           max(a.acted_at) AS last_acted_at, a.action, a.outcome, a.reason, max(a.found_at) AS last_found_at,
           min(a.act_after) FILTER (WHERE a.acted_at IS NULL) AS acts_from
      FROM consent_data.retention_action a JOIN consent_data.sender s USING (sender_id)
     GROUP BY a.stage, a.rule, s.name, 4, a.action, a.outcome, a.reason;
    COMMENT ON VIEW consent_data.count_retention IS 'Counts consent.audit_retention as of now.';

    -- Once it had other columns.
    DROP VIEW IF EXISTS consent_data.count_quality;
    CREATE VIEW consent_data.count_quality AS
    SELECT count(*) AS contacts, count(*) FILTER (WHERE c.country IS NULL) AS without_country,
           count(*) FILTER (WHERE nullif(btrim(c.name), '') IS NULL) AS without_name,
           count(*) FILTER (WHERE s.contact_id IS NULL) AS not_folded
      FROM consent_data.crm_contact c LEFT JOIN consent_data.contact_state s ON s.contact_id = c.contact_id;
    COMMENT ON VIEW consent_data.count_quality IS 'Counts what consent.audit_data_quality says of the CRM''s contacts, as of now. What states know of them, the batch counts.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_counts() IS 'Makes the views that count the logs and the CRM''s contacts.';

CREATE PROCEDURE consent._create_summary_views()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    CREATE OR REPLACE VIEW consent.audit_summary_age AS
    SELECT s.counted_at, now() - s.counted_at AS age, s.run_id,
           CASE WHEN s.counted_at IS NULL THEN 'never' ELSE format('%s hours ago', floor(extract(epoch FROM now() - s.counted_at) / 3600)) END AS counted,
           coalesce(s.counted_at < now() - interval '26 hours', true) AS stale
      FROM (SELECT max(x.counted_at) AS counted_at, max(x.run_id) AS run_id FROM consent_data.summary x) s;
    COMMENT ON VIEW consent.audit_summary_age IS 'Privacy officer and DBA: how old are the counts in the audit views that have counted_at? never: consent-batch summarise (or nightly) has not run yet, and those views are empty. stale: older than 26 hours.';

    CREATE OR REPLACE VIEW consent.audit_permission AS
    SELECT x.message_kind, x.product_category, x.jurisdiction, x.allowed, x.basis, x.reason, x.contacts, x.sender, x.channel, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (message_kind text, product_category text, sender text, channel text, jurisdiction text,
               allowed boolean, basis text, reason text, contacts bigint)
     WHERE s.part = 'permission';
    COMMENT ON VIEW consent.audit_permission IS 'Privacy officer: whom may we write to, on which basis, and why not the others? For the messages in consent_data.audit_question, from each sender, as counted by the last night; consent.explain_audience() counts one message now.';

    CREATE OR REPLACE VIEW consent.audit_expiring AS
    SELECT x.message_kind, x.product_category, x.jurisdiction, x.basis, x.month, x.contacts, x.sender, x.channel, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (message_kind text, product_category text, sender text, channel text, jurisdiction text,
               basis text, month date, contacts bigint)
     WHERE s.part = 'expiring';
    COMMENT ON VIEW consent.audit_expiring IS 'Privacy officer and campaign planner: which permissions end within a year if nothing happens, by month? As counted by the last night; months of UTC.';

    CREATE OR REPLACE VIEW consent.audit_opt_out_trend AS
    SELECT x.month, x.kind, x.channels, x.via, x.reason, x.events, x.sender, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (month date, kind text, channels text, sender text, via text, reason text, events bigint)
     WHERE s.part = 'opt_out';
    COMMENT ON VIEW consent.audit_opt_out_trend IS 'Privacy officer and marketing: how many refuse, when, by which route, and for what reasons? As counted by the last night. reason: the code; in words: the person wrote some, and audit_ledger has them.';

    CREATE OR REPLACE VIEW consent.audit_opt_out_rate AS
    SELECT x.month, x.message_kind, x.campaign, x.sender, x.channel, x.sent, x.refused,
           CASE WHEN x.sent > 0 THEN round(1000.0 * x.refused / x.sent, 2) END AS per_thousand, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (month date, message_kind text, campaign text, sender text, channel text, sent bigint, refused bigint)
     WHERE s.part = 'opt_out_rate';
    COMMENT ON VIEW consent.audit_opt_out_rate IS 'Privacy officer and marketing: which messages make people refuse? Refusals per thousand messages claimed and sent in a month, of 24 months; a refusal counts against the last message of that sender within the 30 days before it, and a person once a kind of message and month. Refusals of people erased since count against none.';

    CREATE OR REPLACE VIEW consent.audit_service_share AS
    SELECT x.message_kind, x.nature, x.campaign, x.sender, x.messages, x.to_refused, x.erased_since,
           CASE WHEN x.messages > 0 THEN round(x.to_refused::numeric / x.messages, 4) END AS share, x.first_at, x.last_at, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (message_kind text, nature text, campaign text, sender text, messages bigint, to_refused bigint,
               erased_since bigint, first_at timestamptz, last_at timestamptz)
     WHERE s.part = 'service_share';
    COMMENT ON VIEW consent.audit_service_share IS 'Privacy officer: is advertising sent under the label of a service message? By template (kind and campaign) of 24 months, how many messages went to people who had opted out before (of that sender, on that channel, and had not opted in again), as a share from 0 to 1: a template far above the others deserves a look. nature: NULL where the kind was taken away.';

    CREATE OR REPLACE VIEW consent.audit_evidence_gap AS
    SELECT x.kind, x.sender, x.method, x.events, x.without_evidence, x.empty_evidence, x.kept_in, x.grade, x.lacks, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (kind text, sender text, method text, kept_in text, grade text, lacks text[], events bigint,
               without_evidence bigint, empty_evidence bigint)
     WHERE s.part = 'evidence';
    COMMENT ON VIEW consent.audit_evidence_gap IS 'Privacy officer: could we prove it? Opt-ins by method and by the grade of their evidence, and what it lacks; kept_in: in the ledger, or in the CRM''s own table. As counted by the last night; audit_ledger has each.';

    CREATE OR REPLACE VIEW consent.audit_retention AS
    SELECT x.stage, x.rule, x.sender, x.ends_in, x.contacts, x.last_acted_at, x.action, x.outcome, x.reason, x.last_found_at, x.acts_from,
           CASE x.stage WHEN 'warning' THEN 'the end is near: plan what is still to be sent'
                        WHEN 'renewal' THEN 'the reactivation audience: one message may ask, while it is still lawful (consent.retention_due)'
                        ELSE 'no marketing any more' END AS meaning, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (stage text, rule text, sender text, ends_in date, contacts bigint, last_acted_at timestamptz,
               action text, outcome text, reason text, last_found_at timestamptz, acts_from timestamptz)
     WHERE s.part = 'retention';
    COMMENT ON VIEW consent.audit_retention IS 'DBA and privacy officer: whose data reached the end of its time, by which rule, and what was done? As counted by the last night; consent.retention_due names them.';

    CREATE OR REPLACE VIEW consent.audit_data_quality AS
    SELECT x.contacts, x.without_country, x.with_valid_email, x.with_valid_phone, x.not_folded, x.with_valid_post, x.without_clean_address,
           x.without_name, x.unknown_how_subscribed, x.without_evidence, x.waiting, s.counted_at
      FROM consent_data.summary s,
           jsonb_to_recordset(s.rows) x (contacts bigint, without_country bigint, with_valid_email bigint, with_valid_phone bigint, not_folded bigint,
               with_valid_post bigint, without_clean_address bigint, without_name bigint, unknown_how_subscribed bigint, without_evidence bigint,
               waiting bigint)
     WHERE s.part = 'quality';
    COMMENT ON VIEW consent.audit_data_quality IS 'DBA and privacy officer: of how many contacts is the record complete? Those without a country, a name, a state; and, of the states, of how many there is a valid address or none at all, it is not known how they subscribed, there is no evidence, or a fold is waited for (which counts for nothing else here). As counted by the last night; audit_contact_record says it of one contact, by the addresses it ever had read.';

    -- Live, for the page, which is of its own moment.
    CREATE OR REPLACE VIEW consent.report_evidence AS
    SELECT e.kind, s.name AS sender, e.detail->>'method' AS method, count(*) AS events,
           count(*) FILTER (WHERE e.evidence IS NULL) AS without_evidence,
           count(*) FILTER (WHERE e.evidence = '{}') AS empty_evidence
      FROM consent_data.event e JOIN consent_data.sender s USING (sender_id)
     WHERE e.kind IN ('opt_in', 'opt_in_confirmed') AND e.erased_at IS NULL
     GROUP BY 1, 2, 3;
    COMMENT ON VIEW consent.report_evidence IS 'Opt-ins of the ledger by method as of now, and how many have no evidence, for the privacy officer''s page. audit_evidence_gap has the grades, too, and the CRM''s.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_summary_views() IS 'Makes the audit views that show the last counts.';

CREATE PROCEDURE consent._grant_summary()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    GRANT SELECT ON consent.audit_summary_age, consent.audit_opt_out_rate, consent.audit_service_share, consent.report_evidence TO consent_audit;
    GRANT SELECT ON consent.audit_summary_age, consent.report_evidence TO consent_batch;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_summary() IS 'Grants on the tables and views of this part; setup() calls it last.';

GRANT EXECUTE ON FUNCTION consent._summary_replace(bigint, timestamptz, jsonb) TO consent_batch;
-- The views that count, and those over the CRM, call them with the rights of whoever asks.
GRANT EXECUTE ON FUNCTION consent._reason_code(jsonb, text), consent._covers(text, text[], text), consent._refuses(text) TO consent_batch, consent_audit;
DO $$
BEGIN
    IF pg_catalog.to_regprocedure('consent._evidence_grade(text, text, jsonb)') IS NOT NULL THEN
        GRANT EXECUTE ON FUNCTION consent._evidence_grade(text, text, jsonb) TO consent_batch, consent_audit;
    END IF;
END
$$;

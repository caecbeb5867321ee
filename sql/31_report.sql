-- What the privacy officer's page (consent-batch report --html) is made from, where SQL aggregates well; what has to be
-- decided contact by contact the batch counts in one pass over the states.

CREATE PROCEDURE consent._create_report_views()
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    -- Two years of refusals out of a ledger that has everything else, too.
    CREATE INDEX IF NOT EXISTS event_refused ON consent_data.event (at) WHERE kind IN ('opt_out', 'objection', 'erasure_request');

    CREATE OR REPLACE VIEW consent.report_opt_outs AS
    SELECT date_trunc('month', e.at AT TIME ZONE 'UTC')::date AS month, e.kind, s.name AS sender,
           coalesce(e.detail->>'via', 'not stated') AS via,
           -- What a person wrote is personal data, also where it stands in the place of a code.
           CASE WHEN e.detail->>'reason_code' ~ '^[a-z0-9_]{1,40}$' THEN e.detail->>'reason_code' ELSE 'not stated' END AS reason_code,
           count(*) AS events
      FROM consent_data.event e JOIN consent_data.sender s USING (sender_id)
     WHERE e.kind IN ('opt_out', 'objection', 'erasure_request')
       AND e.at >= (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '23 months') AT TIME ZONE 'UTC'
     GROUP BY 1, 2, 3, 4, 5;
    COMMENT ON VIEW consent.report_opt_outs IS 'Refusals of this month and the 23 before, by kind, sender, route and reason code; no words of people. audit_opt_out_trend has all years and the words.';

    CREATE OR REPLACE VIEW consent.audit_segment_performance AS
    SELECT r.finished_at AS counted_at, x.dimension, x.segment, x.stayed, x.refused, x.stayed_categories, x.refused_categories,
           x.stayed_bought, x.refused_bought, x.stayed_clicked, x.refused_clicked, x.refused_bought_after, x.pooled
      FROM (SELECT n.finished_at, n.figures FROM consent_data.run n
             WHERE n.step = 'report' AND n.outcome = 'done' ORDER BY n.run_id DESC LIMIT 1) r,
           jsonb_to_recordset(r.figures->'segments') x (dimension text, segment text, stayed bigint, refused bigint,
               stayed_categories double precision, refused_categories double precision, stayed_bought double precision,
               refused_bought double precision, stayed_clicked double precision, refused_clicked double precision,
               refused_bought_after double precision, pooled bigint);
    COMMENT ON VIEW consent.audit_segment_performance IS 'Marketing and privacy officer: which groups refuse, and how did those who refused do against those who stayed? As the last consent-batch report counted it: categories bought from on average, and the shares (0 to 1) who bought and clicked in the year before they refused, or before the report. NULL: fewer than 10 people, or others that would give them away; pooled: people of all groups too small to be shown.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_report_views() IS 'Makes the views of the privacy officer''s page.';

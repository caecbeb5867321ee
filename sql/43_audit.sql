-- Audit views over the logs: of single decisions live, by index; of all of them as the last night counted.

CREATE PROCEDURE consent._create_audit()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    -- A few rows of a ledger that has everything else, too.
    CREATE INDEX IF NOT EXISTS event_held ON consent_data.event (at) WHERE kind IN ('legal_hold', 'legal_hold_released');
    CREATE INDEX IF NOT EXISTS decision_ref ON consent_data.decision (message_ref) WHERE message_ref IS NOT NULL;

    CREATE OR REPLACE VIEW consent.audit_decision_log AS
    SELECT d.decision_id, d.decided_at, d.contact_id, d.message_kind, c.name AS category, d.channel, s.name AS sender, d.campaign, d.message_ref,
           d.allowed, d.reason, d.basis, d.rule, d.jurisdiction, d.valid_until, d.not_before, d.obligations, d.evidence, d.policy_decision,
           d.policy_version, d.similarity_version, d.made_for, d.rechecks, d.decided_by, d.erased_at, o.outcome, o.noted_at, o.noted_by
      FROM consent_data.decision d
      LEFT JOIN consent_data.outcome o ON o.decision_id = d.decision_id AND o.decided_at = d.decided_at
      LEFT JOIN consent_data.sender s ON s.sender_id = d.sender_id
      LEFT JOIN consent_data.category c ON c.category_id = d.category_id;
    COMMENT ON VIEW consent.audit_decision_log IS 'Privacy officer and campaign planner: what was asked and answered about a contact, in a campaign or for one message, on which ground, and what became of it? At once for one contact_id, campaign or message_ref, or a stretch of decided_at; counts of all are in audit_opt_out_rate, audit_service_share and audit_decision.';

    CREATE OR REPLACE VIEW consent.audit_decision AS
    SELECT coalesce(p.switch, x.switch) AS switch, coalesce(p.permissive, x.permissive) AS permissive,
           coalesce(p.decided_by, x.decided_by) AS decided_by, coalesce(p.decided_on, x.decided_on::date) AS decided_on, p.reason,
           coalesce(p.document, x.document) AS document, p.revoked_at, p.policy_decision_id IS NOT NULL AND p.revoked_at IS NULL AS in_force,
           CASE WHEN s.counted_at IS NOT NULL THEN coalesce(x.answers, 0) END AS answers,
           CASE WHEN s.counted_at IS NOT NULL THEN coalesce(x.allowed, 0) END AS allowed,
           CASE WHEN s.counted_at IS NOT NULL THEN coalesce(x.claims, 0) END AS claims,
           x.first_at, x.last_at, s.counted_at
      FROM consent_data.policy_decision p
      FULL JOIN (SELECT r.* FROM consent_data.summary n,
                        jsonb_to_recordset(n.rows) r (switch text, permissive boolean, decided_by text, decided_on text, document text,
                            answers bigint, allowed bigint, claims bigint, first_at timestamptz, last_at timestamptz)
                  WHERE n.part = 'decision') x
             ON x.switch = p.switch AND x.permissive = p.permissive AND x.decided_by = p.decided_by
            AND x.decided_on = to_char(p.decided_on, 'YYYY-MM-DD') AND x.document = p.document
      LEFT JOIN consent_data.summary s ON s.part = 'decision';
    COMMENT ON VIEW consent.audit_decision IS 'Privacy officer: which decisions on contested points of law are in use, made by whom, and how many logged answers (of them yes, of them messages) rest on each, since when? decided_by default: nobody decided, and the point is decided by our reading. Answers as counted by the last night.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_audit() IS 'Makes the audit views over the logs, and the indexes they need.';

CREATE PROCEDURE consent._grant_audit()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    GRANT SELECT ON consent.audit_decision_log, consent.audit_decision TO consent_audit;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_audit() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- Security last, over everything made above: nothing to PUBLIC, each role what it needs.

CREATE PROCEDURE consent._grant_data()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    REVOKE ALL ON SCHEMA consent, consent_data FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA consent, consent_data FROM PUBLIC;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA consent FROM PUBLIC;
    GRANT USAGE ON SCHEMA consent TO consent_decide, consent_record, consent_audit, consent_batch, consent_admin;
    GRANT SELECT ON consent.decidable TO consent_decide, consent_batch;
    GRANT EXECUTE ON FUNCTION consent.audience(text, text, text, text, timestamptz) TO consent_decide, consent_batch;
    GRANT EXECUTE ON FUNCTION consent.explain_audience(text, text, text, text, timestamptz) TO consent_audit;
    GRANT USAGE ON SCHEMA consent_data TO consent_audit, consent_batch, consent_admin;
    GRANT SELECT ON ALL TABLES IN SCHEMA consent_data TO consent_audit;
    GRANT SELECT ON consent.audit_permission, consent.audit_expiring, consent.audit_opt_out_trend, consent.audit_evidence_gap,
        consent.audit_contact_record, consent.audit_retention, consent.audit_similarity, consent.audit_policy,
        consent.audit_policy_override, consent.audit_ledger, consent.audit_run, consent.audit_data_quality,
        consent.audit_subject, consent.contact_similar TO consent_audit;
    GRANT SELECT ON consent.retention_due TO consent_record, consent_audit, consent_admin;
    GRANT SELECT ON consent.retention_configuration TO consent_audit, consent_admin;
    GRANT SELECT ON consent.report_opt_outs, consent.audit_segment_performance TO consent_audit, consent_batch;
    GRANT SELECT ON consent.audit_evidence_gap, consent.audit_retention, consent.sealed_text TO consent_batch;
    GRANT SELECT ON consent.sealed_text TO consent_audit;
    GRANT SELECT ON ALL TABLES IN SCHEMA consent_data TO consent_batch;
    GRANT INSERT, UPDATE ON consent_data.run TO consent_batch;
    REVOKE DELETE ON consent_data.similarity_version FROM consent_batch;
    GRANT UPDATE (yes_rate) ON consent_data.setting TO consent_batch;
    GRANT SELECT, INSERT, UPDATE ON consent_data.sender, consent_data.message_kind, consent_data.category,
        consent_data.similarity_override, consent_data.policy_decision, consent_data.policy_override, consent_data.setting, consent_data.audit_question TO consent_admin;
    GRANT DELETE ON consent_data.similarity_override, consent_data.policy_override, consent_data.message_kind, consent_data.audit_question TO consent_admin;
    GRANT UPDATE (sent_at) ON consent_data.outbox TO consent_record;
    GRANT SELECT ON consent_data.outbox TO consent_record;
    GRANT USAGE ON SCHEMA consent_data TO consent_record;
END
$$;
COMMENT ON PROCEDURE consent._grant_data() IS 'Grants on the data: nothing to PUBLIC, each role what it needs.';

REVOKE ALL ON SCHEMA consent FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA consent FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA consent FROM PUBLIC;
REVOKE ALL ON TYPE consent.state, consent.compiled_question FROM PUBLIC;
GRANT USAGE ON SCHEMA consent TO consent_decide, consent_record, consent_audit, consent_batch, consent_admin;
GRANT USAGE ON TYPE consent.state, consent.compiled_question TO consent_decide, consent_record, consent_audit, consent_batch, consent_admin;

GRANT EXECUTE ON FUNCTION
    consent.can_send(bigint, text, text, text, text, timestamptz),
    consent.can_send(uuid, text, text, text, text, timestamptz),
    consent.can_send(text, text, text, text, text, timestamptz),
    consent.question(text, text, text, text, timestamptz),
    consent._allows(consent.state, consent.compiled_question),
    consent.decide(consent.state, consent.compiled_question),
    consent._decide(consent.state, consent.compiled_question),
    consent._unpack(jsonb)
    TO consent_decide, consent_audit, consent_batch;

GRANT EXECUTE ON FUNCTION
    consent.explain_send(text, text, text, text, text, timestamptz),
    consent._explain_send(text, text, text, text, text, timestamptz),
    consent.explain_send_as_of(text, text, text, timestamptz, timestamptz, text, text),
    consent._unpack(jsonb)
    TO consent_decide, consent_audit;

GRANT EXECUTE ON FUNCTION
    consent.policy(text, timestamptz), consent._rules(text, timestamptz), consent._policy(text, timestamptz),
    consent.opt_out_deadline(text, timestamptz, text)
    TO consent_audit;

GRANT EXECUTE ON FUNCTION
    consent.state_json(consent.state), consent._overflows(consent.state), consent._codes(text)
    TO consent_audit, consent_batch;

GRANT EXECUTE ON FUNCTION consent.validate_policy(jsonb), consent.check_bindings(), consent.key_status() TO consent_audit;

GRANT EXECUTE ON FUNCTION consent.can_send_address(text, text, text, text, text, timestamptz, text) TO consent_decide, consent_audit;

GRANT EXECUTE ON FUNCTION consent.contacts_at(text, text, text) TO consent_record, consent_audit;

GRANT EXECUTE ON FUNCTION consent.country_code(text) TO consent_decide, consent_record, consent_audit, consent_batch;

GRANT EXECUTE ON FUNCTION
    consent.subscription_status(text, text, text), consent._subscription_status(text, text, text)
    TO consent_decide, consent_audit;

GRANT EXECUTE ON FUNCTION
    consent._state_bytes(consent.state), consent._question_bytes(consent.compiled_question),
    consent._refold_addresses(boolean), consent._refold_fold(boolean, boolean), consent._refold_drift(integer), consent._refold_due(),
    consent._refold_apply(bigint, bigint), consent._refold_finish(),
    consent.refold_pending(integer), consent.check_bindings(), consent.key_status(),
    consent._refold_contact(text), consent.refold(text[]), consent._key(text),
    consent._similar_prepare(integer), consent._similar_publish(integer, double precision, text), consent._similar_drop_old()
    TO consent_batch;

-- The view over it calls it with the rights of whoever asks.
GRANT EXECUTE ON FUNCTION consent._similar_to(consent.state, integer) TO consent_audit;

GRANT EXECUTE ON FUNCTION consent.maintain_partitions() TO consent_batch;

GRANT EXECUTE ON FUNCTION consent._draft(jsonb), consent._draft_question(text, text, text, text, timestamptz, jsonb)
    TO consent_batch, consent_audit;

GRANT EXECUTE ON FUNCTION
    consent._retention_record(bigint, text[], integer[], text[], text[], timestamptz[], timestamptz[]),
    consent._retention_news(text[], integer[], text[], timestamptz[], timestamptz[]),
    consent._retention_move(text[], text[], integer[], timestamptz[]), consent._retention_configured(integer),
    consent._retention_begin(), consent._retention_swap(bytea, bigint), consent._retire(bigint, integer)
    TO consent_batch;
GRANT EXECUTE ON FUNCTION consent._retention_due() TO consent_record, consent_audit;
GRANT EXECUTE ON FUNCTION consent._retention_fault(integer) TO consent_audit;

GRANT EXECUTE ON FUNCTION
    consent._record(text, text, timestamptz, text[], text, text, text, boolean, boolean, text[], jsonb, jsonb, text, text, timestamptz, bytea)
    TO consent_record;
GRANT EXECUTE ON FUNCTION
    consent._pending_purposes(text, text[], text), consent.opt_out_addresses(text[], text, text, text, timestamptz), consent.address_hash(text, text, text)
    TO consent_record;

GRANT EXECUTE ON FUNCTION
    consent.import_suppressions(regclass, jsonb, text, text, boolean), consent.import_consents(regclass, jsonb, text, text, boolean),
    consent._import(text, jsonb[], jsonb, text, text, boolean), consent._import_rows(text, regclass), consent._import_columns(text)
    TO consent_record;

-- Auditors read every table it comes from anyway; whoever records need not see whom it concerns.
REVOKE ALL ON TYPE consent.suppression_row, consent.consent_row FROM PUBLIC;
GRANT USAGE ON TYPE consent.suppression_row, consent.consent_row TO consent_audit, consent_admin;
GRANT EXECUTE ON FUNCTION consent.export_suppressions(text, text), consent.export_consents(text) TO consent_audit;

-- The recording functions come in three key types.
DO $$
DECLARE
    f pg_catalog.regprocedure;
BEGIN
    FOR f IN SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'consent'::pg_catalog.regnamespace
                AND p.proname IN ('record_event', 'opt_in', 'confirm_opt_in', 'opt_out', 'object', 'merge_contacts', 'legal_hold') LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO consent_record', f);
    END LOOP;
    FOR f IN SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'consent'::pg_catalog.regnamespace AND p.proname = 'subject_access' LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO consent_audit', f);
    END LOOP;
    FOR f IN SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'consent'::pg_catalog.regnamespace AND p.prokind IN ('f', 'p')
                -- Whoever may call them may become anybody, or do to any contact what is configured for the expired.
                AND p.proname NOT IN ('_become', '_execute_as', '_retention_act', '_retire_contact') LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO consent_admin', f);
    END LOOP;
END
$$;

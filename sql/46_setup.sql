CREATE PROCEDURE consent.setup(key_type text DEFAULT 'bigint')
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    existing text;
    key_column text := CASE key_type WHEN 'text' THEN 'text COLLATE "C"' ELSE key_type END;
    nature text;
    fingerprint bytea;
BEGIN
    IF key_type IS NULL OR key_type NOT IN ('bigint', 'uuid', 'text') THEN
        RAISE EXCEPTION 'key type `%` is not supported', key_type USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Use bigint, uuid or text: the type of the CRM''s contact ids.';
    END IF;
    CALL consent._create_tables(key_type);
    CALL consent._create_subject_tables(key_column);
    CALL consent._create_key_tables();
    CALL consent._create_ledger_tables(key_column);
    CALL consent._create_similar_tables();
    CALL consent._create_retention_tables(key_column);
    SELECT s.key_type INTO existing FROM consent_data.setting s;
    IF existing <> key_type THEN
        RAISE EXCEPTION 'the data has % keys', existing USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = format('Run CALL consent.setup(key_type => %L);', existing);
    END IF;
    INSERT INTO consent_data.setting (key_type) VALUES (key_type) ON CONFLICT DO NOTHING;
    -- A kind for every nature, and the two that every shop sends.
    INSERT INTO consent_data.message_kind (name, nature)
    SELECT n, n FROM unnest(consent._codes('nature')) n
    UNION ALL VALUES ('order_confirmation', 'transactional'), ('order_tracking', 'transactional')
    ON CONFLICT DO NOTHING;
    -- With data there is a key already, and a new one would hide every suppression.
    IF NOT EXISTS (SELECT FROM consent_data.key_generation) THEN
        INSERT INTO consent_data.key_generation (fingerprint) VALUES (consent._key_create());
    END IF;
    CALL consent._create_triggers();
    CALL consent._create_ledger_triggers();
    CALL consent._create_views(key_type);
    CALL consent._create_subject_views();
    CALL consent._create_similar_views();
    CALL consent._create_retention_views(key_type);
    CALL consent._create_report_views();
    CALL consent._create_ledger_views();
    CALL consent._create_seals();
    CALL consent._create_decisions();
    CALL consent._create_claims();
    CALL consent._create_unsubscribe();
    CALL consent._create_preferences();
    CALL consent._create_evidence();
    CALL consent._create_summary();
    CALL consent._create_audit();
    CALL consent._grant_data();
    CALL consent._grant_seals();
    CALL consent._grant_claims();
    CALL consent._grant_unsubscribe();
    CALL consent._grant_preferences();
    CALL consent._grant_evidence();
    CALL consent._grant_summary();
    CALL consent._grant_audit();
    PERFORM consent._invalidate_configuration();
END
$$;
COMMENT ON PROCEDURE consent.setup(text)
    IS 'Makes the data tables, the views over them and the address key; whatever is there already stays. Run it once after CREATE EXTENSION, and again after an update or a restore. key_type: bigint, uuid or text, as the CRM''s contact ids.';

-- Triggers: configuration is read again, a category keeps its old parents, the ledger only grows.

-- With the owner's rights: whoever may change a table need not be able to call the function.
CREATE FUNCTION consent._configuration_changed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM consent._invalidate_configuration();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._configuration_changed() IS 'Trigger: makes every session read the configuration again.';

CREATE FUNCTION consent._remember_parent() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO consent_data.category_parent (category_id, parent_id)
    SELECT NEW.category_id, NEW.parent_id WHERE NEW.parent_id IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._remember_parent() IS 'Trigger: records every parent a category ever has.';

CREATE FUNCTION consent._log_name(relation text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.regexp_replace(relation, '_([0-9]{4}_[0-9]{2}|default)$', '');
COMMENT ON FUNCTION consent._log_name(text) IS 'The table of which a relation is a month''s partition.';

CREATE FUNCTION consent._raise_append_only(operation text, relation text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log text := consent._log_name(relation);
BEGIN
    RAISE EXCEPTION '% of consent_data.% is not allowed', operation, log
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = CASE log WHEN 'category' THEN 'Category ids keep their meaning for ever: an old opt-out refers to them.'
                                WHEN 'event' THEN 'The ledger is append-only: it is the proof of every decision.'
                                ELSE 'The log of decisions is append-only: it is the proof of what was asked and answered.' END,
              HINT = CASE log WHEN 'category' THEN 'Rename the category, or give it another parent.'
                              WHEN 'event' THEN 'Record a further event that corrects the earlier one; a person''s request for erasure is met with consent.erase().'
                              ELSE 'What became of a claim is noted with consent.claim_outcome(); a person''s request for erasure is met with consent.erase().' END;
END
$$;
COMMENT ON FUNCTION consent._raise_append_only(text, text) IS 'Refuses a change of a table, or of one of its partitions, that only grows.';

CREATE FUNCTION consent._refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM consent._raise_append_only(TG_OP, TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION consent._refuse_change() IS 'Trigger: the ledger, the log of decisions and the categories only grow.';

CREATE PROCEDURE consent._notice_changes(relation text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER configuration_changed
        AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON consent_data.%I
        FOR EACH STATEMENT EXECUTE FUNCTION consent._configuration_changed()', relation);
    EXECUTE format('ALTER TABLE consent_data.%I ENABLE ALWAYS TRIGGER configuration_changed', relation);
END
$$;
COMMENT ON PROCEDURE consent._notice_changes(text) IS 'Has every session read the configuration again when a table of consent_data changes.';

CREATE PROCEDURE consent._create_triggers()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['setting', 'sender', 'message_kind', 'category', 'category_parent', 'similarity',
                                'similarity_override', 'policy_decision', 'policy_override', 'key_generation', 'binding',
                                'watch', 'watch_failure'] LOOP
        CALL consent._notice_changes(name);
    END LOOP;
    -- Partitions have no triggers of a statement from their parent.
    FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'consent_data.similarity'::regclass LOOP
        CALL consent._notice_changes(name);
    END LOOP;
    CREATE OR REPLACE TRIGGER remember_parent AFTER INSERT OR UPDATE OF parent_id ON consent_data.category
        FOR EACH ROW EXECUTE FUNCTION consent._remember_parent();
    CREATE OR REPLACE TRIGGER check_decision BEFORE INSERT OR UPDATE ON consent_data.policy_decision
        FOR EACH ROW EXECUTE FUNCTION consent._check_decision();
    CREATE OR REPLACE TRIGGER check_document BEFORE INSERT OR UPDATE ON consent_data.policy_override
        FOR EACH ROW EXECUTE FUNCTION consent._check_override();
    CREATE OR REPLACE TRIGGER keep BEFORE DELETE OR TRUNCATE ON consent_data.category
        FOR EACH STATEMENT EXECUTE FUNCTION consent._refuse_change();
END
$$;
COMMENT ON PROCEDURE consent._create_triggers() IS 'Attaches the triggers of the data tables.';

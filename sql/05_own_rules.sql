-- Own rules: what an organisation adds to the law, checked when it is written.

CREATE FUNCTION consent._override_faults(document jsonb, others jsonb) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_override_faults_wrapper';
COMMENT ON FUNCTION consent._override_faults(jsonb, jsonb)
    IS 'The faults of a document of own rules beside an array of other documents: [{"path", "problem"}], empty where there is none.';

CREATE FUNCTION consent._switches() RETURNS text[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_switches_wrapper';
COMMENT ON FUNCTION consent._switches() IS 'The contested points of all packs, own ones included.';

CREATE FUNCTION consent._check_override() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    others jsonb;
    faults text;
BEGIN
    -- What became invalid by an update can still be switched off.
    IF TG_OP = 'UPDATE' AND NOT NEW.enabled AND NEW.document = OLD.document THEN
        RETURN NEW;
    END IF;
    IF btrim(coalesce(NEW.reason, '')) = '' THEN
        RAISE EXCEPTION 'own rules `%` give no reason', NEW.name USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'expected a reason', HINT = 'Say why your organisation is stricter, or on what law a jurisdiction of its own rests.';
    END IF;
    IF NEW.enabled THEN
        SELECT jsonb_agg(o.document) INTO others FROM consent_data.policy_override o
         WHERE o.enabled AND o.name <> NEW.name AND (TG_OP = 'INSERT' OR o.name <> OLD.name);
    END IF;
    SELECT string_agg(format('%s: %s', f.value->>'path', f.value->>'problem'), E'\n' ORDER BY f.ordinality) INTO faults
      FROM jsonb_array_elements(consent._override_faults(NEW.document, coalesce(others, '[]'))) WITH ORDINALITY f;
    IF faults IS NOT NULL THEN
        RAISE EXCEPTION 'own rules `%` are not valid', NEW.name USING ERRCODE = 'invalid_parameter_value', DETAIL = faults,
            HINT = CASE WHEN NEW.document ? 'extends' THEN 'Own rules can only tighten. For a contested point, record a decision in consent_data.policy_decision.'
                   ELSE 'A pack of your own has the shape of those in policy/packs, as JSON.' END;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.document <> OLD.document THEN
        NEW.made_by := session_user;
        NEW.made_at := now();
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION consent._check_override() IS 'Trigger: refuses own rules that are faulty or loosen a pack, with every fault.';

CREATE FUNCTION consent._check_decision() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known text;
BEGIN
    -- Answers were given on it: another decision is another row.
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'revoked_at' <> to_jsonb(OLD) - 'revoked_at' THEN
        RAISE EXCEPTION 'a recorded decision is not rewritten' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Set its revoked_at, and record the new decision in a row of its own.';
    END IF;
    IF btrim(coalesce(NEW.decided_by, '')) = '' OR btrim(coalesce(NEW.reason, '')) = '' OR btrim(coalesce(NEW.document, '')) = '' THEN
        RAISE EXCEPTION 'a decision on a contested point must be on record' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'expected decided_by, reason and document', HINT = 'Say who decided, why, and where it is written.';
    END IF;
    -- What became unknown by an update can still be revoked.
    IF NEW.switch = ANY (consent._switches()) OR TG_OP = 'UPDATE' AND NEW.switch = OLD.switch THEN
        RETURN NEW;
    END IF;
    SELECT string_agg(s, ', ' ORDER BY s) INTO known FROM unnest(consent._switches()) s
     WHERE split_part(s, '.', 1) = split_part(NEW.switch, '.', 1);
    RAISE EXCEPTION 'no pack has a contested point `%`', NEW.switch USING ERRCODE = 'invalid_parameter_value',
        DETAIL = 'A decision on it would change no answer.',
        HINT = coalesce('The known ones of this pack are: ' || known || '.',
                        'Points are named pack.point; SELECT DISTINCT unnest(contested) FROM consent.audit_policy lists them.');
END
$$;
COMMENT ON FUNCTION consent._check_decision() IS 'Trigger: refuses a decision that does not say who, why and where, or that is on a point no pack leaves open.';

CREATE FUNCTION consent.validate_policy(document jsonb) RETURNS TABLE (path text, problem text)
    LANGUAGE plpgsql STABLE ROWS 5 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT f.value->>'path', f.value->>'problem'
      FROM jsonb_array_elements(consent._override_faults(validate_policy.document, coalesce(
               (SELECT jsonb_agg(o.document) FROM consent_data.policy_override o
                 WHERE o.enabled AND o.document <> validate_policy.document), '[]'))) WITH ORDINALITY f
     ORDER BY f.ordinality;
END
$$;
COMMENT ON FUNCTION consent.validate_policy(jsonb)
    IS 'What is wrong with a document of own rules, beside the compiled-in packs and the other enabled documents; no row: it can be put into consent_data.policy_override.';

-- Evidence: what is accepted as such, how much it proves, and the wordings people agreed to.

CREATE FUNCTION consent._evidence_fault(kind text, evidence jsonb) RETURNS text[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_evidence_fault_wrapper';
COMMENT ON FUNCTION consent._evidence_fault(text, jsonb)
    IS 'The key of an opt-in''s evidence that can''t be what it is for, and what was expected; NULL for nothing. Of other kinds nothing is checked.';

CREATE FUNCTION consent._evidence_grade(kind text, method text, evidence jsonb) RETURNS text[]
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_evidence_grade_wrapper';
COMMENT ON FUNCTION consent._evidence_grade(text, text, jsonb) IS 'Implements consent.evidence_grade().';

CREATE FUNCTION consent.evidence_grade(kind text, method text, evidence jsonb, OUT grade text, OUT lacks text[])
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT g.found[1], g.found[2:] FROM (SELECT consent._evidence_grade(kind, method, evidence) AS found) g;
END;
COMMENT ON FUNCTION consent.evidence_grade(text, text, jsonb)
    IS 'Could we prove it two years later? complete, partial or none, and what lacks: of a web form the form, the wording and page or mechanism; of an oral opt-in script and recording; of a confirmation its token. Of a refusal nothing has to be proved. Whether a message may go, the packs say.';

CREATE FUNCTION consent._check_evidence(kind text, evidence jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fault text[] := consent._evidence_fault(kind, evidence);
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION 'the evidence of an opt-in is malformed' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('`%s` is not %s.', fault[1], fault[2]),
            HINT = 'Write for example {"form": "footer/2", "wording": "...", "page": "/join"} with the hash that consent.keep_wording() gave. A key of your own may hold anything.';
    END IF;
END
$$;
COMMENT ON FUNCTION consent._check_evidence(text, jsonb) IS 'Raises for evidence of an opt-in in which a known key has a value that is none.';

CREATE PROCEDURE consent._create_evidence()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    CREATE TABLE IF NOT EXISTS consent_data.wording (
        hash text PRIMARY KEY,
        text text NOT NULL CHECK (btrim(text) <> ''),
        name text NOT NULL CHECK (btrim(name) <> ''),
        version text,
        language text CHECK (language ~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$'),
        kept_since timestamptz NOT NULL DEFAULT now(),
        kept_by text NOT NULL DEFAULT session_user,
        CHECK (hash = encode(sha256(convert_to(text, 'UTF8')), 'hex'))
    );
    COMMENT ON TABLE consent_data.wording IS 'The texts that people agreed to, each once, by the SHA-256 of its UTF-8 bytes. Append-only: evidence refers to it for ever.';
    CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consent_data.wording
        FOR EACH STATEMENT EXECUTE FUNCTION consent._refuse_wording_change();

    CREATE OR REPLACE VIEW consent.audit_wording AS
    SELECT coalesce(w.hash, u.wording) AS wording, w.name, w.version, w.language, w.kept_since,
           coalesce(u.uses, 0) AS uses, u.first_used, u.last_used,
           CASE WHEN w.hash IS NULL THEN 'used, but its text is not kept' WHEN u.wording IS NULL THEN 'kept, but never used' END AS problem
      FROM consent_data.wording w
      FULL JOIN (SELECT x.wording, count(*) AS uses, min(x.at) AS first_used, max(x.at) AS last_used
                   FROM (SELECT CASE WHEN e.evidence->>'wording' ~* '^[0-9a-f]{64}$' THEN lower(e.evidence->>'wording')
                                     ELSE e.evidence->>'wording' END AS wording, e.at
                           FROM consent_data.event e WHERE e.evidence->>'wording' IS NOT NULL) x
                  GROUP BY x.wording) u ON u.wording = w.hash;
    COMMENT ON VIEW consent.audit_wording IS 'Privacy officer: can we show every text that people agreed to? Wordings that evidence names but nobody kept, those kept but never used, and how often and when the others were.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_evidence() IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_evidence()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    GRANT SELECT ON consent.audit_wording TO consent_audit;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_evidence() IS 'Grants on the tables and views of this part; setup() calls it last.';

CREATE FUNCTION consent._refuse_wording_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of consent_data.wording is not allowed', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = 'A wording is the proof of what people agreed to.',
              HINT = 'Keep the new text with consent.keep_wording(); it has a hash of its own.';
END
$$;
COMMENT ON FUNCTION consent._refuse_wording_change() IS 'Trigger: the kept wordings only grow.';

CREATE FUNCTION consent.keep_wording(text text, name text, version text DEFAULT NULL, language text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_hash text;
BEGIN
    IF btrim(coalesce(text, '')) = '' OR btrim(coalesce(name, '')) = '' THEN
        RAISE EXCEPTION 'a wording needs its text and a name' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Give the text exactly as people saw it, and a name such as footer form.';
    END IF;
    IF language !~ '^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$' THEN
        RAISE EXCEPTION 'the language of a wording is malformed' USING ERRCODE = 'invalid_parameter_value', HINT = 'Write it as BCP 47 has it: en, de-AT.';
    END IF;
    v_hash := encode(sha256(convert_to(text, 'UTF8')), 'hex');
    INSERT INTO consent_data.wording AS w (hash, text, name, version, language) VALUES (v_hash, text, name, version, language)
    ON CONFLICT DO NOTHING;
    RETURN v_hash;
END
$$;
COMMENT ON FUNCTION consent.keep_wording(text, text, text, text)
    IS 'Keeps a text that people agree to and answers with its hash (SHA-256, hexadecimal), for evidence {"wording": hash}. Again with the same text: the same hash, and the names it was first kept under.';

GRANT EXECUTE ON FUNCTION consent.keep_wording(text, text, text, text) TO consent_record;
GRANT EXECUTE ON FUNCTION consent.evidence_grade(text, text, jsonb), consent._evidence_grade(text, text, jsonb)
    TO consent_record, consent_audit, consent_batch;

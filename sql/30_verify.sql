-- Verifying and simulating: the batch's verdicts against the server's, and those under a draft of the law.

CREATE FUNCTION consent._draft(document jsonb) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE COST 10000 AS 'MODULE_PATHNAME', '_draft_wrapper';
COMMENT ON FUNCTION consent._draft(jsonb)
    IS 'What a draft of the law or of own rules does: {"pack", "does", "loosens": [{"path", "problem"}]}. Raises with every fault of one that is not valid.';

CREATE FUNCTION consent._draft_question(
    message_kind text, product_category text, channel text, sender text, at timestamptz, document jsonb)
    RETURNS bytea
    LANGUAGE c STABLE PARALLEL SAFE COST 10000 AS 'MODULE_PATHNAME', '_draft_question_wrapper';
COMMENT ON FUNCTION consent._draft_question(text, text, text, text, timestamptz, jsonb)
    IS 'The question as it would be under a draft, in stored form: for consent-batch simulate, which counts. Bytes, since nothing may be decided by it.';

-- The two types: what is known of a contact, and what is asked. Both are opaque varlena; C functions are bound here
-- by name. Nothing is for PUBLIC: sql/47_grants.sql revokes and grants.

CREATE TYPE consent.state;
CREATE TYPE consent.compiled_question;

CREATE FUNCTION consent.state_in(cstring) RETURNS consent.state
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_in_wrapper';
CREATE FUNCTION consent.state_out(consent.state) RETURNS cstring
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_out_wrapper';
CREATE FUNCTION consent.question_in(cstring) RETURNS consent.compiled_question
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'question_in_wrapper';
CREATE FUNCTION consent.question_out(consent.compiled_question) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'question_out_wrapper';

-- STORAGE main: a state stays in its row (it is capped at 1.9 kB) and is not compressed, which costs six times a read.
CREATE TYPE consent.state (
    INPUT = consent.state_in,
    OUTPUT = consent.state_out,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = main
);
CREATE TYPE consent.compiled_question (
    INPUT = consent.question_in,
    OUTPUT = consent.question_out,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = extended
);

CREATE FUNCTION consent._allows(consent.state, consent.compiled_question) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', '_allows_wrapper';

-- The default for an operator without one would be 0.5, and that of its namesakes 0.001, which makes the planner look
-- up each of half a million contacts by index.
CREATE FUNCTION consent._allows_selectivity(internal, oid, internal, integer) RETURNS double precision
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_allows_selectivity_wrapper';

CREATE OPERATOR consent.@@ (
    FUNCTION = consent._allows,
    LEFTARG = consent.state,
    RIGHTARG = consent.compiled_question,
    RESTRICT = consent._allows_selectivity
);

CREATE FUNCTION consent._merge(consent.state, consent.state) RETURNS consent.state
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_merge_wrapper';

-- Facts are gathered and merged once a group, not decoded and encoded at each of them.
CREATE FUNCTION consent._fold_add(internal, consent.state) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_fold_add_wrapper';
CREATE FUNCTION consent._fold_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_fold_combine_wrapper';
CREATE FUNCTION consent._fold_write(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_fold_write_wrapper';
CREATE FUNCTION consent._fold_read(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_fold_read_wrapper';
CREATE FUNCTION consent._fold_finish(internal) RETURNS consent.state
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_fold_finish_wrapper';

CREATE AGGREGATE consent.fold(consent.state) (
    SFUNC = consent._fold_add,
    STYPE = internal,
    SSPACE = 256,
    FINALFUNC = consent._fold_finish,
    COMBINEFUNC = consent._fold_combine,
    SERIALFUNC = consent._fold_write,
    DESERIALFUNC = consent._fold_read,
    PARALLEL = safe
);

CREATE FUNCTION consent._cap(consent.state) RETURNS consent.state
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_cap_wrapper';
CREATE FUNCTION consent._overflows(consent.state) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_overflows_wrapper';
CREATE FUNCTION consent._dirty() RETURNS consent.state
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_dirty_wrapper';
CREATE FUNCTION consent._state_bytes(consent.state) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_state_bytes_wrapper';
CREATE FUNCTION consent._question_bytes(consent.compiled_question) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_question_bytes_wrapper';
CREATE FUNCTION consent.state_json(state consent.state) RETURNS jsonb
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_json_wrapper';

CREATE FUNCTION consent._same(a consent.state, b consent.state) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_same_wrapper';

COMMENT ON TYPE consent.state IS
    'Everything known of one contact that a decision can depend on, merged and compact. Auditors see all of it (state_json), others its version and size.';
COMMENT ON TYPE consent.compiled_question IS
    'Everything a decision needs besides the contact: the message, the sender, the time, the similar categories and the rules. Made by consent.question().';
COMMENT ON FUNCTION consent.state_in(cstring) IS 'Input of type consent.state; refuses what is not a state of this version.';
COMMENT ON FUNCTION consent.state_out(consent.state) IS 'Output of type consent.state; complete for auditors, the batch and administrators only.';
COMMENT ON FUNCTION consent.question_in(cstring) IS 'Input of type consent.compiled_question; administrators only, because a forged question could say yes.';
COMMENT ON FUNCTION consent.question_out(consent.compiled_question) IS 'Output of type consent.compiled_question.';
COMMENT ON FUNCTION consent._allows(consent.state, consent.compiled_question) IS 'Implements state @@ question. Pure: reads no table; NULL or broken operands deny.';
COMMENT ON FUNCTION consent._allows_selectivity(internal, oid, internal, integer) IS 'For the planner: the share of yes of the last night (consent_data.setting.yes_rate).';
COMMENT ON OPERATOR consent.@@ (consent.state, consent.compiled_question) IS 'May the message asked about be sent to the contact with this state?';
COMMENT ON FUNCTION consent._merge(consent.state, consent.state) IS 'Joins two states; commutative, associative, idempotent.';
COMMENT ON FUNCTION consent._fold_add(internal, consent.state) IS 'Part of the aggregate fold: gathers a fact.';
COMMENT ON FUNCTION consent._fold_combine(internal, internal) IS 'Part of the aggregate fold: takes in what another process has gathered.';
COMMENT ON FUNCTION consent._fold_write(internal) IS 'Part of the aggregate fold: merges what was gathered, to be passed on to another process.';
COMMENT ON FUNCTION consent._fold_read(bytea, internal) IS 'Part of the aggregate fold: reads what another process has passed on.';
COMMENT ON FUNCTION consent._fold_finish(internal) IS 'Part of the aggregate fold: merges what was gathered; NULL of nothing.';
COMMENT ON AGGREGATE consent.fold(consent.state) IS 'The state that all facts of a contact leave together.';
COMMENT ON FUNCTION consent._cap(consent.state) IS 'The state as stored: without relationships where it would leave its row.';
COMMENT ON FUNCTION consent._overflows(consent.state) IS 'Whether the relationships are in the side table.';
COMMENT ON FUNCTION consent._dirty() IS 'A state that denies until the contact is refolded.';
COMMENT ON FUNCTION consent._state_bytes(consent.state) IS 'The stored form, for the batch.';
COMMENT ON FUNCTION consent._question_bytes(consent.compiled_question) IS 'The stored form, for the batch.';
COMMENT ON FUNCTION consent._same(consent.state, consent.state) IS 'Whether two states say the same.';
COMMENT ON FUNCTION consent.state_json(consent.state) IS 'The whole state as JSON, for auditors.';

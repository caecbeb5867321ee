-- C functions that build states and questions and answer for one contact.

CREATE FUNCTION consent.fact(
    kind text, at timestamptz, recorded_at timestamptz DEFAULT NULL, sender_id integer DEFAULT NULL,
    channels text[] DEFAULT NULL, category_id integer DEFAULT NULL, opt_out_offered text DEFAULT NULL,
    refused boolean DEFAULT NULL, from_person boolean DEFAULT NULL, purposes text[] DEFAULT NULL,
    detail jsonb DEFAULT NULL, evidence jsonb DEFAULT NULL, address_tag bigint DEFAULT NULL,
    other_contact_tag bigint DEFAULT NULL)
    RETURNS consent.state
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'fact_wrapper';
COMMENT ON FUNCTION consent.fact(text, timestamptz, timestamptz, integer, text[], integer, text, boolean, boolean, text[], jsonb, jsonb, bigint, bigint)
    IS 'The state that one fact leaves. Fold it with others: SELECT contact_id, consent.fold(consent.fact(...)) ... GROUP BY 1.';

CREATE FUNCTION consent.profile(
    as_of timestamptz, country text, region text DEFAULT NULL, timezone text DEFAULT NULL,
    subscriber text DEFAULT NULL, address_kind text DEFAULT NULL, line text DEFAULT NULL,
    address_tags bigint[] DEFAULT NULL, address_since timestamptz[] DEFAULT NULL)
    RETURNS consent.state
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'profile_wrapper';
COMMENT ON FUNCTION consent.profile(timestamptz, text, text, text, text, text, text, bigint[], timestamptz[])
    IS 'The state that a contact''s master data leaves. What is malformed counts as unknown, and unknown denies.';

CREATE FUNCTION consent.address_hash(channel text, address text, country text DEFAULT NULL) RETURNS bytea
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'address_hash_wrapper';
COMMENT ON FUNCTION consent.address_hash(text, text, text)
    IS 'Keyed hash of a normalised address (HMAC-SHA-256); raises for a malformed one. The address itself is never stored.';
CREATE FUNCTION consent._try_address_hash(channel text, address text, country text DEFAULT NULL) RETURNS bytea
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_try_address_hash_wrapper';
COMMENT ON FUNCTION consent._try_address_hash(text, text, text)
    IS 'Like address_hash, but NULL for a malformed address: for folds over what the CRM holds.';
CREATE FUNCTION consent._address_hashes(channel text, address text, country text DEFAULT NULL) RETURNS bytea[]
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_address_hashes_wrapper';
COMMENT ON FUNCTION consent._address_hashes(text, text, text)
    IS 'The hashes of an address under the keys of all generations, the newest first; NULL for a malformed address.';
CREATE FUNCTION consent.country_code(country text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'country_code_wrapper';
COMMENT ON FUNCTION consent.country_code(text)
    IS 'ISO 3166-1 alpha-2 from that, alpha-3, the three-digit number, an English or common other name (UK is GB); NULL where it is not known for certain. A number is ISO''s, so never pass a key of your own country table.';
CREATE FUNCTION consent._tag(hash bytea) RETURNS bigint
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', '_tag_wrapper';
COMMENT ON FUNCTION consent._tag(bytea) IS 'The short form of a hash inside a state; 0 for none.';

CREATE FUNCTION consent._key_create(generation integer DEFAULT 1, first integer DEFAULT 1) RETURNS bytea
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', '_key_create_wrapper';
COMMENT ON FUNCTION consent._key_create(integer, integer) IS 'Makes a generation''s address key file where there is none; answers with the key''s fingerprint. first: the generation without a number behind its file''s name.';
CREATE FUNCTION consent._key_file(generation integer, first integer, fingerprint bytea) RETURNS text[]
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', '_key_file_wrapper';
COMMENT ON FUNCTION consent._key_file(integer, integer, bytea) IS 'The name of a generation''s address key file, and what is wrong with it.';

CREATE FUNCTION consent._invalidate_configuration() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', '_invalidate_configuration_wrapper';
COMMENT ON FUNCTION consent._invalidate_configuration() IS 'Makes every session read the configuration again, from commit on.';

CREATE FUNCTION consent.question(
    message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL, sender text DEFAULT NULL,
    at timestamptz DEFAULT NULL)
    RETURNS consent.compiled_question
    LANGUAGE c STABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'question_wrapper';
COMMENT ON FUNCTION consent.question(text, text, text, text, timestamptz)
    IS 'Compiles a question. Use it as (SELECT consent.question(...)), so that it is made once a query. Raises for unknown kinds, categories, channels and senders. at: default the start of the statement.';

CREATE FUNCTION consent.can_send(
    contact bigint, message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL,
    sender text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE COST 300 AS 'MODULE_PATHNAME', 'can_send_bigint_wrapper';
CREATE FUNCTION consent.can_send(
    contact uuid, message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL,
    sender text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE COST 300 AS 'MODULE_PATHNAME', 'can_send_uuid_wrapper';
CREATE FUNCTION consent.can_send(
    contact text, message_kind text, product_category text DEFAULT NULL, channel text DEFAULT NULL,
    sender text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE COST 300 AS 'MODULE_PATHNAME', 'can_send_text_wrapper';
COMMENT ON FUNCTION consent.can_send(bigint, text, text, text, text, timestamptz)
    IS 'May this message go to this contact? Never NULL, never raises for data: unknown denies. Callers need EXECUTE, not SELECT on anything.';
COMMENT ON FUNCTION consent.can_send(uuid, text, text, text, text, timestamptz)
    IS 'May this message go to this contact? Never NULL, never raises for data: unknown denies.';
COMMENT ON FUNCTION consent.can_send(text, text, text, text, text, timestamptz)
    IS 'May this message go to this contact? Never NULL, never raises for data: unknown denies.';

CREATE FUNCTION consent._explain(
    state consent.state, message_kind text, product_category text, channel text, sender text, at timestamptz,
    attempts timestamptz[], texts timestamptz[] DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE COST 2000 AS 'MODULE_PATHNAME', '_explain_wrapper';
COMMENT ON FUNCTION consent._explain(consent.state, text, text, text, text, timestamptz, timestamptz[], timestamptz[])
    IS 'The answer with its grounds as JSON; a NULL state is an unknown contact.';
CREATE FUNCTION consent._decide(state consent.state, question consent.compiled_question) RETURNS jsonb
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 500 AS 'MODULE_PATHNAME', '_decide_wrapper';
COMMENT ON FUNCTION consent._decide(consent.state, consent.compiled_question) IS 'Implements consent.decide().';

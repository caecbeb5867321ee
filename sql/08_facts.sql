-- What applications record: facts, opt-ins, confirmations, opt-outs, objections.

CREATE FUNCTION consent.record_event(
    contact text, kind text, at timestamptz DEFAULT NULL, channels text[] DEFAULT NULL, category text DEFAULT NULL,
    sender text DEFAULT NULL, opt_out_offered text DEFAULT NULL, refused boolean DEFAULT NULL,
    from_person boolean DEFAULT NULL, purposes text[] DEFAULT NULL, detail jsonb DEFAULT NULL,
    evidence jsonb DEFAULT NULL, address text DEFAULT NULL, reason text DEFAULT NULL, recorded_at timestamptz DEFAULT NULL)
    RETURNS bigint
    LANGUAGE sql VOLATILE
    RETURN consent._record(contact, kind, at, channels, category, sender, opt_out_offered, refused, from_person,
                           purposes, detail, evidence, address, reason, recorded_at);
COMMENT ON FUNCTION consent.record_event(text, text, timestamptz, text[], text, text, text, boolean, boolean, text[], jsonb, jsonb, text, text, timestamptz)
    IS 'Records one fact and answers with its event id. detail: what only some kinds have (method, scope, via, register...). evidence: proof held, as a JSON object; without it nothing is proved.';

CREATE FUNCTION consent.opt_in(
    contact text, channels text[] DEFAULT '{email}', purposes text[] DEFAULT '{marketing}', method text DEFAULT 'active',
    category text DEFAULT NULL, sender text DEFAULT NULL, evidence jsonb DEFAULT NULL, expires text DEFAULT NULL,
    double_opt_in boolean DEFAULT false, address text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS bigint
    LANGUAGE sql VOLATILE
    RETURN consent._record(contact, 'opt_in', at, channels, category, sender, NULL, NULL, NULL, purposes,
        pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('method', method, 'expires', expires, 'double_opt_in', double_opt_in)),
        evidence, address, NULL, NULL);
COMMENT ON FUNCTION consent.opt_in(text, text[], text[], text, text, text, jsonb, text, boolean, text, timestamptz)
    IS 'The person opted in. evidence is what proves it: form and wording version; for method oral the reference of the script that was read. With double_opt_in it counts once confirmed.';

-- What a confirmation that names no purposes confirms: the latest request.
CREATE FUNCTION consent._pending_purposes(contact text, channels text[], sender text) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := consent._key(contact);
    id integer := consent._sender_id(sender);
BEGIN
    RETURN (SELECT e.purposes FROM consent_data.event e
             WHERE e.contact_id = key AND e.sender_id = id AND e.kind = 'opt_in' AND e.detail->>'double_opt_in' = 'true'
               AND e.channels && channels
             ORDER BY e.at DESC, e.event_id DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION consent._pending_purposes(text, text[], text) IS 'The purposes of the latest double opt-in that was asked for.';

CREATE FUNCTION consent.confirm_opt_in(
    contact text, channels text[] DEFAULT '{email}', purposes text[] DEFAULT NULL, sender text DEFAULT NULL,
    evidence jsonb DEFAULT NULL, address text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS bigint
    LANGUAGE sql VOLATILE
    RETURN consent._record(contact, 'opt_in_confirmed', at, channels, NULL, sender, NULL, NULL, NULL,
                           COALESCE(purposes, consent._pending_purposes(contact, channels, sender)), NULL, evidence, address, NULL, NULL);
COMMENT ON FUNCTION consent.confirm_opt_in(text, text[], text[], text, jsonb, text, timestamptz)
    IS 'The person confirmed a double opt-in; without purposes, the latest one.';

CREATE FUNCTION consent.opt_out(
    contact text, channel text DEFAULT NULL, category text DEFAULT NULL, sender text DEFAULT NULL, via text DEFAULT 'link',
    reason text DEFAULT NULL, address text DEFAULT NULL, at timestamptz DEFAULT NULL, reason_code text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE sql VOLATILE
    RETURN consent._record(contact, 'opt_out', at, ARRAY[COALESCE(channel, 'any')], category, sender, NULL, NULL, NULL, NULL,
        pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'scope', CASE WHEN category IS NULL THEN 'all' ELSE 'category' END, 'via', via, 'reason_code', reason_code)),
        NULL, address, reason, NULL);
COMMENT ON FUNCTION consent.opt_out(text, text, text, text, text, text, text, timestamptz, text)
    IS 'The person opted out; denies from this statement on. No channel: all. No category: everything. via system: a clean-up of your own (passive). reason: in the person''s words; reason_code: a short code of your own.';

CREATE FUNCTION consent.opt_out_addresses(
    addresses text[], channel text DEFAULT 'email', sender text DEFAULT NULL, via text DEFAULT 'link', at timestamptz DEFAULT NULL)
    RETURNS SETOF bigint
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    -- All of them, however few rows the caller fetches; in the order of the addresses' locks.
    RETURN QUERY SELECT consent._record(NULL, 'opt_out', at, ARRAY[coalesce(channel, 'email')], NULL, sender, NULL, NULL,
                                        NULL, NULL, jsonb_build_object('scope', 'all', 'via', via), NULL, x.a, NULL, NULL)
      FROM (SELECT a FROM unnest(addresses) a ORDER BY consent.address_hash(coalesce(channel, 'email'), a) OFFSET 0) x;
END
$$;
COMMENT ON FUNCTION consent.opt_out_addresses(text[], text, text, text, timestamptz)
    IS 'Opt-outs by address, for people who may not be contacts (yet): whoever has or gets the address is bound.';

CREATE FUNCTION consent.object(
    contact text, sender text DEFAULT NULL, reason text DEFAULT NULL, address text DEFAULT NULL, at timestamptz DEFAULT NULL)
    RETURNS bigint
    LANGUAGE sql VOLATILE
    RETURN consent._record(contact, 'objection', at, NULL, NULL, sender, NULL, NULL, NULL, NULL, NULL, NULL, address, reason, NULL);
COMMENT ON FUNCTION consent.object(text, text, text, text, timestamptz)
    IS 'The person objected to direct marketing (GDPR art. 21): every channel and address.';

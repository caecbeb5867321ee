-- How a person stands, in the words that CRMs show on a screen. Derived each time, stored nowhere.

CREATE FUNCTION consent._status(
    state consent.state, channel text, sender text, at timestamptz, set_by_system timestamptz)
    RETURNS jsonb
    LANGUAGE c STABLE PARALLEL SAFE COST 2000 AS 'MODULE_PATHNAME', '_status_wrapper';
COMMENT ON FUNCTION consent._status(consent.state, text, text, timestamptz, timestamptz)
    IS 'The subscription status of a state as JSON; set_by_system: when a system set an opt-in that nobody gave.';

-- The ledger's event behind a status: the contact's own before one by address.
CREATE FUNCTION consent._status_event(contact text, kinds text[], since timestamptz, sender_ids integer[], own boolean) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN (SELECT to_jsonb(e) FROM (
        SELECT x.* FROM consent_data.event x WHERE x.contact_id = key AND own
        UNION ALL
        SELECT x.* FROM consent_data.contact_address ca
          JOIN consent_data.address_event ae USING (address_hash)
          JOIN consent_data.event x USING (event_id)
         WHERE ca.contact_id = key AND CASE WHEN own THEN x.contact_id IS NULL ELSE x.contact_id <> key END) e
     WHERE e.kind = ANY (kinds) AND e.sender_id = ANY (sender_ids)
       AND date_trunc('second', least(e.at, e.recorded_at)) = date_trunc('second', since)
     ORDER BY abs(extract(epoch FROM least(e.at, e.recorded_at) - since)), e.event_id LIMIT 1);
END
$$;
COMMENT ON FUNCTION consent._status_event(text, text[], timestamptz, integer[], boolean) IS 'The ledger''s event that a status rests on, where there is one.';

CREATE FUNCTION consent._subscription_status(contact text, channel text, sender text) RETURNS TABLE (
    status text, since timestamptz, how text, detail jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE;
    answer jsonb;
    support jsonb;
    v_sender integer := consent._sender_id(sender);
    v_system timestamptz;
    v_since timestamptz;
    v_own boolean;
    e jsonb;
    v_via text;
    words text;
BEGIN
    BEGIN
        key := consent._key(contact);
    EXCEPTION WHEN invalid_parameter_value THEN
        key := NULL;
    END;
    v_system := (
        SELECT min(x.at) FROM (
            SELECT l.at FROM consent_data.event l
             WHERE l.contact_id = key AND l.kind = 'system_opt_in' AND l.sender_id = v_sender
               AND coalesce(l.channels, '{email}') && ARRAY[channel, 'any']
            UNION ALL
            SELECT c.at FROM consent_data.crm_consent_of(key) c
             WHERE c.kind = 'system_opt_in' AND c.sender_id = v_sender
               AND coalesce(c.channels, '{email}') && ARRAY[channel, 'any']) x);
    answer := consent._status(CASE WHEN key IS NOT NULL THEN consent._current_state(key::text) END, channel, sender, NULL, v_system);
    support := nullif(answer->'support', 'null');
    v_since := (answer->>'since')::timestamptz;
    v_own := coalesce((support->>'by_another_contact')::boolean, false) IS FALSE;
    IF v_since IS NOT NULL THEN
        e := consent._status_event(key::text, CASE support->>'kind'
                WHEN 'refusal_at_collection' THEN ARRAY['opt_in_refused', 'purchase', 'quote_request', 'enquiry', 'contract_start', 'subscription_start']
                WHEN 'opt_out_by_system' THEN ARRAY['opt_out']
                WHEN 'register' THEN ARRAY['register_listed']
                WHEN 'opt_in' THEN CASE WHEN (support->>'pending')::boolean THEN ARRAY['opt_in_confirmed', 'opt_in'] ELSE ARRAY['opt_in'] END
                ELSE ARRAY[coalesce(support->>'kind', 'system_opt_in')] END,
            v_since, ARRAY[coalesce((support->>'sender_id')::integer, v_sender), v_sender], v_own);
    END IF;
    -- Another holder's ways and words are not for this one's screen.
    v_via := CASE WHEN v_own THEN e->'detail'->>'via' END;
    words := CASE
        WHEN answer->>'status' = 'unknown' THEN CASE WHEN answer->>'lacks' IS NULL THEN 'nothing is known' ELSE 'can''t be told: ' || replace(answer->>'lacks', '_', ' ') END
        WHEN support IS NULL THEN 'set by a system'
        WHEN (answer->>'standing_flag')::boolean THEN 'flag in the CRM, without a date'
        WHEN support->>'kind' = 'opt_out_by_system' THEN 'opt-out by a system'
        WHEN support->>'kind' = 'register' THEN 'register ' || (support->>'register')
        WHEN support->>'kind' = 'opt_in' THEN concat_ws(', ', replace(support->>'method', '_', ' ') || ' opt-in',
            CASE WHEN (support->>'pending')::boolean THEN CASE answer->>'status' WHEN 'confirmed_opt_in' THEN 'confirmed' ELSE 'not confirmed' END
                 WHEN answer->>'lacks' = 'consent_unproven' THEN 'without evidence' END)
        ELSE replace(replace(support->>'kind', 'opt_out', 'opt-out'), '_', ' ') END
        || CASE WHEN v_own THEN '' ELSE ' of another holder of the address' END;
    status := answer->>'status';
    -- A flag without a date says since when we know of it, not since when it holds.
    since := CASE WHEN (answer->>'standing_flag')::boolean IS NOT TRUE THEN v_since END;
    how := concat_ws(': ', concat_ws(' by ', words, CASE WHEN e->>'kind' = 'opt_out' AND v_via <> 'system' THEN replace(v_via, '_', ' ') END),
                     CASE WHEN v_own THEN coalesce(e->>'reason', e->'detail'->>'reason_code') END);
    detail := jsonb_strip_nulls(jsonb_build_object(
        'kind', coalesce(support->>'kind', CASE WHEN v_system IS NOT NULL AND status = 'soft_opt_in' THEN 'system_opt_in' END),
        'method', support->>'method', 'via', v_via,
        'reason', CASE WHEN v_own THEN e->>'reason' END, 'reason_code', CASE WHEN v_own THEN e->'detail'->>'reason_code' END,
        'register', support->>'register', 'purposes', support->'purposes', 'lacks', answer->>'lacks', 'until', answer->>'until',
        'category', (SELECT c.name FROM consent_data.category c WHERE c.category_id = (support->>'category_id')::integer),
        'except', (SELECT jsonb_agg(c.name ORDER BY c.name) FROM jsonb_array_elements_text(answer->'except_category_ids') x
                     JOIN consent_data.category c ON c.category_id = x::integer),
        'by_another_contact', CASE WHEN NOT v_own THEN true END,
        'source', CASE WHEN v_own THEN e->'detail'->>'source' END, 'event_id', CASE WHEN v_own THEN (e->>'event_id')::bigint END));
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION consent._subscription_status(text, text, text) IS 'Implements subscription_status().';

CREATE FUNCTION consent.subscription_status(contact text, channel text DEFAULT 'email', sender text DEFAULT NULL)
    RETURNS TABLE (status text, since timestamptz, how text, detail jsonb)
    LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM consent._subscription_status(contact, channel, sender) $$;
COMMENT ON FUNCTION consent.subscription_status(text, text, text)
    IS 'How the contact stands, for a screen: confirmed_opt_in, soft_opt_in, soft_opt_out, confirmed_opt_out or unknown; since when, and how it came about. Only the person''s own act confirms. No permission to send: ask can_send. One row, always.';

-- Merged contacts: what happens to refusals where the CRM merges two records of one person.

-- Refusals take the same lock in the weaker mode, before all others: who merges or erases sees them, or they see that.
CREATE FUNCTION consent._hold_merges() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    -- Refusals queue behind this lock: rather give up than keep them waiting.
    SET lock_timeout = '5s'
AS $$
BEGIN
    LOCK TABLE consent_data.contact_merge IN SHARE ROW EXCLUSIVE MODE;
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'refusals are being recorded' USING ERRCODE = 'lock_not_available',
        DETAIL = 'A transaction that has recorded one has not ended.', HINT = 'Try again when it has.';
END
$$;
COMMENT ON FUNCTION consent._hold_merges() IS 'Keeps refusals, merges and erasures of others waiting until the transaction ends.';

-- Everybody whom the CRM merged with this contact is the same person.
CREATE FUNCTION consent._same_person(contact text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN QUERY WITH RECURSIVE person (id) AS (
        SELECT key
        UNION
        SELECT CASE m.from_id WHEN p.id THEN m.into_id ELSE m.from_id END
          FROM person p JOIN consent_data.contact_merge m ON p.id IN (m.from_id, m.into_id))
    SELECT p.id::text FROM person p ORDER BY p.id;
END
$$;
COMMENT ON FUNCTION consent._same_person(text) IS 'The contact and all that were merged with it, in the order of their keys.';

CREATE FUNCTION consent._merged_into(contact text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN QUERY WITH RECURSIVE merged (id) AS (
        SELECT m.into_id FROM consent_data.contact_merge m WHERE m.from_id = key
        UNION
        SELECT m.into_id FROM merged JOIN consent_data.contact_merge m ON m.from_id = merged.id)
    SELECT merged.id::text FROM merged ORDER BY merged.id;
END
$$;
COMMENT ON FUNCTION consent._merged_into(text) IS 'The contacts into which this one was merged, at once or by way of others.';

CREATE FUNCTION consent._bound_senders(contact text, sender integer) RETURNS SETOF integer
    LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN QUERY WITH RECURSIVE bound (sender_id) AS (
        SELECT sender
        UNION
        SELECT (t.detail->>'to_sender_id')::integer FROM bound JOIN consent_data.event t USING (sender_id)
         WHERE t.contact_id = key AND t.kind = 'business_transferred')
    SELECT b.sender_id FROM bound b;
END
$$;
COMMENT ON FUNCTION consent._bound_senders(text, integer) IS 'The sender to whom something was refused, and whoever took over its business with this contact since.';

-- Copies one restriction onto the contact that stayed. It counts as recorded now, so that no opt-in from before the merge
-- lifts it, and comes into force when the original did. Where only a later date helps (a hold or a listing that the other
-- contact was already released from), it has that one.
CREATE FUNCTION consent._carry(event_id bigint, contact text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    e consent_data.event%ROWTYPE;
    v_kind text;
    v_release text;
    v_origin text;
    carried boolean := false;
    r record;
BEGIN
    SELECT x.* INTO STRICT e FROM consent_data.event x WHERE x.event_id = event_id;
    v_kind := consent._restriction_kind(e.kind);
    v_release := CASE v_kind WHEN 'legal_hold' THEN 'legal_hold_released' WHEN 'register_listed' THEN 'register_delisted' END;
    -- Over several merges the first stays the origin, or each path would bring its own copy.
    v_origin := CASE WHEN e.detail->>'merged_from' ~ '^[0-9]{1,18}$' THEN e.detail->>'merged_from' ELSE e.event_id::text END;
    IF e.contact_id = key
       OR EXISTS (SELECT FROM consent_data.event x
                   WHERE x.contact_id = e.contact_id AND x.kind = v_release AND x.sender_id = e.sender_id AND x.at > e.at
                     AND x.detail->>'register' IS NOT DISTINCT FROM e.detail->>'register') THEN
        RETURN false;
    END IF;
    -- Whoever took over a business from the sender took over what was refused to it.
    FOR r IN SELECT s.sender_id, s.name FROM consent_data.sender s
              WHERE s.sender_id IN (SELECT consent._bound_senders(e.contact_id::text, e.sender_id)) ORDER BY s.sender_id LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM consent_data.event x
             WHERE x.contact_id = key AND x.kind = v_kind AND x.sender_id = r.sender_id AND x.detail->>'merged_from' = v_origin
               AND (x.channels, x.category_id, x.detail->>'scope', x.detail->>'register')
                   IS NOT DISTINCT FROM (e.channels, e.category_id, e.detail->>'scope', e.detail->>'register'));
        PERFORM consent._record(
            contact, v_kind,
            greatest(e.at, (SELECT max(greatest(x.at, CASE WHEN v_kind = 'register_listed' THEN x.recorded_at END)) FROM consent_data.event x
                             WHERE x.kind = v_release
                               AND (x.contact_id = key
                                    OR x.event_id IN (SELECT ae.event_id FROM consent_data.contact_address ca
                                                        JOIN consent_data.address_event ae USING (address_hash) WHERE ca.contact_id = key)))),
            e.channels, (SELECT c.name FROM consent_data.category c WHERE c.category_id = e.category_id), r.name, NULL, NULL, NULL, NULL,
            coalesce(consent._restriction_detail(e.detail) - '{source,standing}'::text[], '{}') || jsonb_build_object('merged_from', v_origin::bigint),
            NULL, NULL, NULL, NULL);
        carried := true;
    END LOOP;
    RETURN carried;
END
$$;
COMMENT ON FUNCTION consent._carry(bigint, text) IS 'Copies a restriction onto the contact into which its own was merged; false if it is there already or no longer in force.';

-- The contact's own restrictions: recorded of it, before an erasure too, or given by its address alone. Not those of
-- others at the same address, and no register's entry of a number, which is about the number.
CREATE FUNCTION consent._carry_on(contact text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    hash bytea;
    carried bigint := 0;
    r record;
BEGIN
    IF NOT EXISTS (SELECT FROM consent_data.contact_merge m WHERE m.from_id = key) THEN
        RETURN 0;
    END IF;
    hash := consent._key_hash(key::text);
    FOR r IN SELECT m.into_id, o.event_id
               FROM consent_data.contact_merge m,
                    (SELECT e.event_id FROM consent_data.event e
                      WHERE (e.contact_id = key OR e.erased_as = hash)
                        AND (e.kind = 'legal_hold' OR consent._restricts(e.kind, e.refused) AND e.kind <> 'register_delisted'
                                                      AND NOT (e.kind = 'register_listed' AND e.address_hash IS NOT NULL))
                     UNION
                     SELECT e.event_id FROM consent_data.contact_address ca
                       JOIN consent_data.address_event ae USING (address_hash)
                       JOIN consent_data.event e USING (event_id)
                      WHERE ca.contact_id = key AND e.contact_id IS NULL AND e.erased_as IS NULL
                        AND e.kind IN ('opt_out', 'objection', 'erasure_request')) o
              WHERE m.from_id = key
              ORDER BY m.into_id, o.event_id LOOP
        carried := carried + consent._carry(r.event_id, r.into_id::text)::integer;
    END LOOP;
    RETURN carried;
END
$$;
COMMENT ON FUNCTION consent._carry_on(text)
    IS 'Carries what a contact refused on to the contacts it was merged into, as far as it is not there yet; answers with how many. Nothing for a contact that was never merged.';

-- Triggers only remember that the CRM merged two contacts, and folds carry on what that means.
CREATE FUNCTION consent._carry_over(contact text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
    r record;
BEGIN
    FOR r IN WITH RECURSIVE merged (id) AS (
                 SELECT m.from_id FROM consent_data.contact_merge m WHERE m.into_id = key
                 UNION
                 SELECT m.from_id FROM merged JOIN consent_data.contact_merge m ON m.into_id = merged.id)
             SELECT merged.id FROM merged WHERE merged.id <> key ORDER BY merged.id LOOP
        PERFORM consent._carry_on(r.id::text);
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._carry_over(text) IS 'Carries what was refused on all contacts that were merged into this one.';

CREATE FUNCTION consent.merge_contacts(from_contact text, into_contact text, why text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_from consent_data.contact_state.contact_id%TYPE := consent._key(from_contact);
    v_into consent_data.contact_state.contact_id%TYPE := consent._key(into_contact);
    carried bigint;
    r record;
BEGIN
    IF v_from IS NULL OR v_into IS NULL THEN
        RAISE EXCEPTION 'a merge names two contacts' USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Name the contact that goes, then the one that stays.';
    END IF;
    IF v_from = v_into THEN
        RAISE EXCEPTION 'a contact can''t be merged into itself' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Name the contact that goes, then the one that stays.';
    END IF;
    -- Two merges at once could close a circle that neither sees.
    PERFORM consent._hold_merges();
    IF v_from::text IN (SELECT consent._merged_into(v_into::text)) THEN
        RAISE EXCEPTION 'the merges would go round in a circle' USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'The contact that would stay was itself merged into the one that would go.',
            HINT = 'Merge in the direction of the merges that are in consent_data.contact_merge.';
    END IF;
    carried := (SELECT count(*) FROM consent_data.event e WHERE e.contact_id = v_into AND e.detail ? 'merged_from');
    INSERT INTO consent_data.contact_merge (from_id, into_id, why) VALUES (v_from, v_into, why) ON CONFLICT DO NOTHING;
    -- Addresses first, then the states: a refusal of the moment is either seen here or sees the merge.
    FOR r IN SELECT k.key FROM (VALUES (v_from), (v_into)) k (key) ORDER BY k.key LOOP
        PERFORM consent._sync_addresses(r.key::text);
    END LOOP;
    PERFORM FROM consent_data.address a
      WHERE a.address_hash IN (SELECT ca.address_hash FROM consent_data.contact_address ca WHERE ca.contact_id = v_into)
      ORDER BY a.address_hash FOR NO KEY UPDATE;
    FOR r IN SELECT k.key FROM (VALUES (v_from), (v_into)) k (key) ORDER BY k.key LOOP
        PERFORM consent._refold_contact(r.key::text);
    END LOOP;
    PERFORM consent._carry_on(v_from::text);
    RETURN (SELECT count(*) FROM consent_data.event e WHERE e.contact_id = v_into AND e.detail ? 'merged_from') - carried;
END
$$;
COMMENT ON FUNCTION consent.merge_contacts(text, text, text)
    IS 'The CRM merged two records of one person: what the first refused, now or later, binds the second and its addresses. Permissions are not carried, and nothing is lifted. Answers with the number of restrictions carried; merging again carries only what is new.';

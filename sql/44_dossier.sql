-- The dossier: all about one contact that an authority may ask for, as one document, with what proves it. What may be told
-- of a contact without telling of others, consent._subject_access() knows; here the logs, the law and the proofs are added.

-- A row that can't be proved is shown all the same: with the reason in the proof's place.
CREATE FUNCTION consent._proved(log text, row_id bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    proof jsonb;
BEGIN
    -- Every proof ends with the same seals: the dossier tells them once.
    proof := consent._prove(log, row_id, false);
    IF (proof->>'proved')::boolean THEN
        RETURN jsonb_build_object('proof', proof);
    END IF;
    -- Not sealed yet, or worse: altered since.
    RETURN jsonb_build_object('proof', NULL, 'problem', proof->'problem', 'why_no_proof', coalesce(proof->>'message', 'not sealed yet'));
EXCEPTION WHEN OTHERS THEN
    RETURN jsonb_build_object('proof', NULL, 'why_no_proof', SQLERRM, 'sqlstate', SQLSTATE);
END
$$;
COMMENT ON FUNCTION consent._proved(text, bigint) IS 'The proof that a row of a log is as it was sealed, or why there is none.';

-- What a seal hashes of the person is salted: with the salt anybody can see that these are the words that were sealed.
CREATE FUNCTION consent._personal_part(salt uuid, commitment bytea, personal jsonb) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('personal_part', CASE WHEN salt IS NOT NULL
        THEN jsonb_build_object('salt', salt, 'text', personal::text, 'sha256', encode(consent._commitment(salt, personal), 'hex'))
        ELSE jsonb_build_object('erased', true, 'sha256', encode(commitment, 'hex')) END)
$$;
COMMENT ON FUNCTION consent._personal_part(uuid, bytea, jsonb) IS 'What a row says of the person, as it is hashed: the text and its salt, or after an erasure the hash alone.';

CREATE FUNCTION consent._rule_in_words(jurisdiction text, rule text, at timestamptz) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN (SELECT to_jsonb(r) - '{switches,jurisdiction_id}'::text[] FROM consent._rules(jurisdiction, at) r WHERE r.rule = rule LIMIT 1);
EXCEPTION WHEN OTHERS THEN
    -- A pack of one's own that is gone.
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._rule_in_words(text, text, timestamptz) IS 'What a rule said at an instant, by the packs of now; NULL where they have none of that name.';

CREATE FUNCTION consent._wording_of(evidence jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('name', w.name, 'version', w.version, 'language', w.language, 'text', w.text)
              FROM consent_data.wording w WHERE w.hash = lower(evidence->>'wording'));
EXCEPTION WHEN undefined_table THEN
    -- Before the table of wordings.
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION consent._wording_of(jsonb) IS 'The text that evidence refers to by its hash, where it is kept.';

CREATE FUNCTION consent._dossier_facts(contact text, ledger jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    RETURN (SELECT coalesce(jsonb_agg(f.fact || jsonb_strip_nulls(jsonb_build_object('wording', consent._wording_of(e.evidence)))
                                      || jsonb_build_object('entered_at', e.entered_at)
                                      || consent._personal_part(e.salt, e.commitment, consent._event_personal(e.contact_id::text, e.detail, e.evidence, e.reason, e.address_hash))
                                      || consent._proved('event', e.event_id) ORDER BY f.n), '[]')
              FROM jsonb_array_elements(ledger) WITH ORDINALITY f (fact, n)
              JOIN consent_data.event e ON e.event_id = (f.fact->>'event_id')::bigint AND e.contact_id = key);
END
$$;
COMMENT ON FUNCTION consent._dossier_facts(text, jsonb) IS 'The ledger''s facts of a contact, each with the wording it rests on and its proof.';

CREATE FUNCTION consent._dossier_erased_facts(hash bytea) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(consent._suppression(to_jsonb(e)) || jsonb_build_object('event_id', e.event_id, 'entered_at', e.entered_at, 'erased_at', e.erased_at)
                              || consent._personal_part(NULL, e.commitment, NULL) || consent._proved('event', e.event_id) ORDER BY e.at, e.event_id), '[]')
      FROM consent_data.event e WHERE e.erased_as = hash
$$;
COMMENT ON FUNCTION consent._dossier_erased_facts(bytea) IS 'What is kept of the refusals of a contact that was erased, with proofs.';

CREATE FUNCTION consent._dossier_decisions(contact text, logged jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key consent_data.contact_state.contact_id%TYPE := contact;
BEGIN
    -- A rule's number is of one text: it is looked up once.
    RETURN (WITH cited AS MATERIALIZED (
                SELECT d.jurisdiction, d.rule, consent._rule_in_words(d.jurisdiction, d.rule, max(d.decided_at))->'citation' AS citation
                  FROM consent_data.decision d WHERE d.contact_id = key AND d.rule IS NOT NULL GROUP BY 1, 2)
            SELECT coalesce(jsonb_agg(
                l.row - 'outcome_noted_at'
                || jsonb_build_object('citation', c.citation,
                    'outcome', (SELECT jsonb_build_object('outcome', o.outcome, 'noted_at', o.noted_at, 'noted_by', o.noted_by) || consent._proved('outcome', o.outcome_id)
                                  FROM consent_data.outcome o WHERE o.decision_id = d.decision_id AND o.decided_at = d.decided_at))
                || consent._personal_part(d.salt, d.commitment, consent._decision_personal(d.contact_id::text, d.address_hash, d.evidence, d.message_ref))
                || consent._proved('decision', d.decision_id)
                ORDER BY d.decided_at, d.decision_id), '[]')
              FROM jsonb_array_elements(logged) l (row)
              JOIN consent_data.decision d ON d.decision_id = (l.row->>'decision_id')::bigint AND d.contact_id = key
              LEFT JOIN cited c ON c.jurisdiction = d.jurisdiction AND c.rule = d.rule);
END
$$;
COMMENT ON FUNCTION consent._dossier_decisions(text, jsonb) IS 'The logged decisions about a contact, each with its citation, outcome and proof.';

CREATE FUNCTION consent._dossier_of(contact text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb := consent._subject_access(contact);
    hash bytea := consent._key_hash(contact);
    erased jsonb := consent._dossier_erased_facts(hash);
    decisions jsonb := consent._dossier_decisions(contact, found->'decisions');
BEGIN
    RETURN (found - '{ledger,suppressions,erasures,answers,held,crm_contacts,crm_events,crm_consents}'::text[])
        || jsonb_build_object(
            'held', found->'held',
            'crm_as_seen_now', jsonb_build_object('contacts', found->'crm_contacts', 'events', found->'crm_events', 'consents', found->'crm_consents'),
            'facts', consent._dossier_facts(contact, found->'ledger'),
            'facts_kept_after_erasure', erased,
            -- Those by the key stand above.
            'refusals_by_others_that_bind', (SELECT coalesce(jsonb_agg(s.row ORDER BY s.n), '[]')
                                               FROM jsonb_array_elements(found->'suppressions') WITH ORDINALITY s (row, n) WHERE s.row->>'through' <> 'key'),
            'decisions', decisions,
            'today', found->'answers',
            'erasures', (SELECT coalesce(jsonb_agg(x.row || consent._proved('erasure', (x.row->>'erasure_id')::bigint) ORDER BY x.n), '[]')
                           FROM jsonb_array_elements(found->'erasures') WITH ORDINALITY x (row, n)),
            'address_key_at_hand', hash IS NOT NULL);
END
$$;
COMMENT ON FUNCTION consent._dossier_of(text) IS 'The part of a dossier that is about one key.';

-- The rules that decisions and answers name, each once, as they were when last used.
CREATE FUNCTION consent._dossier_law(parts jsonb) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('jurisdiction', u.jurisdiction, 'rule', u.rule, 'as_of', u.at)
                              || coalesce(consent._rule_in_words(u.jurisdiction, u.rule, u.at), '{"requirement": null, "note": "no rule of this name is installed now"}')
                              ORDER BY u.jurisdiction, u.rule), '[]')
      FROM (SELECT x.named->>'jurisdiction' AS jurisdiction, x.named->>'rule' AS rule,
                   max(coalesce((x.named->>'decided_at')::timestamptz, statement_timestamp())) AS at
              FROM jsonb_array_elements(parts) p (part), jsonb_array_elements(p.part->'decisions' || (p.part->'today')) x (named)
             WHERE x.named->>'rule' IS NOT NULL AND x.named->>'jurisdiction' IS NOT NULL
             GROUP BY 1, 2) u
$$;
COMMENT ON FUNCTION consent._dossier_law(jsonb) IS 'The text of the rules that the parts of a dossier rest on.';

CREATE FUNCTION consent.dossier(contact text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    v_key text := consent._key(contact);
    parts jsonb;
BEGIN
    IF v_key IS NULL THEN
        RAISE EXCEPTION 'no contact is named' USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the contact by its key.';
    END IF;
    -- The one that was asked for first.
    SELECT jsonb_agg(consent._dossier_of(p.key) ORDER BY p.key <> v_key, p.n) INTO parts
      FROM consent._same_person(v_key) WITH ORDINALITY p (key, n);
    RETURN jsonb_build_object(
        'dossier', jsonb_build_object('contact', v_key, 'made_at', statement_timestamp(), 'made_by', session_user, 'made_in', current_database(),
            'pg_consent', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'pg_consent'),
            'held', (SELECT bool_or((p.part->>'held')::boolean) FROM jsonb_array_elements(parts) p (part)),
            'contacts_of_the_person', jsonb_array_length(parts)),
        'how_to_read', jsonb_build_array(
            'contact: all that is held under the contact''s key. merged_contacts: the same of other keys of the same person. An empty list says that nothing of the kind is held. All instants are in UTC.',
            'facts: what was recorded, in the order in which it happened (at); recorded_at: since when it counts as known; entered_at: when the server wrote it. evidence: what the fact is shown by; wording: the text the person saw, where it is kept.',
            'crm_as_seen_now: rows of the CRM''s own tables as they are today. They are not part of the ledger and not sealed.',
            'decisions: each question that was logged, with its answer, the rule it rests on and the version of the rules; made_for claim: a message was to be sent, and outcome says what became of it (none: it counts as sent). law: the text of those rules. today: what would be answered now.',
            'facts_kept_after_erasure: refusals of a person who was erased, kept without the person so that nobody writes again. Logged decisions about a person who was erased name nobody any more and can''t be listed.',
            'Nothing of other people is in here. Refusals by others that bind this contact, because they share an address, are named without saying whose they are.'),
        'how_to_verify', jsonb_build_array(
            'proof.content is the text of the row that was sealed. Its hash, SHA-256 of a zero byte and the text, is proof.leaf; with proof.path it gives proof.root (RFC 9162, section 2.1.3.2), which stands in proof.seal, the text of that day''s seal; proof.head is the hash of that text.',
            'seal_chain has the texts of all seals but the first, in their order, told once for all proofs: the chain of a proof is seal_chain without its first chain_from texts. Each text holds the head of the seal before it; the hash of the last is proof.newest. Compare it with the head that was kept elsewhere: by it the whole record until then is fixed. seal_chain_holds: false says that seals are not as they were made; consent-batch verify --seals says which.',
            'personal_part.text is what the row says of the person. SHA-256 of the salt, a space and that text is personal_part.sha256, which stands in proof.content under personal: so the evidence shown here is the evidence that was sealed. After an erasure only the hash is left.',
            'With pg_consent at hand, give consent.verify_proof() a proof with its chain put back.'),
        'contact', parts->0,
        'merged_contacts', parts - 0,
        'law', consent._dossier_law(parts),
        'seal_chain', consent._seal_chain(coalesce((SELECT min(s.seal_id) FROM consent_data.seal s), 0)),
        'seal_chain_holds', consent._seal_chain_holds());
END
$$;
COMMENT ON FUNCTION consent.dossier(text)
    IS 'Authority: what is known of this contact, what was decided about it by which rule, and who can prove that nobody altered it since? One document to hand over: facts with evidence, decisions with the rules in words, what could be sent today, merges, holds, retention, erasure, each row of the logs with its proof, and how to read and verify it. Also for contacts who are gone or erased. Nothing of other people. Changes nothing.';

GRANT EXECUTE ON FUNCTION consent.dossier(text) TO consent_audit;

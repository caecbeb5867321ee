-- The logs that must prove something later: the ledger of facts, the decisions, what became of them, the erasures. The first three
-- have a partition a month, and each row of all has a text that a seal hashes (33_seals.sql).

CREATE PROCEDURE consent._create_ledger_tables(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.decision (
        decision_id bigint GENERATED ALWAYS AS IDENTITY,
        decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        -- The question.
        contact_id %s,
        address_hash bytea,
        message_kind text NOT NULL,
        category_id integer,
        channel text,
        sender_id integer,
        campaign text,
        message_ref text,
        -- The answer.
        allowed boolean NOT NULL,
        reason text,
        basis text,
        rule text,
        jurisdiction text,
        valid_until timestamptz,
        not_before timestamptz,
        obligations text[],
        evidence jsonb,
        policy_decision jsonb,
        -- What it rests on.
        policy_version text,
        similarity_version integer,
        made_for text NOT NULL CHECK (made_for IN ('claim', 'recheck', 'question')),
        rechecks bigint,
        decided_by text NOT NULL DEFAULT session_user,
        erased_at timestamptz,
        salt uuid DEFAULT gen_random_uuid(),
        commitment bytea,
        PRIMARY KEY (decision_id, decided_at),
        CHECK (allowed = (reason IS NULL)),
        CHECK (erased_at IS NULL OR contact_id IS NULL AND address_hash IS NULL AND evidence IS NULL AND message_ref IS NULL),
        CHECK ((salt IS NULL) = (commitment IS NOT NULL))
    ) PARTITION BY RANGE (decided_at)$ddl$, key_column);
    CREATE INDEX IF NOT EXISTS decision_contact ON consent_data.decision (contact_id, decided_at);
    CREATE INDEX IF NOT EXISTS decision_campaign ON consent_data.decision (campaign) WHERE campaign IS NOT NULL;
    COMMENT ON TABLE consent_data.decision IS 'Every claim to send, recheck and logged question, with its answer and what that rests on, a partition a month. Append-only; consent.erase() alone takes the person out of a row. made_for: claim reserves a message and counts for caps.';

    CREATE TABLE IF NOT EXISTS consent_data.outcome (
        outcome_id bigint GENERATED ALWAYS AS IDENTITY,
        decision_id bigint NOT NULL,
        decided_at timestamptz NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('sent', 'failed', 'released')),
        noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        noted_by text NOT NULL DEFAULT session_user,
        PRIMARY KEY (outcome_id, decided_at)
    ) PARTITION BY RANGE (decided_at);
    CREATE UNIQUE INDEX IF NOT EXISTS outcome_decision ON consent_data.outcome (decision_id, decided_at);
    COMMENT ON TABLE consent_data.outcome IS 'What became of a claimed message; none: it counts as sent. decided_at is the decision''s, so that both are in partitions of the same month.';

    CREATE TABLE IF NOT EXISTS consent_data.prune (
        prune_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        log text NOT NULL CHECK (log IN ('decision', 'outcome')),
        -- All rows of the log from first_id to last_id that are older than this.
        decided_before timestamptz NOT NULL,
        first_id bigint NOT NULL,
        last_id bigint NOT NULL,
        rows bigint NOT NULL,
        pruned_at timestamptz NOT NULL DEFAULT now(),
        pruned_by text NOT NULL DEFAULT session_user
    );
    COMMENT ON TABLE consent_data.prune IS 'Which parts of the decision log were dropped when their time was over: the seals expect them gone.';

    CALL consent._add_partitions();
END
$procedure$;
COMMENT ON PROCEDURE consent._create_ledger_tables(text) IS 'Makes the decision log that is not there yet, and the partitions of this month and the next three.';

-- A row that no partition is there for goes into the default one, and stays there: nothing is ever refused for want of one.
CREATE PROCEDURE consent._add_partitions()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning SET timezone = 'UTC'
AS $procedure$
DECLARE
    log text;
    month date;
    name text;
    is_spilled boolean;
BEGIN
    FOREACH log IN ARRAY ARRAY['event', 'decision', 'outcome'] LOOP
        FOR month IN SELECT m::date FROM generate_series(date_trunc('month', now()), now() + interval '3 months', '1 month') m LOOP
            name := format('%s_%s', log, to_char(month, 'YYYY_MM'));
            CONTINUE WHEN to_regclass('consent_data.' || name) IS NOT NULL;
            EXECUTE format('SELECT EXISTS (SELECT FROM consent_data.%I WHERE %I >= %L AND %2$I < %4$L)', log,
                           consent._month_column(log), month, month + interval '1 month') INTO is_spilled;
            CONTINUE WHEN is_spilled;
            -- Made apart and attached: readers and writers of the other months go on.
            EXECUTE format('CREATE TABLE consent_data.%I (LIKE consent_data.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name, log);
            EXECUTE format('ALTER TABLE consent_data.%I ATTACH PARTITION consent_data.%I FOR VALUES FROM (%L) TO (%L)', log, name,
                           month, (month + interval '1 month')::date);
            CALL consent._protect(name);
        END LOOP;
        IF to_regclass(format('consent_data.%s_default', log)) IS NULL THEN
            EXECUTE format('CREATE TABLE consent_data.%I PARTITION OF consent_data.%I DEFAULT', log || '_default', log);
            CALL consent._protect(log || '_default');
        END IF;
    END LOOP;
END
$procedure$;
COMMENT ON PROCEDURE consent._add_partitions() IS 'Makes the partitions of this month and the next three (months of UTC), and the default ones.';

CREATE FUNCTION consent._month_column(log text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE log WHEN 'event' THEN 'entered_at' ELSE 'decided_at' END;
COMMENT ON FUNCTION consent._month_column(text) IS 'By which instant a log is in partitions.';

CREATE PROCEDURE consent._protect(partition text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Row triggers come with the parent; this one does not.
    EXECUTE format('CREATE OR REPLACE TRIGGER append_only BEFORE TRUNCATE ON consent_data.%I
                    FOR EACH STATEMENT EXECUTE FUNCTION consent._refuse_change()', partition);
    EXECUTE format('COMMENT ON TABLE consent_data.%I IS %L', partition, format('Partition of consent_data.%s: ask that one.', consent._log_name(partition)));
    EXECUTE format('REVOKE ALL ON consent_data.%I FROM PUBLIC', partition);
    EXECUTE format('GRANT SELECT ON consent_data.%I TO consent_audit, consent_batch', partition);
END
$$;
COMMENT ON PROCEDURE consent._protect(text) IS 'What a new partition needs that it does not have from its parent.';

CREATE FUNCTION consent.maintain_partitions() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
BEGIN
    CALL consent._add_partitions();
-- A row that came into the default partition just now leaves the month to it.
EXCEPTION WHEN lock_not_available OR check_violation THEN
    RAISE WARNING 'the partitions of the months to come are not made yet' USING HINT = 'A table of consent_data is in use; the next night tries again. Rows go into the default partition meanwhile.';
END
$$;
COMMENT ON FUNCTION consent.maintain_partitions() IS 'Makes the partitions of the logs for this month and the next three; the nightly batch calls it.';

CREATE PROCEDURE consent._create_ledger_triggers()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log text;
BEGIN
    FOREACH log IN ARRAY ARRAY['event', 'decision', 'outcome'] LOOP
        -- The statement's, to tell whoever tries; the row's, for whoever names a partition.
        EXECUTE format('CREATE OR REPLACE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON consent_data.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION consent._refuse_change()', log);
        EXECUTE format('CREATE OR REPLACE TRIGGER append_only_row BEFORE DELETE ON consent_data.%I
                        FOR EACH ROW EXECUTE FUNCTION consent._refuse_change()', log);
    END LOOP;
    CREATE OR REPLACE TRIGGER only_erasure BEFORE UPDATE ON consent_data.event
        FOR EACH ROW EXECUTE FUNCTION consent._only_erasure();
    CREATE OR REPLACE TRIGGER only_erasure BEFORE UPDATE ON consent_data.decision
        FOR EACH ROW EXECUTE FUNCTION consent._only_decision_erasure();
    CREATE OR REPLACE TRIGGER append_only_update BEFORE UPDATE ON consent_data.outcome
        FOR EACH ROW EXECUTE FUNCTION consent._refuse_change();
END
$$;
COMMENT ON PROCEDURE consent._create_ledger_triggers() IS 'Attaches the triggers that let the logs only grow.';

-- The person's part of a row, under a salt that goes with the person: without it the hash tells nothing.
CREATE FUNCTION consent._commitment(salt uuid, personal jsonb) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.sha256(pg_catalog.convert_to(salt::text || ' ' || personal::text, 'UTF8'));
COMMENT ON FUNCTION consent._commitment(uuid, jsonb) IS 'SHA-256 of the salt as text, a space and the JSON text of what a row says of the person.';

CREATE FUNCTION consent._event_personal(contact text, detail jsonb, evidence jsonb, reason text, address_hash bytea) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_object('contact', contact, 'detail', detail, 'evidence', evidence, 'reason', reason,
                                         'address_hash', pg_catalog.encode(address_hash, 'hex'));
COMMENT ON FUNCTION consent._event_personal(text, jsonb, jsonb, text, bytea) IS 'What an event says of the person.';

CREATE FUNCTION consent._decision_personal(contact text, address_hash bytea, evidence jsonb, message_ref text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN pg_catalog.jsonb_build_object('contact', contact, 'address_hash', pg_catalog.encode(address_hash, 'hex'), 'evidence', evidence,
                                         'message_ref', message_ref);
COMMENT ON FUNCTION consent._decision_personal(text, bytea, jsonb, text) IS 'What a logged decision says of the person.';

CREATE FUNCTION consent._only_decision_erasure() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked consent_data.decision%ROWTYPE := OLD;
BEGIN
    asked.erased_at := date_trunc('day', now(), 'UTC');
    IF OLD.erased_at IS NULL AND NEW OPERATOR(pg_catalog.*=) asked
       AND EXISTS (SELECT FROM consent_data.erasure x WHERE x.key_hash = consent._key_hash(OLD.contact_id::text) AND x.erased_at = now()) THEN
        NEW.commitment := consent._commitment(OLD.salt, consent._decision_personal(OLD.contact_id::text, OLD.address_hash, OLD.evidence, OLD.message_ref));
        NEW.salt := NULL;
        NEW.contact_id := NULL;
        NEW.address_hash := NULL;
        NEW.evidence := NULL;
        NEW.message_ref := NULL;
        RETURN NEW;
    END IF;
    PERFORM consent._raise_append_only(TG_OP, TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION consent._only_decision_erasure() IS 'Trigger: the one change that a logged decision allows is to take the person out of it.';

-- Instants as seconds since 1970, so that the text is the same in every session.
CREATE PROCEDURE consent._create_ledger_views()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    -- What an erasure leaves must be told by the same words before and after.
    CREATE OR REPLACE VIEW consent.sealed_text AS
    SELECT 'event' AS log, e.event_id AS row_id, e.entered_at AS entered_at,
           jsonb_build_object('log', 'event', 'id', e.event_id, 'kind', e.kind, 'at', extract(epoch FROM e.at)::text,
               'recorded_at', extract(epoch FROM e.recorded_at)::text, 'entered_at', extract(epoch FROM e.entered_at)::text,
               'sender', e.sender_id, 'channels', e.channels, 'category', e.category_id, 'opt_out_offered', e.opt_out_offered,
               'refused', e.refused, 'from_person', e.from_person, 'purposes', e.purposes, 'recorded_by', e.recorded_by,
               'restriction', CASE WHEN consent._restricts(e.kind, e.refused)
                                   THEN jsonb_build_object('detail', consent._restriction_detail(e.detail), 'address_hash', encode(e.address_hash, 'hex')) END,
               'personal', encode(coalesce(e.commitment, consent._commitment(e.salt,
                   consent._event_personal(e.contact_id::text, e.detail, e.evidence, e.reason, e.address_hash))), 'hex'))::text AS content
      FROM consent_data.event e
    UNION ALL
    SELECT 'decision', d.decision_id, d.decided_at,
           jsonb_build_object('log', 'decision', 'id', d.decision_id, 'decided_at', extract(epoch FROM d.decided_at)::text,
               'message_kind', d.message_kind, 'category', d.category_id, 'channel', d.channel, 'sender', d.sender_id, 'campaign', d.campaign,
               'allowed', d.allowed, 'reason', d.reason, 'basis', d.basis, 'rule', d.rule, 'jurisdiction', d.jurisdiction,
               'valid_until', extract(epoch FROM d.valid_until)::text, 'not_before', extract(epoch FROM d.not_before)::text,
               'obligations', d.obligations, 'policy_decision', d.policy_decision, 'policy_version', d.policy_version,
               'similarity_version', d.similarity_version, 'made_for', d.made_for, 'rechecks', d.rechecks, 'decided_by', d.decided_by,
               'personal', encode(coalesce(d.commitment, consent._commitment(d.salt,
                   consent._decision_personal(d.contact_id::text, d.address_hash, d.evidence, d.message_ref))), 'hex'))::text
      FROM consent_data.decision d
    UNION ALL
    SELECT 'outcome', o.outcome_id, o.noted_at,
           jsonb_build_object('log', 'outcome', 'id', o.outcome_id, 'decision', o.decision_id, 'decided_at', extract(epoch FROM o.decided_at)::text,
               'outcome', o.outcome, 'noted_at', extract(epoch FROM o.noted_at)::text, 'noted_by', o.noted_by)::text
      FROM consent_data.outcome o
    UNION ALL
    SELECT 'erasure', x.erasure_id, x.erased_at,
           jsonb_build_object('log', 'erasure', 'id', x.erasure_id, 'key_hash', encode(x.key_hash, 'hex'), 'why', x.why,
               'erased_at', extract(epoch FROM x.erased_at)::text, 'erased_by', x.erased_by, 'figures', x.figures)::text
      FROM consent_data.erasure x
    UNION ALL
    SELECT 'prune', p.prune_id, p.pruned_at,
           jsonb_build_object('log', 'prune', 'id', p.prune_id, 'of', p.log, 'decided_before', extract(epoch FROM p.decided_before)::text,
               'first_id', p.first_id, 'last_id', p.last_id, 'rows', p.rows, 'pruned_at', extract(epoch FROM p.pruned_at)::text,
               'pruned_by', p.pruned_by)::text
      FROM consent_data.prune p;
    COMMENT ON VIEW consent.sealed_text IS 'Auditor: the exact text of each row of the logs that a seal hashes; the same before and after an erasure, and without personal data. entered_at: when the row was written.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_ledger_views() IS 'Makes the view of the texts that seals hash.';

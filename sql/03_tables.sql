-- The data. Ordinary tables made by setup(), not members of the extension: DROP EXTENSION must not take the ledger
-- with it, and a dump must contain it. The ledger uses built-in types only.

CREATE FUNCTION consent._codes(list text) RETURNS text[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', '_codes_wrapper';
COMMENT ON FUNCTION consent._codes(text) IS 'The codes of a list: nature, channel, sector, event_kind, reason, basis.';

-- Without the notice that each table exists already, when setup() runs again.
CREATE PROCEDURE consent._create_tables(key_type text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
DECLARE
    -- C collation: the gate searches the index itself, byte by byte.
    key_column text := CASE key_type WHEN 'text' THEN 'text COLLATE "C"' ELSE key_type END;
    -- Written out, not called: the tables must outlive the extension.
    natures text := quote_literal(consent._codes('nature'));
    channels text := quote_literal(consent._codes('channel'));
    sectors text := quote_literal(consent._codes('sector'));
    event_kinds text := quote_literal(consent._codes('event_kind'));
    v_version integer;
BEGIN
    CREATE SCHEMA IF NOT EXISTS consent_data;

    -- Configuration ---------------------------------------------------------------------------------------------

    CREATE TABLE IF NOT EXISTS consent_data.setting (
        one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
        key_type text NOT NULL CHECK (key_type IN ('bigint', 'uuid', 'text')),
        marketing_off boolean NOT NULL DEFAULT false,
        yes_rate double precision NOT NULL DEFAULT 0.4 CHECK (yes_rate BETWEEN 0 AND 1),
        similarity_version integer NOT NULL DEFAULT 0,
        similarity_threshold double precision NOT NULL DEFAULT 0.5 CHECK (similarity_threshold BETWEEN 0 AND 1)
    );
    COMMENT ON TABLE consent_data.setting IS 'One row: the type of the contacts'' keys, the kill switch (marketing_off denies all marketing at once), the share of yes that the planner reckons with, and the similarity version and threshold in use.';

    CREATE TABLE IF NOT EXISTS consent_data.sender (
        sender_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE CHECK (name <> ''),
        country text CHECK (country ~ '^[A-Z]{2}$'),
        charity boolean NOT NULL DEFAULT false,
        political_party boolean NOT NULL DEFAULT false,
        pension_authorised boolean NOT NULL DEFAULT false,
        breadth text NOT NULL DEFAULT 'general' CHECK (breadth IN ('specialist', 'general', 'supermarket')),
        is_default boolean NOT NULL DEFAULT false
    );
    CREATE UNIQUE INDEX IF NOT EXISTS sender_default ON consent_data.sender (is_default) WHERE is_default;
    COMMENT ON TABLE consent_data.sender IS 'The legal entities that send. Consent and customers of one are not those of another; brands of one entity share a row.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.message_kind (
        name text PRIMARY KEY CHECK (name <> ''),
        nature text NOT NULL CHECK (nature = ANY (%s::text[])),
        channel text NOT NULL DEFAULT 'email' CHECK (channel = ANY (%s::text[])),
        form jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(form) = 'object'),
        description text
    )$ddl$, natures, channels);
    COMMENT ON TABLE consent_data.message_kind IS 'The kinds of message that are sent, each with its nature by content (not by label), its usual channel, and what it carries (form: unsubscribe, identity, promotional...).';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.category (
        category_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE CHECK (name <> ''),
        parent_id integer REFERENCES consent_data.category,
        sector text CHECK (sector = ANY (%s::text[])),
        sensitive boolean NOT NULL DEFAULT false
    )$ddl$, sectors);
    CREATE INDEX IF NOT EXISTS category_parent_id ON consent_data.category (parent_id);
    COMMENT ON TABLE consent_data.category IS 'Product categories, a tree. Never deleted, ids never reused: an old opt-out must keep its meaning.';

    CREATE TABLE IF NOT EXISTS consent_data.category_parent (
        category_id integer NOT NULL REFERENCES consent_data.category,
        parent_id integer NOT NULL REFERENCES consent_data.category,
        PRIMARY KEY (category_id, parent_id)
    );
    COMMENT ON TABLE consent_data.category_parent IS 'Every parent a category has or ever had: an opt-out covers the subtree of then and of now.';

    -- Once it was one table.
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('consent_data.similarity') AND c.relkind = 'r') THEN
        ALTER TABLE consent_data.similarity RENAME TO similarity_before;
        ALTER INDEX consent_data.similarity_pkey RENAME TO similarity_before_pkey;
    END IF;
    CREATE TABLE IF NOT EXISTS consent_data.similarity (
        version integer NOT NULL,
        sender_id integer NOT NULL,
        category_a integer NOT NULL,
        category_b integer NOT NULL,
        score double precision NOT NULL CHECK (score BETWEEN 0 AND 1),
        common_ancestor integer,
        wu_palmer double precision NOT NULL,
        buyers_a bigint NOT NULL,
        buyers_b bigint NOT NULL,
        buyers_both bigint NOT NULL,
        buyers_all bigint NOT NULL,
        expected_both double precision NOT NULL,
        npmi double precision NOT NULL,
        llr double precision NOT NULL,
        evidence boolean NOT NULL,
        threshold double precision NOT NULL,
        PRIMARY KEY (version, sender_id, category_a, category_b),
        CHECK (category_a < category_b)
    ) PARTITION BY LIST (version);
    CREATE TABLE IF NOT EXISTS consent_data.similarity_0 PARTITION OF consent_data.similarity FOR VALUES IN (0);
    COMMENT ON TABLE consent_data.similarity_0 IS 'Partition of consent_data.similarity: pairs from before the first night.';
    IF to_regclass('consent_data.similarity_before') IS NOT NULL THEN
        FOR v_version IN SELECT DISTINCT b.version FROM consent_data.similarity_before b WHERE b.version <> 0 LOOP
            EXECUTE format('CREATE TABLE consent_data.similarity_%1$s PARTITION OF consent_data.similarity FOR VALUES IN (%1$s)', v_version);
            EXECUTE format('COMMENT ON TABLE consent_data.similarity_%1$s IS ''Partition of consent_data.similarity: version %1$s.''', v_version);
        END LOOP;
        INSERT INTO consent_data.similarity SELECT * FROM consent_data.similarity_before;
        DROP TABLE consent_data.similarity_before CASCADE;
    END IF;
    COMMENT ON TABLE consent_data.similarity IS 'Why two categories count as similar or not, one row a pair: score = 0.3 wu_palmer + 0.7 max(0, npmi) n/(n+10) with n = buyers_both, the second term only with evidence (n >= 10 and llr >= 10.8). No row: neither was bought, they are in different departments (and the sender is no supermarket, or fewer than 10 bought both), or one is sensitive; the score is then 0. Written by the hundred thousand each night: a partition a version, built aside and attached when complete.';

    CREATE TABLE IF NOT EXISTS consent_data.similarity_override (
        sender_id integer REFERENCES consent_data.sender,
        category_a integer NOT NULL REFERENCES consent_data.category,
        category_b integer NOT NULL REFERENCES consent_data.category,
        is_similar boolean NOT NULL,
        decided_by text NOT NULL DEFAULT session_user,
        decided_at timestamptz NOT NULL DEFAULT now(),
        reason text NOT NULL CHECK (reason <> ''),
        UNIQUE NULLS NOT DISTINCT (sender_id, category_a, category_b)
    );
    COMMENT ON TABLE consent_data.similarity_override IS 'A person''s word on a pair of categories; wins over every score, in both directions. No sender: for all.';

    CREATE TABLE IF NOT EXISTS consent_data.policy_decision (
        policy_decision_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        switch text NOT NULL,
        permissive boolean NOT NULL,
        decided_by text NOT NULL CHECK (btrim(decided_by) <> ''),
        decided_on date NOT NULL DEFAULT current_date,
        reason text NOT NULL CHECK (btrim(reason) <> ''),
        document text NOT NULL CHECK (btrim(document) <> ''),
        revoked_at timestamptz
    );
    CREATE UNIQUE INDEX IF NOT EXISTS policy_decision_in_force ON consent_data.policy_decision (switch) WHERE revoked_at IS NULL;
    COMMENT ON TABLE consent_data.policy_decision IS 'The operator''s decisions on contested points of law: who, when, why, and the document. Shown in every answer that rests on one.';

    CREATE TABLE IF NOT EXISTS consent_data.policy_override (
        name text PRIMARY KEY CHECK (name <> ''),
        document jsonb NOT NULL,
        enabled boolean NOT NULL DEFAULT true,
        made_by text NOT NULL DEFAULT session_user CHECK (made_by <> ''),
        made_at timestamptz NOT NULL DEFAULT now(),
        reason text NOT NULL CHECK (btrim(reason) <> ''),
        reference text
    );
    COMMENT ON TABLE consent_data.policy_override IS 'Own rules: documents that tighten a pack ({"extends": ...}) or add a jurisdiction that has none. Checked when written; one that is not valid under a later version denies its pack''s marketing.';

    CREATE TABLE IF NOT EXISTS consent_data.key_generation (
        generation integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        fingerprint bytea NOT NULL UNIQUE,
        created_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE consent_data.key_generation IS 'Fingerprints of the address keys; the keys themselves are in a file of the server. A missing or wrong key denies all marketing.';

    CREATE TABLE IF NOT EXISTS consent_data.binding (
        binding_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('contacts', 'purchases', 'engagement', 'consents')),
        view text NOT NULL,
        source text CHECK (source ~ '^[^:]+$'),
        native_type text NOT NULL,
        sender_id integer REFERENCES consent_data.sender,
        columns text[] NOT NULL,
        by_key boolean NOT NULL DEFAULT true,
        definition text,
        accepts_staleness interval NOT NULL DEFAULT '2 days',
        bound_at timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (kind, view)
    );
    COMMENT ON TABLE consent_data.binding IS 'The views through which the CRM''s own rows are seen. source: prefix of the contacts'' keys. by_key: whether one contact''s rows can be had without reading everybody''s. seen_at: when a whole refold last read it; older than accepts_staleness and unwatched, what rests on it denies. definition: fingerprint of the view as it was then.';

    CREATE TABLE IF NOT EXISTS consent_data.watch (
        watch_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        relation text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('contacts', 'purchases', 'engagement', 'consents')),
        source text,
        row_query text NOT NULL,
        columns text[],
        each_row boolean NOT NULL,
        triggers text,
        UNIQUE NULLS NOT DISTINCT (relation, kind, source)
    );
    COMMENT ON TABLE consent_data.watch IS 'The CRM''s tables whose changes are noted by triggers, and the query that leads from changed rows to contacts. triggers: fingerprint of the triggers that a whole refold has found in place; while they are others, changes may have been missed.';

    CREATE TABLE IF NOT EXISTS consent_data.watch_failure (
        watch_failure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        watch_id integer NOT NULL,
        failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        operation text NOT NULL,
        error_code text NOT NULL
    );
    COMMENT ON TABLE consent_data.watch_failure IS 'Changes of the CRM that a trigger could not take in. While there is one, what rests on its source denies; a whole refold mends it.';

    -- Facts -----------------------------------------------------------------------------------------------------

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.event (
        event_id bigint GENERATED ALWAYS AS IDENTITY,
        contact_id %s,
        kind text NOT NULL CHECK (kind = ANY (%s::text[])),
        at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        sender_id integer NOT NULL REFERENCES consent_data.sender,
        channels text[],
        category_id integer REFERENCES consent_data.category,
        opt_out_offered text CHECK (opt_out_offered IN ('yes', 'no', 'unknown')),
        refused boolean NOT NULL DEFAULT false,
        from_person boolean NOT NULL DEFAULT true,
        purposes text[],
        detail jsonb CHECK (jsonb_typeof(detail) = 'object'),
        evidence jsonb CHECK (jsonb_typeof(evidence) = 'object'),
        address_hash bytea,
        reason text,
        recorded_by text NOT NULL DEFAULT session_user,
        -- Of an erased contact: the day, and, of what still restricts, the keyed hash of the contact's key.
        erased_at timestamptz,
        erased_as bytea,
        -- recorded_at is the recorder's word; this is the clock's, and which month's partition has the row.
        entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        -- What the seals hash of the person: salted, and once the person is erased only the hash stays (32_ledger.sql).
        salt uuid DEFAULT gen_random_uuid(),
        commitment bytea,
        PRIMARY KEY (event_id, entered_at),
        CHECK (contact_id IS NOT NULL OR address_hash IS NOT NULL OR erased_at IS NOT NULL),
        CHECK (erased_at IS NULL OR contact_id IS NULL AND evidence IS NULL AND reason IS NULL),
        CHECK (erased_as IS NULL OR erased_at IS NOT NULL),
        CHECK ((salt IS NULL) = (commitment IS NOT NULL)),
        CHECK (at <= recorded_at + interval '1 minute')
    ) PARTITION BY RANGE (entered_at)$ddl$, key_column, event_kinds);
    CREATE INDEX IF NOT EXISTS event_contact ON consent_data.event (contact_id);
    CREATE INDEX IF NOT EXISTS event_erased_as ON consent_data.event (erased_as) WHERE erased_as IS NOT NULL;
    CREATE INDEX IF NOT EXISTS event_recorded ON consent_data.event (recorded_at);
    COMMENT ON TABLE consent_data.event IS 'The ledger: every consent, refusal, register hit and other fact, with its evidence, a partition a month. Append-only; a correction is a further event. consent.erase() alone takes the person out of a row. entered_at: the server''s clock when the row was written; recorded_at: since when it counts as known.';

    CREATE TABLE IF NOT EXISTS consent_data.address (
        address_hash bytea PRIMARY KEY,
        channel_group text NOT NULL CHECK (channel_group IN ('email', 'phone', 'post')),
        touched_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE consent_data.address IS 'Addresses by keyed hash. Its row is the lock between an opt-out and a new contact with the same address.';

    CREATE TABLE IF NOT EXISTS consent_data.address_event (
        address_hash bytea NOT NULL,
        event_id bigint NOT NULL,
        PRIMARY KEY (address_hash, event_id)
    );
    COMMENT ON TABLE consent_data.address_event IS 'Refusals and register entries by the addresses they reach: every contact who has or gets one of them is bound.';

    CREATE TABLE IF NOT EXISTS consent_data.standing_refusal (
        event_id bigint NOT NULL,
        spelling bytea NOT NULL
    );
    CREATE INDEX IF NOT EXISTS standing_refusal_event ON consent_data.standing_refusal (event_id);
    CREATE INDEX IF NOT EXISTS standing_refusal_spelling ON consent_data.standing_refusal (spelling);
    COMMENT ON TABLE consent_data.standing_refusal IS 'Undated refusals of an address alone that stand in the CRM, by the keyed hash of how it spells the address: nothing lifts them as long as they stand.';

    CREATE TABLE IF NOT EXISTS consent_data.standing_gone (
        spelling bytea NOT NULL,
        noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    COMMENT ON TABLE consent_data.standing_gone IS 'Flags that may have been taken away: the next fold of what is noted looks.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.contact_address (
        contact_id %s NOT NULL,
        channel_group text NOT NULL CHECK (channel_group IN ('email', 'phone', 'post')),
        address_hash bytea NOT NULL,
        since timestamptz,
        PRIMARY KEY (contact_id, channel_group)
    )$ddl$, key_column);
    CREATE INDEX IF NOT EXISTS contact_address_hash ON consent_data.contact_address (address_hash);
    COMMENT ON TABLE consent_data.contact_address IS 'The address each contact has now, by keyed hash. since: from when on, if it changed after the contact was first seen.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.contact_state (
        contact_id %s PRIMARY KEY,
        rev bigint NOT NULL DEFAULT 1
    ) WITH (fillfactor = 80)$ddl$, key_column);
    ALTER TABLE consent_data.contact_state ADD COLUMN IF NOT EXISTS state consent.state;
    COMMENT ON TABLE consent_data.contact_state IS 'The merge of each contact''s facts. Derived: consent-batch refold rebuilds it from the ledger and the CRM.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.contact_overflow (contact_id %s PRIMARY KEY)$ddl$, key_column);
    ALTER TABLE consent_data.contact_overflow ADD COLUMN IF NOT EXISTS state consent.state;
    COMMENT ON TABLE consent_data.contact_overflow IS 'Full states of the few contacts whose relationships do not fit into contact_state; read by key.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.pending (
        pending_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        contact_id %s NOT NULL,
        restricts boolean NOT NULL,
        noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )$ddl$, key_column);
    CREATE INDEX IF NOT EXISTS pending_contact ON consent_data.pending (contact_id, restricts);
    COMMENT ON TABLE consent_data.pending IS 'Contacts whose state is to be folded anew. restricts: something may have been taken away, so audiences leave the contact out until then; by key, the answer is folded on the spot.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.contact_gone (
        contact_id %s NOT NULL,
        gone_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )$ddl$, key_column);
    COMMENT ON TABLE consent_data.contact_gone IS 'Contacts whose state a fold has taken away: a whole refold that began before must not take one that came again for the one it knew.';

    CREATE TABLE IF NOT EXISTS consent_data.pending_address (
        address_hash bytea NOT NULL,
        noted_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX IF NOT EXISTS pending_address_hash ON consent_data.pending_address (address_hash);
    COMMENT ON TABLE consent_data.pending_address IS 'Addresses refused in a transaction that could not see, or not wait for, everybody who has them: whoever has one denies until noted and folded.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.contact_moved (
        from_id %1$s NOT NULL,
        into_id %1$s NOT NULL,
        moved_at timestamptz NOT NULL DEFAULT now()
    )$ddl$, key_column);
    CREATE INDEX IF NOT EXISTS contact_moved_from ON consent_data.contact_moved (from_id, moved_at);
    COMMENT ON TABLE consent_data.contact_moved IS 'Contacts whose rows the CRM gave to another. If the contact is deleted within a day, it was a merge.';

    -- Outputs ---------------------------------------------------------------------------------------------------

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.outbox (
        outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        contact_id %s,
        event_id bigint NOT NULL,
        kind text NOT NULL DEFAULT 'opt_out_confirmation',
        queued_at timestamptz NOT NULL DEFAULT now(),
        sent_at timestamptz
    )$ddl$, key_column);
    COMMENT ON TABLE consent_data.outbox IS 'Confirmations owed to people who refused; listen on channel consent_outbox.';

    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.retention_action (
        retention_action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id bigint NOT NULL,
        contact_id %s NOT NULL,
        sender_id integer NOT NULL,
        stage text NOT NULL CHECK (stage IN ('warning', 'renewal', 'expired')),
        rule text NOT NULL,
        since timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        acted_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (contact_id, sender_id, stage, ends_at)
    )$ddl$, key_column);
    COMMENT ON TABLE consent_data.retention_action IS 'Which contact entered which retention stage, by which rule, resting on which last action. One row a stage: a rerun adds none.';

    CREATE TABLE IF NOT EXISTS consent_data.audit_question (
        message_kind text NOT NULL REFERENCES consent_data.message_kind,
        product_category text REFERENCES consent_data.category (name) ON UPDATE CASCADE,
        UNIQUE NULLS NOT DISTINCT (message_kind, product_category)
    );
    COMMENT ON TABLE consent_data.audit_question IS 'The messages whose permissions the audit views count.';

    CREATE TABLE IF NOT EXISTS consent_data.run (
        run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        step text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        outcome text,
        figures jsonb NOT NULL DEFAULT '{}'
    );
    COMMENT ON TABLE consent_data.run IS 'What the batch did, with its figures.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_tables(text) IS 'Makes the tables of consent_data that are not there yet.';

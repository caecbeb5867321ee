-- Similar products: the versions that nights score, and what follows from them. The pairs are in consent_data.similarity.

CREATE PROCEDURE consent._create_similar_tables()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
DECLARE
    v_list text;
BEGIN
    CREATE TABLE IF NOT EXISTS consent_data.similarity_version (
        version integer PRIMARY KEY,
        made_at timestamptz NOT NULL DEFAULT now(),
        threshold double precision NOT NULL,
        print text NOT NULL
    );
    COMMENT ON TABLE consent_data.similarity_version IS 'When a version of the similar categories came into use, and a fingerprint of all it was made from: with the same one, a run changes nothing.';

    -- Contacts' lists were stored once. They are made when they are asked for.
    FOR v_list IN SELECT c.relname FROM pg_class c
                   WHERE c.relnamespace = 'consent_data'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname ~ '^contact_similar(_[0-9]+)?$' LOOP
        EXECUTE format('DROP TABLE IF EXISTS consent_data.%I CASCADE', v_list);
    END LOOP;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_similar_tables() IS 'Makes the tables of similar categories that are not there yet.';

CREATE FUNCTION consent._similar_to(state consent.state, most integer)
    RETURNS TABLE (sender_id integer, rank integer, category_id integer, score real, rests_on integer)
    LANGUAGE c STABLE PARALLEL SAFE COST 3000 ROWS 10 AS 'MODULE_PATHNAME', '_similar_to_wrapper';
COMMENT ON FUNCTION consent._similar_to(consent.state, integer) IS 'Implements consent.contact_similar: per sender the categories most similar to those bought and not bought yet, at most so many.';

CREATE PROCEDURE consent._create_similar_views()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    -- A no to a pair beats a yes, whoever said which first.
    CREATE OR REPLACE VIEW consent_data.similar_pair AS
    SELECT p.sender_id, p.category_id, p.other, p.score, p.by_override
      FROM (SELECT s.sender_id, s.category_a AS category_id, s.category_b AS other, s.score, false AS by_override
              FROM consent_data.setting t JOIN consent_data.similarity s ON s.version = t.similarity_version AND s.score >= t.similarity_threshold
            UNION ALL
            SELECT s.sender_id, s.category_b, s.category_a, s.score, false
              FROM consent_data.setting t JOIN consent_data.similarity s ON s.version = t.similarity_version AND s.score >= t.similarity_threshold
            UNION ALL
            SELECT n.sender_id, o.category_a, o.category_b, 1, true
              FROM consent_data.similarity_override o JOIN consent_data.sender n ON n.sender_id = coalesce(o.sender_id, n.sender_id) WHERE o.is_similar
            UNION ALL
            SELECT n.sender_id, o.category_b, o.category_a, 1, true
              FROM consent_data.similarity_override o JOIN consent_data.sender n ON n.sender_id = coalesce(o.sender_id, n.sender_id) WHERE o.is_similar) p
     WHERE NOT EXISTS (SELECT FROM consent_data.similarity_override o
                        WHERE NOT o.is_similar AND coalesce(o.sender_id, p.sender_id) = p.sender_id
                          AND (o.category_a, o.category_b) IN ((p.category_id, p.other), (p.other, p.category_id)));
    COMMENT ON VIEW consent_data.similar_pair IS 'Pairs that count as similar, in both orders: those scored from the threshold on in the version in use, and those that an override makes so (score 1). Whether a scored one may count at all in the tree of now, policy says.';

    CREATE OR REPLACE VIEW consent.contact_similar AS
    SELECT s.contact_id, n.name AS sender, l.rank, c.name AS category, l.score, b.name AS rests_on
      FROM consent.decidable s
     CROSS JOIN LATERAL consent._similar_to(s.state, 10) l
      JOIN consent_data.sender n ON n.sender_id = l.sender_id
      JOIN consent_data.category c ON c.category_id = l.category_id
      JOIN consent_data.category b ON b.category_id = l.rests_on;
    COMMENT ON VIEW consent.contact_similar IS 'Campaign planner and DBA: which categories is a contact likely to expect, how sure is that, and on which purchase does it rest? Ten of each sender, by the pairs of the last night and the purchases of now. For ranking: whether a message may be sent, can_send() says. Whoever reads it needs EXECUTE on consent._similar_to, too, as consent_audit has.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_similar_views() IS 'Makes the views of similar categories.';

-- The batch fills a table that nobody else knows yet, and owns none: what it may make and drop is named by a number.
CREATE FUNCTION consent._similar_prepare(version integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
    in_use integer;
    name text := format('similarity_%s', version);
    v_left text;
BEGIN
    SELECT t.similarity_version INTO in_use FROM consent_data.setting t;
    IF version IS NULL OR version <= in_use THEN
        RAISE EXCEPTION 'version % is not newer than the one in use', version USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('In use is version %s.', in_use), HINT = 'consent-batch rescore counts versions itself.';
    END IF;
    -- Left by a run that was killed, or by an administrator who went back to an older version.
    DELETE FROM consent_data.similarity_version v WHERE v.version > in_use;
    FOR v_left IN SELECT c.relname FROM pg_class c
                   WHERE c.relnamespace = 'consent_data'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^similarity_[1-9][0-9]*$'
                     AND (NOT c.relispartition OR substr(c.relname, 12)::integer > in_use) LOOP
        EXECUTE format('DROP TABLE consent_data.%I', v_left);
    END LOOP;
    -- The check of the version spares the attachment a look at every row.
    EXECUTE format('CREATE TABLE consent_data.%I (LIKE consent_data.similarity INCLUDING CONSTRAINTS, CHECK (version = %s))', name, version);
    EXECUTE format('ALTER TABLE consent_data.%I OWNER TO %I', name,
        (SELECT r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = 'consent_data.similarity'::regclass));
    EXECUTE format('COMMENT ON TABLE consent_data.%I IS %L', name, format('Partition of consent_data.similarity: version %s.', version));
    EXECUTE format('REVOKE ALL ON consent_data.%I FROM PUBLIC', name);
    EXECUTE format('GRANT SELECT, INSERT ON consent_data.%I TO consent_batch', name);
END
$$;
COMMENT ON FUNCTION consent._similar_prepare(integer) IS 'Makes the empty table for the pairs of a new version, and drops what a killed run has left.';

CREATE FUNCTION consent._similar_publish(version integer, threshold double precision, print text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET maintenance_work_mem = '256MB'
AS $$
#variable_conflict use_variable
DECLARE
    name text := format('similarity_%s', version);
BEGIN
    EXECUTE format('ALTER TABLE consent_data.%I ADD PRIMARY KEY (version, sender_id, category_a, category_b)', name);
    EXECUTE format('REVOKE INSERT ON consent_data.%I FROM consent_batch', name);
    EXECUTE format('ALTER TABLE consent_data.similarity ATTACH PARTITION consent_data.%I FOR VALUES IN (%s)', name, version);
    CALL consent._notice_changes(name);
    INSERT INTO consent_data.similarity_version (version, threshold, print) VALUES (version, threshold, print);
    UPDATE consent_data.setting SET similarity_version = version, similarity_threshold = threshold;
END
$$;
COMMENT ON FUNCTION consent._similar_publish(integer, double precision, text) IS 'Brings the pairs of a prepared version into use.';

CREATE FUNCTION consent._similar_drop_old() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    -- Readers queue behind the lock: rather try again than keep them waiting.
    SET lock_timeout = '100ms'
AS $$
DECLARE
    -- Kept for comparison: the version in use and the two before.
    v_oldest integer := (SELECT t.similarity_version - 2 FROM consent_data.setting t);
    v_old text;
BEGIN
    DELETE FROM consent_data.similarity_version v WHERE v.version < v_oldest;
    FOR v_old IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent = 'consent_data.similarity'::regclass AND c.relname ~ '^similarity_[1-9][0-9]*$'
                    AND substr(c.relname, 12)::integer < v_oldest LOOP
        EXECUTE format('DROP TABLE consent_data.%I', v_old);
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._similar_drop_old() IS 'Drops the pairs of all versions but the last three.';

-- Similar products: what the night scored, per contact and per version. The pairs are in consent_data.similarity.

CREATE PROCEDURE consent._create_similar_tables(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    CREATE TABLE IF NOT EXISTS consent_data.similarity_version (
        version integer PRIMARY KEY,
        made_at timestamptz NOT NULL DEFAULT now(),
        threshold double precision NOT NULL,
        print text NOT NULL
    );
    COMMENT ON TABLE consent_data.similarity_version IS 'When a version of the similar categories came into use, and a fingerprint of all it was made from: with the same one, a run changes nothing.';

    -- Once it had other columns. It is derived: the next night makes it anew.
    IF to_regclass('consent_data.contact_similar') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass('consent_data.contact_similar') AND a.attname = 'list') THEN
        DROP TABLE consent_data.contact_similar CASCADE;
    END IF;
    EXECUTE format($ddl$
    CREATE TABLE IF NOT EXISTS consent_data.contact_similar (
        version integer NOT NULL,
        sender_id integer NOT NULL,
        contact_id %s NOT NULL,
        list bytea NOT NULL,
        PRIMARY KEY (contact_id, sender_id, version)
    ) PARTITION BY LIST (version)$ddl$, key_column);
    COMMENT ON TABLE consent_data.contact_similar IS 'Per contact the categories similar to what was bought, the best first, each with its score and the purchase it rests on; for ranking and for people (consent.contact_similar shows it by name). list: twelve bytes an entry (category, score in millionths, category bought; big-endian), since millions are written each night and three arrays take thrice as long. The decision itself uses consent_data.similarity. A partition a version, built aside and attached when complete.';
END
$procedure$;
COMMENT ON PROCEDURE consent._create_similar_tables(text) IS 'Makes the tables of similar categories that are not there yet.';

CREATE FUNCTION consent._number_at(bytes bytea, at integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('x' || pg_catalog.encode(pg_catalog.substring(bytes, at + 1, 4), 'hex'))::bit(32)::integer;
COMMENT ON FUNCTION consent._number_at(bytea, integer) IS 'The big-endian number in the four bytes from one on, counted from 0.';

CREATE FUNCTION consent._similar_list(list bytea) RETURNS TABLE (rank integer, category_id integer, score real, rests_on integer)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n + 1, consent._number_at(list, 12 * n), (consent._number_at(list, 12 * n + 4) / 1e6)::real, consent._number_at(list, 12 * n + 8)
      FROM generate_series(0, length(list) / 12 - 1) n
$$;
COMMENT ON FUNCTION consent._similar_list(bytea) IS 'The entries of a contact''s list of similar categories, the best first.';

CREATE PROCEDURE consent._create_similar_views()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    CREATE OR REPLACE VIEW consent.contact_similar AS
    SELECT s.contact_id, n.name AS sender, l.rank, c.name AS category, l.score, b.name AS rests_on
      FROM consent_data.setting t
      JOIN consent_data.contact_similar s ON s.version = t.similarity_version
      JOIN consent_data.sender n ON n.sender_id = s.sender_id
     CROSS JOIN LATERAL consent._similar_list(s.list) l
      JOIN consent_data.category c ON c.category_id = l.category_id
      JOIN consent_data.category b ON b.category_id = l.rests_on;
    COMMENT ON VIEW consent.contact_similar IS 'Campaign planner and DBA: which categories is a contact likely to expect, how sure is that, and on which purchase does it rest? The version in use, by name. For ranking: whether a message may be sent, can_send() says.';
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
    name text := format('contact_similar_%s', version);
    v_left text;
BEGIN
    SELECT t.similarity_version INTO in_use FROM consent_data.setting t;
    IF version IS NULL OR version <= in_use THEN
        RAISE EXCEPTION 'version % is not newer than the one in use', version USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('In use is version %s.', in_use), HINT = 'consent-batch rescore counts versions itself.';
    END IF;
    -- Left by a run that was killed.
    FOR v_left IN SELECT c.relname FROM pg_class c
                   WHERE c.relnamespace = 'consent_data'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
                     AND c.relname ~ '^contact_similar_[0-9]+$' LOOP
        EXECUTE format('DROP TABLE consent_data.%I', v_left);
    END LOOP;
    -- The check spares the attachment a look at every row.
    EXECUTE format('CREATE TABLE consent_data.%I (LIKE consent_data.contact_similar, CHECK (version = %s))', name, version);
    EXECUTE format('ALTER TABLE consent_data.%I OWNER TO %I', name,
        (SELECT r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = 'consent_data.contact_similar'::regclass));
    EXECUTE format('COMMENT ON TABLE consent_data.%I IS %L', name, format('Version %s of consent_data.contact_similar.', version));
    EXECUTE format('REVOKE ALL ON consent_data.%I FROM PUBLIC', name);
    EXECUTE format('GRANT SELECT, INSERT ON consent_data.%I TO consent_batch', name);
END
$$;
COMMENT ON FUNCTION consent._similar_prepare(integer) IS 'Makes the empty table for the lists of a new version, and drops what a killed run has left.';

-- Lists hold whoever was erased after their snapshot. The bulk of them goes here, where nobody waits.
CREATE FUNCTION consent._similar_forget(version integer, oldest xid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF EXISTS (SELECT FROM consent_data.erasure x WHERE age(x.xmin) <= age(oldest)) THEN
        EXECUTE format('DELETE FROM consent_data.%I s USING consent_data.erasure x
                         WHERE age(x.xmin) <= age($1) AND x.key_hash = consent._key_hash(s.contact_id::text)', format('contact_similar_%s', version))
            USING oldest;
    END IF;
END
$$;
COMMENT ON FUNCTION consent._similar_forget(integer, xid) IS 'Takes those out of the lists of a new version whom transactions since the one named have erased.';

CREATE FUNCTION consent._similar_index(version integer, oldest xid) RETURNS xid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET maintenance_work_mem = '256MB'
AS $$
#variable_conflict use_variable
DECLARE
    seen xid := pg_snapshot_xmin(pg_current_snapshot())::xid;
BEGIN
    PERFORM consent._similar_forget(version, oldest);
    EXECUTE format('ALTER TABLE consent_data.%I ADD PRIMARY KEY (contact_id, sender_id, version)', format('contact_similar_%s', version));
    RETURN seen;
END
$$;
COMMENT ON FUNCTION consent._similar_index(integer, xid) IS 'Gives the filled table of a new version its key, before anybody reads it; answers with the oldest transaction whose erasures may still be missing.';

CREATE FUNCTION consent._similar_publish(version integer, threshold double precision, print text, oldest xid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    -- Erasures queue behind the lock: rather try again than keep them waiting.
    SET lock_timeout = '500ms'
AS $$
#variable_conflict use_variable
BEGIN
    -- An erasure from now on waits, and then sees this version.
    LOCK TABLE consent_data.erasure IN SHARE MODE;
    PERFORM consent._similar_forget(version, oldest);
    EXECUTE format('ALTER TABLE consent_data.contact_similar ATTACH PARTITION consent_data.%I FOR VALUES IN (%s)', format('contact_similar_%s', version), version);
    INSERT INTO consent_data.similarity_version (version, threshold, print) VALUES (version, threshold, print);
    UPDATE consent_data.setting SET similarity_version = version, similarity_threshold = threshold;
END
$$;
COMMENT ON FUNCTION consent._similar_publish(integer, double precision, text, xid) IS 'Brings a version into use, its pairs and its lists together.';

CREATE FUNCTION consent._similar_drop_old() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
    -- Readers queue behind the lock: rather try again than keep them waiting.
    SET lock_timeout = '100ms'
AS $$
DECLARE
    v_old text;
BEGIN
    FOR v_old IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, consent_data.setting t
                  WHERE i.inhparent = 'consent_data.contact_similar'::regclass AND c.relname ~ '^contact_similar_[0-9]+$'
                    AND c.relname <> format('contact_similar_%s', t.similarity_version) LOOP
        EXECUTE format('DROP TABLE consent_data.%I', v_old);
    END LOOP;
END
$$;
COMMENT ON FUNCTION consent._similar_drop_old() IS 'Drops the lists of all versions but the one in use.';

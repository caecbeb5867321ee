-- Preferences, confirmations owed, and the days a law gives for both.

CREATE PROCEDURE consent._create_preferences(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_preferences(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_preferences()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_preferences() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- The way out: tokens and headers for messages, and what a click on them does.

CREATE PROCEDURE consent._create_unsubscribe(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_unsubscribe(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_unsubscribe()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_unsubscribe() IS 'Grants on the tables and views of this part; setup() calls it last.';

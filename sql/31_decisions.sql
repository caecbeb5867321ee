-- The log of decisions: a question asked for the record, and asked again when the message has waited.

CREATE PROCEDURE consent._create_decisions(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_decisions(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_decisions()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_decisions() IS 'Grants on the tables and views of this part; setup() calls it last.';

-- Evidence: what is accepted as such, how much it proves, and the wordings people agreed to.

CREATE PROCEDURE consent._create_evidence(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_evidence(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_evidence()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_evidence() IS 'Grants on the tables and views of this part; setup() calls it last.';

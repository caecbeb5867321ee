-- A CRM's keys are bigint, uuid or text. Each function that people call with a contact's key as text gets its two sisters
-- here, with its comment and its grants, so that nobody writes a cast into a query.
DO $do$
DECLARE
    f record;
    key_type text;
    sister text;
    granted record;
BEGIN
    FOR f IN SELECT p.oid, p.proname, p.proacl, p.prorettype, p.proretset, pg_catalog.pg_get_function_arguments(p.oid) AS arguments,
                    pg_catalog.pg_get_function_identity_arguments(p.oid) AS identity, pg_catalog.pg_get_function_result(p.oid) AS result,
                    CASE p.provolatile WHEN 'v' THEN 'VOLATILE' ELSE 'STABLE' END AS volatility,
                    (SELECT pg_catalog.string_agg(CASE WHEN p.proargnames[n] LIKE '%contact' THEN '$' || n || '::text' ELSE '$' || n END, ', ' ORDER BY n)
                       FROM pg_catalog.generate_series(1, p.pronargs) n) AS passed,
                    pg_catalog.obj_description(p.oid, 'pg_proc') AS comment
               FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'consent'::pg_catalog.regnamespace AND p.prokind = 'f' AND p.proname !~ '^_'
                AND p.proargnames[1] LIKE '%contact' AND p.proargtypes[0] = 'text'::pg_catalog.regtype
                -- Some are made for each type, to be fast.
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc o
                                 WHERE o.pronamespace = p.pronamespace AND o.proname = p.proname AND o.proargtypes[0] = 'uuid'::pg_catalog.regtype) LOOP
        FOREACH key_type IN ARRAY ARRAY['bigint', 'uuid'] LOOP
            EXECUTE pg_catalog.format('CREATE FUNCTION consent.%I(%s) RETURNS %s LANGUAGE sql %s %s',
                f.proname, pg_catalog.replace(f.arguments, 'contact text', 'contact ' || key_type), f.result, f.volatility,
                CASE WHEN f.proretset THEN pg_catalog.format('ROWS 1 BEGIN ATOMIC SELECT * FROM consent.%I(%s); END', f.proname, f.passed)
                     ELSE pg_catalog.format('RETURN consent.%I(%s)', f.proname, f.passed) END);
            sister := pg_catalog.format('consent.%I(%s)', f.proname, pg_catalog.replace(f.identity, 'contact text', 'contact ' || key_type));
            EXECUTE pg_catalog.format('COMMENT ON FUNCTION %s IS %L', sister, f.comment);
            EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', sister);
            FOR granted IN SELECT r.rolname FROM pg_catalog.aclexplode(f.proacl) a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee LOOP
                EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', sister, granted.rolname);
            END LOOP;
        END LOOP;
    END LOOP;
END
$do$;

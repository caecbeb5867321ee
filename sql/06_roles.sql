-- Roles are of the whole cluster, so another database may have made them already. They have no login and nothing is
-- granted to PUBLIC.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['consent_decide', 'consent_record', 'consent_audit', 'consent_batch', 'consent_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
END
$$;
GRANT consent_decide, consent_record, consent_audit, consent_batch TO consent_admin;

-- The function bodies below name tables that setup() makes.
SET LOCAL check_function_bodies = off;

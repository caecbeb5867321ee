-- Nothing may appear in the extension unnoticed, without a comment, or with a class nobody chose.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
-- Objects without a comment.
SELECT 'function ' || p.oid::regprocedure AS object FROM pg_proc p WHERE p.pronamespace = 'consent'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL SELECT 'type ' || t.oid::regtype FROM pg_type t WHERE t.typnamespace = 'consent'::regnamespace AND t.typtype = 'b' AND t.typcategory <> 'A' AND obj_description(t.oid, 'pg_type') IS NULL
UNION ALL SELECT 'operator ' || o.oid::regoperator FROM pg_operator o WHERE o.oprnamespace = 'consent'::regnamespace AND obj_description(o.oid, 'pg_operator') IS NULL
UNION ALL SELECT 'relation ' || c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('consent'::regnamespace, 'consent_data'::regnamespace)
             AND c.relkind IN ('r', 'p', 'v') AND obj_description(c.oid, 'pg_class') IS NULL
ORDER BY 1;
-- Functions with the owner's rights and no search_path.
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'consent'::regnamespace AND p.prosecdef
   AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=pg_catalog, pg_temp');
-- SQL and PL/pgSQL bodies given as text and no search_path: names in them would be the caller's.
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'consent'::regnamespace
   AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL AND p.proconfig IS NULL;
-- Each function: volatility (i, s, v), parallel class (s, r, u), strict, with the owner's rights, settings.
SELECT p.oid::regprocedure AS function, p.prokind AS kind, p.provolatile AS volatile, p.proparallel AS parallel, p.proisstrict AS strict, p.prosecdef AS definer,
       array_to_string(p.proconfig, '; ') AS settings
  FROM pg_proc p WHERE p.pronamespace = 'consent'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C";
-- Members that are no functions.
SELECT pg_describe_object(d.classid, d.objid, 0) AS member FROM pg_depend d
 WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_consent') AND d.deptype = 'e' AND d.classid <> 'pg_proc'::regclass
 ORDER BY 1;
-- What setup() makes: no members, so that a dump has them and DROP EXTENSION does not.
SELECT c.oid::regclass AS relation, c.relkind AS kind, EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS member
  FROM pg_class c WHERE c.relnamespace IN ('consent'::regnamespace, 'consent_data'::regnamespace) AND NOT c.relispartition AND c.relkind IN ('r', 'p', 'v', 'i', 'I') ORDER BY c.oid::regclass::text;
SELECT t.tgrelid::regclass AS relation, t.tgname AS trigger, t.tgenabled AS enabled FROM pg_trigger t
 WHERE t.tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'consent_data'::regnamespace AND NOT relispartition) AND NOT t.tgisinternal ORDER BY t.tgrelid::regclass::text, 2;

-- A draft of the law answers what it would change; it decides nothing, and its faults are named.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SET SESSION AUTHORIZATION test_audit;
SELECT consent._draft('{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"then": {"relationship": {"window": {"years": 2}}}}}}');
SELECT consent._draft('{"id": "qq", "title": "Nowhere", "authority": "none", "mixed_from": "incidental", "countries": [{"code": "QQ", "zone": "Etc/UTC"}],
    "rules": [{"id": "qq.consent/1", "from": "2020-01-01", "then": {"consent": {}}, "citation": "Act 2", "confidence": "low"}]}');
-- A whole pack in the place of a compiled-in one may loosen, and says what it sees of it.
SELECT d->>'does' AS does, jsonb_array_length(d->'loosens') > 20 AS of_much, d->'loosens' @> '[{"path": "gb.all/1", "problem": "a permission that was not there"}]' AS named FROM consent._draft('{"id": "gb", "title": "UK", "authority": "ICO", "mixed_from": "substantial", "countries": [{"code": "GB", "zone": "Europe/London"}],
    "rules": [{"id": "gb.all/1", "from": "2020-01-01", "then": {"regime": {"basis": "opt_out_regime"}}, "citation": "Bill 1", "confidence": "low"}]}') d;
-- A draft's question comes as bytes, with its version; the same for the same draft, another for another.
SELECT pg_typeof(q), encode(q, 'escape') ~ '\+draft' AS says_so FROM consent._draft_question('newsletter', 'shoes', NULL, NULL, '2026-06-01Z',
    '{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2026-01-01"}}}') q;
-- Nobody decides by it: bytes are no question, and only administrators write one by hand.
SELECT test.fails($$SELECT consent._draft_question('newsletter', NULL, NULL, NULL, NULL, '{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2026-01-01"}}}')::consent.compiled_question$$);
SELECT test.fails($$SELECT ('question:' || encode(consent._draft_question('newsletter', NULL, NULL, NULL, NULL, '{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2026-01-01"}}}'), 'hex'))::text::consent.compiled_question$$);
-- Every fault, with its path.
SELECT test.fails($$SELECT consent._draft('{"extends": "gb", "tighten": {"gb.gone/1": {}}, "rules": [{"id": "gb.own_yes/1", "from": "2026-01-01", "then": {"consent": {}}, "citation": "wish", "confidence": "high"}]}')$$);
SELECT test.fails($$SELECT consent._draft_question('newsletter', NULL, NULL, NULL, NULL, '{"extends": "xx", "rules": []}')$$) ~ 'extends: expected one of' AS named;
SELECT test.fails($$SELECT consent._draft('{"id": "gb", "title": "UK", "authority": "ICO", "mixed_from": "much", "countries": [{"code": "FR", "zone": "Mars"}], "rules": [{"id": "fr.x/1"}]}')$$);
SELECT test.fails($$SELECT consent._draft('[]')$$), test.fails($$SELECT consent._draft(NULL)$$);
SELECT test.fails($$SELECT consent._draft_question('newsletters', NULL, NULL, NULL, NULL, '{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2026-01-01"}}}')$$);
-- Beside the own rules in force: one rule has one patch, and what the draft makes of theirs is named.
RESET SESSION AUTHORIZATION;
INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('uk', '{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2030-01-01"}}}', 'x');
SET SESSION AUTHORIZATION test_batch;
SELECT test.fails($$SELECT consent._draft('{"extends": "gb", "tighten": {"gb.soft_opt_in/1": {"until": "2026-01-01"}}}')$$);
SELECT test.fails($$SELECT consent._draft('{"id": "gb", "title": "UK", "authority": "ICO", "mixed_from": "substantial", "countries": [{"code": "GB", "zone": "Europe/London"}], "rules": []}')$$);
-- Who may ask and who records has no business with drafts.
SET SESSION AUTHORIZATION test_decide;
SELECT test.fails($$SELECT consent._draft('{}')$$), test.fails($$SELECT consent._draft_question('newsletter', NULL, NULL, NULL, NULL, '{}')$$);
SET SESSION AUTHORIZATION test_batch;
SELECT can_send FROM consent.can_send(1::bigint, 'newsletter', 'shoes', at => '2026-06-01Z');

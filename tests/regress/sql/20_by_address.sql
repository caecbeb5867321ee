-- Who is asked about by address must be who has it now, and nobody's address must be no yes.
\set ECHO none
\getenv folder PG_ABS_SRCDIR
\set fresh :folder /fresh.sql
\i :fresh
\set ECHO all
SELECT a, consent.can_send_address(a, 'newsletter', 'shoes') AS newsletter, consent.can_send_address(a, 'order_confirmation') AS service
  FROM unnest(ARRAY['"Ann" <ANN@example.org>', 'ben@example.org', 'cat@example.org', 'nobody@example.org', 'ann@', '', NULL]) a;
SELECT consent.can_send_address('020 7946 0001', 'order_confirmation', channel => 'sms') AS without_country,
       consent.can_send_address('020 7946 0001', 'order_confirmation', channel => 'sms', country => 'GB') AS with_country;
SELECT * FROM consent.contacts_at('Ann@Example.org');
-- Shared by one who may be written to and one who may not; then one of them refuses, which binds both.
INSERT INTO crm.customer VALUES (6, 'GB', 'ann@example.org', NULL);
SELECT consent.refold('{6}'), consent.can_send_address('ann@example.org', 'newsletter', 'shoes');
SELECT * FROM consent.contacts_at('ann@example.org') ORDER BY 1;
SELECT consent.opt_out(6::bigint) > 0 AS recorded;
SELECT consent.can_send_address('ann@example.org', 'newsletter', 'shoes');
-- An address that was given up is not the contact's any more, folded or not.
UPDATE crm.customer SET email = 'ben2@example.org' WHERE id = 2;
SELECT consent.can_send_address('ben@example.org', 'order_confirmation') AS before_fold, consent.refold('{2}');
SELECT consent.can_send_address('ben2@example.org', 'order_confirmation') AS after_fold;
-- An unknown kind is a no, not an error.
SELECT consent.can_send_address('ben2@example.org', 'newsleter'), consent.can_send_address('ben2@example.org', NULL);
-- Numbers are written in pairs, too, and refused.
INSERT INTO crm.customer VALUES (8, 'FR', NULL, '+33 1 23 45 67 80');
SELECT consent.refold('{8}'), consent.can_send_address('+33123456780', 'order_confirmation', channel => 'sms') AS service;
SELECT * FROM consent.contacts_at('+33123456780', 'sms');
-- One that the CRM has emptied is nobody's, folded or not.
UPDATE crm.customer SET email = NULL WHERE id = 3;
SELECT consent.can_send_address('cat@example.org', 'order_confirmation') AS before_fold, consent.refold('{3}');
SELECT consent.can_send_address('cat@example.org', 'order_confirmation') AS after_fold;

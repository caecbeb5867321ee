-- The sign-ups, refusals and unsubscribes that the CRM kept so far, into the ledger.

SELECT count(consent.record_event(s.customer_id,
           CASE s.answer WHEN 'yes' THEN 'opt_in' WHEN 'no' THEN 'opt_in_refused' ELSE 'opt_in_unanswered' END,
           at => s.at, purposes => '{marketing,newsletter}',
           detail => CASE s.answer WHEN 'yes' THEN jsonb_build_object('method', CASE WHEN s.pre_ticked THEN 'pre_ticked' ELSE 'active' END) END,
           evidence => jsonb_build_object('form', s.form), recorded_at => s.at)) AS sign_ups
  FROM crm.signup s;

SELECT count(consent.record_event(u.customer_id, 'opt_out', at => u.at, channels => CASE u.channel WHEN 'phone' THEN '{phone_live,phone_auto}' ELSE ARRAY[u.channel] END,
           category => c.name, detail => jsonb_build_object('scope', CASE WHEN c.name IS NULL THEN 'all' ELSE 'category' END, 'via', 'link'),
           reason => u.reason, recorded_at => u.at)) AS unsubscribes
  FROM crm.unsubscribe u LEFT JOIN crm.category c ON c.id = u.category_id;

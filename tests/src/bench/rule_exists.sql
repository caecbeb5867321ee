-- The rule as a careful hand writes it. It knows e-mail, one sender, these two countries and today's law only.
SELECT count(*)
  FROM crm.customer c
  LEFT JOIN (
    SELECT customer,
           max(at) FILTER (WHERE kind = 'opt_in' AND method = 'active' AND proven) AS opted_in,
           max(at) FILTER (WHERE kind = 'opt_out' AND (category IS NULL OR category = 42)) AS opted_out,
           max(at) FILTER (WHERE kind = 'opt_in') AS last_action
      FROM crm.consent_event GROUP BY customer
  ) e ON e.customer = c.id
 WHERE (e.opted_out IS NULL OR e.opted_in > e.opted_out)
   AND (e.opted_in IS NOT NULL OR EXISTS (
        SELECT FROM crm.sale s JOIN crm.similar_category m ON m.target = 42 AND m.category = s.category
         WHERE s.customer = c.id AND s.opt_out_offered))
   AND (c.country <> 'FR' OR e.last_action > now() - interval '3 years' OR EXISTS (
        SELECT FROM crm.sale s WHERE s.customer = c.id AND s.at > now() - interval '3 years'))

-- The same rule for everybody at once: both tables aggregated, then joined. No use for a single customer.
SELECT count(*)
  FROM crm.customer c
  LEFT JOIN (
    SELECT customer,
           max(at) FILTER (WHERE kind = 'opt_in' AND method = 'active' AND proven) AS opted_in,
           max(at) FILTER (WHERE kind = 'opt_out' AND (category IS NULL OR category = 42)) AS opted_out,
           max(at) FILTER (WHERE kind = 'opt_in') AS last_action
      FROM crm.consent_event GROUP BY customer
  ) e ON e.customer = c.id
  LEFT JOIN (
    SELECT s.customer, bool_or(s.opt_out_offered AND m.category IS NOT NULL) AS similar, max(s.at) AS last_action
      FROM crm.sale s LEFT JOIN crm.similar_category m ON m.target = 42 AND m.category = s.category
     GROUP BY s.customer
  ) p ON p.customer = c.id
 WHERE (e.opted_out IS NULL OR e.opted_in > e.opted_out)
   AND (e.opted_in IS NOT NULL OR p.similar)
   AND (c.country <> 'FR' OR greatest(e.last_action, p.last_action) > now() - interval '3 years')

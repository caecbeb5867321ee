-- Whose time is over, as a careful hand writes it: the last action of each contact, the years of the country.
-- It knows one sender and today's rules only.
SELECT c.id
  FROM (SELECT customer, max(at) AS at
          FROM (SELECT customer, at FROM crm.sale WHERE company = 1
                UNION ALL
                SELECT customer, at FROM crm.engagement WHERE kind = 'click' AND NOT machine
                UNION ALL
                SELECT customer, at FROM crm.answer WHERE kind = 'opt_in') a
         GROUP BY customer) l
  JOIN crm.customer c ON c.id = l.customer
  JOIN crm.retention_rule r ON r.country = c.country
 WHERE l.at + r.years * interval '1 year' <= date_trunc('day', now()) AND c.address_kind IS DISTINCT FROM 'role'

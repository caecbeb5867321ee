-- How many contacts bought from both of two categories. bought holds each contact's categories once.
SELECT a.category AS a, b.category AS b, count(*) AS n
  FROM bought a JOIN bought b ON b.customer = a.customer AND b.category > a.category
 GROUP BY a.category, b.category

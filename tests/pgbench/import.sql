-- Overwrites master data of many, as imports do.
\set first random(1, 980)
INSERT INTO crm.customer SELECT n, 'GB', format('p%s@example.org', n - n % 3) FROM generate_series(:first, :first + 20) n ORDER BY n
    ON CONFLICT (id) DO UPDATE SET country = excluded.country, email = excluded.email;

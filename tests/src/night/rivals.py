"""What others compute on the same rows. Each command prints one JSON object; times in seconds.

usage: rivals.py duckdb|scipy|implicit FOLDER MIDNIGHT EVERY
FOLDER holds customer.csv, sale.csv, engagement.csv, answer.csv, rule.csv and category.csv; `duckdb` leaves the distinct
pairs there for the others, as arrays. One contact in EVERY is in the sample that SQL is compared on.
"""

import json
import sys
import time

import numpy as np

FOLDER, MIDNIGHT, EVERY = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
figures = {}


class timed:
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.began = time.perf_counter()

    def __exit__(self, *_):
        figures[self.name] = time.perf_counter() - self.began


def checksum(a, b, n):
    """Of the pairs a < b with n > 0 that the batch stores: one department, none sensitive. As `sums` in rivals.rs."""
    category = np.loadtxt(FOLDER + "/category.csv", delimiter=",", dtype=np.int64)
    department = np.zeros(category[:, 0].max() + 1, dtype=np.int64)
    sensitive = np.zeros(len(department), dtype=bool)
    department[category[:, 0]] = category[:, 1]
    sensitive[category[:, 0]] = category[:, 2] == 1
    a, b, n = (np.asarray(x, dtype=np.int64) for x in (a, b, n))
    pairs = (a < b) & (n > 0)
    figures["all_pairs"] = sums(a[pairs], b[pairs], n[pairs])
    kept = pairs & (department[a] == department[b]) & ~sensitive[a] & ~sensitive[b]
    return sums(a[kept], b[kept], n[kept])


def sums(a, b, n):
    x = (a * 2333 + b) * n
    return f"{len(n)} {n.sum()} {x.sum()} {np.bitwise_xor.reduce(x)}"


def duckdb():
    import duckdb

    db = duckdb.connect()
    db.execute("SET preserve_insertion_order = false")
    figures["version"] = duckdb.__version__
    tables = {
        "customer": "id BIGINT, country VARCHAR, address_kind VARCHAR",
        "sale": "customer BIGINT, category INTEGER, company INTEGER, moment BIGINT",
        "engagement": "customer BIGINT, kind VARCHAR, machine INTEGER, moment BIGINT",
        "answer": "customer BIGINT, kind VARCHAR, moment BIGINT",
        "rule": "country VARCHAR, years INTEGER",
    }
    with timed("load"):
        for name, columns in tables.items():
            db.execute(f"CREATE TABLE {name} ({columns})")
            db.execute(f"COPY {name} FROM '{FOLDER}/{name}.csv' (FORMAT csv, HEADER false)")
    with timed("retention"):
        rows = db.execute(
            """
            SELECT count(*), sum(id), bit_xor((id * 2654435761) % 4294967291) FROM (
                SELECT c.id
                  FROM (SELECT customer, max(moment) AS moment
                          FROM (SELECT customer, moment FROM sale WHERE company = 1
                                UNION ALL SELECT customer, moment FROM engagement WHERE kind = 'click' AND machine = 0
                                UNION ALL SELECT customer, moment FROM answer WHERE kind = 'opt_in') a
                         GROUP BY customer) l
                  JOIN customer c ON c.id = l.customer
                  JOIN rule r ON r.country = c.country
                 WHERE make_timestamp(l.moment * 1000000) + to_years(r.years) <= make_timestamp(?::BIGINT * 1000000)
                   AND c.address_kind IS DISTINCT FROM 'role')
            """,
            [MIDNIGHT],
        ).fetchone()
    figures["expired"] = " ".join(str(x) for x in rows)
    with timed("distinct"):
        db.execute("CREATE TABLE bought AS SELECT DISTINCT customer, category FROM sale WHERE company = 1")
    join = """SELECT a.category AS a, b.category AS b, count(*) AS n
                FROM bought a JOIN bought b ON b.customer = a.customer AND b.category > a.category
               WHERE a.customer % $1 = 0 GROUP BY ALL"""
    with timed("together"):
        found = db.execute(join.replace("WHERE a.customer % $1 = 0", "")).fetchnumpy()
    figures["checksum"] = checksum(found["a"], found["b"], found["n"])
    found = db.execute(join, [EVERY]).fetchnumpy()
    figures["sample"] = sums(*(np.asarray(found[x], dtype=np.int64) for x in "abn"))
    pairs = db.execute("SELECT customer, category FROM bought ORDER BY customer").fetchnumpy()
    figures["pairs"] = len(pairs["customer"])
    np.save(FOLDER + "/customer.npy", np.asarray(pairs["customer"], dtype=np.int32))
    np.save(FOLDER + "/category.npy", np.asarray(pairs["category"], dtype=np.int32))


def matrix(kind):
    """Categories by contacts, 1 where bought."""
    from scipy.sparse import csr_matrix

    customer, category = np.load(FOLDER + "/customer.npy"), np.load(FOLDER + "/category.npy")
    shape = (int(category.max()) + 1, int(customer.max()) + 1)
    return csr_matrix((np.ones(len(customer), dtype=kind), (category, customer)), shape=shape)


def scipy():
    import scipy as module

    figures["version"] = module.__version__
    with timed("load"):
        items = matrix(np.int32)
        contacts = items.T.tocsr()
    with timed("together"):
        counts = (items @ contacts).tocoo()
    figures["checksum"] = checksum(counts.row, counts.col, counts.data)
    dense = counts.toarray()
    np.fill_diagonal(dense, 0)
    np.save(FOLDER + "/top.npy", -np.sort(-dense, axis=1)[:, :20])


def implicit():
    import implicit as module
    from implicit.nearest_neighbours import all_pairs_knn

    figures["version"] = module.__version__
    with timed("load"):
        contacts = matrix(np.float64).T.tocsr()
    # Its item-item similarity without weights: the 21 highest counts of each category, itself among them.
    with timed("together"):
        found = all_pairs_knn(contacts, 21, show_progress=False).tocoo()
    dense = np.zeros((contacts.shape[1], contacts.shape[1]), dtype=np.int64)
    dense[found.row, found.col] = np.rint(found.data).astype(np.int64)
    np.fill_diagonal(dense, 0)
    ours = -np.sort(-dense, axis=1)[:, :20]
    figures["same_top"] = bool(np.array_equal(ours, np.load(FOLDER + "/top.npy")))


{"duckdb": duckdb, "scipy": scipy, "implicit": implicit}[sys.argv[1]]()
print(json.dumps(figures))

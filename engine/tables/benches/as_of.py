"""How fast do DuckDB and Polars join 2 M rows with the newest of 10 M before each, in one thread, in memory?

The same rows as the test `two_million_by_ten_million`, which prints proprio's figure:
    POLARS_MAX_THREADS=1 python engine/tables/benches/as_of.py
"""
import os
import time

os.environ.setdefault("POLARS_MAX_THREADS", "1")
import duckdb  # noqa: E402
import numpy as np  # noqa: E402
import polars as pl  # noqa: E402


def table(count: int, step: int) -> pl.DataFrame:
    k = np.arange(count, dtype=np.int64)
    return pl.DataFrame({"time": k * step + (k * 7919) % step, "value": k % 1000})


def best(run) -> tuple[float, tuple]:
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        answer = run()
        took.append(time.perf_counter() - begun)
    return min(took), answer


a, b = table(2_000_000, 500_000), table(10_000_000, 100_000)
connection = duckdb.connect()
connection.execute("SET threads = 1")
connection.execute("CREATE TABLE a AS SELECT * FROM a")
connection.execute("CREATE TABLE b AS SELECT * FROM b")
near = "CASE WHEN a.time - b.time <= 50000 THEN b.value END"
for name, value, tolerance in [("", "b.value", None), (" within 50,000", near, 50_000)]:
    sql = f"SELECT count({value}), sum({value}) FROM a ASOF LEFT JOIN b ON a.time >= b.time"
    duck = best(lambda: connection.execute(sql).fetchone())

    def polars():
        joined = a.join_asof(b.rename({"value": "matched"}), on="time", strategy="backward", tolerance=tolerance)
        return joined["matched"].count(), joined["matched"].sum()

    pola = best(polars)
    assert tuple(map(int, duck[1])) == tuple(map(int, pola[1])), (duck, pola)
    for engine, (took, answer) in [("DuckDB", duck), ("Polars", pola)]:
        print(f"{engine}{name}: {took:.3f} s, {12 / took:.0f} M rows/s: {answer[0]} matched, sum {answer[1]}")

"""Answers the statements of `questions.rs` with DuckDB, over the Parquet files that the Delta snapshots list."""
import json
import math
import sys
import time

import duckdb
from deltalake import DeltaTable

request = json.load(sys.stdin)
connection = duckdb.connect()
connection.execute(f"SET threads = {request['threads']}")
for name in ["imu", "emg", "angles", "cycles", "sessions", "trials"]:
    files = DeltaTable(f"{request['tables']}/{name}").file_uris()
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files!r}, hive_partitioning = false)")

answers = []
for statement in request["statements"]:
    took = []
    for _ in range(request["runs"]):
        begun = time.perf_counter()
        rows = connection.execute(statement).fetchall()
        took.append(time.perf_counter() - begun)
    numbers = (float(cell) for row in rows for cell in row if isinstance(cell, (int, float)) or type(cell).__name__ == "Decimal")
    answers.append({"seconds": min(took), "rows": len(rows), "sum": sum(n for n in numbers if math.isfinite(n))})
json.dump(answers, sys.stdout)

"""psycopg, ADBC over Flight SQL, DuckDB and Polars against a running engine; `clients` starts it."""

import base64
import json
import pathlib
import sys
import threading
import time
import urllib.parse

import adbc_driver_flightsql.dbapi as flight
import adbc_driver_manager
import deltalake
import duckdb
import polars
import psycopg
import pyarrow
import websockets.sync.client

data = pathlib.Path(sys.argv[1])
doors = json.loads((data / "running.json").read_text())["doors"]
RUNAWAY = "SELECT sum(a.time_ns + b.time_ns + c.time_ns) FROM imu a, imu b, imu c"


def refused(what, kind, call, *words):
    try:
        call()
    except kind as error:
        text = f"{getattr(error, 'sqlstate', '')} {error}"
        assert any(word in text for word in words), f"{what}: {text}"
        print(f"clients: {what} is refused")
        return
    raise AssertionError(f"{what} was answered")


def grows(what, count):
    first = count()
    give_up = time.monotonic() + 30
    while count() <= first:
        assert time.monotonic() < give_up, f"{what} sees no new row"
        time.sleep(0.2)
    assert first >= 500, f"{what} sees {first} rows"
    print(f"clients: {what} sees committed and live rows")


def postgres(user="anna", password="correct horse"):
    return psycopg.connect(doors["postgres"], user=user, password=password, autocommit=True)


with postgres() as lab:
    grows("psycopg", lambda: lab.execute("SELECT count(*) FROM imu").fetchone()[0])
    assert lab.execute("SELECT count(*) FROM imu WHERE sensor = %s AND sequence < %s", ("pelvis", 10)).fetchone()[0] >= 10
    with lab.transaction(), lab.cursor(name="some") as some:
        some.itersize = 100
        some.execute("SELECT sequence FROM imu WHERE sequence < %s", (250,))
        assert sum(1 for _ in some) >= 250
    refused("psycopg's write", psycopg.Error, lambda: lab.execute("INSERT INTO imu SELECT * FROM imu"), "25006")
    refused("psycopg's COPY", psycopg.Error, lambda: lab.execute("COPY imu TO STDOUT"), "25006")
    threading.Timer(1, lab.cancel).start()
    refused("psycopg's cancelled query", psycopg.Error, lambda: lab.execute(RUNAWAY), "57014")
    lab.execute("SET statement_timeout = '500ms'")
    refused("psycopg's runaway query", psycopg.Error, lambda: lab.execute(RUNAWAY), "57014", "53200")
refused("psycopg's wrong password", psycopg.Error, lambda: postgres(password="wrong"), "wrong user name")
with postgres("eve", "battery staple") as foreign:
    assert foreign.execute("SELECT count(*) FROM imu").fetchone()[0] == 0
    refused("a foreign table", psycopg.Error, lambda: foreign.execute("SELECT * FROM orientation"), "42P01")


def arrow(user="anna", password="correct horse"):
    return flight.connect(doors["flight"], db_kwargs={"username": user, "password": password}, autocommit=True)


def one(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchone()[0]


with arrow() as lab, lab.cursor() as cursor:
    grows("ADBC", lambda: one(cursor, "SELECT count(*) FROM imu"))
    assert one(cursor, "SELECT count(*) FROM imu WHERE sequence < $1", (10,)) >= 10
    cursor.execute("SELECT gyro_x_rad_per_s FROM imu LIMIT 1")
    assert cursor.fetch_arrow_table().schema.field(0).metadata[b"unit"] == b"rad/s"
    tables = lab.adbc_get_objects(depth="tables").read_all().to_pylist()
    assert "imu" in json.dumps(tables), tables
    refused("ADBC's write", adbc_driver_manager.Error, lambda: cursor.execute("DROP TABLE imu"), "read-only")
    threading.Timer(1, cursor.adbc_cancel).start()
    refused("ADBC's cancelled query", adbc_driver_manager.Error, lambda: one(cursor, RUNAWAY), "ancel")
refused("ADBC's wrong password", adbc_driver_manager.Error, lambda: arrow(password="wrong").cursor().execute("SELECT 1"), "wrong user name")

with arrow() as lab, lab.cursor() as cursor:
    cursor.execute("SUBSCRIBE SELECT sequence, gyro_x_rad_per_s FROM imu")
    reader, sequences = cursor.fetch_record_batch(), []
    while len(sequences) < 100:
        sequences += reader.read_next_batch()["sequence"].to_pylist()
    assert len(sequences) == len(set(sequences)), "a live row came twice"
    cursor.adbc_cancel()
    print("clients: ADBC follows live rows")

question = urllib.parse.urlencode({"sql": "SUBSCRIBE WITH PROGRESS SELECT sequence FROM imu"})
password = base64.b64encode(b"anna:correct horse").decode()
address = f"{doors['http'].replace('http', 'ws')}/v1/stream?{question}"
with websockets.sync.client.connect(address, additional_headers={"authorization": f"Basic {password}"}) as socket:
    assert "sequence" in pyarrow.ipc.open_stream(socket.recv(timeout=20)).schema.names
    rows = pyarrow.concat_tables(pyarrow.ipc.open_stream(socket.recv(timeout=20)).read_all() for _ in range(20))
    assert len(rows["sequence"].drop_null()) > 20 and rows["progress_dropped"].drop_null().to_pylist()[-1] == 0, rows
    print("clients: a WebSocket follows live rows and their progress")

table = deltalake.DeltaTable(str(data / "tables" / "imu"))
files = table.file_uris()
committed = duckdb.read_parquet(files).aggregate("count(*)").fetchall()[0][0]
assert committed >= 500 and committed == polars.read_delta(str(data / "tables" / "imu"), version=table.version()).height
print(f"clients: DuckDB and Polars read {committed} committed rows")

with postgres() as lab:
    asked = lab.execute("SELECT count(*) FROM audit WHERE kind = 'query' AND who = 'eve'").fetchone()[0]
    assert asked >= 3, asked
    print(f"clients: {asked} questions of eve's are written down")

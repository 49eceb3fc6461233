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
hasty = sys.argv[2]
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
    refused("psycopg's COPY into a table", psycopg.Error, lambda: lab.cursor().copy("COPY imu FROM STDIN").__enter__(), "25006")
    for form in ("text", "binary"):
        with lab.cursor().copy(f"COPY (SELECT sensor, sequence, gyro_x_rad_per_s FROM imu WHERE sequence < 10) TO STDOUT (FORMAT {form})") as copy:
            copy.set_types(["text", "int8", "float8"])
            copied = list(copy.rows())
        assert len(copied) >= 10 and copied[0][0] == "pelvis" and isinstance(copied[0][2], float), copied[:2]
    print("clients: psycopg copies out text and binary")
    threading.Timer(1, lab.cancel).start()
    refused("psycopg's cancelled query", psycopg.Error, lambda: lab.execute(RUNAWAY), "57014")
    lab.execute("SET statement_timeout = '500ms'")
    refused("psycopg's runaway query", psycopg.Error, lambda: lab.execute(RUNAWAY), "57014", "53200")
    # The limit holds until the last row is taken, of an answer that would have gone on for long too.
    refused("psycopg's long answer", psycopg.Error, lambda: sum(1 for _ in lab.cursor().stream("SELECT a.*, b.* FROM imu a, imu b")), "57014")
    lab.execute("RESET statement_timeout")

    # Rows are sent on as they come, by either protocol, and a live query ends when it is cancelled.
    with lab.cursor() as cursor:
        sequences = []
        def follow(sql):
            for row in cursor.stream(sql):
                sequences.append(row[0])
                if len(sequences) == 100:
                    lab.cancel()
        refused("psycopg's live query, once it is cancelled,", psycopg.Error, lambda: follow("SUBSCRIBE SELECT sequence FROM imu"), "57014")
    assert 100 <= len(sequences) and len(sequences) == len(set(sequences)), "a live row came twice"
    refused("psycopg's live query without an end", psycopg.Error, lambda: lab.execute("SUBSCRIBE SELECT sequence FROM imu ORDER BY 1"), "42601")
    with lab.transaction(), lab.cursor(name="live") as live:
        live.execute("SUBSCRIBE WITH SNAPSHOT SELECT sequence FROM imu")
        rows, give_up = 0, time.monotonic() + 30
        while rows < 600:
            rows += len(live.fetchmany(200))
            assert time.monotonic() < give_up, rows
    print("clients: psycopg follows committed and live rows, by a stream and a cursor")
    # What it looks up for a type that it does not know.
    assert psycopg.types.TypeInfo.fetch(lab, "float8").oid == 701
    assert psycopg.types.TypeInfo.fetch(lab, "no_such_type") is None
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
with arrow("eve", "battery staple") as foreign, foreign.cursor() as cursor:
    assert one(cursor, "SELECT count(*) FROM imu") == 0
    refused("ADBC's foreign table", adbc_driver_manager.Error, lambda: one(cursor, "SELECT * FROM orientation"), "no table")
token = {"adbc.flight.sql.authorization_header": f"Bearer {hasty}"}
with flight.connect(doors["flight"], db_kwargs=token, autocommit=True) as lab, lab.cursor() as cursor:
    refused("ADBC's runaway query", adbc_driver_manager.Error, lambda: one(cursor, RUNAWAY), "longer than", "memory", "esource")


def stream(sql, user="anna", password="correct horse"):
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    address = f"{doors['http'].replace('http', 'ws')}/v1/stream?{urllib.parse.urlencode({'sql': sql})}"
    return websockets.sync.client.connect(address, additional_headers={"authorization": f"Basic {basic}"})


def told(socket):
    return pyarrow.ipc.open_stream(socket.recv(timeout=20)).read_all()


with stream("SUBSCRIBE WITH SNAPSHOT WITH PROGRESS SELECT sequence FROM imu") as socket:
    assert "sequence" in told(socket).schema.names
    rows, give_up = told(socket), time.monotonic() + 30
    while len(rows["sequence"].drop_null()) < 600 or not len(rows["progress_dropped"].drop_null()):
        rows = pyarrow.concat_tables([rows, told(socket)])
        assert time.monotonic() < give_up, rows
    assert rows["progress_dropped"].drop_null().to_pylist()[-1] == 0, rows
    print("clients: a WebSocket follows committed and live rows and their progress")
status = websockets.exceptions.InvalidStatus
refused("a WebSocket's write", status, lambda: stream("DROP TABLE imu"), "400", "403")
refused("a WebSocket's wrong password", status, lambda: stream("SELECT sequence FROM imu", password="wrong"), "401")
refused("a WebSocket's foreign table", status, lambda: stream("SELECT * FROM orientation", "eve", "battery staple"), "400")
# A live query that would gather rows for ever is refused before it runs.
refused("a WebSocket's runaway query", status, lambda: stream("SELECT sum(a.time_ns + b.time_ns) FROM imu a, imu b"), "400")
with stream("SELECT sequence FROM imu", "eve", "battery staple") as socket:
    told(socket)
    refused("a WebSocket's foreign session", TimeoutError, lambda: socket.recv(timeout=2), "")

table = deltalake.DeltaTable(str(data / "tables" / "imu"))
files = table.file_uris()
committed = duckdb.read_parquet(files).aggregate("count(*)").fetchall()[0][0]
assert committed >= 500 and committed == polars.read_delta(str(data / "tables" / "imu"), version=table.version()).height
print(f"clients: DuckDB and Polars read {committed} committed rows")

with postgres() as lab:
    def written(condition):
        return lab.execute(f"SELECT count(*) FROM audit WHERE {condition}").fetchone()[0]

    asked = written("kind = 'query' AND who = 'eve'")
    assert asked >= 5, asked
    # A client that left its live query, by any door, has cancelled it.
    for door in ("http", "flight", "postgres"):
        assert written(f"what LIKE 'SUBSCRIBE%' AND detail LIKE '%\"door\":\"{door}\"%' AND detail LIKE '%cancelled%'") >= 1, door
        assert written(f"kind = 'login_refused' AND who = 'anna' AND detail LIKE '%\"door\":\"{door}\"%'") >= 1, door
    print(f"clients: {asked} questions of eve's and all failed logins are written down")

"""What Grafana's PostgreSQL data source sends, asked as it asks: `grafana.py <postgres url>`; `clients` calls it.

The statements stand as they come over the wire (public/app/plugins/datasource/grafana-postgresql-datasource and
pkg/tsdb/grafana-postgresql-datasource of Grafana 12): its data pages use the simple protocol, older versions prepared statements.
"""

import datetime
import sys

import psycopg

TIMES = {1114: "timestamp", 1184: "timestamptz"}
NUMBERS = {20, 21, 23, 700, 701, 1700}
SEARCH_PATH = """
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )"""
TABLES = f"""SELECT
    CASE WHEN {SEARCH_PATH}
      THEN quote_ident(table_name)
      ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
    END AS "table"
    FROM information_schema.tables
    WHERE quote_ident(table_schema) NOT IN ('information_schema',
                             'pg_catalog',
                             '_timescaledb_cache',
                             '_timescaledb_catalog',
                             '_timescaledb_internal',
                             '_timescaledb_config',
                             'timescaledb_information',
                             'timescaledb_experimental')
    ORDER BY CASE WHEN {SEARCH_PATH} THEN 0 ELSE 1 END, 1"""
COLUMNS = f"""SELECT quote_ident(column_name) AS "column", data_type AS "type"
    FROM information_schema.columns
    WHERE
      CASE WHEN array_length(parse_ident('imu'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('imu'))[1]
          AND quote_ident(table_name) = (parse_ident('imu'))[2]
        ELSE quote_ident(table_name) = 'imu'
          AND {SEARCH_PATH}
      END"""
SCHEMAS = """SELECT schema_name AS "name"
    FROM information_schema.schemata
    WHERE schema_name NOT IN ('information_schema',
                              'pg_catalog',
                              'pg_toast',
                              '_timescaledb_cache',
                              '_timescaledb_catalog',
                              '_timescaledb_internal',
                              '_timescaledb_config',
                              'timescaledb_information',
                              'timescaledb_experimental')
    ORDER BY schema_name"""

lab = psycopg.connect(sys.argv[1], user="anna", password="correct horse", autocommit=True)


def simple(sql):
    """Columns, their types and rows, by the simple protocol. Only what is tagged SELECT is taken."""
    result = lab.pgconn.exec_(sql.encode())
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, f"{sql}: {result.error_message.decode()}"
    assert result.command_status.startswith(b"SELECT "), result.command_status
    names = [result.fname(column).decode() for column in range(result.nfields)]
    types = [result.ftype(column) for column in range(result.nfields)]
    rows = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
    return names, types, [[None if cell is None else cell.decode() for cell in row] for row in rows]


def prepared(sql):
    """The same, prepared."""
    with lab.cursor() as cursor:
        cursor.execute(sql, prepare=True)
        return [column.name for column in cursor.description], [column.type_code for column in cursor.description], cursor.fetchall()


def series(sql, least):
    """A panel's query: a time column that Grafana takes, and values that it can draw, in the order of time."""
    for ask in (simple, prepared):
        names, types, rows = ask(sql)
        assert names[0] == "time" and (types[0] in TIMES or types[0] in NUMBERS), (sql, names, types)
        assert all(code in NUMBERS or code == 25 for code in types[1:]), (sql, types)
        assert len(rows) >= least, f"{sql}: {len(rows)} rows"
        times = [float(row[0]) if types[0] in NUMBERS else row[0] for row in rows]
        assert times == sorted(times), sql
    return rows


# A connection is tried by an empty query, and by a comment.
for nothing in (b"", b"-- ping", b";"):
    assert lab.pgconn.exec_(nothing).status == psycopg.pq.ExecStatus.EMPTY_QUERY
for ask in (simple, prepared):
    assert int(ask("SELECT current_setting('server_version_num')::int/100 as version")[2][0][0]) == 1600
    assert ask("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[2] == []
    assert [row[0] for row in ask(SCHEMAS)[2]] == ["public"]
    tables = [row[0] for row in ask(TABLES)[2]]
    assert {"imu", "imu_latest", "orientation"} <= set(tables) and not any("." in table for table in tables), tables
    columns = dict(ask(COLUMNS)[2])
    assert columns["time"].startswith("timestamp with") and columns["gyro_x_rad_per_s"] == "double precision", columns
    assert columns["sensor"] == "text" and columns["sequence"] == "bigint", columns

newest = simple('SELECT max("time") AS "time" FROM imu')[2][0][0]
to = datetime.datetime.fromisoformat(newest).astimezone(datetime.timezone.utc)
window = [(to - datetime.timedelta(hours=6)), to + datetime.timedelta(hours=1)]
since, until = (time.isoformat(timespec="milliseconds").replace("+00:00", "Z") for time in window)
# What the macros become: $__timeFilter, $__time, $__timeEpoch, $__timeGroup, $__timeGroupAlias, $__timeFrom, $__unixEpochNanoFilter.
inside = f"\"time\" BETWEEN '{since}' AND '{until}'"
series(f'SELECT "time", gyro_x_rad_per_s, gyro_y_rad_per_s FROM imu WHERE {inside} ORDER BY "time" LIMIT 1000', 500)
series(f'SELECT time AS "time", gyro_x_rad_per_s FROM imu WHERE {inside} ORDER BY 1 LIMIT 100', 100)
series(f'SELECT extract(epoch from time) as "time", gyro_x_rad_per_s FROM imu WHERE {inside} ORDER BY 1 LIMIT 100', 100)
grouped = f'SELECT floor(extract(epoch from "time")/1)*1 AS "time", avg(gyro_x_rad_per_s) AS "gyro" FROM imu WHERE {inside} GROUP BY 1 ORDER BY 1'
rows = series(grouped, 4)
assert all(float(row[0]) % 1 == 0 for row in rows)
series(
    f'SELECT floor(extract(epoch from "time")/60)*60 AS "time", sensor AS metric, max(gyro_x_rad_per_s) FROM imu WHERE {inside} '
    "GROUP BY floor(extract(epoch from \"time\")/60)*60, sensor ORDER BY 1, 2", 1)
series(f"SELECT time_bucket('1.000s',\"time\") AS \"time\", avg(gyro_x_rad_per_s) FROM imu WHERE {inside} GROUP BY 1 ORDER BY 1", 4)
series(f"SELECT \"time\", gyro_x_rad_per_s FROM imu WHERE \"time\" >= '{since}' AND \"time\" <= '{until}' ORDER BY 1 LIMIT 10", 10)
nanos = [int(time.timestamp()) * 10**9 for time in window]
series(f'SELECT "time", gyro_x_rad_per_s FROM imu WHERE time_ns >= {nanos[0]} AND time_ns <= {nanos[1]} ORDER BY 1 LIMIT 10', 10)
# What its query builder writes, and what fills a dashboard's variable.
built = f'SELECT AVG(gyro_x_rad_per_s) AS "mean", sensor FROM imu WHERE {inside} GROUP BY sensor LIMIT 50 '
assert simple(built)[2] and prepared(built)[2]
assert [row[0] for row in simple("SELECT DISTINCT sensor FROM imu")[2]] == ["pelvis"]
print("clients: Grafana finds tables and columns, and draws live and committed rows")

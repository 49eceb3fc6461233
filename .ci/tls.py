"""ADBC over TLS: `tls.py <host:port> <folder with ca.pem and other.pem>`; `clients` calls it."""

import pathlib
import sys

import adbc_driver_flightsql.dbapi as flight
import adbc_driver_manager
from adbc_driver_flightsql import DatabaseOptions

at, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def count(address, roots):
    options = {"username": "anna", "password": "correct horse"}
    if roots:
        options[DatabaseOptions.TLS_ROOT_CERTS.value] = (folder / roots).read_text()
    with flight.connect(address, db_kwargs=options, autocommit=True) as lab, lab.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM imu")
        return cursor.fetchone()[0]


assert count(f"grpc+tls://{at}", "ca.pem") >= 500
print("clients: ADBC over TLS sees committed rows")
for what, address, roots in [("another root", f"grpc+tls://{at}", "other.pem"), ("plain text", f"grpc://{at}", None)]:
    try:
        count(address, roots)
    except adbc_driver_manager.Error:
        print(f"clients: ADBC with {what} is refused")
    else:
        raise AssertionError(f"ADBC with {what} was answered")

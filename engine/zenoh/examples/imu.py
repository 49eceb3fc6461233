"""An IMU in Python: 5 s of samples at 100 Hz for sensor `pelvis` of rig `lab-1`."""
import sys, time
import pyarrow as pa, zenoh

KEY, RATE, BOOT = "lab-1/imu/pelvis", 100, time.time_ns()
COLUMNS = [f"{name}_{axis}_{unit}" for name, unit in [("gyro", "rad_per_s"), ("accel", "m_per_s2"), ("mag", "ut")] for axis in "xyz"]
config = zenoh.Config()
config.insert_json5("mode", '"client"')
config.insert_json5("connect/endpoints", f'["{sys.argv[1] if len(sys.argv) > 1 else "tcp/127.0.0.1:7447"}"]')
with zenoh.open(config) as session, session.liveliness().declare_token(KEY):
    for packet in range(50):  # ten samples each
        first = time.time_ns()
        columns = {"time_ns": [first + k * 10**9 // RATE for k in range(10)]}
        columns |= {name: [9.81 if name == "accel_y_m_per_s2" else 20.0 if name == "mag_x_ut" else 0.0] * 10 for name in COLUMNS}
        table = pa.table(columns).replace_schema_metadata({"boot": str(BOOT), "sequence": str(packet * 10)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        session.put(KEY, sink.getvalue().to_pybytes(), encoding="application/vnd.apache.arrow.stream",
                    congestion_control=zenoh.CongestionControl.BLOCK)
        time.sleep(0.1)

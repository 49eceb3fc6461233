//! Samples of an IMU from a table or a generator as the stream that its sensor would send.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use proprio_core::kind::{DEVICE_TIME, SEQUENCE};
use proprio_core::rig::RigFile;
use proprio_core::schema::TIME;
use proprio_core::{Port, Rate};
use serde_json::Value;

use crate::bench::Stream;

/// So many samples on the grid of a rate. `sensor` is the rig's file of it but for the rate, and `values` the column of an instrument
/// (`gyro`, `accel`, `mag`) along an axis.
pub fn imu(name: &str, mut sensor: Value, rate: Rate, samples: usize, values: impl Fn(&str, usize) -> ArrayRef) -> Stream {
    sensor["kind"] = "imu".into();
    sensor["rate"] = serde_json::to_value(rate).expect("a rate is written as one");
    let sensors = [(name.to_owned(), serde_json::from_value(sensor).expect("a sensor"))].into();
    let rig = RigFile { rig: "accuracy".to_owned(), sensors }.resolve();
    let port = Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() };
    let count = 0..samples as i64;
    let columns = port.schema.columns.fields().iter().map(|field| match field.name().as_str() {
        TIME | DEVICE_TIME => Arc::new(count.clone().map(|k| rate.grid_time(k)).collect::<Int64Array>()) as ArrayRef,
        SEQUENCE => Arc::new(count.clone().collect::<Int64Array>()),
        _ if *field.data_type() == DataType::Int64 => Arc::new(Int64Array::new_null(samples)),
        name => {
            let axis = ["_x_", "_y_", "_z_"].iter().position(|axis| name.contains(axis)).expect("a measured column names its axis");
            values(name.split('_').next().unwrap_or_default(), axis)
        }
    });
    let rows = RecordBatch::try_new(port.schema.columns.clone(), columns.collect()).expect("the columns fit an IMU's schema");
    (port, rows)
}

//! Which device measured a row, and where has another one taken its place?

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use proprio_core::Port;
use proprio_core::kind::DEVICE;
use proprio_core::rows::{integer_or_none, integers};

/// Index of a column of whole numbers, where it is there.
pub fn whole_column(port: &Port, name: &str) -> Option<usize> {
    port.schema.index(name).filter(|index| *port.schema.columns.field(*index).data_type() == DataType::Int64)
}

/// Index of the column that names the device, where the stream has it.
pub fn device_column(port: &Port) -> Option<usize> {
    whole_column(port, DEVICE)
}

/// Whether two rows of a sensor are known to be of two devices.
pub fn is_swapped(before: Option<i64>, after: Option<i64>) -> bool {
    before.zip(after).is_some_and(|(before, after)| before != after)
}

/// Per row, whether another device than before measured it; `last` is the newest device that is known. None is swapped without a column.
pub fn swaps(rows: &RecordBatch, device: Option<usize>, last: &mut Option<i64>) -> Vec<bool> {
    let Some(devices) = device.map(|device| integers(rows, device)) else { return vec![false; rows.num_rows()] };
    let swap = |row| {
        let device = integer_or_none(devices, row);
        let is_other = is_swapped(*last, device);
        *last = device.or(*last);
        is_other
    };
    (0..rows.num_rows()).map(swap).collect()
}

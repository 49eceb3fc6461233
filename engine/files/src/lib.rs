//! Which sensors a lab's file holds: C3D, XDF, Parquet and CSV recordings as the rows that those sensors would have sent.
//!
//! [`open`] reads a whole file into a [`Recording`]: one [`FileSensor`] per device, its rows in the sensor's wire schema,
//! SI units, lab frame with Z up, time zero at the file's first frame or sample. [`Recording::rig`] writes the rig file
//! that fits it, and [`Recording::packets`] cuts it into the messages that the sensors publish, in time order.
//!
//! No input makes it panic: what can't be read is a [`FileError`] that names the file and what is wrong; what can be read
//! but not used is one of the recording's warnings.

mod c3d;
mod clock;
mod csv;
mod error;
mod imu;
mod packets;
mod parquet;
mod recording;
mod table;
mod tabular;
mod xdf;

use std::collections::BTreeMap;
use std::path::Path;

use proprio_core::{Kind, Rate};

pub use error::FileError;
pub use packets::{PACKET_NS, Packets};
pub use recording::{AnalogChannel, ComputedAngles, FileSensor, Parameter, Recording};

/// Files above this many bytes are refused: a recording is held in memory.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// What the file doesn't say itself. C3D files say everything, and take none of it; XDF files take a kind and a rate for
/// streams that state none, units, and a name where they have one sensor; for tables see [`open`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// What the table's rows measure; recognised by the column names when absent.
    pub kind: Option<Kind>,
    /// Name of the sensor; by default the file's own `sensor` column, else the kind's name.
    pub sensor: Option<String>,
    /// The exact rate; by default measured from the time column.
    pub rate: Option<Rate>,
    /// Wire column to the file's column, such as `gyro_x_rad_per_s` to `wx`; `time` names the time column.
    pub columns: BTreeMap<String, String>,
    /// Unit in the file of a quantity or of one wire column: `gyro` (`rad/s`, `deg/s`), `accel` (`m/s^2`, `g`, `mg`), `mag`
    /// (`uT`, `nT`, `G`), `emg` (`V`, `mV`, `uV`), `length` (`m`, `mm`), `time` (`s`, `ms`, `us`, `ns`). Wins over a unit in a
    /// column's name.
    pub units: BTreeMap<String, String>,
}

/// Reads a recording; the format goes by the file's extension: `.c3d`, `.xdf`, `.parquet` or `.csv` (also `.tsv` and `.txt`).
///
/// A table is one sensor, or several when a column `sensor` (and, where their kinds differ, `kind`) tells its rows apart or
/// the column names begin or end with a sensor's name. Columns named as in the wire schema are taken as they are; common
/// other names (`gyr_x`, `acc_g_x`, `acc1x`) are recognised, and [`OpenOptions::columns`] maps the rest. Without a unit in
/// its name a column is in the wire schema's unit.
///
/// # Errors
/// [`FileError`]: the file is absent, above 4 GiB, malformed, or holds nothing that a sensor could have sent.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Recording, FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > MAX_FILE_BYTES {
        return Err(FileError::format(path, format!("{length} bytes are more than the 4 GiB that a recording may have")));
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "c3d" => c3d::open(path, std::fs::read(path).map_err(io)?),
        "xdf" => xdf::open(path, &std::fs::read(path).map_err(io)?, options),
        "parquet" => tabular::open(path, parquet::read(path)?, options),
        "csv" | "tsv" | "txt" => tabular::open(path, csv::read(path, std::fs::read(path).map_err(io)?)?, options),
        _ => Err(FileError::format(path, format!("`.{extension}` is no known format; known are `.c3d`, `.xdf`, `.parquet` and `.csv`"))),
    }
}

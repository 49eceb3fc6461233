//! The packed layout, which a microcontroller writes with a `struct` and a `memcpy`: little-endian, without padding.
//!
//! | offset | bytes | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | magic | the ASCII letters `PRP1`; the digit is the version |
//! | 4 | 1 | scalar | type of the values: 0 = `f32`, 1 = `f64`, 2 = `i16` with a scale per column |
//! | 5 | 1 | flags | bit 0: a time per sample follows the header; the other bits are 0 |
//! | 6 | 2 | columns | `u16`, number of columns C, those of the sensor's kind in their order, without the time |
//! | 8 | 8 | boot | `i64`, new at each start of the publisher |
//! | 16 | 8 | sequence | `i64`, ordinal of the first sample since that start |
//! | 24 | 8 | time | `i64`, nanoseconds since 1970-01-01T00:00:00Z of the first sample |
//! | 32 | 4 | samples | `u32`, number of samples N, at least 1 |
//! | 36 | 4 | reserved | 0 |
//! | 40 | 8 N | times | only with flag bit 0: `i64` per sample, the first equal to the one above |
//! | … | 4 C | scales | only with scalar 2: `f32` per column; a value is its integer times the scale |
//! | … | S N C | values | sample after sample, each with its C values of S = 4, 8 or 2 bytes |
//!
//! The payload ends with the last value. Without flag bit 0 sample k has the time of the first plus k/rate, rounded down
//! to whole nanoseconds, at the rate of the rig file. A missing value is NaN, or −32768 with scalar 2; it is taken in a
//! column that may miss values (a marker out of sight) and makes the sample `rejected` in any other. The column order is
//! the one of `proprio operators` for the kind: for an IMU gyro x, y, z in rad/s, accel x, y, z in m/s², mag x, y, z in µT.

use arrow_array::RecordBatch;
use proprio_core::time::TimeNs;
use proprio_core::{Rejection, Samples, Sensor, rows};

use super::{Layout, float_column, floats_with_nan, is_text, reject, samples, time_column, times_at_rate};

const MAGIC: &[u8; 4] = b"PRP1";
const HEADER_BYTES: usize = 40;
const TIMES_FOLLOW: u8 = 1;
/// The integer that stands for a missing value.
const MISSING: i16 = i16::MIN;

/// Type of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    F32,
    F64,
    I16,
}

impl Scalar {
    fn from_code(code: u8) -> Option<Self> {
        [Self::F32, Self::F64, Self::I16].get(usize::from(code)).copied()
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
            Self::I16 => 2,
        }
    }
}

/// Samples in the packed layout, as `f64`, so that nothing is rounded. Times are left out where the rate gives them.
///
/// Returns `None` when the sensor has text columns, which the layout doesn't carry, or `rows` are not in its wire schema.
pub fn encode(sensor: &Sensor, boot: i64, sequence: i64, rows: &RecordBatch) -> Option<Vec<u8>> {
    let columns = rows.columns().get(1..)?.iter().map(floats_with_nan).collect::<Option<Vec<_>>>()?;
    let times = rows::times(rows);
    let first = *times.first()?;
    let implied = times_at_rate(first, sensor.rate, times.len()).is_ok_and(|implied| implied == times);

    let mut bytes = Vec::with_capacity(HEADER_BYTES + 8 * times.len() * (columns.len() + 1));
    bytes.extend_from_slice(MAGIC);
    bytes.push(1);
    bytes.push(if implied { 0 } else { TIMES_FOLLOW });
    bytes.extend_from_slice(&u16::try_from(columns.len()).ok()?.to_le_bytes());
    for word in [boot, sequence, first] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&u32::try_from(times.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    if !implied {
        times.iter().for_each(|time| bytes.extend_from_slice(&time.to_le_bytes()));
    }
    for row in 0..times.len() {
        columns.iter().for_each(|column| bytes.extend_from_slice(&column[row].to_le_bytes()));
    }
    Some(bytes)
}

/// The time of the first sample, when the header is whole.
pub(super) fn first_time_ns(payload: &[u8]) -> Option<TimeNs> {
    (payload.len() >= HEADER_BYTES && payload.starts_with(MAGIC)).then(|| Reader(&payload[24..]).integer())
}

pub(super) fn decode(sensor: &Sensor, payload: &[u8]) -> Result<Samples, Rejection> {
    let layout = Layout::of(sensor);
    let fields = layout.fields();
    if fields.iter().any(|field| is_text(field)) {
        return Err(reject("schema", format!("sensors of kind {} have text columns, which the packed layout doesn't carry", sensor.kind)));
    }
    let header = Header::read(payload)?;
    if header.columns != fields.len() - 1 {
        let due = fields.len() - 1;
        return Err(reject("schema", format!("{} columns; expected {due}, those after the first of {}", header.columns, layout.names())));
    }
    if payload.len() as u64 != header.payload_bytes() {
        let due = header.payload_bytes();
        return Err(reject("garbage", format!("{} bytes, but the header describes {due}", payload.len())));
    }
    let mut reader = Reader(&payload[HEADER_BYTES..]);
    let times = if header.times_follow {
        (0..header.samples).map(|_| reader.integer()).collect()
    } else {
        times_at_rate(header.time_ns, sensor.rate, header.samples)?
    };
    if times[0] != header.time_ns {
        return Err(reject("garbage", format!("the first time is {}, but the header says {}", times[0], header.time_ns)));
    }
    let values = reader.values(&header);
    let mut columns = vec![time_column(times)];
    columns.extend(values.into_iter().zip(&fields[1..]).map(|(column, field)| float_column(column, field)));
    samples(header.boot, header.sequence, &layout, columns)
}

struct Header {
    scalar: Scalar,
    times_follow: bool,
    columns: usize,
    boot: i64,
    sequence: i64,
    time_ns: TimeNs,
    samples: usize,
}

impl Header {
    fn read(payload: &[u8]) -> Result<Self, Rejection> {
        if payload.len() < HEADER_BYTES {
            return Err(reject("garbage", format!("{} bytes; the header alone has {HEADER_BYTES}", payload.len())));
        }
        let mut reader = Reader(payload);
        if &reader.take::<4>() != MAGIC {
            return Err(reject("garbage", "it doesn't begin with PRP1"));
        }
        let [scalar, flags] = reader.take();
        let Some(scalar) = Scalar::from_code(scalar) else { return Err(reject("garbage", format!("scalar type {scalar} is unknown"))) };
        if flags & !TIMES_FOLLOW != 0 {
            return Err(reject("garbage", format!("flags {flags:#04x} are unknown")));
        }
        let header = Self {
            scalar,
            times_follow: flags == TIMES_FOLLOW,
            columns: usize::from(u16::from_le_bytes(reader.take())),
            boot: reader.integer(),
            sequence: reader.integer(),
            time_ns: reader.integer(),
            samples: u32::from_le_bytes(reader.take()) as usize,
        };
        if reader.take::<4>() != [0; 4] {
            return Err(reject("garbage", "the reserved bytes are not 0"));
        }
        if header.samples == 0 {
            return Err(reject("schema", "the message has no samples"));
        }
        Ok(header)
    }

    /// In `u64`, where no product of a `u32` and a `u16` overflows.
    fn payload_bytes(&self) -> u64 {
        let (samples, columns) = (self.samples as u64, self.columns as u64);
        let times = if self.times_follow { 8 * samples } else { 0 };
        let scales = if self.scalar == Scalar::I16 { 4 * columns } else { 0 };
        HEADER_BYTES as u64 + times + scales + samples * columns * self.scalar.bytes() as u64
    }
}

/// Takes fixed-size pieces off the front; the caller has checked the length.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (piece, rest) = self.0.split_first_chunk().expect("the payload's length was checked against its header");
        self.0 = rest;
        *piece
    }

    fn integer(&mut self) -> i64 {
        i64::from_le_bytes(self.take())
    }

    fn values(&mut self, header: &Header) -> Vec<Vec<f64>> {
        let scales: Vec<f64> = match header.scalar {
            Scalar::I16 => (0..header.columns).map(|_| f64::from(f32::from_le_bytes(self.take()))).collect(),
            Scalar::F32 | Scalar::F64 => Vec::new(),
        };
        let mut columns = vec![Vec::with_capacity(header.samples); header.columns];
        for _ in 0..header.samples {
            for (index, column) in columns.iter_mut().enumerate() {
                column.push(match header.scalar {
                    Scalar::F32 => f64::from(f32::from_le_bytes(self.take())),
                    Scalar::F64 => f64::from_le_bytes(self.take()),
                    Scalar::I16 => match i16::from_le_bytes(self.take()) {
                        MISSING => f64::NAN,
                        count => f64::from(count) * scales[index],
                    },
                });
            }
        }
        columns
    }
}

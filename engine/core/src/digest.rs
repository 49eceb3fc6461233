//! Are two sets of rows the same, bit for bit, whatever order and batches they come in? Digests that add up.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::schema::TIME;
use crate::time::{SECOND_NS, TimeNs};

/// A sum over rows: equal sets of rows have equal sums, and unequal ones differ but for a chance of 2⁻¹²⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    sum: [u64; 2],
}

/// Digests by second of event time, so that a difference is found without keeping the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests(BTreeMap<TimeNs, Digest>);

/// A column that has no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of type {data_type} can't be compared")]
pub struct Incomparable {
    /// Its name.
    pub column: String,
    /// Its type.
    pub data_type: DataType,
}

impl Digests {
    /// Adds rows. A null counts as an absent column; columns named in `without` are left out, and `constants` count as
    /// columns with one value in every row.
    ///
    /// # Errors
    /// When a column's type has no digest.
    pub fn add(&mut self, rows: &RecordBatch, constants: &[(&str, &str)], without: &[&str]) -> Result<(), Incomparable> {
        let hashes = hashes(rows, constants, without)?;
        let times = rows.column_by_name(TIME).map(|times| times.as_primitive::<Int64Type>().values());
        for (row, hash) in hashes.into_iter().enumerate() {
            let second = times.map_or(0, |times| times[row].div_euclid(SECOND_NS));
            let digest = self.0.entry(second).or_default();
            digest.rows += 1;
            digest.sum = [digest.sum[0].wrapping_add(hash[0]), digest.sum[1].wrapping_add(hash[1])];
        }
        Ok(())
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.0.values().map(|digest| digest.rows).sum()
    }

    /// The first second, as nanoseconds since the epoch, in which the two differ.
    pub fn first_difference(&self, other: &Self) -> Option<TimeNs> {
        let differs = |second: &&TimeNs| self.0.get(second) != other.0.get(second);
        self.0.keys().chain(other.0.keys()).filter(differs).min().map(|second| second * SECOND_NS)
    }
}

/// Two independent 64-bit hashes a row: each value's, salted with its column's name, added up over the columns.
fn hashes(rows: &RecordBatch, constants: &[(&str, &str)], without: &[&str]) -> Result<Vec<[u64; 2]>, Incomparable> {
    let mut base = [0_u64; 2];
    for (name, value) in constants {
        add(&mut base, salt(name), bytes_hash(value.as_bytes()));
    }
    let mut hashes = vec![base; rows.num_rows()];
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        if without.contains(&field.name().as_str()) {
            continue;
        }
        let salt = salt(field.name());
        let mut each = |value: &dyn Fn(usize) -> u64| {
            for (row, hash) in hashes.iter_mut().enumerate().filter(|(row, _)| column.is_valid(*row)) {
                add(hash, salt, value(row));
            }
        };
        match column.data_type() {
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values();
                each(&|row| values[row].to_bits());
            }
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>().values();
                each(&|row| values[row] as u64);
            }
            DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, _) => {
                let values = column.as_primitive::<TimestampMicrosecondType>().values();
                each(&|row| values[row] as u64);
            }
            DataType::Boolean => each(&|row| u64::from(column.as_boolean().value(row))),
            DataType::Utf8 => each(&|row| bytes_hash(column.as_string::<i32>().value(row).as_bytes())),
            DataType::Binary => each(&|row| bytes_hash(column.as_binary::<i32>().value(row))),
            other => return Err(Incomparable { column: field.name().clone(), data_type: other.clone() }),
        }
    }
    // A sum of sums would not see two rows that swap a value: each row is mixed once more as a whole.
    Ok(hashes.into_iter().map(|[a, b]| [mix(a ^ b.rotate_left(17)), mix(b ^ a.rotate_left(43))]).collect())
}

fn add(hash: &mut [u64; 2], salt: u64, value: u64) {
    let first = mix(value ^ salt);
    *hash = [hash[0].wrapping_add(first), hash[1].wrapping_add(mix(first ^ salt.rotate_left(32)))];
}

fn salt(name: &str) -> u64 {
    mix(bytes_hash(name.as_bytes()) ^ 0x9e37_79b9_7f4a_7c15)
}

/// FNV-1a over words, finished by [`mix`].
fn bytes_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        hash = mix(hash ^ u64::from_le_bytes(padded));
    }
    hash
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit moves every output bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    fn rows(times: &[i64], values: &[Option<f64>], names: &[&str]) -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("time_ns", Arc::new(Int64Array::from(times.to_vec()))),
            ("value", Arc::new(Float64Array::from(values.to_vec()))),
            ("name", Arc::new(StringArray::from(names.to_vec()))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).expect("a batch")
    }

    fn digests(batches: &[RecordBatch]) -> Digests {
        let mut digests = Digests::default();
        batches.iter().for_each(|batch| digests.add(batch, &[("session", "s")], &[]).expect("comparable"));
        digests
    }

    #[test]
    fn order_and_batches_do_not_matter_and_every_bit_does() {
        let all = rows(&[1, 2, 3], &[Some(0.1), None, Some(-0.0)], &["a", "b", ""]);
        let whole = digests(std::slice::from_ref(&all));
        assert_eq!(digests(&[all.slice(2, 1), all.slice(0, 2)]), whole);
        assert_eq!(whole.rows(), 3);
        let others = [
            rows(&[1, 2, 3], &[Some(0.1), None, Some(0.0)], &["a", "b", ""]),
            rows(&[1, 2, 3], &[Some(0.1), Some(0.0), Some(-0.0)], &["a", "b", ""]),
            rows(&[1, 2, 3], &[Some(0.1), None, Some(-0.0)], &["b", "a", ""]),
            rows(&[1, 2, 3], &[Some(0.100_000_000_000_000_02), None, Some(-0.0)], &["a", "b", ""]),
            rows(&[1, 2, 3], &[Some(0.1), None, Some(-0.0)], &["a", "b", "\0"]),
            all.slice(0, 2),
        ];
        for other in others {
            assert_eq!(whole.first_difference(&digests(&[other])), Some(0));
        }
    }

    #[test]
    fn the_first_second_that_differs_is_named() {
        let batch = |value| rows(&[1, SECOND_NS + 5, 7 * SECOND_NS], &[Some(1.0), Some(value), Some(value)], &["a", "a", "a"]);
        assert_eq!(digests(&[batch(2.0)]).first_difference(&digests(&[batch(3.0)])), Some(SECOND_NS));
        assert_eq!(digests(&[batch(2.0)]).first_difference(&digests(&[batch(2.0)])), None);
    }

    #[test]
    fn a_null_is_an_absent_column() {
        let with_null = rows(&[1], &[None], &["a"]);
        let without = with_null.project(&[0, 2]).expect("two columns");
        assert_eq!(digests(&[with_null]), digests(&[without]));
    }
}

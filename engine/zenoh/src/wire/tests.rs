//! Whether every encoding gives back what was sent, refuses the rest by name, and survives any bytes.

use std::collections::BTreeMap;

use arrow_array::{Float32Array, Float64Array, StringArray};
use proprio_core::Kind;
use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::schema::FieldExt;

use super::*;

fn sensor(kind: Kind) -> Sensor {
    let file = SensorFile {
        rate: kind.is_sampled().then(|| Rate::hz(2000)),
        segment: Some("pelvis".into()),
        channels: BTreeMap::from([(1, "vastus".into()), (2, "soleus".into())]),
        labels: vec!["lasi".into(), "rasi".into()],
        ..SensorFile::new(kind)
    };
    RigFile { rig: "lab-1".into(), sensors: BTreeMap::from([("one".into(), file)]) }.resolve().sensors.remove(0)
}

/// Samples of a sensor, with nulls where they may be: five rows, at the rate or not.
fn example(sensor: &Sensor, at_rate: bool) -> RecordBatch {
    let schema = sensor.wire_schema();
    let step = if at_rate { 500_000 } else { 700_001 };
    let mut columns = vec![time_column((0..5).map(|k| 1_700_000_000_000_000_000 + k * step).collect())];
    for (index, field) in schema.columns.fields().iter().enumerate().skip(1) {
        let gap = |row: usize| field.is_nullable() && row == 2;
        columns.push(if is_text(field) {
            Arc::new((0..5).map(|row| (!gap(row)).then(|| format!("text {index} {row} ü"))).collect::<StringArray>())
        } else {
            Arc::new((0..5).map(|row| (!gap(row)).then_some(0.1 * index as f64 - row as f64 / 3.0)).collect::<Float64Array>())
        });
    }
    RecordBatch::try_new(schema.columns, columns).expect("the example fits its schema")
}

fn encodings(sensor: &Sensor, rows: &RecordBatch) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![(ARROW, arrow::encode(7, 40, rows).expect("IPC")), (JSON, json::encode(7, 40, rows))];
    all.extend(packed::encode(sensor, 7, 40, rows).map(|payload| (PACKED, payload)));
    all
}

fn decoded(sensor: &Sensor, encoding: &str, payload: &[u8]) -> Samples {
    match decode(sensor, encoding, payload) {
        Ok(SourceMessage::Samples(samples)) => samples,
        other => panic!("{encoding}: {other:?}"),
    }
}

fn reason(sensor: &Sensor, encoding: &str, payload: &[u8]) -> &'static str {
    decode(sensor, encoding, payload).expect_err("a bad payload").reason
}

#[test]
fn every_encoding_gives_back_every_kind() {
    let mut packed = 0;
    for kind in Kind::ALL {
        let sensor = sensor(kind);
        for at_rate in [true, false] {
            let rows = example(&sensor, at_rate);
            for (encoding, payload) in encodings(&sensor, &rows) {
                let samples = decoded(&sensor, encoding, &payload);
                assert_eq!((samples.boot, samples.sequence), (7, 40));
                if encoding == JSON {
                    assert_close(&samples.rows, &rows);
                } else {
                    assert_eq!(samples.rows.columns(), rows.columns(), "{kind} as {encoding}");
                }
                packed += usize::from(encoding == PACKED);
            }
        }
    }
    assert_eq!(packed, 8, "the four sampled kinds have a packed form");
}

/// Decimal text may cost a value its last bit; nothing else may differ.
fn assert_close(found: &RecordBatch, due: &RecordBatch) {
    for (found, due) in found.columns().iter().zip(due.columns()) {
        match (floats_with_nan(found), floats_with_nan(due)) {
            (Some(found), Some(due)) => {
                let close = |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || (a - b).abs() <= f64::EPSILON * b.abs();
                assert!(found.len() == due.len() && found.iter().zip(&due).all(close), "{found:?} {due:?}");
            }
            _ => assert_eq!(found, due),
        }
    }
}

#[test]
fn the_packed_bytes_are_the_documented_ones() {
    let mut sensor = sensor(Kind::Emg);
    sensor.rate = Some(Rate::hz(3));
    let mut bytes = b"PRP1\x02\x00".to_vec();
    bytes.extend([2, 0]);
    for word in [9_i64, 100, 1_000] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0.5_f32, 2.0].into_iter().flat_map(f32::to_le_bytes));
    bytes.extend([3_i16, -1, i16::MIN, 4, 5, 6].into_iter().flat_map(i16::to_le_bytes));
    let samples = decoded(&sensor, PACKED, &bytes);
    assert_eq!((samples.boot, samples.sequence), (9, 100));
    assert_eq!(rows::times(&samples.rows), [1_000, 333_334_333, 666_667_666]);
    assert_eq!(rows::floats(&samples.rows, 2).values(), &[-2.0, 8.0, 12.0]);
    let first = rows::floats(&samples.rows, 1);
    assert!(first.value(1).is_nan() && first.null_count() == 0, "a required value that is missing is the worker's to refuse");
    assert_eq!((first.value(0), first.value(2)), (1.5, 2.5));
    assert_eq!(peek_time_ns(PACKED, &bytes), Some(1_000));
    assert_eq!(reason(&sensor, PACKED, &bytes[..bytes.len() - 1]), "garbage");
}

#[test]
fn arrow_columns_come_in_any_order_and_as_float32() {
    let sensor = sensor(Kind::Emg);
    let fields = vec![
        proprio_core::schema::column("soleus_v", DataType::Float32),
        proprio_core::schema::column(TIME, DataType::Int64),
        proprio_core::schema::float("vastus_v", "V"),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float32Array::from(vec![Some(0.5), None])),
        Arc::new(Int64Array::from(vec![3, 9])),
        Arc::new(Float64Array::from(vec![1e-5, 2e-5])),
    ];
    let batch =
        |fields: &[Field]| RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields.to_vec())), columns.clone()).expect("a batch");
    let samples = decoded(&sensor, ARROW, &arrow::encode(1, 0, &batch(&fields)).expect("IPC"));
    assert_eq!(rows::times(&samples.rows), [3, 9]);
    assert_eq!(rows::floats(&samples.rows, 1).values(), &[1e-5, 2e-5]);
    assert!(rows::floats(&samples.rows, 2).value(0) == 0.5 && rows::floats(&samples.rows, 2).value(1).is_nan());

    let mut millivolts = fields.clone();
    millivolts[2] = fields[2].clone().unit("mV");
    let refused = |fields: &[Field]| reason(&sensor, ARROW, &arrow::encode(1, 0, &batch(fields)).expect("IPC"));
    assert_eq!(refused(&millivolts), "unit");
    let mut renamed = fields;
    renamed[2] = renamed[2].clone().with_name("vastus");
    assert_eq!(refused(&renamed), "schema");
}

#[test]
fn bad_payloads_are_refused_by_name() {
    let emg = sensor(Kind::Emg);
    let json = |text: &str| reason(&emg, JSON, text.as_bytes());
    assert_eq!(json("{"), "garbage");
    assert_eq!(json("[]"), "garbage");
    assert_eq!(json(&"[".repeat(100_000)), "garbage");
    assert_eq!(json(r#"{"boot":1,"sequence":0,"time_ns":1,"vastus_v":1}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":0,"time_ns":1,"vastus_v":1,"soleus_v":"2"}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":0,"time_ns":1.5,"vastus_v":1,"soleus_v":2}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":-1,"time_ns":1,"vastus_v":1,"soleus_v":2}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":9223372036854775807,"time_ns":1,"vastus_v":1,"soleus_v":2}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":0,"time_ns":[1,2],"vastus_v":[1],"soleus_v":[2,3]}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":0,"time_ns":[],"vastus_v":[],"soleus_v":[]}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":0,"time_ns":9223372036854775807,"vastus_v":[1,2],"soleus_v":[1,2]}"#), "schema");
    assert_eq!(json(r#"{"boot":1,"sequence":0,"time_ns":1,"vastus_v":1,"soleus_v":2,"units":{"vastus_v":"mV"}}"#), "unit");
    assert_eq!(reason(&emg, "image/png", b"x"), "encoding");
    assert_eq!(reason(&emg, "zenoh/bytes", b"x"), "encoding");
    assert_eq!(reason(&emg, ARROW, &vec![0; MAX_PAYLOAD_BYTES + 1]), "too_large");
    assert_eq!(reason(&sensor(Kind::Imu), PACKED, &packed::encode(&emg, 1, 0, &example(&emg, true)).expect("packed")), "schema");
    assert_eq!(reason(&emg, SOURCE, br#"{"message":"end","boot":1,"last_sequence":-2}"#), "schema");
    assert_eq!(reason(&emg, SOURCE, br#"{"message":"begin"}"#), "schema");
    assert_eq!(decode(&emg, SOURCE, &source::open(3, true, None)), Ok(SourceMessage::Open { boot: 3, paced: true, serial: None }));
    assert_eq!(decode(&emg, SOURCE, &source::end(3, -1)), Ok(SourceMessage::End { boot: 3, last_sequence: -1 }));
    assert_eq!(decode(&emg, SOURCE, &source::progress(5)), Ok(SourceMessage::Progress { time_ns: 5 }));
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// The Arrow reader is called without its guard, so a panic inside it fails the test.
#[test]
fn no_bytes_panic_in_any_encoding() {
    let mut random = Random(42);
    let mut refused = 0;
    for kind in Kind::ALL {
        let sensor = sensor(kind);
        let mut payloads = encodings(&sensor, &example(&sensor, false));
        payloads.push((SOURCE, source::end(1, 2)));
        for (encoding, payload) in payloads {
            for _ in 0..3_000 {
                let mut bytes = payload.clone();
                for _ in 0..=random.below(4) {
                    let place = random.below(bytes.len());
                    match random.below(5) {
                        0 => bytes[place] ^= 1 << random.below(8),
                        1 => bytes[place] = [0, 0xFF, 0x7F, 0x80][random.below(4)],
                        2 => bytes.truncate(place + 1),
                        3 => bytes.insert(place, random.below(256) as u8),
                        _ => {
                            let end = (place + 8).min(bytes.len());
                            bytes[place..end].fill([0, 0xFF][random.below(2)]);
                        }
                    }
                }
                let outcome = if encoding == ARROW {
                    arrow::decode_checked(&sensor, &bytes).map(SourceMessage::Samples)
                } else {
                    decode(&sensor, encoding, &bytes)
                };
                match outcome {
                    Ok(SourceMessage::Samples(samples)) => {
                        assert!(samples.rows.num_rows() > 0 && samples.sequence >= 0);
                        assert!(samples.rows.num_rows() <= bytes.len(), "no more rows than bytes");
                    }
                    Ok(_) => {}
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 20_000, "damage is seldom taken for a message, but {refused} were refused");
}

//! Contacts and stride lengths from an IMU on each foot (MaD Lab Erlangen, two walks of 20 m), beside gaitmap.

use arrow_array::RecordBatch;
use proprio_accuracy::streams;
use proprio_core::rows::{float_or_nan, floats, integer_or_none, integers, strings, times};

use crate::answer::Answer;
use crate::error::BenchError;
use crate::peer::Peer;
use crate::replay::{Replay, Tables};
use crate::work::{Bench, Prepared, Work};

pub const WORK: Work =
    Work { name: "foot_imu", about: "contacts and strides of two foot IMUs, 39 s at 204.8 Hz, in packets of a second", prepare };

const FOLDER: &str = "imu/gaitmap";
const PACKET_NS: i64 = 1_000_000_000;
const RIG: &str = "
rig: bench
sensors:
  foot_left: { kind: imu, rate: 1024/5 Hz, segment: foot, side: left, magnetometer: false }
  foot_right: { kind: imu, rate: 1024/5 Hz, segment: foot, side: right, magnetometer: false }
";
const PIPELINE: &str = "
pipeline: bench
rig: rig.yaml
steps:
  - { id: contacts, op: foot_imu_events, from: imu/* }
  - { id: strides, op: foot_trajectory, from: imu/* }
";
/// A contact within this is the same.
const SAME_S: f64 = 0.15;

fn prepare(bench: &Bench) -> Result<Prepared, BenchError> {
    let feet = streams(&proprio_accuracy::Bench::new(bench.recordings.clone()), FOLDER, &Default::default())?;
    let feet: Vec<(&str, RecordBatch)> = ["foot_left", "foot_right"].into_iter().zip(feet.into_iter().map(|(_, rows)| rows)).collect();
    let values = feet.iter().map(|(_, rows)| 6 * rows.num_rows() as u64).sum();
    let ours = Replay::new(bench.wire, RIG, PIPELINE, &feet, PACKET_NS)?;
    let peer = Peer {
        name: "gaitmap",
        packages: &["gaitmap==2.6.0", "gaitmap_mad==2.6.0", "numpy==2.0.2"],
        script: include_str!("../peers/foot_imu.py"),
        agree,
        at_least: 100.0,
        aim: 1000.0,
    };
    Ok(Prepared::new(values, ours, answer, Answer::default(), vec![peer]))
}

/// Per foot: the seconds of its contacts, and of each stride the initial contact and the length.
fn answer(tables: &Tables) -> Answer {
    let (contacts, strides) = (&tables["contacts"], &tables["strides"]);
    let index = |rows: &RecordBatch, name: &str| rows.schema_ref().index_of(name).expect("a column of the step");
    let column = |rows, name| strings(rows, index(rows, name));
    let mut answer = Answer::default();
    for side in ["left", "right"] {
        for event in ["initial_contact", "final_contact"] {
            let (sides, events) = (column(contacts, "side"), column(contacts, "event"));
            let rows = (0..contacts.num_rows()).filter(|row| sides.value(*row) == side && events.value(*row) == event);
            answer = answer.with(format!("{side}_{event}"), rows.map(|row| times(contacts)[row] as f64 * 1e-9).collect());
        }
        let (contact_ns, length_m) =
            (integers(strides, index(strides, "initial_contact_ns")), floats(strides, index(strides, "stride_length_m")));
        let sides = column(strides, "side");
        let rows = (0..strides.num_rows()).filter(|row| sides.value(*row) == side);
        let rows = rows.filter_map(|row| Some((integer_or_none(contact_ns, row)? as f64 * 1e-9, float_or_nan(length_m, row))));
        let (contacts_s, lengths_m) = rows.filter(|(_, length_m)| length_m.is_finite()).unzip();
        answer = answer.with(format!("{side}_stride"), contacts_s).with(format!("{side}_length_m"), lengths_m);
    }
    answer
}

/// Other methods for the same quantities: what gaitmap finds must be found by us, and the strides be as long within 6 cm in the mean.
fn agree(ours: &Answer, theirs: &Answer) -> Result<String, String> {
    let (mut due, mut found, mut apart_cm) = (0, 0, Vec::new());
    for side in ["left", "right"] {
        for event in ["initial_contact", "final_contact"] {
            let name = format!("{side}_{event}");
            let near = |time: &&f64| ours.column(&name).iter().any(|other| (*time - other).abs() <= SAME_S);
            due += theirs.column(&name).len();
            found += theirs.column(&name).iter().filter(near).count();
        }
        let lengths_m = |answer: &Answer| -> Vec<(f64, f64)> {
            let [at_s, length_m] = ["stride", "length_m"].map(|name| answer.column(&format!("{side}_{name}")).to_vec());
            at_s.into_iter().zip(length_m).collect()
        };
        for (at_s, length_m) in lengths_m(theirs) {
            let same = lengths_m(ours).into_iter().find(|(other_s, _)| (other_s - at_s).abs() <= SAME_S);
            apart_cm.extend(same.map(|(_, other_m)| 100.0 * (other_m - length_m).abs()));
        }
    }
    let mean_cm = apart_cm.iter().sum::<f64>() / apart_cm.len() as f64;
    let says =
        format!("{found} of their {due} contacts are ours; {} strides differ by {mean_cm:.1} cm in the mean of sizes", apart_cm.len());
    if due > 100 && found * 100 >= due * 95 && mean_cm < 6.0 { Ok(says) } else { Err(says) }
}

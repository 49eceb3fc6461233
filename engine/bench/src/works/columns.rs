//! One step at a time over 10 M values: normalise, fill with the mean, resample 4 to 5, join. What they are held against is TiLT
//! (Jayarajan et al. 2023), which was measured on one thread of a machine of this kind that copies 21.8 GB/s, read and written: the copy is
//! the peer that runs here, and `at least` is one over how many copies TiLT took.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use proprio_core::Rate;

use crate::answer::Answer;
use crate::error::BenchError;
use crate::peer::Peer;
use crate::replay::{Replay, Tables};
use crate::work::{Bench, Prepared, Work};

pub const NORMALISE: Work = Work {
    name: "normalise",
    about: "z-scores of 10 s over 10 M values at 1 kHz, beside a copy of as many float32",
    prepare: |bench| prepare(bench, &["a"], "{ id: out, op: z_score, from: emg/a, with: { window: 10 s } }", 10_000_000, 46.0),
};
pub const FILL: Work = Work {
    name: "fill",
    about: "one value in a hundred filled with the mean of 10 s, of 10 M at 1 kHz, beside the same copy",
    prepare: |bench| prepare(bench, &["a"], "{ id: out, op: fill, from: emg/a, with: { window: 10 s } }", 9_999_990, 50.0),
};
pub const RESAMPLE: Work = Work {
    name: "resample",
    about: "10 M values from 1 kHz to 1.25 kHz, beside the same copy",
    prepare: |bench| prepare(bench, &["a"], "{ id: out, op: resample, from: emg/a, with: { rate: 1250 Hz } }", 12_499_999, 53.0),
};
pub const JOIN: Work = Work {
    name: "join",
    about: "two streams of 5 M values at 1 kHz on one grid, beside the same copy",
    prepare: |bench| prepare(bench, &["a", "b"], "{ id: out, op: align, from: emg/*, with: { rate: 1000 Hz } }", 5_000_000, 61.0),
};

const VALUES: usize = 10_000_000;
const RATE: Rate = Rate::hz(1000);
const PACKET_NS: i64 = 5_000_000_000;
/// What the machine copied, in bytes read and written a second, that TiLT's figures were measured on.
const COPIED_BYTES_PER_S: f64 = 21.8e9;

/// A step over sensors, how many rows it must give, and how many million values a second TiLT does.
fn prepare(bench: &Bench, sensors: &[&str], step: &str, due_rows: u64, tilt_m_per_s: f64) -> Result<Prepared, BenchError> {
    let of = |name: &&str| format!("  {name}: {{ kind: emg, rate: {RATE}, channels: {{ 1: {name} }} }}\n");
    let rig = format!("rig: bench\nsensors:\n{}", sensors.iter().map(of).collect::<String>());
    let pipeline = format!("pipeline: bench\nrig: rig.yaml\nsteps:\n  - {step}\n");
    let loses = step.contains("op: fill");
    let streams: Vec<(&str, RecordBatch)> = sensors.iter().map(|name| (*name, rows(name, VALUES / sensors.len(), loses))).collect();
    let ours = Replay::new(bench.wire, &rig, &pipeline, &streams, PACKET_NS)?;
    let copy_s = 2.0 * 4.0 * VALUES as f64 / COPIED_BYTES_PER_S;
    let tilt = copy_s / (VALUES as f64 / (tilt_m_per_s * 1e6));
    let peer = Peer {
        name: "memory copy",
        packages: &["numpy==2.4.6"],
        script: include_str!("../peers/copy.py"),
        agree: |ours, theirs| {
            let [rows, due, copied] =
                [(ours, "rows"), (theirs, "due_rows"), (theirs, "copied")].map(|(answer, name)| answer.column(name)[0]);
            let says = format!("we gave {rows} rows of the {due} that are due, it copied {copied} values");
            if rows == due && copied == VALUES as f64 { Ok(says) } else { Err(says) }
        },
        at_least: tilt,
        aim: 2.0 * tilt,
    };
    let answer = |tables: &Tables| Answer::default().with("rows", vec![tables["out"].num_rows() as f64]);
    let events = streams.iter().map(|(_, rows)| rows.num_rows() as u64).sum();
    Ok(Prepared::new(events, ours, answer, Answer::default().with("due_rows", vec![due_rows as f64]), vec![peer]))
}

/// A saw-tooth; with losses, every 1000th to 1009th sample is missing.
fn rows(name: &str, count: usize, loses: bool) -> RecordBatch {
    let kept = || (0..count).filter(|k| !loses || k % 1000 >= 10);
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values(kept().map(|k| RATE.grid_time(k as i64))));
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(kept().map(|k| (k * 7919 % 4096) as f64 / 4096.0 - 0.5)));
    RecordBatch::try_from_iter([("time_ns", times), (&*format!("{name}_v"), values)]).expect("two columns of one length")
}

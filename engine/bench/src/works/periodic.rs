//! W1, the periodic end-to-end workload of LifeStream (Jayarajan et al. 2021): an arterial pressure at 125 Hz has its gaps filled with the
//! mean of 60 s, is resampled to 500 Hz and turned into z-scores of 60 s; an electrocardiogram at 500 Hz is filled and scored; both are
//! joined on time. Beside numpy and polars, which have each signal as one array, its gaps marked already.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use proprio_core::Rate;
use proprio_core::rows::{float_or_nan, floats};

use crate::answer::{Answer, apart};
use crate::error::BenchError;
use crate::peer::Peer;
use crate::replay::{Replay, Tables};
use crate::work::{Bench, Prepared, Work};

pub const WORK: Work = Work {
    name: "periodic",
    about: "W1: fill, resample, z-score and join of 125 Hz and 500 Hz, 18.75 M events in packets of 10 s",
    prepare,
};

const DURATION_S: usize = 30_000;
/// A whole window of 60 s since the epoch.
const BEGIN_S: i64 = 1_700_000_040;
const PACKET_NS: i64 = 10_000_000_000;
const RIG: &str = "
rig: bench
sensors:
  abp: { kind: emg, rate: 125 Hz, channels: { 1: abp } }
  ecg: { kind: emg, rate: 500 Hz, channels: { 1: ecg } }
";
const PIPELINE: &str = "
pipeline: bench
rig: rig.yaml
steps:
  - { id: abp_filled, op: fill, from: emg/abp, with: { window: 60 s } }
  - { id: abp_even, op: resample, from: abp_filled, with: { rate: 500 Hz } }
  - { id: abp_scores, op: z_score, from: abp_even, with: { window: 60 s } }
  - { id: ecg_filled, op: fill, from: emg/ecg, with: { window: 60 s } }
  - { id: ecg_scores, op: z_score, from: ecg_filled, with: { window: 60 s } }
  - { id: joined, op: align, from: [abp_scores, ecg_scores], with: { rate: 500 Hz } }
";

fn prepare(bench: &Bench) -> Result<Prepared, BenchError> {
    let (abp, ecg) = (signal(125, 1.2, 1), signal(500, 1.0, 2));
    let streams = [("abp", rows("abp_v", 125, &abp)), ("ecg", rows("ecg_v", 500, &ecg))];
    let ours = Replay::new(bench.wire, RIG, PIPELINE, &streams, PACKET_NS)?;
    let events = streams.iter().map(|(_, rows)| rows.num_rows() as u64).sum();
    let inputs = Answer::default().with("abp", abp).with("ecg", ecg);
    let peer = |name, packages, script, at_least, aim| Peer { name, packages, script, agree, at_least, aim };
    let peers = vec![
        peer("numpy", &["numpy==2.4.6"], include_str!("../peers/periodic_numpy.py"), 2.0, 5.0),
        peer("polars", &["numpy==2.4.6", "polars==2.1.0"], include_str!("../peers/periodic_polars.py"), 6.0, 6.0),
    ];
    Ok(Prepared::new(events, ours, answer, inputs, peers))
}

/// A beat with noise at so many samples a second, of which about one in a hundred is lost, in gaps of a tenth of a second to five; NaN
/// where it is.
fn signal(rate_hz: usize, beats_per_s: f64, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut random = || {
        // Knuth's MMIX; the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut values = Vec::with_capacity(DURATION_S * rate_hz);
    let mut lost_until = 0;
    for k in 0..DURATION_S * rate_hz {
        let beat = libm::sin(k as f64 / rate_hz as f64 * beats_per_s * std::f64::consts::TAU);
        let value = 0.9 + 0.2 * beat * beat * beat + 0.01 * (random() - 0.5);
        if k > lost_until && random() < 0.01 / (2.5 * rate_hz as f64) {
            lost_until = k + ((0.1 + 4.9 * random()) * rate_hz as f64) as usize;
        }
        let is_end = k + 1 == DURATION_S * rate_hz;
        values.push(if k < lost_until && !is_end { f64::NAN } else { value });
    }
    values
}

/// The samples that were not lost.
fn rows(name: &str, rate_hz: u64, values: &[f64]) -> RecordBatch {
    let there = || values.iter().zip(BEGIN_S * rate_hz as i64..).filter(|(value, _)| !value.is_nan());
    let times: ArrayRef = Arc::new(there().map(|(_, k)| Rate::hz(rate_hz).grid_time(k)).collect::<Int64Array>());
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(there().map(|(value, _)| *value)));
    RecordBatch::try_from_iter([("time_ns", times), (name, values)]).expect("two columns of one length")
}

/// The rows in which both signals have a value: those of the join.
fn answer(tables: &Tables) -> Answer {
    let joined = &tables["joined"];
    let columns = ["abp_scores_abp_v_z", "ecg_scores_ecg_v_z"];
    let columns = columns.map(|name| floats(joined, joined.schema_ref().index_of(name).expect("a score's column")));
    let both = (0..joined.num_rows()).map(|row| columns.map(|column| float_or_nan(column, row)));
    let (abp, ecg) = both.filter(|values| values.iter().all(|value| !value.is_nan())).map(|[abp, ecg]| (abp, ecg)).unzip();
    Answer::default().with("abp", abp).with("ecg", ecg)
}

fn agree(ours: &Answer, theirs: &Answer) -> Result<String, String> {
    let worst = ["abp", "ecg"].map(|name| apart(ours.column(name), theirs.column(name))).into_iter().fold(0.0, f64::max);
    let [our_rows, their_rows] = [ours, theirs].map(|answer| answer.column("abp").len());
    let says = format!("{our_rows} joined rows, theirs {their_rows}; scores differ by {worst:.0e} of the highest");
    if worst < 1e-9 { Ok(says) } else { Err(says) }
}

//! The EMG chain: band-pass, rectify, envelope and onsets of 16 muscles at 2 kHz, beside scipy and neurokit2.

use arrow_array::RecordBatch;
use proprio_accuracy::Simulated;
use proprio_core::Kind;
use proprio_core::rows::{float_or_nan, floats, strings, times};
use proprio_simulate::{Layout, Options, rig_file};

use crate::answer::{Answer, apart};
use crate::error::BenchError;
use crate::peer::Peer;
use crate::replay::{Replay, Tables};
use crate::work::{Bench, Prepared, Work};

pub const WORK: Work =
    Work { name: "emg", about: "envelopes and onsets of 16 muscles at 2 kHz, a simulated walk in packets of 10 ms", prepare };

const SENSOR: &str = "muscles";
const DURATION_S: f64 = 10.0;
const PACKET_NS: i64 = 10_000_000;
const PIPELINE: &str = "
pipeline: bench
rig: rig.yaml
steps:
  - { id: envelope, op: emg_envelope, from: emg/muscles }
  - { id: onsets, op: emg_onset, from: emg/muscles }
";
/// An onset of theirs within this of one of ours is the same.
const SAME_S: f64 = 0.1;

fn prepare(bench: &Bench) -> Result<Prepared, BenchError> {
    let options = Options { duration_s: DURATION_S, ..Options::of(Layout::FullLab) };
    let mut rig = rig_file(&options);
    rig.sensors.retain(|name, _| name == SENSOR);
    let (_, rows) = Simulated::of_kinds(options, &[Kind::Emg])?.stream(SENSOR);
    let muscles = rows.num_columns() - 1;
    let ours = Replay::new(bench.wire, &proprio_runtime::rig_yaml(&rig), PIPELINE, &[(SENSOR, rows.clone())], PACKET_NS)?;
    let inputs = rows.schema_ref().fields().iter().zip(0..).filter(|(field, _)| field.name().ends_with("_v"));
    let inputs = inputs.fold(Answer::default(), |inputs, (field, column)| {
        inputs.with(field.name().trim_end_matches("_v"), floats(&rows, column).values().to_vec())
    });
    let peer = Peer {
        name: "scipy + neurokit2",
        packages: &["numpy==2.4.6", "scipy==1.17.1", "neurokit2==0.2.13"],
        script: include_str!("../peers/emg.py"),
        agree,
        at_least: 10.0,
        aim: 30.0,
    };
    Ok(Prepared::new((muscles * rows.num_rows()) as u64, ours, answer, inputs, vec![peer]))
}

/// Envelopes, and the onsets' seconds since the first sample.
fn answer(tables: &Tables) -> Answer {
    let (envelopes, onsets) = (&tables["envelope"], &tables["onsets"]);
    let begin_ns = times(envelopes)[0];
    let mut answer = Answer::default();
    for (index, field) in envelopes.schema_ref().fields().iter().enumerate() {
        if let Some(muscle) = field.name().strip_suffix("_envelope_v") {
            let values = floats(envelopes, index);
            answer = answer.with(format!("{muscle}_envelope"), (0..values.len()).map(|row| float_or_nan(values, row)).collect());
            answer = answer.with(format!("{muscle}_onsets"), onsets_s(onsets, muscle, begin_ns));
        }
    }
    answer
}

fn onsets_s(onsets: &RecordBatch, muscle: &str, begin_ns: i64) -> Vec<f64> {
    let column = |name: &str| strings(onsets, onsets.schema_ref().index_of(name).expect("a column of emg_onset"));
    let (muscles, events) = (column("muscle"), column("event"));
    let is_one = |row: &usize| muscles.value(*row) == muscle && events.value(*row) == "onset";
    (0..onsets.num_rows()).filter(is_one).map(|row| (times(onsets)[row] - begin_ns) as f64 * 1e-9).collect()
}

/// The envelopes are the same filters'. Onsets are found by other methods: most bursts must be found by both.
fn agree(ours: &Answer, theirs: &Answer) -> Result<String, String> {
    let (mut worst, mut found, mut due_count, mut shared) = (0.0_f64, 0, 0, 0);
    for (name, due) in &theirs.0 {
        if name.ends_with("_envelope") {
            worst = worst.max(apart(ours.column(name), due));
        } else {
            let near = |time: &&f64| due.iter().any(|other| (*time - other).abs() <= SAME_S);
            found += ours.column(name).len();
            due_count += due.len();
            shared += ours.column(name).iter().filter(near).count();
        }
    }
    let share = 100.0 * shared as f64 / found as f64;
    let says = format!(
        "envelopes are within {worst:.1e} of their peaks; {share:.0} % of our {found} onsets have one of their {due_count} within 100 ms"
    );
    if worst < 1e-9 && share >= 50.0 { Ok(says) } else { Err(says) }
}

//! Are repetitions counted right, and their holds timed right? Simulated subjects who train with errors, and a recording.
//!
//! **Simulated**: 120 subjects (seeds from 1000 on; development used those below) do two sets of four by a protocol of 2 s up, 4 s held, 2 s
//! down, 2 s of rest. Each of these times is off by 25 % (SD), up to 50 %; in 20 % of the repetitions half a one comes first, and
//! 20 % pause for a second on the way up; holds sink by 6 % of the way. Each rests up to 5° beside the protocol's rest, sways (0.6°, 0.4 Hz),
//! trembles (0.3°, 9 Hz) and is measured with noise of 0.3° at 100 Hz; one sample in 500 begins a gap of up to 80 ms.
//! A subject is right when every repetition is told with its set and number and nothing else is; hold errors are against the schedule, over
//! all whole repetitions of these subjects, found or not. `chain` is the same of 6 subjects by their IMUs: orientation, align, joint angles.
//!
//! **Recording**: `emg/cometa_emg_acc.c3d`, someone who runs up and kicks, or jumps, again and again. Counted by hand on a plot of all
//! 24 channels against time: in each of the six accelerometers there are four bursts above all others, at 2.2, 5.4, 9.2 and 12.8 s (thigh,
//! `Acc_2 :X`: below −5 g for a tenth of a second, while the steps between stay above −2 g), and the EMG of vastus and rectus femoris bursts
//! with each; after 15 s the subject stands. So there are four. Three accelerometers on three muscles are counted.

use std::sync::Arc;

use arrow_array::{Float64Array, Int64Array, RecordBatch};
use proprio_core::rows::{batch, float_or_nan, floats, integer_or_none, integers, strings};
use proprio_core::schema::float;
use proprio_core::{Port, Rate, StreamSchema};
use proprio_files::OpenOptions;
use proprio_simulate::{Layout, Options, Random, Repetition, Training, way};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated::Simulated;
use crate::statistics::quantile;

pub const SUITE: Suite = Suite {
    name: "exercise",
    about: "repetitions and holds of 120 simulated trainings with tempo errors, and kicks counted by hand in emg/cometa_emg_acc.c3d",
    measure,
};

const SUBJECTS: std::ops::Range<u64> = 1000..1120;
const CHAIN_SUBJECTS: std::ops::Range<u64> = 1000..1006;
const REST_DEG: f64 = 75.0;
const TARGET_DEG: f64 = 7.0;
const FILE: &str = "emg/cometa_emg_acc.c3d";
/// Bursts counted by hand.
const KICKS: usize = 4;
/// Accelerometer, its value between the bursts and in them, in g.
const ACCELEROMETERS: [(&str, f64, f64); 3] = [("Acc_2 :X", -0.4, -5.0), ("Acc_3 :X", 1.0, 5.0), ("Acc_5 :Y", -0.8, -6.0)];

/// How subjects are told, over all of them.
#[derive(Default)]
struct Tally {
    subjects: usize,
    right: usize,
    repetitions: usize,
    hold_errors_ms: Vec<f64>,
    tempo_errors_ms: Vec<f64>,
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    let mut simulated = Tally::default();
    for seed in SUBJECTS {
        let schedule = training().schedule(seed);
        let (_, rows) = bench.step("repetitions", "exercise", config(), &[angle(seed, &schedule)])?;
        simulated.add(&schedule, 0.0, &rows);
    }
    figures.extend(simulated.figures("simulated"));
    let mut chain = Tally::default();
    for seed in CHAIN_SUBJECTS {
        let (schedule, rows) = by_imus(bench, seed)?;
        chain.add(&schedule, Options::default().start_ns as f64 / 1e9, &rows);
    }
    figures.extend(chain.figures("chain"));
    for (label, rest, target) in ACCELEROMETERS {
        let counted = kicks(bench, label, rest, target)?;
        let name = label.split(' ').next().unwrap_or(label).to_lowercase();
        figures.push(Figure::lower(format!("exercise.cometa.{name}.miscounted"), counted.abs_diff(KICKS) as f64, "1").gate(0.0));
    }
    Ok(figures)
}

/// How the subjects train.
fn training() -> Training {
    Training { tempo_error: 0.25, half: 0.2, pause: 0.2, sag: 0.06, ..Training::default() }
}

fn config() -> Value {
    let phase = |seconds: u32| json!({ "duration": format!("{seconds} s") });
    json!({
        "protocol": {
            "protocol": "hip-thrust",
            "movement": { "rest": format!("{REST_DEG} deg"), "target": format!("{TARGET_DEG} deg") },
            "phases": { "concentric": phase(2), "hold": { "duration": "4 s", "band": "8 deg" }, "eccentric": phase(2) },
            "repetitions": 4, "sets": 2, "set_rest": "12 s",
        },
        "signal": "hip_flexion_deg",
    })
}

/// One subject's joint angle, with sway, tremor, noise and gaps.
fn angle(seed: u64, schedule: &[Repetition]) -> Stream {
    let schema = StreamSchema::new(vec![float("hip_flexion_deg", "deg")], &[], Some(Rate::hz(100)));
    let mut random = Random::new(seed, "angle");
    let rest_deg = REST_DEG + 5.0 * random.signed();
    let [sway, tremor] = [random.uniform(), random.uniform()];
    let end_s = schedule.last().map_or(0.0, |last| last.end_s) + 4.0;
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let mut lost = 0;
    for k in 0..(end_s * 100.0) as i64 {
        let time_s = k as f64 / 100.0;
        let wave = |hz: f64, phase: f64| libm::sin(std::f64::consts::TAU * (hz * time_s + phase));
        let moved = (TARGET_DEG - rest_deg) * way(schedule, time_s);
        let value = rest_deg + moved + 0.6 * wave(0.4, sway) + 0.3 * wave(9.0, tremor) + 0.3 * random.normal();
        if random.chance(1.0 / 500.0) {
            lost = 1 + (7.0 * random.uniform()) as i64;
        }
        if lost > 0 {
            lost -= 1;
            continue;
        }
        times.push(Rate::hz(100).grid_time(k));
        values.push(value);
    }
    let columns = vec![Arc::new(Int64Array::from(times)) as _, Arc::new(Float64Array::from(values)) as _];
    let rows = batch(&schema, columns);
    (Port { stream: "angles".to_owned(), schema }, rows)
}

/// One subject's repetitions by IMUs, and what was done.
fn by_imus(bench: &mut Bench, seed: u64) -> Result<(Vec<Repetition>, RecordBatch), AccuracyError> {
    let schedule = training().schedule(seed);
    let duration_s = schedule.last().map_or(0.0, |last| last.end_s) + 4.0;
    let options = Options { seed, duration_s, training: training(), ..Options::of(Layout::HipThrust) };
    let sensors = ["pelvis", "thigh_left", "thigh_right"];
    let simulated = Simulated::new(options, &sensors)?;
    let mut oriented = Vec::new();
    for sensor in sensors {
        oriented.push(bench.step(&format!("orientation/{sensor}"), "orientation", json!({}), &[simulated.stream(sensor)])?);
    }
    let fused = bench.step("fused", "align", json!({ "rate": "100 Hz", "tolerance": "30 ms" }), &oriented)?;
    let angles = bench.step("angles", "joint_angles", json!({ "heading": "90 deg" }), &[fused])?;
    let mut config = config();
    config["signal"] = "(hip_left_flexion_deg + hip_right_flexion_deg) / 2".into();
    Ok((schedule, bench.step("repetitions", "exercise", config, &[angles])?.1))
}

impl Tally {
    /// Adds one subject; `origin_s` is the time of the schedule's zero.
    fn add(&mut self, schedule: &[Repetition], origin_s: f64, rows: &RecordBatch) {
        let column = |name: &str| rows.schema().index_of(name).expect("a column of `exercise`");
        let (sets, numbers, starts) =
            (integers(rows, column("set")), integers(rows, column("repetition")), integers(rows, column("start_ns")));
        let kinds = strings(rows, column("kind"));
        let [up, hold, down] = ["concentric_s", "hold_s", "eccentric_s"].map(|name| floats(rows, column(name)));
        let told: Vec<usize> = (0..rows.num_rows()).filter(|row| kinds.value(*row) == "repetition").collect();
        let is_told = |row: &usize, done: &Repetition| {
            let start_s = integer_or_none(starts, *row).map_or(f64::NAN, |start| start as f64 / 1e9 - origin_s);
            (start_s - done.start_s).abs() < 1.0
        };
        let mut is_right = told.len() == schedule.len();
        for done in schedule {
            let row = told.iter().copied().find(|row| is_told(row, done));
            let number = row.and_then(|row| integer_or_none(numbers, row));
            let set = row.and_then(|row| integer_or_none(sets, row));
            is_right &= number == done.number.map(i64::from) && set == Some(i64::from(done.set));
            if done.number.is_none() {
                continue;
            }
            self.repetitions += 1;
            let Some(row) = row else { continue };
            let off_ms = |told: &Float64Array, truth_s: f64| 1000.0 * (float_or_nan(told, row) - truth_s).abs();
            self.hold_errors_ms.push(off_ms(hold, done.lower_s - done.top_s));
            self.tempo_errors_ms.push(off_ms(up, done.top_s - done.start_s));
            self.tempo_errors_ms.push(off_ms(down, done.end_s - done.lower_s));
        }
        self.subjects += 1;
        self.right += usize::from(is_right);
    }

    fn figures(&self, of: &str) -> Vec<Figure> {
        let name = |what: &str| format!("exercise.{of}.{what}");
        let within = self.hold_errors_ms.iter().filter(|error| **error <= 100.0).count();
        let percent = |count: usize, of: usize| 100.0 * count as f64 / of as f64;
        vec![
            Figure::higher(name("subjects_right"), percent(self.right, self.subjects), "%").gate(100.0),
            Figure::higher(name("holds_within_100_ms"), percent(within, self.repetitions), "%").gate(95.0).aim(100.0),
            Figure::lower(name("hold_median"), quantile(&self.hold_errors_ms, 0.5, self.repetitions), "ms").gate(50.0),
            Figure::lower(name("hold_p95"), quantile(&self.hold_errors_ms, 0.95, self.repetitions), "ms").gate(100.0),
            Figure::lower(name("tempo_p95"), quantile(&self.tempo_errors_ms, 0.95, 2 * self.repetitions), "ms").gate(150.0),
        ]
    }
}

/// The kicks that one axis of an accelerometer counts.
fn kicks(bench: &mut Bench, label: &str, rest: f64, target: f64) -> Result<usize, AccuracyError> {
    let recording = bench.open(FILE, &OpenOptions::default())?;
    let channel = recording.analog(label).ok_or_else(|| AccuracyError::Malformed {
        path: bench.path(FILE).unwrap_or_default(),
        what: format!("there is no channel `{label}`"),
    })?;
    let schema = StreamSchema::new(vec![float("accel_g", "g")], &[], Some(channel.rate));
    let times: Int64Array = (0..channel.values.len() as i64).map(|k| channel.rate.grid_time(k)).collect();
    let rows = batch(&schema, vec![Arc::new(times) as _, Arc::new(Float64Array::from(channel.values.clone())) as _]);
    let phase = json!({ "duration": "300 ms", "tolerance": "100 %" });
    let config = json!({
        "protocol": {
            "protocol": "kick",
            "movement": { "rest": format!("{rest} g"), "target": format!("{target} g"), "least": "60 %" },
            "phases": { "concentric": phase, "eccentric": phase },
            "repetitions": KICKS,
        },
        "signal": "accel_g",
        "shortest": "100 ms",
    });
    let stream = (Port { stream: "accelerometer".to_owned(), schema }, rows);
    let (_, told) = bench.step("kicks", "exercise", config, &[stream])?;
    let numbers = integers(&told, told.schema().index_of("repetition").expect("a column of `exercise`"));
    Ok((0..told.num_rows()).filter(|row| integer_or_none(numbers, *row).is_some()).count())
}

//! Is a changed patient told from what varies between sessions anyway?
//!
//! The generator is fixed: 400 patients (seeds from 1000 on; development used those below) of 12 usual sessions and 6 later ones of 20
//! strides. A stride has the onsets of four muscles and a joint's angle at five phases of the cycle. From session to session onsets scatter
//! by 10 ms, half of it (in variance) common to the four, as the event is that they are told from; the angle by 2°, half of it a posture kept
//! through the whole cycle and half the first harmonic of the curve; where the sensor sits is off by 10°, constant within a session. Strides
//! scatter by 15 ms and 2°. Each patient's later sessions are made three times: as before; with two of the muscles 20 ms later; with 3° more
//! in the second and third phase. The signature is learned, carried over and asked as the engine does, session by session; the area under the
//! curve (AUC) is that of the distance. Of a single session it is watched: a change of two standard deviations between sessions, hidden among
//! nine features, can't be told from one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use proprio_core::rows::{float_or_nan, floats, nan_as_null, strings};
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{Carried, Output, Planned, Port, StreamSchema, TimeNs};
use proprio_simulate::Random;
use serde_json::json;

use super::Suite;
use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;

pub const SUITE: Suite = Suite { name: "signature", about: "changed patients against session-to-session variation, simulated", measure };

const FIRST_SEED: u64 = 1000;
const PATIENTS: u64 = 400;
const USUAL_SESSIONS: usize = 12;
const LATER_SESSIONS: usize = 6;
const STRIDES: usize = 20;
const MUSCLES: usize = 4;
const PHASES: usize = 5;
const HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// What is different in the later sessions.
#[derive(Clone, Copy)]
struct Change {
    name: &'static str,
    onset_ms: f64,
    angle_deg: f64,
}

const CHANGES: [Change; 3] = [
    Change { name: "none", onset_ms: 0.0, angle_deg: 0.0 },
    Change { name: "onset", onset_ms: 20.0, angle_deg: 0.0 },
    Change { name: "angle", onset_ms: 0.0, angle_deg: 3.0 },
];

/// What one patient's later sessions came to.
#[derive(Default)]
struct Found {
    session: Vec<f64>,
    trend: Vec<f64>,
    /// Of the trend: changed, and named by what was changed.
    changed: usize,
    named: usize,
}

fn measure(_: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let port = port();
    let mut found: BTreeMap<&str, Found> = CHANGES.iter().map(|change| (change.name, Found::default())).collect();
    let planned = plan(&port)?;
    for patient in FIRST_SEED..FIRST_SEED + PATIENTS {
        let mut random = Random::new(patient, "patient");
        let mut carried = None;
        for session in 0..USUAL_SESSIONS {
            let rows = run(&planned, &strides(&port, &mut random, session, CHANGES[0]), carried.as_ref());
            carried = Some(candidate(&planned, &rows));
        }
        for change in CHANGES {
            let found = found.get_mut(change.name).expect("each change has its place");
            // The same sessions, changed: what differs is the change alone.
            let (mut random, mut carried) = (random.clone(), carried.clone());
            for session in USUAL_SESSIONS..USUAL_SESSIONS + LATER_SESSIONS {
                let rows = run(&planned, &strides(&port, &mut random, session, change), carried.as_ref());
                if session == USUAL_SESSIONS {
                    found.session.push(whole(&rows, "session").0);
                }
                if session + 1 == USUAL_SESSIONS + LATER_SESSIONS {
                    let (distance, verdict, drivers) = whole(&rows, "trend");
                    found.trend.push(distance);
                    found.changed += usize::from(verdict == "changed");
                    let first = drivers.split(' ').next().unwrap_or_default();
                    found.named += usize::from(if change.onset_ms > 0.0 {
                        first.starts_with("onset_0") || first.starts_with("onset_1")
                    } else {
                        first.starts_with("angle")
                    });
                }
                carried = Some(candidate(&planned, &rows));
            }
        }
    }
    let none = &found["none"];
    let percent = |count: usize| 100.0 * count as f64 / PATIENTS as f64;
    let mut figures = vec![Figure::lower("signature.none.told_changed", percent(none.changed), "%").gate(15.0).aim(5.0)];
    for change in &CHANGES[1..] {
        let of = &found[change.name];
        let name = |what: &str| format!("signature.{}.{what}", change.name);
        figures.push(Figure::higher(name("auc"), auc(&none.trend, &of.trend), "1").gate(0.95));
        figures.push(Figure::higher(name("auc_one_session"), auc(&none.session, &of.session), "1"));
        figures.push(Figure::higher(name("told_changed"), percent(of.changed), "%").gate(50.0).aim(90.0));
        figures.push(Figure::higher(name("driver_named"), percent(of.named), "%").gate(70.0).aim(90.0));
    }
    Ok(figures)
}

/// The share of pairs in which the changed one is further away; ties count half.
fn auc(usual: &[f64], changed: &[f64]) -> f64 {
    let pair = |a: f64, b: f64| if b > a { 1.0 } else { 0.5 * f64::from(u8::from(a == b)) };
    let sum: f64 = usual.iter().map(|a| changed.iter().map(|b| pair(*a, *b)).sum::<f64>()).sum();
    sum / (usual.len() * changed.len()) as f64
}

fn port() -> Port {
    let mut fields = vec![text("side").required(), column("phase_percent", DataType::Int64).unit("%").required()];
    fields.extend((0..MUSCLES).map(|muscle| float(format!("onset_{muscle}_ms"), "ms")));
    fields.push(float("angle_deg", "deg"));
    Port { stream: "strides".into(), schema: StreamSchema::new(fields, &["side", "phase_percent"], None) }
}

/// Two steps are due, since onsets have no phases; here each onset stands at its own phase of the cycle, which a mean over a part keeps.
fn plan(port: &Port) -> Result<Planned, AccuracyError> {
    let config = json!({
        "features": (0..MUSCLES).map(|muscle| format!("onset_{muscle}_ms")).chain(["angle_deg".to_owned()]).collect::<Vec<_>>(),
        "phases": PHASES, "centre": ["angle_deg"], "baseline": USUAL_SESSIONS, "trend": LATER_SESSIONS,
        "session_sd": { "ms": 10.0, "deg": 1.5 }, "prior_sessions": 8.0,
    });
    let registration = proprio_operators::operator("signature").unwrap_or_else(|| panic!("there is no operator `signature`"));
    (registration.plan)(config, std::slice::from_ref(port)).map_err(|findings| AccuracyError::Plan { op: "signature".to_owned(), findings })
}

/// One session's rows: five phases a stride.
fn strides(port: &Port, random: &mut Random, session: usize, change: Change) -> RecordBatch {
    let common_ms = 10.0 * HALF * random.normal();
    let muscles: Vec<f64> = (0..MUSCLES)
        .map(|muscle| 40.0 + common_ms + 10.0 * HALF * random.normal() + if muscle < 2 { change.onset_ms } else { 0.0 })
        .collect();
    let offset_deg = 10.0 * random.normal() + 2.0 * HALF * random.normal();
    let harmonic = [2.0 * HALF * random.normal(), 2.0 * HALF * random.normal()];
    let angles: Vec<f64> = (0..PHASES)
        .map(|phase| {
            let turn = std::f64::consts::TAU * phase as f64 / PHASES as f64;
            let changed = if phase == 1 || phase == 2 { change.angle_deg } else { 0.0 };
            30.0 + 20.0 * turn.sin() + offset_deg + harmonic[0] * turn.cos() + harmonic[1] * turn.sin() + changed
        })
        .collect();
    let (mut times, mut phases, mut columns) = (Vec::new(), Vec::new(), vec![Vec::new(); MUSCLES + 1]);
    for stride in 0..STRIDES {
        let onsets: Vec<f64> = muscles.iter().map(|onset| onset + 15.0 * random.normal()).collect();
        for (phase, angle) in angles.iter().enumerate() {
            times.push((session * 1_000_000 + stride + 1) as TimeNs * 1_000_000_000);
            phases.push((phase * 100 / PHASES) as i64);
            // An onset has one phase.
            onsets.iter().enumerate().for_each(|(muscle, onset)| columns[muscle].push(if phase == muscle { *onset } else { f64::NAN }));
            columns[MUSCLES].push(angle + 2.0 * random.normal());
        }
    }
    let sides: ArrayRef = Arc::new(arrow_array::StringArray::from(vec!["left"; times.len()]));
    let times: ArrayRef = Arc::new(Int64Array::from(times));
    let phases: ArrayRef = Arc::new(Int64Array::from(phases));
    let columns = [times, sides, phases].into_iter().chain(columns.into_iter().map(nan_as_null));
    RecordBatch::try_new(port.schema.columns.clone(), columns.collect()).expect("strides")
}

fn run(planned: &Planned, rows: &RecordBatch, carried: Option<&Carried>) -> RecordBatch {
    let mut state = planned.step.start();
    if let Some(carried) = carried {
        planned.step.carry(&mut state, carried);
    }
    let mut out = Output::default();
    planned.step.process(&mut state, std::slice::from_ref(rows), TimeNs::MAX, &mut out);
    planned.step.flush(&mut state, &mut out);
    concat_batches(&planned.output.columns, &out.take()).expect("a step's batches have its schema")
}

/// The session's own signature, as `session start --carry` takes it over.
fn candidate(planned: &Planned, rows: &RecordBatch) -> Carried {
    let texts = strings(rows, rows.schema().index_of("signature").expect("its column"));
    let row = (0..rows.num_rows()).rev().find(|row| texts.is_valid(*row)).expect("a session of twenty strides has a candidate");
    Carried::of("signature", "session", &planned.output, &rows.slice(row, 1)).expect("each value has a text")
}

/// Distance, verdict and drivers of a whole deviation.
fn whole(rows: &RecordBatch, scope: &str) -> (f64, String, String) {
    let text = |name: &str| strings(rows, rows.schema().index_of(name).expect("its column"));
    let row = (0..rows.num_rows()).find(|row| text("scope").value(*row) == scope && text("feature").value(*row).is_empty());
    let row = row.unwrap_or_else(|| panic!("there is no row of the {scope}"));
    let distance = float_or_nan(floats(rows, rows.schema().index_of("distance").expect("its column")), row);
    let word = |name: &str| if text(name).is_null(row) { String::new() } else { text(name).value(row).to_owned() };
    (distance, word("verdict"), word("drivers"))
}

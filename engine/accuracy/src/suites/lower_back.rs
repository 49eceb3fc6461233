//! How well does one IMU on the lower back tell the contacts of the feet? Three trials of the Mobilise-D validation (test 5:
//! straight walking, test 11: a simulated daily activity with turns and stops).
//!
//! Truth comes from two systems that know nothing of the sensor: optical markers (Stereophoto) and instrumented insoles (INDIP).
//! Each is counted on its own and both are pooled; the median difference between them is 20 ms. An event counts within the
//! walking bouts that a system reports: one to one with the true contact that is nearest, at most 500 ms away (as in the
//! Mobilise-D validation; also at 200 ms). What is left over within the bout is false.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;

use proprio_core::rows::{strings, times};
use proprio_files::OpenOptions;
use proprio_operators::kernels::gait_event::Kind;
use serde_json::{Value, json};

use super::{Suite, gait_phase};
use crate::bench::{Bench, stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::{mean, quantile};

pub const SUITE: Suite =
    Suite { name: "lower_back", about: "contacts from one lower-back IMU against markers and insoles, Mobilise-D, 3 trials", measure };

const FOLDER: &str = "imu/lowerback";
const TRIALS: [&str; 3] = ["test5_trial1", "test5_trial2", "test11_trial1"];
const SYSTEMS: [&str; 2] = ["Stereophoto", "INDIP"];
const TOLERANCE_S: f64 = 0.5;
const STRICT_S: f64 = 0.2;

/// Time and side.
type Contact = (f64, String);

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let reference = reference(bench)?;
    let mut found: BTreeMap<&str, BTreeMap<String, Vec<Contact>>> = BTreeMap::new();
    for trial in TRIALS {
        let recording = bench.open(&format!("{FOLDER}/{trial}.parquet"), &OpenOptions::default())?;
        let imu = stream(&recording, &recording.sensors[0]);
        let (port, rows) = bench.step("contacts", "lower_back_events", json!({}), &[imu])?;
        let column = |name: &str| strings(&rows, port.schema.index(name).expect("an event's column"));
        let (event, side) = (column("event"), column("side"));
        for row in 0..rows.num_rows() {
            let contact = (times(&rows)[row] as f64 * 1e-9, side.value(row).to_owned());
            found.entry(trial).or_default().entry(event.value(row).to_owned()).or_default().push(contact);
        }
    }
    let count = |systems: &[&str], event: &str, tolerance_s: f64| {
        let mut tally = Tally::default();
        for (trial, system) in TRIALS.iter().flat_map(|trial| systems.iter().map(move |system| (*trial, *system))) {
            let found = found.get(trial).and_then(|events| events.get(event)).map_or(&[][..], Vec::as_slice);
            for bout in reference[trial][system].as_array().into_iter().flatten() {
                tally.add(found, bout, event, tolerance_s);
            }
        }
        tally
    };
    let all = count(&SYSTEMS, "initial_contact", TOLERANCE_S);
    let strict = count(&SYSTEMS, "initial_contact", STRICT_S);
    let left = count(&SYSTEMS, "final_contact", TOLERANCE_S);
    let mut figures = vec![
        Figure::higher("lower_back.f1", all.f1(), "1").gate(0.86).aim(0.93).anchor("mobgap", 0.86),
        Figure::higher("lower_back.f1_within_200_ms", strict.f1(), "1"),
        Figure::lower("lower_back.median_error", all.median_ms(), "ms").gate(76.0).aim(40.0).anchor("mobgap", 76.0),
        Figure::lower("lower_back.bias", mean(&all.errors_ms).abs(), "ms"),
        Figure::higher("lower_back.side", 100.0 * strict.same_side as f64 / strict.errors_ms.len() as f64, "%"),
    ];
    for system in SYSTEMS {
        let one = count(&[system], "initial_contact", TOLERANCE_S);
        let name = system.to_ascii_lowercase();
        figures.push(Figure::higher(format!("lower_back.{name}.f1"), one.f1(), "1"));
        figures.push(Figure::lower(format!("lower_back.{name}.median_error"), one.median_ms(), "ms"));
    }
    figures.push(Figure::higher("lower_back.final_contact.f1", left.f1(), "1"));
    figures.push(Figure::lower("lower_back.final_contact.median_error", left.median_ms(), "ms"));
    figures.extend(simulated(bench)?);
    Ok(figures)
}

/// The same on simulated walks, whose pelvis knows no loading response, so that times have another meaning.
fn simulated(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut tally = Tally::default();
    for walk in gait_phase::WALKS {
        let walk = gait_phase::simulate(walk)?;
        let (port, rows) = bench.step("contacts", "lower_back_events", json!({}), &[walk.imus.stream("pelvis")])?;
        let column = |name: &str| strings(&rows, port.schema.index(name).expect("an event's column"));
        let (event, side) = (column("event"), column("side"));
        let found = (0..rows.num_rows()).filter(|row| event.value(*row) == "initial_contact");
        let found: Vec<Contact> = found.map(|row| (times(&rows)[row] as f64 * 1e-9, side.value(row).to_owned())).collect();
        let due = walk.contacts.iter().filter(|contact| contact.kind == Kind::InitialContact);
        let due: Vec<Contact> = due.map(|contact| (contact.time_ns as f64 * 1e-9, contact.foot.name().to_owned())).collect();
        tally.compare(&found, &due, STRICT_S, due[0].0..=due[due.len() - 1].0);
    }
    let side = 100.0 * tally.same_side as f64 / tally.errors_ms.len() as f64;
    Ok(vec![
        Figure::higher("lower_back.simulated.f1_within_200_ms", tally.f1(), "1"),
        Figure::lower("lower_back.simulated.median_error", tally.median_ms(), "ms"),
        Figure::higher("lower_back.simulated.side", side, "%"),
    ])
}

/// Contacts that were found, missed, and that nobody made.
#[derive(Default)]
struct Tally {
    errors_ms: Vec<f64>,
    same_side: usize,
    missed: usize,
    extra: usize,
}

impl Tally {
    fn add(&mut self, found: &[Contact], bout: &Value, event: &str, tolerance_s: f64) {
        let prefix = if event == "initial_contact" { "InitialContact" } else { "FinalContact" };
        let list = |name: &str| bout[name].as_array().cloned().unwrap_or_default();
        let (dues, sides) = (list(&format!("{prefix}_Event")), list(&format!("{prefix}_LeftRight")));
        let due: Vec<(f64, String)> =
            dues.iter().zip(&sides).filter_map(|(time, side)| Some((time.as_f64()?, side.as_str()?.to_lowercase()))).collect();
        let end = |name: &str| bout[name][0].as_f64().unwrap_or(f64::NAN);
        self.compare(found, &due, tolerance_s, end("Start")..=end("End"));
    }

    /// One to one, the nearest first; what is left over within the bout is false.
    fn compare(&mut self, found: &[Contact], due: &[Contact], tolerance_s: f64, bout: RangeInclusive<f64>) {
        let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
        for (i, contact) in found.iter().enumerate() {
            let near = due.iter().enumerate().map(|(j, other)| (contact.0 - other.0, i, j));
            pairs.extend(near.filter(|(error, ..)| error.abs() <= tolerance_s));
        }
        pairs.sort_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        let (mut taken, mut matched) = (vec![false; found.len()], vec![false; due.len()]);
        for (error_s, i, j) in pairs {
            if !taken[i] && !matched[j] {
                (taken[i], matched[j]) = (true, true);
                self.errors_ms.push(error_s * 1e3);
                self.same_side += usize::from(found[i].1 == due[j].1);
            }
        }
        self.missed += matched.iter().filter(|matched| !**matched).count();
        self.extra += found.iter().zip(&taken).filter(|(contact, taken)| !**taken && bout.contains(&contact.0)).count();
    }

    fn f1(&self) -> f64 {
        let hits = 2.0 * self.errors_ms.len() as f64;
        hits / (hits + (self.missed + self.extra) as f64)
    }

    /// Median of the absolute errors of those that were found.
    fn median_ms(&self) -> f64 {
        let absolute: Vec<f64> = self.errors_ms.iter().map(|error| error.abs()).collect();
        quantile(&absolute, 0.5, absolute.len())
    }
}

fn reference(bench: &Bench) -> Result<Value, AccuracyError> {
    let path = bench.path(&format!("{FOLDER}/reference_events.json"))?;
    let malformed = |what: String| AccuracyError::Malformed { path: path.clone(), what };
    let text = fs::read_to_string(&path).map_err(|error| malformed(error.to_string()))?;
    // Contacts that a system didn't see are written as Python writes them.
    serde_json::from_str(&text.replace("NaN", "null")).map_err(|error| malformed(error.to_string()))
}

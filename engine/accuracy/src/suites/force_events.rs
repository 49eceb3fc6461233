//! How far are contacts from force plates from those that people marked, and from the truth of simulated walkers?
//!
//! `Vicon_analysis` is marked between frames, near 15 N: the operator's 20 N differ from it by the time that the force takes from
//! one to the other, which misses the aims; at the marks' own threshold (`vicon_15_n`) both are reached. 20 N stays the default, since it is
//! the field's. The marks of biomechzoo stand on the frames of a 100 Hz camera, at or before
//! the contact, so that the mean of plate less mark is held against half a frame.

use proprio_core::Kind;
use proprio_files::OpenOptions;
use proprio_simulate::{Faults, Layout, Options};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream, stream};
use crate::contacts::{Compared, contacts, true_contacts};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated::Simulated;
use crate::statistics::{mean, rms};

pub const SUITE: Suite = Suite { name: "force_events", about: "contacts on force plates against marks and simulated truth", measure };

/// Kind of event, what must be reached, what is aimed at, and how far plain 20 N crossings were off.
const KINDS: [(&str, bool, f64, f64, f64); 2] = [("strike", true, 2.0, 1.0, 1.7), ("off", false, 5.0, 3.0, 4.4)];
/// Half of a frame of biomechzoo's cameras.
const HALF_FRAME_MS: f64 = 5.0;

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    for (name, is_initial, gate, aim, crossing) in KINDS {
        let vicon = marked(bench, "lab/Vicon_analysis.c3d", is_initial, json!({}))?;
        let figure = |part: &str, value: f64| Figure::lower(format!("force_events.{part}"), value, "ms");
        figures.push(figure(&format!("vicon.{name}_worst"), vicon.worst_ms()).gate(gate).aim(aim).anchor("20 N crossing", crossing));
        figures.push(figure(&format!("vicon.{name}_rms"), rms(&vicon.errors_ms)).gate(gate).aim(aim));
        figures.push(Figure::lower(format!("force_events.vicon.{name}_false"), vicon.false_ones as f64, "1").gate(0.0));
        let at_15_n = marked(bench, "lab/Vicon_analysis.c3d", is_initial, json!({ "threshold": "15 N" }))?;
        figures.push(figure(&format!("vicon_15_n.{name}_worst"), at_15_n.worst_ms()).gate(gate).aim(aim));

        let mut zoo = Compared::default();
        for file in ["lab/biomechzoo/HC002D06.c3d", "lab/biomechzoo/HC036A10.c3d"] {
            zoo.extend(marked(bench, file, is_initial, json!({}))?);
        }
        // Mark less plate, since every plate event is looked up among the marks.
        let after_mark: Vec<f64> = zoo.errors_ms.iter().map(|error| -error - HALF_FRAME_MS).collect();
        figures.push(figure(&format!("biomechzoo.{name}_bias"), mean(&after_mark).abs()).gate(gate).aim(aim));
        figures.push(figure(&format!("biomechzoo.{name}_rms"), rms(&after_mark)));

        let mut walkers = Compared::default();
        for seed in 1..=4 {
            let options =
                Options { seed, duration_s: 30.0, cadence_steps_per_min: 80.0 + 12.0 * seed as f64, ..Options::of(Layout::FullLab) };
            let options = Options { start_ns: 0, faults: Faults { jitter_ms: 0.0, ..Faults::default() }, ..options };
            let simulated = Simulated::of_kinds(options, &[Kind::Force])?;
            let found = bench.step("plates", "force_events", json!({}), &simulated.streams())?;
            // The first second may begin on a plate.
            walkers.extend(Compared::of(is_initial, &contacts(&found), &true_contacts(&simulated.truth), |contact| {
                (1.0..29.5).contains(&contact.time_s)
            }));
        }
        figures.push(figure(&format!("simulated.{name}_worst"), walkers.worst_ms()).gate(gate).aim(aim));
        figures.push(Figure::higher(format!("force_events.simulated.{name}_found"), walkers.found_percent(), "%").gate(100.0));
    }
    Ok(figures)
}

/// The plates' events of one kind against the marks: an error for every plate event, false where there is no mark.
fn marked(bench: &mut Bench, file: &str, is_initial: bool, config: Value) -> Result<Compared, AccuracyError> {
    let recording = bench.open(file, &OpenOptions::default())?;
    let of = |kinds: &[Kind]| -> Vec<Stream> {
        recording.sensors.iter().filter(|sensor| kinds.contains(&sensor.file.kind)).map(|sensor| stream(&recording, sensor)).collect()
    };
    let found = bench.step("plates", "force_events", config, &of(&[Kind::Force, Kind::Markers]))?;
    let marks = of(&[Kind::Events]).first().map(contacts).unwrap_or_default();
    // Most marks are of contacts beside the plates: each plate event is due a mark, and not the other way round.
    let compared = Compared::of(is_initial, &marks, &contacts(&found), |_| true);
    Ok(Compared { false_ones: compared.missed, missed: 0, ..compared })
}

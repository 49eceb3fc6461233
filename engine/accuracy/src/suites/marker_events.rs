//! How far are contacts from markers from those on force plates, over all files of the labs, and from the truth of simulated walkers?
//!
//! An event on a plate counts where the plate's operator is sure of its foot; one foot of `walking2` reaches the floor beside its plate first,
//! and counts as missed. A simulated heel brakes by itself just before it lands, a real one against the floor: biases differ. So do they at
//! final contact: the simulated foot is stiff and rolls over the ball, beside which the toe's marker sits, so that the marker hardly moves before
//! the foot is off the ground, and the quarter of its speed comes 12 ms late; a real toe bends and moves before. A share of the speed that
//! suited the simulation would be early on every plate, where the bias is under 1 ms: the plates decide.

use proprio_core::Kind;
use proprio_files::OpenOptions;
use proprio_simulate::{Faults, Layout, Options};
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, Stream, stream};
use crate::contacts::{Compared, contacts, true_contacts};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated::Simulated;
use crate::statistics::{deviation, mean};

pub const SUITE: Suite = Suite { name: "marker_events", about: "contacts from markers against force plates and simulated truth", measure };

const FILES: [&str; 6] = ["Vicon_analysis", "smk_overground", "biomechzoo/HC002D06", "biomechzoo/HC036A10", "btk_Gait", "opensim/walking2"];
/// Kind of event, and bias and standard deviation of the foot velocity algorithm as published.
const KINDS: [(&str, bool, f64, f64); 2] = [("initial", true, 16.0, 15.0), ("final", false, 9.0, 15.0)];
/// Seed, steps a minute, metres a second, factor on the markers' noise of 0.3 mm.
const WALKERS: [(u64, f64, f64, f64); 6] =
    [(1, 110.0, 1.25, 1.0), (2, 110.0, 1.25, 3.0), (3, 90.0, 0.9, 1.0), (4, 125.0, 1.5, 1.0), (5, 70.0, 0.6, 1.0), (6, 100.0, 1.3, 3.0)];

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    let (mut plates, mut velocity, mut walkers) = (<[Compared; 2]>::default(), <[Compared; 2]>::default(), <[Compared; 2]>::default());
    for file in FILES {
        let recording = bench.open(&format!("lab/{file}.c3d"), &OpenOptions::default())?;
        let of = |kinds: &[Kind]| -> Vec<Stream> {
            recording.sensors.iter().filter(|sensor| kinds.contains(&sensor.file.kind)).map(|sensor| stream(&recording, sensor)).collect()
        };
        let force = contacts(&bench.step("plates", "force_events", json!({}), &of(&[Kind::Force, Kind::Markers]))?);
        let found = contacts(&bench.step("feet", "marker_events", json!({}), &of(&[Kind::Markers]))?);
        let older = contacts(&bench.step("feet", "marker_events", json!({ "method": "foot_velocity" }), &of(&[Kind::Markers]))?);
        for (index, (_, is_initial, ..)) in KINDS.iter().enumerate() {
            plates[index].extend(Compared::of(*is_initial, &found, &force, |contact| contact.confidence >= 0.5));
            velocity[index].extend(Compared::of(*is_initial, &older, &force, |contact| contact.confidence >= 0.5));
        }
    }
    for (seed, cadence, speed, noise) in WALKERS {
        let options = Options { seed, cadence_steps_per_min: cadence, walking_speed_m_per_s: speed, noise, ..Options::of(Layout::FullLab) };
        let options = Options { start_ns: 0, duration_s: 30.0, faults: Faults { jitter_ms: 0.0, ..Faults::default() }, ..options };
        let simulated = Simulated::of_kinds(options, &[Kind::Markers])?;
        let found = contacts(&bench.step("feet", "marker_events", json!({}), &simulated.streams())?);
        let truth = true_contacts(&simulated.truth);
        for (index, (_, is_initial, ..)) in KINDS.iter().enumerate() {
            // A swing that the recording cuts off can't be told from a pause.
            walkers[index].extend(Compared::of(*is_initial, &found, &truth, |contact| (1.0..29.0).contains(&contact.time_s)));
        }
    }
    for (index, (name, _, bias, spread)) in KINDS.into_iter().enumerate() {
        push(&mut figures, &format!("plates.{name}"), &plates[index], Some((bias, spread)), true);
        push(&mut figures, &format!("foot_velocity.{name}"), &velocity[index], None, false);
        push(&mut figures, &format!("simulated.{name}"), &walkers[index], None, true);
        let false_ones = walkers[index].false_ones as f64;
        figures.push(Figure::lower(format!("marker_events.simulated.{name}_false"), false_ones, "1").gate(0.0));
    }
    Ok(figures)
}

/// Bias, spread and share found.
fn push(figures: &mut Vec<Figure>, name: &str, compared: &Compared, published: Option<(f64, f64)>, is_gated: bool) {
    let of = |part: &str, value: f64| Figure::lower(format!("marker_events.{name}_{part}"), value, "ms");
    let (mut bias, mut spread) = (of("bias", mean(&compared.errors_ms).abs()), of("spread", deviation(&compared.errors_ms)));
    if is_gated {
        (bias, spread) = (bias.gate(15.0).aim(3.0), spread.gate(15.0).aim(8.0));
    }
    if let Some((published_bias, published_spread)) = published {
        (bias, spread) = (bias.anchor("foot velocity", published_bias), spread.anchor("foot velocity", published_spread));
    }
    figures.extend([bias, spread]);
    figures.push(Figure::higher(format!("marker_events.{name}_found"), compared.found_percent(), "%"));
}

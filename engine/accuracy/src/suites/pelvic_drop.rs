//! Is a pelvic drop found when it is there, and only then? Simulated walkers and standers with known drops on the left, through the whole
//! chain: orientation, align, joint angles with a neutral pose, contacts of force plates, pelvic drop.
//!
//! The generator is `proprio-simulate` with its noise as it stands, IMUs that are turned by 10° (SD) about each axis against where they
//! should sit, and 3 s of quiet standing before. Three ways to a baseline: `walking`, the drop sets in after the session's first healthy
//! steps (two simulations of one subject, joined in a left swing, when they don't differ); `bands` and `standing`, the baseline comes
//! from a healthy session of the day before, with sensors that were put on anew. Development used seeds below 100.
//!
//! Found is the share of true left stances that are flagged, from the fifth with the drop on; false the share of flagged stances of the
//! right leg, and of the left one at 0 and 2°.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use proprio_core::rows::{floats, strings, times};
use proprio_operators::kernels::quaternion::Quaternion;
use proprio_simulate::{Body, Impairments, Layout, Options, PerSide, Pose, Random, Segment};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated_session::Simulated;
use crate::statistics::{deviation, mean};
use crate::worn::{placement, worn};

pub const SUITE: Suite =
    Suite { name: "pelvic_drop", about: "pelvic drops of simulated walkers and standers, sensors placed with SD 10°", measure };

const SEEDS: std::ops::Range<u64> = 100..106;
const DROPS_DEG: [f64; 7] = [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0];
const PLACEMENT_DEG: f64 = 10.0;
const SENSORS: [&str; 6] = ["pelvis", "trunk", "thigh_left", "thigh_right", "plate_1", "plate_2"];
const IMUS: [(&str, Segment); 4] = [
    ("pelvis", Segment::Pelvis),
    ("trunk", Segment::Thorax),
    ("thigh_left", Segment::Thigh(proprio_core::rig::Side::Left)),
    ("thigh_right", Segment::Thigh(proprio_core::rig::Side::Right)),
];
/// Healthy steps of each side before the drop sets in, while walking.
const HEALTHY_STEPS: usize = 12;
/// A flag needs so many steps to be sure.
const FLAG_STEPS: usize = 5;

/// What was said of one way to a baseline, over all sessions.
#[derive(Default)]
struct Tally {
    /// By drop in degrees: true stances of the left leg, and how many of them were flagged.
    left: BTreeMap<u32, (usize, usize)>,
    right: (usize, usize),
    /// Peak drop less the true one, degrees.
    errors_deg: Vec<f64>,
}

/// One row of the operator.
struct Said {
    time_s: f64,
    is_left: bool,
    peak_deg: f64,
    is_flagged: bool,
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let (mut walking, mut bands, mut standing) = (Tally::default(), Tally::default(), Tally::default());
    for seed in SEEDS {
        let known = baseline(bench, Layout::Walking, seed)?;
        let known_standing = baseline(bench, Layout::Standing, seed)?;
        for drop_deg in DROPS_DEG {
            let session = Session::setting_in(seed, drop_deg)?;
            session.tally(bench, json!({}), drop_deg, &mut walking)?;
            let session = Session::throughout(Layout::Walking, seed, drop_deg, "today")?;
            session.tally(bench, json!({ "bands": known }), drop_deg, &mut bands)?;
            let session = Session::throughout(Layout::Standing, seed, drop_deg, "today")?;
            session.tally(bench, json!({ "bands": known_standing }), drop_deg, &mut standing)?;
        }
    }
    let all = [("walking", walking), ("bands", bands), ("standing", standing)];
    Ok(all.into_iter().flat_map(|(name, tally)| tally.figures(name)).collect())
}

/// What a healthy session says of each side, as the operator's `bands`.
fn baseline(bench: &mut Bench, layout: Layout, seed: u64) -> Result<Value, AccuracyError> {
    let said = Session::throughout(layout, seed, 0.0, "yesterday")?.run(bench, json!({}))?;
    let band = |is_left: bool| {
        let peaks: Vec<f64> =
            said.iter().filter(|said| said.is_left == is_left).map(|said| said.peak_deg).filter(|peak| peak.is_finite()).collect();
        json!({ "mean": format!("{} deg", mean(&peaks)), "sd": format!("{} deg", deviation(&peaks)) })
    };
    Ok(json!({ "left": band(true), "right": band(false) }))
}

impl Tally {
    fn figures(&self, way: &str) -> Vec<Figure> {
        let share = |(stances, flagged): (usize, usize)| 100.0 * flagged as f64 / stances as f64;
        let mut figures = Vec::new();
        for drop_deg in DROPS_DEG {
            let share = share(self.left[&(drop_deg as u32)]);
            figures.push(match drop_deg {
                0.0 | 2.0 => Figure::lower(format!("pelvic_drop.{way}_false_{drop_deg}deg"), share, "%").gate(2.0),
                4.0 => Figure::higher(format!("pelvic_drop.{way}_found_{drop_deg}deg"), share, "%"),
                _ => Figure::higher(format!("pelvic_drop.{way}_found_{drop_deg}deg"), share, "%").gate(95.0),
            });
        }
        figures.push(Figure::lower(format!("pelvic_drop.{way}_false_other_side"), share(self.right), "%").gate(2.0));
        let errors: Vec<f64> = self.errors_deg.iter().map(|error| error.abs()).collect();
        figures.push(Figure::lower(format!("pelvic_drop.{way}_peak_error"), mean(&errors), "deg"));
        figures
    }
}

/// A session's IMUs as they are worn, its plates, and the true drops: time, side, degrees.
struct Session {
    imus: Vec<Stream>,
    plates: [Stream; 2],
    peaks: Vec<(f64, bool, f64)>,
    /// When the drop set in, in seconds since the start.
    since_s: f64,
    origin: Simulated,
}

impl Session {
    /// With the drop from the start on; sensors are put on anew each `day`.
    fn throughout(layout: Layout, seed: u64, drop_deg: f64, day: &str) -> Result<Self, AccuracyError> {
        let options = options(layout, seed, drop_deg);
        let simulated = Simulated::new(options.clone(), &SENSORS)?;
        let streams = SENSORS.map(|sensor| simulated.stream(sensor));
        Ok(Self::of(simulated, &options, streams, 0.0, day))
    }

    /// With the drop after the first healthy steps.
    fn setting_in(seed: u64, drop_deg: f64) -> Result<Self, AccuracyError> {
        let (before, after) = (options(Layout::Walking, seed, 0.0), options(Layout::Walking, seed, drop_deg));
        let (healthy, dropping) = (Simulated::new(before.clone(), &SENSORS)?, Simulated::new(after, &SENSORS)?);
        // Well within the left swing, and before the left foot carries again.
        let since_s = healthy.times_s("final_contact_left")[HEALTHY_STEPS] + 0.1;
        let streams = SENSORS.map(|sensor| {
            let ((port, healthy_rows), (_, dropping_rows)) = (healthy.stream(sensor), dropping.stream(sensor));
            let at = times(&healthy_rows).partition_point(|time| healthy.seconds(*time) < since_s);
            let parts = [healthy_rows.slice(0, at), dropping_rows.slice(at, dropping_rows.num_rows() - at)];
            let rows: RecordBatch = concat_batches(&port.schema.columns, &parts).expect("one schema");
            (port, rows)
        });
        Ok(Self::of(dropping, &before, streams, since_s, "today"))
    }

    fn of(origin: Simulated, first: &Options, streams: [Stream; 6], since_s: f64, day: &str) -> Self {
        let mut random = Random::new(first.seed, day);
        let body = Body::new(first);
        let imu = |((_, segment), stream): (&(&str, Segment), &Stream)| {
            let pose: Pose = body.pose(*segment, 0.0);
            let sits: Quaternion = placement(PLACEMENT_DEG, &mut random);
            worn(stream, &pose, sits, &mut random)
        };
        let imus = IMUS.iter().zip(&streams).map(imu).collect();
        let peaks = origin.truth.iter().filter_map(|event| match event.name.as_str() {
            "peak_pelvic_drop_left_deg" => Some((event.time_s, true, event.value)),
            "peak_pelvic_drop_right_deg" => Some((event.time_s, false, event.value)),
            _ => None,
        });
        let peaks = peaks.filter(|(time_s, ..)| *time_s > since_s).collect();
        let [.., left, right] = streams;
        Self { imus, plates: [left, right], peaks, since_s, origin }
    }

    /// The whole chain.
    fn run(&self, bench: &mut Bench, config: Value) -> Result<Vec<Said>, AccuracyError> {
        let mut orientations = Vec::new();
        for ((name, _), imu) in IMUS.iter().zip(&self.imus) {
            orientations.push(bench.step(&format!("orientation/{name}"), "orientation", json!({}), std::slice::from_ref(imu))?);
        }
        let fused = bench.step("fused", "align", json!({ "rate": "100 Hz", "tolerance": "30 ms" }), &orientations)?;
        let angles = bench.step("angles", "joint_angles", json!({ "neutral": "2 s" }), &[fused])?;
        let contacts =
            bench.step("contacts", "force_events", json!({ "side": { "plate_1": "left", "plate_2": "right" } }), &self.plates)?;
        let (port, rows) = bench.step("drop", "pelvic_drop", config, &[angles, contacts])?;
        let column = |name: &str| port.schema.index(name).unwrap_or_else(|| panic!("there is a column {name}"));
        let (sides, peaks) = (strings(&rows, column("side")), floats(&rows, column("peak_drop_deg")));
        let flags = rows.column(column("is_flagged")).as_any().downcast_ref::<arrow_array::BooleanArray>().expect("a flag").clone();
        let said = times(&rows).iter().enumerate().map(|(row, time)| Said {
            time_s: self.origin.seconds(*time),
            is_left: sides.value(row) == "left",
            peak_deg: proprio_core::rows::float_or_nan(peaks, row),
            is_flagged: flags.iter().nth(row).flatten() == Some(true),
        });
        Ok(said.collect())
    }

    fn tally(&self, bench: &mut Bench, config: Value, drop_deg: f64, tally: &mut Tally) -> Result<(), AccuracyError> {
        let said = self.run(bench, config)?;
        let last_s = said.last().map_or(0.0, |said| said.time_s);
        for is_left in [true, false] {
            let stances: Vec<&(f64, bool, f64)> =
                self.peaks.iter().filter(|(time_s, left, _)| *left == is_left && *time_s < last_s - 0.5).collect();
            for (n, (peak_s, _, true_deg)) in stances.into_iter().enumerate() {
                // The row of a stance is the first of its side that ends after its peak.
                let row = said.iter().find(|said| said.is_left == is_left && said.time_s >= *peak_s);
                if let Some(row) = row.filter(|row| row.peak_deg.is_finite()) {
                    tally.errors_deg.push(row.peak_deg - true_deg);
                }
                if n + 1 >= FLAG_STEPS || self.since_s == 0.0 && n > 2 {
                    let count = if is_left { tally.left.entry(drop_deg as u32).or_default() } else { &mut tally.right };
                    *count = (count.0 + 1, count.1 + usize::from(row.is_some_and(|row| row.is_flagged)));
                }
            }
        }
        Ok(())
    }
}

fn options(layout: Layout, seed: u64, drop_deg: f64) -> Options {
    let impairments = Impairments { pelvic_drop_deg: PerSide { left: drop_deg, right: 0.0 }, ..Impairments::default() };
    let duration_s = if layout == Layout::Standing { 112.0 } else { 30.0 };
    Options { seed, impairments, duration_s, ..Options::of(layout) }
}

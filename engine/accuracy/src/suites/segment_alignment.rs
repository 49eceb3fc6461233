//! How well does a functional calibration find how a sensor sits, and does it refuse a bad one? Simulated procedures, by one thigh's sensor.
//!
//! A procedure: 4 s of standing, 6 to 8 squats that flex the thigh by 40 to 80° in 1.5 to 3 s each, 4 s of standing; the sensor sits in any
//! direction. The wearer stands up to 1° (SD) off the vertical, the hip also swings sideways and about its long axis by 10 % (SD) of the
//! flexion's rate at twice its pace, and the sensor has the noise and bias of a good MEMS. A bad procedure has one thing more wrong with it.
//!
//! A leg that turns about its long axis while it flexes takes the knee's axis with it, so that the axis found is that of the turned leg: most of the
//! error is this, and no sensor can tell it from another mounting.

use proprio_core::rows::{floats, strings};
use proprio_operators::kernels::quaternion::{conjugate, dot, multiply};
use proprio_simulate::{Calibration, Options, Placement, Random};
use serde_json::json;

use super::Suite;
use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated::Simulated;
use crate::statistics::quantile;

pub const SUITE: Suite =
    Suite { name: "segment_alignment", about: "functional calibration of generated procedures, any mounting", measure };

const PROCEDURES: u64 = 300;
const SENSOR: &str = "thigh_left";

/// What is wrong with a procedure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Half of the movement is about the long axis.
    Twisting,
    /// The wearer ends in another pose, 10° off.
    OtherPose,
    /// The wearer sways while standing.
    Swaying,
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    let (mut errors_deg, mut passed) = (Vec::new(), 0);
    for seed in 0..PROCEDURES {
        if let Some((is_pass, error_deg)) = calibrate(bench, seed, Flaw::None)? {
            passed += usize::from(is_pass);
            errors_deg.extend(is_pass.then_some(error_deg));
        }
    }
    let share = |count: usize| 100.0 * count as f64 / PROCEDURES as f64;
    figures.push(Figure::higher("segment_alignment.passed", share(passed), "%").gate(95.0));
    figures.push(Figure::lower("segment_alignment.median_error", quantile(&errors_deg, 0.5, errors_deg.len()), "deg").gate(5.0).aim(3.0));
    figures.push(Figure::lower("segment_alignment.p95_error", quantile(&errors_deg, 0.95, errors_deg.len()), "deg").gate(10.0));
    for (name, flaw) in [("twisting", Flaw::Twisting), ("other_pose", Flaw::OtherPose), ("swaying", Flaw::Swaying)] {
        let mut refused = 0;
        for seed in 0..PROCEDURES {
            refused += usize::from(!calibrate(bench, 10_000 + seed, flaw)?.is_some_and(|(is_pass, _)| is_pass));
        }
        figures.push(Figure::higher(format!("segment_alignment.refused_{name}"), share(refused), "%").gate(95.0));
    }
    Ok(figures)
}

/// Runs one procedure: whether it passed, and how far the rotation found is from the true one; none when there was no verdict.
fn calibrate(bench: &mut Bench, seed: u64, flaw: Flaw) -> Result<Option<(bool, f64)>, AccuracyError> {
    let calibration = procedure(&mut Random::new(seed, "segment_alignment"), flaw);
    let duration_s = calibration.squats_s().1 + calibration.still_s;
    let options = Options { seed, duration_s, placement: Placement::Anyhow, calibration: Some(calibration), ..Options::default() };
    let worn = Simulated::new(options, &[SENSOR])?;
    let (port, rows) = bench.step("alignment", "segment_alignment", json!({}), &[worn.stream(SENSOR)])?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let column = |name: &str| port.schema.index(name).unwrap_or_else(|| panic!("there is a column {name}"));
    let last = rows.num_rows() - 1;
    let start = column("segment_from_sensor_q_w");
    let found = [0, 1, 2, 3].map(|part| floats(&rows, start + part).value(last));
    let sensor_from_segment = conjugate(worn.segment_from_sensor(SENSOR));
    let error = 2.0 * dot(multiply(found, sensor_from_segment), [1.0, 0.0, 0.0, 0.0]).abs().min(1.0).acos();
    Ok(Some((strings(&rows, column("verdict")).value(last) == "pass", error.to_degrees())))
}

fn procedure(random: &mut Random, flaw: Flaw) -> Calibration {
    Calibration {
        still_s: 4.0,
        repetitions: 6 + (3.0 * random.uniform()) as u32,
        flexion_deg: 40.0 + 40.0 * random.uniform(),
        squat_s: 1.5 + 1.5 * random.uniform(),
        aside: 0.1 * random.normal(),
        twist: if flaw == Flaw::Twisting { 1.0 } else { 0.1 * random.normal() },
        slant_deg: 0.0,
        lean_deg: [(); 2].map(|()| random.normal()),
        pose_change_deg: if flaw == Flaw::OtherPose { 10.0 } else { 0.0 },
        sway_deg_per_s: if flaw == Flaw::Swaying { 6.0 } else { 0.3 },
    }
}

//! How well does a functional calibration find how a sensor sits, and does it refuse a bad one? Generated procedures of one thigh's sensor.
//!
//! A procedure: 4 s of standing, 6 to 8 flexions of 40 to 80° in 1.5 to 3 s each, 4 s of standing; the sensor sits in any direction. The
//! wearer stands up to 1° (SD) off the vertical, the hip also swings sideways and about its long axis by 10 % (SD) of the flexion's rate
//! at twice its pace, and the sensor has the noise and bias of a good MEMS. A bad procedure has one thing more wrong with it.

use std::f64::consts::TAU;

use proprio_core::Rate;
use proprio_core::rows::{floats, nan_as_null, strings};
use proprio_operators::kernels::quaternion::{Quaternion, dot, multiply, normalized, rotate};
use proprio_simulate::Random;
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::imu::imu;
use crate::statistics::quantile;

pub const SUITE: Suite =
    Suite { name: "segment_alignment", about: "functional calibration of generated procedures, any mounting", measure };

const PROCEDURES: u64 = 300;
const RATE_HZ: f64 = 100.0;
const STILL_S: f64 = 4.0;

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
    let mut random = Random::new(seed, "segment_alignment");
    let sensor_from_segment = normalized([(); 4].map(|()| random.normal()));
    let (port, rows) = bench.step("alignment", "segment_alignment", json!({}), &[procedure(&mut random, sensor_from_segment, flaw)])?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let column = |name: &str| port.schema.index(name).unwrap_or_else(|| panic!("there is a column {name}"));
    let last = rows.num_rows() - 1;
    let start = column("segment_from_sensor_q_w");
    let found = [0, 1, 2, 3].map(|part| floats(&rows, start + part).value(last));
    let error = 2.0 * dot(multiply(found, sensor_from_segment), [1.0, 0.0, 0.0, 0.0]).abs().min(1.0).acos();
    Ok(Some((strings(&rows, column("verdict")).value(last) == "pass", error.to_degrees())))
}

fn procedure(random: &mut Random, sensor_from_segment: Quaternion, flaw: Flaw) -> Stream {
    let swings = 6.0 + (3.0 * random.uniform()).floor();
    let (range_rad, swing_s) = ((40.0 + 40.0 * random.uniform()).to_radians(), 1.5 + 1.5 * random.uniform());
    let (aside, twist) = (0.1 * random.normal(), if flaw == Flaw::Twisting { 1.0 } else { 0.1 * random.normal() });
    let lean = [(); 2].map(|()| random.normal().to_radians());
    let bias = [(); 3].map(|()| 0.3_f64.to_radians() * random.normal());
    let moving_s = swings * swing_s;
    let count = ((2.0 * STILL_S + moving_s) * RATE_HZ) as usize;
    let mut columns: [Vec<f64>; 6] = Default::default();
    for k in 0..count {
        let t = k as f64 / RATE_HZ - STILL_S;
        let is_moving = (0.0..moving_s).contains(&t);
        let pace = TAU / swing_s;
        let rate = if is_moving { 0.5 * range_rad * pace * (pace * t).sin() } else { 0.0 };
        let mut angle = if is_moving { 0.5 * range_rad * (1.0 - (pace * t).cos()) } else { 0.0 };
        if flaw == Flaw::OtherPose && t >= moving_s {
            angle = 10_f64.to_radians();
        }
        let sway = if flaw == Flaw::Swaying { 6_f64.to_radians() * (TAU * 0.4 * t).sin() } else { 0.0 };
        // Sideways and about the long axis it swings twice as fast, so that it comes back to where it was.
        let other = if is_moving { 0.5 * range_rad * pace * (2.0 * pace * t).sin() } else { 0.0 };
        let gyro = [aside * other + sway, twist * other, rate];
        let up = [(angle + lean[0]).sin(), 1.0, lean[1].sin()];
        let length = up.iter().map(|part| part * part).sum::<f64>().sqrt();
        let force = up.map(|part| 9.81 * part / length);
        let [gyro, force] = [gyro, force].map(|vector| rotate(sensor_from_segment, vector));
        for axis in 0..3 {
            columns[axis].push(gyro[axis] + bias[axis] + 0.1_f64.to_radians() * random.normal());
            columns[3 + axis].push(force[axis] + 0.03 * random.normal());
        }
    }
    stream(&columns)
}

fn stream(columns: &[Vec<f64>; 6]) -> Stream {
    let sensor = json!({ "segment": "thigh", "side": "left", "magnetometer": false });
    imu("thigh_left", sensor, Rate::hz(100), columns[0].len(), |instrument, axis| {
        nan_as_null(columns[axis + if instrument == "gyro" { 0 } else { 3 }].clone())
    })
}

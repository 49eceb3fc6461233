//! Is the weight where it is said to be, and is the sway as large?
//!
//! The generator is fixed: a subject who carries 40 % on the left sways along a figure of two frequencies a direction, whose covariance is
//! known in closed form and whose length is summed over microsteps; two plates with offsets of −17 N and 9 N measure it with noise. The
//! real recording is `walking2`, whose plates OpenSim has exported: its centres of pressure and ours go through the same windows.

use std::f64::consts::{PI, TAU};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::rows::{float_or_nan, floats, nan_as_null, times};
use proprio_core::{Kind, Port, Rate, TimeNs};
use proprio_files::OpenOptions;
use proprio_simulate::Random;
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, Stream, stream};
use crate::error::AccuracyError;
use crate::figure::Figure;

pub const SUITE: Suite = Suite {
    name: "balance",
    about: "weight and sway on simulated plates with known truth, and centres of pressure against OpenSim's",
    measure,
};

const SECONDS: usize = 62;
const RATE_HZ: usize = 1000;
/// Below it the plates have no centre of pressure, and OpenSim divides by an unloaded plate's offset.
const LEAST_FORCE_N: f64 = 10.0;
/// Forwards and sideways: two amplitudes in metres, each with its frequency in hertz.
const SWAY: [[(f64, f64); 2]; 2] = [[(0.006, 0.2), (0.002, 0.7)], [(0.003, 0.3), (0.0015, 1.1)]];
const LEFT_SHARE: f64 = 0.4;
const WEIGHT_N: f64 = 750.0;
const OFFSETS_N: [f64; 2] = [-17.0, 9.0];

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = simulated(bench)?;
    figures.extend(opensim(bench)?);
    Ok(figures)
}

fn simulated(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let plates = [("left", [0.0, 0.15]), ("right", [0.0, -0.15])];
    let streams: Vec<Stream> = (0..2).map(|n| plate(plates[n].0, plates[n].1, n)).collect();
    let config = json!({ "window": "20 s", "side": { "left": "left", "right": "right" } });
    let (_, rows) = bench.step("balance", "balance", config, &streams)?;
    let known = |name: &str| column(&rows, name).into_iter().filter(|value| value.is_finite()).collect::<Vec<_>>();
    // The subject steps on in the first second, so two whole windows are left.
    let worst = |name: &str, truth: f64| known(name).iter().skip(1).take(2).map(|value| (value - truth).abs()).fold(0.0, f64::max);
    let share = |name: &str, truth: f64| 100.0 * worst(name, truth) / truth;
    let variance = |axis: usize| SWAY[axis].iter().map(|(amplitude, _)| amplitude * amplitude / 2.0).sum::<f64>();
    let area_m2 = PI * 5.991_464_547 * (variance(0) * variance(1)).sqrt();
    let figure = |part: &str, value: f64, unit: &'static str| Figure::lower(format!("balance.simulated.{part}"), value, unit);
    assert_eq!(column(&rows, "sway_area_m2").iter().filter(|area| area.is_finite()).count(), 3, "three windows are whole");
    Ok(vec![
        figure("left_share", worst("left_percent", 100.0 * LEFT_SHARE), "%").gate(0.2).aim(0.1),
        figure("load", worst("load_n", WEIGHT_N), "N").gate(2.0).aim(0.5),
        figure("cop", 1e3 * worst("cop_y_m", 0.15 * (2.0 * LEFT_SHARE - 1.0)), "mm").gate(0.2).aim(0.1),
        figure("path", share("path_length_m", 20.0 * speed_m_per_s()), "%").gate(3.0).aim(1.0),
        figure("area", share("sway_area_m2", area_m2), "%").gate(2.0).aim(1.0),
        figure("rms_ap", share("rms_ap_m", variance(0).sqrt()), "%").gate(1.0).aim(0.5),
        figure("rms_ml", share("rms_ml_m", variance(1).sqrt()), "%").gate(1.0).aim(0.5),
    ])
}

/// Where the whole body presses, forwards and to the left of the middle.
fn sway(time_s: f64, axis: usize) -> f64 {
    SWAY[axis].iter().map(|(amplitude, hertz)| amplitude * (TAU * hertz * time_s).sin()).sum()
}

/// Path over ten seconds, the period of all, by the second.
fn speed_m_per_s() -> f64 {
    let at = |k: usize| [0, 1].map(|axis| sway(k as f64 * 1e-4, axis));
    let step = |k: usize| (at(k + 1)[0] - at(k)[0]).hypot(at(k + 1)[1] - at(k)[1]);
    (0..100_000).map(step).sum::<f64>() / 10.0
}

/// One plate's rows: force with its offset and noise; the pressure lies off its middle by the body's sway.
fn plate(name: &str, middle_m: [f64; 2], n: usize) -> Stream {
    let mut random = Random::new(7, name);
    let share = if n == 0 { LEFT_SHARE } else { 1.0 - LEFT_SHARE };
    let (mut force, mut cop_x, mut cop_y) = (Vec::new(), Vec::new(), Vec::new());
    for k in 0..SECONDS * RATE_HZ {
        let time_s = k as f64 / RATE_HZ as f64;
        let load_n = if time_s < 0.5 { 0.0 } else { share * WEIGHT_N };
        force.push(load_n + OFFSETS_N[n] + 1.5 * random.normal());
        let is_known = load_n > LEAST_FORCE_N;
        let place = |axis: usize, noise: f64| if is_known { middle_m[axis] + sway(time_s, axis) + 5e-4 * noise } else { f64::NAN };
        cop_x.push(place(0, random.normal()));
        cop_y.push(place(1, random.normal()));
    }
    let rate = Rate::hz(RATE_HZ as u64);
    let port = port(name, rate);
    let all: Vec<TimeNs> = (0..force.len()).map(|k| rate.grid_time(k as i64)).collect();
    let rows = force_rows(&port, all, [vec![0.0; force.len()], vec![0.0; force.len()], force], [cop_x, cop_y]);
    (port, rows)
}

/// `walking2`, as OpenSim and as we read it, at OpenSim's instants.
fn opensim(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let recording = bench.open("lab/opensim/walking2.c3d", &OpenOptions::default())?;
    let plates: Vec<Stream> =
        recording.sensors.iter().filter(|sensor| sensor.file.kind == Kind::Force).map(|sensor| stream(&recording, sensor)).collect();
    let path = bench.path("lab/opensim/std_cop_walking2_grfs.sto")?;
    let malformed = |what: &str| AccuracyError::Malformed { path: path.clone(), what: what.to_owned() };
    let text = std::fs::read_to_string(&path).map_err(|error| malformed(&error.to_string()))?;
    let exported: Vec<Vec<f64>> = text
        .lines()
        .map(|line| line.split_whitespace().filter_map(|cell| cell.parse().ok()).collect::<Vec<f64>>())
        .filter(|row| row.len() == 19)
        .collect();
    // The last row stands off the grid of the others.
    let exported = &exported[..exported.len().saturating_sub(1)];
    if exported.len() != 100 || plates.len() != 2 {
        return Err(malformed("a hundred rows and two plates are due"));
    }
    let rate = Rate::hz(20);
    let instants: Vec<TimeNs> = (0..100).map(|k| rate.grid_time(k)).collect();
    let theirs = |n: usize| {
        let cell = |column: usize, row: &Vec<f64>| row[1 + 9 * n + column];
        let loaded = |row: &Vec<f64>, value: f64| if cell(2, row) >= LEAST_FORCE_N { 1e-3 * value } else { f64::NAN };
        let force = [0, 1, 2].map(|column| exported.iter().map(|row| cell(column, row)).collect());
        let cop = [3, 4].map(|column| exported.iter().map(|row| loaded(row, cell(column, row))).collect());
        let port = port(&format!("plate_{}", n + 1), rate);
        (port.clone(), force_rows(&port, instants.clone(), force, cop))
    };
    let ours = |n: usize| {
        let rows = &plates[n].1;
        let picked: Vec<usize> = instants.iter().filter_map(|instant| times(rows).binary_search(instant).ok()).collect();
        let of = |name: &str| picked.iter().map(|row| column(rows, name)[*row]).collect::<Vec<f64>>();
        let port = port(&format!("plate_{}", n + 1), rate);
        let force = ["force_x_n", "force_y_n", "force_z_n"].map(of);
        (port.clone(), force_rows(&port, instants.clone(), force, ["cop_x_m", "cop_y_m"].map(of)))
    };
    let config = json!({ "window": "1 s", "every": "100 ms", "rate": "20 Hz", "lowpass": "6 Hz", "coverage": "50 %" });
    let mut step = |streams: &[Stream]| bench.step("balance", "balance", config.clone(), streams);
    let (theirs, ours) = (step(&[theirs(0), theirs(1)])?.1, step(&[ours(0), ours(1)])?.1);
    let compared = |name: &str| {
        let pairs: Vec<(f64, f64)> = column(&theirs, name).into_iter().zip(column(&ours, name)).collect();
        let differ = |(a, b): &(f64, f64)| if a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() };
        let size = pairs.iter().map(|(a, _)| a.abs()).fold(0.0, f64::max);
        // A value that one side lacks must not pass unseen.
        let worst = pairs.iter().map(differ).fold(0.0, |worst: f64, next| if next.is_nan() { f64::INFINITY } else { worst.max(next) });
        (worst, 100.0 * worst / size, pairs.iter().filter(|(a, _)| a.is_finite()).count())
    };
    let figure = |part: &str, value: f64, unit: &'static str| Figure::lower(format!("balance.opensim.{part}"), value, unit);
    Ok(vec![
        Figure::higher("balance.opensim.windows", compared("sway_area_m2").2 as f64, "1").gate(5.0),
        figure("cop_x", 1e3 * compared("cop_x_m").0, "mm").gate(0.001),
        figure("cop_y", 1e3 * compared("cop_y_m").0, "mm").gate(0.001),
        figure("load", compared("load_n").0, "N").gate(0.001),
        figure("path", compared("path_length_m").1, "%").gate(0.001),
        figure("area", compared("sway_area_m2").1, "%").gate(0.001),
    ])
}

/// A plate's port.
fn port(name: &str, rate: Rate) -> Port {
    let sensor = SensorFile { rate: Some(rate), ..SensorFile::new(Kind::Force) };
    let rig = RigFile { rig: "balance".to_owned(), sensors: [(name.to_owned(), sensor)].into() }.resolve();
    Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].wire_schema() }
}

fn force_rows(port: &Port, instants: Vec<TimeNs>, force: [Vec<f64>; 3], cop: [Vec<f64>; 2]) -> RecordBatch {
    let none = vec![0.0; instants.len()];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(instants))];
    columns.extend(force.into_iter().chain([none]).map(|values| Arc::new(Float64Array::from(values)) as ArrayRef));
    columns.extend(cop.map(nan_as_null));
    RecordBatch::try_new(port.schema.columns.clone(), columns).expect("a plate's columns")
}

/// A column's values, NaN where null.
fn column(rows: &RecordBatch, name: &str) -> Vec<f64> {
    let index = rows.schema().index_of(name).unwrap_or_else(|_| panic!("there is no column `{name}`"));
    let column = floats(rows, index);
    (0..column.len()).map(|row| float_or_nan(column, row)).collect()
}

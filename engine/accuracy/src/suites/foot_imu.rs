//! How far are the contacts and the stride lengths of foot IMUs from optical truth? Two 20 m walks with a turn (MaD Lab
//! Erlangen).
//!
//! Truth is optical throughout and independent of the IMUs: `stride_events_sample.csv` holds contacts that were found in the
//! markers of heel and toe (100 Hz, written in IMU samples), and `mocap_sample.csv` the heel marker, whose displacement between
//! the marker system's own rests is the stride's length. `stride_borders_sample.csv` is labelled by hand on the IMU and not used.
//! The optical initial contact lies about 25 ms before the impact in the acceleration. The sensors' axes are turned before they
//! are measured, by another rotation for each foot, so that nothing depends on how they were mounted.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::{Array, RecordBatch};
use proprio_core::rows::{float_or_nan, floats, integers, nan_as_null, strings, times};
use proprio_core::{Port, Rate};
use proprio_operators::kernels::quaternion::{Quaternion, normalized, rotate};
use serde_json::json;

use super::{Suite, gait_phase};
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::imu::imu;
use crate::statistics::{deviation, mean, rms};

pub const SUITE: Suite =
    Suite { name: "foot_imu", about: "contacts and stride lengths of two foot IMUs against optical markers, 57 strides", measure };

pub(super) const FOLDER: &str = "imu/gaitmap";
const IMU_HZ: f64 = 204.8;
const MARKERS_HZ: f64 = 100.0;
/// A contact within this of the truth is the same one.
const SAME_S: f64 = 0.1;
/// The side, the prefix of its markers, and how its sensor is turned.
const FEET: [(&str, &str, Quaternion); 2] = [("left", "L", [0.4, 0.1, -0.7, 0.5]), ("right", "R", [0.1, 0.9, 0.2, -0.3])];

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let inputs = both(bench)?;
    let truth = Truth::read(bench)?;
    let mut figures = Vec::new();
    let (events, rows) = bench.step("contacts", "foot_imu_events", json!({}), &inputs)?;
    for (event, bias_ms, deviation_ms) in [("initial_contact", 50.0, 12.0), ("final_contact", 17.0, 4.0)] {
        let due: Vec<(&str, f64)> = truth.contacts.iter().filter(|row| row.0 == event).map(|row| (row.1.as_str(), row.2)).collect();
        let found: Vec<(&str, f64)> = found(&events, &rows, event);
        let errors_ms: Vec<f64> = due.iter().filter_map(|(side, time)| nearest(&found, side, *time)).map(|error| error * 1e3).collect();
        let name = |what: &str| format!("foot_imu.{event}.{what}");
        figures.push(Figure::lower(name("bias"), mean(&errors_ms).abs(), "ms").gate(bias_ms).aim(10.0).anchor("Rampp", bias_ms));
        figures.push(Figure::lower(name("deviation"), deviation(&errors_ms), "ms").gate(12.0).aim(10.0).anchor("Rampp", deviation_ms));
        figures.push(Figure::higher(name("found"), 100.0 * errors_ms.len() as f64 / due.len() as f64, "%").gate(93.0));
        let extra = found.iter().filter(|(side, time)| truth.covers(*time) && nearest(&due, side, *time).is_none()).count();
        figures.push(Figure::lower(name("extra"), extra as f64, "1"));
    }
    figures.extend(lengths(bench, &inputs, &truth, "")?);
    let halved = every(bench, 2)?;
    figures.extend(lengths(bench, &halved, &truth, "_at_102_4_hz")?.into_iter().map(|figure| Figure {
        gate: None,
        aim: None,
        anchor: None,
        ..figure
    }));
    figures.extend(simulated(bench)?);
    Ok(figures)
}

/// The same on simulated walks, where the foot rolls over without an impact: what the methods make of exact signals.
fn simulated(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let (mut contacts_ms, mut lengths_cm, mut due) = ([Vec::new(), Vec::new()], Vec::new(), 0.0);
    for walk in gait_phase::WALKS {
        let walk = gait_phase::simulate(walk)?;
        let (events, rows) = bench.step("contacts", "foot_imu_events", json!({}), &walk.feet())?;
        for (index, event) in ["initial_contact", "final_contact"].into_iter().enumerate() {
            let found = found(&events, &rows, event);
            for contact in walk.contacts.iter().filter(|contact| contact.kind.name() == event) {
                due += 1.0;
                contacts_ms[index].extend(nearest(&found, contact.foot.name(), contact.time_ns as f64 * 1e-9).map(|error| error * 1e3));
            }
        }
        let (port, rows) = bench.step("strides", "foot_trajectory", json!({}), &walk.feet())?;
        let column = |name: &str| port.schema.index(name).expect("a trajectory's column");
        let (side, contact) = (strings(&rows, column("side")), integers(&rows, column("initial_contact_ns")));
        let length = floats(&rows, column("stride_length_m"));
        for (time_ns, foot, length_m) in &walk.lengths_m {
            let same = |row: &usize| side.value(*row) == foot.name() && (contact.value(*row) - time_ns).abs() < 100_000_000;
            let row = (0..rows.num_rows()).filter(|row| contact.is_valid(*row)).find(same);
            lengths_cm.extend(row.map(|row| 100.0 * (float_or_nan(length, row) - length_m)).filter(|error| error.is_finite()));
        }
    }
    let [initial_ms, final_ms] = &contacts_ms;
    let absolute: Vec<f64> = lengths_cm.iter().map(|error| error.abs()).collect();
    Ok(vec![
        Figure::lower("foot_imu.simulated.initial_contact.bias", mean(initial_ms).abs(), "ms"),
        Figure::lower("foot_imu.simulated.initial_contact.deviation", deviation(initial_ms), "ms"),
        Figure::lower("foot_imu.simulated.final_contact.bias", mean(final_ms).abs(), "ms"),
        Figure::lower("foot_imu.simulated.final_contact.deviation", deviation(final_ms), "ms"),
        Figure::higher("foot_imu.simulated.found", 100.0 * (initial_ms.len() + final_ms.len()) as f64 / due, "%"),
        Figure::lower("foot_imu.simulated.stride_length.mae", mean(&absolute), "cm"),
    ])
}

/// Figures of stride length, of the turning from rest to rest, and of the height that the level floor should not have.
fn lengths(bench: &mut Bench, inputs: &[Stream], truth: &Truth, at: &str) -> Result<Vec<Figure>, AccuracyError> {
    let (port, rows) = bench.step("strides", "foot_trajectory", json!({}), inputs)?;
    let column = |name: &str| port.schema.index(name).expect("a trajectory's column");
    let (side, start) = (strings(&rows, column("side")), integers(&rows, column("start_ns")));
    let [length, turning, height] = ["stride_length_m", "turning_deg", "height_change_m"].map(|name| floats(&rows, column(name)));
    // The same stride swings over most of its optical time from rest to rest.
    let overlap_s = |row: usize, due: &Stride| {
        let seconds = |time_ns: i64| time_ns as f64 * 1e-9;
        seconds(times(&rows)[row]).min(due.end_s) - seconds(start.value(row)).max(due.start_s)
    };
    let (mut errors_cm, mut turning_deg, mut height_cm) = (Vec::new(), Vec::new(), Vec::new());
    for due in &truth.strides {
        let same = (0..rows.num_rows()).filter(|row| side.value(*row) == due.side);
        let Some(row) = same.max_by(|a, b| overlap_s(*a, due).total_cmp(&overlap_s(*b, due))) else { continue };
        if overlap_s(row, due) > 0.3 && length.is_valid(row) {
            errors_cm.push(100.0 * (length.value(row) - due.length_m));
            turning_deg.push((turning.value(row) - due.turning_deg + 180.0).rem_euclid(360.0) - 180.0);
            height_cm.push(100.0 * height.value(row));
        }
    }
    let absolute = |errors: &[f64]| mean(&errors.iter().map(|error| error.abs()).collect::<Vec<_>>());
    let name = |what: &str| format!("foot_imu.{what}{at}");
    Ok(vec![
        Figure::lower(name("stride_length.mae"), absolute(&errors_cm), "cm").gate(3.8).aim(2.5).anchor("gaitmap", 3.8),
        Figure::lower(name("stride_length.rmse"), rms(&errors_cm), "cm").gate(4.6).anchor("gaitmap", 4.6),
        Figure::lower(name("stride_length.bias"), mean(&errors_cm).abs(), "cm"),
        Figure::higher(name("stride_length.found"), 100.0 * errors_cm.len() as f64 / truth.strides.len() as f64, "%").gate(95.0),
        Figure::lower(name("turning.mae"), absolute(&turning_deg), "deg"),
        Figure::lower(name("height_change.mae"), absolute(&height_cm), "cm"),
    ])
}

/// Side and time of the events of one name.
fn found<'a>(port: &Port, rows: &'a RecordBatch, event: &str) -> Vec<(&'a str, f64)> {
    let column = |name: &str| strings(rows, port.schema.index(name).expect("an event's column"));
    let (names, sides) = (column("event"), column("side"));
    (0..rows.num_rows()).filter(|row| names.value(*row) == event).map(|row| (sides.value(row), times(rows)[row] as f64 * 1e-9)).collect()
}

/// How much later the nearest event of that side is, when it is the same one.
fn nearest(events: &[(&str, f64)], side: &str, time_s: f64) -> Option<f64> {
    let errors = events.iter().filter(|other| other.0 == side).map(|other| other.1 - time_s);
    errors.min_by(|a, b| a.abs().total_cmp(&b.abs())).filter(|error| error.abs() <= SAME_S)
}

/// What the markers say.
struct Truth {
    /// Event, side and time.
    contacts: Vec<(&'static str, String, f64)>,
    strides: Vec<Stride>,
}

/// One stride, from rest to rest.
struct Stride {
    side: String,
    start_s: f64,
    end_s: f64,
    length_m: f64,
    /// Change of the direction from heel to toe, to the left.
    turning_deg: f64,
}

impl Truth {
    fn read(bench: &Bench) -> Result<Self, AccuracyError> {
        let (events, markers) = (Table::read(bench, "stride_events_sample.csv", 1)?, Table::read(bench, "mocap_sample.csv", 2)?);
        let mut truth = Self { contacts: Vec::new(), strides: Vec::new() };
        for row in 0..events.rows.len() {
            let side = events.text(row, "foot");
            let time_s = |name: &str| events.number(row, name) / IMU_HZ;
            let (_, marker, _) = FEET.iter().find(|foot| foot.0 == side).expect("a foot is left or right");
            let place_m = |what: &str, at_s: f64| {
                let frame = (at_s * MARKERS_HZ).round() as usize;
                ["x", "y"].map(|axis| markers.number(frame, &format!("{marker}_{what} {axis}")) * 1e-3)
            };
            let heading = |at_s: f64| {
                let (heel, toe) = (place_m("FCC", at_s), place_m("TOE", at_s));
                (toe[1] - heel[1]).atan2(toe[0] - heel[0]).to_degrees()
            };
            let (start_s, end_s) = (time_s("start"), time_s("end"));
            let (from, to) = (place_m("FCC", start_s), place_m("FCC", end_s));
            let length_m = (to[0] - from[0]).hypot(to[1] - from[1]);
            truth.strides.push(Stride { side: side.clone(), start_s, end_s, length_m, turning_deg: heading(end_s) - heading(start_s) });
            for (event, time_s) in
                [("initial_contact", time_s("pre_ic")), ("final_contact", time_s("tc")), ("initial_contact", time_s("ic"))]
            {
                let contact = (event, side.clone(), time_s);
                if !truth.contacts.contains(&contact) {
                    truth.contacts.push(contact);
                }
            }
        }
        Ok(truth)
    }

    /// Whether the markers say all contacts of that time.
    fn covers(&self, time_s: f64) -> bool {
        let (first, last) =
            self.strides.iter().fold((f64::MAX, f64::MIN), |all, stride| (all.0.min(stride.start_s), all.1.max(stride.end_s)));
        (first..last).contains(&time_s)
    }
}

/// A CSV file whose first lines, joined by a space, name its columns.
struct Table {
    columns: BTreeMap<String, usize>,
    rows: Vec<csv::StringRecord>,
}

impl Table {
    fn read(bench: &Bench, file: &str, header: usize) -> Result<Self, AccuracyError> {
        let path = bench.path(&format!("{FOLDER}/{file}"))?;
        let malformed = |error: csv::Error| AccuracyError::Malformed { path: Path::new(&path).to_owned(), what: error.to_string() };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(&path).map_err(malformed)?;
        let mut rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let names = rows.drain(..header).collect::<Vec<_>>();
        let name = |column: usize| names.iter().filter_map(|line| line.get(column)).collect::<Vec<_>>().join(" ");
        Ok(Self { columns: (0..names[0].len()).map(|column| (name(column), column)).collect(), rows })
    }

    fn text(&self, row: usize, name: &str) -> String {
        self.rows[row][self.columns[name]].to_owned()
    }

    fn number(&self, row: usize, name: &str) -> f64 {
        self.rows[row][self.columns[name]].parse().unwrap_or(f64::NAN)
    }
}

/// Both feet's sensors.
pub(super) fn both(bench: &Bench) -> Result<Vec<Stream>, AccuracyError> {
    every(bench, 1)
}

/// The same with every `step`th sample alone.
fn every(bench: &Bench, step: usize) -> Result<Vec<Stream>, AccuracyError> {
    let table = Table::read(bench, "imu_sample.csv", 2)?;
    Ok(FEET.iter().map(|(side, _, turned)| sensor(&table, side, normalized(*turned), step)).collect())
}

/// One foot's sensor as a stream, every `step`th sample of it.
fn sensor(table: &Table, side: &str, turned: Quaternion, step: usize) -> Stream {
    let rows: Vec<usize> = (0..table.rows.len()).step_by(step).collect();
    let vector = |instrument: &str, scale: f64| -> Vec<[f64; 3]> {
        let names = ["x", "y", "z"].map(|axis| format!("{side}_sensor {instrument}_{axis}"));
        rows.iter().map(|row| rotate(turned, names.each_ref().map(|name| scale * table.number(*row, name)))).collect()
    };
    let (accel, gyro) = (vector("acc", 1.0), vector("gyr", 1_f64.to_radians()));
    let (place, rate) = (json!({ "segment": "foot", "side": side, "magnetometer": false }), Rate::new(1024, 5 * step as u64));
    imu(&format!("foot_{side}"), place, rate.expect("a rate"), rows.len(), |instrument, axis| {
        let values = if instrument == "gyro" { &gyro } else { &accel };
        nan_as_null(values.iter().map(|value| value[axis]).collect())
    })
}

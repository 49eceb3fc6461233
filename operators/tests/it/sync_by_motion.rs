//! Is the offset between two sensors measured to a millisecond, honestly, and not where the movement doesn't tell?

use std::f64::consts::TAU;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch};
use proprio_core::rows::{floats, integers, strings, times};
use proprio_core::schema::float;
use proprio_core::{Port, Rate, StreamSchema};
use serde_json::{Value, json};

use crate::recordings::recording;
use crate::run::Run;
use crate::signal::Random;

const COLUMNS: [&str; 6] =
    ["gyro_x_rad_per_s", "gyro_y_rad_per_s", "gyro_z_rad_per_s", "accel_x_m_per_s2", "accel_y_m_per_s2", "accel_z_m_per_s2"];

fn port(stream: &str, hertz: u64) -> Port {
    let fields = COLUMNS.iter().map(|name| float(*name, if name.starts_with('g') { "rad/s" } else { "m/s^2" })).collect();
    Port { stream: stream.to_owned(), schema: StreamSchema::new(fields, &[], Some(Rate::hz(hertz))) }
}

/// One row of the operator.
#[derive(Debug)]
struct Row {
    time_s: f64,
    offset_ms: Option<f64>,
    sd_ms: Option<f64>,
    correlation: Option<f64>,
    taps: Option<i64>,
    reason: Option<String>,
}

/// A sensor's rows: its rate, its times in seconds, and its six values at each.
struct Sensor {
    hertz: u64,
    times_s: Vec<f64>,
    values: Vec<[f64; 6]>,
}

impl Sensor {
    /// Samples `motion` at the rate for so long, from `phase_s` on, stamped `offset_s` late, with noise.
    fn sample(hertz: u64, seconds: f64, (phase_s, offset_s): (f64, f64), noise: f64, seed: u64, motion: impl Fn(f64) -> [f64; 6]) -> Self {
        let mut random = Random::new(seed);
        let mut normal = || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        let true_s: Vec<f64> = (0..(seconds * hertz as f64) as u64).map(|k| phase_s + k as f64 / hertz as f64).collect();
        let values = true_s.iter().map(|time_s| motion(*time_s).map(|value| value + noise * normal())).collect();
        Self { hertz, times_s: true_s.iter().map(|time_s| time_s + offset_s).collect(), values }
    }

    fn rows(&self, port: &Port) -> RecordBatch {
        let times = self.times_s.iter().map(|time_s| (time_s * 1e9).round() as i64);
        let column = |axis: usize| Arc::new(Float64Array::from_iter_values(self.values.iter().map(|row| row[axis]))) as ArrayRef;
        let times: ArrayRef = Arc::new(times.collect::<Int64Array>());
        RecordBatch::try_new(port.schema.columns.clone(), std::iter::once(times).chain((0..6).map(column)).collect())
            .expect("seven columns")
    }
}

fn measure(config: Value, first: &Sensor, second: &Sensor) -> Vec<Row> {
    let registration = proprio_operators::operator("sync_by_motion").expect("sync_by_motion is registered");
    let ports = [port("imu/a", first.hertz), port("imu/b", second.hertz)];
    let planned = (registration.plan)(config, &ports).expect("the configuration plans");
    let out = Run::whole(&planned, &[first.rows(&ports[0]), second.rows(&ports[1])]);
    let number = |column: usize, row: usize| floats(&out, column).is_valid(row).then(|| floats(&out, column).value(row));
    let row = |row: usize| Row {
        time_s: times(&out)[row] as f64 / 1e9,
        offset_ms: number(1, row),
        sd_ms: number(2, row),
        correlation: number(3, row),
        taps: integers(&out, 4).is_valid(row).then(|| integers(&out, 4).value(row)),
        reason: strings(&out, 5).is_valid(row).then(|| strings(&out, 5).value(row).to_owned()),
    };
    (0..out.num_rows()).map(row).collect()
}

/// Angular rates of a leg that swings unevenly; `lean` turns the sensor, which changes no magnitude.
fn swing(seed: u64, lean: f64) -> impl Fn(f64) -> [f64; 6] {
    let mut random = Random::new(seed);
    let waves: Vec<(f64, f64, f64)> =
        (0..9).map(|k| (0.4 + 0.45 * f64::from(k) + 0.3 * random.unit(), TAU * random.unit(), 0.5 + random.unit())).collect();
    move |time_s: f64| {
        let rate: f64 = waves.iter().map(|(hertz, phase, size)| size * libm::sin(TAU * hertz * time_s + phase)).sum();
        [rate * libm::cos(lean), rate * libm::sin(lean), 0.2, 0.0, 0.0, 9.81]
    }
}

#[test]
fn an_offset_is_measured_to_a_millisecond_and_its_deviation_is_honest() {
    let (mut errors_ms, mut within, mut sds_ms) = (Vec::new(), 0, Vec::new());
    for seed in 0..40 {
        for (hertz, offset_ms) in [((100, 100), 0.0), ((100, 100), 37.3), ((100, 148), -61.7), ((60, 100), 12.4)] {
            let first = Sensor::sample(hertz.0, 21.0, (0.0, 0.0), 0.05, 2 * seed, swing(seed, 0.0));
            let second = Sensor::sample(hertz.1, 21.0, (0.0037, offset_ms / 1e3), 0.05, 2 * seed + 1, swing(seed, 0.9));
            let rows = measure(json!({ "window": "10 s", "every": "5 s" }), &first, &second);
            for row in rows.iter().filter(|row| (10.0..=20.0).contains(&row.time_s)) {
                let (Some(measured_ms), Some(sd_ms), None) = (row.offset_ms, row.sd_ms, &row.reason) else {
                    panic!("{offset_ms}: {row:?}")
                };
                let error_ms = (measured_ms - offset_ms).abs();
                assert!(error_ms <= 1.0, "{hertz:?}, seed {seed}: {measured_ms} instead of {offset_ms} ms");
                within += usize::from(error_ms <= 2.0 * sd_ms + 0.1);
                errors_ms.push(error_ms);
                sds_ms.push(sd_ms);
            }
        }
    }
    errors_ms.sort_by(f64::total_cmp);
    sds_ms.sort_by(f64::total_cmp);
    let at = |values: &[f64], percent: usize| values[values.len() * percent / 100];
    println!("gyro: error p50 {:.3} p95 {:.3} ms, sd p50 {:.3} ms", at(&errors_ms, 50), at(&errors_ms, 95), at(&sds_ms, 50));
    // The parabola's own bias, a tenth of a millisecond here, is no noise.
    assert!(within * 100 >= errors_ms.len() * 95, "{within} of {}", errors_ms.len());
    assert!(at(&sds_ms, 50) < 5.0 * at(&errors_ms, 95), "the deviation means something");
}

#[test]
fn what_the_movement_does_not_tell_is_refused() {
    let still = |_: f64| [0.0, 0.0, 0.0, 0.0, 0.0, 9.81];
    let fast = |time_s: f64| [libm::sin(TAU * 5.0 * time_s) * 3.0, 0.0, 0.0, 0.0, 0.0, 9.81];
    let config = json!({ "window": "4 s", "every": "4 s" });
    let with = |second: Sensor, first: Sensor| {
        let rows = measure(config.clone(), &first, &second);
        assert!(rows.iter().all(|row| row.offset_ms.is_none() && row.sd_ms.is_none()), "{rows:?}");
        rows[0].reason.clone().unwrap_or_default()
    };
    let sample = |motion: &dyn Fn(f64) -> [f64; 6], offset_s: f64, seed: u64| Sensor::sample(100, 4.5, (0.0, offset_s), 0.02, seed, motion);
    assert_eq!(with(sample(&still, 0.0, 1), sample(&swing(1, 0.0), 0.0, 2)), "too_little_motion");
    assert_eq!(with(sample(&swing(2, 0.0), 0.0, 1), sample(&swing(3, 0.0), 0.0, 2)), "uncorrelated");
    // A speed that repeats every 100 ms fits at every one of them.
    assert_eq!(with(sample(&fast, 0.0, 1), sample(&fast, 0.0, 2)), "ambiguous");
    assert_eq!(with(sample(&swing(1, 0.0), 0.0, 1), Sensor::sample(100, 2.0, (0.0, 0.0), 0.0, 2, swing(1, 0.0))), "too_few_samples");
    let taps = measure(json!({ "method": "taps", "window": "4 s", "every": "4 s" }), &sample(&still, 0.0, 1), &sample(&still, 0.0, 2));
    assert_eq!((taps[0].reason.as_deref(), taps[0].taps), (Some("too_few_taps"), Some(0)));
}

#[test]
fn taps_are_measured_to_a_millisecond() {
    // Three stomps of 40 ms, of which the sensors feel different sizes.
    let stomps = |size: f64| {
        move |time_s: f64| {
            let pulse = |at_s: f64| {
                let phase = (time_s - at_s) / 0.04;
                if (0.0..1.0).contains(&phase) { size * libm::sin(TAU / 2.0 * phase) } else { 0.0 }
            };
            [0.0, 0.0, 0.0, 0.0, 0.0, 9.81 + pulse(1.0) + pulse(2.03) + pulse(3.3172)]
        }
    };
    for (hertz, offset_ms) in [((100, 100), 0.0), ((200, 100), 83.1), ((1000, 500), -14.9)] {
        let first = Sensor::sample(hertz.0, 10.5, (0.0, 0.0), 0.1, 1, stomps(60.0));
        let second = Sensor::sample(hertz.1, 10.5, (0.0, offset_ms / 1e3), 0.1, 2, stomps(35.0));
        let rows = measure(json!({ "method": "taps", "every": "10 s" }), &first, &second);
        let row = rows.iter().find(|row| row.time_s == 10.0).expect("a window is over");
        let measured_ms = row.offset_ms.unwrap_or_else(|| panic!("{row:?}"));
        println!("taps at {hertz:?} Hz: {measured_ms:.3} ± {:.3} ms of {offset_ms}", row.sd_ms.unwrap_or(f64::NAN));
        assert_eq!((row.taps, row.correlation), (Some(3), None));
        assert!((measured_ms - offset_ms).abs() <= 1.0, "{row:?} instead of {offset_ms} ms");
    }
}

/// Two IMUs across a joint, sampled together: their offset is small, and one that is added to the second's times is found.
#[test]
fn an_offset_added_to_a_real_pair_is_found() {
    for file in ["data_1D_02", "data_2D_01"] {
        let Some(path) = recording("an_offset_added_to_a_real_pair_is_found", &format!("imu/joint/{file}.csv")) else { return };
        let text = std::fs::read_to_string(path).expect("the file is text");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
        let cells: Vec<Vec<f64>> = lines.map(|line| line.split(',').map(|cell| cell.parse().expect("a number")).collect()).collect();
        let sensor = |number: char, offset_s: f64| {
            let find = |name: String| names.iter().position(|other| **other == *name).expect("a column");
            let columns = ["gyr#x", "gyr#y", "gyr#z", "acc#x", "acc#y", "acc#z"].map(|name| find(name.replace('#', &number.to_string())));
            let times_s = (0..cells.len()).map(|k| k as f64 / 50.0 + offset_s).collect();
            Sensor { hertz: 50, times_s, values: cells.iter().map(|row| columns.map(|column| row[column])).collect() }
        };
        let found = |offset_s: f64| -> Vec<(f64, f64)> {
            let rows =
                measure(json!({ "window": "20 s", "every": "10 s", "min_correlation": 0.3 }), &sensor('1', 0.0), &sensor('2', offset_s));
            rows.iter().filter_map(|row| Some((row.time_s, row.offset_ms?))).collect()
        };
        let (bare, moved) = (found(0.0), found(0.0634));
        println!("{file}: {bare:.1?}, and 63.4 ms later {moved:.1?}");
        let shared = moved.iter().filter_map(|(time_s, offset)| Some((bare.iter().find(|row| row.0 == *time_s)?.1, offset)));
        let shifts: Vec<f64> = shared.map(|(bare, moved)| moved - bare).collect();
        assert!(shifts.len() >= 2, "{shifts:?}");
        // The two turn differently, and the windows hold 63 ms of other movement: an eighth of a sample of 20 ms.
        assert!(shifts.iter().all(|shift| (shift - 63.4).abs() < 2.5), "{shifts:?}");
    }
}

#[test]
fn what_can_not_be_planned_is_said() {
    let registration = proprio_operators::operator("sync_by_motion").expect("sync_by_motion is registered");
    let refuse = |config: Value, ports: &[Port]| match (registration.plan)(config, ports) {
        Ok(_) => panic!("it planned"),
        Err(findings) => format!("{findings:?}"),
    };
    assert!(refuse(json!({}), &[port("imu/a", 100)]).contains("it compares two streams, and has 1"));
    let two = [port("imu/a", 100), port("imu/b", 100)];
    assert!(refuse(json!({ "max_offset": "3 s", "window": "8 s" }), &two).contains("3 is not from 0.001 to 2 s"));
    let bare = Port { stream: "x".to_owned(), schema: StreamSchema::new(vec![float("value", "V")], &[], None) };
    assert!(refuse(json!({}), &[port("imu/a", 100), bare]).contains("`x` has no columns `gyro_x_rad_per_s`"));
}

//! How far is the continuous gait phase from the truth? Five simulated minutes of walking at 0.5 to 1.7 m/s, whose stride time
//! wanders by 2 to 6 %: with the true contacts, and with those that the IMUs on the feet give.
//!
//! The true phase rises evenly between two true contacts of a foot. Errors go the short way around the cycle. A share of the time
//! is not covered: the first stride, and what is lost to missed events.

use arrow_array::RecordBatch;
use proprio_core::rows::{float_or_nan, floats, times};
use proprio_core::{Port, TimeNs};
use proprio_operators::kernels::gait_event::{Foot, Kind};
use proprio_simulate::Options;
use serde_json::json;

use super::Suite;
use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated_walk::Walk;
use crate::statistics::rms;

pub const SUITE: Suite = Suite { name: "gait_phase", about: "continuous gait phase in % of the cycle on simulated walking", measure };

/// Seed, steps a minute, metres a second, and how stride time and length vary.
pub const WALKS: [(u64, f64, f64, f64); 5] =
    [(11, 110.0, 1.25, 0.02), (12, 88.0, 0.8, 0.04), (13, 124.0, 1.5, 0.02), (14, 70.0, 0.5, 0.06), (15, 140.0, 1.7, 0.02)];
/// Grid points a second.
const RATE_HZ: f64 = 100.0;

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let (mut exact, mut chain) = (Errors::default(), Errors::default());
    for walk in WALKS {
        let walk = simulate(walk)?;
        let (port, rows) = bench.step("phase", "gait_phase", json!({}), &[walk.events()])?;
        exact.add(&walk, &port, &rows);
        let found = bench.step("contacts", "foot_imu_events", json!({}), &walk.feet())?;
        let (port, rows) = bench.step("phase", "gait_phase", json!({}), &[found])?;
        chain.add(&walk, &port, &rows);
    }
    let mut figures = Vec::new();
    for (name, errors, gate) in [("true_events", exact, 3.0), ("foot_imu_events", chain, 5.0)] {
        let name = |what: &str| format!("gait_phase.{name}.{what}");
        figures.push(Figure::lower(name("rmse"), rms(&errors.percent), "%").gate(gate));
        let honest = 100.0 * errors.within_two_deviations as f64 / errors.percent.len() as f64;
        figures.push(Figure::higher(name("within_two_deviations"), honest, "%"));
        figures.push(Figure::higher(name("covered"), 100.0 * errors.percent.len() as f64 / errors.due, "%").gate(90.0));
    }
    Ok(figures)
}

/// One of the walks.
pub fn simulate(
    (seed, cadence_steps_per_min, walking_speed_m_per_s, stride_variation): (u64, f64, f64, f64),
) -> Result<Walk, AccuracyError> {
    Walk::of(Options { seed, cadence_steps_per_min, walking_speed_m_per_s, stride_variation, ..Options::default() })
}

#[derive(Default)]
struct Errors {
    percent: Vec<f64>,
    within_two_deviations: usize,
    /// How many grid points the true cycles have.
    due: f64,
}

impl Errors {
    fn add(&mut self, walk: &Walk, port: &Port, rows: &RecordBatch) {
        for foot in [Foot::Left, Foot::Right] {
            let column = |what: &str| {
                let index = port.schema.index(&format!("{}_{what}_percent", foot.name())).expect("a phase's column");
                floats(rows, index)
            };
            let (phase, uncertainty) = (column("phase"), column("uncertainty"));
            let contacts: Vec<TimeNs> = walk
                .contacts
                .iter()
                .filter(|event| event.kind == Kind::InitialContact && event.foot == foot)
                .map(|event| event.time_ns)
                .collect();
            self.due += (contacts[contacts.len() - 1] - contacts[0]) as f64 * 1e-9 * RATE_HZ;
            for (row, time_ns) in times(rows).iter().enumerate() {
                let next = contacts.partition_point(|contact| contact <= time_ns);
                let (Some(end), Some(start)) = (contacts.get(next), next.checked_sub(1).map(|before| contacts[before])) else { continue };
                let truth = 100.0 * (time_ns - start) as f64 / (end - start) as f64;
                let apart = float_or_nan(phase, row) - truth;
                let error = apart - 100.0 * (apart / 100.0).round();
                if error.is_finite() {
                    self.percent.push(error);
                    self.within_two_deviations += usize::from(error.abs() <= 2.0 * uncertainty.value(row));
                }
            }
        }
    }
}

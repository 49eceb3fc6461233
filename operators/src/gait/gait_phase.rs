//! How far each foot is in its gait cycle: a continuous phase, 0 % at its initial contact, 100 % at its next.
//!
//! Reads one stream of gait events and gives a row for every point of the grid at which a foot walks. The phase is causal: at
//! every instant it depends on the events up to then alone. It rises evenly to the predicted next contact, whose distance is the
//! mean of the last `strides` strides; the foot's leaving and the other foot's contacts, whose shares in the cycle are learnt,
//! correct the rate within the cycle, by as much as they have seen of it, without a jump. A new initial contact sets the phase to
//! 0. Within a cycle it never falls; where the contact is later than predicted it waits at 100.
//!
//! Null before two contacts of a foot, and when a contact is overdue by half a cycle (`patience`): then the foot stands, and two
//! new contacts start it again. While neither foot walks there are no rows. The uncertainty is one standard deviation in percent
//! of the cycle: 1 % for the contact itself, growing over the cycle with the error of the last predictions, and with the time for
//! which a contact is overdue. The operator adds no delay: rows come out as soon as its events are decided, so theirs is its
//! delay (40 ms for plates, up to half a stride for IMUs). Events of an unknown foot are left out, and so are contacts less than
//! `shortest_stride` after the one before.
//!
//! ```yaml
//! op: gait_phase
//! from: contacts
//! with: { rate: 10 Hz }
//! input:
//!   contacts:
//!     schema:
//!       keys: [event, side]
//!       columns:
//!         - { name: event, type: text, required: true }
//!         - { name: side, type: text, required: true }
//!     rows: |
//!       time_ms,event,side
//!       0,initial_contact,left
//!       500,initial_contact,right
//!       1000,initial_contact,left
//!       1500,initial_contact,right
//!       1600,final_contact,left
//!       2000,initial_contact,left
//!       2550,initial_contact,right
//!       9000,initial_contact,left
//! ```
//! ```csv
//! time_ns,left_phase_percent,left_uncertainty_percent,right_phase_percent,right_uncertainty_percent
//! 1000000000,0.0,1.0,,
//! 1100000000,10.0,1.11803,,
//! 1200000000,20.0,1.41421,,
//! 1300000000,30.0,1.80278,,
//! 1400000000,40.0,2.23607,,
//! 1500000000,50.0,2.69258,0.0,1.0
//! 1600000000,60.0,3.16228,10.0,1.11803
//! 1700000000,70.0,3.64005,20.0,1.41421
//! 1800000000,80.0,4.12311,30.0,1.80278
//! …
//! 3700000000,,,100.0,13.4281
//! 3800000000,,,100.0,22.7816
//! 3900000000,,,100.0,32.3807
//! 4000000000,,,100.0,42.0577
//! # 31 rows, every bit hashed: 4fa104894c8b4c29
//! ```

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use proprio_core::quantity::{Duration, Share};
use proprio_core::schema::{FieldExt, float, meta};
use proprio_core::{
    Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, Rate, RecordBatch, StreamSchema, TimeNs, rows,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::gait_event::{Foot, Kind};
use crate::kernels::stride_clock::{Clock, Rule};

const FEET: [Foot; 2] = [Foot::Left, Foot::Right];

/// Continuous gait phase.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rows a second.
    rate: Rate,
    /// Over how many strides the predicted duration is a mean, 1 to 20.
    strides: usize,
    /// How much later than predicted a contact may be before the foot counts as standing, in percent of the cycle.
    patience: Share,
    /// Contacts of one foot that are nearer are the same one.
    shortest_stride: Duration,
    /// Contacts of one foot that are further apart are of different walks.
    longest_stride: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rate: Rate::hz(100),
            strides: 2,
            patience: Share::new(50.0),
            shortest_stride: Duration::new(0.4),
            longest_stride: Duration::new(3.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let [port] = ports else { return Err(vec![PlanFinding::step("reads one stream of gait events")]) };
        let mut findings = Findings::new();
        let text = |name: &str| port.schema.index(name).filter(|index| *port.schema.columns.field(*index).data_type() == DataType::Utf8);
        let columns = text("event").zip(text("side"));
        if columns.is_none() {
            let finding = PlanFinding::input(0, format!("`{}` is no stream of gait events", port.stream));
            findings
                .push(finding.help("read a step such as `force_events` or `foot_imu_events`: it has the text columns `event` and `side`"));
        }
        if !(1..=20).contains(&self.strides) {
            findings.push(PlanFinding::config("/strides", "the mean is over 1 to 20 strides"));
        }
        if !(1.0..=1000.0).contains(&self.rate.hertz()) {
            findings.push(PlanFinding::config("/rate", "the rate lies between 1 Hz and 1000 Hz"));
        }
        if !(0.0..=200.0).contains(&self.patience.percent()) {
            findings.push(PlanFinding::config("/patience", "the patience lies between 0 % and 200 %"));
        }
        let (shortest, longest) = (self.shortest_stride.seconds(), self.longest_stride.seconds());
        if !(0.1..=5.0).contains(&shortest) {
            findings.push(PlanFinding::config("/shortest_stride", "the shortest stride lies between 0.1 s and 5 s"));
        }
        if !(shortest.max(0.3)..=60.0).contains(&longest) {
            findings
                .push(PlanFinding::config("/longest_stride", "the longest stride lies between the shortest one, at least 0.3 s, and 60 s"));
        }
        let (Some((event, side)), true) = (columns, findings.is_empty()) else { return Err(findings) };
        let rule = Rule {
            strides: self.strides,
            shortest_ns: self.shortest_stride.nanoseconds(),
            longest_ns: self.longest_stride.nanoseconds(),
            patience: 0.01 * self.patience.percent(),
        };
        let output = output(self.rate);
        Ok(Planned::new(GaitPhase { event, side, rule, rate: self.rate, output: output.clone() }, output))
    }
}

fn output(rate: Rate) -> StreamSchema {
    let of = |foot: Foot| {
        let name = foot.name();
        ["phase", "uncertainty"].map(|what| float(format!("{name}_{what}_percent"), "%").with(meta::SIDE, name))
    };
    StreamSchema::new(FEET.into_iter().flat_map(of).collect(), &[], Some(rate))
}

#[derive(Debug)]
struct GaitPhase {
    event: usize,
    side: usize,
    rule: Rule,
    rate: Rate,
    output: StreamSchema,
}

/// What is remembered: both feet's cycles, and up to when rows have been given.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    clocks: [Clock; 2],
    given_ns: TimeNs,
}

/// The rows of one call; NaN for null.
#[derive(Default)]
struct Phases {
    times: Vec<TimeNs>,
    values: [Vec<f64>; 4],
}

impl Operator for GaitPhase {
    type State = State;

    fn start(&self) -> State {
        State { clocks: [Clock::default(), Clock::default()], given_ns: TimeNs::MIN }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let batch = &inputs[0];
        let (events, sides) = (rows::strings(batch, self.event), rows::strings(batch, self.side));
        let mut phases = Phases::default();
        for (row, time_ns) in rows::times(batch).iter().enumerate() {
            let (Some(kind), foot) = (Kind::parse(events.value(row)), Foot::parse(sides.value(row))) else { continue };
            if foot == Foot::Unknown {
                continue;
            }
            self.give(state, time_ns.saturating_sub(1), &mut phases);
            for (of, clock) in FEET.iter().zip(&mut state.clocks) {
                clock.event(&self.rule, *time_ns, kind, foot == *of);
            }
        }
        self.give(state, watermark, &mut phases);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(phases.times))];
        columns.extend(phases.values.map(rows::nan_as_null));
        out.push(rows::batch(&self.output, columns));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl GaitPhase {
    /// The rows up to an instant, as long as a foot walks.
    fn give(&self, state: &mut State, until_ns: TimeNs, phases: &mut Phases) {
        if until_ns <= state.given_ns {
            return;
        }
        let first_ns = state.given_ns.saturating_add(1);
        state.given_ns = until_ns;
        let walks_until = state.clocks.iter().filter_map(|clock| clock.walks_until(&self.rule)).max();
        let Some(last_ns) = walks_until.map(|walks| walks.min(until_ns)) else { return };
        let first = self.rate.grid_index_at_or_after(first_ns);
        for k in first.. {
            let time_ns = self.rate.grid_time(k);
            if time_ns > last_ns {
                return;
            }
            let found = state.clocks.each_ref().map(|clock| clock.phase(&self.rule, time_ns));
            if found.iter().all(Option::is_none) {
                continue;
            }
            phases.times.push(time_ns);
            for (foot, phase) in found.iter().enumerate() {
                phases.values[2 * foot].push(phase.map_or(f64::NAN, |phase| phase.percent));
                phases.values[2 * foot + 1].push(phase.map_or(f64::NAN, |phase| phase.uncertainty_percent));
            }
        }
    }
}

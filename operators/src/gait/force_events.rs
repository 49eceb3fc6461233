//! When each foot reaches and leaves a force plate: initial and final contact at a threshold of vertical force.
//!
//! Reads one or more `force/…` streams and, to tell the feet apart, at most one `markers/…` stream. An event is the instant
//! at which the unfiltered vertical force crosses the threshold (20 N), interpolated between two samples, provided that the
//! force then stays on that side for the persistence (40 ms); so events come out 40 ms late, and are exact.
//!
//! A plate's offset is the median force of its last five quiet stretches of 50 ms (range within half the threshold), taken
//! while nothing stands on it: an offset is removed from 50 ms after the start on, whatever its sign, with 0 N until then; below a
//! twentieth of the threshold it is left alone. An
//! offset above the threshold looks like a contact at first; after 250 ms of quiet below `max_offset` the plate counts as empty.
//!
//! The foot is the one configured for the plate (`side`, here or in the rig), or the one whose markers are nearest to the
//! centre of pressure.
//! A foot that stands on a plate when the recording starts gives no initial contact, and one that still stands there at its
//! end no final contact. A foot on two plates at once counts as one contact. When a second foot joins the first on a
//! plate, its arrival can't be seen in the force; that both were there shows when the last foot to leave is not
//! the one that came, and then the final contact has half the confidence. With a configured side that doesn't show.
//!
//! ```yaml
//! op: force_events
//! from: [force/*, markers/subject]
//! with: { side: { plate_2: right } }
//! input:
//!   force/plate_1:
//!     sensor: { kind: force, rate: 1000 Hz }
//!     generate:
//!       duration: 3 s
//!       columns:
//!         force_z_n:
//!           - { constant: -17 }
//!           - { noise: { amplitude: 0.7, seed: 1 } }
//!           - { pulses: { from: 0.5 s, period: 10 s, width: 0.6 s, amplitude: 800 } }
//!         cop_x_m: [{ constant: 0.1 }]
//!         cop_y_m: [{ constant: 0.12 }]
//!   force/plate_2:
//!     sensor: { kind: force, rate: 1000 Hz }
//!     generate:
//!       duration: 3 s
//!       gaps: [[2.3 s, 2.4 s]]
//!       columns:
//!         force_z_n:
//!           - { noise: { amplitude: 0.7, seed: 2 } }
//!           - { pulses: { from: 1 s, period: 1 s, width: 0.6 s, amplitude: 800 } }
//!   markers/subject:
//!     sensor: { kind: markers, rate: 100 Hz, labels: [LHEE, LTOE, RHEE, RTOE] }
//!     generate:
//!       duration: 3 s
//!       columns:
//!         LHEE_x_m: [{ constant: 0 }]
//!         LHEE_y_m: [{ constant: 0.1 }]
//!         LHEE_z_m: [{ constant: 0.05 }, { missing: { from: 1.05 s, to: 1.3 s } }]
//!         LTOE_x_m: [{ constant: 0.2 }]
//!         LTOE_y_m: [{ constant: 0.1 }]
//!         LTOE_z_m: [{ constant: 0.05 }]
//!         RHEE_x_m: [{ constant: 0.6 }]
//!         RHEE_y_m: [{ constant: -0.1 }]
//!         RHEE_z_m: [{ constant: 0.05 }]
//!         RTOE_x_m: [{ constant: 0.8 }]
//!         RTOE_y_m: [{ constant: -0.1 }]
//!         RTOE_z_m: [{ constant: 0.05 }]
//! ```
//! ```csv
//! time_ns,event,side,confidence,method,threshold_n,filter
//! 504614663,initial_contact,left,0.964681,force,20.0,none
//! 1004702491,initial_contact,right,1.0,force,20.0,none
//! 1094985749,final_contact,left,0.964681,force,20.0,none
//! 1595463132,final_contact,right,1.0,force,20.0,none
//! 2004486209,initial_contact,right,1.0,force,20.0,none
//! 2595320595,final_contact,right,1.0,force,20.0,none
//! # 6 rows, every bit hashed: 4368e309015f9516
//! ```

use std::collections::BTreeMap;

use proprio_core::quantity::{Duration, Force, Length};
use proprio_core::rig::Side;
use proprio_core::schema::{FieldExt, meta};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_markers::{self, Axes};
use crate::kernels::gait_event::{self, Foot, GaitEvent, Kind, Method, Waiting};
use crate::kernels::nearest_foot::{Feet, History, Nearest};
use crate::kernels::plate_contact::{Change, Plate, Rule, Sample};

/// Gait events from force plates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Vertical force that counts as contact.
    #[serde(default = "threshold")]
    threshold: Force,
    /// For how long the force must stay on the other side of the threshold.
    #[serde(default = "persistence")]
    persistence: Duration,
    /// Largest offset of an empty plate that is removed.
    #[serde(default = "max_offset")]
    max_offset: Force,
    /// The foot that strikes a plate, by the plate's name: `{ plate_1: left }`. By default the plate's `side` in the rig; plates
    /// without one go by the nearest markers.
    #[serde(default)]
    side: BTreeMap<String, Side>,
    /// Markers on each foot, from back to front. By default heel (`HEE`, `CAL` or `ANK`) and toe (`TOE`, `MT2` or `MT1`).
    #[serde(default)]
    nearest: Option<NearestLabels>,
    /// How far from the markers the centre of pressure may lie.
    #[serde(default = "reach")]
    reach: Length,
}

/// Labels of the markers on the feet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NearestLabels {
    /// On the left foot, such as `[LHEE, LTOE]`.
    left: Vec<String>,
    /// On the right foot, such as `[RHEE, RTOE]`.
    right: Vec<String>,
}

fn threshold() -> Force {
    Force::new(20.0)
}

fn persistence() -> Duration {
    Duration::new(0.04)
}

fn max_offset() -> Force {
    Force::new(50.0)
}

fn reach() -> Length {
    Length::new(0.3)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let (plates, markers) = self.sort_ports(ports, &mut findings);
        let feet = markers.and_then(|port| self.feet(&ports[port], &mut findings));
        if markers.is_none() && self.nearest.is_some() {
            findings.push(
                PlanFinding::config("/nearest", "there is no marker stream to take these labels from")
                    .help("add a `markers/…` stream to `from:`"),
            );
        }
        if self.threshold.newtons() <= 0.0 {
            findings.push(PlanFinding::config("/threshold", "the threshold must be above 0 N"));
        }
        if !(0.0..=1.0).contains(&self.persistence.seconds()) {
            findings.push(PlanFinding::config("/persistence", "the persistence must lie between 0 s and 1 s"));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let method = Method { name: "force", threshold_n: Some(self.threshold.newtons()), filter: "none".to_owned() };
        let step = ForceEvents { plates, markers: markers.zip(feet), reach_m: self.reach.metres(), method, output: gait_event::schema() };
        Ok(Planned::new(step, gait_event::schema()))
    }
}

impl Config {
    /// Which ports are plates, and which one holds the markers.
    fn sort_ports(&self, ports: &[Port], findings: &mut Findings) -> (Vec<PlateInput>, Option<usize>) {
        let (mut plates, mut markers) = (Vec::new(), None);
        for (port, input) in ports.iter().enumerate() {
            if let Some(force) = input.schema.index("force_z_n") {
                plates.push(self.plate(port, force, input, findings));
            } else if !foot_markers::is_markers(&input.schema) {
                findings.push(
                    PlanFinding::input(port, format!("`{}` is neither a force plate nor markers", input.stream))
                        .help("it needs the column `force_z_n`, or labels such as `LHEE_x_m`"),
                );
            } else if markers.replace(port).is_some() {
                findings.push(PlanFinding::input(port, "only one marker stream can tell the feet apart"));
            }
        }
        if plates.is_empty() {
            findings.push(PlanFinding::step("no force plate among the inputs").help("read `force/*`"));
        }
        for name in self.side.keys().filter(|name| !ports.iter().any(|port| port.prefix() == name.as_str())) {
            let known =
                ports.iter().filter(|port| port.schema.index("force_z_n").is_some()).map(Port::prefix).collect::<Vec<_>>().join(", ");
            findings.push(
                PlanFinding::config(format!("/side/{name}"), format!("there is no plate `{name}`")).help(format!("the plates are {known}")),
            );
        }
        (plates, markers)
    }

    fn plate(&self, port: usize, force: usize, input: &Port, findings: &mut Findings) -> PlateInput {
        let period_ns = input.schema.rate.map_or(1_000_000, |rate| rate.period_ns());
        if period_ns > 5_000_000 {
            findings.push(PlanFinding::input(port, format!("`{}` is too slow to time contacts: 200 Hz is the least", input.stream)));
        }
        let rule = Rule {
            threshold_n: self.threshold.newtons(),
            persistence_ns: self.persistence.nanoseconds(),
            max_offset_n: self.max_offset.newtons(),
            gap_ns: period_ns.saturating_mul(5),
        };
        let declared = input.schema.columns.field(force).meta(meta::SIDE).map(Foot::parse).filter(|foot| *foot != Foot::Unknown);
        let configured = self.side.get(input.prefix()).map(|side| Foot::parse(side.name()));
        let foot = configured.or(declared);
        let cop = input.schema.index("cop_x_m").zip(input.schema.index("cop_y_m"));
        PlateInput { port, force, cop, rule, foot }
    }

    /// The columns of the feet's markers.
    fn feet(&self, input: &Port, findings: &mut Findings) -> Option<Feet> {
        let schema = &input.schema;
        let Some(labels) = &self.nearest else {
            let foot = |side: char| {
                let labels = [
                    foot_markers::first_present(schema, side, &foot_markers::HEEL),
                    foot_markers::first_present(schema, side, &foot_markers::TOE),
                ];
                labels.iter().flatten().filter_map(|label| foot_markers::find(schema, label)).collect::<Vec<_>>()
            };
            let feet = Feet { left: foot('L'), right: foot('R') };
            if feet.left.is_empty() || feet.right.is_empty() {
                findings.push(
                    PlanFinding::config("/nearest", "no heel or toe label of a common marker set is there")
                        .help(format!("name the labels under `nearest`; {}", foot_markers::known_labels(schema))),
                );
            }
            return Some(feet);
        };
        let mut columns = |side: &str, labels: &[String]| {
            if labels.is_empty() {
                findings.push(PlanFinding::config(format!("/nearest/{side}"), format!("the {side} foot has no labels")));
            }
            let mut found: Vec<Axes> = Vec::new();
            for (index, label) in labels.iter().enumerate() {
                match foot_markers::find(schema, label) {
                    Some(axes) => found.push(axes),
                    None => findings.push(
                        PlanFinding::config(format!("/nearest/{side}/{index}"), format!("there is no marker `{label}`"))
                            .help(foot_markers::known_labels(schema)),
                    ),
                }
            }
            found
        };
        Some(Feet { left: columns("left", &labels.left), right: columns("right", &labels.right) })
    }
}

/// One plate's port and columns.
#[derive(Clone, Copy, Debug)]
struct PlateInput {
    port: usize,
    force: usize,
    cop: Option<(usize, usize)>,
    rule: Rule,
    /// The foot that is configured for it.
    foot: Option<Foot>,
}

#[derive(Debug)]
struct ForceEvents {
    plates: Vec<PlateInput>,
    markers: Option<(usize, Feet)>,
    reach_m: f64,
    method: Method,
    output: StreamSchema,
}

/// What is remembered: per plate its detector and who stands on it, the newest markers, and changes that wait for the
/// slowest plate.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    plates: Vec<Plate>,
    standing: Vec<Option<Foot>>,
    history: History,
    changes: Vec<Sided>,
}

/// A change of one plate, with its foot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sided {
    plate: usize,
    change: Change,
    foot: Foot,
    confidence: f64,
}

impl Operator for ForceEvents {
    type State = State;

    fn start(&self) -> State {
        State { plates: vec![Plate::default(); self.plates.len()], standing: vec![None; self.plates.len()], ..State::default() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        if let Some((port, feet)) = &self.markers {
            state.history.extend(feet, &inputs[*port]);
        }
        for (index, input) in self.plates.iter().enumerate() {
            for change in changes(&mut state.plates[index], input, &inputs[input.port], watermark) {
                let found = self.foot(&state.history, input, &change);
                state.changes.push(Sided { plate: index, change, foot: found.foot, confidence: found.confidence });
            }
        }
        let decided = self.plates.iter().zip(&state.plates).map(|(input, plate)| plate.decided_until(&input.rule, watermark));
        let promised = decided.min().unwrap_or(watermark).min(watermark);
        let oldest_question = self.plates.iter().map(|input| input.rule.persistence_ns + 2 * input.rule.gap_ns).max().unwrap_or(0);
        state.history.prune(watermark.saturating_sub(oldest_question));
        let events = settle(state, promised).take_until(promised);
        out.push(gait_event::batch(&self.output, &events, &self.method));
        promised
    }

    /// A crossing that has not persisted by the end is no event.
    fn flush(&self, state: &mut State, out: &mut Output) {
        let events = settle(state, TimeNs::MAX).take_until(TimeNs::MAX);
        out.push(gait_event::batch(&self.output, &events, &self.method));
    }
}

impl ForceEvents {
    fn foot(&self, history: &History, input: &PlateInput, change: &Change) -> Nearest {
        match (input.foot, &self.markers) {
            (Some(foot), _) => Nearest { foot, confidence: 1.0 },
            (None, Some((_, feet))) => history.nearest(feet, change.time_ns, change.cop_m, self.reach_m),
            (None, None) => Nearest::NONE,
        }
    }
}

/// The changes that are known once a batch of one plate's samples, up to `watermark`, has come.
fn changes(plate: &mut Plate, input: &PlateInput, batch: &RecordBatch, watermark: TimeNs) -> Vec<Change> {
    let force = rows::floats(batch, input.force).values();
    let cop = input.cop.map(|(x, y)| (rows::floats(batch, x), rows::floats(batch, y)));
    let mut found = Vec::new();
    for (row, (time_ns, force_n)) in rows::times(batch).iter().zip(force).enumerate() {
        let cop_m = cop.map_or([f64::NAN; 2], |(x, y)| [rows::float_or_nan(x, row), rows::float_or_nan(y, row)]);
        plate.step(&input.rule, Sample { time_ns: *time_ns, force_n: *force_n, cop_m }, &mut found);
    }
    found.extend(plate.expire(&input.rule, watermark));
    found
}

/// Turns the changes up to `promised` into events, in the order in which they happened: a foot that stands on another
/// plate already, or still, neither arrives nor leaves.
fn settle(state: &mut State, promised: TimeNs) -> Waiting {
    state.changes.sort_by_key(|sided| (sided.change.time_ns, sided.plate));
    let ready = state.changes.partition_point(|sided| sided.change.time_ns <= promised);
    let mut events = Waiting::default();
    for Sided { plate, change, foot, mut confidence } in state.changes.drain(..ready) {
        let came = std::mem::replace(&mut state.standing[plate], change.begins.then_some(foot));
        let elsewhere = state.standing.iter().enumerate().any(|(other, standing)| other != plate && *standing == Some(foot));
        if !change.seen || (foot != Foot::Unknown && elsewhere) {
            continue;
        }
        if !change.begins && came.is_some_and(|came| came != foot) {
            confidence *= 0.5;
        }
        let kind = if change.begins { Kind::InitialContact } else { Kind::FinalContact };
        events.insert(GaitEvent { time_ns: change.time_ns, kind, foot, confidence });
    }
    events
}

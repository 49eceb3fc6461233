//! Where is a segment, by the markers of a cluster on it, and where are those of its markers that aren't seen?
//!
//! Reads one `markers/…` stream. For each of `bodies`, the pose that puts its template's markers nearest to those seen (least squares;
//! Horn 1987): `<body>_q_w` … `<body>_q_z` from the body to the lab, the place of its origin `<body>_x_m` … `<body>_z_m`, and
//! `<body>_residual_mm`, the root mean square distance that is left. The **template** is declared (each marker's place in the body), or
//! learned from the first `learn` frames in which all markers are seen: their mean, fitted onto the first, with the origin in its middle
//! and the lab's axes at that frame. Without a pose `<body>_reason` says why: `learning`, `too_few_markers` (three are needed),
//! `collinear`, `not_rigid` (residual beyond `max_residual`: a label on the wrong marker).
//!
//! **Gaps.** Each marker comes out as `<label>_x_m` … `<label>_z_m` with `<label>_fill`: `exact` where it was seen, `filled` where the
//! pose of the others puts it, `missing` where there is none. Skin moves over bone, and a marker lies where the skin is: a filled one
//! keeps the deviation from its place in the body that it had when it was last seen, fading over `hold`. With `look_ahead` a row waits for
//! so long, and a gap that ends by then is bridged between the deviations at both its ends, which is several times nearer.
//!
//! **Delay** is `look_ahead`, none by default; a row for every row. Positions in metres in the lab's frame. Markers that nobody sees at
//! once are not filled: a body out of view is missing. Three markers tell no error of their own: a cluster of four or more is what fills
//! gaps.
//!
//! ```yaml
//! op: rigid_body
//! from: markers/subject
//! with: { bodies: { head: { markers: [LFHD, RFHD, LBHD, RBHD] } }, learn: 3, look_ahead: 100 ms }
//! input:
//!   markers/subject:
//!     sensor: { kind: markers, rate: 20 Hz, labels: [LFHD, RFHD, LBHD, RBHD] }
//!     generate:
//!       duration: 700 ms
//!       columns:
//!         LFHD_x_m: [{ constant: 0.1 }, { ramp: 1 }]
//!         LFHD_y_m: [{ constant: 0.07 }]
//!         LFHD_z_m: [{ constant: 1.7 }]
//!         RFHD_x_m: [{ constant: 0.1 }, { ramp: 1 }]
//!         RFHD_y_m: [{ constant: -0.07 }]
//!         RFHD_z_m: [{ constant: 1.7 }]
//!         LBHD_x_m: [{ constant: -0.1 }, { ramp: 1 }]
//!         LBHD_y_m: [{ constant: 0.07 }, { missing: { from: 490 ms, to: 560 ms } }]
//!         LBHD_z_m: [{ constant: 1.71 }]
//!         RBHD_x_m: [{ constant: -0.1 }, { ramp: 1 }]
//!         RBHD_y_m: [{ constant: -0.07 }, { sine: { amplitude: 0.004, frequency: 1 Hz } }, { missing: { from: 190 ms, to: 310 ms } }, { missing: { from: 540 ms, to: 610 ms } }]
//!         RBHD_z_m: [{ constant: 1.71 }]
//! ```
//! ```csv
//! time_ns,head_q_w,head_q_x,head_q_y,head_q_z,head_x_m,head_y_m,head_z_m,head_residual_mm,head_reason,LFHD_x_m,LFHD_y_m,LFHD_z_m,LFHD_fill,RFHD_x_m,RFHD_y_m,RFHD_z_m,RFHD_fill,LBHD_x_m,LBHD_y_m,LBHD_z_m,LBHD_fill,RBHD_x_m,RBHD_y_m,RBHD_z_m,RBHD_fill
//! 0,,,,,,,,,learning,0.1,0.07,1.7,exact,0.1,-0.07,1.7,exact,-0.1,0.07,1.71,exact,-0.1,-0.07,1.71,exact
//! 50000000,,,,,,,,,learning,0.15,0.07,1.7,exact,0.15,-0.07,1.7,exact,-0.05,0.07,1.71,exact,-0.05,-0.0687639,1.71,exact
//! 100000000,0.999998,-9.87277e-5,-3.95145e-21,-0.00197455,0.1,0.000587785,1.705,0.440547,,0.2,0.07,1.7,exact,0.2,-0.07,1.7,exact,0.0,0.07,1.71,exact,0.0,-0.0676489,1.71,exact
//! 150000000,0.999996,-0.000136027,0.0,-0.00272053,0.15,0.000809017,1.705,0.777802,,0.25,0.07,1.7,exact,0.25,-0.07,1.7,exact,0.05,0.07,1.71,exact,0.05,-0.0667639,1.71,exact
//! 200000000,0.999999,-5.01883e-5,-3.71635e-19,-0.00100377,0.2,0.000298964,1.705,0.000150193,,0.3,0.07,1.7,exact,0.3,-0.07,1.7,exact,0.1,0.07,1.71,exact,0.0999998,-0.067019,1.71,filled
//! 250000000,0.999999,-5.01883e-5,8.86582e-18,-0.00100377,0.25,0.000298964,1.705,0.000150193,,0.35,0.07,1.7,exact,0.35,-0.07,1.7,exact,0.15,0.07,1.71,exact,0.15,-0.0667639,1.71,filled
//! 300000000,0.999999,-5.01883e-5,-3.71635e-19,-0.00100377,0.3,0.000298964,1.705,0.000150193,,0.4,0.07,1.7,exact,0.4,-0.07,1.7,exact,0.2,0.07,1.71,exact,0.2,-0.0667639,1.71,filled
//! 350000000,0.999996,-0.000136027,5.41166e-18,-0.00272053,0.35,0.000809017,1.705,0.777802,,0.45,0.07,1.7,exact,0.45,-0.07,1.7,exact,0.25,0.07,1.71,exact,0.25,-0.0667639,1.71,exact
//! 400000000,0.999998,-9.87277e-5,1.08115e-17,-0.00197455,0.4,0.000587785,1.705,0.440547,,0.5,0.07,1.7,exact,0.5,-0.07,1.7,exact,0.3,0.07,1.71,exact,0.3,-0.0676489,1.71,exact
//! 450000000,0.999999,-5.18371e-5,-5.41025e-18,-0.00103674,0.45,0.000309017,1.705,0.0154485,,0.55,0.07,1.7,exact,0.55,-0.07,1.7,exact,0.35,0.07,1.71,exact,0.35,-0.0687639,1.71,exact
//! 500000000,0.999999,5.01421e-5,8.14868e-18,0.00100284,0.499907,-0.00023397,1.705,0.322289,,0.6,0.07,1.7,exact,0.6,-0.07,1.7,exact,0.399617,0.0690368,1.71002,filled,0.4,-0.07,1.71,exact
//! 550000000,,,,,,,,,too_few_markers,0.65,0.07,1.7,exact,0.65,-0.07,1.7,exact,,,,missing,,,,missing
//! 600000000,0.999999,-5.01883e-5,1.27493e-17,-0.00100377,0.6,0.000298964,1.705,0.000150193,,0.7,0.07,1.7,exact,0.7,-0.07,1.7,exact,0.5,0.07,1.71,exact,0.5,-0.0726821,1.71,filled
//! 650000000,0.999996,0.000135007,1.0823e-17,0.00270014,0.65,-0.000809017,1.705,1.69111,,0.75,0.07,1.7,exact,0.75,-0.07,1.7,exact,0.55,0.07,1.71,exact,0.55,-0.0732361,1.71,exact
//! # 14 rows, every bit hashed: cc9e38c44d0eaa8b
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::Field;
use proprio_core::quantity::{Duration, Length};
use proprio_core::schema::{FieldExt, float, meta, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_markers::{self, Axes};
use crate::kernels::names::suggest;
use crate::kernels::rigid_fit::{Point, Pose, Unfit, add, fit, mean, subtract};

/// Most markers of one body.
const MAX_MARKERS: usize = 16;
/// Most bodies of one step.
const MAX_BODIES: usize = 32;
/// A marker that is not seen.
const UNSEEN: Point = [f64::NAN; 3];

/// Poses of marker clusters, and their markers without gaps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bodies by their names, such as `head` or `thigh_left`, 1 to 32.
    bodies: BTreeMap<String, Body>,
    /// Complete frames that a template is learned from, 1 to 1000.
    #[serde(default = "learn")]
    learn: usize,
    /// How long a row waits for markers to be seen again, at most 1 s.
    #[serde(default = "no_time")]
    look_ahead: Duration,
    /// Over which time a marker's deviation from its place in the body fades once it isn't seen, at most 10 s.
    #[serde(default = "hold")]
    hold: Duration,
    /// Largest residual of a pose that is given.
    #[serde(default = "max_residual")]
    max_residual: Length,
}

/// A rigid body and its markers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// Labels of its markers, 3 to 16.
    markers: Vec<String>,
    /// Where each marker is in the body, as `[x, y, z]`; learned when left out.
    #[serde(default)]
    template: BTreeMap<String, [Length; 3]>,
}

fn learn() -> usize {
    50
}

fn no_time() -> Duration {
    Duration::new(0.0)
}

fn hold() -> Duration {
    Duration::new(0.4)
}

fn max_residual() -> Length {
    Length::new(0.03)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let schema = &ports[0].schema;
        if !foot_markers::is_markers(schema) {
            let finding = PlanFinding::input(0, format!("`{}` holds no markers in the lab's frame", ports[0].stream));
            return Err(vec![finding.help("read a `markers/…` stream")]);
        }
        self.check(&mut findings);
        let bodies: Vec<Cluster> = self.bodies.iter().map(|(name, body)| cluster(name, body, schema, &mut findings)).collect();
        let fields: Vec<Field> = bodies.iter().flat_map(|body| fields(body, schema)).collect();
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = fields.iter().find(|field| !seen.insert(field.name())) {
            let message =
                format!("two columns would be named `{}`: a marker belongs to one body, and a body is named otherwise", twice.name());
            findings.push(PlanFinding::config("/bodies", message));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let output = StreamSchema::new(fields, &[], schema.rate);
        let step = RigidBody {
            bodies,
            learn: self.learn,
            look_ahead_ns: self.look_ahead.nanoseconds(),
            hold_ns: self.hold.nanoseconds(),
            max_residual_m: self.max_residual.metres(),
            output: output.clone(),
        };
        Ok(Planned::new(step, output))
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        if !(1..=MAX_BODIES).contains(&self.bodies.len()) {
            findings.push(PlanFinding::config("/bodies", format!("1 to {MAX_BODIES} bodies are due")));
        }
        if !(1..=1000).contains(&self.learn) {
            findings.push(PlanFinding::config("/learn", "a template is learned from 1 to 1000 frames"));
        }
        if !(0.0..=1.0).contains(&self.look_ahead.seconds()) {
            findings.push(PlanFinding::config("/look_ahead", "a row waits for 1 s at the most"));
        }
        if !(0.0..=10.0).contains(&self.hold.seconds()) {
            findings.push(PlanFinding::config("/hold", "a deviation fades within 10 s"));
        }
        if self.max_residual.metres() <= 0.0 {
            findings.push(PlanFinding::config("/max_residual", "the largest residual must be above 0 mm"));
        }
    }
}

/// The columns and the declared template of one body.
fn cluster(name: &str, body: &Body, schema: &StreamSchema, findings: &mut Findings) -> Cluster {
    let at = format!("/bodies/{name}");
    if !(3..=MAX_MARKERS).contains(&body.markers.len()) {
        findings.push(PlanFinding::config(format!("{at}/markers"), format!("a body has 3 to {MAX_MARKERS} markers")));
    }
    let known = foot_markers::labels(schema);
    let mut axes = Vec::new();
    for (n, label) in body.markers.iter().enumerate() {
        match foot_markers::find(schema, label) {
            Some(found) => axes.push(found),
            None => findings.push(PlanFinding {
                help: suggest(label, known.iter().copied()),
                ..PlanFinding::config(format!("{at}/markers/{n}"), format!("there is no marker `{label}`"))
            }),
        }
    }
    for label in body.template.keys().filter(|label| !body.markers.contains(label)) {
        findings.push(PlanFinding::config(format!("{at}/template/{label}"), format!("`{label}` is none of the body's markers")));
    }
    let places: Vec<Point> =
        body.markers.iter().filter_map(|label| body.template.get(label)).map(|place| place.map(Length::metres)).collect();
    if !places.is_empty() && places.len() < body.markers.len() {
        findings.push(PlanFinding::config(format!("{at}/template"), "a template has a place for each marker"));
    }
    if places.len() >= 3 && fit(&places, &places) == Err(Unfit::Collinear) {
        findings.push(PlanFinding::config(format!("{at}/template"), "these places lie on one line, and a turn about it can't be seen"));
    }
    Cluster { name: name.to_owned(), labels: body.markers.clone(), axes, template: (!places.is_empty()).then_some(places) }
}

fn fields(body: &Cluster, schema: &StreamSchema) -> Vec<Field> {
    let (segment, side) = ["left", "right"]
        .into_iter()
        .find_map(|side| Some((body.name.strip_suffix(side)?.strip_suffix('_')?, Some(side))))
        .unwrap_or((&body.name, None));
    let place = |field: Field| {
        let field = field.with(meta::SEGMENT, segment);
        if let Some(side) = side { field.with(meta::SIDE, side) } else { field }
    };
    let name = |what: &str| format!("{}_{what}", body.name);
    let turn = ["q_w", "q_x", "q_y", "q_z"].map(|part| place(float(name(part), "1").frame("lab")));
    let origin = ["x_m", "y_m", "z_m"].map(|axis| place(float(name(axis), "m").frame("lab")));
    let mut fields: Vec<Field> = turn.into_iter().chain(origin).collect();
    fields.extend([place(float(name("residual_mm"), "mm")), place(text(name("reason")))]);
    for (label, axes) in body.labels.iter().zip(&body.axes) {
        fields.extend(axes.iter().map(|axis| schema.columns.field(*axis).clone().with_nullable(true)));
        fields.push(text(format!("{label}_fill")).required());
    }
    fields
}

/// A body as planned.
#[derive(Debug)]
struct Cluster {
    name: String,
    labels: Vec<String>,
    axes: Vec<Axes>,
    /// Declared.
    template: Option<Vec<Point>>,
}

struct RigidBody {
    bodies: Vec<Cluster>,
    learn: usize,
    look_ahead_ns: i64,
    hold_ns: i64,
    max_residual_m: f64,
    output: StreamSchema,
}

/// Where a body's markers were; NaN where not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Frame {
    time: TimeNs,
    places: Vec<Point>,
}

/// What is remembered of one body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    template: Option<Vec<Point>>,
    /// While learning: the first complete frame, and sums over frames that were fitted onto it.
    first: Vec<Point>,
    sums: Vec<Point>,
    count: usize,
    /// Frames that wait for `look_ahead`.
    waiting: VecDeque<Frame>,
    /// The frame before.
    previous: Option<Frame>,
    /// By marker, the frame in which it was last seen before its newest gap.
    last_seen: Vec<Option<Frame>>,
}

/// One row of one body.
struct Found {
    pose: Result<Pose, &'static str>,
    residual_m: f64,
    places: Vec<(Point, &'static str)>,
}

impl Operator for RigidBody {
    type State = Vec<Memory>;

    fn start(&self) -> Vec<Memory> {
        let of = |body: &Cluster| Memory { template: body.template.clone(), last_seen: vec![None; body.axes.len()], ..Memory::default() };
        self.bodies.iter().map(of).collect()
    }

    fn process(&self, state: &mut Vec<Memory>, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let batch = &inputs[0];
        for (body, memory) in self.bodies.iter().zip(state.iter_mut()) {
            for (row, time) in rows::times(batch).iter().enumerate() {
                let place = |axes: &Axes| foot_markers::position(batch, *axes, row).unwrap_or(UNSEEN);
                memory.waiting.push_back(Frame { time: *time, places: body.axes.iter().map(place).collect() });
            }
        }
        let decided = watermark.saturating_sub(self.look_ahead_ns);
        self.release(state, decided, out);
        decided
    }

    fn flush(&self, state: &mut Vec<Memory>, out: &mut Output) {
        self.release(state, TimeNs::MAX, out);
    }
}

impl RigidBody {
    /// Emits the waiting rows up to `until`.
    fn release(&self, state: &mut [Memory], until: TimeNs, out: &mut Output) {
        let times: Vec<TimeNs> = state[0].waiting.iter().map(|frame| frame.time).take_while(|time| *time <= until).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(times.clone()))];
        for memory in state {
            let found: Vec<Found> = times.iter().map(|_| self.next(memory)).collect();
            columns.extend(found_columns(&found, memory.last_seen.len()));
        }
        out.push(rows::batch(&self.output, columns));
    }

    /// Takes the frame that waits longest.
    fn next(&self, memory: &mut Memory) -> Found {
        let frame = memory.waiting.pop_front().expect("a frame waits for each of these rows");
        if memory.template.is_none() {
            self.learn_from(memory, &frame);
        }
        if let Some(previous) = memory.previous.take() {
            let gone = |marker: &usize| is_seen(&previous.places[*marker]) && !is_seen(&frame.places[*marker]);
            (0..frame.places.len()).filter(gone).for_each(|marker| memory.last_seen[marker] = Some(previous.clone()));
        }
        let found = match &memory.template {
            Some(template) => self.found(template, memory, &frame),
            None => as_seen(Err("learning"), f64::NAN, &frame),
        };
        memory.previous = Some(frame);
        found
    }

    /// Takes a complete frame into the template, fitted onto the first one.
    fn learn_from(&self, memory: &mut Memory, frame: &Frame) {
        if !frame.places.iter().all(is_seen) {
            return;
        }
        if memory.count == 0 {
            let middle = mean(&frame.places);
            memory.first = frame.places.iter().map(|place| subtract(*place, middle)).collect();
            memory.sums = vec![[0.0; 3]; frame.places.len()];
        }
        // Frames that don't tell a pose, or in which a label is on the wrong marker, are none to learn from; nor is such a first one.
        match fit(&memory.first, &frame.places) {
            Ok(pose) if pose.residual_m <= self.max_residual_m => {
                memory.sums.iter_mut().zip(&frame.places).for_each(|(sum, place)| *sum = add(*sum, pose.to_body(*place)));
                memory.count += 1;
            }
            _ if memory.count <= 1 => memory.count = 0,
            _ => {}
        }
        if memory.count == self.learn {
            memory.template = Some(memory.sums.iter().map(|sum| sum.map(|value| value / memory.count as f64)).collect());
        }
    }

    fn found(&self, template: &[Point], memory: &Memory, frame: &Frame) -> Found {
        let pose = match fit_seen(template, frame, &frame.places) {
            Err(Unfit::TooFew) => return as_seen(Err("too_few_markers"), f64::NAN, frame),
            Err(Unfit::Collinear) => return as_seen(Err("collinear"), f64::NAN, frame),
            Ok(pose) if pose.residual_m > self.max_residual_m => return as_seen(Err("not_rigid"), pose.residual_m, frame),
            Ok(pose) => pose,
        };
        let fill = |marker: usize| {
            if is_seen(&frame.places[marker]) {
                return (frame.places[marker], "exact");
            }
            let deviation = self.deviation(template, memory, frame, marker);
            (pose.to_lab(add(template[marker], deviation)), "filled")
        };
        Found { pose: Ok(pose), residual_m: pose.residual_m, places: (0..frame.places.len()).map(fill).collect() }
    }

    /// How far a marker that isn't seen lies from its place in the body: between what it was at both ends of the gap, or that at its
    /// beginning, fading.
    fn deviation(&self, template: &[Point], memory: &Memory, frame: &Frame, marker: usize) -> Point {
        let at = |other: &Frame| -> Option<Point> {
            // By the markers that are seen in both, so that the two poses are off by the same.
            let pose = fit_seen(template, other, &frame.places).ok()?;
            Some(subtract(pose.to_body(other.places[marker]), template[marker]))
        };
        let limit = frame.time.saturating_add(self.look_ahead_ns);
        let after = memory.waiting.iter().take_while(|other| other.time <= limit).find(|other| is_seen(&other.places[marker]));
        let before = memory.last_seen[marker].as_ref();
        match (before.and_then(|other| Some((other.time, at(other)?))), after.and_then(|other| Some((other.time, at(other)?)))) {
            (Some((from, first)), Some((to, last))) => {
                let weight = (frame.time - from) as f64 / (to - from) as f64;
                [0, 1, 2].map(|axis| (1.0 - weight) * first[axis] + weight * last[axis])
            }
            (Some((from, deviation)), None) => deviation.map(|part| part * self.faded(frame.time - from)),
            (None, Some((to, deviation))) => deviation.map(|part| part * self.faded(to - frame.time)),
            (None, None) => [0.0; 3],
        }
    }

    /// What is left of a deviation after a time.
    fn faded(&self, apart_ns: i64) -> f64 {
        if apart_ns < self.hold_ns { 1.0 - apart_ns as f64 / self.hold_ns as f64 } else { 0.0 }
    }
}

/// The pose of a frame by those of its markers that it and `also` have.
fn fit_seen(template: &[Point], frame: &Frame, also: &[Point]) -> Result<Pose, Unfit> {
    let seen = |marker: &usize| is_seen(&frame.places[*marker]) && is_seen(&also[*marker]);
    let (body, lab): (Vec<Point>, Vec<Point>) =
        (0..template.len()).filter(seen).map(|marker| (template[marker], frame.places[marker])).unzip();
    fit(&body, &lab)
}

fn is_seen(place: &Point) -> bool {
    place[0].is_finite()
}

/// A frame without a pose.
fn as_seen(pose: Result<Pose, &'static str>, residual_m: f64, frame: &Frame) -> Found {
    let places = frame.places.iter().map(|place| (*place, if is_seen(place) { "exact" } else { "missing" }));
    Found { pose, residual_m, places: places.collect() }
}

fn found_columns(found: &[Found], markers: usize) -> Vec<ArrayRef> {
    let column = |value: &dyn Fn(&Found) -> f64| rows::nan_as_null(found.iter().map(value).collect());
    let of_pose = |value: &dyn Fn(&Pose) -> f64| column(&|found| found.pose.as_ref().map_or(f64::NAN, value));
    let mut columns: Vec<ArrayRef> = (0..4).map(|part| of_pose(&|pose| pose.lab_from_body[part])).collect();
    columns.extend((0..3).map(|axis| of_pose(&|pose| pose.origin_m[axis])));
    columns.push(column(&|found| 1000.0 * found.residual_m));
    columns.push(Arc::new(found.iter().map(|found| found.pose.as_ref().err().copied()).collect::<StringArray>()));
    for marker in 0..markers {
        columns.extend((0..3).map(|axis| column(&|found| found.places[marker].0[axis])));
        columns.push(Arc::new(StringArray::from_iter_values(found.iter().map(|found| found.places[marker].1))));
    }
    columns
}

#[cfg(test)]
mod tests {
    use proprio_core::kind::Kind;
    use proprio_core::rig::{RigFile, SensorFile};
    use proprio_core::{At, Rate};
    use serde_json::{Value, json};

    use super::*;

    fn plan(config: Value) -> Result<Planned, Findings> {
        let labels = ["A", "B", "C", "D"].map(str::to_owned).to_vec();
        let sensor = SensorFile { rate: Some(Rate::hz(100)), labels, ..SensorFile::new(Kind::Markers) };
        let rig = RigFile { rig: "test".to_owned(), sensors: [("subject".to_owned(), sensor)].into() }.resolve();
        let port = Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() };
        (crate::operator("rigid_body").expect("the operator is registered").plan)(config, &[port])
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let body = json!({ "head": { "markers": ["A", "B", "C"] } });
        let line = json!({ "A": ["0 mm", "0 mm", "0 mm"], "B": ["10 mm", "0 mm", "0 mm"], "C": ["20 mm", "0 mm", "0 mm"] });
        for (config, pointer) in [
            (json!({ "bodies": {} }), "/bodies"),
            (json!({ "bodies": body, "learn": 0 }), "/learn"),
            (json!({ "bodies": body, "look_ahead": "2 s" }), "/look_ahead"),
            (json!({ "bodies": body, "hold": "20 s" }), "/hold"),
            (json!({ "bodies": body, "max_residual": "0 mm" }), "/max_residual"),
            (json!({ "bodies": { "head": { "markers": ["A", "B"] } } }), "/bodies/head/markers"),
            (json!({ "bodies": { "head": { "markers": ["A", "B", "E"] } } }), "/bodies/head/markers/2"),
            (json!({ "bodies": { "head": { "markers": ["A", "B", "A"] } } }), "/bodies"),
            (json!({ "bodies": { "head": { "markers": ["A", "B", "C"] }, "neck": { "markers": ["B", "C", "D"] } } }), "/bodies"),
            (json!({ "bodies": { "head": { "markers": ["A", "B", "C"], "template": line } } }), "/bodies/head/template"),
            (
                json!({ "bodies": { "head": { "markers": ["A", "B", "C"], "template": { "D": ["0 mm", "0 mm", "0 mm"] } } } }),
                "/bodies/head/template/D",
            ),
        ] {
            let findings = plan(config.clone()).err().unwrap_or_else(|| panic!("{config} is taken"));
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
        let sided = plan(json!({ "bodies": { "thigh_left": { "markers": ["A", "B", "C"] } } })).expect("a plan");
        assert_eq!(sided.output.columns.field(1).meta(meta::SIDE), Some("left"));
    }
}

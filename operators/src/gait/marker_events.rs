//! When each foot reaches and leaves the ground, from optical markers on heel and toe, where no force plate tells.
//!
//! Reads one `markers/…` stream. A foot swings while its middle moves along the floor faster than `swing_speed_m_per_s`.
//! By default (`heel_and_toe`) it reaches the ground midway between two signs: the heel slows down below a ninth of its fastest
//! speed, and its vertical acceleration peaks (Hreljac and Marshall 2000). It leaves the ground where the toe passes a quarter of
//! its fastest speed. Shares of the swing's own speeds follow slow and fast walkers alike; against 20 N on a plate they are right within
//! 3 ms on average, a single event within some 6 ms (standard deviation). Where the signs differ by more than 40 ms, or one is
//! missing, the confidence is halved.
//! `foot_velocity` (O'Connor et al. 2007) takes the greatest vertical velocity of the foot's middle before the swing's fastest
//! instant as final contact, and the smallest in the slowing part as initial contact. `zeni` (Zeni et al. 2008) takes the rearmost
//! toe and the foremost heel relative to the pelvis, along the swing's own displacement, so that it holds on curved paths too.
//! All are refined between frames. The floor must stand still: not for treadmills.
//!
//! Positions are smoothed by a cubic over a symmetric window, accelerations by a quartic over one half as wide again, so events come
//! out when the swing is over, by half the window and 50 ms. Markers that are away for at most `bridge` are bridged by straight lines,
//! at half the confidence; around a longer gap there are no events of that foot, except a contact that had shown already.
//! Confidence is 0.9 for `heel_and_toe`, 0.8 for `foot_velocity` and 0.6 for `zeni`.
//!
//! ```yaml
//! op: marker_events
//! from: markers/subject
//! with: { initial_contact_shift: 8 ms }
//! input:
//!   markers/subject:
//!     sensor: { kind: markers, rate: 100 Hz, labels: [LHEE, LTOE, RHEE, RTOE] }
//!     generate:
//!       duration: 4 s
//!       columns:
//!         LHEE_x_m: [{ ramp: 1.2 }, { sine: { amplitude: -0.19, frequency: 1 Hz } }]
//!         LHEE_y_m: [{ constant: 0.1 }]
//!         LHEE_z_m: [{ constant: 0.1 }, { sine: { amplitude: 0.05, frequency: 1 Hz, phase: -90 deg } }, { sine: { amplitude: 0.004, frequency: 5 Hz } }]
//!         LTOE_x_m: [{ constant: 0.2 }, { ramp: 1.2 }, { sine: { amplitude: -0.19, frequency: 1 Hz } }]
//!         LTOE_y_m: [{ constant: 0.1 }]
//!         LTOE_z_m: [{ constant: 0.1 }, { sine: { amplitude: 0.05, frequency: 1 Hz, phase: -90 deg } }, { missing: { from: 2.7 s, to: 2.78 s } }]
//!         RHEE_x_m: [{ constant: 0.6 }, { ramp: 1.2 }, { sine: { amplitude: 0.19, frequency: 1 Hz } }, { missing: { from: 1.5 s, to: 1.9 s } }]
//!         RHEE_y_m: [{ constant: -0.1 }]
//!         RHEE_z_m: [{ constant: 0.1 }, { sine: { amplitude: 0.05, frequency: 1 Hz, phase: 90 deg } }]
//!         RTOE_x_m: [{ constant: 0.8 }, { ramp: 1.2 }, { sine: { amplitude: 0.19, frequency: 1 Hz } }]
//!         RTOE_y_m: [{ constant: -0.1 }]
//!         RTOE_z_m: [{ constant: 0.1 }, { sine: { amplitude: 0.05, frequency: 1 Hz, phase: 90 deg } }]
//! ```
//! ```csv
//! time_ns,event,side,confidence,method,threshold_n,filter
//! 165904447,final_contact,left,0.9,heel_and_toe,,cubic over 9 frames
//! 258000000,initial_contact,right,0.45,heel_and_toe,,cubic over 9 frames
//! 665904447,final_contact,right,0.9,heel_and_toe,,cubic over 9 frames
//! 761263807,initial_contact,left,0.45,heel_and_toe,,cubic over 9 frames
//! 1165904447,final_contact,left,0.9,heel_and_toe,,cubic over 9 frames
//! 1258000000,initial_contact,right,0.45,heel_and_toe,,cubic over 9 frames
//! 1761263807,initial_contact,left,0.45,heel_and_toe,,cubic over 9 frames
//! 2165904447,final_contact,left,0.9,heel_and_toe,,cubic over 9 frames
//! 2258000000,initial_contact,right,0.45,heel_and_toe,,cubic over 9 frames
//! …
//! 3165904447,final_contact,left,0.9,heel_and_toe,,cubic over 9 frames
//! 3258000000,initial_contact,right,0.45,heel_and_toe,,cubic over 9 frames
//! 3663641609,final_contact,right,0.45,heel_and_toe,,cubic over 9 frames
//! 3761263807,initial_contact,left,0.45,heel_and_toe,,cubic over 9 frames
//! # 15 rows, every bit hashed: 8f1c1af559275b47
//! ```

use proprio_core::quantity::Duration;
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_markers::{self, Axes, position};
use crate::kernels::foot_swing::{Found, Rule, Sample, Smoothing, Timing, Track};
use crate::kernels::gait_event::{self, Foot, GaitEvent, Kind, Method, Waiting};

/// Gait events from markers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How events are timed.
    #[serde(default)]
    method: EventMethod,
    /// Markers of the left foot. By default `LHEE`, `LCAL` or `LANK`, and `LTOE`, `LMT2` or `LMT1`.
    #[serde(default)]
    left: FootLabels,
    /// Markers of the right foot. By default `RHEE`, `RCAL` or `RANK`, and `RTOE`, `RMT2` or `RMT1`.
    #[serde(default)]
    right: FootLabels,
    /// Markers whose middle is the pelvis, for `zeni`. By default `SACR`, `VSAC`, both `PSI` or both `ASI`.
    #[serde(default)]
    pelvis: Option<Vec<String>>,
    /// Half the width of the smoothing window.
    #[serde(default = "smoothing")]
    smoothing: Duration,
    /// Longest time that a marker may be away.
    #[serde(default = "bridge")]
    bridge: Duration,
    /// Horizontal speed above which a foot swings, in metres a second.
    #[serde(default = "swing_speed")]
    swing_speed_m_per_s: f64,
    /// Added to every initial contact, such as `8 ms` to take out a bias known from force plates.
    #[serde(default = "no_shift")]
    initial_contact_shift: Duration,
    /// Added to every final contact.
    #[serde(default = "no_shift")]
    final_contact_shift: Duration,
}

/// How events are timed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum EventMethod {
    /// The heel's impact, and the toe's start.
    #[default]
    HeelAndToe,
    /// Turning points of the foot's vertical velocity.
    FootVelocity,
    /// Turning points of heel and toe relative to the pelvis.
    Zeni,
}

/// Labels of one foot's markers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FootLabels {
    /// At the back of the foot.
    heel: Option<String>,
    /// At its front.
    toe: Option<String>,
}

fn smoothing() -> Duration {
    Duration::new(0.04)
}

fn bridge() -> Duration {
    Duration::new(0.1)
}

fn swing_speed() -> f64 {
    0.5
}

fn no_shift() -> Duration {
    Duration::new(0.0)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let [port] = ports else { return Err(vec![PlanFinding::step("reads one marker stream")]) };
        if !foot_markers::is_markers(&port.schema) {
            let finding = PlanFinding::input(0, format!("`{}` has no markers", port.stream));
            return Err(vec![finding.help("it needs labels such as `LHEE_x_m`, `LHEE_y_m`, `LHEE_z_m`")]);
        }
        let mut findings = Findings::new();
        let period_ns = self.period_ns(port, &mut findings);
        let half_width = (self.smoothing.nanoseconds() as f64 / period_ns as f64).round().max(2.0) as usize;
        self.check_ranges(&mut findings);
        let feet = [("left", &self.left, 'L'), ("right", &self.right, 'R')]
            .map(|(side, labels, letter)| foot_columns(&port.schema, side, labels, letter, &mut findings));
        let pelvis = self.pelvis_columns(port, &mut findings);
        let [Some(left), Some(right)] = feet else { return Err(findings) };
        if !findings.is_empty() {
            return Err(findings);
        }
        let (name, timing, confidence) = match self.method {
            EventMethod::HeelAndToe => ("heel_and_toe", Timing::HeelAndToe, 0.9),
            EventMethod::FootVelocity => ("foot_velocity", Timing::FootVelocity, 0.8),
            EventMethod::Zeni => ("zeni", Timing::PelvisDistance, 0.6),
        };
        let smoothing = Smoothing::new(half_width, period_ns);
        let rule = Rule { timing, period_ns, bridge_ns: self.bridge.nanoseconds(), swing_m_per_s: self.swing_speed_m_per_s };
        let step = MarkerEvents {
            smoothing,
            rule,
            feet: [(Foot::Left, left), (Foot::Right, right)],
            pelvis,
            confidence,
            shifts_ns: [self.final_contact_shift.nanoseconds(), self.initial_contact_shift.nanoseconds()],
            method: Method { name, threshold_n: None, filter: format!("cubic over {} frames", 2 * half_width + 1) },
            output: gait_event::schema(),
        };
        Ok(Planned::new(step, gait_event::schema()))
    }
}

impl Config {
    fn period_ns(&self, port: &Port, findings: &mut Findings) -> i64 {
        match port.schema.rate {
            Some(rate) if rate.hertz() >= 40.0 => rate.period_ns(),
            Some(rate) => {
                findings.push(
                    PlanFinding::input(0, format!("`{}` runs at {rate}: too slow to time contacts", port.stream))
                        .help("40 Hz is the least"),
                );
                rate.period_ns()
            }
            None => {
                findings.push(
                    PlanFinding::input(0, format!("`{}` has no rate", port.stream))
                        .help("give the sensor its rate, or `align` the stream first"),
                );
                10_000_000
            }
        }
    }

    fn check_ranges(&self, findings: &mut Findings) {
        if !(0.0..=0.1).contains(&self.smoothing.seconds()) {
            findings.push(PlanFinding::config("/smoothing", "the smoothing must lie between 0 ms and 100 ms, or it blurs the contacts"));
        }
        if !(0.0..=0.5).contains(&self.bridge.seconds()) {
            findings.push(PlanFinding::config("/bridge", "only gaps of up to 500 ms can be bridged"));
        }
        if !(0.05..=5.0).contains(&self.swing_speed_m_per_s) {
            findings.push(PlanFinding::config("/swing_speed_m_per_s", "the swing speed must lie between 0.05 and 5 m/s"));
        }
        for (name, shift) in [("initial", self.initial_contact_shift), ("final", self.final_contact_shift)] {
            if shift.seconds().abs() > 0.2 {
                findings.push(PlanFinding::config(format!("/{name}_contact_shift"), "a shift beyond 200 ms is no bias of a method"));
            }
        }
    }

    /// The pelvis markers; only `zeni` needs them.
    fn pelvis_columns(&self, port: &Port, findings: &mut Findings) -> Vec<Axes> {
        let schema = &port.schema;
        let labels = match (&self.pelvis, self.method) {
            (Some(labels), _) => labels.clone(),
            (None, EventMethod::HeelAndToe | EventMethod::FootVelocity) => return Vec::new(),
            (None, EventMethod::Zeni) => foot_markers::pelvis(schema).unwrap_or_default(),
        };
        if labels.is_empty() {
            findings.push(PlanFinding::config("/pelvis", "`zeni` needs a marker on the pelvis").help(foot_markers::known_labels(schema)));
        }
        let mut columns = Vec::new();
        for (index, label) in labels.iter().enumerate() {
            match foot_markers::find(schema, label) {
                Some(axes) => columns.push(axes),
                None => findings.push(
                    PlanFinding::config(format!("/pelvis/{index}"), format!("there is no marker `{label}`"))
                        .help(foot_markers::known_labels(schema)),
                ),
            }
        }
        columns
    }
}

/// Heel and toe of one foot.
fn foot_columns(schema: &StreamSchema, side: &str, labels: &FootLabels, letter: char, findings: &mut Findings) -> Option<[Axes; 2]> {
    let mut column = |part: &str, configured: &Option<String>, candidates: &[&str]| {
        let label = configured.clone().or_else(|| foot_markers::first_present(schema, letter, candidates));
        let found = label.as_ref().and_then(|label| foot_markers::find(schema, label));
        if found.is_none() {
            let message = label.map_or_else(
                || format!("no {part} label of a common marker set is there for the {side} foot"),
                |label| format!("there is no marker `{label}`"),
            );
            findings.push(PlanFinding::config(format!("/{side}/{part}"), message).help(foot_markers::known_labels(schema)));
        }
        found
    };
    let heel = column("heel", &labels.heel, &foot_markers::HEEL);
    let toe = column("toe", &labels.toe, &foot_markers::TOE);
    Some([heel?, toe?])
}

#[derive(Debug)]
struct MarkerEvents {
    rule: Rule,
    smoothing: Smoothing,
    /// Per foot the columns of heel and toe.
    feet: [(Foot, [Axes; 2]); 2],
    pelvis: Vec<Axes>,
    confidence: f64,
    /// Added to final and to initial contacts.
    shifts_ns: [i64; 2],
    method: Method,
    output: StreamSchema,
}

/// What is remembered: each foot's track, and events that wait for the other foot's.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    tracks: [Track; 2],
    waiting: Waiting,
}

impl Operator for MarkerEvents {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let pelvis = self.pelvis_path(&inputs[0]);
        let mut decided = watermark;
        for ((foot, columns), track) in self.feet.iter().zip(&mut state.tracks) {
            let mut found = Vec::new();
            follow(track, &self.rule, &self.smoothing, &inputs[0], *columns, &pelvis, &mut found);
            track.expire(&self.rule, watermark, &mut found);
            decided = decided.min(track.decided_until(&self.rule, watermark));
            found.iter().for_each(|found| state.waiting.insert(self.event(*foot, found)));
        }
        let promised = decided.saturating_add(self.shifts_ns[0].min(self.shifts_ns[1])).min(watermark);
        out.push(gait_event::batch(&self.output, &state.waiting.take_until(promised), &self.method));
        promised
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        for ((foot, _), track) in self.feet.iter().zip(&mut state.tracks) {
            let mut found = Vec::new();
            track.end(&self.rule, &mut found);
            found.iter().for_each(|found| state.waiting.insert(self.event(*foot, found)));
        }
        out.push(gait_event::batch(&self.output, &state.waiting.take_until(TimeNs::MAX), &self.method));
    }
}

impl MarkerEvents {
    fn event(&self, foot: Foot, found: &Found) -> GaitEvent {
        let kind = if found.initial { Kind::InitialContact } else { Kind::FinalContact };
        let confidence = if found.complete { self.confidence } else { 0.5 * self.confidence };
        GaitEvent { time_ns: found.time_ns + self.shifts_ns[usize::from(found.initial)], kind, foot, confidence }
    }

    /// The pelvis in every row; NaN where one of its markers was not seen, or none is read.
    fn pelvis_path(&self, batch: &RecordBatch) -> Vec<[f64; 2]> {
        let share = 1.0 / self.pelvis.len() as f64;
        let place = |row: usize| {
            let add = |sum: Option<[f64; 2]>, axes: &Axes| {
                position(batch, *axes, row).zip(sum).map(|([x, y, _], sum)| [sum[0] + share * x, sum[1] + share * y])
            };
            self.pelvis.iter().fold((!self.pelvis.is_empty()).then_some([0.0; 2]), add).unwrap_or([f64::NAN; 2])
        };
        (0..batch.num_rows()).map(place).collect()
    }
}

/// Takes a foot through a batch: rows in which heel or toe was not seen are left to the bridging.
fn follow(
    track: &mut Track,
    rule: &Rule,
    smoothing: &Smoothing,
    batch: &RecordBatch,
    [heel, toe]: [Axes; 2],
    pelvis: &[[f64; 2]],
    found: &mut Vec<Found>,
) {
    for (row, time_ns) in rows::times(batch).iter().enumerate() {
        if let Some((heel_m, toe_m)) = position(batch, heel, row).zip(position(batch, toe, row)) {
            track.step(rule, smoothing, Sample { time_ns: *time_ns, heel_m, toe_m, pelvis_m: pelvis[row], bridged: false }, found);
        }
    }
}

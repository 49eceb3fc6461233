//! When each foot reaches and leaves the ground, from one IMU on the lower back.
//!
//! Reads one `imu/…` stream of a sensor fixed over the sacrum or the lumbar spine, in any direction. The norm of its
//! acceleration, less gravity and smoothed by a Gaussian of 80 ms, has a top for every step (after Zijlstra and Hof 2003; Shin
//! and Park 2011). The initial contact is the steepest rise before the top; the other foot's final contact is half way from the
//! top to the next valley. A top counts when it stands `least_height_m_per_s2` and a fifth of the usual height over its valleys.
//! The side comes from the rate about the vertical 50 ms before the contact, less its mean over the second around it: the
//! swinging side comes ahead (McCamley et al. 2012). Where that rate is below `least_yaw_deg_per_s` the side is `unknown`.
//!
//! An initial contact comes out 0.5 s after it happened, or when the force has fallen again; a final contact at the next rise or
//! after 0.6 s. Missing samples are bridged up to 100 ms; after a longer gap everything starts anew, and the side of the last
//! steps before it is `unknown`. Confidence is at most 0.7, and 0.42 for final contacts; a step that is no more than 1.5 s after
//! another has twice that of one alone, and a top below 1 m/s² less in proportion. It tells of steps, not of walking: what rises
//! and falls as a step does, such as sitting down, is a step alone.
//!
//! ```yaml
//! op: lower_back_events
//! from: imu/pelvis
//! input:
//!   imu/pelvis:
//!     sensor: { kind: imu, rate: 100 Hz, segment: pelvis, magnetometer: false }
//!     generate:
//!       duration: 6 s
//!       gaps: [[3.52 s, 3.58 s]]
//!       columns:
//!         accel_y_m_per_s2: [{ constant: 9.81 }, { pulses: { from: 0.95 s, period: 0.5 s, width: 0.25 s, amplitude: 4 } }]
//!         gyro_y_rad_per_s: [{ sine: { amplitude: 0.4, frequency: 1 Hz, phase: 90 deg } }]
//! ```
//! ```csv
//! time_ns,event,side,confidence,method,threshold_n,filter
//! 983317519,initial_contact,right,0.35,lower_back,,gaussian 20 ms
//! 1200000000,final_contact,left,0.21,lower_back,,gaussian 20 ms
//! 1483317519,initial_contact,left,0.7,lower_back,,gaussian 20 ms
//! 1700000000,final_contact,right,0.42,lower_back,,gaussian 20 ms
//! 1983317519,initial_contact,right,0.7,lower_back,,gaussian 20 ms
//! 2200000000,final_contact,left,0.42,lower_back,,gaussian 20 ms
//! 2483317519,initial_contact,left,0.7,lower_back,,gaussian 20 ms
//! 2700000000,final_contact,right,0.42,lower_back,,gaussian 20 ms
//! 2983317519,initial_contact,right,0.7,lower_back,,gaussian 20 ms
//! …
//! 4700000000,final_contact,right,0.42,lower_back,,gaussian 20 ms
//! 4983317519,initial_contact,right,0.7,lower_back,,gaussian 20 ms
//! 5200000000,final_contact,left,0.42,lower_back,,gaussian 20 ms
//! 5483317519,initial_contact,left,0.7,lower_back,,gaussian 20 ms
//! # 19 rows, every bit hashed: 40754271e73ff971
//! ```

use proprio_core::quantity::Duration;
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_motion::Sample;
use crate::kernels::gait_event::{self, Method, Waiting};
use crate::kernels::imu::ImuColumns;
use crate::kernels::lower_back_steps::{Rule, Track};

/// Gait events from the lower back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Least height of a step's top over its valleys, in m/s², after smoothing.
    least_height_m_per_s2: f64,
    /// And its least share of the median height of the six before.
    least_height_share: f64,
    /// Shortest time between the contacts of both feet.
    shortest_step: Duration,
    /// Rate about the vertical below which the side can't be told, in degrees a second.
    least_yaw_deg_per_s: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { least_height_m_per_s2: 0.15, least_height_share: 0.2, shortest_step: Duration::new(0.3), least_yaw_deg_per_s: 1.0 }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let [port] = ports else { return Err(vec![PlanFinding::step("reads the stream of one IMU")]) };
        let mut findings = Findings::new();
        let columns = ImuColumns::of(port, 0, "", false, &mut findings);
        if !port.schema.keys.is_empty() {
            findings.push(PlanFinding::input(0, format!("`{}` has several rows an instant", port.stream)));
        }
        let rate = port.schema.rate.filter(|rate| (40.0..=1000.0).contains(&rate.hertz()));
        if rate.is_none() {
            findings
                .push(PlanFinding::input(0, format!("`{}` has no rate between 40 Hz and 1000 Hz", port.stream)).help("100 Hz is usual"));
        }
        let ranges = [
            ("/least_height_m_per_s2", self.least_height_m_per_s2, 0.01..=10.0),
            ("/least_height_share", self.least_height_share, 0.0..=0.9),
            ("/shortest_step", self.shortest_step.seconds(), 0.1..=1.0),
            ("/least_yaw_deg_per_s", self.least_yaw_deg_per_s, 0.0..=90.0),
        ];
        for (at, value, range) in ranges.into_iter().filter(|(_, value, range)| !range.contains(value)) {
            findings.push(PlanFinding::config(at, format!("{value} is not between {} and {}", range.start(), range.end())));
        }
        let (Some(columns), Some(rate), true) = (columns, rate, findings.is_empty()) else { return Err(findings) };
        let step = LowerBackEvents {
            columns,
            rule: Rule::new(
                rate.period_ns(),
                self.least_height_m_per_s2,
                self.least_height_share,
                self.shortest_step.nanoseconds(),
                self.least_yaw_deg_per_s.to_radians(),
            ),
            method: Method { name: "lower_back", threshold_n: None, filter: "gaussian 20 ms".to_owned() },
            output: gait_event::schema(),
        };
        Ok(Planned::new(step, gait_event::schema()))
    }
}

#[derive(Debug)]
struct LowerBackEvents {
    columns: ImuColumns,
    rule: Rule,
    method: Method,
    output: StreamSchema,
}

/// What is remembered: the track, and events that earlier ones may still overtake.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    track: Track,
    waiting: Waiting,
}

impl Operator for LowerBackEvents {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let State { track, waiting } = state;
        for sample in (0..inputs[0].num_rows()).filter_map(|row| self.columns.sample(&inputs[0], row)).map(Sample::from) {
            track.step(&self.rule, sample, waiting);
        }
        track.expire(&self.rule, watermark, waiting);
        let promised = track.decided_until(&self.rule, watermark);
        out.push(gait_event::batch(&self.output, &waiting.take_until(promised), &self.method));
        promised
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        state.track.end(&mut state.waiting);
        out.push(gait_event::batch(&self.output, &state.waiting.take_until(TimeNs::MAX), &self.method));
    }
}

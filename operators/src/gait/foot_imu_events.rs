//! When each foot reaches and leaves the ground, from an IMU on each foot.
//!
//! Reads one `imu/…` stream a foot, and leaves out those that the rig puts on other segments; which foot is told by the rig's
//! `side`, by `side` here, or by the sensor's name. Sensors may sit anywhere on the shoe and in any direction: between two times
//! at which the foot is flat (angular rate below `still_deg_per_s` and acceleration near gravity for 80 ms) gravity and the
//! principal axis of the angular rate give the axis about which the foot pitches, and its sense follows from the foot turning
//! toe-down first. Initial contact is the instant at which the toe-up pitch is greatest, which is where the pitch rate changes
//! sign at the swing's end (Sabatini et al. 2005); final contact the instant at which the push-off's pitch rate has fallen to
//! three quarters of its peak, just before the greatest toe-down pitch.
//!
//! These are the kinematic contacts that marker methods give. The acceleration of the impact peaks some 25 ms after the initial
//! contact; where contacts of force plates are due, `initial_contact_shift` moves them. Events come out when the foot is flat
//! again, at most `longest_motion` late. Samples that are missing are bridged by straight lines up to 50 ms; a longer gap cuts
//! the motion short, and the next events come after the foot was flat again. A foot that is still, but tilted by more than 15°
//! from how it last rested, counts as moving for another 160 ms: it is held at the end of a slow swing. Running, where a foot
//! never rests, is not for this operator. Confidence is 0.9 times the share of the rotation that is about the pitch axis, so it
//! falls in turns; half of that where the motion is cut short, and for the initial contact of a foot that doesn't land on its
//! heel. With `stance` there are two more events: `flat_foot`, when the foot has come to rest, and `heel_off`, when it begins to
//! turn again.
//!
//! ```yaml
//! op: foot_imu_events
//! from: imu/*
//! with: { initial_contact_shift: 5 ms, stance: true }
//! input:
//!   imu/foot_left:
//!     sensor: { kind: imu, rate: 200 Hz, segment: foot, side: left, magnetometer: false }
//!     generate:
//!       duration: 4 s
//!       gaps: [[2.4 s, 2.5 s]]
//!       columns:
//!         accel_z_m_per_s2: [{ constant: 9.81 }]
//!         gyro_y_rad_per_s:
//!           - { pulses: { from: 0.5 s, period: 1 s, width: 0.2 s, amplitude: 8 } }
//!           - { pulses: { from: 0.7 s, period: 1 s, width: 0.25 s, amplitude: -9 } }
//!           - { pulses: { from: 0.95 s, period: 1 s, width: 0.1 s, amplitude: 6 } }
//!   imu/foot_right:
//!     sensor: { kind: imu, rate: 200 Hz, segment: foot, magnetometer: false }
//!     generate:
//!       duration: 4 s
//!       columns:
//!         accel_y_m_per_s2: [{ constant: -9.81 }]
//!         gyro_x_rad_per_s:
//!           - { pulses: { from: 0.1 s, period: 1 s, width: 0.2 s, amplitude: -8 } }
//!           - { pulses: { from: 0.3 s, period: 1 s, width: 0.25 s, amplitude: 9 } }
//!           - { pulses: { from: 0.55 s, period: 1 s, width: 0.1 s, amplitude: -6 } }
//! ```
//! ```csv
//! time_ns,event,side,confidence,method,threshold_n,filter
//! 110000000,heel_off,right,0.9,foot_imu,,none
//! 245976184,final_contact,right,0.9,foot_imu,,none
//! 510000000,heel_off,left,0.9,foot_imu,,none
//! 555000000,initial_contact,right,0.9,foot_imu,,none
//! 645976184,final_contact,left,0.9,foot_imu,,none
//! 650000000,flat_foot,right,0.9,foot_imu,,none
//! 955000000,initial_contact,left,0.9,foot_imu,,none
//! 1050000000,flat_foot,left,0.9,foot_imu,,none
//! 1110000000,heel_off,right,0.9,foot_imu,,none
//! …
//! 3555000000,initial_contact,right,0.9,foot_imu,,none
//! 3645976184,final_contact,left,0.45,foot_imu,,none
//! 3650000000,flat_foot,right,0.9,foot_imu,,none
//! 3955000000,initial_contact,left,0.45,foot_imu,,none
//! # 27 rows, every bit hashed: 6393da398e117f4a
//! ```

use std::collections::BTreeMap;

use proprio_core::quantity::{Angle, Duration};
use proprio_core::rig::Side;
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_motion::{Ended, Motion, Rule, Track};
use crate::kernels::foot_pitch::Mounting;
use crate::kernels::foot_sensor::{FootSensor, Resting};
use crate::kernels::gait_event::{self, Foot, GaitEvent, Kind, Method, Waiting};

/// A rest shorter than this is a turning point of the swing.
const REST_NS: i64 = 80_000_000;
/// Confidence when all of the rotation is about the pitch axis.
const CONFIDENCE: f64 = 0.9;

/// Gait events from foot IMUs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The foot that a sensor is on, by the sensor's name: `{ imu_1: left }`. By default the sensor's `side` in the rig, else the
    /// word `left` or `right` in its name.
    side: BTreeMap<String, Side>,
    /// Angular rate below which the foot is flat on the ground, in degrees a second.
    still_deg_per_s: f64,
    /// How far its acceleration may then be from gravity, in m/s²: at the end of a swing a foot may stop turning, but not stop.
    still_m_per_s2: f64,
    /// Least pitch range of a swing; smaller movements give no events.
    least_range: Angle,
    /// Longest time from one rest of the foot to the next; a longer motion gives no events.
    longest_motion: Duration,
    /// Whether `flat_foot` and `heel_off` are given too.
    stance: bool,
    /// Added to every initial contact, such as `25 ms` to take out a bias known from force plates.
    initial_contact_shift: Duration,
    /// Added to every final contact.
    final_contact_shift: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            side: BTreeMap::new(),
            still_deg_per_s: 50.0,
            still_m_per_s2: 3.0,
            least_range: Angle::new(20.0),
            longest_motion: Duration::new(3.0),
            stance: false,
            initial_contact_shift: Duration::new(0.0),
            final_contact_shift: Duration::new(0.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let sensors = FootSensor::all(ports, &self.side, &mut findings);
        if !(5.0..=150.0).contains(&self.still_deg_per_s) {
            findings.push(PlanFinding::config("/still_deg_per_s", "a flat foot turns by less than 5 to 150 degrees a second"));
        }
        if !(0.1..=20.0).contains(&self.still_m_per_s2) {
            findings.push(PlanFinding::config("/still_m_per_s2", "a flat foot's acceleration is within 0.1 to 20 m/s² of gravity"));
        }
        if !(5.0..=90.0).contains(&self.least_range.degrees()) {
            findings.push(PlanFinding::config("/least_range", "the least pitch range of a swing lies between 5 deg and 90 deg"));
        }
        if !(0.5..=10.0).contains(&self.longest_motion.seconds()) {
            findings.push(PlanFinding::config("/longest_motion", "the longest motion lies between 0.5 s and 10 s"));
        }
        for (name, shift) in [("initial", self.initial_contact_shift), ("final", self.final_contact_shift)] {
            if shift.seconds().abs() > 0.2 {
                findings.push(PlanFinding::config(format!("/{name}_contact_shift"), "a shift beyond 200 ms is no bias of a method"));
            }
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let resting = Resting {
            still_deg_per_s: self.still_deg_per_s,
            still_m_per_s2: self.still_m_per_s2,
            rest_ns: REST_NS,
            longest_motion_ns: self.longest_motion.nanoseconds(),
        };
        let step = FootImuEvents {
            feet: resting.rules(sensors),
            least_rad: self.least_range.degrees().to_radians(),
            stance: self.stance,
            shifts_ns: [self.final_contact_shift.nanoseconds(), self.initial_contact_shift.nanoseconds()],
            method: Method { name: "foot_imu", threshold_n: None, filter: "none".to_owned() },
            output: gait_event::schema(),
        };
        Ok(Planned::new(step, gait_event::schema()))
    }
}

#[derive(Debug)]
struct FootImuEvents {
    feet: Vec<(Rule, FootSensor)>,
    least_rad: f64,
    stance: bool,
    /// Added to final and to initial contacts.
    shifts_ns: [i64; 2],
    method: Method,
    output: StreamSchema,
}

/// What is remembered: each foot's motion and mounting, and events that wait for the other foot's.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    feet: Vec<(Track, Mounting)>,
    waiting: Waiting,
}

impl Operator for FootImuEvents {
    type State = State;

    fn start(&self) -> State {
        State { feet: vec![(Track::default(), Mounting::default()); self.feet.len()], waiting: Waiting::default() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let mut decided = watermark;
        for ((rule, sensor), (track, mounting)) in self.feet.iter().zip(&mut state.feet) {
            let batch = &inputs[sensor.port];
            for sample in (0..batch.num_rows()).filter_map(|row| sensor.sample(batch, row)) {
                if let Some(Ended::Motion(motion)) = track.step(rule, sample) {
                    self.contacts(&motion, mounting, sensor.foot, &mut state.waiting);
                }
            }
            if let Some(motion) = track.expire(rule, watermark) {
                self.contacts(&motion, mounting, sensor.foot, &mut state.waiting);
            }
            decided = decided.min(track.decided_until(watermark));
        }
        let promised = decided.saturating_add(self.shifts_ns[0].min(self.shifts_ns[1])).min(watermark);
        out.push(gait_event::batch(&self.output, &state.waiting.take_until(promised), &self.method));
        promised
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        for ((_, sensor), (track, mounting)) in self.feet.iter().zip(&mut state.feet) {
            if let Some(motion) = track.cut() {
                self.contacts(&motion, mounting, sensor.foot, &mut state.waiting);
            }
        }
        out.push(gait_event::batch(&self.output, &state.waiting.take_until(TimeNs::MAX), &self.method));
    }
}

impl FootImuEvents {
    /// The contacts of a motion that is over, or cut short.
    fn contacts(&self, motion: &Motion, mounting: &mut Mounting, foot: Foot, waiting: &mut Waiting) {
        let Some(swing) = mounting.swing(motion, self.least_rad) else { return };
        let confidence = CONFIDENCE * swing.explained * if motion.is_complete() { 1.0 } else { 0.5 };
        let time_ns = swing.final_contact_ns + self.shifts_ns[0];
        waiting.insert(GaitEvent { time_ns, kind: Kind::FinalContact, foot, confidence });
        if let Some(initial_ns) = swing.initial_contact_ns {
            let time_ns = initial_ns + self.shifts_ns[1];
            let confidence = if swing.heel_first { confidence } else { 0.5 * confidence };
            waiting.insert(GaitEvent { time_ns, kind: Kind::InitialContact, foot, confidence });
        }
        if self.stance {
            let time_ns = motion.samples[motion.first].time_ns;
            waiting.insert(GaitEvent { time_ns, kind: Kind::HeelOff, foot, confidence });
            if let Some(rest) = motion.samples.get(motion.end) {
                waiting.insert(GaitEvent { time_ns: rest.time_ns, kind: Kind::FlatFoot, foot, confidence });
            }
        }
    }
}

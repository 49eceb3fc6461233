//! What really happened? Contacts, muscle onsets, pelvic obliquity and its peaks, and the impairments behind them.

use proprio_core::rig::Side;
use proprio_core::{Kind, Rig};

use crate::body::Body;
use crate::calibration::Calibration;
use crate::motion::{Motion, sign};
use crate::muscles::{Muscle, muscles};
use crate::options::{Layout, Options, Placement};
use crate::sensors::placement;
use crate::training::Repetition;

/// Rows a second of the truth's continuous values.
const OBLIQUITY_PER_S: f64 = 50.0;
/// How long before its stride's contact the first event of a stride may lie.
const LEAD_S: f64 = 0.5;

/// One true value at an instant.
///
/// | name | value |
/// |---|---|
/// | `initial_contact_<side>`, `final_contact_<side>` | the contact's number |
/// | `stride_length_<side>_m` | length of the stride that this contact ends, while walking |
/// | `onset_<muscle>_<side>` | onset in ms after its reference: while walking the initial contact for the gluteus medius and TrA/IO |
/// | `pelvis_obliquity_deg` | obliquity, right side up positive, 50 times a second |
/// | `peak_pelvic_drop_<side>_deg` | the greatest drop to the other side while standing on this one alone, at its instant |
/// | `impairment_<name>_<side>_<unit>` | how far each impairment goes, at the start |
/// | `concentric_start`, `hold_start`, `hold_end`, `eccentric_end` | a repetition's number in its set, 0 of half a one; in an exercise |
/// | `static_pose` | seconds of quiet standing that begin here, in a calibration |
/// | `functional_squat`, `functional_toe_raise` | its number, from 1, where it begins |
/// | `placement_<sensor>_<x, y or z>_deg` | rotation vector from an IMU's axes to its segment's, at the start, where there is an error |
/// | `clock_drift_<sensor>_ppm` | how fast each sensor's clock runs, at the start |
/// | `body_weight_n` | weight, at the start |
#[derive(Clone, Debug, PartialEq)]
pub struct TruthEvent {
    /// Seconds since the start, on the rig's clock.
    pub time_s: f64,
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
}

/// The truth in order of time, a stretch at a time.
#[derive(Clone, Debug)]
pub struct Truth {
    is_walking: bool,
    has_strides: bool,
    strides: [i64; 2],
    bursts: Vec<(Muscle, i64)>,
    obliquities: i64,
    pending: Vec<TruthEvent>,
}

impl Truth {
    /// The truth of a simulation of a rig; `drifts` are the sensors' names and clock drifts.
    pub fn new(options: &Options, body: &Body, rig: &Rig, drifts: &[(String, f64)]) -> Self {
        let first_stride = |side| Motion::side_phase(side, body.motion.rhythm.phase(0.0)).floor() as i64 - 1;
        let bursts = muscles(options).into_iter().map(|muscle| (first_burst(&muscle, body), muscle)).map(|(index, muscle)| (muscle, index));
        let mut pending = Vec::new();
        let mut at_start = |name: String, value: f64| pending.push(TruthEvent { time_s: 0.0, name, value });
        for side in [Side::Left, Side::Right] {
            let (impairments, name) = (&options.impairments, side.name());
            at_start(format!("impairment_gluteus_medius_delay_{name}_ms"), impairments.gluteus_medius_delay_ms.of(side));
            at_start(format!("impairment_pelvic_drop_{name}_deg"), impairments.pelvic_drop_deg.of(side));
            at_start(format!("impairment_weak_hold_{name}_share"), impairments.weak_hold.of(side));
            if options.layout == Layout::HipThrust {
                at_start(format!("impairment_gluteus_maximus_delay_{name}_ms"), impairments.gluteus_maximus_delay_ms.of(side));
            }
        }
        if options.layout == Layout::HipThrust {
            at_start("impairment_lumbar_extension_deg".to_owned(), options.impairments.lumbar_extension_deg);
        }
        for (sensor, ppm) in drifts {
            at_start(format!("clock_drift_{sensor}_ppm"), *ppm);
        }
        at_start("body_weight_n".to_owned(), body.weight_n);
        if options.placement != Placement::Aligned {
            for sensor in rig.sensors.iter().filter(|sensor| sensor.kind == Kind::Imu) {
                let turn = placement(&sensor.name, options).scaled_axis();
                for (axis, radians) in ["x", "y", "z"].into_iter().zip(turn.iter()) {
                    at_start(format!("placement_{}_{axis}_deg", sensor.name), radians.to_degrees());
                }
            }
        }
        pending.extend(options.calibration.iter().flat_map(Calibration::truth));
        pending.extend(repetitions(body));
        Self {
            is_walking: options.layout.is_walking(),
            has_strides: body.motion.training.is_none(),
            strides: [first_stride(Side::Left), first_stride(Side::Right)],
            bursts: bursts.collect(),
            obliquities: 0,
            pending,
        }
    }

    /// All that happens before `end_s` and has not been told yet, in order of time and name.
    pub fn until(&mut self, body: &Body, end_s: f64) -> Vec<TruthEvent> {
        let has_strides = self.has_strides;
        for (index, side) in [Side::Left, Side::Right].into_iter().enumerate().filter(|_| has_strides) {
            while body.motion.initial_contact_s(side, self.strides[index]) < end_s + LEAD_S {
                self.stride(body, side, self.strides[index]);
                self.strides[index] += 1;
            }
        }
        self.add_onsets(body, end_s);
        while self.obliquities as f64 / OBLIQUITY_PER_S < end_s {
            let time_s = self.obliquities as f64 / OBLIQUITY_PER_S;
            self.add(time_s, "pelvis_obliquity_deg".to_owned(), body.pelvis_obliquity_deg(time_s));
            self.obliquities += 1;
        }
        self.pending.sort_by(|a, b| a.time_s.total_cmp(&b.time_s).then_with(|| a.name.cmp(&b.name)));
        let rest = self.pending.split_off(self.pending.partition_point(|event| event.time_s < end_s));
        std::mem::replace(&mut self.pending, rest)
    }

    fn add_onsets(&mut self, body: &Body, end_s: f64) {
        for (muscle, index) in &mut self.bursts {
            loop {
                let burst = muscle.burst(body, *index);
                if burst.onset_s >= end_s {
                    break;
                }
                *index += 1;
                if burst.onset_s >= 0.0 {
                    let (time_s, name) = (burst.onset_s, format!("onset_{}", muscle.name));
                    self.pending.push(TruthEvent { time_s, name, value: burst.after_reference_ms });
                }
            }
        }
    }

    fn stride(&mut self, body: &Body, side: Side, n: i64) {
        let name = side.name();
        self.add(body.motion.initial_contact_s(side, n), format!("initial_contact_{name}"), n as f64);
        self.add(body.motion.final_contact_s(side, n), format!("final_contact_{name}"), n as f64);
        if self.is_walking {
            let length = body.motion.footprint_m(side, n as f64) - body.motion.footprint_m(side, n as f64 - 1.0);
            self.add(body.motion.initial_contact_s(side, n), format!("stride_length_{name}_m"), length);
        }
        let (time_s, drop_deg) = peak_drop(body, side, n);
        self.add(time_s, format!("peak_pelvic_drop_{name}_deg"), drop_deg);
    }

    fn add(&mut self, time_s: f64, name: String, value: f64) {
        if time_s >= 0.0 {
            self.pending.push(TruthEvent { time_s, name, value });
        }
    }
}

fn first_burst(muscle: &Muscle, body: &Body) -> i64 {
    muscle.first_burst(body)
}

/// Where each phase of each repetition begins.
fn repetitions(body: &Body) -> Vec<TruthEvent> {
    let of = |done: &Repetition| {
        let value = done.number.map_or(0.0, f64::from);
        let events =
            [("concentric_start", done.start_s), ("hold_start", done.top_s), ("hold_end", done.lower_s), ("eccentric_end", done.end_s)];
        events.map(|(name, at_s)| TruthEvent { time_s: body.motion.rhythm.time_at(at_s), name: name.to_owned(), value })
    };
    body.motion.training.iter().flat_map(|training| training.schedule.iter().flat_map(of)).collect()
}

/// When the pelvis drops furthest to the other side in the single-leg stance of contact `n`, and how far, in degrees.
fn peak_drop(body: &Body, side: Side, n: i64) -> (f64, f64) {
    const STEPS: i32 = 240;
    let (from, to) = (body.motion.stance - 0.5, 0.5);
    let width = (to - from) / f64::from(STEPS);
    let phase = |k: f64| Motion::phase_of(side, n as f64 + from + width * k);
    let drop = |k: i32| sign(side) * body.motion.pelvis_angles(phase(f64::from(k))).obliquity;
    let (mut best, mut peak) = (0, f64::NEG_INFINITY);
    for k in 0..=STEPS {
        let value = drop(k);
        if value > peak {
            (best, peak) = (k, value);
        }
    }
    let mut at = f64::from(best);
    if (1..STEPS).contains(&best) {
        // The vertex of the parabola through the highest point and its neighbours.
        let (before, after) = (drop(best - 1), drop(best + 1));
        let bend = before - 2.0 * peak + after;
        if bend < 0.0 {
            at += 0.5 * (before - after) / bend;
            peak -= 0.125 * (before - after) * (before - after) / bend;
        }
    }
    (body.motion.rhythm.time_at(phase(at)), peak.to_degrees())
}

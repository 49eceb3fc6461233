//! How does a foot pitch from one rest to the next, and when does that say that it left and reached the ground?
//!
//! Between two rests on the floor a walking foot turns toe-down until it leaves the ground, swings back to toe-up, reaches the
//! ground and turns down flat. The axis of that turning is found from the angular rate itself, whichever way the sensor is
//! mounted: it is level at rest, and most of the turning is about it. Its sense follows from the order, since the first and the
//! larger angle is the toe-down one.

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

use super::foot_motion::{Motion, Vector, cross, dot, norm, unit};

/// How much of what is known of the axis a stride leaves to the next one.
const MEMORY: f64 = 0.5;
/// The final contact lies where the toe-down rate has fallen to this share of its peak: the push-off is over, and the foot is swung.
const FALLEN_TO: f64 = 0.75;
/// A foot that is toe-up by less than this when it reaches the ground lands flat or on its toes.
const TOE_UP_RAD: f64 = 0.05;
/// The peak of the toe-down rate lies at most this long before the greatest toe-down angle.
const PUSH_OFF_NS: i64 = 150_000_000;

/// What is remembered of a sensor's mounting: decayed sums over strides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mounting {
    /// Second moments of the level part of the angular rate: xx, yy, zz, xy, xz, yz.
    moments: [f64; 6],
    /// Axes of toe-down turning, by how much the toe-down angle exceeded the other.
    votes: Vector,
}

/// A motion in which the foot pitched as a walking foot does.
#[derive(Clone, Debug, PartialEq)]
pub struct Swing {
    /// When the foot left the ground.
    pub final_contact_ns: TimeNs,
    /// When it reached the ground again; none where the motion was cut short before.
    pub initial_contact_ns: Option<TimeNs>,
    /// Index in the motion's samples of the greatest toe-down angle.
    pub toe_down: usize,
    /// Index of the greatest toe-up angle after it.
    pub toe_up: usize,
    /// Toe-down axis in the sensor's frame, level at rest, to the subject's left.
    pub axis: Vector,
    /// Angle between the two, in radians.
    pub range_rad: f64,
    /// Whether the foot was toe-up when it reached the ground; else it is the end of the turning that is taken for the contact.
    pub heel_first: bool,
    /// Share of the squared angular rate that is about the axis.
    pub explained: f64,
}

impl Mounting {
    /// Learns from a motion and finds its swing; `None` when it turned by less than `least_rad`.
    pub fn swing(&mut self, motion: &Motion, least_rad: f64) -> Option<Swing> {
        let up = unit(motion.accel_before())?;
        let moved = &motion.samples[motion.first..motion.end];
        let mut total = 0.0;
        let mut moments = [0.0; 6];
        for sample in moved {
            let rate = sample.gyro_rad_per_s;
            total += dot(rate, rate);
            let upward = dot(rate, up);
            let [x, y, z] = std::array::from_fn(|axis| rate[axis] - upward * up[axis]);
            [x * x, y * y, z * z, x * y, x * z, y * z].iter().zip(&mut moments).for_each(|(new, sum)| *sum += new);
        }
        let moments = std::array::from_fn(|part| MEMORY * self.moments[part] + moments[part]);
        let axis = level_axis(&moments, up)?;
        let angles = Angles::about(motion, axis);
        let (mut least, mut greatest) = (0.0_f64, 0.0_f64);
        angles.angle_rad.iter().for_each(|angle| (least, greatest) = (least.min(*angle), greatest.max(*angle)));
        if greatest - least < least_rad {
            return None;
        }
        let vote = greatest + least;
        let votes: Vector = std::array::from_fn(|part| MEMORY * self.votes[part] + vote * axis[part]);
        *self = Self { moments, votes };
        let sign = if dot(votes, axis) < 0.0 { -1.0 } else { 1.0 };
        let axis = axis.map(|part| sign * part);
        let explained = moved.iter().map(|sample| dot(sample.gyro_rad_per_s, axis)).map(|rate| rate * rate).sum::<f64>() / total;
        Swing::find(motion, &angles.signed(sign), axis, explained, least_rad)
    }
}

impl Swing {
    fn find(motion: &Motion, angles: &Angles, axis: Vector, explained: f64, least_rad: f64) -> Option<Self> {
        let Angles { rate_rad_per_s, angle_rad } = angles;
        let toe_down = extreme(angle_rad, 0, |a, b| a > b);
        let toe_up = extreme(angle_rad, toe_down, |a, b| a < b);
        let range_rad = angle_rad[toe_down] - angle_rad[toe_up];
        // Cut short, the swing may not have turned back yet; the foot has left the ground all the same.
        let has_turned = toe_up + 1 < angle_rad.len();
        if range_rad < least_rad || angle_rad[toe_down] <= 0.0 || (motion.is_complete() && !has_turned) {
            return None;
        }
        Some(Self {
            final_contact_ns: fallen(motion, rate_rad_per_s, toe_down),
            initial_contact_ns: has_turned.then(|| crossing(motion, rate_rad_per_s, toe_up, 0.0)),
            toe_down,
            toe_up,
            axis,
            range_rad,
            heel_first: angle_rad[toe_up] < -TOE_UP_RAD,
            explained,
        })
    }
}

/// Rate and angle about an axis, for every sample of a motion; the angle is zero when the motion begins, and stays as it is in
/// the rests.
struct Angles {
    rate_rad_per_s: Vec<f64>,
    angle_rad: Vec<f64>,
}

impl Angles {
    fn about(motion: &Motion, axis: Vector) -> Self {
        let rate_rad_per_s: Vec<f64> = motion.samples.iter().map(|sample| dot(sample.gyro_rad_per_s, axis)).collect();
        let mut angle_rad = vec![0.0; rate_rad_per_s.len()];
        for row in motion.first.max(1)..angle_rad.len() {
            let seconds = (motion.samples[row].time_ns - motion.samples[row - 1].time_ns) as f64 * 1e-9;
            let turned = 0.5 * (rate_rad_per_s[row] + rate_rad_per_s[row - 1]) * seconds;
            angle_rad[row] = angle_rad[row - 1] + if row <= motion.end { turned } else { 0.0 };
        }
        Self { rate_rad_per_s, angle_rad }
    }

    fn signed(self, sign: f64) -> Self {
        let Self { mut rate_rad_per_s, mut angle_rad } = self;
        rate_rad_per_s.iter_mut().chain(&mut angle_rad).for_each(|value| *value *= sign);
        Self { rate_rad_per_s, angle_rad }
    }
}

/// The principal direction of second moments in the plane that is level at rest.
fn level_axis(moments: &[f64; 6], up: Vector) -> Option<Vector> {
    let least = (0..3).fold(0, |best, axis| if up[axis].abs() < up[best].abs() { axis } else { best });
    let u = unit(cross(up, std::array::from_fn(|axis| if axis == least { 1.0 } else { 0.0 })))?;
    let v = cross(up, u);
    let [xx, yy, zz, xy, xz, yz] = *moments;
    let times = |w: Vector| [dot([xx, xy, xz], w), dot([xy, yy, yz], w), dot([xz, yz, zz], w)];
    let (uu, vv, uv) = (dot(u, times(u)), dot(v, times(v)), dot(u, times(v)));
    let angle = 0.5 * libm::atan2(2.0 * uv, uu - vv);
    let (sine, cosine) = (libm::sin(angle), libm::cos(angle));
    unit(std::array::from_fn(|axis| cosine * u[axis] + sine * v[axis])).filter(|axis| norm(*axis).is_finite())
}

/// The first index from `from` on whose value nothing after it beats.
fn extreme(values: &[f64], from: usize, beats: impl Fn(f64, f64) -> bool) -> usize {
    (from..values.len()).fold(from, |best, index| if beats(values[index], values[best]) { index } else { best })
}

/// When the toe-down rate, after its last peak before the greatest toe-down angle, has fallen to the share that ends the push-off.
fn fallen(motion: &Motion, rate: &[f64], toe_down: usize) -> TimeNs {
    let earliest_ns = motion.samples[toe_down].time_ns - PUSH_OFF_NS;
    let from = motion.samples.partition_point(|sample| sample.time_ns < earliest_ns).min(toe_down);
    let peak = rate[from..=toe_down].iter().copied().fold(0.0, f64::max);
    let level = FALLEN_TO * peak;
    let last = (from..=toe_down).rev().find(|row| rate[*row] >= level).unwrap_or(toe_down);
    crossing(motion, rate, last, level)
}

/// When the rate crosses a level between this sample and the next.
fn crossing(motion: &Motion, rate: &[f64], row: usize, level: f64) -> TimeNs {
    let time_ns = motion.samples[row].time_ns;
    let Some(next) = rate.get(row + 1) else { return time_ns };
    let share = (rate[row] - level) / (rate[row] - next);
    if !(0.0..=1.0).contains(&share) {
        return time_ns;
    }
    time_ns + (share * (motion.samples[row + 1].time_ns - time_ns) as f64).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::foot_motion::{GRAVITY_M_PER_S2, Sample};
    use crate::kernels::quaternion::{Quaternion, normalized, rotate};

    /// A foot whose toe-down angle is a sine's positive half of 60° in 0.4 s, then half of −25° in 0.3 s, measured by a
    /// sensor that is turned by `mounting`; a rest of 0.1 s before and after, at 200 Hz.
    fn motion(mounting: Quaternion, yaw_rad_per_s: f64) -> Motion {
        let rate = |t: f64| {
            let half = |from: f64, length: f64, degrees: f64| {
                let u = (t - from) / length;
                let turn = std::f64::consts::PI;
                if (0.0..1.0).contains(&u) { degrees.to_radians() * turn / length * libm::cos(turn * u) } else { 0.0 }
            };
            half(0.1, 0.4, 60.0) + half(0.5, 0.3, -25.0)
        };
        let sample = |k: i64| Sample {
            time_ns: k * 5_000_000,
            accel_m_per_s2: rotate(mounting, [0.0, 0.0, GRAVITY_M_PER_S2]),
            gyro_rad_per_s: rotate(mounting, [0.0, rate(k as f64 * 0.005), if (20..160).contains(&k) { yaw_rad_per_s } else { 0.0 }]),
        };
        Motion { samples: (0..180).map(sample).collect(), first: 20, end: 160, rested_since_ns: 0 }
    }

    #[test]
    fn contacts_are_found_whichever_way_the_sensor_is_mounted() {
        for mounting in [[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, -0.5, 0.5], [0.1, 0.9, -0.2, 0.3], [0.0, 0.0, 0.0, 1.0]].map(normalized) {
            let mut learnt = Mounting::default();
            let swing = learnt.swing(&motion(mounting, 1.0), 0.3).expect("a swing");
            let expected = rotate(mounting, [0.0, 1.0, 0.0]);
            assert!(dot(swing.axis, expected) > 0.999, "{:?} is not {expected:?}", swing.axis);
            // Toe-down peaks at 0.3 s, and its rate has changed sign there; toe-up peaks at 0.65 s.
            assert!((swing.range_rad - 85_f64.to_radians()).abs() < 0.03, "{}", swing.range_rad.to_degrees());
            let initial_ns = swing.initial_contact_ns.expect("it turned back");
            assert!((initial_ns - 650_000_000).abs() < 6_000_000, "{initial_ns}");
            // Within the push-off window the rate is greatest at its start, 0.15 s, and three quarters of that last until 0.2 s or so.
            assert!((150_000_000..230_000_000).contains(&swing.final_contact_ns), "{}", swing.final_contact_ns);
            assert!((0.8..0.99).contains(&swing.explained), "{}", swing.explained);
        }
    }

    #[test]
    fn a_swing_that_is_cut_short_has_left_the_ground_only() {
        let mut cut = motion([1.0, 0.0, 0.0, 0.0], 0.0);
        cut.samples.truncate(100);
        cut.end = 100;
        let swing = Mounting::default().swing(&cut, 0.3).expect("a swing");
        assert_eq!(swing.initial_contact_ns, None);
    }

    #[test]
    fn a_foot_that_hardly_turns_does_not_walk() {
        assert_eq!(Mounting::default().swing(&motion([1.0, 0.0, 0.0, 0.0], 0.0), 2.0), None);
    }
}

//! What does an IMU measure? Rate of turn, specific force and magnetic field in its own axes, which may be askew on its segment.

use nalgebra::{Matrix3, Quaternion, Rotation3, UnitQuaternion, Vector3};

use super::GRAVITY_M_PER_S2;
use crate::body::{Body, Segment};
use crate::options::{Options, Placement};
use crate::random::Random;

/// Half of the span over which the movement is differentiated: errors of 1e-3 rad/s and 1e-5 m/s² at most in walking.
const HALF_SPAN_S: f64 = 4e-4;
/// Earth's field in microtesla in Central Europe, towards magnetic north, which is the lab's north: 49 µT, dip 66°.
const FIELD_UT: [f64; 3] = [0.0, 19.93, -44.76];
const GYRO_NOISE_RAD_PER_S: f64 = 0.003;
const GYRO_BIAS_RAD_PER_S: f64 = 0.004;
const ACCEL_NOISE_M_PER_S2: f64 = 0.03;
const ACCEL_BIAS_M_PER_S2: f64 = 0.03;
const MAG_NOISE_UT: f64 = 0.3;

/// One IMU.
#[derive(Clone, Debug)]
pub struct Imu {
    segment: Segment,
    place_m: [f64; 3],
    sensor_from_segment: Matrix3<f64>,
    random: Random,
    noise: f64,
    bias: [f64; 6],
}

impl Imu {
    /// An IMU at `place_m` on `segment`, turned as [`placement`] says; `noise` is a factor on noise and bias.
    pub fn new(segment: Segment, place_m: [f64; 3], segment_from_sensor: Rotation3<f64>, noise: f64, mut random: Random) -> Self {
        let mut bias = [0.0; 6];
        for (i, value) in bias.iter_mut().enumerate() {
            *value = noise * random.signed() * if i < 3 { GYRO_BIAS_RAD_PER_S } else { ACCEL_BIAS_M_PER_S2 };
        }
        Self { segment, place_m, sensor_from_segment: segment_from_sensor.matrix().transpose(), random, noise, bias }
    }

    /// Gyroscope (rad/s), accelerometer (m/s²) and magnetometer (µT), x, y, z each: one column of samples a channel.
    pub fn measure(&mut self, body: &Body, times_s: &[f64]) -> Vec<Vec<f64>> {
        let mut columns = super::columns(9, times_s.len());
        for &time_s in times_s {
            let measured = ideal(body, self.segment, self.place_m, time_s);
            let [gyro, accel, mag] = measured.map(|vector| self.sensor_from_segment * vector);
            for (i, column) in columns.iter_mut().enumerate() {
                let (value, noise) = match i {
                    0..3 => (gyro[i] + self.bias[i], GYRO_NOISE_RAD_PER_S),
                    3..6 => (accel[i - 3] + self.bias[i], ACCEL_NOISE_M_PER_S2),
                    _ => (mag[i - 6], MAG_NOISE_UT),
                };
                column.push(value + noise * self.noise * self.random.normal());
            }
        }
        columns
    }
}

/// How the IMU of that name sits on its segment, of one subject.
pub fn placement(sensor: &str, options: &Options) -> Rotation3<f64> {
    let mut random = Random::new(options.seed, &format!("placement {sensor}"));
    match options.placement {
        Placement::Aligned => Rotation3::identity(),
        Placement::Error { sd_deg } => Rotation3::new(Vector3::from([(); 3].map(|()| (sd_deg * random.normal()).to_radians()))),
        // Normal in all four parts, a quaternion has any direction alike.
        Placement::Anyhow => {
            let [w, x, y, z] = [(); 4].map(|()| random.normal());
            UnitQuaternion::from_quaternion(Quaternion::new(w, x, y, z)).to_rotation_matrix()
        }
    }
}

/// What an ideal IMU measures at an instant in its segment's axes: rate of turn, specific force, field.
fn ideal(body: &Body, segment: Segment, place_m: [f64; 3], time_s: f64) -> [Vector3<f64>; 3] {
    let [before, now, after] = [-HALF_SPAN_S, 0.0, HALF_SPAN_S].map(|offset| body.pose(segment, time_s + offset));
    // The turn from before to after is small: its skew part is its rotation vector.
    let turn: Matrix3<f64> = before.lab_from_segment.transpose() * after.lab_from_segment;
    let skew = Vector3::new(turn[(2, 1)] - turn[(1, 2)], turn[(0, 2)] - turn[(2, 0)], turn[(1, 0)] - turn[(0, 1)]);
    let gyro = skew / (4.0 * HALF_SPAN_S);
    let [p0, p1, p2] = [before, now, after].map(|pose| pose.point_m(place_m));
    let acceleration = (p2 - p1 - (p1 - p0)) / (HALF_SPAN_S * HALF_SPAN_S);
    let sensor_from_lab = now.lab_from_segment.transpose();
    let accel = sensor_from_lab * (acceleration + Vector3::new(0.0, 0.0, GRAVITY_M_PER_S2));
    [gyro, accel, sensor_from_lab * Vector3::from(FIELD_UT)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Calibration;
    use crate::layout::IMUS;
    use crate::options::{Layout, Options};

    #[test]
    fn integrated_rates_of_turn_give_the_orientation_again() {
        const STEP_S: f64 = 0.001;
        let calibrating =
            Options { calibration: Some(Calibration { twist: 0.2, aside: 0.2, ..Calibration::default() }), ..Options::default() };
        // A walk; squats; the raising of the toes and the first steps.
        for (options, from_s) in [(Options::default(), 1.0), (calibrating.clone(), 3.0), (calibrating, 18.0)] {
            let body = Body::new(&options);
            for (name, _, segment, place) in IMUS {
                let mut orientation = Rotation3::from_matrix_unchecked(body.pose(segment, from_s).lab_from_segment);
                for k in 0..12_000 {
                    let middle_s = from_s + (f64::from(k) + 0.5) * STEP_S;
                    orientation *= Rotation3::new(ideal(&body, segment, place, middle_s)[0] * STEP_S);
                }
                // The Frobenius norm of a difference of rotations is √8 · sin(angle / 2).
                let difference = orientation.matrix() - body.pose(segment, from_s + 12.0).lab_from_segment;
                let error_deg = (2.0 * libm::asin(difference.norm() / 8.0_f64.sqrt())).to_degrees();
                assert!(error_deg < 0.1, "{name} from {from_s} s: {error_deg}°");
            }
        }
    }

    #[test]
    fn integrated_specific_force_gives_the_position_again() {
        const STEP_S: f64 = 0.0005;
        let body = Body::new(&Options::default());
        for (name, _, segment, place) in IMUS {
            let point = |time_s: f64| body.pose(segment, time_s).point_m(place);
            let mut velocity = (point(1.0 + 1e-5) - point(1.0 - 1e-5)) / 2e-5;
            let mut position = point(1.0);
            for k in 0..4000 {
                let middle_s = 1.0 + (f64::from(k) + 0.5) * STEP_S;
                let accel = ideal(&body, segment, place, middle_s)[1];
                let lab = body.pose(segment, middle_s).lab_from_segment * accel - Vector3::new(0.0, 0.0, GRAVITY_M_PER_S2);
                position += velocity * STEP_S + lab * (STEP_S * STEP_S / 2.0);
                velocity += lab * STEP_S;
            }
            let error_m = (position - point(3.0)).norm();
            assert!(error_m < 2e-3, "{name}: {error_m} m");
        }
    }

    #[test]
    fn a_foot_at_rest_feels_gravity_and_the_field() {
        let options = Options { layout: Layout::Standing, ..Options::default() };
        let body = Body::new(&options);
        // The left foot stands from its contact at phase 1 on, 0.3 of a cycle long at least.
        let at_s = body.motion.initial_contact_s(proprio_core::rig::Side::Left, 1) + 4.0;
        let [gyro, accel, mag] = ideal(&body, Segment::Foot(proprio_core::rig::Side::Left), [0.08, -0.02, 0.0], at_s);
        assert!(gyro.norm() < 1e-9, "{gyro}");
        assert!((accel - Vector3::new(0.0, GRAVITY_M_PER_S2, 0.0)).norm() < 1e-4, "{accel}");
        assert!((mag.norm() - 49.0).abs() < 0.01 && (mag.y + 44.76).abs() < 1e-9, "{mag}");
    }
}

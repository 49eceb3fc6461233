//! The memory of the VQF filter as plain data, so that a snapshot of it is complete: every field of `vqf_rs::State` is
//! named here, and a new one in a later version of the crate doesn't compile until it is.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vqf_rs::{Matrix, Params, Quaternion, State, VQF};

/// All that a filter remembers between samples. Floats keep every bit, NaN included: the filters mark their start with it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Memory(#[serde(with = "StateFields")] State);

impl Memory {
    /// A filter that has seen nothing.
    pub fn new(period_s: f64, params: Params) -> Self {
        Self(*VQF::new(period_s, None, None, Some(params)).state())
    }

    /// A filter that goes on from here.
    pub fn resume(&self, period_s: f64, params: Params) -> VQF {
        let mut filter = VQF::new(period_s, None, None, Some(params));
        *filter.state_mut() = self.0;
        filter
    }

    /// Where a filter stands now.
    pub fn of(filter: &VQF) -> Self {
        Self(*filter.state())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "State")]
struct StateFields {
    #[serde(with = "QuaternionFields")]
    gyr_quat: Quaternion,
    #[serde(with = "QuaternionFields")]
    acc_quat: Quaternion,
    delta: f64,
    rest_detected: bool,
    mag_dist_detected: bool,
    last_acc_lp: [f64; 3],
    acc_lp_state: [[f64; 2]; 3],
    last_acc_corr_angular_rate: f64,
    k_mag_init: f64,
    last_mag_dis_angle: f64,
    last_mag_corr_angular_rate: f64,
    bias: [f64; 3],
    #[serde(serialize_with = "write_matrix", deserialize_with = "read_matrix")]
    bias_p: Matrix<3, 3>,
    motion_bias_est_rlp_state: [[f64; 2]; 9],
    motion_bias_est_bias_lp_state: [[f64; 2]; 2],
    rest_last_squared_deviations: [f64; 2],
    rest_t: f64,
    rest_last_gyr_lp: [f64; 3],
    rest_gyr_lp_state: [[f64; 2]; 3],
    rest_last_acc_lp: [f64; 3],
    rest_acc_lp_state: [[f64; 2]; 3],
    mag_ref_norm: f64,
    mag_ref_dip: f64,
    mag_undisturbed_t: f64,
    mag_reject_t: f64,
    mag_candidate_norm: f64,
    mag_candidate_dip: f64,
    mag_candidate_t: f64,
    mag_norm_dip: [f64; 2],
    mag_norm_dip_lp_state: [[f64; 2]; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Quaternion")]
struct QuaternionFields(f64, f64, f64, f64);

fn write_matrix<S: Serializer>(matrix: &Matrix<3, 3>, serializer: S) -> Result<S::Ok, S::Error> {
    matrix.0.serialize(serializer)
}

fn read_matrix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Matrix<3, 3>, D::Error> {
    <[[f64; 3]; 3]>::deserialize(deserializer).map(Matrix)
}

//! What does a force plate measure? The ground reaction under its foot, with noise.

use proprio_core::rig::Side;

use crate::body::Body;
use crate::force::{Ground, LOADED_N};
use crate::random::Random;

/// Standard deviation of each force component; never more than 1.8 N off, so that a swing stays below 2 N.
const FORCE_NOISE_N: f64 = 0.5;
const MOMENT_NOISE_N_M: f64 = 0.05;
/// Moments behind a centre of pressure are off by so much, so that its error shrinks with load.
const COP_NOISE_N_M: f64 = 0.3;

/// One plate, which one foot steps on.
#[derive(Clone, Debug)]
pub struct Plate {
    side: Side,
    ground: Ground,
    random: Random,
    noise: f64,
}

impl Plate {
    /// The plate under one foot; `noise` is a factor on noise.
    pub fn new(side: Side, ground: Ground, noise: f64, random: Random) -> Self {
        Self { side, ground, random, noise }
    }

    /// Force (N), free moment (N·m) and centre of pressure (m, NaN without load): one column of samples a channel.
    pub fn measure(&mut self, body: &Body, times_s: &[f64]) -> Vec<Vec<f64>> {
        let mut columns = super::columns(6, times_s.len());
        for &time_s in times_s {
            let true_reaction = self.ground.reaction(body, self.side, &body.moment(time_s));
            let mut noise = |deviation: f64| deviation * self.noise * self.random.normal();
            let force = true_reaction.force_n.map(|value| value + noise(FORCE_NOISE_N));
            let free_moment = true_reaction.free_moment_n_m + noise(MOMENT_NOISE_N_M);
            let loaded = force[2] >= LOADED_N;
            let cop = true_reaction.cop_m.map(|value| if loaded { value + noise(COP_NOISE_N_M) / force[2] } else { f64::NAN });
            let values = [force[0], force[1], force[2], free_moment, cop[0], cop[1]];
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        columns
    }
}

//! How long does a packet take from its sensor to the rig?

use crate::options::{Faults, Way};
use crate::random::Random;

/// A Bluetooth packet is no quicker, in seconds.
const FLOOR_S: f64 = 0.012;
/// A packet waits for the next connection event, up to this.
const CONNECTION_INTERVAL_S: f64 = 0.0075;
/// What the radios and their drivers take on average beside.
const RADIO_S: f64 = 0.003;
/// A packet is the first of a burst of retransmissions with this probability …
const BURST: f64 = 0.02;
/// … which lasts from 0.1 s to 1.5 s and adds 10 ms to 60 ms to each of its packets.
const BURST_LASTS_S: (f64, f64) = (0.1, 1.5);
const AGAIN_S: (f64, f64) = (0.010, 0.060);

/// The way of one sensor's packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Travel {
    burst_until_s: f64,
}

impl Travel {
    /// Seconds that a packet takes that is sent at `sent_s`.
    pub(crate) fn delay_s(&mut self, sent_s: f64, faults: &Faults, chance: &mut Random) -> f64 {
        match faults.way {
            Way::Wired => chance.normal().abs() * faults.jitter_ms / 1000.0,
            Way::Bluetooth => {
                if sent_s >= self.burst_until_s && chance.chance(BURST) {
                    self.burst_until_s = sent_s + between(BURST_LASTS_S, chance);
                }
                let again_s = if sent_s < self.burst_until_s { between(AGAIN_S, chance) } else { 0.0 };
                let radio_s = -RADIO_S * libm::log(1.0 - chance.uniform());
                FLOOR_S + CONNECTION_INTERVAL_S * chance.uniform() + radio_s + again_s
            }
        }
    }
}

fn between((from, to): (f64, f64), chance: &mut Random) -> f64 {
    from + (to - from) * chance.uniform()
}

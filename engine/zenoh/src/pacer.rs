//! How a recording is played at its own speed, faster, or as fast as it goes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use proprio_core::time::TimeNs;
use tokio::time::{Instant, sleep_until};

/// How fast event time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// This many times real time; finite and above zero.
    Factor(f64),
    /// Without waiting.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(factor) if (1e-3..=1e6).contains(&factor) => Ok(Self::Factor(factor)),
            _ => Err(format!("`{text}` is no speed: expected `max` or a factor from 0.001 to 1000000, such as `1` or `10`")),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factor(factor) => write!(f, "{factor}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// Waits for the moment at which an event time is due.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    speed: Speed,
    start: Option<(Instant, TimeNs)>,
}

impl Pacer {
    /// A pacer that starts with the first event time it is asked to wait for.
    pub fn new(speed: Speed) -> Self {
        Self { speed, start: None }
    }

    /// Returns when `time_ns` is due: at once for the first one, for those behind it, and at [`Speed::Max`].
    pub async fn wait_until(&mut self, time_ns: TimeNs) {
        let Speed::Factor(factor) = self.speed else { return };
        let (start, first_ns) = *self.start.get_or_insert_with(|| (Instant::now(), time_ns));
        let seconds = time_ns.saturating_sub(first_ns) as f64 / 1e9 / factor;
        if let Ok(after) = Duration::try_from_secs_f64(seconds) {
            sleep_until(start + after).await;
        }
    }
}

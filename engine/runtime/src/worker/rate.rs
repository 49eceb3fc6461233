//! Does a sensor sample as fast as it says? Its own count over event time, in windows of 10 s.

use proprio_core::quantity::Share;
use proprio_core::time::SECOND_NS;
use proprio_core::{Rate, TimeNs};
use serde::{Deserialize, Serialize};

/// Event time over which a rate is measured.
const WINDOW_NS: i64 = 10 * SECOND_NS;
/// Digits of a rate that people read.
const DIGITS: usize = 4;

/// The window under way, and what the last one gave.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct RateWatch {
    /// Sequence and event time of the window's first sample.
    begun: Option<(i64, TimeNs)>,
    measured_hz: Option<f64>,
    is_off: bool,
}

impl RateWatch {
    /// The counting was interrupted: a window over that would measure the pause.
    pub(super) fn interrupt(&mut self) {
        self.begun = None;
    }

    /// Samples a second as last measured.
    pub(super) fn measured_hz(&self) -> Option<f64> {
        self.measured_hz
    }

    /// Takes the newest sample of a message. Tells when the rate leaves the tolerance and when it is back in it, as the event's
    /// name with what it says.
    pub(super) fn observe(&mut self, sequence: i64, time_ns: TimeNs, declared: Rate, tolerance: Share) -> Option<(&'static str, String)> {
        let (first, begun_ns) = *self.begun.get_or_insert((sequence, time_ns));
        let lasted_ns = time_ns - begun_ns;
        if sequence < first || lasted_ns < 0 {
            self.begun = Some((sequence, time_ns));
            return None;
        }
        if lasted_ns < WINDOW_NS {
            return None;
        }
        self.begun = Some((sequence, time_ns));
        let measured_hz = (sequence - first) as f64 / (lasted_ns as f64 / SECOND_NS as f64);
        self.measured_hz = Some(measured_hz);
        let is_off = (measured_hz / declared.hertz() - 1.0).abs() * 100.0 > tolerance.percent();
        if std::mem::replace(&mut self.is_off, is_off) == is_off {
            return None;
        }
        let measured = significant(measured_hz);
        Some(if is_off { ("rate_off", format!("{measured} Hz instead of {declared}")) } else { ("rate_ok", format!("{measured} Hz")) })
    }
}

/// A positive number in four digits, without trailing zeros.
fn significant(value: f64) -> String {
    let whole = format!("{value:.0}").len();
    let text = format!("{value:.*}", DIGITS.saturating_sub(whole));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_for_people() {
        let texts = [98.2, 100.0, 1999.6, 2148.148, 0.5, 33.333_333].map(significant);
        assert_eq!(texts, ["98.2", "100", "2000", "2148", "0.5", "33.33"]);
    }
}

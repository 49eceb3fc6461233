//! When does a signal cross a threshold to stay? Interpolated between two samples, confirmed by persistence.

use arrow_schema::DataType;
use proprio_core::quantity::Duration;
use proprio_core::{Findings, PlanFinding, Port, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::suggest;

/// Longest step over which a crossing is believed: so many periods, or this without a rate.
const GAP_PERIODS: i64 = 5;
const GAP_NS: i64 = 100_000_000;

/// A signal whose crossings are events, as a pipeline writes it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossingFile {
    /// Its column, in any of the inputs.
    pub signal: String,
    /// Crossed upward, in the column's unit.
    #[serde(default)]
    pub above: Option<f64>,
    /// Crossed downward, in the column's unit.
    #[serde(default)]
    pub below: Option<f64>,
    /// How long it must stay beyond, and have stayed on the near side before.
    #[serde(default = "hold", rename = "for")]
    pub hold: Duration,
    /// Standard deviation of the crossing.
    #[serde(default = "sd")]
    pub sd: Duration,
    /// `left` or `right`, where the event has a side.
    #[serde(default)]
    pub side: Option<String>,
}

fn hold() -> Duration {
    Duration::new(0.04)
}

fn sd() -> Duration {
    Duration::new(0.005)
}

/// A planned one.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Of its events, with their side.
    pub name: String,
    /// Where the signal is.
    pub port: usize,
    /// Its column there.
    pub index: usize,
    /// Standard deviation of its events.
    pub sd_ms: f64,
    /// Which crossing counts.
    pub crossing: Crossing,
}

impl CrossingFile {
    /// Finds the signal; what is wrong stands at `/crossings/<name>`.
    pub fn plan(&self, name: &str, ports: &[Port], findings: &mut Findings) -> Option<Signal> {
        let at = |key: &str| format!("/crossings/{name}{key}");
        let column = |(port, input): (usize, &Port)| {
            let index = input.schema.index(&self.signal)?;
            (*input.schema.columns.field(index).data_type() == DataType::Float64).then_some((port, index))
        };
        let found: Vec<(usize, usize)> = ports.iter().enumerate().filter_map(column).collect();
        if found.len() != 1 {
            let message = if found.is_empty() { "no input has the column" } else { "several inputs have the column" };
            let mut finding = PlanFinding::config(at("/signal"), format!("{message} `{}`", self.signal));
            finding.help = suggest(&self.signal, ports.iter().flat_map(|port| port.schema.names()).collect::<Vec<_>>());
            findings.push(finding);
        }
        let threshold = match (self.above, self.below) {
            (Some(above), None) if above.is_finite() => Some((above, true)),
            (None, Some(below)) if below.is_finite() => Some((below, false)),
            _ => None,
        };
        if threshold.is_none() {
            findings.push(PlanFinding::config(at(""), "a crossing is either `above` or `below` a value"));
        }
        if !(0.0..=10.0).contains(&self.hold.seconds()) {
            findings.push(PlanFinding::config(at("/for"), format!("{} is not within 0 s to 10 s", self.hold)));
        }
        if !(0.0..=1.0).contains(&self.sd.seconds()) {
            findings.push(PlanFinding::config(at("/sd"), format!("a standard deviation of {} is not within 0 s to 1 s", self.sd)));
        }
        if self.side.as_deref().is_some_and(|side| side != "left" && side != "right") {
            findings.push(PlanFinding::config(at("/side"), "a side is `left` or `right`"));
        }
        let ((threshold, is_rising), (port, index)) = (threshold?, found.first().copied()?);
        let gap_ns = ports[port].schema.rate.map_or(GAP_NS, |rate| GAP_PERIODS * rate.period_ns());
        let crossing = Crossing { threshold, is_rising, hold_ns: self.hold.nanoseconds(), gap_ns };
        let name = self.side.as_ref().map_or_else(|| name.to_owned(), |side| format!("{name}_{side}"));
        Some(Signal { name, port, index, sd_ms: self.sd.seconds() * 1e3, crossing })
    }
}

/// Which crossing counts.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// In the signal's unit.
    pub threshold: f64,
    /// Upward, or downward.
    pub is_rising: bool,
    /// How long the signal must then stay beyond, and how long before it must have been on the near side.
    pub hold_ns: i64,
    /// Longest step between two samples.
    pub gap_ns: i64,
}

/// What is remembered of a signal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossingState {
    last: Option<(TimeNs, f64)>,
    /// On the near side since.
    near_since: Option<TimeNs>,
    is_armed: bool,
    candidate: Option<TimeNs>,
}

impl Crossing {
    /// Takes the next sample; gives the crossing that it confirms. A NaN or a gap begins anew, so nothing crosses in it.
    pub fn step(&self, state: &mut CrossingState, time: TimeNs, value: f64) -> Option<TimeNs> {
        let follows = state.last.is_some_and(|(last, _)| time.saturating_sub(last) <= self.gap_ns);
        if value.is_nan() || !follows {
            *state = CrossingState::default();
        }
        if value.is_nan() {
            return None;
        }
        let is_beyond = if self.is_rising { value >= self.threshold } else { value <= self.threshold };
        let before = state.last.replace((time, value));
        if !is_beyond {
            state.candidate = None;
            let since = *state.near_since.get_or_insert(time);
            state.is_armed |= time.saturating_sub(since) >= self.hold_ns;
            return None;
        }
        state.near_since = None;
        if state.is_armed && state.candidate.is_none() {
            state.candidate = before.map(|before| self.crossed(before, (time, value)));
        }
        let confirmed = state.candidate.filter(|crossed| time.saturating_sub(*crossed) >= self.hold_ns)?;
        (state.candidate, state.is_armed) = (None, false);
        Some(confirmed)
    }

    fn crossed(&self, (from, before): (TimeNs, f64), (to, now): (TimeNs, f64)) -> TimeNs {
        let share = (self.threshold - before) / (now - before);
        from + ((to - from) as f64 * share).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn crossings(crossing: Crossing, samples: &[(i64, f64)]) -> Vec<i64> {
        let mut state = CrossingState::default();
        samples.iter().filter_map(|(ms, value)| crossing.step(&mut state, ms * MS, *value)).map(|time| time / MS).collect()
    }

    #[test]
    fn only_a_crossing_that_stays_counts_and_once() {
        let rising = Crossing { threshold: 5.0, is_rising: true, hold_ns: 20 * MS, gap_ns: 50 * MS };
        let samples = [(0, 9.0), (10, 0.0), (20, 0.0), (30, 0.0), (40, 10.0), (50, 0.0), (60, 10.0), (70, 9.0), (80, 8.0), (90, 9.0)];
        assert_eq!(crossings(rising, &samples), [55]);
        let falling = Crossing { is_rising: false, ..rising };
        assert_eq!(crossings(falling, &samples.map(|(ms, value)| (ms, 10.0 - value))), [55]);
    }

    #[test]
    fn nothing_crosses_in_a_gap() {
        let rising = Crossing { threshold: 5.0, is_rising: true, hold_ns: 0, gap_ns: 50 * MS };
        assert_eq!(crossings(rising, &[(0, 0.0), (10, 0.0), (70, 10.0), (80, 10.0)]), Vec::<i64>::new());
        assert_eq!(crossings(rising, &[(0, 0.0), (10, f64::NAN), (20, 10.0)]), Vec::<i64>::new());
        assert_eq!(crossings(rising, &[(0, 0.0), (10, 10.0)]), [5]);
    }
}

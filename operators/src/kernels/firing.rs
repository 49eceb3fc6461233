//! What is said of muscles around a reference event: latency, probabilities, verdict, and the verdict on their order.

use super::expectation::{Expectation, Name};
use super::precedence::{Uncertain, are_simultaneous, before, in_order, normal_cdf};

/// A muscle of an expectation.
#[derive(Clone, Debug)]
pub struct Member {
    /// As it was declared: the start of its columns' names.
    pub name: String,
    /// Which muscle is meant, for a reference event without a side, on the left, on the right.
    pub slots: [Option<usize>; 3],
}

impl Member {
    /// Those of an expectation, where slots count through the `watched` muscles.
    pub fn of(expectation: &Expectation, watched: &[String]) -> Vec<Self> {
        let slot = |name: Option<String>| name.and_then(|name| watched.iter().position(|other| *other == name));
        let slots = |name: &Name| [None, Some("left"), Some("right")].map(|side| slot(name.resolve(side)));
        expectation.muscles.iter().map(|name| Self { name: name.written(), slots: slots(name) }).collect()
    }
}

/// An onset after its reference event, negative before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Onset less reference.
    pub latency_ms: f64,
    /// Standard deviation of the onset.
    pub sd_ms: f64,
    /// Standard deviation of the reference.
    pub reference_sd_ms: f64,
}

impl Known {
    const fn onset(&self) -> Uncertain {
        Uncertain { time: self.latency_ms, sd: self.sd_ms }
    }

    const fn reference(&self) -> Uncertain {
        Uncertain { time: 0.0, sd: self.reference_sd_ms }
    }

    /// Standard deviation of the latency.
    pub fn latency_sd_ms(&self) -> f64 {
        libm::hypot(self.sd_ms, self.reference_sd_ms)
    }

    /// P(onset before the reference).
    pub fn p_before_reference(&self) -> f64 {
        before(self.onset(), self.reference())
    }

    /// P(latency within the window).
    pub fn p_within(&self, [from_ms, to_ms]: [f64; 2]) -> f64 {
        let sd = self.latency_sd_ms();
        if sd > 0.0 {
            normal_cdf((to_ms - self.latency_ms) / sd) - normal_cdf((from_ms - self.latency_ms) / sd)
        } else {
            f64::from(u8::from((from_ms..=to_ms).contains(&self.latency_ms)))
        }
    }
}

/// What is said of one muscle at one reference event.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Its onset, where it is known.
    pub known: Option<Known>,
    /// What is made of it.
    pub verdict: Verdict,
    /// Why it is unknown.
    pub reason: Option<String>,
    /// Whether it is late beyond the personal baseline, where there is one.
    pub is_delayed: Option<bool>,
    /// Its latency less what is usual on the other side, where that is known.
    pub after_other_side_ms: Option<f64>,
}

/// What is made of a latency; the worse is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Within the window.
    InWindow,
    /// Too near to the reference for its order to be told.
    Simultaneous,
    /// Before the window.
    Early,
    /// After the window.
    Late,
    /// Not known.
    Unknown,
}

impl Verdict {
    /// As written in its column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InWindow => "in_window",
            Self::Simultaneous => "simultaneous",
            Self::Early => "early",
            Self::Late => "late",
            Self::Unknown => "unknown",
        }
    }

    /// The worst of all muscles'.
    pub fn worst(judged: &[Judged]) -> Self {
        judged.iter().map(|judged| judged.verdict).max().unwrap_or(Self::Unknown)
    }
}

impl Judged {
    /// The verdict on an onset, or on why there is none.
    pub fn new(found: Result<Known, String>, window_ms: [f64; 2]) -> Self {
        let known = match found {
            Ok(known) => known,
            Err(reason) => return Self::unknown(&reason),
        };
        let verdict = if are_simultaneous(known.onset(), known.reference()) {
            Verdict::Simultaneous
        } else if known.latency_ms < window_ms[0] {
            Verdict::Early
        } else if known.latency_ms > window_ms[1] {
            Verdict::Late
        } else {
            Verdict::InWindow
        };
        Self { known: Some(known), verdict, reason: None, is_delayed: None, after_other_side_ms: None }
    }

    /// Without an onset.
    pub fn unknown(reason: &str) -> Self {
        Self { known: None, verdict: Verdict::Unknown, reason: Some(reason.to_owned()), is_delayed: None, after_other_side_ms: None }
    }
}

/// In which order the muscles came on.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// `as_declared`, `reversed`, `simultaneous` or `unknown`.
    pub name: &'static str,
    /// P(each before the next); NaN where one is unknown.
    pub pairs: Vec<f64>,
    /// P(all in the declared order); NaN where one is unknown.
    pub p_order: f64,
}

impl Order {
    /// The order of muscles that are declared in this one.
    pub fn of(judged: &[Judged]) -> Self {
        let onsets: Vec<Option<Uncertain>> = judged.iter().map(|judged| judged.known.map(|known| known.onset())).collect();
        let pairs: Vec<Option<(Uncertain, Uncertain)>> = onsets.windows(2).map(|pair| pair[0].zip(pair[1])).collect();
        let p = pairs.iter().map(|pair| pair.map_or(f64::NAN, |(a, b)| before(a, b))).collect();
        let all: Option<Vec<Uncertain>> = onsets.into_iter().collect();
        let is = |test: &dyn Fn(Uncertain, Uncertain) -> bool| pairs.iter().flatten().any(|(a, b)| test(*a, *b));
        let name = if is(&|a, b| a.time > b.time && !are_simultaneous(a, b)) {
            "reversed"
        } else if all.is_none() {
            "unknown"
        } else if is(&are_simultaneous) {
            "simultaneous"
        } else {
            "as_declared"
        };
        Self { name, pairs: p, p_order: all.map_or(f64::NAN, |all| in_order(&all)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(latency_ms: f64, sd_ms: f64) -> Judged {
        Judged::new(Ok(Known { latency_ms, sd_ms, reference_sd_ms: 0.0 }), [-100.0, 50.0])
    }

    #[test]
    fn verdicts_follow_the_window_once_the_order_can_be_told() {
        for (latency_ms, verdict) in [(-120.0, "early"), (-60.0, "in_window"), (9.0, "simultaneous"), (11.0, "in_window"), (51.0, "late")] {
            assert_eq!(judged(latency_ms, 5.0).verdict.name(), verdict);
        }
        assert_eq!(Verdict::worst(&[judged(11.0, 5.0), judged(-120.0, 5.0)]).name(), "early");
        assert_eq!(Verdict::worst(&[judged(11.0, 5.0), Judged::unknown("no onset")]).name(), "unknown");
        let known = judged(50.0, 5.0).known.expect("known");
        assert!((known.p_within([-100.0, 50.0]) - 0.5).abs() < 1e-9 && known.p_before_reference() < 1e-9);
    }

    #[test]
    fn an_order_is_reversed_when_any_pair_is() {
        let of = |all: &[Judged]| Order::of(all).name;
        assert_eq!(of(&[judged(-50.0, 3.0), judged(-20.0, 3.0)]), "as_declared");
        assert_eq!(of(&[judged(-20.0, 3.0), judged(-50.0, 3.0)]), "reversed");
        assert_eq!(of(&[judged(-20.0, 3.0), judged(-18.0, 3.0)]), "simultaneous");
        assert_eq!(of(&[judged(-20.0, 3.0), Judged::unknown("no onset")]), "unknown");
        assert_eq!(of(&[judged(20.0, 3.0), judged(-50.0, 3.0), Judged::unknown("no onset")]), "reversed");
        assert!(Order::of(&[judged(-20.0, 3.0), Judged::unknown("gap")]).p_order.is_nan());
    }
}

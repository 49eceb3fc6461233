//! Is this trial told about, left silent, or a probe? Feedback policies over a count of trials, and what trials without feedback show.

use serde::{Deserialize, Serialize};

/// When a cue comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// Where the error is beyond this.
    Bandwidth {
        /// In percent of the target.
        percent: f64,
    },
    /// On these shares of the trials, block by block; the last one stays.
    Faded {
        /// 0 to 1.
        shares: Vec<f64>,
        /// Trials of a block.
        block: u32,
    },
    /// After so many, on their mean.
    Summary {
        /// How many.
        after: u32,
    },
}

/// What becomes of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is told about.
    Cue,
    /// The policy leaves it.
    Silent,
    /// It is there to see how the patient does without.
    Probe,
    /// Nothing can be said about it.
    Refused,
}

impl Action {
    /// As in columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cue => "cue",
            Self::Silent => "silent",
            Self::Probe => "probe",
            Self::Refused => "refused",
        }
    }
}

/// A trial decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Its number, from 1 on.
    pub trial: i64,
    /// What becomes of it.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Of a summary, the mean error of its trials, in percent; NaN otherwise.
    pub summary_percent: f64,
}

/// How errors of trials with and without feedback compare; NaN where it isn't known yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dependence {
    /// Mean absolute error with feedback as it was due.
    pub feedback_percent: f64,
    /// Mean absolute error of probes.
    pub probe_percent: f64,
    /// The second less the first.
    pub difference_percent: f64,
    /// Standard error of that.
    pub sd_percent: f64,
}

/// What is remembered of the trials so far: counts and sums.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    trials: i64,
    /// Trials that weren't refused.
    judged: u64,
    /// Those of them that were no probes: the policy counts these.
    counted: u64,
    /// Those of these that had feedback.
    told: u64,
    pending: u32,
    pending_sum: f64,
    with_feedback: Spread,
    probes: Spread,
}

/// Mean and spread of numbers that come one by one (Welford).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spread {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Memory {
    /// Decides on the next trial. A refused one changes nothing for the next ones; its error is not looked at.
    pub fn decide(&mut self, policy: &Policy, probe_every: Option<u32>, refusal: Option<String>, error_percent: f64) -> Decided {
        self.trials += 1;
        let decided = |action, reason: String| Decided { trial: self.trials, action, reason, summary_percent: f64::NAN };
        if let Some(reason) = refusal {
            return decided(Action::Refused, reason);
        }
        self.judged += 1;
        if let Some(every) = probe_every.filter(|every| self.judged.is_multiple_of(u64::from(*every))) {
            self.probes.add(error_percent.abs());
            return decided(Action::Probe, format!("every {every}th trial is without feedback"));
        }
        self.with_feedback.add(error_percent.abs());
        let index = self.counted;
        self.counted += 1;
        match policy {
            Policy::Bandwidth { percent } => {
                if error_percent.abs() <= *percent {
                    return decided(Action::Silent, "within the bandwidth".to_owned());
                }
                self.told += 1;
                decided(Action::Cue, "beyond the bandwidth".to_owned())
            }
            Policy::Faded { shares, block } => {
                let (block_index, place) = (index / u64::from(*block), index % u64::from(*block));
                let share = shares[usize::try_from(block_index).unwrap_or(usize::MAX).min(shares.len() - 1)];
                // Evenly spaced: whenever the promised number of cues passes a whole one.
                let promised = |trials: u64| (trials as f64 * share + 1e-9).floor();
                let reason = format!("{}% of trials", 100.0 * share);
                if promised(place + 1) <= promised(place) {
                    return decided(Action::Silent, reason);
                }
                self.told += 1;
                decided(Action::Cue, reason)
            }
            Policy::Summary { after } => {
                self.pending += 1;
                self.pending_sum += error_percent;
                if self.pending < *after {
                    return decided(Action::Silent, format!("{} of {after} for the summary", self.pending));
                }
                let summary = Decided {
                    summary_percent: self.pending_sum / f64::from(*after),
                    ..decided(Action::Cue, format!("summary of {after}"))
                };
                self.told += u64::from(*after);
                (self.pending, self.pending_sum) = (0, 0.0);
                summary
            }
        }
    }

    /// Share of the trials that had feedback, in percent; refused ones and probes left out, NaN before the first.
    pub fn share_percent(&self) -> f64 {
        100.0 * self.told as f64 / self.counted as f64
    }

    /// How probes compare with the other trials so far.
    pub fn dependence(&self) -> Dependence {
        let [feedback, probes] = [self.with_feedback, self.probes];
        let error = (feedback.variance() / feedback.count as f64 + probes.variance() / probes.count as f64).sqrt();
        Dependence {
            feedback_percent: feedback.known_mean(),
            probe_percent: probes.known_mean(),
            difference_percent: if error.is_nan() { f64::NAN } else { probes.mean - feedback.mean },
            sd_percent: error,
        }
    }
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
    }

    fn known_mean(self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.mean }
    }

    /// NaN of fewer than two.
    fn variance(self) -> f64 {
        if self.count < 2 { f64::NAN } else { self.squares / (self.count - 1) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(policy: &Policy, probe_every: Option<u32>, errors: &[f64]) -> String {
        let mut memory = Memory::default();
        let letter = |error: &f64| {
            let refusal = error.is_nan().then(|| "no value".to_owned());
            &memory.decide(policy, probe_every, refusal, *error).action.name()[..1]
        };
        errors.iter().map(letter).collect()
    }

    #[test]
    fn each_policy_speaks_when_it_promises() {
        let faded = Policy::Faded { shares: vec![1.0, 0.5, 0.25], block: 4 };
        assert_eq!(actions(&faded, None, &[0.0; 16]), "ccccscscssscsssc");
        assert_eq!(actions(&faded, Some(3), &[0.0; 8]), "ccpccpsc");
        let summary = Policy::Summary { after: 3 };
        assert_eq!(actions(&summary, Some(4), &[0.0; 9]), "sscpsscps");
        assert_eq!(actions(&summary, None, &[1.0, f64::NAN, 1.0, 1.0]), "srsc");
        assert_eq!(actions(&Policy::Bandwidth { percent: 15.0 }, None, &[15.0, -15.1, 16.0, 0.0]), "sccs");
    }

    #[test]
    fn a_summary_tells_the_mean_and_probes_tell_dependence() {
        let mut memory = Memory::default();
        let policy = Policy::Summary { after: 2 };
        let summaries: Vec<f64> =
            [10.0, -30.0, 40.0, 20.0, 10.0, 60.0].map(|error| memory.decide(&policy, Some(3), None, error).summary_percent).to_vec();
        assert_eq!(summaries[1], -10.0);
        assert_eq!(summaries[4], 15.0);
        let found = memory.dependence();
        assert_eq!((found.feedback_percent, found.probe_percent, found.difference_percent), (17.5, 50.0, 32.5));
        // Variances 91.67 of four and 200 of two.
        assert!((found.sd_percent - (275.0_f64 / 3.0 / 4.0 + 100.0).sqrt()).abs() < 1e-9, "{found:?}");
        assert_eq!(memory.share_percent(), 100.0);
    }
}

//! From where to where does the burst around an alarm reach, and how strong is it?

use crate::kernels::change_time::Activity;

/// A stretch of larger variance among the newest samples.
#[derive(Clone, Debug)]
pub struct Burst {
    /// Index of the first sample.
    pub from: u64,
    /// Where that and the last stand among the detector's.
    pub range: std::ops::Range<usize>,
    /// The samples, over the resting deviation.
    pub samples: Vec<f64>,
    /// The alarm, counted from the first sample as the next two.
    pub alarm: usize,
    /// The burst's first sample.
    pub begin: usize,
    /// The first sample after it.
    pub end: usize,
    /// What its samples are like.
    pub activity: Activity,
}

impl Burst {
    /// Variance over that at rest.
    pub fn ratio(&self) -> f64 {
        self.activity.ratio.max(1.0 + 1e-3)
    }

    /// Power that it adds over the power at rest, in decibels.
    pub fn snr_db(&self) -> f64 {
        decibels(self.ratio())
    }
}

/// What an activity adds to the power at rest, from the ratio of variances.
pub fn decibels(ratio: f64) -> f64 {
    10.0 * libm::log10(ratio - 1.0)
}

/// The stretch of `samples` that holds `alarm` and has the largest likelihood ratio against rest: its two ends are searched in turn.
pub fn likeliest_burst(samples: &[f64], alarm: usize, freedom: f64) -> (usize, usize) {
    let mut cumulated = Vec::with_capacity(samples.len() + 1);
    cumulated.push(0.0);
    for sample in samples {
        cumulated.push(cumulated[cumulated.len() - 1] + sample * sample);
    }
    let likelihood = |from: usize, to: usize| {
        let length = (to - from) as f64;
        let ratio = (cumulated[to] - cumulated[from]) / length;
        if ratio > 1.0 { freedom * length / 2.0 * (ratio - 1.0 - libm::log(ratio)) } else { 0.0 }
    };
    let (mut from, mut to) = (0, samples.len());
    for _ in 0..3 {
        let before = (from, to);
        from = likeliest(0..alarm.max(1), |from| likelihood(from, to));
        to = likeliest(alarm + 1..samples.len() + 1, |to| likelihood(from, to));
        if (from, to) == before {
            break;
        }
    }
    (from, to)
}

fn likeliest(candidates: std::ops::Range<usize>, likelihood: impl Fn(usize) -> f64) -> usize {
    let start = candidates.start;
    let scored = candidates.map(|candidate| (likelihood(candidate), candidate));
    scored.fold((f64::NEG_INFINITY, start), |best, next| if next.0 > best.0 { next } else { best }).1
}

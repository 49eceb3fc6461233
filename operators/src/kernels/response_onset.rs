//! When does a force, a torque or an acceleration leave its rest, and how sure is that?
//!
//! Where the samples first stay beyond what rest does, a rise has begun before. Every beginning is weighted by how well rest, and then a
//! straight or a quadratic rise from there, fit the samples around it: the mean and the standard deviation over all of them are the onset
//! and its uncertainty. A plain crossing of a threshold comes late by the time that the rise takes to reach it.

use super::trend::Trend;

/// For how long the samples must stay beyond rest, in seconds.
const HOLD_S: f64 = 0.01;
/// How much of the rise is fitted after it first stays beyond rest, in seconds.
const FIT_S: f64 = 0.03;
/// Standard deviations of rest that samples must be beyond.
const BEYOND_SD: f64 = 3.0;
/// The smallest share of the rise that is taken for noise: what is exact to more digits is no better known.
const FLOOR: f64 = 1e-4;

/// Which way a response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Above its rest.
    Up,
    /// Below its rest.
    Down,
    /// Either way.
    Either,
}

/// What is looked for; times in seconds from the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Rest lies between this and `from_s`.
    pub rest_from_s: f64,
    /// The response begins after this
    pub from_s: f64,
    /// and before this.
    pub to_s: f64,
    /// The least change that is a response, in the samples' unit.
    pub least: f64,
    /// Which way it goes.
    pub way: Way,
}

impl Search {
    /// Until when samples are looked at.
    pub fn end_s(&self) -> f64 {
        self.to_s + HOLD_S + FIT_S
    }
}

/// An onset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    /// When, in seconds from the reference.
    pub at_s: f64,
    /// Its standard deviation, in seconds.
    pub sd_s: f64,
}

/// The response's onset in samples `(time in s, value)`, in order of time and without gaps, about `1/rate_hz` apart.
///
/// # Errors
/// `not at rest` where the rest drifts by more than a response is, `no response` where nothing stays beyond it.
pub fn response_onset(samples: &[(f64, f64)], search: &Search, rate_hz: f64) -> Result<Onset, &'static str> {
    let rest = Rest::of(samples, search, rate_hz)?;
    let threshold = (BEYOND_SD * rest.sd).max(search.least);
    let beyond = |value: f64, sign: f64| sign * (value - rest.mean) > threshold;
    let hold = ((HOLD_S * rate_hz).ceil() as usize).max(1);
    let signs: &[f64] = match search.way {
        Way::Up => &[1.0],
        Way::Down => &[-1.0],
        Way::Either => &[1.0, -1.0],
    };
    let stays = |at: usize, sign: f64| samples.len() >= at + hold && samples[at..at + hold].iter().all(|(_, value)| beyond(*value, sign));
    let searched = samples.iter().enumerate().filter(|(_, (time, _))| (search.from_s..=search.to_s).contains(time));
    let crossing = searched.flat_map(|(at, _)| signs.iter().map(move |sign| (at, *sign))).find(|(at, sign)| stays(*at, *sign));
    let (crossing, sign) = crossing.ok_or("no response")?;
    let last = samples[crossing].0 + FIT_S;
    let fitted: Vec<(f64, f64)> =
        samples.iter().take_while(|(time, _)| *time <= last).map(|(time, value)| (*time, sign * (value - rest.mean))).collect();
    let candidates = samples[..=crossing].iter().map(|(time, _)| *time).filter(|time| *time >= search.from_s);
    Ok(likeliest(&fitted, candidates, &rest, 1.0 / rate_hz))
}

/// What the samples are like before the response.
struct Rest {
    mean: f64,
    sd: f64,
    /// Independent samples for each sample.
    freedom: f64,
}

impl Rest {
    fn of(samples: &[(f64, f64)], search: &Search, rate_hz: f64) -> Result<Self, &'static str> {
        let values: Vec<(f64, f64)> =
            samples.iter().copied().filter(|(time, _)| (search.rest_from_s..search.from_s).contains(time)).collect();
        if (values.len() as f64) < 0.9 * (search.from_s - search.rest_from_s) * rate_hz || values.len() < 5 {
            return Err("gap");
        }
        let count = values.len() as f64;
        let mut trend = Trend::default();
        values.iter().for_each(|(time, value)| trend.push(*time, *value));
        let line = trend.line().ok_or("gap")?;
        let left: Vec<f64> = values.iter().map(|(time, value)| value - line.intercept - line.slope * time).collect();
        let power = left.iter().map(|value| value * value).sum::<f64>();
        let sd = (power / (count - 2.0)).sqrt();
        let drift = (line.slope * (search.from_s - search.rest_from_s)).abs();
        if drift > (BEYOND_SD * sd).max(search.least) {
            return Err("not at rest");
        }
        let neighbours = left.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>();
        let correlation = if power > 0.0 { (neighbours / power).clamp(0.0, 0.99) } else { 0.0 };
        let mean = values.iter().map(|(_, value)| value).sum::<f64>() / count;
        Ok(Self { mean, sd, freedom: (1.0 - correlation) / (1.0 + correlation) })
    }
}

/// Mean and standard deviation over all beginnings and both shapes.
fn likeliest(fitted: &[(f64, f64)], candidates: impl Iterator<Item = f64>, rest: &Rest, period_s: f64) -> Onset {
    let total: f64 = fitted.iter().map(|(_, value)| value * value).sum();
    let count = fitted.len() as f64;
    let peak = fitted.iter().fold(0.0, |peak: f64, (_, value)| peak.max(value.abs()));
    let floor = count * (rest.sd * rest.sd * 0.5).max(FLOOR * FLOOR * peak * peak);
    let mut weighed: Vec<(f64, f64)> = Vec::new();
    for from_s in candidates {
        for power in [1, 2] {
            let (mut gg, mut gy) = (0.0, 0.0);
            for (time, value) in fitted.iter().rev().take_while(|(time, _)| *time > from_s) {
                let rise = if power == 1 { time - from_s } else { (time - from_s) * (time - from_s) };
                gg += rise * rise;
                gy += rise * value;
            }
            if gg > 0.0 && gy > 0.0 {
                let left = (total - gy * gy / gg).max(0.0) + floor * 1e-3;
                weighed.push((from_s, -0.5 * rest.freedom * count * libm::log(left.max(floor))));
            }
        }
    }
    let best = weighed.iter().fold(f64::NEG_INFINITY, |best, (_, logarithm)| best.max(*logarithm));
    let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
    for (from_s, logarithm) in &weighed {
        let weight = libm::exp(logarithm - best);
        sum += weight;
        first += weight * from_s;
        second += weight * from_s * from_s;
    }
    let at_s = first / sum;
    Onset { at_s, sd_s: ((second / sum - at_s * at_s).max(0.0) + period_s * period_s / 12.0).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;

    const SEARCH: Search = Search { rest_from_s: -0.2, from_s: 0.0, to_s: 0.2, least: 1.0, way: Way::Up };

    fn samples(of: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (-250..300).map(|k| f64::from(k) * 1e-3).map(|time| (time, of(time))).collect()
    }

    #[test]
    fn the_beginning_of_a_rise_is_found_before_it_crosses() {
        let mut noise = Noise::new(3);
        let noises: Vec<f64> = (0..550).map(|_| noise.gaussian()).collect();
        for (power, scale) in [(1, 2000.0), (2, 40_000.0)] {
            let rise = |time: f64| if time > 0.05 { scale * (time - 0.05).powi(power) } else { 0.0 };
            let found = samples(|time| 300.0 + rise(time) + noises[((time + 0.25) * 1e3).round() as usize]);
            let onset = response_onset(&found, &SEARCH, 1000.0).expect("an onset");
            assert!((onset.at_s - 0.05).abs() < 3.0 * onset.sd_s && onset.sd_s < 0.006, "power {power}: {onset:?}");
            let down: Vec<(f64, f64)> = found.iter().map(|(time, value)| (*time, -value)).collect();
            assert_eq!(response_onset(&down, &SEARCH, 1000.0), Err("no response"));
            let either = response_onset(&down, &Search { way: Way::Either, ..SEARCH }, 1000.0).expect("the same, the other way");
            assert!((either.at_s - onset.at_s).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_not_at_rest_has_no_onset() {
        assert_eq!(response_onset(&samples(|time| 300.0 + 20.0 * time), &SEARCH, 1000.0), Err("not at rest"));
        assert_eq!(response_onset(&samples(|_| 300.0), &SEARCH, 1000.0), Err("no response"));
        assert_eq!(response_onset(&samples(|_| 300.0)[100..], &SEARCH, 1000.0), Err("gap"));
    }
}

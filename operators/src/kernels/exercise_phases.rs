//! When did each phase of a repetition begin and end? The concentric and the eccentric phase, found as minimum-jerk movements.
//!
//! A reaching movement that is smooth follows the minimum-jerk curve (Flash and Hogan 1985), which begins and ends so gently that its ends
//! can't be seen in noise. So the whole curve is fitted: where the speed is above a fifth of its peak a movement is under way, and
//! its beginning and end are those of the curve that fits it and a fifth of it to either side best (least squares). Of a movement that
//! pauses, the first part tells the beginning and the last part the end. One of another shape is told too long: a harmonic one by 9 % at
//! either end.

/// A movement is under way where the speed is above this share of its peak.
const SLOW: f64 = 0.2;
/// The curve is fitted to so much more on either side, as a share of that.
const BESIDE: f64 = 0.2;
/// On the minimum-jerk curve: what comes before the speed is above a fifth of its peak, as a share of how long it is.
const FADES: f64 = 0.173;
/// Nearer to rest, or to the top, than this share of the way a movement may begin, or end.
const NEAR: f64 = 0.2;
/// Speed is measured over this many samples to either side.
const REACH: usize = 5;
/// The fit ends when its steps are as short as this, in samples.
const FINEST: f64 = 0.05;

/// Where the phases of a repetition meet, in samples from the slice's first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boundaries {
    /// The concentric phase begins.
    pub start: f64,
    /// It ends: the hold begins.
    pub top: f64,
    /// The eccentric phase begins: the hold ends.
    pub lower: f64,
    /// It ends.
    pub end: f64,
}

/// The boundaries of the one repetition in `way`, even samples of how much of the way from rest to the target is gone; none where
/// nothing moves. A top that isn't held has `top` and `lower` at one instant.
pub fn boundaries(way: &[f64]) -> Option<Boundaries> {
    let peak = (0..way.len()).reduce(|best, at| if way[at] > way[best] { at } else { best })?;
    let fall: Vec<f64> = way.iter().rev().copied().collect();
    let last = way.len() - 1;
    let (start, top) = rise(way, peak)?;
    let (end, lower) = rise(&fall, last - peak)?;
    let (lower, end) = (last as f64 - lower, last as f64 - end);
    let middle = (top + lower) / 2.0;
    let (top, lower) = if lower < top { (middle, middle) } else { (top, lower) };
    Some(Boundaries { start: start.min(top), top, lower, end: end.max(lower) })
}

/// Where the movement from the lowest value before `peak` to that there begins and ends.
fn rise(way: &[f64], peak: usize) -> Option<(f64, f64)> {
    let high = way[peak];
    // What dips below rest is no rest.
    let low = way[..=peak].iter().copied().fold(f64::INFINITY, f64::min).max(0.0);
    let speed = speeds(way);
    let gone = |at: usize| (way[at] - low) / (high - low);
    let arrived = (0..=peak).find(|at| gone(*at) >= 1.0 - NEAR)?;
    let middle = (0..arrived).rev().find(|at| gone(*at) < 0.5)?;
    // A step or a jerk before the movement is no part of it.
    let left = (0..=middle).rev().find(|at| gone(*at) <= NEAR).unwrap_or(0);
    let slow = SLOW * speed[left..=arrived].iter().copied().fold(0.0, f64::max);
    let begins = (0..=middle).rev().find(|at| gone(*at) <= NEAR && speed[*at] < slow).map_or(0, |at| at + 1);
    let ends = (arrived..=peak).find(|at| speed[*at] < slow).unwrap_or(peak);
    let first_pause = (begins..ends).find(|at| speed[*at] < slow).unwrap_or(ends);
    let last_pause = (begins..ends).rev().find(|at| speed[*at] < slow).map_or(begins, |at| at + 1);
    let start = fit(way, begins, first_pause).0;
    let end = if last_pause == begins && first_pause == ends { fit(way, begins, ends).1 } else { fit(way, last_pause, ends).1 };
    Some((start, end))
}

/// Beginning and end of the minimum-jerk movement that is under way from one sample to another.
fn fit(way: &[f64], from: usize, to: usize) -> (f64, f64) {
    let lasts = (to - from) as f64;
    let beside = (BESIDE * lasts).ceil() as usize;
    let first = from.saturating_sub(beside);
    let values = &way[first..way.len().min(to + beside + 1)];
    let origin = first as f64;
    let mut best = (from as f64 - origin - FADES * lasts, to as f64 - origin + FADES * lasts);
    let mut error = misfit(values, best);
    let mut step = 0.1 * lasts.max(1.0);
    while step > FINEST {
        let near = [(step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)].map(|(start, end)| (best.0 + start, best.1 + end));
        let tried = near.into_iter().filter(|(start, end)| end - start > 1.0).map(|tried| (misfit(values, tried), tried));
        match tried.reduce(|a, b| if b.0 < a.0 { b } else { a }) {
            Some((less, tried)) if less < error => (error, best) = (less, tried),
            _ => step /= 2.0,
        }
    }
    (best.0 + origin, best.1 + origin)
}

/// The mean square of what the best minimum-jerk movement between two instants leaves of some values.
fn misfit(values: &[f64], (start, end): (f64, f64)) -> f64 {
    let count = values.len() as f64;
    let (mut x, mut y, mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let curve = minimum_jerk((at as f64 - start) / (end - start));
        (x, y) = (x + curve, y + value);
        (xx, xy, yy) = (xx + curve * curve, xy + curve * value, yy + value * value);
    }
    let (vx, vy, vxy) = (xx - x * x / count, yy - y * y / count, xy - x * y / count);
    if vx > 0.0 { (vy - vxy * vxy / vx) / count } else { vy / count }
}

/// From 0 to 1 without speed and acceleration at either end.
fn minimum_jerk(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)
}

/// Speed at each sample, a sample.
fn speeds(way: &[f64]) -> Vec<f64> {
    let last = way.len() - 1;
    let speed = |at: usize| {
        let (from, to) = (at.saturating_sub(REACH), (at + REACH).min(last));
        if to > from { (way[to] - way[from]) / (to - from) as f64 } else { 0.0 }
    };
    (0..way.len()).map(speed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rest, up, hold, down, rest, in samples.
    fn repetition(phases: [usize; 5], curve: fn(f64) -> f64) -> Vec<f64> {
        let [before, up, hold, down, after] = phases;
        let mut way = vec![0.0; before];
        way.extend((0..up).map(|k| curve(k as f64 / up as f64)));
        way.extend(vec![1.0; hold]);
        way.extend((0..down).map(|k| curve(1.0 - k as f64 / down as f64)));
        way.extend(vec![0.0; after]);
        way
    }

    fn offsets(found: Boundaries, [before, up, hold, down, _]: [usize; 5]) -> [f64; 4] {
        let (top, lower) = (before + up, before + up + hold);
        [found.start - before as f64, found.top - top as f64, found.lower - lower as f64, found.end - (lower + down) as f64]
    }

    #[test]
    fn a_smooth_movement_is_found_to_a_fraction_of_a_sample() {
        for phases in [[100, 200, 500, 300, 100], [50, 80, 20, 60, 40], [10, 400, 100, 400, 10], [50, 150, 0, 150, 50]] {
            let found = boundaries(&repetition(phases, minimum_jerk)).expect("it moves");
            assert!(offsets(found, phases).iter().all(|off| off.abs() < 0.1), "{:?}", offsets(found, phases));
        }
    }

    #[test]
    fn a_pause_halfway_a_sagging_hold_and_a_step_before_change_nothing() {
        let phases = [100, 300, 500, 200, 100];
        let mut way = repetition(phases, |x| {
            // Half of the way, a pause of a third, and the other half.
            let part = |x: f64| minimum_jerk(x * 3.0);
            0.5 * part(x) + 0.5 * part(x - 2.0 / 3.0)
        });
        for (k, value) in way.iter_mut().enumerate().skip(400).take(500) {
            *value -= 0.1 * (k - 400) as f64 / 500.0;
        }
        for k in 0..200 {
            way[900 + k] = 0.9 * minimum_jerk(1.0 - k as f64 / 200.0);
        }
        for (k, value) in way.iter_mut().enumerate().take(30) {
            *value += 0.7 * minimum_jerk(1.0 - (k as f64 / 15.0 - 1.0).abs());
        }
        let found = boundaries(&way).expect("it moves");
        assert!(offsets(found, phases).iter().all(|off| off.abs() < 0.5), "{:?}", offsets(found, phases));
    }

    #[test]
    fn a_harmonic_movement_is_told_too_long_by_a_known_share() {
        let cosine = |x: f64| 0.5 - 0.5 * libm::cos(std::f64::consts::PI * x);
        let phases = [100, 200, 500, 200, 100];
        let found = boundaries(&repetition(phases, cosine)).expect("it moves");
        let shares = offsets(found, phases).map(|off| off.abs() / 200.0);
        assert!(shares.iter().all(|share| (0.08..0.1).contains(share)), "{shares:?}");
        assert_eq!([boundaries(&[0.0; 50]), boundaries(&[]), boundaries(&[1.0, 0.0])], [None; 3]);
    }
}

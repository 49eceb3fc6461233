//! When did each phase of a repetition begin and end? The concentric and the eccentric phase found by their speed.
//!
//! A reaching movement that is smooth follows the minimum-jerk curve (Flash and Hogan 1985), whose speed fades so gently that its ends
//! can't be seen in noise. What can be seen is where the speed passes a fifth and a half of its peak; on that curve these are 12.8 % and
//! 23.0 % of the duration from the end, so the end lies 1.264 times their distance beyond the fifth. Only the last part of a movement
//! counts: a pause halfway changes nothing. A movement of another shape is told too long: a harmonic one by 6.5 % at either end.

/// A boundary is looked for where the speed passes these shares of its peak.
const SLOW: f64 = 0.2;
const FAST: f64 = 0.5;
/// On the minimum-jerk curve: from the slow point to the end over from the fast to the slow point.
const BEYOND: f64 = 1.264;
/// The end is at most this share of the way from the peak speed to the slow point beyond that.
const BEYOND_MOST: f64 = 0.5;
/// Nearer to rest, or to the top, than this share of the way a movement may begin, or end.
const NEAR: f64 = 0.2;
/// Speed is measured over this many samples to either side.
const REACH: usize = 2;

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
    let (start, top) = rise(&way[..=peak])?;
    let fall: Vec<f64> = way[peak..].iter().rev().copied().collect();
    let (end, lower) = rise(&fall)?;
    let last = (way.len() - 1) as f64;
    let (lower, end) = (last - lower, last - end);
    let middle = (top + lower) / 2.0;
    let (top, lower) = if lower < top { (middle, middle) } else { (top, lower) };
    Some(Boundaries { start: start.min(top), top, lower, end: end.max(lower) })
}

/// Where the movement from the slice's lowest to its last value begins and ends.
fn rise(way: &[f64]) -> Option<(f64, f64)> {
    let high = *way.last()?;
    let low = way.iter().copied().fold(f64::INFINITY, f64::min);
    let speed = speeds(way);
    let gone = |at: usize| (way[at] - low) / (high - low);
    let middle = (0..way.len()).find(|at| gone(*at) >= 0.5)?;
    let arrived = (middle..way.len()).find(|at| gone(*at) >= 1.0 - NEAR)?;
    let slow = SLOW * speed[..=arrived].iter().copied().fold(0.0, f64::max);
    let begins = (0..=middle).rev().find(|at| gone(*at) <= NEAR && speed[*at] < slow).unwrap_or(0);
    let ends = (arrived..way.len()).find(|at| speed[*at] < slow).unwrap_or(way.len() - 1);
    let start = extend(&speed[begins..=ends].iter().rev().copied().collect::<Vec<_>>(), slow);
    let end = extend(&speed[begins..=ends], slow);
    Some((ends as f64 - start, begins as f64 + end))
}

/// Where the movement ends whose speed falls below `slow` at the slice's end; it may lie beyond that.
fn extend(speed: &[f64], slow: f64) -> f64 {
    let last = speed.len() - 1;
    let burst = (0..last).rev().find(|at| speed[*at] >= slow).unwrap_or(last);
    let from = (0..=burst).rev().find(|at| speed[*at] < slow).map_or(0, |at| at + 1);
    let peak = (from..=burst).reduce(|best, at| if speed[at] > speed[best] { at } else { best }).unwrap_or(last);
    let falls_below = |share: f64| {
        let limit = share * speed[peak];
        let at = (peak + 1..=last).find(|at| speed[*at] < limit)?;
        Some(at as f64 - (limit - speed[at]) / (speed[at - 1] - speed[at]))
    };
    match (falls_below(FAST), falls_below(SLOW)) {
        (Some(fast), Some(slow)) => slow + (BEYOND * (slow - fast)).min(BEYOND_MOST * (slow - peak as f64)),
        _ => last as f64,
    }
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

    fn minimum_jerk(x: f64) -> f64 {
        x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)
    }

    fn offsets(found: Boundaries, [before, up, hold, down, _]: [usize; 5]) -> [f64; 4] {
        let (top, lower) = (before + up, before + up + hold);
        [found.start - before as f64, found.top - top as f64, found.lower - lower as f64, found.end - (lower + down) as f64]
    }

    #[test]
    fn a_smooth_movement_is_found_to_two_samples() {
        for phases in [[100, 200, 500, 300, 100], [50, 80, 20, 60, 40], [10, 400, 100, 400, 10]] {
            let found = boundaries(&repetition(phases, minimum_jerk)).expect("it moves");
            assert!(offsets(found, phases).iter().all(|off| off.abs() < 2.5), "{:?}", offsets(found, phases));
        }
    }

    #[test]
    fn a_pause_halfway_and_a_sagging_hold_change_nothing() {
        let phases = [100, 300, 500, 200, 100];
        let mut way = repetition(phases, |x| {
            // Half of the way, a pause of a third, and the other half.
            let part = |x: f64| minimum_jerk((x * 3.0).clamp(0.0, 1.0));
            0.5 * part(x) + 0.5 * part(x - 2.0 / 3.0)
        });
        let (lower, down) = (900, 200);
        for (k, value) in way.iter_mut().enumerate().skip(400).take(500) {
            *value -= 0.1 * (k - 400) as f64 / 500.0;
        }
        for k in 0..down {
            way[lower + k] = 0.9 * minimum_jerk(1.0 - k as f64 / down as f64);
        }
        let found = boundaries(&way).expect("it moves");
        assert!(offsets(found, phases).iter().all(|off| off.abs() < 5.0), "{:?}", offsets(found, phases));
    }

    #[test]
    fn a_harmonic_movement_is_told_too_long_by_a_known_share() {
        let cosine = |x: f64| 0.5 - 0.5 * libm::cos(std::f64::consts::PI * x);
        let phases = [100, 200, 500, 200, 100];
        let found = boundaries(&repetition(phases, cosine)).expect("it moves");
        let shares = offsets(found, phases).map(|off| off.abs() / 200.0);
        assert!(shares.iter().all(|share| (0.055..0.075).contains(share)), "{shares:?}");
        assert_eq!(boundaries(&[0.0; 50]), None);
        assert_eq!(boundaries(&[]), None);
    }

    #[test]
    fn a_top_that_is_not_held_is_one_instant() {
        let phases = [50, 150, 0, 150, 50];
        let found = boundaries(&repetition(phases, minimum_jerk)).expect("it moves");
        assert!(found.lower - found.top < 5.0 && (found.top - 200.0).abs() < 3.0, "{found:?}");
    }
}

//! How much later does one signal show what another showed? Correlation over shifts, finer than a sample, with its error.

/// A delay between two evenly sampled signals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// How many samples later the second signal shows the same.
    pub samples: f64,
    /// Pearson's correlation at that shift.
    pub correlation: f64,
    /// Standard deviation of `samples`.
    pub sd_samples: f64,
    /// The largest correlation at another local maximum; none when there is none.
    pub rival: Option<f64>,
    /// Whether the correlation is largest at the end of the range, so that the delay may lie beyond it.
    pub is_at_end: bool,
}

/// Values of `(times_ns, values)` at `from_ns + k·step_ns`, for `count` points, on the straight line between neighbours; NaN
/// where neighbours are missing or further apart than `longest_gap_ns`. `times_ns` rises strictly.
pub fn resample(times_ns: &[i64], values: &[f64], from_ns: i64, step_ns: i64, count: usize, longest_gap_ns: i64) -> Vec<f64> {
    let mut after = 0;
    let mut at = |k: usize| {
        let time = from_ns.saturating_add(step_ns.saturating_mul(k as i64));
        while times_ns.get(after).is_some_and(|other| *other < time) {
            after += 1;
        }
        match (times_ns.get(after), after.checked_sub(1)) {
            (Some(right), _) if *right == time => values[after],
            (Some(right), Some(before)) if right - times_ns[before] <= longest_gap_ns => {
                let share = (time - times_ns[before]) as f64 / (right - times_ns[before]) as f64;
                values[before] + share * (values[after] - values[before])
            }
            _ => f64::NAN,
        }
    };
    (0..count).map(&mut at).collect()
}

/// The shift of `b` against `a`, up to `longest` samples each way, at which they correlate best, by the parabola through the
/// best three (Céspedes et al. 1995). Samples that are NaN in either are left out. None where nothing varies or overlaps.
///
/// The deviation is that of a least-squares fit of the shift: (1−ρ²)/ρ² over the overlap's samples and the curvature of the
/// correlation, widened by the first-order autocorrelation of what the signals don't share.
pub fn delay(a: &[f64], b: &[f64], longest: usize) -> Option<Delay> {
    let longest = longest.min(a.len().min(b.len()).saturating_sub(4)) as isize;
    let at = |shift: isize| correlation(a, b, shift).map_or(f64::NEG_INFINITY, |(correlation, _)| correlation);
    // One more on each side, so that the ends have neighbours.
    let all: Vec<f64> = (-longest - 1..=longest + 1).map(at).collect();
    let inside = 1..all.len() - 1;
    let best = inside.clone().reduce(|best, index| if all[index] > all[best] { index } else { best })?;
    let (left, peak, right) = (all[best - 1], all[best], all[best + 1]);
    if !peak.is_finite() {
        return None;
    }
    let is_at_end = !(left.is_finite() && right.is_finite() && left <= peak && right <= peak);
    let bend = 2.0 * peak - left - right;
    let fraction = if is_at_end || bend <= 0.0 { 0.0 } else { (right - left) / (2.0 * bend) };
    let shift = best as isize - longest - 1;
    let is_other_top = |index: &usize| *index != best && all[*index] >= all[index - 1] && all[*index] > all[index + 1];
    let rival = inside.filter(is_other_top).map(|index| all[index]).reduce(f64::max);
    let sd_samples = deviation(a, b, shift, peak, bend);
    Some(Delay { samples: shift as f64 + fraction, correlation: peak, sd_samples, rival, is_at_end })
}

/// Pairs of samples that are there in both, `b` shifted back.
fn pairs<'a>(a: &'a [f64], b: &'a [f64], shift: isize) -> impl Iterator<Item = (f64, f64)> + Clone + 'a {
    let (skip_a, skip_b) = (shift.min(0).unsigned_abs(), shift.max(0).unsigned_abs());
    let both = a.iter().skip(skip_a).zip(b.iter().skip(skip_b));
    both.map(|(x, y)| (*x, *y)).filter(|(x, y)| !(x.is_nan() || y.is_nan()))
}

/// Pearson's correlation at a shift and the slope of `b` over `a`; none where either is constant.
fn correlation(a: &[f64], b: &[f64], shift: isize) -> Option<(f64, f64)> {
    let (mut count, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
    for (x, y) in pairs(a, b, shift) {
        (count, sum_x, sum_y) = (count + 1.0, sum_x + x, sum_y + y);
    }
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs(a, b, shift) {
        let (x, y) = (x - mean_x, y - mean_y);
        (xx, yy, xy) = (xx + x * x, yy + y * y, xy + x * y);
    }
    let product = xx * yy;
    (count >= 3.0 && product > 0.0).then(|| (xy / product.sqrt(), xy / xx))
}

fn deviation(a: &[f64], b: &[f64], shift: isize, peak: f64, bend: f64) -> f64 {
    let Some((_, slope)) = correlation(a, b, shift) else { return f64::INFINITY };
    let (mut count, mut sum, mut last) = (0.0, 0.0, None);
    for (x, y) in pairs(a, b, shift) {
        (count, sum) = (count + 1.0, sum + y - slope * x);
    }
    let mean = sum / count;
    let (mut square, mut next) = (0.0, 0.0);
    for (x, y) in pairs(a, b, shift) {
        let rest = y - slope * x - mean;
        (square, next) = (square + rest * rest, next + last.map_or(0.0, |last: f64| last * rest));
        last = Some(rest);
    }
    let memory = if square > 0.0 { (next / square).clamp(0.0, 0.99) } else { 0.0 };
    // The bend is −d²ρ/dshift², and over ρ the mean square of the signal's relative slope.
    let curvature = bend / peak;
    if peak <= 0.0 || curvature <= 0.0 {
        return f64::INFINITY;
    }
    let noise = (1.0 - peak * peak).max(0.0) / (peak * peak);
    (noise / (count * curvature) * (1.0 + memory) / (1.0 - memory)).sqrt()
}

/// Instants of the sharp tops of `values` that reach `threshold`, by the parabola through three samples; of those closer
/// than `apart_ns` the highest. `times_ns` rises strictly, and a top's neighbours lie within `longest_gap_ns`.
pub fn tops(times_ns: &[i64], values: &[f64], threshold: f64, apart_ns: i64, longest_gap_ns: i64) -> Vec<f64> {
    let mut found: Vec<(i64, f64, f64)> = Vec::new();
    for middle in 1..values.len().saturating_sub(1) {
        let (left, top, right) = (values[middle - 1], values[middle], values[middle + 1]);
        let (before_ns, after_ns) = (times_ns[middle] - times_ns[middle - 1], times_ns[middle + 1] - times_ns[middle]);
        if !(top >= threshold && top > left && top >= right && before_ns.max(after_ns) <= longest_gap_ns) {
            continue;
        }
        let fraction = (right - left) / (2.0 * (2.0 * top - left - right));
        let width_ns = (before_ns + after_ns) as f64 / 2.0;
        let tap = (times_ns[middle], top, times_ns[middle] as f64 + fraction * width_ns);
        match found.last_mut() {
            Some(last) if tap.0 - last.0 < apart_ns => {
                if tap.1 > last.1 {
                    *last = tap;
                }
            }
            _ => found.push(tap),
        }
    }
    found.into_iter().map(|(_, _, instant)| instant).collect()
}

/// For each of `a` how much later the nearest of `b` is, where it is the nearest the other way round too and no further
/// than `longest`. Both rise.
pub fn nearest_pairs(a: &[f64], b: &[f64], longest: f64) -> Vec<f64> {
    let nearest = |list: &[f64], instant: f64| {
        let after = list.partition_point(|other| *other < instant);
        let candidates = [after.checked_sub(1), (after < list.len()).then_some(after)];
        candidates.into_iter().flatten().min_by(|x, y| (list[*x] - instant).abs().total_cmp(&(list[*y] - instant).abs()))
    };
    let pair = |(index, instant): (usize, &f64)| {
        let other = b[nearest(b, *instant)?];
        let is_mutual = nearest(a, other) == Some(index);
        (is_mutual && (other - instant).abs() <= longest).then_some(other - instant)
    };
    a.iter().enumerate().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swing(time_s: f64) -> f64 {
        libm::fabs(libm::sin(5.0 * time_s) + 0.6 * libm::sin(11.3 * time_s + 1.0) + 0.3 * libm::sin(23.0 * time_s))
    }

    #[test]
    fn delays_are_found_to_a_fraction_of_a_sample() {
        for delay_samples in [0.0, 0.37, -7.81, 19.5] {
            let a: Vec<f64> = (0..1000).map(|k| swing(f64::from(k) * 0.01)).collect();
            let b: Vec<f64> = (0..1000).map(|k| 3.0 + 2.0 * swing((f64::from(k) - delay_samples) * 0.01)).collect();
            let found = delay(&a, &b, 25).expect("both vary");
            assert!((found.samples - delay_samples).abs() < 0.02, "{delay_samples}: {found:?}");
            assert!(found.correlation > 0.99 && !found.is_at_end, "{found:?}");
        }
        let bump = |at: f64| -> Vec<f64> { (0..500).map(|k| libm::exp(-((f64::from(k) - at) / 60.0).powi(2))).collect() };
        let (a, earlier) = (bump(250.0), bump(210.0));
        assert!(delay(&a, &earlier, 20).is_some_and(|found| found.is_at_end), "40 samples lie beyond 20");
        assert!(delay(&a, &earlier, 60).is_some_and(|found| (found.samples + 40.0).abs() < 0.1 && !found.is_at_end));
        assert_eq!(delay(&a, &[1.0; 500], 20), None);
        assert_eq!(delay(&[f64::NAN; 500], &a, 20), None);
        assert_eq!(delay(&[], &[], 20), None);
    }

    #[test]
    fn gaps_are_not_bridged() {
        let values = resample(&[0, 10, 20, 100, 110], &[0.0, 1.0, 2.0, 10.0, 11.0], -5, 10, 13, 30);
        let expected = [f64::NAN, 0.5, 1.5, f64::NAN, f64::NAN, f64::NAN, f64::NAN, f64::NAN, f64::NAN, f64::NAN, f64::NAN, 10.5, f64::NAN];
        assert!(values.iter().zip(expected).all(|(a, b)| *a == b || (a.is_nan() && b.is_nan())), "{values:?}");
    }

    #[test]
    fn taps_are_paired_with_their_own() {
        let times: Vec<i64> = (0..100).map(|k| k * 10).collect();
        let mut values = vec![0.0; 100];
        (values[20], values[21], values[22], values[24], values[60]) = (10.0, 20.0, 20.0, 15.0, 3.0);
        assert_eq!(tops(&times, &values, 5.0, 100, 30), [215.0], "the lower and the near one are left out");
        assert_eq!(nearest_pairs(&[100.0, 500.0, 900.0], &[110.0, 120.0, 480.0], 50.0), [10.0, -20.0]);
    }
}

//! When did a limb's movement begin, and what did another angle do meanwhile?

use proprio_core::TimeNs;

/// How an angle followed a limb over one repetition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Follow {
    /// The furthest that the angle went from its rest, in degrees.
    pub amplitude_deg: f64,
    /// When it left its rest to stay away.
    pub onset: Option<TimeNs>,
}

/// The difference of two angles, within ±180°.
pub fn turned_deg(to: f64, from: f64) -> f64 {
    let off = (to - from) % 360.0;
    if off > 180.0 {
        off - 360.0
    } else if off < -180.0 {
        off + 360.0
    } else {
        off
    }
}

/// How far values lie apart, on a circle; NaN of none.
pub fn range_deg(values: &[f64]) -> f64 {
    let Some(first) = values.first() else { return f64::NAN };
    let (low, high) = values.iter().fold((0.0_f64, 0.0_f64), |(low, high), value| {
        let off = turned_deg(*value, *first);
        (low.min(off), high.max(off))
    });
    high - low
}

/// Mean on a circle, of values within 180°; NaN of none.
pub fn mean_deg(values: &[f64]) -> f64 {
    let Some(first) = values.first() else { return f64::NAN };
    first + values.iter().map(|value| turned_deg(*value, *first)).sum::<f64>() / values.len() as f64
}

/// When an angle that is beyond `threshold_deg` of its rest at the end last left it, between the two samples; the first sample where it
/// never was within.
pub fn last_departure(times: &[TimeNs], values: &[f64], rest_deg: f64, threshold_deg: f64) -> TimeNs {
    let off = |row: usize| turned_deg(values[row], rest_deg).abs();
    let Some(within) = (0..values.len()).rev().find(|row| off(*row) <= threshold_deg) else { return times[0] };
    match times.get(within + 1) {
        Some(_) => crossing(times, within, off(within), off(within + 1), threshold_deg),
        None => times[within],
    }
}

/// Share of its amplitude that an angle has gone at its onset, so that the onset doesn't depend on how far it goes.
const ONSET_SHARE: f64 = 0.2;

/// How far an angle went from its rest, and when it first went beyond a fifth of that, and beyond `least_deg`, for `hold_ns`.
pub fn follow(times: &[TimeNs], values: &[f64], rest_deg: f64, least_deg: f64, hold_ns: i64) -> Follow {
    let off: Vec<f64> = values.iter().map(|value| turned_deg(*value, rest_deg).abs()).collect();
    let amplitude_deg = off.iter().copied().fold(0.0, f64::max);
    let threshold_deg = least_deg.max(ONSET_SHARE * amplitude_deg);
    let (mut beyond_from, mut onset) = (None, None);
    for (row, off_deg) in off.iter().enumerate() {
        if *off_deg <= threshold_deg {
            beyond_from = None;
            continue;
        }
        let from = *beyond_from.get_or_insert(row);
        if times[row] - times[from] >= hold_ns {
            let before = from.checked_sub(1);
            onset = Some(before.map_or(times[from], |before| crossing(times, before, off[before], off[from], threshold_deg)));
            break;
        }
    }
    Follow { amplitude_deg, onset }
}

fn crossing(times: &[TimeNs], row: usize, before: f64, after: f64, threshold: f64) -> TimeNs {
    let share = if after > before { (threshold - before) / (after - before) } else { 1.0 };
    times[row] + ((times[row + 1] - times[row]) as f64 * share).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_compared_on_a_circle() {
        assert_eq!([turned_deg(-179.0, 179.0), turned_deg(10.0, 350.0), turned_deg(5.0, 15.0)], [2.0, 20.0, -10.0]);
        assert_eq!((range_deg(&[179.0, -179.0, 178.0]), mean_deg(&[179.0, -179.0])), (3.0, 180.0));
        assert!(range_deg(&[]).is_nan() && mean_deg(&[]).is_nan());
    }

    #[test]
    fn onsets_lie_between_samples() {
        let times: Vec<TimeNs> = (0..6).map(|k| k * 100).collect();
        let values = [10.0, 10.0, 10.5, 13.0, 20.0, 30.0];
        assert_eq!(last_departure(&times, &values, 10.0, 1.75), 250);
        assert_eq!(last_departure(&times, &[30.0; 6], 10.0, 2.0), 0);
        let spike = [10.0, 14.0, 10.0, 10.0, 14.0, 18.0];
        assert_eq!(follow(&times, &spike, 10.0, 2.0, 100), Follow { amplitude_deg: 8.0, onset: Some(350) });
        assert_eq!(follow(&times, &[10.0; 6], 10.0, 2.0, 0), Follow { amplitude_deg: 0.0, onset: None });
    }
}

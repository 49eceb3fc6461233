//! How probable is it that one event came before another, when each time has a standard deviation?

/// The normal distribution function.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// A time with its standard deviation, both in the same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertain {
    /// When.
    pub time: f64,
    /// How sure, one standard deviation.
    pub sd: f64,
}

/// P(`a` before `b`): the difference of two independent normal times is normal.
pub fn before(a: Uncertain, b: Uncertain) -> f64 {
    let sd = libm::hypot(a.sd, b.sd);
    if sd > 0.0 { normal_cdf((b.time - a.time) / sd) } else { f64::from(u8::from(a.time < b.time)) }
}

/// Whether the difference is less than twice its standard deviation: their order can't be told.
pub fn are_simultaneous(a: Uncertain, b: Uncertain) -> bool {
    (a.time - b.time).abs() < 2.0 * libm::hypot(a.sd, b.sd)
}

/// How many points an event's distribution is integrated over, and how many standard deviations to either side.
const POINTS: usize = 200;
const REACH_SD: f64 = 5.0;

/// P(all came in this order): F₁(x) = P(first < x), Fₖ(x) = ∫ Fₖ₋₁ dPₖ up to x, by the midpoint rule over each event's own range.
pub fn in_order(events: &[Uncertain]) -> f64 {
    let Some((first, rest)) = events.split_first() else { return 1.0 };
    // P(all before this one are in order, and before x), at increasing x; linear between them.
    let mut known: Vec<(f64, f64)> = Vec::new();
    let mut total = 1.0;
    for (k, event) in rest.iter().enumerate() {
        let sd = event.sd.max(1e-9);
        let step = 2.0 * REACH_SD / POINTS as f64;
        let mut sum = 0.0;
        let mut next = Vec::with_capacity(POINTS + 1);
        next.push((event.time - REACH_SD * sd, 0.0));
        for i in 0..POINTS {
            let from = -REACH_SD + step * i as f64;
            let share = normal_cdf(from + step) - normal_cdf(from);
            let x = event.time + (from + step / 2.0) * sd;
            let earlier = if k == 0 { before(*first, Uncertain { time: x, sd: 0.0 }) } else { interpolated(&known, x) };
            sum += share * earlier;
            next.push((event.time + (from + step) * sd, sum));
        }
        (known, total) = (next, sum);
    }
    total.clamp(0.0, 1.0)
}

fn interpolated(known: &[(f64, f64)], x: f64) -> f64 {
    let after = known.partition_point(|(at, _)| *at < x);
    match (after.checked_sub(1).map(|before| known[before]), known.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
        (Some((_, y)), None) => y,
        (None, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(time: f64, sd: f64) -> Uncertain {
        Uncertain { time, sd }
    }

    #[test]
    fn probabilities_are_those_of_the_normal_difference() {
        assert!((before(at(0.0, 3.0), at(5.0, 4.0)) - 0.841_344_746).abs() < 1e-8);
        assert_eq!(before(at(0.0, 3.0), at(0.0, 4.0)), 0.5);
        assert_eq!([before(at(0.0, 0.0), at(1.0, 0.0)), before(at(1.0, 0.0), at(0.0, 0.0))], [1.0, 0.0]);
        assert!(are_simultaneous(at(0.0, 3.0), at(9.9, 4.0)) && !are_simultaneous(at(0.0, 3.0), at(10.1, 4.0)));
    }

    #[test]
    fn an_order_of_equals_is_one_of_its_permutations() {
        assert!((in_order(&[at(0.0, 2.0), at(0.0, 2.0)]) - 0.5).abs() < 1e-4);
        assert!((in_order(&[at(0.0, 2.0); 3]) - 1.0 / 6.0).abs() < 1e-3);
        assert!((in_order(&[at(0.0, 1.0), at(2.0, 1.0)]) - before(at(0.0, 1.0), at(2.0, 1.0))).abs() < 1e-3);
        assert!(in_order(&[at(0.0, 1.0), at(20.0, 1.0), at(40.0, 1.0)]) > 0.999);
        assert!(in_order(&[at(0.0, 1.0), at(40.0, 1.0), at(20.0, 1.0)]) < 1e-6);
        assert_eq!(in_order(&[at(0.0, 1.0)]), 1.0);
    }
}

//! How are errors summed up?

/// Root of the mean square; NaN of none.
pub fn rms(errors: &[f64]) -> f64 {
    (errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64).sqrt()
}

/// Mean; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation over all of them; NaN of none.
pub fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    rms(&values.iter().map(|value| value - mean).collect::<Vec<_>>())
}

/// The smallest value that a share of `count` values don't exceed, where those that are not among `values` count as infinite.
pub fn quantile(values: &[f64], share: f64, count: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * count as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_summed_up() {
        assert_eq!(rms(&[3.0, -4.0]), 12.5_f64.sqrt());
        assert_eq!((mean(&[1.0, 3.0]), deviation(&[1.0, 3.0])), (2.0, 1.0));
        assert_eq!([0.5, 0.75, 1.0].map(|share| quantile(&[2.0, 1.0, 3.0], share, 4)), [2.0, 3.0, f64::INFINITY]);
    }
}

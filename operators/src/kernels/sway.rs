//! How much does a point on the floor move about? Measures of the centre of pressure in quiet standing.

/// 95 % quantile of χ² with two degrees of freedom, −2·ln 0.05: the squared radius, in standard deviations, of the ellipse that holds
/// 95 % of a bivariate normal distribution.
const CHI_SQUARE_95: f64 = 5.991_464_547_107_979;

/// The plane measures of points `[x, y]` in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean, in metres.
    pub mean_m: [f64; 2],
    /// Standard deviation along each axis, in metres.
    pub rms_m: [f64; 2],
    /// Largest less smallest along each axis, in metres.
    pub range_m: [f64; 2],
    /// Area of the ellipse that holds 95 % of the points where they are normally distributed, in square metres.
    pub area_m2: f64,
}

/// The measures of at least two points; all NaN of fewer.
///
/// The area is π·χ²₀.₉₅,₂·√(s₁₁·s₂₂ − s₁₂²) with the covariance over n − 1: the prediction ellipse of Schubert and Kirchner (2014), which
/// is the limit for many points of Prieto et al.'s (1996) ellipse with F₀.₀₅,₂,ₙ₋₂ in the place of χ²/2.
pub fn spread(points: &[[f64; 2]]) -> Spread {
    let count = points.len() as f64;
    if points.len() < 2 {
        return Spread { mean_m: [f64::NAN; 2], rms_m: [f64::NAN; 2], range_m: [f64::NAN; 2], area_m2: f64::NAN };
    }
    let mean_m = [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / count);
    let product = |a: usize, b: usize| points.iter().map(|point| (point[a] - mean_m[a]) * (point[b] - mean_m[b])).sum::<f64>();
    let sums = [product(0, 0), product(1, 1)];
    let ends = |axis: usize| {
        points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| (low.min(point[axis]), high.max(point[axis])))
    };
    let determinant = (sums[0] * sums[1] - product(0, 1) * product(0, 1)) / ((count - 1.0) * (count - 1.0));
    Spread {
        mean_m,
        rms_m: sums.map(|sum| (sum / count).sqrt()),
        range_m: [0, 1].map(|axis| {
            let (low, high) = ends(axis);
            high - low
        }),
        area_m2: std::f64::consts::PI * CHI_SQUARE_95 * determinant.max(0.0).sqrt(),
    }
}

/// Sum of the distances between neighbouring points, in metres.
pub fn path_m(points: &[[f64; 2]]) -> f64 {
    let step = |pair: &[[f64; 2]]| libm::hypot(pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]);
    points.windows(2).map(step).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipse_is_as_large_as_its_axes_say() {
        // Points of a circle of radius 1, stretched to 2 × 1 and turned by 30°: the covariance's root is 2·1/2 for whole turns.
        let (sine, cosine) = (0.5, 0.75_f64.sqrt());
        let points: Vec<[f64; 2]> = (0..3600)
            .map(|k| f64::from(k) * std::f64::consts::TAU / 3600.0)
            .map(|angle| [2.0 * libm::cos(angle), libm::sin(angle)])
            .map(|[x, y]| [cosine * x - sine * y + 5.0, sine * x + cosine * y])
            .collect();
        let found = spread(&points);
        let due = std::f64::consts::PI * CHI_SQUARE_95 * 3600.0 / 3599.0;
        assert!((found.area_m2 - due).abs() < 1e-9, "{} for {due}", found.area_m2);
        assert!((found.mean_m[0] - 5.0).abs() < 1e-12 && (found.rms_m[0] - (0.75 * 4.0 + 0.25_f64).sqrt() / 2.0_f64.sqrt()).abs() < 1e-9);
        // Perimeter of an ellipse with axes 2 and 1, from its elliptic integral, less the last of 3600 chords.
        assert!((path_m(&points) - 9.688_448_220_5).abs() < 3e-3, "{}", path_m(&points));
        assert!(spread(&points[..1]).area_m2.is_nan() && path_m(&points[..1]) == 0.0);
    }
}

//! Where over a cycle does a curve leave a band?

use super::baseline::Band;

/// How a curve lies in its band; shares and phases count in points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Excursion {
    /// Points above the band.
    pub over: usize,
    /// Points below it.
    pub under: usize,
    /// Points with a value.
    pub known: usize,
    /// First and last point of the longest stretch above.
    pub longest_over: Option<(usize, usize)>,
    /// The same below.
    pub longest_under: Option<(usize, usize)>,
    /// The furthest that the curve is from the mean, in standard deviations, negative below it.
    pub furthest_sd: f64,
}

/// Compares a curve with mean ± `width` SD, point by point; NaN is passed over and ends a stretch.
pub fn excursion(values: &[f64], bands: &[Band], width: f64) -> Excursion {
    let mut found = Excursion::default();
    let (mut over_from, mut under_from) = (None, None);
    for (point, (value, band)) in values.iter().zip(bands).enumerate() {
        let off = value - band.mean;
        let (is_over, is_under) = (off > width * band.sd, off < -width * band.sd);
        found.known += usize::from(!value.is_nan());
        found.over += usize::from(is_over);
        found.under += usize::from(is_under);
        stretch(&mut over_from, &mut found.longest_over, is_over, point);
        stretch(&mut under_from, &mut found.longest_under, is_under, point);
        if band.sd > 0.0 && (off / band.sd).abs() > found.furthest_sd.abs() {
            found.furthest_sd = off / band.sd;
        }
    }
    found
}

fn stretch(from: &mut Option<usize>, longest: &mut Option<(usize, usize)>, is_out: bool, point: usize) {
    *from = is_out.then(|| from.unwrap_or(point));
    if let Some(from) = *from
        && longest.is_none_or(|(first, last)| point - from > last - first)
    {
        *longest = Some((from, point));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_outside_are_found_on_either_side() {
        let bands = [Band { mean: 1.0, sd: 0.5 }; 8];
        let found = excursion(&[1.0, 3.0, 3.5, 1.0, -1.0, -1.0, f64::NAN, -1.0], &bands, 2.0);
        assert_eq!((found.over, found.under, found.known), (2, 3, 7));
        assert_eq!((found.longest_over, found.longest_under, found.furthest_sd), (Some((1, 2)), Some((4, 5)), 5.0));
        assert_eq!(excursion(&[1.0, 2.0, 0.0], &bands, 2.0).longest_over, None);
    }
}

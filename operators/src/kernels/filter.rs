//! Which infinite impulse response filters there are: Butterworth low-, high- and band-pass and a notch, as second-order sections.
//!
//! Designed by the bilinear transform with prewarped edges, in `f64` and with `libm` alone, so that every machine gives the
//! same bits. Checked against `scipy.signal` 1.x (`butter`, `iirnotch`) in the tests.

use std::f64::consts::{PI, SQRT_2};

use serde::{Deserialize, Serialize};

/// The largest order that is designed; above it the sections' rounding says more than the order does.
pub const MAX_ORDER: usize = 8;

/// One second-order section: `(b0 + b1 z⁻¹ + b2 z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

/// A cascade of sections; memory stands apart in [`FilterState`].
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    sections: Vec<Section>,
}

/// What a [`Filter`] remembers: two values a section (direct form II transposed).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FilterState(Vec<[f64; 2]>);

impl Filter {
    /// Low-pass of `order` with −3 dB at `cutoff_hz`.
    ///
    /// # Panics
    /// When the order is not in 1..=[`MAX_ORDER`] or the edge not inside (0, Nyquist): planning checks both.
    pub fn low_pass(order: usize, cutoff_hz: f64, rate_hz: f64) -> Self {
        let cutoff = prewarp(cutoff_hz, rate_hz);
        let poles = prototype(order).into_iter().map(|pole| pole.scale(cutoff));
        let sections = poles.map(|pole| section(pole, pole.conjugate(), [-1.0, -1.0], rate_hz)).collect();
        Self { sections }.normalised(0.0)
    }

    /// High-pass of `order` with −3 dB at `cutoff_hz`.
    ///
    /// # Panics
    /// As [`Filter::low_pass`].
    pub fn high_pass(order: usize, cutoff_hz: f64, rate_hz: f64) -> Self {
        let cutoff = prewarp(cutoff_hz, rate_hz);
        let poles = prototype(order).into_iter().map(|pole| pole.inverse().scale(cutoff));
        let sections = poles.map(|pole| section(pole, pole.conjugate(), [1.0, 1.0], rate_hz)).collect();
        Self { sections }.normalised(PI)
    }

    /// Band-pass with −3 dB at both edges and `order` at each of them, so 2·`order` poles (scipy's `butter(order, …, "band")`).
    ///
    /// # Panics
    /// As [`Filter::low_pass`], and when the edges are reversed.
    pub fn band_pass(order: usize, low_hz: f64, high_hz: f64, rate_hz: f64) -> Self {
        assert!(low_hz < high_hz, "planning refuses a reversed band");
        let (low, high) = (prewarp(low_hz, rate_hz), prewarp(high_hz, rate_hz));
        let (width, centre_squared) = (high - low, low * high);
        let mut sections = Vec::with_capacity(order);
        for pole in prototype(order) {
            // Low-pass to band-pass: both roots of s² − width·pole·s + centre².
            let half = pole.scale(width / 2.0);
            let root = half.times(half).minus(Complex::real(centre_squared)).sqrt();
            let (first, second) = (half.plus(root), half.minus(root));
            if pole.im == 0.0 {
                sections.push(section(first, second, [1.0, -1.0], rate_hz));
            } else {
                sections.extend([first, second].map(|pole| section(pole, pole.conjugate(), [1.0, -1.0], rate_hz)));
            }
        }
        // The band's geometric centre on the analogue side, where the prototype's gain is one.
        let centre = 2.0 * libm::atan(centre_squared.sqrt() / (2.0 * rate_hz));
        Self { sections }.normalised(centre)
    }

    /// Notch at `centre_hz` whose −3 dB width is `centre_hz / quality` (scipy's `iirnotch`).
    ///
    /// # Panics
    /// When the centre is not inside (0, Nyquist) or `quality` not positive.
    pub fn notch(centre_hz: f64, quality: f64, rate_hz: f64) -> Self {
        assert!(quality > 0.0 && centre_hz > 0.0 && centre_hz < rate_hz / 2.0, "planning checks the notch");
        let centre = 2.0 * PI * centre_hz / rate_hz;
        let gain = 1.0 / (1.0 + libm::tan(centre / quality / 2.0));
        let middle = -2.0 * gain * libm::cos(centre);
        Self { sections: vec![Section { b: [gain, middle, gain], a: [middle, 2.0 * gain - 1.0] }] }
    }

    /// This filter, then `next`.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.sections.extend(next.sections);
        self
    }

    /// Memory at rest.
    pub fn start(&self) -> FilterState {
        FilterState(vec![[0.0; 2]; self.sections.len()])
    }

    /// One sample through the cascade.
    pub fn step(&self, state: &mut FilterState, sample: f64) -> f64 {
        self.sections.iter().zip(&mut state.0).fold(sample, |x, (section, memory)| {
            let y = section.b[0] * x + memory[0];
            memory[0] = section.b[1] * x - section.a[0] * y + memory[1];
            memory[1] = section.b[2] * x - section.a[1] * y;
            y
        })
    }

    /// The samples through the cascade forwards, then backwards, so that nothing is delayed and the attenuation counts twice: both ends
    /// are reflected through their last sample for `pad` samples, and both ways begin settled there (scipy's `sosfiltfilt`). For
    /// cascades that let a constant pass unchanged.
    pub fn forward_backward(&self, samples: &[f64], pad: usize) -> Vec<f64> {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
        let pad = pad.min(samples.len() - 1);
        let before = samples[1..=pad].iter().rev().map(|sample| 2.0 * first - sample);
        let after = samples[samples.len() - 1 - pad..samples.len() - 1].iter().rev().map(|sample| 2.0 * last - sample);
        let mut extended: Vec<f64> = before.chain(samples.iter().copied()).chain(after).collect();
        for _ in 0..2 {
            let start = extended[0];
            let mut state = self.start();
            extended.iter_mut().for_each(|sample| *sample = start + self.step(&mut state, *sample - start));
            extended.reverse();
        }
        extended[pad..pad + samples.len()].to_vec()
    }

    /// The first `length` samples of the impulse response.
    pub fn impulse_response(&self, length: usize) -> Vec<f64> {
        let mut state = self.start();
        (0..length).map(|k| self.step(&mut state, if k == 0 { 1.0 } else { 0.0 })).collect()
    }

    /// Scales each section to gain one at `angle` (radians a sample).
    fn normalised(mut self, angle: f64) -> Self {
        for section in &mut self.sections {
            let gain = section.magnitude(angle);
            section.b = section.b.map(|b| b / gain);
        }
        self
    }
}

impl Section {
    fn magnitude(&self, angle: f64) -> f64 {
        let z = Complex { re: libm::cos(angle), im: -libm::sin(angle) };
        let polynomial = |c0: f64, c1: f64, c2: f64| Complex::real(c0).plus(z.scale(c1)).plus(z.times(z).scale(c2)).magnitude();
        polynomial(self.b[0], self.b[1], self.b[2]) / polynomial(1.0, self.a[0], self.a[1])
    }
}

/// Poles of the analogue Butterworth low-pass with cutoff 1 rad/s and non-negative imaginary part: one of each pair, and the
/// real one of an odd order.
fn prototype(order: usize) -> Vec<Complex> {
    assert!((1..=MAX_ORDER).contains(&order), "planning bounds the order");
    let pole = |k: usize| {
        let angle = PI * (2 * k + order + 1) as f64 / (2 * order) as f64;
        Complex { re: libm::cos(angle), im: libm::sin(angle) }
    };
    let pairs = (0..order / 2).map(pole);
    let real = (order % 2 == 1).then_some(Complex::real(-1.0));
    pairs.chain(real).collect()
}

/// A section with these two analogue poles and these two digital zeros; equal zeros and a real pole are a section of first order.
fn section(first: Complex, second: Complex, zeros: [f64; 2], rate_hz: f64) -> Section {
    if first.im == 0.0 && zeros[0] == zeros[1] {
        let pole = bilinear(first, rate_hz).re;
        return Section { b: [1.0, -zeros[0], 0.0], a: [-pole, 0.0] };
    }
    let (first, second) = (bilinear(first, rate_hz), bilinear(second, rate_hz));
    Section { b: [1.0, -(zeros[0] + zeros[1]), zeros[0] * zeros[1]], a: [-first.plus(second).re, first.times(second).re] }
}

fn bilinear(pole: Complex, rate_hz: f64) -> Complex {
    let twice = Complex::real(2.0 * rate_hz);
    twice.plus(pole).times(twice.minus(pole).inverse())
}

fn prewarp(frequency_hz: f64, rate_hz: f64) -> f64 {
    assert!(frequency_hz > 0.0 && frequency_hz < rate_hz / 2.0, "planning keeps edges inside (0, Nyquist)");
    2.0 * rate_hz * libm::tan(PI * frequency_hz / rate_hz)
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    fn scale(self, factor: f64) -> Self {
        Self { re: self.re * factor, im: self.im * factor }
    }

    fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    fn minus(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }

    fn times(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    fn inverse(self) -> Self {
        self.conjugate().scale(1.0 / (self.re * self.re + self.im * self.im))
    }

    fn magnitude(self) -> f64 {
        (self.re * self.re + self.im * self.im).sqrt()
    }

    /// The principal root.
    fn sqrt(self) -> Self {
        let magnitude = self.magnitude();
        let re = (magnitude + self.re).max(0.0).sqrt() / SQRT_2;
        let im = (magnitude - self.re).max(0.0).sqrt() / SQRT_2;
        Self { re, im: if self.im < 0.0 { -im } else { im } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first six samples and the 20th, 60th and 150th of an impulse response, from `scipy.signal.sosfilt`.
    type Oracle = ([f64; 6], [f64; 3]);

    fn check(filter: &Filter, (first, later): Oracle) {
        let response = filter.impulse_response(151);
        let got = response[..6].iter().chain([20, 60, 150].map(|k| &response[k]));
        for (k, (got, expected)) in got.zip(first.iter().chain(&later)).enumerate() {
            assert!((got - expected).abs() < 1e-9, "sample {k}: {got} is not scipy's {expected}");
        }
    }

    #[test]
    fn band_passes_are_scipys() {
        let even =
            [0.23130797944426512, 0.49502095734384477, 0.2375800233807854, -0.1232808553287846, -0.15070926620674882, -0.08116371061286277];
        check(&Filter::band_pass(2, 20.0, 450.0, 2000.0), (even, [-0.025319761544823835, 0.005976723786611455, -8.703040528417975e-05]));
        let odd =
            [0.5635747260765619, 0.35342186716578405, -0.5054869619213029, -0.06324535717830637, -0.1330460637383749, -0.20323396461324103];
        check(&Filter::band_pass(3, 20.0, 430.0, 1000.0), (odd, [0.030542578846043226, -0.0024365501183877, 2.9981909003282066e-06]));
        let steep = [
            0.08147679065666306,
            0.3171008756347389,
            0.39697235945230824,
            0.036685074787796645,
            -0.31724206181858605,
            -0.23745836354090402,
        ];
        check(&Filter::band_pass(4, 20.0, 450.0, 1800.0), (steep, [5.695765919278874e-05, -0.0031180317097236443, 4.164761735629608e-05]));
    }

    #[test]
    fn low_and_high_passes_are_scipys() {
        let slow = [
            8.765554875401463e-05,
            0.0003482856706031883,
            0.0006895933157979859,
            0.0010216810329684183,
            0.0013446749161772037,
            0.0016587009310666215,
        ];
        check(&Filter::low_pass(2, 6.0, 2000.0), (slow, [0.005377766263659224, 0.00859239356420648, 0.003283861378737007]));
        let odd =
            [0.004750523610980862, 0.024940653140399623, 0.06202633615813474, 0.1027339873775337, 0.1338970797753703, 0.1498853887374711];
        check(&Filter::low_pass(3, 6.0, 100.0), (odd, [-0.006980005643288847, -6.586964112770349e-07, -3.13386713882824e-13]));
        let high = [
            0.9149691441130827,
            -0.1622286725400397,
            -0.14671961296388197,
            -0.13161022601789113,
            -0.11705432321400203,
            -0.10317265455461345,
        ];
        check(&Filter::high_pass(2, 20.0, 1000.0), (high, [0.006187668546306989, -0.0005065350404395662, -2.0310882256138889e-07]));
        let high = [
            0.8158753202371106,
            -0.33171744563345895,
            -0.26328465171416576,
            -0.20373985235988357,
            -0.1523506715843603,
            -0.10841627150149553,
        ];
        check(&Filter::high_pass(5, 20.0, 1000.0), (high, [0.036736135893247465, 0.00962927722608397, -0.00018996418330986808]));
    }

    #[test]
    fn the_notch_is_scipys() {
        let first = [
            0.9973888361673892,
            -0.005144563678720626,
            -0.004927223988912486,
            -0.004590011509479401,
            -0.004141833864543081,
            -0.0035942773557773545,
        ];
        check(&Filter::notch(50.0, 30.0, 2000.0), (first, [0.004968965115521504, 0.004474993584570887, -4.6972541590883194e-05]));
    }

    #[test]
    fn edges_lie_at_minus_three_decibels() {
        let filter = Filter::band_pass(2, 20.0, 450.0, 2000.0).sections;
        for edge in [20.0, 450.0] {
            let gain: f64 = filter.iter().map(|section| section.magnitude(2.0 * PI * edge / 2000.0)).product();
            assert!((gain - 0.5f64.sqrt()).abs() < 1e-12, "{edge} Hz: {gain}");
        }
    }
}

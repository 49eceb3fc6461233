//! How does a quantity run smoothly through given points? Quintic pieces that meet with equal rate and acceleration.

/// A point that a curve passes: where, its value, first and second derivative there.
#[derive(Clone, Copy, Debug)]
pub struct Knot {
    /// Position on the axis.
    pub at: f64,
    /// Value there.
    pub value: f64,
    /// First derivative there.
    pub rate: f64,
    /// Second derivative there.
    pub acceleration: f64,
}

/// A knot at which the curve rests.
pub const fn rest(at: f64, value: f64) -> Knot {
    Knot { at, value, rate: 0.0, acceleration: 0.0 }
}

/// A knot that the curve passes at a rate.
pub const fn pass(at: f64, value: f64, rate: f64) -> Knot {
    Knot { at, value, rate, acceleration: 0.0 }
}

/// A twice differentiable curve; outside its knots it keeps the value of the nearest one.
#[derive(Clone, Debug)]
pub struct Curve {
    pieces: Vec<Piece>,
    /// Exactly the last knot's value, which the last piece only meets up to rounding.
    end: f64,
}

#[derive(Clone, Debug)]
struct Piece {
    from: f64,
    to: f64,
    coefficients: [f64; 6],
}

impl Curve {
    /// The curve through two or more knots, in order.
    pub fn new(knots: &[Knot]) -> Self {
        let end = knots.last().expect("a curve has knots").value;
        Self { pieces: knots.windows(2).map(|pair| Piece::new(pair[0], pair[1])).collect(), end }
    }

    /// The value at `x`.
    pub fn value(&self, x: f64) -> f64 {
        self.pieces.iter().find(|piece| x < piece.to).map_or(self.end, |piece| piece.value(x))
    }

    /// Value, first and second derivative at `x`, which must lie within the knots.
    pub fn derivatives(&self, x: f64) -> [f64; 3] {
        let last = self.pieces.len() - 1;
        let piece = self.pieces.iter().find(|piece| x < piece.to).unwrap_or(&self.pieces[last]);
        piece.derivatives(x)
    }
}

impl Piece {
    /// The quintic between two knots (Hermite form), in the distance from the first.
    fn new(a: Knot, b: Knot) -> Self {
        let h = b.at - a.at;
        let (step, rise) = (b.value - a.value, a.rate * h + a.acceleration * h * h / 2.0);
        let excess = step - rise;
        let rate = (b.rate - a.rate - a.acceleration * h) * h;
        let acceleration = (b.acceleration - a.acceleration) * h * h;
        let c3 = 10.0 * excess - 4.0 * rate + acceleration / 2.0;
        let c4 = -15.0 * excess + 7.0 * rate - acceleration;
        let c5 = 6.0 * excess - 3.0 * rate + acceleration / 2.0;
        let (h3, h4, h5) = (h * h * h, h * h * h * h, h * h * h * h * h);
        Self { from: a.at, to: b.at, coefficients: [a.value, a.rate, a.acceleration / 2.0, c3 / h3, c4 / h4, c5 / h5] }
    }

    fn value(&self, x: f64) -> f64 {
        let d = x.clamp(self.from, self.to) - self.from;
        self.coefficients.iter().rev().fold(0.0, |sum, c| sum * d + c)
    }

    fn derivatives(&self, x: f64) -> [f64; 3] {
        let d = x.clamp(self.from, self.to) - self.from;
        let [_, c1, c2, c3, c4, c5] = self.coefficients;
        let first = c1 + d * (2.0 * c2 + d * (3.0 * c3 + d * (4.0 * c4 + d * 5.0 * c5)));
        let second = 2.0 * c2 + d * (6.0 * c3 + d * (12.0 * c4 + d * 20.0 * c5));
        [self.value(x), first, second]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_meets_its_knots_with_their_derivatives() {
        let knots = [
            Knot { at: 0.0, value: 1.0, rate: -2.0, acceleration: 3.0 },
            Knot { at: 0.4, value: 0.5, rate: 4.0, acceleration: -5.0 },
            rest(1.0, 2.0),
        ];
        let curve = Curve::new(&knots);
        for knot in knots {
            let [value, rate, acceleration] = curve.derivatives(knot.at);
            assert!((value - knot.value).abs() < 1e-12 && (rate - knot.rate).abs() < 1e-10, "{value} {rate}");
            assert!((acceleration - knot.acceleration).abs() < 1e-9, "{acceleration}");
        }
        assert_eq!(curve.value(5.0), curve.value(1.0));
    }
}

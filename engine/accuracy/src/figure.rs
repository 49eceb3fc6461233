//! What is one measured figure, and where does it stand?

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// An error: less is better.
    Lower,
    /// A share found: more is better.
    Higher,
}

impl Better {
    /// Whether `value` is at least as good as `other`.
    pub fn reaches(self, value: f64, other: f64) -> bool {
        match self {
            Self::Lower => value <= other,
            Self::Higher => value >= other,
        }
    }
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Unique name, dotted: `orientation.broad_06.total`.
    pub name: String,
    /// What was measured; for a bias its absolute value.
    pub value: f64,
    /// Its unit: `deg`, `ms`, `cm`, `%`, `1`.
    pub unit: &'static str,
    /// Which way it gets better.
    pub better: Better,
    /// What must be reached.
    pub gate: Option<f64>,
    /// What is aimed at.
    pub aim: Option<f64>,
    /// The best published or measured method, and its figure on the same data.
    pub anchor: Option<(&'static str, f64)>,
}

/// Where a figure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Neither gate nor aim is set: it is measured to be watched.
    Watched,
    /// The aim is reached, or the gate where there is no aim.
    Reached,
    /// The gate is reached, the aim is not.
    Gate,
    /// The gate is missed.
    Missed,
}

impl Standing {
    /// As it stands in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Reached => "reached",
            Self::Gate => "gate, not aim",
            Self::Missed => "missed",
        }
    }
}

impl Figure {
    /// A figure that is better when it is lower, such as an error.
    pub fn lower(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, better: Better::Lower, gate: None, aim: None, anchor: None }
    }

    /// A figure that is better when it is higher, such as a share found.
    pub fn higher(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { better: Better::Higher, ..Self::lower(name, value, unit) }
    }

    /// The same with what must be reached.
    #[must_use]
    pub fn gate(self, gate: f64) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The same with what is aimed at.
    #[must_use]
    pub fn aim(self, aim: f64) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// The same with the figure of the best known method.
    #[must_use]
    pub fn anchor(self, method: &'static str, figure: f64) -> Self {
        Self { anchor: Some((method, figure)), ..self }
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        let reaches = |goal: Option<f64>| goal.map(|goal| self.better.reaches(self.value, goal));
        match (reaches(self.gate), reaches(self.aim)) {
            (_, Some(true)) | (Some(true), None) => Standing::Reached,
            (Some(true), Some(false)) => Standing::Gate,
            (Some(false), _) | (None, Some(false)) => Standing::Missed,
            (None, None) => Standing::Watched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_where_its_goals_put_it() {
        let of = |value: f64| Figure::lower("x", value, "deg").gate(4.0).aim(2.0).standing();
        assert_eq!([1.0, 3.0, 5.0, f64::NAN].map(of), [Standing::Reached, Standing::Gate, Standing::Missed, Standing::Missed]);
        let of = |value: f64| Figure::higher("x", value, "%").gate(90.0).standing();
        assert_eq!([95.0, 85.0].map(of), [Standing::Reached, Standing::Missed]);
        assert_eq!(Figure::lower("x", 1.0, "ms").standing(), Standing::Watched);
    }
}

//! Which figures does the repository hold, and which of today's are worse?

use std::collections::BTreeMap;

use crate::figure::{Better, Figure};

/// A figure is worse when it is so by more than this share: the same build gives the same bytes, and this covers what a
/// compiler may change.
const SHARE: f64 = 1e-3;

/// The figures of `figures.csv`, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded(BTreeMap<String, f64>);

impl Recorded {
    /// Those of this repository at the time of the build.
    pub fn of_repository() -> Self {
        Self::parse(include_str!("../figures.csv"))
    }

    fn parse(text: &str) -> Self {
        let rows = text.lines().skip(1).filter_map(|line| line.split_once(','));
        Self(rows.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// Today's figures in place of the recorded ones; those that were not measured today stay.
    #[must_use]
    pub fn with(mut self, figures: &[Figure]) -> Self {
        self.0.extend(figures.iter().map(|figure| (figure.name.clone(), figure.value)));
        self
    }

    /// As `figures.csv`.
    pub fn text(&self) -> String {
        let rows = self.0.iter().map(|(name, value)| format!("{name},{value:.6}\n"));
        std::iter::once("figure,value\n".to_owned()).chain(rows).collect()
    }

    /// The recorded value of a figure.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Whether a figure is worse than recorded; one that is not recorded is not.
    pub fn is_worse(&self, figure: &Figure) -> bool {
        let Some(recorded) = self.value(&figure.name) else { return false };
        let slack = recorded.abs() * SHARE + 1e-6;
        let worst = if figure.better == Better::Lower { recorded + slack } else { recorded - slack };
        !figure.better.reaches(figure.value, worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_than_recorded_is_told_in_either_direction() {
        let recorded = Recorded::default().with(&[Figure::lower("error", 2.0, "deg"), Figure::higher("found", 90.0, "%")]);
        assert_eq!(Recorded::parse(&recorded.text()), recorded);
        assert!(recorded.is_worse(&Figure::lower("error", 2.01, "deg")));
        assert!(recorded.is_worse(&Figure::lower("error", f64::NAN, "deg")));
        assert!(!recorded.is_worse(&Figure::lower("error", 1.0, "deg")));
        assert!(recorded.is_worse(&Figure::higher("found", 89.0, "%")));
        assert!(!recorded.is_worse(&Figure::higher("found", 90.0, "%")));
        assert!(!recorded.is_worse(&Figure::lower("new", 9.0, "deg")));
    }
}

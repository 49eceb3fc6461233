//! What does a person's answer to a questionnaire come to? Item scores and the value they make, by the instrument's own rule. The
//! questions' texts are protected and stand nowhere.

use serde::{Deserialize, Serialize};

/// An outcome instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instrument {
    /// Oswestry Disability Index 2.1a (Fairbank and Pynsent 2000): ten items from 0 to 5; the sum over the answered ones in percent
    /// of what they could come to.
    Odi,
    /// Numeric rating scale of pain: one item from 0 to 10.
    PainNrs,
}

/// What an instrument's items come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The value.
    pub value: f64,
    /// Its unit: `percent` or `points`.
    pub unit: &'static str,
    /// Items that were answered.
    pub answered: usize,
}

/// Why items give no score.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// Another number of items than the instrument has.
    #[error("{instrument} has {due} items, not {found}; write `-` for one that was not answered")]
    Items {
        /// The instrument.
        instrument: &'static str,
        /// How many it has.
        due: usize,
        /// How many came.
        found: usize,
    },
    /// An item above the instrument's scale.
    #[error("item {item} of {instrument} is {found}; the scale ends at {most}")]
    Scale {
        /// The instrument.
        instrument: &'static str,
        /// Which one, from 1.
        item: usize,
        /// What came.
        found: u8,
        /// The highest score of an item.
        most: u8,
    },
    /// Too few items were answered for a score.
    #[error("{instrument} needs {least} answered items, and {found} are")]
    TooFew {
        /// The instrument.
        instrument: &'static str,
        /// How many it needs.
        least: usize,
        /// How many were answered.
        found: usize,
    },
}

impl Instrument {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Odi, Self::PainNrs];

    /// As files and tables name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Odi => "odi",
            Self::PainNrs => "pain_nrs",
        }
    }

    /// Scores items in the order of the questionnaire, `None` for one that was not answered.
    ///
    /// # Errors
    /// [`OutcomeError`], when there is no score by the instrument's rule.
    pub fn score(self, items: &[Option<u8>]) -> Result<Score, OutcomeError> {
        let instrument = self.name();
        let (count, most, least) = match self {
            Self::Odi => (10, 5, 8),
            Self::PainNrs => (1, 10, 1),
        };
        if items.len() != count {
            return Err(OutcomeError::Items { instrument, due: count, found: items.len() });
        }
        let above = items.iter().enumerate().find_map(|(index, item)| item.filter(|item| *item > most).map(|found| (index + 1, found)));
        if let Some((item, found)) = above {
            return Err(OutcomeError::Scale { instrument, item, found, most });
        }
        let answered = items.iter().flatten().count();
        if answered < least {
            return Err(OutcomeError::TooFew { instrument, least, found: answered });
        }
        let sum: u32 = items.iter().flatten().map(|item| u32::from(*item)).sum();
        Ok(match self {
            Self::Odi => Score { value: f64::from(sum) / (f64::from(most) * answered as f64) * 100.0, unit: "percent", answered },
            Self::PainNrs => Score { value: f64::from(sum), unit: "points", answered },
        })
    }
}

impl std::str::FromStr for Instrument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|instrument| instrument.name() == text)
            .ok_or_else(|| format!("`{text}` is no instrument; there are {}", names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_follow_the_instruments_rules() {
        let odi = |text: &str| Instrument::Odi.score(&text.split(' ').map(|item| item.parse().ok()).collect::<Vec<_>>());
        let score = odi("3 2 1 - 4 2 0 5 3 1").expect("nine are enough");
        assert_eq!((score.unit, score.answered), ("percent", 9));
        assert!((score.value - 2100.0 / 45.0).abs() < 1e-12, "{}", score.value);
        assert_eq!(odi("5 5 5 5 5 5 5 5 5 5").expect("all").value, 100.0);
        assert_eq!(odi("3 2 1 - - - 0 5 3 1").expect_err("seven").to_string(), "odi needs 8 answered items, and 7 are");
        assert_eq!(odi("3 2").expect_err("two").to_string(), "odi has 10 items, not 2; write `-` for one that was not answered");
        assert_eq!(odi("0 0 6 0 0 0 0 0 0 0").expect_err("six").to_string(), "item 3 of odi is 6; the scale ends at 5");
        assert_eq!(Instrument::PainNrs.score(&[Some(7)]), Ok(Score { value: 7.0, unit: "points", answered: 1 }));
        assert!(Instrument::PainNrs.score(&[Some(11)]).is_err() && Instrument::PainNrs.score(&[None]).is_err());
        assert_eq!("odi".parse(), Ok(Instrument::Odi));
        assert_eq!("vas".parse::<Instrument>().expect_err("unknown"), "`vas` is no instrument; there are odi, pain_nrs");
    }
}

//! Which order of muscles is expected around a reference event? `tra_io_contralateral before lumbar_load within -100..50 ms`, read.

use proprio_core::quantity::{Dimension, split_number_and_unit};

/// Muscles that come on in this order, the first of them within a window around a reference event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// In the order that is declared.
    pub muscles: Vec<Name>,
    /// What their latencies count from: with its side, without one, or without one where it has none.
    pub reference: String,
    /// Where a latency is as it should be, in nanoseconds.
    pub window_ns: [i64; 2],
}

/// A muscle whose side is written out, or told relative to the reference event's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// As it stands: `tra_io_right`.
    Exact(String),
    /// `<muscle>_ipsilateral`: on the side of the reference event.
    Ipsilateral(String),
    /// `<muscle>_contralateral`: on the other side.
    Contralateral(String),
}

/// A text that is no expectation, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpectationError(String);

impl Expectation {
    /// Reads `<muscle> before <muscle> before … before <reference> within <from>..<to> ms`.
    ///
    /// # Errors
    /// When a part is missing, a name is no name or occurs twice, or the window is empty.
    pub fn parse(text: &str) -> Result<Self, ExpectationError> {
        let refuse = |what: String| ExpectationError(what);
        let (chain, window) = text.split_once(" within ").ok_or_else(|| refuse(format!("`{text}` has no window")))?;
        let window_ns = parse_window(window)?;
        let mut names: Vec<&str> = chain.split(" before ").map(str::trim).collect();
        if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
            return Err(refuse(format!("`{wrong}` is no name: lower case letters, digits and underscores")));
        }
        let reference = names.pop().filter(|_| !names.is_empty()).ok_or_else(|| refuse(format!("`{chain}` names no order")))?;
        if side_of(reference).is_some_and(|(_, side)| side == "ipsilateral" || side == "contralateral") {
            return Err(refuse(format!("`{reference}`: sides are relative to the reference, so its own can't be")));
        }
        if let Some(twice) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name) || **name == reference) {
            return Err(refuse(format!("`{}` is named twice", twice.1)));
        }
        Ok(Self { muscles: names.into_iter().map(Name::parse).collect(), reference: reference.to_owned(), window_ns })
    }

    /// Every muscle that it can mean, with its side, sorted.
    pub fn watched(&self) -> Vec<String> {
        let sides = side_of(&self.reference).map_or([Some("left"), Some("right")], |(_, side)| [Some(side), None]);
        let mut names: Vec<String> = self.muscles.iter().flat_map(|name| sides.iter().filter_map(|side| name.resolve(*side))).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Name {
    fn parse(name: &str) -> Self {
        match side_of(name) {
            Some((base, "ipsilateral")) => Self::Ipsilateral(base.to_owned()),
            Some((base, "contralateral")) => Self::Contralateral(base.to_owned()),
            _ => Self::Exact(name.to_owned()),
        }
    }

    /// As it was written.
    pub fn written(&self) -> String {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Ipsilateral(base) => format!("{base}_ipsilateral"),
            Self::Contralateral(base) => format!("{base}_contralateral"),
        }
    }

    /// The muscle, for a reference event of this side (`left`, `right` or none); none where that leaves it open.
    pub fn resolve(&self, side: Option<&str>) -> Option<String> {
        let other = |side: &str| if side == "left" { "right" } else { "left" };
        match self {
            Self::Exact(name) => Some(name.clone()),
            Self::Ipsilateral(base) => side.map(|side| format!("{base}_{side}")),
            Self::Contralateral(base) => side.map(|side| format!("{base}_{}", other(side))),
        }
    }
}

/// A name's last part where that is a side, and what stands before it.
pub fn side_of(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('_').filter(|(base, side)| !base.is_empty() && matches!(*side, "left" | "right" | "ipsilateral" | "contralateral"))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// `-100..50 ms` or `-0.1 s..50 ms`: a first edge without a unit has the second one's.
fn parse_window(text: &str) -> Result<[i64; 2], ExpectationError> {
    let refuse = |why: &str| ExpectationError(format!("`{}` {why}; a window is due, such as `-100..50 ms`", text.trim()));
    let (from, to) = text.split_once("..").ok_or_else(|| refuse("has no `..`"))?;
    let unit = split_number_and_unit(to).1;
    let from = if split_number_and_unit(from).1.is_empty() { format!("{} {unit}", from.trim()) } else { from.to_owned() };
    let edge = |text: &str| Dimension::DURATION.parse(text).map(|seconds| (seconds * 1e9).round() as i64);
    let (Ok(from), Ok(to)) = (edge(&from), edge(to)) else { return Err(refuse("can't be read")) };
    if from >= to { Err(refuse("is empty")) } else { Ok([from, to]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_read_with_its_sides() {
        let read = Expectation::parse("tra_io_contralateral before gluteus_medius_left before lumbar_load within -100..50 ms");
        let read = read.expect("an expectation");
        assert_eq!(read.muscles, [Name::Contralateral("tra_io".into()), Name::Exact("gluteus_medius_left".into())]);
        assert_eq!((read.reference.as_str(), read.window_ns), ("lumbar_load", [-100_000_000, 50_000_000]));
        assert_eq!(read.muscles[0].resolve(Some("left")).as_deref(), Some("tra_io_right"));
        assert_eq!(read.muscles[0].resolve(None), None);
        assert_eq!(Expectation::parse("a before b within -0.1 s..50 ms").expect("one").window_ns, [-100_000_000, 50_000_000]);
    }

    #[test]
    fn what_is_no_expectation_says_why() {
        for (text, why) in [
            ("tra_io before load", "no window"),
            ("load within -100..50 ms", "no order"),
            ("TrA/IO before load within -100..50 ms", "no name"),
            ("a before b within 50..-100 ms", "empty"),
            ("a before b within 1..2", "can't be read"),
            ("a before b within 1 ms", "no `..`"),
            ("a before a before b within 1..2 ms", "twice"),
            ("a before b_ipsilateral within 1..2 ms", "can't be"),
        ] {
            let error = Expectation::parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

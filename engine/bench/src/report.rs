//! What came out: how long each took, how many times as long as we, and whether they found the same.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::machine::Machine;
use crate::peer::Peer;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// Works, in the order that they were run in.
    pub measured: Vec<Measured>,
    /// What could not be run.
    pub skipped: Vec<Skipped>,
}

/// One work.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Its name.
    pub work: &'static str,
    /// Values that entered.
    pub events: u64,
    /// Bytes of them as messages.
    pub bytes: u64,
    /// Rows that came out, over all tables.
    pub rows: u64,
    /// Bytes of them in memory.
    pub row_bytes: u64,
    /// Our rounds, in seconds.
    #[serde(serialize_with = "seconds", rename = "ours_s")]
    pub took: Vec<Duration>,
    /// The peers.
    pub compared: Vec<Compared>,
}

/// A peer's side of a work.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Its name.
    pub peer: &'static str,
    /// Its versions.
    pub packages: &'static [&'static str],
    /// Its very first run, with whatever it compiles then, in seconds; no round.
    #[serde(serialize_with = "second", rename = "first_s")]
    pub first: Duration,
    /// Its rounds, in seconds, each next to ours.
    #[serde(serialize_with = "seconds", rename = "theirs_s")]
    pub took: Vec<Duration>,
    /// How many times as long as we it takes, by rounds: the median, the least and the greatest.
    pub ratio: Spread,
    /// What the ratio must be,
    pub at_least: f64,
    /// and should be.
    pub aim: f64,
    /// Where it stands.
    pub stands: Standing,
    /// How near the answers are, or how they differ.
    pub answers: String,
}

/// A median between the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The median; of an even count the mean of both in the middle.
    pub median: f64,
    /// The greatest.
    pub greatest: f64,
}

/// Where a ratio stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// At the aim or beyond.
    Aim,
    /// What it must be.
    AtLeast,
    /// Below that.
    Below,
    /// The answers differ, so the ratio tells nothing.
    OtherAnswer,
}

/// What could not be run.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// The work.
    pub work: &'static str,
    /// The peer; none for all of the work.
    pub peer: Option<&'static str>,
    /// Why.
    pub why: String,
}

impl Skipped {
    /// A work, or one of its peers, and what it lacks.
    pub fn new(work: &'static str, peer: Option<&'static str>, why: &impl ToString) -> Self {
        Self { work, peer, why: why.to_string() }
    }
}

impl Compared {
    /// Both sides of each round, and what the comparison of the answers gave.
    pub fn new(peer: &Peer, ours: &[Duration], first: Duration, theirs: &[Duration], agreed: Result<String, String>) -> Self {
        let ratio = Spread::of(ours.iter().zip(theirs).map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64()));
        let stands = match &agreed {
            Err(_) => Standing::OtherAnswer,
            Ok(_) if ratio.median >= peer.aim => Standing::Aim,
            Ok(_) if ratio.median >= peer.at_least => Standing::AtLeast,
            Ok(_) => Standing::Below,
        };
        Self {
            peer: peer.name,
            packages: peer.packages,
            first,
            took: theirs.to_vec(),
            ratio,
            at_least: peer.at_least,
            aim: peer.aim,
            stands,
            answers: agreed.unwrap_or_else(|differs| differs),
        }
    }
}

impl Spread {
    /// Of some values, at least one.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] };
        Self { least: values[0], median, greatest: values[values.len() - 1] }
    }

    fn of_seconds(took: &[Duration]) -> Self {
        Self::of(took.iter().map(Duration::as_secs_f64))
    }
}

impl Standing {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aim => "aim",
            Self::AtLeast => "at least",
            Self::Below => "BELOW",
            Self::OtherAnswer => "OTHER ANSWER",
        }
    }
}

fn second<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

fn seconds<S: Serializer>(took: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(took.iter().map(Duration::as_secs_f64))
}

/// A table for people: medians, and in brackets the least and the greatest.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, threads, is_release, build } = &self.machine;
        writeln!(f, "{processor}, {threads} threads; build {build}; every program on one thread, milliseconds of processor time")?;
        if !is_release {
            writeln!(f, "THIS BUILD IS NOT OPTIMISED: the figures tell nothing; use `cargo run --release`")?;
        }
        writeln!(
            f,
            "\n{:14} {:>9} {:>24}  {:24} {:>24} {:>24} {:>8} {:>6}  stands",
            "work", "M ev/s", "ours ms", "peer", "peer ms", "ratio", "at least", "aim"
        )?;
        for measured in &self.measured {
            let ours = Spread::of_seconds(&measured.took);
            let rate = measured.events as f64 / ours.median / 1e6;
            let begins = format!("{:14} {rate:>9.2} {:>24}", measured.work, milliseconds(ours));
            if measured.compared.is_empty() {
                writeln!(f, "{begins}")?;
            }
            for (index, compared) in measured.compared.iter().enumerate() {
                let Compared { peer, took, ratio, at_least, aim, stands, .. } = compared;
                let ratio = format!("{} [{}–{}]", digits(ratio.median), digits(ratio.least), digits(ratio.greatest));
                let begins = if index == 0 { begins.clone() } else { " ".repeat(begins.chars().count()) };
                let theirs = milliseconds(Spread::of_seconds(took));
                writeln!(
                    f,
                    "{begins}  {peer:24} {theirs:>24} {ratio:>24} {:>8} {:>6}  {}",
                    digits(*at_least),
                    digits(*aim),
                    stands.name()
                )?;
            }
        }
        writeln!(f)?;
        for (measured, compared) in
            self.measured.iter().flat_map(|measured| measured.compared.iter().map(move |compared| (measured, compared)))
        {
            writeln!(
                f,
                "{} and {}: {}; its first run took {:.1} s",
                measured.work,
                compared.peer,
                compared.answers,
                compared.first.as_secs_f64()
            )?;
        }
        for Skipped { work, peer, why } in &self.skipped {
            writeln!(f, "not run: {work}{} ({why})", peer.map_or_else(String::new, |peer| format!(", {peer}")))?;
        }
        Ok(())
    }
}

/// Three digits that count, at least.
fn digits(value: f64) -> String {
    if value < 0.1 { format!("{value:.4}") } else { format!("{value:.2}") }
}

fn milliseconds(spread: Spread) -> String {
    let Spread { least, median, greatest } = spread;
    format!("{:.1} [{:.1}–{:.1}]", median * 1e3, least * 1e3, greatest * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer { name: "p", packages: &[], script: "", agree: |_, _| Ok(String::new()), at_least: 2.0, aim: 4.0 }
    }

    #[test]
    fn a_ratio_is_the_median_of_rounds() {
        let seconds = |all: &[u64]| all.iter().map(|s| Duration::from_secs(*s)).collect::<Vec<_>>();
        let compared = Compared::new(&peer(), &seconds(&[1, 2, 1]), Duration::ZERO, &seconds(&[3, 8, 2]), Ok(String::new()));
        assert_eq!(compared.ratio, Spread { least: 2.0, median: 3.0, greatest: 4.0 });
        assert_eq!(compared.stands, Standing::AtLeast);
        let below = Compared::new(&peer(), &seconds(&[1, 1]), Duration::ZERO, &seconds(&[1, 2]), Ok(String::new()));
        assert_eq!((below.ratio.median, below.stands), (1.5, Standing::Below));
        let other = Compared::new(&peer(), &seconds(&[1]), Duration::ZERO, &seconds(&[9]), Err(String::new()));
        assert_eq!(other.stands, Standing::OtherAnswer);
    }
}

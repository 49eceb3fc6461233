//! Which sessions does a person mean?

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use proprio_core::TimeNs;

/// Which sessions a command is about.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionsArg {
    /// Which sessions: `all`; their ids; `since 2026-03-01` (UTC, by their start); or `subject S-17`.
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "WHICH")]
    sessions: Vec<String>,
}

/// Sessions, as a person names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    All,
    /// Those with these ids.
    Ids(BTreeSet<String>),
    /// Those that began at or after this arrival time.
    Since(TimeNs),
    /// Those of the person with this pseudonym.
    Subject(String),
}

impl SessionsArg {
    /// What was written.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn selection(&self) -> anyhow::Result<Selection> {
        let words: Vec<&str> =
            self.sessions.iter().flat_map(|word| word.split_once(' ').map_or(vec![&**word], |(a, b)| vec![a, b])).collect();
        Ok(match words[..] {
            ["all"] => Selection::All,
            ["since", date] => Selection::Since(instant(date)?),
            ["subject", subject] => Selection::Subject(subject.to_owned()),
            ["since" | "subject", ..] | ["all", ..] => bail!("`--sessions {}` can't be read; see --help", words.join(" ")),
            _ => Selection::Ids(words.into_iter().map(str::to_owned).collect()),
        })
    }
}

impl Selection {
    /// Whether a session is meant.
    pub fn takes(&self, id: &str, subject: Option<&str>, start_ns: TimeNs) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(id),
            Self::Since(since_ns) => start_ns >= *since_ns,
            Self::Subject(wanted) => subject == Some(wanted),
        }
    }

    /// Refuses a selection that none, or a name in it that no session has.
    ///
    /// # Errors
    /// Naming what was not found.
    pub fn must_be_among(&self, found: &BTreeSet<&str>) -> anyhow::Result<()> {
        if let Self::Ids(ids) = self {
            let unknown: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !found.contains(id)).collect();
            anyhow::ensure!(unknown.is_empty(), "there is no session {}", unknown.join(", "));
        }
        anyhow::ensure!(!found.is_empty(), "there is no such session");
        Ok(())
    }
}

/// A day's beginning in UTC, or an RFC 3339 instant.
///
/// # Errors
/// When it is neither.
pub fn instant(text: &str) -> anyhow::Result<TimeNs> {
    let day = format!("{text}T00:00:00Z");
    let time = chrono::DateTime::parse_from_rfc3339(text).or_else(|_| chrono::DateTime::parse_from_rfc3339(&day));
    let time = time.with_context(|| format!("`{text}` is no date; write 2026-03-01 or 2026-03-01T14:00:00Z"))?;
    time.timestamp_nanos_opt().with_context(|| format!("`{text}` is beyond the years that are counted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(words: &[&str]) -> anyhow::Result<Selection> {
        SessionsArg { sessions: words.iter().map(|word| (*word).to_owned()).collect() }.selection()
    }

    #[test]
    fn sessions_are_named_in_words() {
        assert_eq!(selection(&["all"]).expect("all"), Selection::All);
        assert_eq!(selection(&["subject", "S-17"]).expect("a subject"), Selection::Subject("S-17".to_owned()));
        assert_eq!(selection(&["since 1970-01-02"]).expect("a day"), Selection::Since(86_400_000_000_000));
        assert_eq!(selection(&["since", "1970-01-01T00:00:01Z"]).expect("an instant"), Selection::Since(1_000_000_000));
        let two = selection(&["a", "b"]).expect("ids");
        assert!(two.takes("b", None, 0) && !two.takes("c", None, 0));
        assert!(two.must_be_among(&BTreeSet::from(["a"])).is_err());
        for wrong in [&["since", "yesterday"][..], &["since"], &["all", "a"]] {
            assert!(selection(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! How does a word go on that a person has begun: as a table, a column, a function, a keyword or a command?

use std::collections::{BTreeMap, BTreeSet};

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::meta::COMMANDS;
use super::statements::{is_blank, split};

const KEYWORDS: [&str; 30] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "JOIN",
    "LEFT JOIN",
    "ASOF JOIN",
    "MATCH_CONDITION",
    "ON",
    "USING",
    "AS",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "IS",
    "IN",
    "BETWEEN",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "DISTINCT",
    "UNION ALL",
    "WITH",
    "INTERVAL",
];
/// What stands before a table.
const BEFORE_TABLES: [&str; 5] = ["FROM", "JOIN", "DESCRIBE", "INTO", r"\D"];

/// What can be named in a statement.
#[derive(Debug, Default)]
pub struct Names {
    /// Columns by table or view.
    pub columns: BTreeMap<String, Vec<String>>,
    /// Functions.
    pub functions: BTreeSet<String>,
}

impl Names {
    /// Where the word begins that ends at `end`, and how it may go on, in order.
    pub fn candidates(&self, text: &str, end: usize) -> (usize, Vec<String>) {
        let before = &text[..end];
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let start = before.trim_end_matches(is_part).len();
        let (word, lead) = (&before[start..], &before[..start]);
        if lead.ends_with('\\') {
            let start = start - 1;
            let names: BTreeSet<&str> = COMMANDS.iter().filter_map(|(command, _)| command.split(' ').next()).collect();
            return (start, names.into_iter().filter(|name| name.starts_with(&before[start..])).map(str::to_owned).collect());
        }
        if let Some(owner) = lead.strip_suffix('.') {
            let owner = &owner[owner.trim_end_matches(is_part).len()..];
            return (start, begin_with(word, self.columns_of(owner, text).map(String::as_str)));
        }
        let last = lead.split_whitespace().next_back().unwrap_or_default().to_uppercase();
        if BEFORE_TABLES.contains(&last.as_str()) {
            return (start, begin_with(word, self.columns.keys().map(String::as_str)));
        }
        let mut found = begin_with(word, self.named(text).flat_map(|(_, columns)| columns).map(String::as_str));
        if !word.is_empty() {
            found.extend(begin_with(word, self.functions.iter().map(String::as_str)).into_iter().map(|name| name + "("));
            found.extend(begin_with(word, KEYWORDS.into_iter()));
        }
        (start, found)
    }

    /// The columns of a table, or of what an alias stands for: the table that is named right before it.
    fn columns_of<'n>(&'n self, owner: &'n str, text: &'n str) -> impl Iterator<Item = &'n String> {
        let words: Vec<&str> = text.split(|letter: char| letter.is_whitespace() || letter == ',').filter(|word| !word.is_empty()).collect();
        let named = words.iter().position(|word| *word == owner).and_then(|at| {
            let before = words[..at].iter().rev().find(|word| !word.eq_ignore_ascii_case("AS"));
            before.and_then(|table| self.columns.get(*table))
        });
        self.columns.get(owner).or(named).into_iter().flatten()
    }

    /// The tables that a text names.
    fn named<'n>(&'n self, text: &'n str) -> impl Iterator<Item = (&'n String, &'n Vec<String>)> {
        let words: BTreeSet<&str> = text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '-')).collect();
        self.columns.iter().filter(move |(table, _)| words.contains(table.as_str()))
    }
}

/// Those that begin with a word, whatever the case, each once.
fn begin_with<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let begins = |name: &&str| name.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    names.filter(begins).collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

/// What the line editor asks while a person types.
#[derive(Debug, Default)]
pub struct Typing {
    /// What can be named.
    pub names: Names,
}

impl Completer for Typing {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.names.candidates(line, at))
    }
}

/// A line goes on until its last statement is whole.
impl Validator for Typing {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let (_, rest) = split(typed.input());
        let whole = is_blank(&typed.input()[rest..]);
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for Typing {
    type Hint = String;
}

impl Highlighter for Typing {}

impl Helper for Typing {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Names {
            columns: BTreeMap::from([
                ("imu".to_owned(), columns(&["time", "time_ns", "gyro_x_rad_per_s"])),
                ("imu_latest".to_owned(), columns(&["time"])),
                ("emg".to_owned(), columns(&["time", "vastus_uV"])),
            ]),
            functions: ["avg", "to_timestamp"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn words_go_on_by_where_they_stand() {
        for (text, expected) in [
            ("SELECT * FROM im", vec!["imu", "imu_latest"]),
            ("SELECT * FROM imu JOIN ", vec!["emg", "imu", "imu_latest"]),
            ("SELECT i.| FROM imu AS i", vec!["gyro_x_rad_per_s", "time", "time_ns"]),
            ("SELECT e.va| FROM imu i, emg e", vec!["vastus_uV"]),
            ("SELECT imu.GY| FROM imu", vec!["gyro_x_rad_per_s"]),
            ("SELECT ti| FROM emg", vec!["time"]),
            ("SELECT a", vec!["avg(", "AND", "AS", "ASOF JOIN"]),
            ("SELECT unknown.t| FROM imu", vec![]),
            (r"\d em", vec!["emg"]),
            (r"\t", vec![r"\timing"]),
            (r"\d", vec![r"\d", r"\df", r"\dt"]),
        ] {
            let at = text.find('|').unwrap_or(text.len());
            let (start, found) = names().candidates(&text.replace('|', ""), at);
            assert_eq!(found, expected, "{text}");
            assert!(start <= at);
        }
    }
}

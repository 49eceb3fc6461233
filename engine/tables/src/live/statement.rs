//! What does a `SUBSCRIBE` ask for: from when, with what beside the rows, and what waits for a slow reader?
//!
//! `SUBSCRIBE [FROM '<time>' | WITH SNAPSHOT] [WITH PROGRESS] [TAIL <n> MB | BLOCK] <query>`, options in any order. It begins with
//! the rows that come from now on, unless `FROM` or `WITH SNAPSHOT` has those first that are there already.

use arrow_cast::parse::string_to_timestamp_nanos;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use proprio_core::TimeNs;

use crate::error::TablesError;

/// What waits for a reader at most, unless it says otherwise.
const TAIL_BYTES: usize = 8 << 20;
/// What a reader may ask for at most, in megabytes.
const TAIL_MB_MAX: u64 = 64;

/// A live query as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) start: Start,
    pub(crate) progress: bool,
    pub(crate) keep: Keep,
    /// The SELECT.
    pub(crate) query: String,
}

/// Which rows come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Those that are appended from now on.
    Now,
    /// Those of this time or later that are there already.
    From(TimeNs),
    /// All that are there already.
    Snapshot,
}

/// What is kept for a reader that is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The newest rows; older ones are dropped and counted.
    Newest {
        /// Of each table that is followed.
        bytes: usize,
    },
    /// Every row: the live query ends with an error when they are too many.
    All,
}

/// Whether a text is a `SUBSCRIBE`, whatever follows.
pub fn is_subscription(sql: &str) -> bool {
    tokens(sql).is_ok_and(|tokens| tokens.first().is_some_and(|token| is_word(token, "SUBSCRIBE")))
}

impl Statement {
    /// Parses a `SUBSCRIBE`.
    ///
    /// # Errors
    /// An option that isn't one, is given twice or contradicts another.
    pub(crate) fn parse(sql: &str) -> Result<Self, TablesError> {
        let all = tokens(sql)?;
        let mut rest = all.as_slice();
        take_words(&mut rest, &["SUBSCRIBE"]).then_some(()).ok_or_else(|| wrong("a live query begins with SUBSCRIBE"))?;
        let (mut start, mut keep, mut progress) = (None, None, false);
        loop {
            let twice = if take_words(&mut rest, &["WITH", "SNAPSHOT"]) {
                start.replace(Start::Snapshot).is_some()
            } else if take_words(&mut rest, &["WITH", "PROGRESS"]) {
                std::mem::replace(&mut progress, true)
            } else if take_words(&mut rest, &["FROM"]) {
                start.replace(Start::From(time(&mut rest)?)).is_some()
            } else if take_words(&mut rest, &["TAIL"]) {
                keep.replace(tail(&mut rest)?).is_some()
            } else if take_words(&mut rest, &["BLOCK"]) {
                keep.replace(Keep::All).is_some()
            } else {
                break;
            };
            if twice {
                return Err(wrong("FROM or WITH SNAPSHOT, WITH PROGRESS, and TAIL or BLOCK may stand once each"));
            }
        }
        let Some(first) = rest.first().filter(|token| begins_query(token)) else {
            let found = rest.first().map_or_else(|| "nothing".to_owned(), |token| format!("`{}`", token.token));
            return Err(wrong(&format!("after SUBSCRIBE and its options comes a SELECT, not {found}")));
        };
        let query = sql[offset(sql, first.span.start)..].trim_end().trim_end_matches(';').trim_end().to_owned();
        let keep = keep.unwrap_or(Keep::Newest { bytes: TAIL_BYTES });
        Ok(Self { start: start.unwrap_or(Start::Now), progress, keep, query })
    }
}

/// The tokens that mean something.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, TablesError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| TablesError::Sql { message: error.to_string() })?;
    Ok(tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect())
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// `WITH name AS (…)` begins a query, as a SELECT and a parenthesis do.
fn begins_query(token: &TokenWithSpan) -> bool {
    token.token == Token::LParen || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| is_word(token, word))
}

/// Takes the words of an option, if they stand first.
fn take_words(rest: &mut &[TokenWithSpan], words: &[&str]) -> bool {
    let Some((found, after)) = rest.split_at_checked(words.len()) else { return false };
    let is_option = found.iter().zip(words).all(|(token, word)| is_word(token, word)) && !(words[0] == "WITH" && goes_on_a_name(after));
    if is_option {
        *rest = after;
    }
    is_option
}

/// Whether `WITH` and the word before this name a table of the query: `WITH progress AS (…)`, `WITH progress (a, b) AS (…)`.
fn goes_on_a_name(after: &[TokenWithSpan]) -> bool {
    match after {
        [token, ..] if is_word(token, "AS") => true,
        [parenthesis, first, ..] => parenthesis.token == Token::LParen && !begins_query(first),
        _ => false,
    }
}

fn time(rest: &mut &[TokenWithSpan]) -> Result<TimeNs, TablesError> {
    let Some((TokenWithSpan { token: Token::SingleQuotedString(text), .. }, after)) = rest.split_first() else {
        return Err(wrong("FROM wants a time, such as FROM '2026-11-23T10:00:00Z'"));
    };
    *rest = after;
    string_to_timestamp_nanos(text).map_err(|_| wrong(&format!("'{text}' is no time: write it as '2026-11-23T10:00:00Z'")))
}

fn tail(rest: &mut &[TokenWithSpan]) -> Result<Keep, TablesError> {
    let refused = || wrong(&format!("TAIL wants how much may wait, from 1 MB to {TAIL_MB_MAX} MB, such as TAIL 16 MB"));
    let [TokenWithSpan { token: Token::Number(number, _), .. }, unit, after @ ..] = *rest else { return Err(refused()) };
    let megabytes = number.parse::<u64>().ok().filter(|megabytes| (1..=TAIL_MB_MAX).contains(megabytes) && is_word(unit, "MB"));
    *rest = after;
    Ok(Keep::Newest { bytes: (megabytes.ok_or_else(refused)? as usize) << 20 })
}

/// Where in the text, in bytes, a place given in lines and characters is.
fn offset(sql: &str, place: Location) -> usize {
    let line: usize = sql.split_inclusive('\n').take(place.line as usize - 1).map(str::len).sum();
    line + sql[line..].chars().take(place.column as usize - 1).map(char::len_utf8).sum::<usize>()
}

fn wrong(message: &str) -> TablesError {
    TablesError::Sql { message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_in_any_order_before_the_query() {
        let newest = |mb: usize| Keep::Newest { bytes: mb << 20 };
        let cases = [
            ("subscribe select 1", (Start::Now, false, newest(8), "select 1")),
            ("SUBSCRIBE FROM '1970-01-01T00:00:01Z' SELECT 'it''s' ;", (Start::From(1_000_000_000), false, newest(8), "SELECT 'it''s'")),
            ("SUBSCRIBE WITH PROGRESS\n -- ü\n BLOCK WITH SNAPSHOT\n  SELECT 1", (Start::Snapshot, true, Keep::All, "SELECT 1")),
            (
                "SUBSCRIBE TAIL 16 MB WITH a AS (SELECT 1) SELECT * FROM a",
                (Start::Now, false, newest(16), "WITH a AS (SELECT 1) SELECT * FROM a"),
            ),
            ("SUBSCRIBE WITH progress AS (SELECT 1) SELECT 2", (Start::Now, false, newest(8), "WITH progress AS (SELECT 1) SELECT 2")),
            (
                "SUBSCRIBE WITH progress (a) AS (SELECT 1) SELECT 2",
                (Start::Now, false, newest(8), "WITH progress (a) AS (SELECT 1) SELECT 2"),
            ),
            ("SUBSCRIBE WITH PROGRESS (SELECT 1)", (Start::Now, true, newest(8), "(SELECT 1)")),
            ("/* ü */ SUBSCRIBE /* ü */ SELECT 'ü'", (Start::Now, false, newest(8), "SELECT 'ü'")),
        ];
        for (sql, (start, progress, keep, query)) in cases {
            assert!(is_subscription(sql), "{sql}");
            let expected = Statement { start, progress, keep, query: query.to_owned() };
            assert_eq!(Statement::parse(sql).expect(sql), expected, "{sql}");
        }
        assert!(!is_subscription("SELECT 'SUBSCRIBE'") && !is_subscription("") && !is_subscription("\"SUBSCRIBE\" x"));
    }

    #[test]
    fn what_is_no_option_is_refused_with_the_fix() {
        for (sql, says) in [
            ("SUBSCRIBE", "not nothing"),
            ("SUBSCRIBE TO SELECT 1", "not `TO`"),
            ("SUBSCRIBE FROM SELECT 1", "FROM '2026-11-23T10:00:00Z'"),
            ("SUBSCRIBE FROM 'yesterday' SELECT 1", "'yesterday' is no time"),
            ("SUBSCRIBE TAIL 16 SELECT 1", "TAIL 16 MB"),
            ("SUBSCRIBE TAIL 0 MB SELECT 1", "from 1 MB"),
            ("SUBSCRIBE TAIL 1 MB BLOCK SELECT 1", "once each"),
            ("SUBSCRIBE WITH SNAPSHOT FROM '1970-01-01T00:00:01Z' SELECT 1", "once each"),
        ] {
            let error = Statement::parse(sql).expect_err(sql).to_string();
            assert!(error.contains(says), "{sql}: {error}");
        }
    }
}

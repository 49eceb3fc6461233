//! What is said beside questions: transactions that hold nothing, settings that change nothing here, and cursors?

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::copy::{self, Form};
use crate::error::AskError;

/// What a statement is, before it is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A question for the tables, which may be a `SUBSCRIBE`.
    Query(String),
    /// COPY of a question's answer TO STDOUT.
    Copy { sql: String, form: Form },
    /// BEGIN.
    Begin,
    /// COMMIT or ROLLBACK, by its tag.
    End(&'static str),
    /// Nothing to do, by its tag.
    Nothing(&'static str),
    /// SET, or RESET without a value.
    Set { name: String, value: Option<String> },
    /// SHOW of a setting.
    Show(String),
    /// DECLARE … CURSOR FOR a query.
    Declare { cursor: String, sql: String },
    /// FETCH so many rows.
    Fetch { cursor: String, rows: usize },
    /// CLOSE of one cursor, or of all.
    Close(Option<String>),
}

impl Command {
    /// Whether its answer goes out as it comes.
    pub fn is_streamed(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Copy { .. })
    }
}

/// Whether a statement begins as one does that would change something.
pub fn would_write(sql: &str) -> bool {
    const WRITES: [&str; 13] =
        ["ALTER", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "LOCK", "MERGE", "NOTIFY", "REVOKE", "TRUNCATE", "UPDATE", "VACUUM"];
    let first = sql.split(|letter: char| !letter.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    WRITES.iter().any(|write| first.eq_ignore_ascii_case(write))
}

/// The settings that clients ask for.
pub fn settings() -> BTreeMap<String, String> {
    let known = [
        ("application_name", ""),
        ("client_encoding", "UTF8"),
        ("client_min_messages", "notice"),
        ("datestyle", "ISO, MDY"),
        ("default_transaction_read_only", "on"),
        ("extra_float_digits", "1"),
        ("intervalstyle", "postgres"),
        ("lock_timeout", "0"),
        ("max_identifier_length", "63"),
        ("search_path", "public"),
        ("server_encoding", "UTF8"),
        ("server_version", "16.6"),
        ("server_version_num", "160006"),
        ("standard_conforming_strings", "on"),
        ("statement_timeout", "0"),
        ("timezone", "UTC"),
        ("transaction_isolation", "repeatable read"),
        ("transaction_read_only", "on"),
    ];
    known.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A duration as PostgreSQL writes it: milliseconds, or a number with a unit.
pub fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let units = [("ms", 1), ("min", 60_000), ("s", 1000), ("h", 3_600_000)];
    let split = units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)));
    let (number, ms) = split.unwrap_or((text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(ms)
}

/// The statements of a text, in order, without what ends them.
///
/// # Errors
/// When it can't be split into words.
pub fn statements(text: &str) -> Result<Vec<String>, AskError> {
    let tokens = tokens(text)?;
    let is_said = |tokens: &&[Token]| tokens.iter().any(|token| !matches!(token, Token::Whitespace(_)));
    Ok(tokens.split(|token| *token == Token::SemiColon).filter(is_said).map(joined).collect())
}

/// What one statement is.
///
/// # Errors
/// When it can't be split into words, or says what there isn't here.
pub fn command(statement: &str) -> Result<Command, AskError> {
    let tokens = tokens(statement)?;
    let said: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let word = |at: usize| said.get(at).map(|token| token.to_string().to_uppercase()).unwrap_or_default();
    Ok(match (word(0).as_str(), word(1).as_str()) {
        ("BEGIN", _) | ("START", "TRANSACTION") => Command::Begin,
        ("COMMIT" | "END", _) => Command::End("COMMIT"),
        ("ROLLBACK" | "ABORT", second) if second != "TO" => Command::End("ROLLBACK"),
        ("ROLLBACK", _) => Command::Nothing("ROLLBACK"),
        ("SAVEPOINT", _) => Command::Nothing("SAVEPOINT"),
        ("RELEASE", _) => Command::Nothing("RELEASE"),
        ("DISCARD", _) => Command::Nothing("DISCARD"),
        ("DEALLOCATE", _) => Command::Nothing("DEALLOCATE"),
        ("UNLISTEN", _) => Command::Nothing("UNLISTEN"),
        ("SET", "TRANSACTION" | "SESSION") if word(1) == "TRANSACTION" || word(2) == "CHARACTERISTICS" => Command::Nothing("SET"),
        ("SET" | "RESET", _) => set(&said),
        ("SHOW", "TABLES" | "COLUMNS") => Command::Query(statement.trim().to_owned()),
        ("SHOW", _) => Command::Show(setting_name(&said[1..])),
        ("DECLARE", _) => {
            let cursor = said.get(1).map(|token| name(token)).unwrap_or_default();
            let is_for = |token: &Token| token.to_string().eq_ignore_ascii_case("for");
            let query = tokens.iter().position(is_for).map(|at| joined(&tokens[at + 1..]));
            let query = query.ok_or_else(|| AskError::Request("a cursor is declared FOR a query".to_owned()))?;
            Command::Declare { cursor, sql: query }
        }
        ("FETCH", _) => fetch(&said)?,
        ("COPY", _) => {
            let (sql, form) = copy::statement(&tokens)?;
            Command::Copy { sql, form }
        }
        ("CLOSE", _) => Command::Close(said.get(1).map(|token| name(token)).filter(|name| !name.eq_ignore_ascii_case("all"))),
        _ => Command::Query(statement.trim().to_owned()),
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, AskError> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize();
    Ok(tokens.map_err(|error| proprio_tables::TablesError::Sql { message: error.to_string() })?)
}

fn joined(tokens: &[Token]) -> String {
    tokens.iter().map(ToString::to_string).collect::<String>().trim().to_owned()
}

/// A name or a text without its quotes.
fn name(token: &Token) -> String {
    match token {
        Token::Word(word) => word.value.clone(),
        Token::SingleQuotedString(text) => text.clone(),
        other => other.to_string(),
    }
}

fn setting_name(said: &[&Token]) -> String {
    let words: Vec<String> = said.iter().map(|token| name(token).to_lowercase()).collect();
    match words.join(" ").as_str() {
        "time zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        _ => words.concat(),
    }
}

fn set(said: &[&Token]) -> Command {
    let words: Vec<String> = said.iter().map(|token| name(token)).collect();
    let lower = |at: usize| words.get(at).map(|word| word.to_lowercase()).unwrap_or_default();
    let mut at = 1;
    if matches!(lower(at).as_str(), "session" | "local") {
        at += 1;
    }
    if lower(at) == "time" && lower(at + 1) == "zone" {
        return Command::Set { name: "timezone".to_owned(), value: words.get(at + 2).cloned() };
    }
    let is_value = |word: &String| word == "=" || word.eq_ignore_ascii_case("to");
    let split = words.iter().position(is_value).unwrap_or(words.len());
    let name = words[at.min(split)..split].concat().to_lowercase();
    let value = words.get(split + 1..).filter(|value| !value.is_empty()).map(<[String]>::concat);
    Command::Set { name, value: value.filter(|value| !value.eq_ignore_ascii_case("default")) }
}

fn fetch(said: &[&Token]) -> Result<Command, AskError> {
    let words: Vec<String> = said[1..].iter().map(|token| name(token)).collect();
    let Some((cursor, count)) = words.split_last() else { return Err(AskError::Request("FETCH … FROM a cursor".to_owned())) };
    let mut rows = 1;
    for word in count {
        match word.to_lowercase().as_str() {
            "forward" | "next" | "from" | "in" => {}
            "all" => rows = usize::MAX,
            number => {
                let backwards = || AskError::Request(format!("FETCH {number}: a cursor goes forward alone"));
                rows = number.parse().map_err(|_| backwards())?;
            }
        }
    }
    Ok(Command::Fetch { cursor: cursor.clone(), rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart_and_split_outside_texts() {
        let one = |text: &str| {
            let statements = statements(text).expect("words");
            assert_eq!(statements.len(), 1, "{text}");
            command(&statements[0]).expect(text)
        };
        let set = |name: &str, value: Option<&str>| Command::Set { name: name.to_owned(), value: value.map(str::to_owned) };
        assert_eq!(one("begin isolation level serializable"), Command::Begin);
        assert_eq!(one("COMMIT;"), Command::End("COMMIT"));
        assert_eq!(one("SET statement_timeout = '5s'"), set("statement_timeout", Some("5s")));
        assert_eq!(one("SET SESSION extra_float_digits TO 3"), set("extra_float_digits", Some("3")));
        assert_eq!(one("SET TIME ZONE 'Europe/Berlin'"), set("timezone", Some("Europe/Berlin")));
        assert_eq!(one("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), Command::Nothing("SET"));
        assert_eq!(one("RESET statement_timeout"), set("statement_timeout", None));
        assert_eq!(one("SHOW TRANSACTION ISOLATION LEVEL"), Command::Show("transaction_isolation".to_owned()));
        assert_eq!(one("show tables"), Command::Query("show tables".to_owned()));
        let declared = Command::Declare { cursor: "My c".to_owned(), sql: "SELECT 1".to_owned() };
        assert_eq!(one("DECLARE \"My c\" NO SCROLL CURSOR WITH HOLD FOR SELECT 1"), declared);
        assert_eq!(one("FETCH FORWARD 10 FROM \"My c\""), Command::Fetch { cursor: "My c".to_owned(), rows: 10 });
        assert_eq!(one("FETCH ALL IN c"), Command::Fetch { cursor: "c".to_owned(), rows: usize::MAX });
        assert_eq!(one("CLOSE ALL"), Command::Close(None));
        assert_eq!(statements("SELECT 'a;b' -- ;\n; ; SELECT $1 ;").expect("words"), ["SELECT 'a;b' -- ;", "SELECT $1"]);
        assert_eq!(one("SUBSCRIBE SELECT 1"), Command::Query("SUBSCRIBE SELECT 1".to_owned()));
        assert!(command("FETCH BACKWARD 1 FROM c").is_err() && statements("SELECT 'open").is_err());
        assert_eq!(["250", "5s", "2min", "x", ""].map(milliseconds), [Some(250), Some(5000), Some(120_000), None, None]);
    }
}

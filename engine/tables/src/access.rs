//! What may somebody see? Tables and sessions by pattern; what is outside does not exist for them.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};

use crate::schema::SESSION;

/// The tables and sessions that a catalog is narrowed to. A pattern is a name in which `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    tables: Option<Vec<String>>,
    sessions: Option<Vec<String>>,
}

impl Access {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// The tables and the sessions that one of the patterns names; none names nothing.
    pub fn new(tables: Vec<String>, sessions: Vec<String>) -> Self {
        // What names all is no limit, so that queries pay nothing for it.
        let limit = |patterns: Vec<String>| (!patterns.iter().any(|pattern| pattern == "*")).then_some(patterns);
        Self { tables: limit(tables), sessions: limit(sessions) }
    }

    /// Whether a table is there; its views are when it is.
    pub fn sees_table(&self, table: &str) -> bool {
        self.tables.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, table)))
    }

    /// Whether rows of some sessions are hidden.
    pub fn hides_sessions(&self) -> bool {
        self.sessions.is_some()
    }

    /// What the rows of a seen session meet; `None` when all are seen.
    pub(crate) fn condition(&self) -> Option<Expr> {
        let patterns = self.sessions.as_ref()?;
        let names = patterns.iter().map(|pattern| match pattern.contains('*') {
            true => ident(SESSION).like(lit(like(pattern))),
            false => ident(SESSION).eq(lit(pattern.as_str())),
        });
        Some(names.reduce(Expr::or).unwrap_or_else(|| lit(ScalarValue::Boolean(Some(false)))))
    }
}

/// Whether a name is one that the pattern stands for.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(found) = left.find(part) else { return false };
        left = &left[found + part.len()..];
    }
    left.ends_with(last)
}

/// The pattern as SQL's LIKE has it.
fn like(pattern: &str) -> String {
    pattern.chars().fold(String::new(), |mut like, letter| {
        match letter {
            '*' => like.push('%'),
            '%' | '_' | '\\' => like.extend(['\\', letter]),
            _ => like.push(letter),
        }
        like
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("emg", "emg", true),
            ("emg", "emg_rms", false),
            ("emg*", "emg_rms", true),
            ("*_rms", "emg_rms", true),
            ("e*g*s", "emg_rms", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("e*x*s", "emg_rms", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} and {name}");
        }
        assert_eq!(like("a_1*%\\"), "a\\_1%\\%\\\\");
    }

    #[test]
    fn naming_all_hides_nothing_and_naming_none_hides_all() {
        let all = Access::new(vec!["imu".into(), "*".into()], vec!["*".into()]);
        assert!(all.sees_table("emg") && !all.hides_sessions() && all.condition().is_none());
        let none = Access::new(Vec::new(), Vec::new());
        assert!(!none.sees_table("emg") && none.condition().is_some());
    }
}

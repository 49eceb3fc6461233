//! What is said about a mistake in a file: where it stands, what is wrong, and what to write instead.

use std::fmt;

use serde::Serialize;

/// Characters of a source line that are shown; a longer line is cut around the mistake.
const SHOWN_CHARACTERS: usize = 120;

/// Findings that are kept of one file: a file with more is another kind of file.
const MAX_FINDINGS: usize = 200;

/// A place in a text: 1-based line and column, and a length, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1; 0 means the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 means the file as a whole.
    pub column: usize,
    /// Length in characters.
    pub length: usize,
}

/// Whether a file with this finding can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It can't.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One finding, ready to be shown to a person or a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Path as it was given or written.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// How many characters the mistake covers.
    pub length: usize,
    /// Whether the file can be used.
    pub severity: Severity,
    /// A stable name of the kind of mistake, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The line that it stands in; empty when the file as a whole is meant.
    pub source_line: String,
}

impl Diagnostic {
    /// A finding about a file that can't be read at all.
    pub fn whole_file(file: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            length: 0,
            severity: Severity::Error,
            code,
            message: message.into(),
            help: None,
            source_line: String::new(),
        }
    }
}

/// `file:line:column: error[code]: message`, the line, a caret, and the help.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let file = printable(&self.file);
        let message = printable(&self.message);
        match self.line {
            0 => writeln!(f, "{file}: {severity}[{}]: {message}", self.code)?,
            line => writeln!(f, "{file}:{line}:{}: {severity}[{}]: {message}", self.column, self.code)?,
        }
        if self.line > 0 {
            let (shown, before, length) = self.window();
            let number = self.line.to_string();
            let gutter = " ".repeat(number.len());
            writeln!(f, "  {number} | {shown}")?;
            writeln!(f, "  {gutter} | {}{}", " ".repeat(before), "^".repeat(length))?;
        }
        match &self.help {
            Some(help) => writeln!(f, "  help: {}", printable(help)),
            None => Ok(()),
        }
    }
}

impl Diagnostic {
    /// The part of the line that is shown, the characters in it before the caret, and the caret's length.
    fn window(&self) -> (String, usize, usize) {
        let line: Vec<char> = printable(&self.source_line).chars().collect();
        let at = (self.column.max(1) - 1).min(line.len());
        let from = if line.len() <= SHOWN_CHARACTERS { 0 } else { at.saturating_sub(SHOWN_CHARACTERS / 2) };
        let to = line.len().min(from + SHOWN_CHARACTERS);
        let (head, tail) = (if from > 0 { "…" } else { "" }, if to < line.len() { "…" } else { "" });
        let shown: String = line[from..to].iter().collect();
        let before = at - from + head.chars().count();
        let length = self.length.clamp(1, (to - at).max(1));
        (format!("{head}{}{tail}", shown.trim_end()), before, length)
    }
}

/// A text without anything that would move a terminal's cursor: control characters become spaces or `·`, one for one.
fn printable(text: &str) -> String {
    let show = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '·',
        c => c,
    };
    text.chars().map(show).collect()
}

/// A file's name and text, by lines.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path as it was given or written.
    pub name: String,
    /// What the file holds.
    pub text: String,
}

impl Source {
    /// A line by its number from 1, without its end; empty when there is none.
    pub fn line(&self, number: usize) -> &str {
        lines(&self.text).nth(number.wrapping_sub(1)).unwrap_or("")
    }
}

/// The lines of a text as YAML counts them: ended by `\n`, `\r\n` or `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let skip = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + skip..]);
        Some(&text[..end])
    })
}

/// Collects the findings about one file.
#[derive(Debug)]
pub struct Report<'a> {
    /// The file.
    pub source: &'a Source,
    /// What was found, in the order of finding.
    pub found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    /// Without findings yet.
    pub fn new(source: &'a Source) -> Self {
        Self { source, found: Vec::new() }
    }

    /// Adds an error, and gives it back so that help can be added.
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, message.into())
    }

    /// Adds a warning, and gives it back so that help can be added.
    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span, message.into())
    }

    fn add(&mut self, severity: Severity, code: &'static str, span: Span, message: String) -> &mut Diagnostic {
        self.found.push(Diagnostic {
            file: self.source.name.clone(),
            line: span.line,
            column: span.column,
            length: span.length,
            severity,
            code,
            message,
            help: None,
            source_line: String::new(),
        });
        self.found.last_mut().expect("a finding was just added")
    }

    /// Findings by line and column with their lines, equal ones once; at most 200.
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|finding| (finding.line, finding.column));
        let mut kept: Vec<Diagnostic> = Vec::with_capacity(self.found.len().min(MAX_FINDINGS));
        for finding in self.found {
            let here = kept.iter().rev().take_while(|other| (other.line, other.column) == (finding.line, finding.column));
            if here.into_iter().all(|other| *other != finding) {
                kept.push(finding);
            }
            if kept.len() == MAX_FINDINGS {
                break;
            }
        }
        for finding in &mut kept {
            finding.source_line = self.source.line(finding.line).to_owned();
        }
        kept
    }
}

impl Diagnostic {
    /// Adds what to write instead.
    pub fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }

    /// Adds the nearest valid name, or all of them where none is near and they are few.
    pub fn help_names<'n>(&mut self, written: &str, valid: impl IntoIterator<Item = &'n str>) {
        self.help = names_help(written, &valid.into_iter().collect::<Vec<_>>());
    }
}

/// `did you mean …?`, or the names there are.
fn names_help(written: &str, valid: &[&str]) -> Option<String> {
    const LISTED: usize = 16;
    let mut seen = std::collections::BTreeSet::new();
    let valid: Vec<&str> = valid.iter().copied().filter(|name| seen.insert(*name)).collect();
    if let Some(name) = nearest(written, valid.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let names: Vec<_> = valid.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => None,
        [only] => Some(format!("{only} is valid here")),
        _ if valid.len() > LISTED => Some(format!("valid here: {}, and {} more", names.join(", "), valid.len() - LISTED)),
        _ => Some(format!("valid here: {}", names.join(", "))),
    }
}

/// The valid name that a person most likely meant: at most a third of its letters away, or one that begins or ends with
/// what was written; none when all are far.
pub fn nearest<'n>(written: &str, valid: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let plain = written.to_lowercase();
    let distance = |name: &str| {
        let lower = name.to_lowercase();
        let letters = strsim::osa_distance(&plain, &lower);
        let part = plain.chars().count() >= 3 && (lower.starts_with(&plain) || lower.ends_with(&plain) || plain.starts_with(&lower));
        if part { letters.min(1) } else { letters }
    };
    let limit = (plain.chars().count().max(3)) / 3;
    let scored = valid.into_iter().map(|name| (distance(name), name)).filter(|(distance, _)| *distance <= limit);
    scored.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let keys = ["rate", "kind", "channels", "out_of_order"];
        assert_eq!(nearest("rte", keys), Some("rate"));
        assert_eq!(nearest("Channel", keys), Some("channels"));
        assert_eq!(nearest("out_of_oder", keys), Some("out_of_order"));
        assert_eq!(nearest("banana", keys), None);
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake_and_control_characters_are_harmless() {
        let text = format!("{}\u{1b}[31mbad{}", "x".repeat(500), "y".repeat(500));
        let source = Source { name: "f.yaml".into(), text };
        let mut report = Report::new(&source);
        report.error("test", Span { line: 1, column: 506, length: 3 }, "no");
        let shown = report.sorted()[0].to_string();
        assert!(!shown.contains('\u{1b}'));
        let lines: Vec<_> = shown.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').expect("a caret");
        assert_eq!(lines[1].chars().skip(caret).take(3).collect::<String>(), "bad");
        assert!(lines[1].chars().count() < 140);
    }

    #[test]
    fn lines_end_as_yaml_says() {
        let source = Source { name: String::new(), text: "a\r\nb\rc\n".into() };
        assert_eq!((source.line(1), source.line(2), source.line(3), source.line(4), source.line(0)), ("a", "b", "c", "", ""));
    }
}

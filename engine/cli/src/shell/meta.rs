//! Which words beside SQL does the shell know?

use std::path::PathBuf;
use std::time::Duration;

use proprio_tables::Format;

/// A statement is repeated this often at most.
const WATCH_SECONDS: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;

/// One command that begins with a backslash.
#[derive(Clone, Debug, PartialEq)]
pub enum Meta {
    /// The tables.
    Tables,
    /// The columns of a table.
    Describe(String),
    /// The functions whose names hold a text.
    Functions(String),
    /// How long a statement took is said, or no longer.
    Timing,
    /// Each row stands as a list of its columns, or no longer.
    Expanded,
    /// The last statement is asked again and again.
    Watch(Duration),
    /// Answers are written in this way.
    Format(Format),
    /// Answers go into a file; to the screen again when none is named.
    Output(Option<PathBuf>),
    /// A file's statements are asked.
    Include(PathBuf),
    /// What there is.
    Help,
    /// The end.
    Quit,
}

/// The commands as they are typed, and what they do.
pub const COMMANDS: [(&str, &str); 12] = [
    (r"\d", "tables"),
    (r"\d TABLE", "columns of a table, with units and frames"),
    (r"\dt", "tables"),
    (r"\df [TEXT]", "functions, those whose names hold a text"),
    (r"\timing", "say how long a statement took, or no longer"),
    (r"\x", "a line for each column, or for each row again"),
    (r"\watch [SECONDS]", "ask the last statement again and again, until Ctrl-C"),
    (r"\format NAME", "write answers as table, csv, json, arrow or parquet"),
    (r"\o [FILE]", "write answers into a file, or to the screen again"),
    (r"\i FILE", "ask a file's statements"),
    (r"\?", "this"),
    (r"\q", "leave; so does Ctrl-D"),
];

impl Meta {
    /// Parses a command with its backslash.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(line: &str) -> Result<Self, String> {
        let (name, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        let rest = rest.trim().trim_end_matches(';').trim_end();
        let alone = |meta: Self| if rest.is_empty() { Ok(meta) } else { Err(format!("`{name}` takes nothing, and `{rest}` was given")) };
        match name {
            r"\d" if !rest.is_empty() => Ok(Self::Describe(rest.trim_matches('"').to_owned())),
            r"\d" | r"\dt" => alone(Self::Tables),
            r"\df" => Ok(Self::Functions(rest.to_owned())),
            r"\timing" => alone(Self::Timing),
            r"\x" => alone(Self::Expanded),
            r"\watch" => watch(rest),
            r"\format" => rest.parse().map(Self::Format),
            r"\o" => Ok(Self::Output((!rest.is_empty()).then(|| rest.into()))),
            r"\i" if !rest.is_empty() => Ok(Self::Include(rest.into())),
            r"\i" => Err(r"`\i` wants a file".to_owned()),
            r"\?" => alone(Self::Help),
            r"\q" => alone(Self::Quit),
            _ => Err(format!(r"there is no `{name}`{}; `\?` lists what there is", nearest(name))),
        }
    }
}

fn watch(rest: &str) -> Result<Meta, String> {
    let seconds = if rest.is_empty() { Some(2.0) } else { rest.parse::<f64>().ok() };
    let seconds = seconds.filter(|seconds| WATCH_SECONDS.contains(seconds));
    let refused =
        || format!(r"`\watch {rest}`: give seconds from {} to {}, such as `\watch 2`", WATCH_SECONDS.start(), WATCH_SECONDS.end());
    seconds.map(|seconds| Meta::Watch(Duration::from_secs_f64(seconds))).ok_or_else(refused)
}

fn nearest(name: &str) -> String {
    let names = COMMANDS.iter().map(|(command, _)| command.split(' ').next().unwrap_or(command));
    let best = names.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    best.filter(|best| strsim::jaro_winkler(name, best) > 0.8).map_or_else(String::new, |best| format!("; did you mean `{best}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_what_they_take() {
        for (line, meta) in [
            (r"\d", Meta::Tables),
            (r"\dt ", Meta::Tables),
            (r"\d imu", Meta::Describe("imu".to_owned())),
            ("\\d \"imu-2\";", Meta::Describe("imu-2".to_owned())),
            (r"\df bin", Meta::Functions("bin".to_owned())),
            (r"\watch", Meta::Watch(Duration::from_secs(2))),
            (r"\watch 0.5", Meta::Watch(Duration::from_millis(500))),
            (r"\format csv", Meta::Format(Format::Csv)),
            (r"\o", Meta::Output(None)),
            (r"\o a file.csv", Meta::Output(Some("a file.csv".into()))),
            (r"\i questions.sql", Meta::Include("questions.sql".into())),
            (r"\q", Meta::Quit),
        ] {
            assert_eq!(Meta::parse(line), Ok(meta), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_the_fix() {
        for (line, says) in [
            (r"\formt csv", r"did you mean `\format`?"),
            (r"\quit", r"`\?` lists what there is"),
            (r"\format xml", "table, csv, json, arrow, parquet"),
            (r"\watch soon", "give seconds from 0.1"),
            (r"\watch 1e9", "to 86400"),
            (r"\x on", "takes nothing"),
            (r"\i", "wants a file"),
        ] {
            let error = Meta::parse(line).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn every_command_of_the_list_is_known() {
        for (command, _) in COMMANDS {
            let line = command.replace("[TEXT]", "").replace("[SECONDS]", "").replace("NAME", "json").replace("[FILE]", "");
            Meta::parse(&line).expect(command);
        }
    }
}

//! Where does an answer go, and in what form: the screen, through a pager when it is long, or a file?

use std::fs::File;
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use arrow_array::RecordBatch;
use arrow_cast::display::array_value_to_string;
use arrow_schema::{ArrowError, SchemaRef};
use proprio_tables::output::Following;
use proprio_tables::{Format, TablesError, output};

/// What is read through when `$PAGER` says nothing: long lines stay whole.
const PAGER: &str = "less -S";

/// How answers are shown.
#[derive(Debug)]
pub struct Show {
    pub format: Format,
    pub expanded: bool,
    file: Option<(PathBuf, File)>,
    /// Columns and rows of the screen, for a person at it.
    pub screen: Option<(usize, usize)>,
}

impl Show {
    /// On standard output.
    pub fn new(format: Format) -> Self {
        Self { format, expanded: false, file: None, screen: None }
    }

    /// Into a file from now on, or on standard output again.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn output(&mut self, path: Option<&Path>) -> anyhow::Result<()> {
        let open = |path: &Path| File::create(path).with_context(|| format!("{} can't be written", path.display()));
        self.file = path.map(|path| Ok::<_, anyhow::Error>((path.to_owned(), open(path)?))).transpose()?;
        Ok(())
    }

    /// Refuses a binary format where a person would see it, before anything is asked.
    ///
    /// # Errors
    /// When it would go to a terminal.
    pub fn refuse_binary_screen(&self, into_file: bool) -> anyhow::Result<()> {
        let is_binary = matches!(self.format, Format::Arrow | Format::Parquet);
        if is_binary && !into_file && self.file.is_none() && std::io::stdout().is_terminal() {
            bail!("{} is binary: send it into a file with `--output FILE` or `\\o FILE`, or into a pipe", self.format.name());
        }
        Ok(())
    }

    /// Shows rows as they come, from now on.
    ///
    /// # Errors
    /// When they can't be shown so.
    pub fn following(&mut self, schema: SchemaRef) -> anyhow::Result<Following<Box<dyn Write>>> {
        self.refuse_binary_screen(false)?;
        let out: Box<dyn Write> = match &self.file {
            Some((path, file)) => Box::new(file.try_clone().with_context(|| format!("{} can't be written", path.display()))?),
            None => Box::new(std::io::stdout()),
        };
        Ok(Following::new(schema, self.format, out)?)
    }

    /// Shows an answer.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn answer(&mut self, batches: &[RecordBatch]) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        if self.expanded && self.format == Format::Table {
            expanded(batches, &mut bytes)?;
        } else {
            output::write(batches, self.format, &mut bytes)?;
        }
        if let Some((path, file)) = &mut self.file {
            return file.write_all(&bytes).with_context(|| format!("{} can't be written", path.display()));
        }
        self.refuse_binary_screen(false)?;
        match self.screen {
            Some(screen) if !fits(&bytes, screen) => page(&bytes),
            _ => print(&bytes),
        }
    }
}

/// Writes to standard output; a reader that has seen enough, such as `head`, is no error.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("the answer can't be printed"),
        _ => Ok(()),
    }
}

/// Whether what was written is still read; a reader that has seen enough is no error.
///
/// # Errors
/// Any other.
pub fn is_read(written: Result<(), TablesError>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(TablesError::Write { source: ArrowError::IoError(_, error) }) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("the rows can't be written"),
    }
}

/// Whether a text can be seen at once, with the next prompt below it.
fn fits(bytes: &[u8], (columns, rows): (usize, usize)) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines().count() < rows && text.lines().all(|line| line.chars().count() <= columns)
}

/// Lets a person leaf through it; where there is no pager it is printed.
fn page(bytes: &[u8]) -> anyhow::Result<()> {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty()).unwrap_or_else(|| PAGER.to_owned());
    let child = Command::new("sh").args(["-c", &pager]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return print(bytes) };
    if let Some(mut input) = child.stdin.take() {
        // Who has seen enough leaves before the end.
        let _ = input.write_all(bytes);
    }
    let status = child.wait().context("the pager can't be waited for")?;
    // 127 is the shell's word for a command that isn't there.
    if status.code() == Some(127) { print(bytes) } else { Ok(()) }
}

/// A line for each column.
fn expanded(batches: &[RecordBatch], out: &mut impl Write) -> anyhow::Result<()> {
    let mut number = 0;
    for batch in batches {
        let schema = batch.schema();
        let width = schema.fields().iter().map(|field| field.name().chars().count()).max().unwrap_or_default();
        for row in 0..batch.num_rows() {
            number += 1;
            writeln!(out, "─ row {number} {}", "─".repeat(width))?;
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                let gap = " ".repeat(width - field.name().chars().count());
                writeln!(out, "{}{gap}  {}", field.name(), array_value_to_string(column, row)?)?;
            }
        }
    }
    writeln!(out, "{number} row{}", if number == 1 { "" } else { "s" })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn an_expanded_row_has_a_line_for_each_column() {
        let columns: [(&str, ArrayRef); 2] =
            [("sensor", Arc::new(StringArray::from(vec![Some("pelvis"), None]))), ("n", Arc::new(Int64Array::from(vec![1, 2])))];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let mut out = Vec::new();
        expanded(&[batch], &mut out).expect("written");
        let expected = "─ row 1 ──────\nsensor  pelvis\nn       1\n─ row 2 ──────\nsensor  \nn       2\n2 rows\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn what_is_longer_or_wider_than_the_screen_does_not_fit() {
        assert!(fits("äb\ncd\n".as_bytes(), (2, 3)));
        assert!(!fits(b"abc\n", (2, 3)) && !fits(b"a\nb\nc\n", (2, 3)));
    }
}

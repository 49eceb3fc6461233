//! How a text table becomes a table: one row of names, or two where a device's name stands above its axes.

use std::path::Path;

use crate::error::FileError;
use crate::table::{Cell, Cells, Row, Table};

/// Splits the text into cells. Blank lines and lines that begin with `#` are skipped; the separator is the one of comma,
/// semicolon and tab that the header has most of; a cell may stand in double quotes, on one line.
pub(crate) fn read(path: &Path, bytes: Vec<u8>) -> Result<Table, FileError> {
    if bytes.len() > u32::MAX as usize {
        return Err(FileError::format(path, "a text table may have at most 4 GiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        FileError::format(path, format!("byte {at} is not UTF-8 text"))
    })?;
    let mut lines = lines(&text);
    let Some(header_row) = lines.next() else { return Err(FileError::format(path, "it has no header line")) };
    let header = line_at(&text, header_row);
    let separator =
        [',', ';', '\t'].into_iter().max_by_key(|separator| (header.matches(*separator).count(), *separator == ',')).unwrap_or(',');

    let mut cells = Vec::new();
    let mut rows = Vec::new();
    split(path, &text, header_row, separator, &mut cells)?;
    let mut names: Vec<String> = cells.drain(..).map(|cell| cell_text(&text, cell).to_owned()).collect();
    for row in lines {
        let before = cells.len();
        split(path, &text, row, separator, &mut cells)?;
        if cells.len() - before != names.len() {
            let what = format!("the line has {} cells, the header {}", cells.len() - before, names.len());
            return Err(FileError::Cell { path: path.to_owned(), line: row.line as usize, column: 1, what });
        }
        if rows.is_empty() && before == 0 && is_second_header(&text, &names, &cells) {
            let axes = cells.drain(..).map(|cell| cell_text(&text, cell).to_owned());
            names =
                names.iter().zip(axes).map(|(device, axis)| if device.is_empty() { axis } else { format!("{device}_{axis}") }).collect();
            continue;
        }
        rows.push(row);
    }
    if let Some((index, name)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        return Err(FileError::format(path, format!("two columns are named `{name}`, one of them column {}", index + 1)));
    }
    Ok(Table { path: path.to_owned(), rows: rows.len(), names, cells: Cells::Text { text, cells, rows } })
}

/// The lines that hold cells, without their ends.
fn lines(text: &str) -> impl Iterator<Item = Row> {
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut at = start;
    let rows = text[start..].split_inclusive('\n').enumerate().map(move |(index, line)| {
        let row = Row { line: index as u32 + 1, start: at as u32 };
        at += line.len();
        (row, line)
    });
    rows.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')).map(|(row, _)| row)
}

fn line_at(text: &str, row: Row) -> &str {
    text[row.start as usize..].lines().next().unwrap_or("")
}

fn cell_text(text: &str, cell: Cell) -> &str {
    text[cell.start as usize..][..cell.length as usize].trim()
}

/// Adds a line's cells.
fn split(path: &Path, text: &str, row: Row, separator: char, cells: &mut Vec<Cell>) -> Result<(), FileError> {
    let line = line_at(text, row);
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let (start, length, end) = if rest.starts_with('"') {
            let closing = closing_quote(rest).ok_or_else(|| FileError::Cell {
                path: path.to_owned(),
                line: row.line as usize,
                column: line[..at].chars().count() + 1,
                what: "the quoted cell has no end on this line".to_owned(),
            })?;
            let after = rest[closing + 1..].find(separator).map_or(line.len(), |offset| at + closing + 1 + offset);
            (at + 1, closing - 1, after)
        } else {
            let length = rest.find(separator).unwrap_or(rest.len());
            (at, length, at + length)
        };
        cells.push(Cell { start: row.start + start as u32, length: length as u32 });
        if end >= line.len() {
            return Ok(());
        }
        at = end + separator.len_utf8();
    }
}

/// Where the quote that opens `text` is closed; two in a row stand for one.
fn closing_quote(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', Some(b'"')) => at += 2,
            (b'"', _) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// A second line of names: the first one repeats itself, and no cell of the second is a number.
fn is_second_header(text: &str, names: &[String], cells: &[Cell]) -> bool {
    let repeats = names.iter().enumerate().any(|(index, name)| names[..index].contains(name));
    repeats && cells.iter().all(|cell| cell_text(text, *cell).parse::<f64>().is_err())
}

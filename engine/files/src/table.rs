//! What a table file is once it is read: named columns whose cells are turned into numbers or text when they are asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

use crate::error::FileError;

/// A table in memory.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    pub(crate) names: Vec<String>,
    pub(crate) rows: usize,
    pub(crate) cells: Cells,
}

/// Where the values are.
#[derive(Debug)]
pub(crate) enum Cells {
    /// A text file: cells row by row, and where each row begins.
    Text { text: String, cells: Vec<Cell>, rows: Vec<Row> },
    /// Arrow columns.
    Columns(Vec<ArrayRef>),
}

/// A cell of a text file: its bytes, without quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// A row of a text file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) line: u32,
    pub(crate) start: u32,
}

impl Table {
    /// A column's index by name.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    /// Whether a column's cells are points in time, in nanoseconds once read as integers.
    pub(crate) fn is_timestamp(&self, column: usize) -> bool {
        matches!(&self.cells, Cells::Columns(columns) if matches!(columns[column].data_type(), DataType::Timestamp(..)))
    }

    /// Whether a column may hold numbers: in a text file every column may.
    pub(crate) fn may_be_numbers(&self, column: usize) -> bool {
        match &self.cells {
            Cells::Text { .. } => true,
            Cells::Columns(columns) => columns[column].data_type().is_numeric(),
        }
    }

    /// A column as doubles, NaN where a cell is empty, null or NaN.
    ///
    /// # Errors
    /// When a cell is no number, at its line and column.
    pub(crate) fn floats(&self, column: usize) -> Result<Vec<f64>, FileError> {
        match &self.cells {
            Cells::Text { .. } => {
                (0..self.rows).map(|row| self.parse(row, column, "a number", f64::NAN, |cell| cell.parse().ok())).collect()
            }
            Cells::Columns(columns) => {
                let cast = self.cast(column, &columns[column], &DataType::Float64)?;
                Ok(cast.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect())
            }
        }
    }

    /// A column as integers without gaps.
    ///
    /// # Errors
    /// When a cell is no integer, or empty.
    pub(crate) fn integers(&self, column: usize) -> Result<Vec<i64>, FileError> {
        let name = &self.names[column];
        match &self.cells {
            Cells::Text { .. } => {
                let cell = |row| self.parse(row, column, "an integer", None, |cell| cell.parse().ok().map(Some));
                (0..self.rows).map(|row| cell(row)?.ok_or_else(|| self.at(row, column, format!("`{name}` is empty")))).collect()
            }
            Cells::Columns(columns) => {
                let mut array = columns[column].clone();
                if self.is_timestamp(column) {
                    array = self.cast(column, &array, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
                }
                let cast = self.cast(column, &array, &DataType::Int64)?;
                let integers = cast.as_primitive::<Int64Type>();
                if integers.null_count() > 0 {
                    return Err(FileError::format(&self.path, format!("column `{name}` has nulls")));
                }
                Ok(integers.values().to_vec())
            }
        }
    }

    /// A column as text, `None` where a cell is empty or null.
    ///
    /// # Errors
    /// When an Arrow column can't be written as text.
    pub(crate) fn texts(&self, column: usize) -> Result<Vec<Option<String>>, FileError> {
        match &self.cells {
            Cells::Text { .. } => {
                let cell = |row| self.text(row, column).replace("\"\"", "\"");
                Ok((0..self.rows).map(cell).map(|text| Some(text).filter(|text| !text.is_empty())).collect())
            }
            Cells::Columns(columns) => {
                let cast = self.cast(column, &columns[column], &DataType::Utf8)?;
                Ok(cast.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
            }
        }
    }

    fn cast(&self, column: usize, array: &ArrayRef, to: &DataType) -> Result<ArrayRef, FileError> {
        if array.data_type() == to {
            return Ok(Arc::clone(array));
        }
        arrow_cast::cast(array, to)
            .map_err(|error| FileError::format(&self.path, format!("column `{}` can't be read as {to}: {error}", self.names[column])))
    }

    /// The text of a cell; empty for Arrow columns, which are never asked.
    fn text(&self, row: usize, column: usize) -> &str {
        let Cells::Text { text, cells, .. } = &self.cells else { return "" };
        let cell = cells[row * self.names.len() + column];
        text[cell.start as usize..][..cell.length as usize].trim()
    }

    fn parse<T>(&self, row: usize, column: usize, what: &str, empty: T, parse: impl Fn(&str) -> Option<T>) -> Result<T, FileError> {
        let text = self.text(row, column);
        if text.is_empty() || ["nan", "na", "null", "none"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Ok(empty);
        }
        parse(text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            self.at(row, column, format!("`{shown}` in column `{}` is not {what}", self.names[column]))
        })
    }

    /// An error at a cell.
    pub(crate) fn at(&self, row: usize, column: usize, what: String) -> FileError {
        match &self.cells {
            Cells::Text { text, cells, rows } => {
                let (at, row) = (cells[row * self.names.len() + column].start as usize, rows[row]);
                let before = text[row.start as usize..at].chars().count();
                FileError::Cell { path: self.path.clone(), line: row.line as usize, column: before + 1, what }
            }
            Cells::Columns(_) => FileError::format(&self.path, format!("row {}: {what}", row + 1)),
        }
    }

    /// A table with a column under another name.
    pub(crate) fn rename(&mut self, theirs: &str, ours: &str) -> Result<(), FileError> {
        let Some(index) = self.index(theirs) else {
            let names = self.names.join("`, `");
            return Err(FileError::format(&self.path, format!("there is no column `{theirs}` to take as `{ours}`; there are `{names}`")));
        };
        self.names[index] = ours.to_owned();
        Ok(())
    }

    /// An error about the whole file.
    pub(crate) fn error(&self, what: impl Into<String>) -> FileError {
        FileError::format(&self.path, what)
    }
}

/// An Arrow table; a list column of three becomes three columns, `gyr` giving `gyr_x`, `gyr_y` and `gyr_z`.
pub(crate) fn from_columns(path: &Path, rows: usize, columns: Vec<(String, ArrayRef)>) -> Table {
    let (names, columns) = columns.into_iter().flat_map(|(name, array)| split_vectors(name, array)).unzip();
    Table { path: path.to_owned(), names, rows, cells: Cells::Columns(columns) }
}

fn split_vectors(name: String, array: ArrayRef) -> Vec<(String, ArrayRef)> {
    let fixed = match array.data_type() {
        DataType::FixedSizeList(..) => Some(Arc::clone(&array)),
        DataType::List(field) | DataType::LargeList(field) => arrow_cast::cast(&array, &DataType::FixedSizeList(Arc::clone(field), 3)).ok(),
        _ => None,
    };
    let Some(lists) = fixed.as_ref().and_then(|array| array.as_fixed_size_list_opt()).filter(|lists| lists.value_length() == 3) else {
        return vec![(name, array)];
    };
    let axis = |axis: u32| {
        let indices =
            arrow_array::UInt32Array::from_iter((0..lists.len() as u32).map(|row| lists.is_valid(row as usize).then_some(row * 3 + axis)));
        arrow_select::take::take(lists.values(), &indices, None).ok()
    };
    let axes: Option<Vec<ArrayRef>> = (0..3).map(axis).collect();
    match axes {
        Some(axes) => ["x", "y", "z"].iter().map(|axis| format!("{name}_{axis}")).zip(axes).collect(),
        None => vec![(name, array)],
    }
}

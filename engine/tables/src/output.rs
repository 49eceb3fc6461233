//! How is an answer written: a table for people, CSV, JSON, Arrow or Parquet for programs?

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use proprio_core::schema::{FieldExt, meta};

use crate::error::TablesError;

/// What an answer is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns with units, readable times and short floats.
    Table,
    /// Exact values, with a header line.
    Csv,
    /// One array of objects, exact values, nulls written.
    Json,
    /// An Arrow IPC stream, with units and frames as field metadata; the same rows give the same bytes.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Table, Self::Csv, Self::Json, Self::Arrow, Self::Parquet];

    /// As written on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| format!("`{text}` is no format: {}", names()))
    }
}

/// Rows of a batch in the Arrow format.
const ARROW_ROWS: usize = 8192;

/// Writes an answer's batches, of which there is at least one, as [`Answer::collect`](crate::Answer::collect) gives them.
///
/// # Errors
/// What the writer says.
pub fn write(batches: &[RecordBatch], format: Format, mut out: impl Write + Send) -> Result<(), TablesError> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return Ok(());
    };
    match format {
        Format::Table => write_table(&schema, batches, &mut out)?,
        Format::Csv => {
            let mut writer = arrow_csv::WriterBuilder::new().with_header(true).build(&mut out);
            batches.iter().try_for_each(|batch| writer.write(batch))?;
        }
        Format::Json => {
            let builder = arrow_json::writer::WriterBuilder::new().with_explicit_nulls(true);
            let mut writer = builder.build::<_, arrow_json::writer::JsonArray>(&mut out);
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.finish()?;
            drop(writer);
            writeln!(out).map_err(ArrowError::from)?;
        }
        Format::Arrow => {
            let mut writer = arrow_ipc::writer::StreamWriter::try_new(&mut out, &schema)?;
            canonical(&schema, batches)?.try_for_each(|batch| writer.write(&batch?))?;
            writer.finish()?;
        }
        Format::Parquet => {
            let mut writer = ArrowWriter::try_new(&mut out, schema, None).map_err(ArrowError::from)?;
            batches.iter().try_for_each(|batch| writer.write(batch)).map_err(ArrowError::from)?;
            writer.close().map_err(ArrowError::from)?;
        }
    }
    out.flush().map_err(|source| TablesError::Write { source: ArrowError::from(source) })
}

/// The same rows in batches of one size, with zeros behind nulls: how a query was split, and what lies in a slot that
/// nobody may read, must not show in the bytes.
fn canonical(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>>, ArrowError> {
    let all = arrow_select::concat::concat_batches(schema, batches)?;
    Ok((0..all.num_rows()).step_by(ARROW_ROWS).map(move |start| {
        let rows = all.slice(start, ARROW_ROWS.min(all.num_rows() - start));
        RecordBatch::try_new(rows.schema(), rows.columns().iter().map(without_hidden_values).collect())
    }))
}

fn without_hidden_values(column: &ArrayRef) -> ArrayRef {
    if column.nulls().is_none() {
        return column.clone();
    }
    match column.data_type() {
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().iter().collect::<Float64Array>()),
        DataType::Int64 => Arc::new(column.as_primitive::<Int64Type>().iter().collect::<Int64Array>()),
        DataType::Boolean => Arc::new(column.as_boolean().iter().collect::<BooleanArray>()),
        DataType::Utf8 => Arc::new(column.as_string::<i32>().iter().collect::<StringArray>()),
        _ => column.clone(),
    }
}

/// Rows that are written as they come, of an answer that may have no end: nothing is held back.
pub struct Following<W: Write> {
    form: FollowingForm,
    out: W,
    rows: u64,
}

enum FollowingForm {
    /// The width that each column has had so far.
    Table(SchemaRef, Vec<usize>),
    Csv,
    Json,
    /// The stream's bytes, taken out batch by batch.
    Arrow(Box<arrow_ipc::writer::StreamWriter<Vec<u8>>>),
}

impl<W: Write> Following<W> {
    /// Rows of a schema; as JSON they are an object a line. Parquet is written whole, and can't follow.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(schema: SchemaRef, format: Format, mut out: W) -> Result<Self, TablesError> {
        let form = match format {
            Format::Table => FollowingForm::Table(schema, Vec::new()),
            Format::Csv => {
                arrow_csv::WriterBuilder::new().with_header(true).build(&mut out).write(&RecordBatch::new_empty(schema.clone()))?;
                FollowingForm::Csv
            }
            Format::Json => FollowingForm::Json,
            Format::Arrow => FollowingForm::Arrow(Box::new(arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &schema)?)),
            Format::Parquet => {
                let message = "a Parquet file is written whole, and rows that are followed have no end; write csv, json or arrow";
                return Err(TablesError::Sql { message: message.to_owned() });
            }
        };
        Ok(Self { form, out, rows: 0 })
    }

    /// Writes what has come.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), TablesError> {
        match &mut self.form {
            FollowingForm::Table(schema, widths) => {
                let columns = Columns::of(schema, std::slice::from_ref(batch))?;
                let is_first = widths.is_empty();
                if is_first {
                    *widths = columns.widths();
                } else {
                    widths.iter_mut().zip(columns.widths()).for_each(|(width, now)| *width = now.max(*width));
                }
                columns.write(widths, is_first, &mut self.out)?;
            }
            FollowingForm::Csv => arrow_csv::WriterBuilder::new().with_header(false).build(&mut self.out).write(batch)?,
            FollowingForm::Json => {
                let builder = arrow_json::writer::WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, arrow_json::writer::LineDelimited>(&mut self.out);
                writer.write(batch)?;
                writer.finish()?;
            }
            FollowingForm::Arrow(writer) => {
                writer.write(batch)?;
                self.out.write_all(&std::mem::take(writer.get_mut())).map_err(ArrowError::from)?;
            }
        }
        self.rows += batch.num_rows() as u64;
        self.out.flush().map_err(|source| TablesError::Write { source: ArrowError::from(source) })
    }

    /// Ends what was written.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> Result<(), TablesError> {
        match &mut self.form {
            FollowingForm::Table(..) => writeln!(self.out, "{}", count(self.rows)).map_err(ArrowError::from)?,
            FollowingForm::Csv | FollowingForm::Json => {}
            FollowingForm::Arrow(writer) => {
                writer.finish()?;
                self.out.write_all(writer.get_ref()).map_err(ArrowError::from)?;
            }
        }
        self.out.flush().map_err(|source| TablesError::Write { source: ArrowError::from(source) })
    }
}

/// The cells of a table by column, its header first.
struct Columns<'s> {
    schema: &'s SchemaRef,
    cells: Vec<Vec<String>>,
    header: usize,
}

impl<'s> Columns<'s> {
    fn of(schema: &'s SchemaRef, batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let has_units = schema.fields().iter().any(|field| field.meta(meta::UNIT).is_some());
        let mut columns = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            let mut cells = vec![field.name().clone()];
            if has_units {
                cells.push(field.meta(meta::UNIT).unwrap_or_default().to_owned());
            }
            for batch in batches {
                append_cells(batch.column(index), &mut cells)?;
            }
            columns.push(cells);
        }
        Ok(Self { schema, cells: columns, header: 1 + usize::from(has_units) })
    }

    fn widths(&self) -> Vec<usize> {
        let width = |cells: &Vec<String>| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
        self.cells.iter().map(width).collect()
    }

    fn write(&self, widths: &[usize], with_header: bool, out: &mut impl Write) -> Result<(), ArrowError> {
        let lines = self.cells.first().map_or(0, Vec::len);
        for line in if with_header { 0 } else { self.header }..lines {
            let cells = self.cells.iter().zip(widths).zip(self.schema.fields());
            let text = cells.map(|((cells, width), field)| padded(&cells[line], *width, field)).collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", text.trim_end())?;
            if line + 1 == self.header {
                writeln!(out, "{}", widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  "))?;
            }
        }
        Ok(())
    }
}

fn write_table(schema: &SchemaRef, batches: &[RecordBatch], out: &mut impl Write) -> Result<(), ArrowError> {
    let columns = Columns::of(schema, batches)?;
    columns.write(&columns.widths(), true, out)?;
    writeln!(out, "{}", count(batches.iter().map(|batch| batch.num_rows() as u64).sum()))?;
    Ok(())
}

fn count(rows: u64) -> String {
    format!("{rows} row{}", if rows == 1 { "" } else { "s" })
}

fn append_cells(column: &dyn Array, cells: &mut Vec<String>) -> Result<(), ArrowError> {
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        cells.extend(floats.iter().map(|value| value.map_or_else(String::new, short)));
        return Ok(());
    }
    if let Some(floats) = column.as_primitive_opt::<Float32Type>() {
        cells.extend(floats.iter().map(|value| value.map_or_else(String::new, |value| short(value.into()))));
        return Ok(());
    }
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6fZ"));
    let formatter = ArrayFormatter::try_new(column, &options)?;
    for row in 0..column.len() {
        // A line of the table is a line, whatever a text holds.
        cells.push(formatter.value(row).try_to_string()?.replace('\n', "⏎"));
    }
    Ok(())
}

/// A number at six significant digits.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let mut decimals: usize = 5;
    let mut scale = 1.0;
    while magnitude >= scale * 10.0 && decimals > 0 {
        scale *= 10.0;
        decimals -= 1;
    }
    while magnitude < scale && decimals < 9 {
        scale /= 10.0;
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn padded(cell: &str, width: usize, field: &Field) -> String {
    let gap = " ".repeat(width - cell.chars().count());
    let is_number = field.data_type().is_numeric() && !matches!(field.data_type(), DataType::Decimal128(_, _));
    if is_number { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow_schema::{Schema, TimeUnit};
    use proprio_core::schema::{column, float, text};

    use super::*;

    fn sample() -> RecordBatch {
        let time = TimestampMicrosecondArray::from(vec![Some(1_500_000), Some(-1)]).with_timezone("UTC");
        let fields = vec![
            column("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            column("time_ns", DataType::Int64).unit("ns"),
            float("angle_deg", "deg"),
            text("label"),
        ];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(time),
            Arc::new(Int64Array::from(vec![1_500_000_123, i64::MIN + 1])),
            Arc::new(Float64Array::from(vec![Some(0.1 + 0.2), None])),
            Arc::new(StringArray::from(vec!["a\nb", "ü"])),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
    }

    fn text_of(format: Format) -> String {
        let mut out = Vec::new();
        write(&[sample()], format, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_table_is_aligned_with_units_and_short_floats() {
        let expected = "\
time                                      time_ns  angle_deg  label
                                               ns        deg
───────────────────────────  ────────────────────  ─────────  ─────
1970-01-01 00:00:01.500000Z            1500000123        0.3  a⏎b
1969-12-31 23:59:59.999999Z  -9223372036854775807             ü
2 rows
";
        assert_eq!(text_of(Format::Table), expected);
        let shown = [0.0, 123456.789, -0.000123456, 1e-9, 12.0, 0.300001, 99999.96, 1234567.8, f64::NAN].map(short);
        assert_eq!(shown, ["0", "123457", "-0.000123456", "1.00000e-9", "12", "0.300001", "100000", "1234568", "NaN"]);
    }

    #[test]
    fn what_comes_bit_by_bit_is_written_as_it_comes() {
        let follow = |format| {
            let mut out = Vec::new();
            let mut following = Following::new(sample().schema(), format, &mut out).expect("begun");
            for row in 0..2 {
                following.write(&sample().slice(row, 1)).expect("written");
            }
            following.finish().expect("ended");
            out
        };
        let text = |format| String::from_utf8(follow(format)).expect("text");
        assert_eq!(text(Format::Csv), text_of(Format::Csv));
        assert_eq!(text(Format::Json).lines().count(), 2);
        let table = text(Format::Table);
        assert!(table.lines().count() == 6 && table.ends_with("2 rows\n"), "{table}");
        let arrow = follow(Format::Arrow);
        let reader = arrow_ipc::reader::StreamReader::try_new(arrow.as_slice(), None).expect("a stream");
        assert_eq!(reader.map(|batch| batch.expect("readable").num_rows()).sum::<usize>(), 2);
        assert!(Following::new(sample().schema(), Format::Parquet, Vec::new()).is_err());
    }

    #[test]
    fn csv_and_json_are_exact() {
        let csv = "time,time_ns,angle_deg,label\n1970-01-01T00:00:01.500Z,1500000123,0.30000000000000004,\"a\nb\"\n\
                   1969-12-31T23:59:59.999999Z,-9223372036854775807,,ü\n";
        assert_eq!(text_of(Format::Csv), csv);
        let json: serde_json::Value = serde_json::from_str(&text_of(Format::Json)).expect("JSON");
        assert_eq!(json[0]["angle_deg"].as_f64(), Some(0.1 + 0.2));
        assert_eq!(json[1]["time_ns"].as_i64(), Some(i64::MIN + 1));
        assert!(json[1]["angle_deg"].is_null() && json[1].as_object().is_some_and(|row| row.len() == 4));
    }

    #[test]
    fn arrow_and_parquet_come_back_with_their_units() {
        let mut stream = Vec::new();
        write(&[sample()], Format::Arrow, &mut stream).expect("written");
        let mut reader = arrow_ipc::reader::StreamReader::try_new(stream.as_slice(), None).expect("a stream");
        assert_eq!(reader.next().expect("a batch").expect("readable"), sample());

        let mut file = Vec::new();
        write(&[sample()], Format::Parquet, &mut file).expect("written");
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).expect("a file");
        let batch = reader.build().expect("a reader").next().expect("a batch").expect("readable");
        assert_eq!(batch.schema().field(2).meta(meta::UNIT), Some("deg"));
        assert_eq!(batch.columns(), sample().columns());
    }
}

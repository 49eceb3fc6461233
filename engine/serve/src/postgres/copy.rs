//! How does `COPY … TO STDOUT` give an answer: as PostgreSQL's text, CSV or binary form, a line or a record a row?

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::arrow_pg::encoder::encode_value;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use pgwire::api::portal::Format;
use pgwire::api::results::{CopyCsvOptions, CopyEncoder, CopyResponse, CopyTextOptions, FieldInfo};
use pgwire::error::PgWireResult;
use pgwire::messages::copy::CopyData;
use proprio_tables::TablesError;

use super::cursor::{self, Rows};
use crate::error::AskError;

/// What an answer is copied as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    kind: Kind,
    header: bool,
    delimiter: Option<char>,
    null: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Text,
    Csv,
    Binary,
}

/// What is copied, when the tokens are `COPY … TO STDOUT`: a query, and its form.
///
/// # Errors
/// An option that there isn't here; a `COPY` elsewhere, or into a table, which is refused as a write.
pub fn statement(tokens: &[Token]) -> Result<(String, Form), AskError> {
    let said: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let text = |tokens: &[Token]| tokens.iter().map(ToString::to_string).collect::<String>();
    // What stands in parentheses may be a SUBSCRIBE, which is no SQL to others: the options are read without it.
    let (query, rest) = if said.get(1) == Some(&&Token::LParen) {
        let (from, to) = parentheses(tokens).ok_or_else(|| AskError::Request("COPY: a parenthesis is never closed".to_owned()))?;
        (Some(text(&tokens[from + 1..to]).trim().to_owned()), format!("COPY (SELECT 1){}", text(&tokens[to + 1..])))
    } else {
        (None, text(tokens))
    };
    let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, &rest).map_err(|error| TablesError::Sql { message: error.to_string() })?;
    let Some(Statement::Copy { source, to: true, target: CopyTarget::Stdout, options, legacy_options, .. }) = parsed.pop() else {
        return Err(TablesError::ReadOnly { statement: "COPY but for COPY … TO STDOUT".to_owned() }.into());
    };
    let query = query.unwrap_or_else(|| match source {
        CopySource::Table { table_name, columns } if columns.is_empty() => format!("SELECT * FROM {table_name}"),
        CopySource::Table { table_name, columns } => {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            format!("SELECT {} FROM {table_name}", columns.join(", "))
        }
        CopySource::Query(query) => query.to_string(),
    });
    Ok((query, form(options, legacy_options)?))
}

/// Where the first parenthesis opens and closes.
fn parentheses(tokens: &[Token]) -> Option<(usize, usize)> {
    let from = tokens.iter().position(|token| *token == Token::LParen)?;
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return Some((from, at)),
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    None
}

fn form(options: Vec<CopyOption>, legacy: Vec<CopyLegacyOption>) -> Result<Form, AskError> {
    let mut form = Form::default();
    let unknown = |option: String| Err(AskError::Request(format!("COPY knows FORMAT, HEADER, DELIMITER and NULL, not {option}")));
    for option in options {
        match option {
            CopyOption::Format(name) => {
                form.kind = match name.value.to_lowercase().as_str() {
                    "text" => Kind::Text,
                    "csv" => Kind::Csv,
                    "binary" => Kind::Binary,
                    _ => return unknown(format!("FORMAT {name}; it is text, csv or binary")),
                }
            }
            CopyOption::Header(header) => form.header = header,
            CopyOption::Delimiter(delimiter) => form.delimiter = Some(delimiter),
            CopyOption::Null(null) => form.null = Some(null),
            CopyOption::Encoding(name) if ["utf8", "utf-8"].contains(&name.to_lowercase().as_str()) => {}
            other => return unknown(other.to_string()),
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Binary => form.kind = Kind::Binary,
            CopyLegacyOption::Header => form.header = true,
            CopyLegacyOption::Delimiter(delimiter) => form.delimiter = Some(delimiter),
            CopyLegacyOption::Null(null) => form.null = Some(null),
            CopyLegacyOption::Csv(options) => {
                form.kind = Kind::Csv;
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => form.header = true,
                        other => return unknown(other.to_string()),
                    }
                }
            }
            other => return unknown(other.to_string()),
        }
    }
    match form.delimiter {
        Some(delimiter) if !delimiter.is_ascii() => Err(AskError::Request("COPY: a delimiter is one ASCII character".to_owned())),
        _ => Ok(form),
    }
}

impl Form {
    fn encoder(&self, fields: Arc<Vec<FieldInfo>>) -> CopyEncoder {
        let delimiter = self.delimiter.map(|delimiter| delimiter.to_string().into());
        let null = self.null.as_deref().map(Into::into);
        match self.kind {
            Kind::Text => {
                let usual = CopyTextOptions::default();
                let options =
                    CopyTextOptions { delimiter: delimiter.unwrap_or(usual.delimiter), null_string: null.unwrap_or(usual.null_string) };
                CopyEncoder::new_text(fields, options)
            }
            Kind::Csv => {
                let usual = CopyCsvOptions::default();
                let options = CopyCsvOptions {
                    delimiter: delimiter.unwrap_or_else(|| usual.delimiter.clone()),
                    null_string: null.unwrap_or_else(|| usual.null_string.clone()),
                    ..usual
                };
                CopyEncoder::new_csv(fields, options)
            }
            Kind::Binary => CopyEncoder::new_binary(fields),
        }
    }

    /// An answer in this form, as it comes.
    pub fn respond(&self, rows: Rows) -> PgWireResult<CopyResponse> {
        let format = if self.kind == Kind::Binary { Format::UnifiedBinary } else { Format::UnifiedText };
        let (schema, batches) = rows.into_parts();
        let fields = cursor::fields(&schema, &format)?;
        let header = self.header.then(|| self.names(&fields)).transpose()?;
        let mut encoder = self.encoder(fields.clone());
        let count = fields.len();
        let rows = batches.map_ok(move |batch| futures::stream::iter(encoded(&mut encoder, &fields, &batch)));
        let lines = futures::stream::iter(header.map(Ok)).chain(rows.try_flatten());
        Ok(CopyResponse::new(i8::from(self.kind == Kind::Binary), count, lines))
    }

    /// The line of names.
    fn names(&self, fields: &[FieldInfo]) -> PgWireResult<CopyData> {
        let text = |field: &FieldInfo| FieldInfo::new(field.name().to_owned(), None, None, pgwire::api::Type::TEXT, field.format());
        let mut encoder = self.encoder(Arc::new(fields.iter().map(text).collect()));
        fields.iter().try_for_each(|field| encoder.encode_field(&Some(field.name())))?;
        Ok(encoder.take_copy())
    }
}

fn encoded(encoder: &mut CopyEncoder, fields: &[FieldInfo], batch: &RecordBatch) -> Vec<PgWireResult<CopyData>> {
    let schema = batch.schema();
    let mut row = |at: usize| {
        for ((column, field), info) in batch.columns().iter().zip(schema.fields()).zip(fields) {
            encode_value(encoder, column, at, field, info)?;
        }
        Ok(encoder.take_copy())
    };
    (0..batch.num_rows()).map(&mut row).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn read(text: &str) -> Result<(String, Form), AskError> {
        statement(&Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().expect("words"))
    }

    #[test]
    fn what_is_copied_is_read_with_its_form() {
        let csv = Form { kind: Kind::Csv, header: true, ..Form::default() };
        for (text, query, form) in [
            ("COPY imu TO STDOUT", "SELECT * FROM imu", Form::default()),
            ("COPY imu (time, sensor) TO STDOUT (FORMAT csv, HEADER)", "SELECT time, sensor FROM imu", csv.clone()),
            ("COPY (SELECT count(*) FROM (SELECT 1)) TO STDOUT WITH CSV HEADER", "SELECT count(*) FROM (SELECT 1)", csv),
            (
                "copy (SUBSCRIBE WITH SNAPSHOT SELECT ')' FROM imu) to stdout with (format \"binary\")",
                "SUBSCRIBE WITH SNAPSHOT SELECT ')' FROM imu",
                Form { kind: Kind::Binary, ..Form::default() },
            ),
            (
                "COPY imu TO STDOUT (DELIMITER ';', NULL 'NaN')",
                "SELECT * FROM imu",
                Form { delimiter: Some(';'), null: Some("NaN".to_owned()), ..Form::default() },
            ),
        ] {
            assert_eq!(read(text).expect(text), (query.to_owned(), form), "{text}");
        }
    }

    #[test]
    fn what_would_write_or_is_not_known_is_refused() {
        for (text, says) in [
            ("COPY imu FROM STDIN", "read-only"),
            ("COPY imu TO '/tmp/imu.csv'", "read-only"),
            ("COPY (SELECT 1) TO PROGRAM 'sh'", "read-only"),
            ("COPY imu TO STDOUT (FORMAT parquet)", "text, csv or binary"),
            ("COPY imu TO STDOUT (FORCE_QUOTE (time))", "not FORCE_QUOTE"),
            ("COPY imu TO STDOUT (DELIMITER 'é')", "Expect a char"),
            ("COPY (SELECT 1 TO STDOUT", "never closed"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

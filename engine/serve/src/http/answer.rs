//! In which form does an answer go out, batch by batch as it comes?

use std::io::Write;
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use parquet::arrow::ArrowWriter;

use crate::desk::Asked;
use crate::error::AskError;

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One array of objects.
    Json,
    /// An object per line.
    Lines,
    /// With a line of names.
    Csv,
    /// An Arrow IPC stream, with units and frames as field metadata.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 5] = [Self::Json, Self::Lines, Self::Csv, Self::Arrow, Self::Parquet];

    /// Its media type.
    pub const fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The form that a request accepts most gladly; JSON when it says nothing, none when there is none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let accepted: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        if accepted.is_empty() {
            return Some(Self::Json);
        }
        let mut best: Option<(f32, Self)> = None;
        for range in accepted.iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            let is = |form: &Self| match media.as_str() {
                "*/*" => true,
                media => media == form.media() || media.strip_suffix("/*").is_some_and(|kind| form.media().split('/').next() == Some(kind)),
            };
            if let Some(form) = Self::ALL.into_iter().find(is)
                && weight > 0.0
                && best.is_none_or(|(than, _)| weight > than)
            {
                best = Some((weight, form));
            }
        }
        best.map(|(_, form)| form)
    }
}

/// An answer as a response. What fails before the first rows is a response of its own; what fails later breaks the connection off,
/// since nothing else tells a client that rows are missing.
///
/// # Errors
/// What the query met before its first rows.
pub async fn respond(mut asked: Asked, form: Form) -> Result<Response, AskError> {
    let first = asked.batches.try_next().await?;
    let mut writer = Writer::new(form, asked.schema.clone()).map_err(proprio_tables::TablesError::from)?;
    let rows = futures::stream::iter(first.map(Ok)).chain(asked.batches).map(Some).chain(futures::stream::iter([None]));
    let parts = rows.map(move |part| -> Result<Bytes, std::io::Error> {
        let written = match part {
            Some(batch) => writer.write(&batch.map_err(std::io::Error::other)?),
            None => writer.finish(),
        };
        written.map_err(std::io::Error::other)
    });
    // Rows that are still in the writer give no bytes yet.
    let parts = parts.try_filter(|part| std::future::ready(!part.is_empty()));
    let mut response = Body::from_stream(parts).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media()));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// One batch as a whole document of its own; without one, the document of an answer without rows.
///
/// # Errors
/// When the form can't hold it.
pub fn document(form: Form, schema: &SchemaRef, batch: Option<&RecordBatch>) -> Result<Vec<u8>, AskError> {
    let write = || -> Result<Vec<u8>, ArrowError> {
        let mut writer = Writer::new(form, schema.clone())?;
        let mut bytes = batch.map_or(Ok(Bytes::new()), |batch| writer.write(batch))?.to_vec();
        bytes.extend(writer.finish()?);
        Ok(bytes)
    };
    Ok(write().map_err(proprio_tables::TablesError::from)?)
}

/// Bytes that a writer has written and that haven't gone out.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Out {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().expect("nothing panics while it holds the bytes")).into()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nothing panics while it holds the bytes").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Writer {
    out: Out,
    form: FormWriter,
}

enum FormWriter {
    Json(arrow_json::writer::Writer<Out, arrow_json::writer::JsonArray>),
    Lines(arrow_json::writer::Writer<Out, arrow_json::writer::LineDelimited>),
    Csv(arrow_csv::Writer<Out>),
    Arrow(StreamWriter<Out>),
    /// Taken when it is closed.
    Parquet(Option<ArrowWriter<Out>>),
}

impl Writer {
    fn new(form: Form, schema: SchemaRef) -> Result<Self, ArrowError> {
        let out = Out::default();
        let json = || arrow_json::writer::WriterBuilder::new().with_explicit_nulls(true);
        let form = match form {
            Form::Json => FormWriter::Json(json().build(out.clone())),
            Form::Lines => FormWriter::Lines(json().build(out.clone())),
            Form::Csv => {
                let mut writer = arrow_csv::WriterBuilder::new().with_header(true).build(out.clone());
                // The names, of an answer without rows too.
                writer.write(&RecordBatch::new_empty(schema))?;
                FormWriter::Csv(writer)
            }
            Form::Arrow => FormWriter::Arrow(StreamWriter::try_new(out.clone(), &schema)?),
            Form::Parquet => FormWriter::Parquet(Some(ArrowWriter::try_new(out.clone(), schema, None)?)),
        };
        Ok(Self { out, form })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
        match &mut self.form {
            FormWriter::Json(writer) => writer.write(batch)?,
            FormWriter::Lines(writer) => writer.write(batch)?,
            FormWriter::Csv(writer) => writer.write(batch)?,
            FormWriter::Arrow(writer) => writer.write(batch)?,
            FormWriter::Parquet(writer) => writer.as_mut().map_or(Ok(()), |writer| writer.write(batch))?,
        }
        Ok(self.out.take())
    }

    fn finish(&mut self) -> Result<Bytes, ArrowError> {
        match &mut self.form {
            FormWriter::Json(writer) => writer.finish()?,
            FormWriter::Lines(writer) => writer.finish()?,
            FormWriter::Csv(_) => {}
            FormWriter::Arrow(writer) => writer.finish()?,
            FormWriter::Parquet(writer) => drop(writer.take().map(ArrowWriter::close).transpose()?),
        }
        Ok(self.out.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_accepted_most_gladly() {
        let of = |accept: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            Form::of(&headers)
        };
        assert_eq!(of(&[]), Some(Form::Json));
        assert_eq!(of(&["*/*"]), Some(Form::Json));
        assert_eq!(of(&["text/*"]), Some(Form::Csv));
        assert_eq!(of(&["text/csv;q=0.5, application/vnd.apache.parquet"]), Some(Form::Parquet));
        assert_eq!(of(&["text/html", "application/x-ndjson; q=0.1"]), Some(Form::Lines));
        assert_eq!(of(&["text/html"]), None);
        assert_eq!(of(&["application/json;q=0"]), None);
    }
}

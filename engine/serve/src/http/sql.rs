//! How is one statement asked over HTTP?

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use datafusion::common::{ParamValues, ScalarValue};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{self, Form};
use super::problem::Problem;
use crate::desk::{Asker, Desk};

/// A statement with the values of `$1`, `$2`, …
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sql: String,
    #[serde(default)]
    parameters: Vec<Value>,
}

/// `POST /v1/sql`.
pub async fn ask(
    State(desk): State<Arc<Desk>>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| Problem::new(rejection.status(), &rejection.body_text()))?;
    let forms = || Form::ALL.map(Form::media).join(", ");
    let form = Form::of(&headers).ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, &format!("an answer is {}", forms())))?;
    let question = question(&headers, &body)?;
    let parameters = question.parameters.into_iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
    let asked = desk.ask(&asker, &question.sql, ParamValues::from(parameters)).await?;
    Ok(answer::respond(asked, form).await?)
}

fn question(headers: &HeaderMap, body: &[u8]) -> Result<Question, Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match media.split(';').next().unwrap_or_default().trim() {
        "application/json" => serde_json::from_slice(body).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string())),
        "text/plain" | "application/sql" => {
            let sql = std::str::from_utf8(body).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the statement is no UTF-8 text"))?;
            Ok(Question { sql: sql.to_owned(), parameters: Vec::new() })
        }
        _ => {
            let detail = "a question is application/json, {\"sql\": …, \"parameters\": […]}, or application/sql or text/plain";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

fn scalar(value: Value) -> Result<ScalarValue, Problem> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(Some(value)),
        Value::String(value) => ScalarValue::Utf8(Some(value)),
        Value::Number(value) => match (value.as_i64(), value.as_f64()) {
            (Some(value), _) => ScalarValue::Int64(Some(value)),
            (None, value) => ScalarValue::Float64(value),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "a parameter is null, a boolean, a number or a text"));
        }
    })
}

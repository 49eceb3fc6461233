//! How does HTTP say what is wrong? Problem details (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::{AskError, Kind};

/// What is wrong, as a response.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    sqlstate: Option<&'static str>,
}

impl Problem {
    /// A problem with its status and one line for people.
    pub fn new(status: StatusCode, detail: &str) -> Self {
        Self { status, detail: detail.to_owned(), sqlstate: None }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        let kind = error.kind();
        let status = match kind {
            Kind::Unknown => StatusCode::UNAUTHORIZED,
            Kind::ReadOnly => StatusCode::FORBIDDEN,
            Kind::NoTable | Kind::NoColumn | Kind::Statement | Kind::Request => StatusCode::BAD_REQUEST,
            Kind::Memory | Kind::Rows | Kind::Time => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
            Kind::Cancelled | Kind::Closing => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, detail: error.to_string(), sqlstate: Some(kind.sqlstate()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("error");
        let mut body = serde_json::json!({ "title": title, "status": self.status.as_u16(), "detail": self.detail });
        if let Some(sqlstate) = self.sqlstate {
            body["sqlstate"] = sqlstate.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"proprio\", charset=\"UTF-8\""));
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

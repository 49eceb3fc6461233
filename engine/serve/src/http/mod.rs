//! How are the tables asked over HTTP? Routes under `/v1`, described by `/v1/openapi.json`, and the two that say whether we live.

mod answer;
mod live;
pub mod login;
mod openapi;
mod problem;
mod sql;
mod tables;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};

use crate::desk::{Caller, Desk};
use problem::Problem;

/// From where a request comes.
#[derive(Clone, Copy, Debug)]
pub struct From(pub SocketAddr);

/// Longest body of a request.
const BODY_BYTES: usize = 256 << 10;

/// The routes.
pub fn router(desk: Arc<Desk>) -> Router {
    let known = Router::new()
        .route("/v1/sql", post(sql::ask))
        .route("/v1/tables", get(tables::all))
        .route("/v1/tables/{table}", get(tables::one))
        .route("/v1/subscribe", get(live::events))
        .route("/v1/stream", get(live::frames))
        .route_layer(middleware::from_fn_with_state(desk.clone(), login::check));
    let open = Router::new()
        .route("/v1/openapi.json", get(openapi::document))
        .route("/livez", get(|| async { Json(serde_json::json!({ "alive": true })) }))
        .route("/readyz", get(ready));
    let missing = || async { Problem::new(StatusCode::NOT_FOUND, "there is no such route; /v1/openapi.json lists them") };
    let wrong = || async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this route takes another method; see /v1/openapi.json") };
    let routes = known.merge(open).fallback(missing).method_not_allowed_fallback(wrong);
    routes.layer(DefaultBodyLimit::max(BODY_BYTES)).with_state(desk)
}

/// Whether the tables can be read.
async fn ready(State(desk): State<Arc<Desk>>) -> Result<Json<serde_json::Value>, Problem> {
    match desk.ready().await {
        Ok(()) => Ok(Json(serde_json::json!({ "ready": true }))),
        Err(error) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())),
    }
}

/// Somebody who comes over HTTP.
fn caller(From(from): From) -> Caller {
    Caller { door: "http", from }
}

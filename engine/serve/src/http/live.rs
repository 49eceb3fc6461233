//! How are rows followed over HTTP? As server-sent events with JSON, or over a WebSocket with Arrow.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{Stream, StreamExt as _};
use serde::Deserialize;

use super::answer::{Form, document};
use super::problem::Problem;
use crate::desk::{Asked, Asker, Desk};
use crate::error::AskError;

/// A statement in an address is at most this long, so that it fits one whatever is escaped in it.
pub const QUERY_BYTES: usize = 16 << 10;
/// The reason in a close frame is at most this long.
const REASON_BYTES: usize = 120;

/// What is followed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// A `SUBSCRIBE`, or a SELECT that is followed from now on.
    sql: String,
}

/// `GET /v1/subscribe`: an event `rows` a batch, whose data is a JSON array of objects; an event `error` at the end if there was one.
pub async fn events(
    State(desk): State<Arc<Desk>>,
    Extension(asker): Extension<Asker>,
    follow: Result<Query<Follow>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = ask(&desk, &asker, follow).await?;
    Ok(Sse::new(told(asked)).keep_alive(KeepAlive::default()).into_response())
}

/// `GET /v1/stream`, a WebSocket: each binary message is an Arrow IPC stream, the first one with the columns alone. The server closes
/// with code 1011 and the reason when the live query fails.
pub async fn frames(
    State(desk): State<Arc<Desk>>,
    Extension(asker): Extension<Asker>,
    follow: Result<Query<Follow>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::new(StatusCode::UPGRADE_REQUIRED, &rejection.body_text()))?;
    let asked = ask(&desk, &asker, follow).await?;
    Ok(upgrade.on_upgrade(|socket| send(socket, asked)))
}

async fn ask(desk: &Desk, asker: &Asker, follow: Result<Query<Follow>, QueryRejection>) -> Result<Asked, Problem> {
    let Query(Follow { sql }) = follow.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, &rejection.body_text()))?;
    if sql.len() > QUERY_BYTES {
        let detail = format!("the statement has {} bytes; at most {QUERY_BYTES} are taken in an address", sql.len());
        return Err(Problem::new(StatusCode::BAD_REQUEST, &detail));
    }
    Ok(desk.follow(asker, &sql).await?)
}

fn told(asked: Asked) -> impl Stream<Item = Result<Event, Infallible>> {
    asked.batches.map(move |batch| {
        Ok(match batch.and_then(|batch| document(Form::Json, &asked.schema, Some(&batch))) {
            Ok(rows) => Event::default().event("rows").data(String::from_utf8(rows).expect("JSON is UTF-8")),
            Err(error) => Event::default().event("error").data(error.to_string()),
        })
    })
}

async fn send(mut socket: WebSocket, mut asked: Asked) {
    let mut next = document(Form::Arrow, &asked.schema, None);
    loop {
        match next {
            Ok(bytes) => {
                if socket.send(Message::Binary(bytes.into())).await.is_err() {
                    return;
                }
            }
            Err(error) => return close(socket, &error).await,
        }
        next = tokio::select! {
            batch = asked.batches.next() => match batch {
                Some(batch) => batch.and_then(|batch| document(Form::Arrow, &asked.schema, Some(&batch))),
                None => return,
            },
            () = gone(&mut socket) => return,
        };
    }
}

/// Answers pings until the client is gone.
async fn gone(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
}

async fn close(mut socket: WebSocket, error: &AskError) {
    let mut reason = error.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES));
    // Who has gone meanwhile needs no reason.
    let _ = socket.send(Message::Close(Some(CloseFrame { code: close_code::ERROR, reason: reason.into() }))).await;
}

//! What does the operator's page get over its one WebSocket, `/v1/console`?
//!
//! **The page sends** JSON: `{"show": {"generation", "bucket_ns", "channels": [{"id", "table", "key", "column"}]}}` says which columns
//! it draws, and how much time one of its pixels covers; `{"follow": [{"id", "sql"}]}` which live queries' rows it lists; each takes
//! the place of what was said before. `{"seen": n}` says that the frame of this sequence has been read.
//!
//! **It gets** as JSON `{"status": …}` four times a second, `{"rows": {"id", "rows"}}` as they come, `{"problem": {"of", "detail"}}` when a
//! table or a live query can't be followed; and at most 30 times a second a binary frame with what came in between. Little-endian:
//!
//! | byte | type | |
//! |---|---|---|
//! | 0 | u32 | `PRF1` as bytes |
//! | 4 | u32 | generation of the `show` that it belongs to |
//! | 8 | u32 | sequence, from 1 on |
//! | 12 | u32 | number of series |
//! | 16 | i64 | nanoseconds of a bucket |
//! | 24 | u64 | values so far that were not sent, since they came faster than they were read |
//! | 32 | | the series, one after the other |
//!
//! A series: `u32` id, `u32` number n of buckets, `i64` first bucket, n × `i32` bucket less the first one, n × `f32` least value,
//! n × `f32` greatest value. A bucket b covers the times from b to b + 1 times the nanoseconds of a bucket; one that holds nulls
//! alone has NaN twice. One that more rows came for comes again, with these rows alone.
//!
//! What a slow page gets is the newest: no more than [`IN_FLIGHT`] frames are on their way to it, and of what comes meanwhile the
//! oldest is dropped beyond [`series::BUCKETS_MAX`] a series, and counted.

mod frame;
mod queries;
mod series;
mod socket;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::problem::Problem;
use crate::desk::{Asker, Desk};

/// Longest message of the page.
const MESSAGE_BYTES: usize = 64 << 10;
/// Most columns that are drawn at a time.
const CHANNELS_MAX: usize = 512;
/// Most live queries whose rows are listed.
const FOLLOWED_MAX: usize = 16;
/// Frames on their way to a page.
const IN_FLIGHT: u32 = 4;

/// What the page says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Show(Show),
    Follow(Vec<Followed>),
    Seen(u32),
}

/// The columns that it draws.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Show {
    /// Tells frames of this from those before.
    generation: u32,
    /// Time that a pixel covers.
    bucket_ns: i64,
    channels: Vec<Channel>,
}

/// A column of the rows with a key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Channel {
    id: u32,
    table: String,
    /// Value of the column `sensor`; none for a table without.
    key: Option<String>,
    column: String,
}

/// A live query whose rows it lists.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Followed {
    id: String,
    sql: String,
}

/// `GET /v1/console`, a WebSocket.
pub async fn open(
    State(desk): State<Arc<Desk>>,
    Extension(asker): Extension<Asker>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::new(StatusCode::UPGRADE_REQUIRED, &rejection.body_text()))?;
    Ok(upgrade.max_message_size(MESSAGE_BYTES).on_upgrade(|socket| socket::serve(socket, desk, asker)))
}

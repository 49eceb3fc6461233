//! How are rows followed, within the engine or through a door?

use anyhow::Context as _;
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _, iter};
use proprio_serve::{Login, Remote};
use proprio_tables::Event;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use crate::engine::Engine;

/// What a live query is followed through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// Nothing: within the engine.
    #[default]
    Engine,
    /// The Flight SQL door, over TCP on loopback.
    Flight,
    /// The HTTP door's WebSocket, likewise.
    WebSocket,
}

impl Through {
    /// The rows of a `SUBSCRIBE`, from now on.
    pub async fn follow(self, engine: &Engine, sql: &str) -> anyhow::Result<BoxStream<'static, anyhow::Result<RecordBatch>>> {
        let doors = || engine.doors().context("the engine has its doors closed");
        Ok(match self {
            Self::Engine => {
                let events = engine.store().subscribe(sql).await?.events;
                let rows = events.try_filter_map(async |event| Ok(if let Event::Rows(rows) = event { Some(rows) } else { None }));
                rows.map_err(anyhow::Error::from).boxed()
            }
            Self::Flight => {
                let remote = Remote::connect(doors()?.flight.parse()?, &Login::Nobody, None).await?;
                remote.ask(sql).await?.batches.map_err(anyhow::Error::from).boxed()
            }
            Self::WebSocket => {
                let address = format!("{}/v1/stream", doors()?.http.replacen("http", "ws", 1));
                let (socket, _) = tokio_tungstenite::connect_async(Url::parse_with_params(&address, [("sql", sql)])?.as_str()).await?;
                socket
                    .map_err(anyhow::Error::from)
                    .map(|message| of_message(message?))
                    .map_ok(|rows| iter(rows).map(Ok))
                    .try_flatten()
                    .boxed()
            }
        })
    }
}

/// The rows of a message, which is an Arrow IPC stream.
fn of_message(message: Message) -> anyhow::Result<Vec<RecordBatch>> {
    match message {
        Message::Binary(stream) => Ok(StreamReader::try_new(&*stream, None)?.collect::<Result<_, _>>()?),
        _ => Ok(Vec::new()),
    }
}

//! An alert as it goes out on the wire (contract 9).

use proprio_core::table::system::alert_state;
use proprio_core::{TableChunk, TimeNs, rows};
use serde::Serialize;

/// Body of `<rig>/@alert/<step>`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// hash(run, session, step, stream, state, time): receivers drop ids that they know.
    pub id: String,
    /// Rig.
    pub rig: String,
    /// Session.
    pub session: String,
    /// Run.
    pub run_id: String,
    /// Alert step.
    pub step: String,
    /// Stream that the step reads.
    pub stream: String,
    /// `firing`, `cleared` or `acknowledged`.
    pub state: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// For people.
    pub message: String,
    /// Event time.
    pub time_ns: TimeNs,
    /// When the condition began to hold.
    pub since_ns: TimeNs,
    /// Position of the message that caused it.
    pub position: i64,
    /// Whether the recording failed when it went out.
    pub unrecorded: bool,
}

impl Alert {
    /// The alerts in rows of the table `alerts`, those left out that their own step withholds; `unrecorded` says that the recording fails while they go out.
    pub fn of_chunk<'a>(chunk: &'a TableChunk, rig: &'a str, unrecorded: bool) -> impl Iterator<Item = Self> + 'a {
        let schema = chunk.rows.schema();
        let index = move |name: &str| schema.index_of(name).expect("alert rows have the columns of `alerts`");
        let [id, stream, state, severity, message] =
            ["id", "stream", "state", "severity", "message"].map(|name| rows::strings(&chunk.rows, index(name)));
        let since = rows::integers(&chunk.rows, index("since_ns"));
        let is_told = move |row: &usize| state.value(*row) != alert_state::WITHHELD;
        (0..chunk.rows.num_rows()).filter(is_told).map(move |row| Self {
            id: id.value(row).to_owned(),
            rig: rig.to_owned(),
            session: chunk.session.clone(),
            run_id: chunk.run_id.clone(),
            step: chunk.key.clone().unwrap_or_default(),
            stream: stream.value(row).to_owned(),
            state: state.value(row).to_owned(),
            severity: severity.value(row).to_owned(),
            message: message.value(row).to_owned(),
            time_ns: rows::times(&chunk.rows)[row],
            since_ns: since.value(row),
            position: chunk.position,
            unrecorded,
        })
    }
}

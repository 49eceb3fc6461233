//! What a table is, and the rows that the worker hands to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::TimeNs;
use crate::schema::{FieldExt, StreamSchema, column, float, text};

/// A table of the store, without the columns that the store adds to all: `time`, `rig`, `session`, `run_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSpec {
    /// Name in SQL.
    pub name: String,
    /// The column that tells the streams of one table apart (`sensor`, or `step` for alerts), added by the store.
    pub key: Option<String>,
    /// Columns of the rows, `time_ns` first; the union where several streams share a table.
    pub columns: SchemaRef,
    /// Whether rows come at a sensor's rate, so that the table is partitioned by month.
    pub high_rate: bool,
    /// Whether rows tell of this process and not of the recording (contract 11): they have no position, and no replay gives
    /// them again.
    pub operational: bool,
}

/// Rows for one table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableChunk {
    /// Table name.
    pub table: String,
    /// Value of the key column.
    pub key: Option<String>,
    /// Session that the rows belong to.
    pub session: String,
    /// Run that made them.
    pub run_id: String,
    /// Rows; a column of the table that is absent here is null.
    pub rows: RecordBatch,
    /// Position of the last message that caused them (contract 4); means nothing for an operational table.
    pub position: i64,
}

/// How far a rig has come once every row up to a position is in its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The position.
    pub position: i64,
    /// The open session; empty when none is. No other session gets rows of its streams any more.
    pub session: String,
    /// Per table: every row of the open session at or before this time has come. A table whose rows come in no order of time,
    /// such as `losses`, is absent.
    pub watermarks: BTreeMap<String, TimeNs>,
}

/// Tables that are there whatever the rig and the pipeline are.
pub mod system {
    use super::*;

    /// Sessions: written at their start, and again, with `end_ns`, at their end. `<table>_latest` is the current state.
    pub const SESSIONS: &str = "sessions";
    /// Trials.
    pub const TRIALS: &str = "trials";
    /// Marks, and the events of a recording.
    pub const EVENTS: &str = "events";
    /// Alerts, of every alert step.
    pub const ALERTS: &str = "alerts";
    /// Samples that never came.
    pub const LOSSES: &str = "losses";
    /// Samples behind the watermark.
    pub const LATE: &str = "late";
    /// Payloads and samples that can't be used.
    pub const REJECTED: &str = "rejected";
    /// A person's words.
    pub const NOTES: &str = "notes";
    /// Answers to questionnaires.
    pub const OUTCOMES: &str = "outcomes";
    /// What made the rows: one row for each run of a session, written before the run's other rows.
    pub const LINEAGE: &str = "lineage";
    /// Which runs of a session its tables show: the newest row holds. Without one, the runs that were live.
    pub const ADOPTIONS: &str = "adoptions";
    /// How each sensor's clock was mapped to the rig's.
    pub const CLOCKS: &str = "clocks";
    /// What was sent, withheld and asked for. Operational.
    pub const AUDIT: &str = "audit";

    /// Rows of `sessions`.
    pub fn sessions() -> StreamSchema {
        let fields = vec![
            text("state").required(),
            text("subject"),
            text("task"),
            column("from_ns", DataType::Int64).unit("ns"),
            column("end_ns", DataType::Int64).unit("ns"),
        ];
        StreamSchema::new(fields, &["state"], None)
    }

    /// Rows of `trials`.
    pub fn trials() -> StreamSchema {
        StreamSchema::new(vec![text("trial").required()], &["trial"], None)
    }

    /// Rows of `events`: a mark has side `none`.
    pub fn events() -> StreamSchema {
        StreamSchema::new(vec![text("event").required(), text("side").required(), text("label"), text("source")], &["event", "side"], None)
    }

    /// Rows that an alert step emits: one when it starts firing, one when it clears, and one, with its `reason`, when it would fire but
    /// is withheld; see [`alert_state`]. `key` holds the key columns of the row that it judged, joined by `/`; it is empty for a stream
    /// without keys.
    pub fn alert() -> StreamSchema {
        let fields = vec![
            text("key").required(),
            text("state").required(),
            text("severity").required(),
            text("message").required(),
            text("reason"),
            column("since_ns", DataType::Int64).unit("ns").required(),
        ];
        StreamSchema::new(fields, &["key", "state"], None)
    }

    /// States of an alert.
    pub mod alert_state {
        /// Its condition has held for long enough.
        pub const FIRING: &str = "firing";
        /// It is over.
        pub const CLEARED: &str = "cleared";
        /// It would fire, and is told to nobody.
        pub const WITHHELD: &str = "withheld";
        /// A person has seen it; `reason` says who, and what they said.
        pub const ACKNOWLEDGED: &str = "acknowledged";
    }

    /// Rows of `alerts`: an alert's rows with their id and the stream that the step read.
    pub fn alerts() -> StreamSchema {
        let mut fields: Vec<Field> = vec![text("id").required(), text("stream").required()];
        fields.extend(alert().columns.fields().iter().skip(1).map(|field| field.as_ref().clone()));
        StreamSchema::new(fields, &["stream", "key", "state"], None)
    }

    /// Rows of `losses`: `count` samples from `sequence` on never came; −1 takes one back that came after all. `policy` is
    /// what was put in their place: `missing`, `fill` or `hold`.
    pub fn losses() -> StreamSchema {
        let fields = vec![
            text("stream").required(),
            column("sequence", DataType::Int64),
            column("count", DataType::Int64).required(),
            text("reason").required(),
            text("policy").required(),
        ];
        StreamSchema::new(fields, &["stream", "sequence"], None)
    }

    /// Rows of `late`: the sample as JSON, and how far behind it was.
    pub fn late() -> StreamSchema {
        let fields = vec![
            text("stream").required(),
            column("sequence", DataType::Int64).required(),
            float("behind_ms", "ms").required(),
            text("sample").required(),
        ];
        StreamSchema::new(fields, &["stream", "sequence"], None)
    }

    /// Rows of `rejected`: the payload's bytes, or the sample as JSON; `sequence` is null for an unreadable payload.
    pub fn rejected() -> StreamSchema {
        let fields = vec![
            text("stream").required(),
            column("sequence", DataType::Int64),
            text("reason").required(),
            text("detail").required(),
            column("payload", DataType::Binary),
        ];
        StreamSchema::new(fields, &["stream", "sequence"], None)
    }

    /// Rows of `notes`: what people say. `action` is one of [`Action`](crate::note::Action), null for a sensor's; `about` names what it is
    /// meant for, and `value` is what an override puts in place.
    pub fn notes() -> StreamSchema {
        let fields = vec![text("author").required(), text("text").required(), text("action"), text("about"), float("value", "1")];
        StreamSchema::new(fields, &["author"], None)
    }

    /// The streams that every rig has beside its sensors': what people say, as rows for steps to read. Named as their tables.
    pub fn said() -> [(&'static str, StreamSchema); 2] {
        [(NOTES, notes()), (OUTCOMES, outcomes())]
    }

    /// Rows of `outcomes`: the value that an instrument's items come to by its own rule, in `percent` or `points`; the item scores
    /// are a JSON list, null for one that was not answered.
    pub fn outcomes() -> StreamSchema {
        let fields = vec![
            text("instrument").required(),
            float("value", "1").required(),
            text("value_unit").required(),
            column("answered", DataType::Int64).required(),
            text("items").required(),
            text("author").required(),
        ];
        StreamSchema::new(fields, &["instrument"], None)
    }

    /// Rows of `lineage`: the texts and versions behind a `run_id`, and its `origin`: [`origin::LIVE`], [`origin::REBUILD`] or
    /// [`origin::AMENDMENT`]. `pipeline_hash` is that of the pipeline's text alone, the same on every rig and in every build. `assets` is a JSON object from the name of what else was read, such as an amendment, to its hash.
    pub fn lineage() -> StreamSchema {
        let names = ["origin", "pipeline", "pipeline_hash", "pipeline_text", "rig_text", "operators", "build", "target", "assets"];
        StreamSchema::new(names.map(|name| text(name).required()).to_vec(), &[], None)
    }

    /// Where a run's rows came from.
    pub mod origin {
        /// Sensors, while the session ran; or their recovery after a crash.
        pub const LIVE: &str = "live";
        /// The session's recording, later, through another pipeline.
        pub const REBUILD: &str = "rebuild";
        /// The session's recording and its amendments.
        pub const AMENDMENT: &str = "amendment";
    }

    /// Rows of `adoptions`: the runs that a session shows from now on, as [`runs_to_text`] writes them, and who said so.
    pub fn adoptions() -> StreamSchema {
        StreamSchema::new(vec![text("runs").required(), text("who")], &[], None)
    }

    /// A set of runs as one text: a JSON list.
    pub fn runs_to_text<'a>(runs: impl IntoIterator<Item = &'a str>) -> String {
        serde_json::Value::from_iter(runs).to_string()
    }

    /// The runs that [`runs_to_text`] wrote; `None` for any other text.
    pub fn runs_of_text(text: &str) -> Option<Vec<String>> {
        serde_json::from_str(text).ok()
    }

    /// Rows of `clocks`, one for each change of a fit: rig time = device time + `offset_ns`, which grows by `drift_ppb` of the
    /// device's time; no delay below `latency_floor_ns` can be seen. `event` is null for a fit, or says what was found, such as
    /// a reset, with its `jump_ns`.
    pub fn clocks() -> StreamSchema {
        let ns = |name: &str| column(name, DataType::Int64).unit("ns");
        let fields = vec![
            text("stream").required(),
            ns("offset_ns").required(),
            column("drift_ppb", DataType::Int64).unit("ppb").required(),
            ns("uncertainty_ns"),
            ns("latency_floor_ns"),
            text("event"),
            ns("jump_ns"),
        ];
        StreamSchema::new(fields, &["stream"], None)
    }

    /// Rows of `audit`: at `time_ns`, `who` did what `kind` says to `subject`; `what` names the thing, `detail` tells more. A kind
    /// is one of [`audit_kind`].
    pub fn audit() -> StreamSchema {
        StreamSchema::new(vec![text("kind").required(), text("who"), text("subject"), text("what"), text("detail")], &["kind"], None)
    }

    /// Kinds of `audit` rows.
    pub mod audit_kind {
        /// An alert or cue was sent.
        pub const ALERT_SENT: &str = "alert_sent";
        /// An alert or cue was not sent: the engine was catching up.
        pub const ALERT_WITHHELD: &str = "alert_withheld";
        /// An alert or cue was sent while the recording failed.
        pub const ALERT_UNRECORDED: &str = "alert_unrecorded";
        /// A person or program asked for something.
        pub const REQUEST: &str = "request";
        /// Sessions were removed.
        pub const FORGET: &str = "forget";
        /// What was older than is kept was removed.
        pub const RETAIN: &str = "retain";
        /// Something was put right in a session that had ended.
        pub const AMEND: &str = "amend";
        /// A session's shown runs were replaced.
        pub const ADOPT: &str = "adopt";
        /// The pipeline was replaced while running.
        pub const RELOAD: &str = "reload";
        /// Somebody asked a question in SQL; `detail` is a JSON object of door, address, rows, milliseconds and outcome.
        pub const QUERY: &str = "query";
        /// A name and password, or a token, were wrong; `who` is the name that was given, `detail` a JSON object of door and address.
        pub const LOGIN_REFUSED: &str = "login_refused";
        /// An engine began.
        pub const ENGINE_START: &str = "engine_start";
    }

    /// Every system table.
    pub fn tables() -> Vec<TableSpec> {
        let keyed = |name: &str, key: Option<&str>, schema: StreamSchema| {
            // The store adds the key column; rows that carry it themselves need no key on their chunk.
            let own = schema.columns.fields().iter().filter(|field| Some(field.name().as_str()) != key).cloned();
            TableSpec {
                name: name.to_owned(),
                key: key.map(str::to_owned),
                columns: Arc::new(Schema::new(own.collect::<Vec<_>>())),
                high_rate: false,
                operational: name == AUDIT,
            }
        };
        vec![
            keyed(SESSIONS, None, sessions()),
            keyed(TRIALS, None, trials()),
            keyed(EVENTS, Some("sensor"), events()),
            keyed(ALERTS, Some("step"), alerts()),
            keyed(LOSSES, None, losses()),
            keyed(LATE, None, late()),
            keyed(REJECTED, None, rejected()),
            keyed(NOTES, Some("sensor"), notes()),
            keyed(OUTCOMES, None, outcomes()),
            keyed(LINEAGE, None, lineage()),
            keyed(ADOPTIONS, None, adoptions()),
            keyed(CLOCKS, Some("stream"), clocks()),
            keyed(AUDIT, None, audit()),
        ]
    }
}

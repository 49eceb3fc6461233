//! An alert or a cue as it goes out on the wire (contract 9).

use proprio_core::control::key;
use proprio_core::table::system::{self, alert_state};
use proprio_core::{TableChunk, TimeNs, rows};
use proprio_runtime::Plan;
use serde::Serialize;

/// What goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Told {
    /// To whoever watches over the session.
    Alert(Alert),
    /// To the patient.
    Cue(Cue),
}

/// Body of `<rig>/@cue/<step>`, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cue {
    /// hash(run, session, step, key, time): receivers drop ids that they know.
    pub id: String,
    /// Rig.
    pub rig: String,
    /// Session.
    pub session: String,
    /// Run.
    pub run_id: String,
    /// Cue step.
    pub step: String,
    /// What the patient is told.
    pub message: String,
    /// Event time.
    pub time_ns: TimeNs,
    /// Position of the message that caused it.
    pub position: i64,
    /// Whether the recording failed when it went out.
    pub unrecorded: bool,
}

/// Each step that speaks, with the key that it speaks on.
pub fn keys(plan: &Plan) -> Vec<(String, String)> {
    let key = |id: &str, is_cue: bool| if is_cue { key::cue(&plan.rig.name, id) } else { key::alert(&plan.rig.name, id) };
    let speaking = plan.steps.iter().filter(|step| step.planned.is_alert || step.planned.is_cue);
    speaking.map(|step| (step.id.clone(), key(&step.id, step.planned.is_cue))).collect()
}

impl Told {
    /// The alerts and cues in rows of a table; `unrecorded` says that the recording fails while they go out.
    pub fn of_chunk(chunk: &TableChunk, plan: &Plan, unrecorded: bool) -> Vec<Self> {
        if chunk.table == system::ALERTS {
            return Alert::of_chunk(chunk, &plan.rig.name, unrecorded).map(Self::Alert).collect();
        }
        let is_cue = plan.steps.iter().any(|step| step.planned.is_cue && step.table.as_ref() == Some(&chunk.table));
        if is_cue { Cue::of_chunk(chunk, &plan.rig.name, unrecorded).map(Self::Cue).collect() } else { Vec::new() }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Alert(alert) => &alert.id,
            Self::Cue(cue) => &cue.id,
        }
    }

    /// Its step.
    pub fn step(&self) -> &str {
        match self {
            Self::Alert(alert) => &alert.step,
            Self::Cue(cue) => &cue.step,
        }
    }

    /// Its event time.
    pub fn time_ns(&self) -> TimeNs {
        match self {
            Self::Alert(alert) => alert.time_ns,
            Self::Cue(cue) => cue.time_ns,
        }
    }
}

impl Cue {
    fn of_chunk<'a>(chunk: &'a TableChunk, rig: &'a str, unrecorded: bool) -> impl Iterator<Item = Self> + 'a {
        let message = chunk.rows.schema().index_of("message").expect("a cue step's output has a message");
        let messages = rows::strings(&chunk.rows, message).iter().zip(rows::times(&chunk.rows));
        messages.filter_map(move |(message, time)| {
            let key = chunk.key.as_deref().unwrap_or_default();
            let identity = [&chunk.run_id, &chunk.session, &chunk.table, key, &time.to_string()].join("\n");
            Some(Self {
                id: format!("{:016x}", twox_hash::XxHash3_64::oneshot(identity.as_bytes())),
                rig: rig.to_owned(),
                session: chunk.session.clone(),
                run_id: chunk.run_id.clone(),
                step: chunk.table.clone(),
                message: message?.to_owned(),
                time_ns: *time,
                position: chunk.position,
                unrecorded,
            })
        })
    }
}

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

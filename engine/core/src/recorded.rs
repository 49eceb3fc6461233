//! What enters a rig: the messages of a sensor, the decisions from outside, and the order they are recorded in.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::carried::Carried;
use crate::clock::ClockFit;
use crate::note::Note;
use crate::outcome::Instrument;
use crate::time::TimeNs;

/// One message of a rig's recording. The worker is a fold over these, live and in replay alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Ordinal in the rig's recording, monotone over segments and restarts (contract 4).
    pub position: i64,
    /// Arrival on the rig's clock, strictly increasing.
    pub log_time_ns: TimeNs,
    /// What came.
    pub event: Event,
}

/// What a recorded message holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A sensor's payload, as it came.
    Payload {
        /// Index of the sensor in the rig.
        sensor: usize,
        /// zenoh encoding.
        encoding: String,
        /// The bytes.
        payload: Vec<u8>,
    },
    /// What was decided outside the worker (contract 5).
    Decision(Decision),
}

/// A decision made at the ingress, by the arrival clock or by a person, which the worker obeys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// A session begins; a barrier (contract 6).
    SessionStart {
        /// Identifier, unique in the rig.
        session: String,
        /// Pseudonym of the subject.
        subject: Option<String>,
        /// What is being done.
        task: Option<String>,
        /// Where every watermark begins; earlier rows are late.
        from_ns: TimeNs,
        /// What each sensor that has been heard brings along from before, by key, so that a session replays alone.
        sources: BTreeMap<String, SourceStart>,
        /// What steps bring along from an earlier session.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        carried: Vec<Carried>,
    },
    /// The session ends; a barrier.
    SessionStop,
    /// A trial begins in the open session, and the one before it ends.
    Trial {
        /// Its name.
        name: String,
    },
    /// A named instant.
    Mark {
        /// Event time.
        time_ns: TimeNs,
        /// What it marks.
        label: String,
    },
    /// A person's words.
    Note {
        /// Event time.
        time_ns: TimeNs,
        /// The words.
        #[serde(flatten)]
        note: Note,
    },
    /// A person's answers to a questionnaire.
    Outcome {
        /// When they were given.
        time_ns: TimeNs,
        /// Who entered them.
        author: String,
        /// The questionnaire.
        instrument: Instrument,
        /// Item scores in its order, none for one that was not answered.
        items: Vec<Option<u8>>,
    },
    /// A person has seen an alert.
    Acknowledge {
        /// When.
        time_ns: TimeNs,
        /// Who.
        author: String,
        /// What they say to it.
        text: Option<String>,
        /// The alert, as its row tells it.
        alert: Acknowledged,
    },
    /// A source has gone quiet: others stop waiting for it.
    Idle {
        /// Index of the sensor.
        sensor: usize,
    },
    /// An idle source came back.
    Back {
        /// Index of the sensor.
        sensor: usize,
    },
    /// A paced source without a rate is alive and has sent nothing: its watermark moves to the message's log time.
    Heartbeat {
        /// Index of the sensor.
        sensor: usize,
    },
    /// The ingress queue was full: messages were dropped before they could be recorded.
    Overflow {
        /// Index of the sensor.
        sensor: usize,
        /// Messages dropped.
        messages: u64,
        /// Bytes dropped.
        bytes: u64,
    },
    /// A sensor with its own clock answered a question about it.
    RoundTrip {
        /// Index of the sensor.
        sensor: usize,
        /// The four instants.
        round_trip: RoundTrip,
    },
    /// The engine came up over this recording (contracts 1 and 10). What was open goes on.
    EngineStart {
        /// UTC at which the arrival clock of this start was anchored.
        anchor_utc_ns: TimeNs,
        /// The run that is in force.
        run_id: String,
        /// Set when it takes an open session over from another build: each table's last transaction, by table. Rows up to there
        /// are the other run's, later ones this run's.
        takes_over: Option<BTreeMap<String, i64>>,
    },
    /// Another plan takes over: what follows this message runs under it. Steps that did not change keep their state.
    Reload {
        /// The run that begins here.
        run_id: String,
        /// Full texts by name, `rig.yaml` and `pipeline.yaml` among them.
        texts: BTreeMap<String, String>,
    },
}

/// An alert that a person has seen: its row in `alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Its id.
    pub id: String,
    /// The alert step.
    pub step: String,
    /// The stream that the step reads.
    pub stream: String,
    /// The key of the row that it judged.
    pub key: String,
    /// Its severity.
    pub severity: String,
    /// Its message.
    pub message: String,
    /// When its condition began to hold.
    pub since_ns: TimeNs,
}

/// What a sensor brings into a session from before it (contract 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStart {
    /// How far it has counted; none when it has not published yet.
    pub sequence: Option<Sequence>,
    /// Whether its publisher sends at its own rate.
    pub paced: bool,
    /// Whether it was idle.
    pub idle: bool,
    /// Serial number of the device, where it says one.
    pub serial: Option<String>,
    /// Fit of its own clock, where it has one.
    pub clock: Option<ClockFit>,
}

/// A question about its own time that a sensor answered, as LSL does: four instants, two on each clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// When the question was sent, on the rig's clock.
    pub sent_ns: TimeNs,
    /// When the device received it, on the device's clock.
    pub device_received_ns: i64,
    /// When the device answered, on the device's clock.
    pub device_sent_ns: i64,
    /// When the answer came, on the rig's clock.
    pub received_ns: TimeNs,
}

/// How far a sensor has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Identifier of the publisher's start.
    pub boot: i64,
    /// The newest sequence seen.
    pub last: i64,
}

/// A decoded message of a sensor.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceMessage {
    /// A publisher starts.
    Open {
        /// New at each start.
        boot: i64,
        /// Whether samples come at their own rate; `play` and fast simulations are not.
        paced: bool,
        /// Serial number of the device, where it knows one.
        serial: Option<String>,
    },
    /// A publisher has sent its last sample.
    End {
        /// Identifier of the publisher's start.
        boot: i64,
        /// Sequence of the last sample, −1 when it sent none.
        last_sequence: i64,
    },
    /// A source without a rate: nothing at or before this time will come.
    Progress {
        /// Event time.
        time_ns: TimeNs,
    },
    /// Samples.
    Samples(Samples),
}

/// Consecutive samples of one sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Identifier of the publisher's start.
    pub boot: i64,
    /// Sequence of the first row; the rest count up by one.
    pub sequence: i64,
    /// Rows in the sensor's [`wire_schema`](crate::Sensor::wire_schema). A column that is not nullable there may hold
    /// nulls here: such a sample is rejected by the worker, not by the decoder.
    pub rows: RecordBatch,
}

/// Samples on their way to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Index of the sensor in the rig.
    pub sensor: usize,
    /// Sequence of the first row.
    pub sequence: i64,
    /// Rows in the sensor's wire schema.
    pub rows: RecordBatch,
}

/// Why a payload or a sample was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// A short stable name, counted in metrics: `garbage`, `schema`, `unit`, `encoding`, `not_finite`, `too_large`.
    pub reason: &'static str,
    /// What is wrong, for people.
    pub detail: String,
}

/// Turns a sensor's payload into a message; pure. The wire encodings live in `engine/zenoh`.
pub type Decode = fn(&crate::Sensor, encoding: &str, payload: &[u8]) -> Result<SourceMessage, Rejection>;

//! The typed requests that change a running rig, over `<rig>/@control`, and their answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::note::Note;
use crate::outcome::Instrument;
use crate::rig::RigFile;
use crate::time::TimeNs;

/// What a person or a program asks of a running rig.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Opens a session; the one that is open ends first.
    SessionStart {
        /// Pseudonym of the subject.
        #[serde(default)]
        subject: Option<String>,
        /// What is being done.
        #[serde(default)]
        task: Option<String>,
        /// Where every watermark begins; the arrival clock when absent.
        #[serde(default)]
        from_ns: Option<TimeNs>,
        /// The session that calibrations and references are carried over from; `last` is the subject's newest. None when absent.
        #[serde(default)]
        carry: Option<String>,
    },
    /// Ends the open session; an unnamed one follows.
    SessionStop,
    /// Begins a trial in the open session.
    Trial {
        /// Its name.
        name: String,
    },
    /// Marks an instant.
    Mark {
        /// What it marks.
        label: String,
        /// Event time; now when absent.
        #[serde(default)]
        time_ns: Option<TimeNs>,
    },
    /// Writes a note, or says what steps obey: a hold, a release, an override, an approval.
    Note {
        /// The words.
        note: Note,
        /// Event time; now when absent.
        #[serde(default)]
        time_ns: Option<TimeNs>,
    },
    /// Says that a person has seen an alert of the open session.
    Acknowledge {
        /// Its id, or the name of its step, whose newest one is meant.
        alert: String,
        /// Who.
        author: String,
        /// What they say to it.
        #[serde(default)]
        text: Option<String>,
    },
    /// Enters a person's answers to a questionnaire.
    Outcome {
        /// Who enters them.
        author: String,
        /// The questionnaire.
        instrument: Instrument,
        /// Item scores in its order, none for one that was not answered.
        items: Vec<Option<u8>>,
        /// When they were given; now when absent.
        #[serde(default)]
        time_ns: Option<TimeNs>,
    },
    /// Asks which sensors the rig declares.
    Rig,
    /// Asks how the rig is.
    Status,
    /// Reads the files again that the engine was started with, and runs by them from here on. What did not change keeps
    /// its state; files with findings change nothing.
    Reload,
    /// Removes every session of a person for good; refused while one of them is open.
    Forget {
        /// Pseudonym of the person.
        subject: String,
        /// Who decides so.
        #[serde(default)]
        who: Option<String>,
    },
}

/// The answer to a [`Request`]. Tagged from outside, `{"done": …}`: serde can't read the channel numbers of a rig back from
/// within a tagged object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is recorded.
    Done {
        /// Session it belongs to.
        session: String,
        /// Position of the recorded decision.
        position: i64,
    },
    /// The sensors that the rig declares.
    Rig(RigFile),
    /// How the rig is.
    Status(Status),
    /// Another plan runs from here on.
    Reloaded {
        /// Position of the recorded decision: what follows it ran under the new plan.
        position: i64,
        /// The run that began.
        run_id: String,
        /// Streams, of sensors and steps, that kept their state.
        kept: Vec<String>,
        /// Streams that began anew.
        fresh: Vec<String>,
    },
    /// A person's sessions are gone.
    Forgotten(Forgotten),
    /// It was not done.
    Refused {
        /// Why; for files that don't check, their findings as people read them.
        reason: String,
    },
}

/// What was removed of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Ids of the sessions.
    pub sessions: Vec<String>,
    /// Segments of the recordings.
    pub segments: u64,
    /// Bytes of these segments.
    pub bytes: u64,
    /// Rows, by table; a table that lost none is absent.
    pub rows: BTreeMap<String, u64>,
}

/// How a rig is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Rig name.
    pub rig: String,
    /// Open session.
    pub session: String,
    /// Newest position that the worker has taken.
    pub position: i64,
    /// Newest position on disk.
    pub durable_position: i64,
    /// Newest position that the tables hold in full, hot rows included.
    pub tables_position: i64,
    /// Now, on the rig's clock.
    pub now_ns: TimeNs,
    /// Bytes taken in that are not on disk yet.
    pub tail_bytes: u64,
    /// Why the disk takes nothing, while it doesn't.
    pub trouble: Option<String>,
    /// Sensors.
    pub sensors: Vec<SensorStatus>,
    /// Steps, in the order in which they run.
    pub steps: Vec<StepStatusReply>,
}

/// How a sensor is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SensorStatus {
    /// Name in the rig.
    pub name: String,
    /// Whether its liveliness token is there.
    pub present: bool,
    /// Samples that reached the stream.
    pub rows: u64,
    /// Samples lost, net of those that came after all.
    pub lost: i64,
    /// Samples behind the watermark.
    pub late: u64,
    /// Samples and payloads rejected.
    pub rejected: u64,
    /// Samples that came twice.
    pub duplicates: u64,
    /// Watermark of the source.
    pub watermark_ns: Option<TimeNs>,
    /// Whether it has gone quiet, so that nothing waits for it.
    pub idle: bool,
    /// Fit of its own clock, where it has one.
    pub clock: Option<ClockStatus>,
    /// Samples a second as declared; none for kinds without a rate.
    pub declared_rate_hz: Option<f64>,
    /// Samples a second as last measured over 10 s of event time; none before that, and for kinds without a rate.
    pub rate_hz: Option<f64>,
}

/// How a sensor's own clock stands against the rig's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Rig time less device time.
    pub offset_ns: i64,
    /// How fast the device's clock runs against the rig's, in parts per billion.
    pub drift_ppb: i64,
    /// How far a mapped time may be off; none before the first observation.
    pub uncertainty_ns: Option<i64>,
}

/// What a step waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatusReply {
    /// The step's id in the pipeline.
    pub id: String,
    /// Stream that it emits: `<id>` or `<id>/<sensor>`.
    pub stream: String,
    /// Up to where it has taken its inputs; none before a session and once every input has ended.
    pub watermark_ns: Option<TimeNs>,
    /// Rows that wait at its ports.
    pub waiting_rows: usize,
    /// Streams of the sensors whose watermark holds it back.
    pub waits_for: Vec<String>,
    /// Arrival of the message that last moved its watermark.
    pub since_ns: Option<TimeNs>,
}

/// Body of `<rig>/@ack/<sensor>` (contract 7), as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Identifier of the publisher's start.
    pub boot: i64,
    /// The highest sequence up to which every sample is durable, or durably known as rejected, late or lost; −1 for none.
    pub sequence: i64,
}

/// Keys of a rig's control plane; `**` does not see them.
pub mod key {
    /// Where a sensor's samples are acknowledged.
    pub fn ack(rig: &str, sensor: &str) -> String {
        format!("{rig}/@ack/{sensor}")
    }

    /// Where a sensor with a clock of its own is asked what it shows.
    pub fn clock(rig: &str, sensor: &str) -> String {
        format!("{rig}/@clock/{sensor}")
    }

    /// Where an alert step's alerts are published, as JSON.
    pub fn alert(rig: &str, step: &str) -> String {
        format!("{rig}/@alert/{step}")
    }

    /// Where a cue step's cues are published, as JSON.
    pub fn cue(rig: &str, step: &str) -> String {
        format!("{rig}/@cue/{step}")
    }

    /// Where SQL is asked; answers are Arrow IPC streams.
    pub fn sql(rig: &str) -> String {
        format!("{rig}/@sql")
    }

    /// Where [`Request`](super::Request)s go, as JSON.
    pub fn control(rig: &str) -> String {
        format!("{rig}/@control")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_asked_for_and_answered_by_name() {
        assert_eq!(serde_json::to_string(&Request::Reload).expect("JSON"), r#"{"request":"reload"}"#);
        let reply = Reply::Reloaded { position: 7, run_id: "r".into(), kept: vec!["imu/a".into()], fresh: vec![] };
        let text = serde_json::to_string(&reply).expect("JSON");
        assert_eq!(text, r#"{"reloaded":{"position":7,"run_id":"r","kept":["imu/a"],"fresh":[]}}"#);
        assert_eq!(serde_json::from_str::<Reply>(&text).expect("a reply"), reply);
    }

    #[test]
    fn a_rig_is_the_same_after_its_way_over_the_wire() {
        let json =
            serde_json::json!({ "rig": "r", "sensors": { "m": { "kind": "emg", "rate": "2 kHz", "channels": { "1": "tra_io_left" } } } });
        let reply = Reply::Rig(serde_json::from_value(json).expect("a rig"));
        let text = serde_json::to_string(&reply).expect("a reply is JSON");
        assert_eq!(serde_json::from_str::<Reply>(&text).expect("a reply"), reply);
    }
}

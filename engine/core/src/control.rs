//! The typed requests that change a running rig, over `<rig>/@control`, and their answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::note::Note;
use crate::outcome::Instrument;
use crate::rig::RigFile;
use crate::time::TimeNs;

/// What a person or a program asks of a running rig. Those that say nothing more have braces too: serde refuses unknown properties beside
/// a tag of variants with fields alone, be there any or none.
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
    SessionStop {},
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
    Rig {},
    /// Asks how the rig is.
    Status {},
    /// Reads the files again that the engine was started with, and runs by them from here on. What did not change keeps
    /// its state; files with findings change nothing.
    Reload {},
    /// Asks for the texts of the pipeline's file and of those that it names.
    Files {},
    /// Asks what would be wrong if a file had another text; nothing changes.
    Check {
        /// Its name, as [`Request::Files`] gives it.
        file: String,
        /// The text.
        text: String,
    },
    /// Gives a file another text and lets it take over as [`Request::Reload`] does; a text with mistakes changes nothing.
    Edit {
        /// Its name, as [`Request::Files`] gives it.
        file: String,
        /// The text.
        text: String,
        /// The text that it replaces: an edit of one that has changed meanwhile is refused.
        was: String,
    },
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
    /// The texts of the pipeline's files, its own first.
    Files(Vec<FileText>),
    /// What is wrong with a text; nothing when there are no findings.
    Checked {
        /// By file, line and column.
        findings: Vec<Finding>,
    },
    /// A person's sessions are gone.
    Forgotten(Forgotten),
    /// It was not done.
    Refused {
        /// Why; for files that don't check, their findings as people read them.
        reason: String,
    },
}

/// A file that a rig runs by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileText {
    /// Its name: the pipeline's own, or as the pipeline writes it.
    pub file: String,
    /// What it holds.
    pub text: String,
}

/// A mistake in a file, as `proprio check` finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The file's name, as [`Request::Files`] gives it.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// How many characters it covers.
    pub length: usize,
    /// Whether the file can't be used.
    pub is_error: bool,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
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
        assert_eq!(serde_json::to_string(&Request::Reload {}).expect("JSON"), r#"{"request":"reload"}"#);
        let reply = Reply::Reloaded { position: 7, run_id: "r".into(), kept: vec!["imu/a".into()], fresh: vec![] };
        let text = serde_json::to_string(&reply).expect("JSON");
        assert_eq!(text, r#"{"reloaded":{"position":7,"run_id":"r","kept":["imu/a"],"fresh":[]}}"#);
        assert_eq!(serde_json::from_str::<Reply>(&text).expect("a reply"), reply);
    }

    #[test]
    fn what_a_request_does_not_know_is_refused() {
        for request in ["reload", "rig", "status", "session_stop", "files"] {
            let read = |text: String| serde_json::from_str::<Request>(&text);
            assert!(read(format!(r#"{{"request":"{request}"}}"#)).is_ok(), "{request}");
            assert!(read(format!(r#"{{"request":"{request}","subject":"S-1"}}"#)).is_err(), "{request}");
        }
        let hold = r#"{"request":"note","note":{"author":"anna","text":"pain","actoin":"hold"}}"#;
        assert!(serde_json::from_str::<Request>(hold).is_err(), "a hold that is misspelt is no plain note");
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

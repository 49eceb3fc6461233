//! What a request over `<rig>/@control` decides.

use proprio_core::control::{Reply, Request};
use proprio_core::{Decision, TimeNs};

use super::liveness::Liveness;
use super::turn::Turn;

/// A name or a text that a person gives is at most this long.
const TEXT_MAX: usize = 4096;

impl Turn {
    /// The decisions to record, or the answer to a request that changes nothing.
    pub(super) fn decisions(&self, request: &Request, liveness: &Liveness) -> Result<Vec<Decision>, Reply> {
        let now_ns = self.clock.now_ns();
        Ok(match request.clone() {
            Request::SessionStart { subject, task, from_ns } => {
                [subject.as_deref(), task.as_deref()].into_iter().flatten().try_for_each(words)?;
                vec![self.session_start(subject, task, from_ns)]
            }
            Request::SessionStop => vec![Decision::SessionStop, self.session_start(None, None, None)],
            Request::Trial { name } => {
                words(&name)?;
                vec![Decision::Trial { name }]
            }
            Request::Mark { label, time_ns } => {
                words(&label)?;
                vec![Decision::Mark { time_ns: time_ns.unwrap_or(now_ns), label }]
            }
            Request::Note { author, text, time_ns } => {
                [author.as_str(), &text].into_iter().try_for_each(words)?;
                vec![Decision::Note { time_ns: time_ns.unwrap_or(now_ns), author, text }]
            }
            Request::Rig => return Err(Reply::Rig(self.rig_file.clone())),
            Request::Reload => return Err(Reply::Refused { reason: "this engine was started without files to read again".to_owned() }),
            Request::Status => return Err(Reply::Status(self.status(liveness))),
        })
    }

    /// The start of a session that is unique in the rig: its name is the arrival time and the next position.
    pub(super) fn session_start(&self, subject: Option<String>, task: Option<String>, from_ns: Option<TimeNs>) -> Decision {
        let now_ns = self.clock.now_ns();
        let time = chrono::DateTime::from_timestamp_nanos(now_ns).format("%Y%m%dT%H%M%SZ");
        let session = format!("{time}-{}", self.recorder.next_position());
        Decision::SessionStart { session, subject, task, from_ns: from_ns.unwrap_or(now_ns), sources: self.worker.source_starts() }
    }
}

fn words(text: &str) -> Result<(), Reply> {
    let reason = match text.len() {
        0 => "an empty text says nothing".to_owned(),
        length if length > TEXT_MAX => format!("a text of {length} bytes is longer than {TEXT_MAX}"),
        _ => return Ok(()),
    };
    Err(Reply::Refused { reason })
}

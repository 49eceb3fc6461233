//! What a request over `<rig>/@control` decides, and what is answered.

use std::sync::Arc;

use anyhow::Context as _;
use proprio_core::control::{Reply, Request, SensorStatus, Status, StepStatusReply};
use proprio_core::note::{Action, Note};
use proprio_core::table::system::audit_kind;
use proprio_core::{Decision, TimeNs};
use proprio_operators::REGISTRY;
use proprio_zenoh::{AckPublisher, Egress};

use super::acknowledge;
use super::audit::Audit;
use super::carry;
use super::turn::Turn;
use super::upkeep::Kept;
use crate::plans::rendered;

/// A name or a text that a person gives is at most this long.
const TEXT_MAX: usize = 4096;

impl Turn {
    /// Does what a request asks. An answer with a position is sent once that is durable.
    ///
    /// # Errors
    /// When rows don't fit their tables.
    pub(super) fn answer(&mut self, request: &Request, who: Option<&str>) -> anyhow::Result<(Option<i64>, Reply)> {
        let now_ns = self.clock.now_ns();
        let decisions = match request {
            Request::Rig {} => return Ok((None, Reply::Rig(self.live.rig().to_file()))),
            Request::Status {} => return Ok((None, Reply::Status(self.status()))),
            _ if self.live.stands_still() => return Ok((None, self.refuse_while_still())),
            Request::Reload {} => return self.reload(who),
            Request::Edit { file, text, was } => return self.edit(file, text, was, who),
            changing => match self.decisions(changing, now_ns) {
                Ok(decisions) => decisions,
                Err(reason) => return Ok((None, Reply::Refused { reason })),
            },
        };
        let (position, alerts) = self.live.decide(decisions, now_ns)?;
        self.send(&alerts);
        let detail = serde_json::to_string(request).ok();
        let session = self.live.fold().session().to_owned();
        self.live.note(&Audit { kind: audit_kind::REQUEST, who, what: Some(&session), detail, ..Audit::default() }, now_ns)?;
        Ok((Some(position), Reply::Done { session, position }))
    }

    /// Reads the pipeline's files again and lets their plan take over; files with mistakes leave the old one running.
    ///
    /// # Errors
    /// When rows don't fit their tables, or the network refuses the new keys.
    pub(super) fn reload(&mut self, who: Option<&str>) -> anyhow::Result<(Option<i64>, Reply)> {
        let refused = |reason: String| Ok((None, Reply::Refused { reason }));
        if self.live.stands_still() {
            return Ok((None, self.refuse_while_still()));
        }
        if self.upkeep.is_busy() {
            return refused("the tables are being cleared of what is no longer kept; ask again when that is done".to_owned());
        }
        let (plan, kept) = match proprio_runtime::load(&self.pipeline, REGISTRY) {
            Ok(loaded) => (Arc::new(loaded.plan), Kept { tables: loaded.retention, recording: loaded.recording_kept }),
            Err(findings) => return refused(rendered(&findings)),
        };
        if plan.rig.name != self.live.rig().name {
            return refused(format!("the rig is called {} now; another rig needs another engine", plan.rig.name));
        }
        if let Err(error) = self.runtime.block_on(self.store.declare(&plan.tables)) {
            return refused(format!("the tables can't take the new pipeline's rows: {error}"));
        }
        let (session, rig) = (self.session.clone(), plan.rig.clone());
        let egress = self.runtime.block_on(Egress::open(&session, super::alerts::keys(&plan)));
        let acks = self.runtime.block_on(AckPublisher::open(&session, &rig));
        let (egress, acks) = (egress.context("the new alerts can't be declared")?, acks.context("the new sensors can't be acknowledged")?);
        // What came under the old rig is judged under it.
        let waiting = self.runtime.block_on(self.ingress.switch(&session, &rig)).context("the new sensors can't be heard")?;
        let mut alerts = self.live.take(waiting)?;
        let now_ns = self.clock.now_ns();
        let (position, more) = self.live.reload(&plan, now_ns)?;
        alerts.extend(more);
        self.send(&alerts);
        (self.egress, self.acks) = (egress, acks);
        self.upkeep.keep(kept);
        let reloaded = self.live.fold().reloaded().expect("it was just reloaded").clone();
        let run_id = self.live.fold().run_id().to_owned();
        tracing::info!(run_id, kept = reloaded.kept.len(), fresh = reloaded.fresh.join(", "), "reloaded at position {position}");
        let detail = Some(format!("run {run_id} from position {position}; new or changed: {}", reloaded.fresh.join(", ")));
        self.live.note(&Audit { kind: audit_kind::RELOAD, who, detail, ..Audit::default() }, now_ns)?;
        Ok((Some(position), Reply::Reloaded { position, run_id, kept: reloaded.kept, fresh: reloaded.fresh }))
    }

    /// The decisions to record.
    fn decisions(&self, request: &Request, now_ns: TimeNs) -> Result<Vec<Decision>, String> {
        Ok(match request.clone() {
            Request::SessionStart { subject, task, from_ns, carry } => {
                [subject.as_deref(), task.as_deref()].into_iter().flatten().try_for_each(words)?;
                let carried = carry.map_or(Ok(Vec::new()), |from| {
                    self.runtime.block_on(carry::over(&self.store, self.live.fold().plan(), &from, subject.as_deref()))
                })?;
                vec![Decision::SessionStop, self.live.session_start(subject, task, from_ns, carried, now_ns)]
            }
            Request::SessionStop {} => vec![Decision::SessionStop, self.live.session_start(None, None, None, Vec::new(), now_ns)],
            Request::Trial { name } => {
                words(&name)?;
                vec![Decision::Trial { name }]
            }
            Request::Mark { label, time_ns } => {
                words(&label)?;
                vec![Decision::Mark { time_ns: time_ns.unwrap_or(now_ns), label }]
            }
            Request::Note { note, time_ns } => {
                [Some(&note.author), Some(&note.text), note.about.as_ref()].into_iter().flatten().try_for_each(|text| words(text))?;
                obeyable(&note)?;
                vec![Decision::Note { time_ns: time_ns.unwrap_or(now_ns), note }]
            }
            Request::Outcome { author, instrument, items, time_ns } => {
                words(&author)?;
                instrument.score(&items).map_err(|error| error.to_string())?;
                vec![Decision::Outcome { time_ns: time_ns.unwrap_or(now_ns), author, instrument, items }]
            }
            Request::Acknowledge { alert, author, text } => {
                [Some(author.as_str()), text.as_deref()].into_iter().flatten().try_for_each(words)?;
                let alert = self.runtime.block_on(acknowledge::alert(&self.store, self.live.fold().session(), &alert))?;
                vec![Decision::Acknowledge { time_ns: now_ns, author, text, alert }]
            }
            Request::Rig {}
            | Request::Status {}
            | Request::Reload {}
            | Request::Files {}
            | Request::Check { .. }
            | Request::Edit { .. }
            | Request::Forget { .. } => Vec::new(),
        })
    }

    pub(super) fn refuse_while_still(&self) -> Reply {
        let trouble = self.live.recorder().trouble().map_or_else(|| "the tables can't be written".to_owned(), |trouble| trouble.text);
        Reply::Refused { reason: format!("the engine stands still until the disk takes more: {trouble}") }
    }

    /// How the rig is.
    fn status(&self) -> Status {
        let (live, worker) = (&self.live, self.live.fold().worker());
        let sensors = live.rig().sensors.iter().zip(worker.source_statuses()).enumerate().map(|(sensor, (file, source))| SensorStatus {
            name: file.name.clone(),
            present: live.liveness().present(sensor),
            rows: source.counts.rows,
            lost: source.counts.lost,
            late: source.counts.late,
            rejected: source.counts.rejected,
            duplicates: source.counts.duplicates,
            watermark_ns: known(source.watermark_ns),
            idle: source.idle,
            clock: source.clock,
            declared_rate_hz: file.rate.map(proprio_core::Rate::hertz),
            rate_hz: source.rate_hz,
        });
        let steps = worker.steps().map(|step| StepStatusReply {
            id: step.id,
            stream: step.stream,
            watermark_ns: known(step.watermark_ns),
            waiting_rows: step.waiting_rows,
            waits_for: step.waits_for,
            since_ns: step.since_ns,
        });
        Status {
            rig: live.rig().name.clone(),
            session: live.fold().session().to_owned(),
            position: worker.position(),
            durable_position: live.recorder().durable_position(),
            tables_position: self.store.tables_position(),
            now_ns: self.clock.now_ns(),
            tail_bytes: live.recorder().tail_bytes() as u64,
            trouble: live.recorder().trouble().map(|trouble| trouble.text),
            sensors: sensors.collect(),
            steps: steps.collect(),
        }
    }
}

/// A watermark, unless its session has not begun or has ended.
fn known(watermark_ns: TimeNs) -> Option<TimeNs> {
    (1..i64::MAX).contains(&watermark_ns).then_some(watermark_ns)
}

/// Whether steps could obey it: a note to steps says what it is about, and an override which value holds.
fn obeyable(note: &Note) -> Result<(), String> {
    match (note.action, note.about.is_some(), note.value) {
        (Action::Note, _, None) | (Action::Hold | Action::Release | Action::Approve, true, None) => Ok(()),
        (Action::Override, true, Some(value)) if value.is_finite() => Ok(()),
        (Action::Override, true, _) => Err("an override needs the value that holds from now on".to_owned()),
        (action, false, None) => Err(format!("`{}` doesn't say what it is about", action.name())),
        (action, _, Some(_)) => Err(format!("`{}` takes no value, or doesn't say what it is about", action.name())),
    }
}

fn words(text: &str) -> Result<(), String> {
    match text.len() {
        0 => Err("an empty text says nothing".to_owned()),
        length if length > TEXT_MAX => Err(format!("a text of {length} bytes is longer than {TEXT_MAX}")),
        _ => Ok(()),
    }
}

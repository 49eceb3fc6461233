//! What is done to the data directory while its engine runs: what is older than is kept leaves, and a person on request; small
//! files become large ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use proprio_core::TimeNs;
use proprio_core::control::{Reply, Request};
use proprio_core::quantity;
use proprio_core::table::system::audit_kind;
use proprio_recording::Disk;
use proprio_tables::Store;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::audit::Audit;
use super::calls::Call;
use super::turn::Turn;
use crate::forget::{audit, find, from_recordings, summary};

/// How often is looked for what is older than is kept; at first when the engine comes up.
const RETAIN_EVERY: Duration = Duration::from_secs(3600);
/// How often small files are looked for.
const MERGE_EVERY: Duration = Duration::from_secs(60);
/// So many of a table are worth a merge while a session goes on; two are when one has ended.
const MERGE_FROM: usize = 8;
/// How often files that nothing names any longer are looked for; at first when the engine comes up.
const VACUUM_EVERY: Duration = Duration::from_secs(24 * 3600);
/// So many requests to forget may wait.
const WAITING_MAX: usize = 16;

/// How long what is kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Rows, by table; for ever where a table isn't named.
    pub tables: BTreeMap<String, quantity::Duration>,
    /// Messages; for ever when absent.
    pub recording: Option<quantity::Duration>,
}

/// What is removed, one thing at a time.
pub struct Upkeep {
    kept: Kept,
    disk: Arc<dyn Disk>,
    store: Arc<Store>,
    due: Instant,
    retaining: Option<JoinHandle<()>>,
    forgetting: Option<(Call, JoinHandle<Reply>)>,
    merging: Option<JoinHandle<()>>,
    merge_due: Instant,
    vacuum_due: Instant,
    /// The session whose files come together; another one ends it.
    session: String,
    ending: Arc<AtomicBool>,
    /// Requests, each with the position that must be durable before: what had been stopped until then is.
    asked: VecDeque<(i64, Call)>,
}

impl Upkeep {
    /// Nothing has been removed yet.
    pub fn new(kept: Kept, disk: Arc<dyn Disk>, store: Arc<Store>) -> Self {
        let now = Instant::now();
        Self {
            kept,
            disk,
            store,
            due: now,
            retaining: None,
            forgetting: None,
            merging: None,
            merge_due: now + MERGE_EVERY,
            vacuum_due: now,
            session: String::new(),
            ending: Arc::new(AtomicBool::new(false)),
            asked: VecDeque::new(),
        }
    }

    /// Other limits hold from here on.
    pub fn keep(&mut self, kept: Kept) {
        (self.kept, self.due) = (kept, Instant::now());
    }

    /// A request to forget a person; it is done once `position` is durable.
    pub fn ask(&mut self, call: Call, position: i64) {
        if self.asked.len() < WAITING_MAX {
            return self.asked.push_back((position, call));
        }
        call.reply(&Reply::Refused { reason: "too many others wait to be forgotten; try again".to_owned() });
    }

    /// Whether a person is being removed: no snapshot may be written, since it might hold them.
    pub fn is_forgetting(&self) -> bool {
        self.forgetting.is_some()
    }

    /// Waits for what is under way.
    pub fn end(&mut self, runtime: &Handle) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(merging) = self.merging.take() {
            report(runtime.block_on(merging));
        }
        if let Some(retaining) = self.retaining.take() {
            report(runtime.block_on(retaining));
        }
        if let Some((call, forgetting)) = self.forgetting.take() {
            call.reply(&answer(runtime.block_on(forgetting)));
        }
        for (_, call) in self.asked.drain(..) {
            call.reply(&Reply::Refused { reason: "the engine stops; ask again".to_owned() });
        }
    }

    /// Whether something is being removed, which holds the tables.
    pub fn is_busy(&self) -> bool {
        self.retaining.is_some() || self.forgetting.is_some()
    }
}

impl Turn {
    /// Ends what is done, and begins what is due.
    pub(super) fn keep_up(&mut self, no_round: bool) {
        if let Some(retaining) = self.upkeep.retaining.take_if(|work| work.is_finished()) {
            report(self.runtime.block_on(retaining));
        }
        if let Some((call, forgetting)) = self.upkeep.forgetting.take_if(|(_, work)| work.is_finished()) {
            call.reply(&answer(self.runtime.block_on(forgetting)));
        }
        if let Some(merging) = self.upkeep.merging.take_if(|work| work.is_finished()) {
            report(self.runtime.block_on(merging));
        }
        if self.upkeep.is_busy() {
            return;
        }
        if self.upkeep.merging.is_none() && self.upkeep.merge_due <= Instant::now() {
            self.merge();
        }
        let durable = self.live.recorder().durable_position();
        let is_free = no_round && !self.live.has_round();
        if is_free && let Some((_, call)) = self.upkeep.asked.pop_front_if(|(position, _)| *position <= durable) {
            self.forget(call);
        } else if self.upkeep.due <= Instant::now() {
            self.upkeep.due = Instant::now() + RETAIN_EVERY;
            self.retain();
        }
    }

    fn forget(&mut self, call: Call) {
        let Request::Forget { subject, who } = call.request().clone() else { return };
        if self.live.stands_still() {
            return call.reply(&self.refuse_while_still());
        }
        let (disk, store, now_ns) = (self.upkeep.disk.clone(), self.upkeep.store.clone(), self.clock.now_ns());
        let work = async move { forgotten(&*disk, &store, &subject, who.as_deref(), now_ns).await };
        let refused = |error: anyhow::Error| Reply::Refused { reason: format!("{error:#}") };
        self.upkeep.forgetting = Some((call, self.runtime.spawn(async move { work.await.unwrap_or_else(refused) })));
    }

    /// Merges small files, and deletes what nothing names, beside commit rounds.
    fn merge(&mut self) {
        let (now, now_ns) = (Instant::now(), self.clock.now_ns());
        self.upkeep.merge_due = now + MERGE_EVERY;
        let is_vacuumed = self.upkeep.vacuum_due > now;
        if !is_vacuumed {
            self.upkeep.vacuum_due = now + VACUUM_EVERY;
        }
        let session = self.live.fold().session();
        let at_least = if session == self.upkeep.session { MERGE_FROM } else { 2 };
        session.clone_into(&mut self.upkeep.session);
        let (store, ending) = (self.upkeep.store.clone(), self.upkeep.ending.clone());
        self.upkeep.merging = Some(self.runtime.spawn(async move {
            match store.merge(at_least, move || !ending.load(Ordering::Relaxed)).await {
                Ok(merged) if merged.files > 0 => tracing::debug!(files = merged.files, into = merged.into, "merged small files"),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "small files of the tables were not merged; it is tried again in a minute"),
            }
            if !is_vacuumed && let Err(error) = store.vacuum(now_ns).await {
                tracing::warn!(%error, "files that nothing names were not deleted; it is tried again in a day");
            }
        }));
    }

    fn retain(&mut self) {
        if self.upkeep.kept.tables.is_empty() && self.upkeep.kept.recording.is_none() {
            return;
        }
        let Upkeep { kept, disk, store, .. } = &self.upkeep;
        let (kept, disk, store, rig, now_ns) =
            (kept.clone(), disk.clone(), store.clone(), self.live.rig().name.clone(), self.clock.now_ns());
        self.upkeep.retaining = Some(self.runtime.spawn(async move {
            if let Err(error) = retained(&kept, &*disk, &store, &rig, now_ns).await {
                tracing::error!("what is older than is kept could not be removed: {error:#}");
            }
        }));
    }
}

/// Removes a person: the tables first, since the recordings name the sessions when it is interrupted.
async fn forgotten(disk: &dyn Disk, store: &Store, subject: &str, who: Option<&str>, now_ns: TimeNs) -> anyhow::Result<Reply> {
    store.refresh().await;
    let theirs = find(disk, Some(&store.catalog()), subject).await?;
    let refused = |reason: String| Ok(Reply::Refused { reason });
    if let Some(open) = theirs.open.first() {
        return refused(format!("session {open} is open: stop it first"));
    }
    if theirs.sessions.is_empty() {
        return refused("there is no session of this subject".to_owned());
    }
    let ids: Vec<String> = theirs.sessions.iter().cloned().collect();
    let rows = store.forget(&ids).await.context("the tables still hold some of it: ask again")?;
    let recordings = tokio::task::block_in_place(|| from_recordings(disk, &theirs.sessions));
    let forgotten = summary(&theirs.sessions, recordings.context("the recordings still hold some of it: ask again")?, rows);
    store.append_operational(&audit(&forgotten, subject, who, now_ns)).context("it was removed, but the audit can't be written")?;
    tracing::info!(sessions = forgotten.sessions.len(), segments = forgotten.segments, "a person was removed");
    Ok(Reply::Forgotten(forgotten))
}

/// Removes what is older than is kept.
async fn retained(kept: &Kept, disk: &dyn Disk, store: &Store, rig: &str, now_ns: TimeNs) -> anyhow::Result<()> {
    let rows: u64 = store.retain(&kept.tables, now_ns).await?.values().sum();
    let segments = match kept.recording {
        Some(kept) => tokio::task::block_in_place(|| retained_segments(disk, rig, now_ns.saturating_sub(kept.nanoseconds())))?,
        None => 0,
    };
    if rows > 0 || segments > 0 {
        tracing::info!(rows, segments, "removed what was older than is kept");
        let detail = Some(format!("{rows} rows, {segments} segments"));
        store.append_operational(&Audit { kind: audit_kind::RETAIN, detail, ..Audit::default() }.chunk(now_ns, "", "", 0))?;
    }
    Ok(())
}

/// Removes segments; those of the open session stay, since it may have to be run again from its start.
fn retained_segments(disk: &dyn Disk, rig: &str, older_than_ns: TimeNs) -> anyhow::Result<usize> {
    let sessions = proprio_recording::sessions(disk, rig)?;
    let open = sessions.last().filter(|session| session.last.is_none());
    let older_than_ns = open.map_or(older_than_ns, |open| older_than_ns.min(open.first_log_time_ns));
    Ok(proprio_recording::retain(disk, rig, older_than_ns)?.len())
}

fn report(kept_up: Result<(), tokio::task::JoinError>) {
    if let Err(stopped) = kept_up {
        tracing::error!(%stopped, "the upkeep of the data directory stopped; it begins anew when it is due again");
    }
}

fn answer(forgotten: Result<Reply, tokio::task::JoinError>) -> Reply {
    forgotten.unwrap_or_else(|stopped| Reply::Refused { reason: format!("the removal stopped: {stopped}; ask again") })
}

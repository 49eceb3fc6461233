//! How does a person leave a data directory: its recordings, its snapshots and its tables?

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use proprio_core::control::Forgotten;
use proprio_core::table::system::audit_kind;
use proprio_core::{TableChunk, TimeNs};
use proprio_recording::Disk;
use proprio_tables::Catalog;
use twox_hash::XxHash3_128;

use crate::ask;
use crate::engine::audit::Audit;
use crate::recorded::rigs;

/// A person's sessions.
#[derive(Clone, Debug, Default)]
pub struct Theirs {
    /// Ids, in the recordings and in the tables.
    pub sessions: BTreeSet<String>,
    /// Those of them that are being recorded.
    pub open: BTreeSet<String>,
}

/// What recordings and tables hold of a person. Either may know sessions that the other doesn't: a retention is over, or a
/// removal was stopped half-way.
///
/// # Errors
/// When either can't be read.
pub async fn find(disk: &dyn Disk, catalog: Option<&Catalog>, subject: &str) -> anyhow::Result<Theirs> {
    let mut theirs = Theirs::default();
    for rig in rigs(disk)? {
        let sessions = proprio_recording::sessions(disk, &rig).with_context(|| format!("the recording of {rig} can't be listed"))?;
        for session in sessions.into_iter().filter(|session| session.subject.as_deref() == Some(subject)) {
            if session.last.is_none() {
                theirs.open.insert(session.id.clone());
            }
            theirs.sessions.insert(session.id);
        }
    }
    if let Some(catalog) = catalog {
        let sql = format!("SELECT DISTINCT session FROM sessions_all WHERE subject = {}", ask::quoted(subject));
        theirs.sessions.extend(ask::texts::<Vec<_>>(catalog, &sql).await?);
    }
    Ok(theirs)
}

/// Removes sessions from the recordings and the snapshots of every rig; returns how many segments that were, and their bytes.
///
/// # Errors
/// When one is being recorded, or the disk refuses.
pub fn from_recordings(disk: &dyn Disk, sessions: &BTreeSet<String>) -> anyhow::Result<(u64, u64)> {
    let (mut segments, mut bytes) = (0, 0);
    for rig in rigs(disk)? {
        let forgotten = proprio_recording::forget(disk, &rig, sessions).with_context(|| format!("the recording of {rig}"))?;
        segments += forgotten.len() as u64;
        bytes += forgotten.iter().map(|segment| segment.bytes).sum::<u64>();
    }
    Ok((segments, bytes))
}

/// What was removed.
pub fn summary(sessions: &BTreeSet<String>, (segments, bytes): (u64, u64), rows: BTreeMap<String, u64>) -> Forgotten {
    Forgotten { sessions: sessions.iter().cloned().collect(), segments, bytes, rows }
}

/// The row of `audit` that says so: when, by whom, and how much, in no session. In place of the pseudonym stands its hash, by
/// which one who knows it can see that it was done; a short pseudonym can be guessed from it.
pub fn audit(forgotten: &Forgotten, subject: &str, who: Option<&str>, now_ns: TimeNs) -> TableChunk {
    let hash = format!("{:032x}", XxHash3_128::oneshot(subject.as_bytes()));
    let rows: u64 = forgotten.rows.values().sum();
    let (sessions, segments) = (forgotten.sessions.len(), forgotten.segments);
    let detail = Some(format!("{sessions} sessions, {segments} segments, {rows} rows"));
    Audit { kind: audit_kind::FORGET, who, subject: Some(&hash), detail, ..Audit::default() }.chunk(now_ns, "", "", 0)
}

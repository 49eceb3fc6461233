//! Which sessions does a data directory's recording hold, and where?

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use proprio_core::TimeNs;
use proprio_recording::{Disk, Gone, Head, Texts};

/// Where a session stands in its recording.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The rig.
    pub rig: String,
    /// Its id.
    pub id: String,
    /// Pseudonym of the subject.
    pub subject: Option<String>,
    /// Position of its start.
    pub first_position: i64,
    /// Log time of its start.
    pub first_log_time_ns: TimeNs,
    /// Where every watermark begins.
    pub from_ns: TimeNs,
    /// Its last position, and the log time at which it was over; none while it is open.
    pub last: Option<(i64, TimeNs)>,
    /// Whether messages of it are gone.
    pub gone: Option<Gone>,
    /// The runs that were live in it.
    pub runs: BTreeSet<String>,
    /// The files in force at its end.
    pub texts: Texts,
}

/// The rigs that a data directory holds recordings of.
///
/// # Errors
/// When it can't be read.
pub fn rigs(disk: &dyn Disk) -> anyhow::Result<Vec<String>> {
    let mut rigs = disk.list(Path::new("recording")).context("the recordings can't be listed")?;
    rigs.sort();
    Ok(rigs)
}

/// The sessions of every rig's recording.
///
/// # Errors
/// When a recording can't be read.
pub fn all(disk: &dyn Disk) -> anyhow::Result<Vec<Extent>> {
    let mut all = Vec::new();
    for rig in rigs(disk)? {
        all.extend(extents(disk, &rig)?);
    }
    Ok(all)
}

/// The sessions of a rig's recording.
///
/// # Errors
/// When the recording can't be read.
pub fn extents(disk: &dyn Disk, rig: &str) -> anyhow::Result<Vec<Extent>> {
    let entries = proprio_recording::sessions(disk, rig).context("the recording can't be listed")?;
    let heads = proprio_recording::heads(disk, rig).context("the recording can't be listed")?;
    let begins = |position: i64| heads.iter().find(|head| head.first_position == position).map(|head| head.first_log_time_ns);
    let extent = |(index, entry): (usize, &proprio_recording::SessionEntry)| {
        let next = entries.get(index + 1).map(|next| next.first_position);
        // One that a crash ended, or that another session's start did, is over where the next segment begins.
        let last = entry.last.map(|last| (last.position, last.log_time_ns)).or(next.map(|next| (next - 1, entry.first_log_time_ns)));
        let is_mine = |head: &&Head| head.session.as_ref().is_some_and(|of| of.start_position == entry.first_position);
        Extent {
            rig: rig.to_owned(),
            id: entry.id.clone(),
            subject: entry.subject.clone(),
            first_position: entry.first_position,
            first_log_time_ns: entry.first_log_time_ns,
            from_ns: entry.from_ns,
            last: last.map(|(position, log_time_ns)| (position, begins(position + 1).unwrap_or(log_time_ns + 1))),
            gone: entry.gone,
            runs: heads.iter().filter(is_mine).filter_map(|head| head.texts.get("run_id").cloned()).collect(),
            texts: heads.iter().rfind(is_mine).map(|head| head.texts.clone()).unwrap_or_default(),
        }
    };
    Ok(entries.iter().enumerate().map(extent).collect())
}

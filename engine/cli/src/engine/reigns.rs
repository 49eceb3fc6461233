//! Under which plans did a session run? It begins under one, and a restart by another build hands it over to the next; reloads,
//! and restarts under other files, are the recording's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use proprio_core::{Decision, Event, Recorded, Rig, TableChunk, TimeNs};
use proprio_operators::REGISTRY;
use proprio_recording::{Disk, Head, Read, Reader, SessionEntry, Texts};
use proprio_runtime::Plan;

use super::fold::{Fold, rendered};
use super::replay::Replay;
use crate::lineage::Origin;

/// A stretch of a session between two such restarts. Its plan ran over the session from the start, and its rows are those
/// after each table's transaction at the restart that began it.
pub struct Reign {
    /// The files it began with.
    pub texts: Texts,
    /// Position of the restart that began it; −1 for the session's first. Reloads before it no longer count.
    pub since: i64,
    /// The tables' last transactions at that restart.
    known: BTreeMap<String, i64>,
}

/// The reigns of a session, of which there is at least one, and the files in force at its end.
///
/// # Errors
/// When the recording can't be read.
pub fn reigns(disk: &Arc<dyn Disk>, rig: &str, session: &SessionEntry) -> anyhow::Result<(Vec<Reign>, Texts)> {
    let mut reigns = vec![Reign { texts: session.texts.clone(), since: -1, known: BTreeMap::new() }];
    let mut last_texts = session.texts.clone();
    for head in heads(disk, rig, session)? {
        if head.texts == last_texts {
            continue;
        }
        // A crash may leave a head without a message: nothing had come to pass under it.
        let Some(first) = first_message(disk, rig, head.first_position)? else { continue };
        if let Event::Decision(Decision::EngineStart { takes_over: Some(known), .. }) = first.event {
            reigns.push(Reign { texts: head.texts.clone(), since: head.first_position, known });
        }
        last_texts.clone_from(&head.texts);
    }
    Ok((reigns, last_texts))
}

/// The runs whose rows the session's tables hold.
///
/// # Errors
/// When the recording can't be read.
pub fn recorded_runs(disk: &Arc<dyn Disk>, rig: &str, session: &SessionEntry) -> anyhow::Result<BTreeSet<String>> {
    let heads = heads(disk, rig, session)?;
    Ok(heads.into_iter().filter_map(|mut head| head.texts.remove("run_id")).collect())
}

/// The heads of a session's segments.
fn heads(disk: &Arc<dyn Disk>, rig: &str, session: &SessionEntry) -> anyhow::Result<Vec<Head>> {
    let mut heads = proprio_recording::heads(&**disk, rig)?;
    heads.retain(|head| head.session.as_ref().is_some_and(|head| head.start_position == session.first_position));
    Ok(heads)
}

/// The message at a position; none at the recording's end, and for a sensor's.
fn first_message(disk: &Arc<dyn Disk>, rig: &str, position: i64) -> anyhow::Result<Option<Recorded>> {
    // What changes the files in force is about no sensor, so any rig reads it.
    let none = Rig { name: rig.to_owned(), sensors: Vec::new() };
    Ok(match Reader::open(disk, rig, position)?.next(&none)? {
        Some(Read::Message(message)) => Some(message),
        Some(Read::Undeclared { .. }) | None => None,
    })
}

/// The plan that a segment's texts make.
///
/// # Errors
/// When this build finds mistakes in them.
pub fn plan_of(texts: &Texts) -> anyhow::Result<Arc<Plan>> {
    let loaded = proprio_runtime::load_texts(texts, REGISTRY).map_err(|findings| anyhow::anyhow!("{}", rendered(&findings)));
    Ok(Arc::new(loaded.context("the recorded files make no plan in this build")?.plan))
}

/// What replaying a session came to.
#[derive(Default)]
pub struct Replayed {
    /// Messages run.
    pub messages: u64,
    /// Seconds spent on reading the recording.
    pub reading_s: f64,
    /// Seconds spent in the fold.
    pub running_s: f64,
}

/// Replays a session under all its reigns, and hands each chunk that its tables must hold to `take`, with the plan that made
/// it; and after each step its log time.
///
/// # Errors
/// When the recording can't be read, or `take` fails.
pub fn replay(
    disk: &Arc<dyn Disk>,
    rig: &str,
    session: &SessionEntry,
    mut take: impl FnMut(&[TableChunk], &Plan, TimeNs) -> anyhow::Result<()>,
) -> anyhow::Result<Replayed> {
    let (reigns, _) = reigns(disk, rig, session)?;
    let mut replayed = Replayed::default();
    for (index, reign) in reigns.iter().enumerate() {
        let next = reigns.get(index + 1);
        let last = next.map(|next| next.since - 1).or(session.last.map(|last| last.position));
        let mut fold = Fold::new(plan_of(&reign.texts)?, Origin::Live).obeying_after(reign.since);
        let ends = reign.known.values().chain(next.iter().flat_map(|next| next.known.values())).copied();
        let mut replay = Replay::new(Reader::open(disk, rig, session.first_position)?, &mut fold, ends.collect(), last);
        let is_kept = |chunk: &TableChunk| {
            let after = reign.known.get(&chunk.table).is_none_or(|known| chunk.position > *known);
            after && next.is_none_or(|next| next.known.get(&chunk.table).is_some_and(|known| chunk.position <= *known))
        };
        while let Some(mut step) = replay.step()? {
            step.chunks.retain(is_kept);
            replayed.messages += step.messages as u64;
            take(&step.chunks, replay.fold.plan(), step.log_time_ns)?;
        }
        replayed.reading_s += replay.reading_s;
        replayed.running_s += replay.running_s;
    }
    Ok(replayed)
}

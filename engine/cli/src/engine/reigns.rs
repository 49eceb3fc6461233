//! Under which plans did a session run? It begins under one, and a restart by another build hands it over to the next; reloads,
//! and restarts under other files, are the recording's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proprio_core::{Decision, Event, Recorded, Rig, TableChunk, TimeNs};
use proprio_recording::{Disk, Read, Reader, SessionEntry, Texts};
use proprio_runtime::Plan;

use super::fold::Fold;
use super::replay::Replay;
use crate::lineage::Origin;
use crate::plans::plan_of;

/// A stretch of a session between two such restarts. Its plan ran over the session from the start, and its rows are those
/// after each table's transaction at the restart that began it.
pub struct Reign {
    /// The files it began with.
    pub texts: Texts,
    /// Position of the restart that began it; −1 for the session's first.
    pub since: i64,
    /// Reloads up to here no longer count: they had been replaced by its files.
    pub obeys_after: i64,
    /// The tables' last transactions at that restart.
    known: BTreeMap<String, i64>,
}

/// What a session's segments say about who ran it.
pub struct History {
    /// Its reigns, of which there is at least one.
    pub reigns: Vec<Reign>,
    /// The files in force at its end.
    pub last_texts: Texts,
    /// The runs whose rows its tables hold.
    pub runs: BTreeSet<String>,
}

impl History {
    /// The history of a session.
    ///
    /// # Errors
    /// When the recording can't be read.
    pub fn of(disk: &Arc<dyn Disk>, rig: &str, session: &SessionEntry) -> anyhow::Result<Self> {
        let first = Reign { texts: session.texts.clone(), since: -1, obeys_after: -1, known: BTreeMap::new() };
        let mut history = Self { reigns: vec![first], last_texts: session.texts.clone(), runs: BTreeSet::new() };
        for head in proprio_recording::heads_of(&**disk, rig, session)? {
            history.runs.extend(head.texts.get("run_id").cloned());
            if head.texts == history.last_texts {
                continue;
            }
            // A crash may leave a head without a message: nothing had come to pass under it.
            let Some(first) = first_message(disk, rig, head.first_position)? else { continue };
            if let Event::Decision(Decision::EngineStart { takes_over: Some(known), .. }) = first.event {
                // The same files in another build: it ran the session again from the first files on, reload by reload.
                let is_same = files_of(&head.texts).eq(files_of(&history.last_texts));
                let (texts, obeys_after) = if is_same { (session.texts.clone(), -1) } else { (head.texts.clone(), head.first_position) };
                history.reigns.push(Reign { texts, since: head.first_position, obeys_after, known });
            }
            history.last_texts = head.texts;
        }
        Ok(history)
    }

    /// The reign at its end.
    pub fn last_reign(&self) -> &Reign {
        self.reigns.last().expect("a session has a reign")
    }
}

/// The files among recorded texts, without the run's name.
fn files_of(texts: &Texts) -> impl Iterator<Item = (&String, &String)> {
    texts.iter().filter(|(name, _)| name.as_str() != "run_id")
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

/// What replaying a session came to.
#[derive(Default)]
pub struct Replayed {
    /// Messages run.
    pub messages: u64,
    /// Seconds spent on reading the recording.
    pub reading_s: f64,
    /// Seconds spent in the fold.
    pub running_s: f64,
    /// Seconds of these by operator and by what is done before them.
    pub spent_s: BTreeMap<&'static str, f64>,
}

/// Replays a session under all the reigns of its history, and hands each chunk that its tables must hold to `take`, with the
/// plan that made it; and after each step its log time.
///
/// # Errors
/// When the recording can't be read, or `take` fails.
pub fn replay(
    disk: &Arc<dyn Disk>,
    rig: &str,
    session: &SessionEntry,
    History { reigns, .. }: &History,
    mut take: impl FnMut(&[TableChunk], &Plan, TimeNs) -> anyhow::Result<()>,
) -> anyhow::Result<Replayed> {
    let mut replayed = Replayed::default();
    for (index, reign) in reigns.iter().enumerate() {
        let next = reigns.get(index + 1);
        let last = next.map(|next| next.since - 1).or(session.last.map(|last| last.position));
        let mut fold = Fold::new(plan_of(&reign.texts)?, Origin::Live).obeying_after(reign.obeys_after).timed();
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
        for (on, spent) in fold.worker().spent() {
            *replayed.spent_s.entry(on).or_default() += spent.as_secs_f64();
        }
    }
    Ok(replayed)
}

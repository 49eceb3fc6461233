//! Did a script keep the promises? Live = replay = recovered, every sample accounted for, nothing acknowledged missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use arrow_array::RecordBatch;
use proprio_core::table::system;
use proprio_core::{Event, Rig, SourceMessage, rows};
use proprio_recording::{Disk, Read, Reader};
use proprio_zenoh::wire;

use super::rig::Outcome;
use super::script::Hardship;
use super::tables::{ByTable, Runs, add};
use crate::engine::reigns::{self, History};

/// Checks an outcome.
///
/// # Errors
/// The first promise that was broken.
pub fn check(outcome: &Outcome, rig: &Rig) -> anyhow::Result<()> {
    let disk: Arc<dyn Disk> = Arc::new(outcome.disk.clone());
    same_bytes(outcome, &disk, rig).context("the tables are not what a replay of the recording gives")?;
    let counted = count(&disk, rig)?;
    every_sample(outcome, rig, &counted)?;
    for ((name, boot), acked) in &outcome.acked {
        let sensor = rig.sensor(name).context("what never sent was acknowledged")?;
        let known = counted[sensor].boots.get(boot).map_or(-1, |span| span.end - 1);
        ensure!(known >= *acked, "{name}: {acked} of boot {boot} was acknowledged, but the recording ends at {known}");
    }
    Ok(())
}

/// Replays each session by itself, and compares.
fn same_bytes(outcome: &Outcome, disk: &Arc<dyn Disk>, rig: &Rig) -> anyhow::Result<()> {
    let mut replayed = ByTable::new();
    let runs = if outcome.hardship == Hardship::Builds { Runs::Together } else { Runs::Apart };
    for session in proprio_recording::sessions(&**disk, &rig.name)? {
        let history = History::of(disk, &rig.name, &session)?;
        reigns::replay(disk, &rig.name, &session, &history, |chunks, _, _| {
            chunks.iter().for_each(|chunk| add(&mut replayed, chunk, runs));
            Ok(())
        })?;
    }
    let stored = outcome.tables.digests(runs);
    for key in stored.keys().chain(replayed.keys()) {
        let (held, again) = (stored.get(key).cloned().unwrap_or_default(), replayed.get(key).cloned().unwrap_or_default());
        if let Some(second_ns) = again.first_difference(&held) {
            let (session, run_id, table) = key;
            let (held, again) = (held.rows(), again.rows());
            bail!("session {session}, run {run_id}, table {table}: {held} rows stored, {again} replayed; second {second_ns}");
        }
    }
    Ok(())
}

/// What the recording says a sensor published.
#[derive(Default)]
struct Counted {
    boots: BTreeMap<i64, Span>,
}

/// Sequences of one start of a publisher, `begin..end`, as far as its messages were recorded.
struct Span {
    begin: i64,
    end: i64,
}

/// Counts what was published, by sensor, from the recording alone and without the worker.
fn count(disk: &Arc<dyn Disk>, rig: &Rig) -> anyhow::Result<Vec<Counted>> {
    let mut counted: Vec<Counted> = rig.sensors.iter().map(|_| Counted::default()).collect();
    let mut reader = Reader::open(disk, &rig.name, 0)?;
    while let Some(read) = reader.next(rig)? {
        let Read::Message(recorded) = read else { continue };
        let Event::Payload { sensor, encoding, payload } = &recorded.event else { continue };
        let Ok(message) = wire::decode(&rig.sensors[*sensor], encoding, payload) else { continue };
        let boots = &mut counted[*sensor].boots;
        match message {
            SourceMessage::Open { boot, .. } => drop(boots.entry(boot).or_insert(Span { begin: 0, end: 0 })),
            SourceMessage::End { boot, last_sequence } => {
                if let Some(span) = boots.get_mut(&boot) {
                    span.end = span.end.max(last_sequence + 1);
                }
            }
            SourceMessage::Samples(samples) => {
                let span = boots.entry(samples.boot).or_insert(Span { begin: samples.sequence, end: samples.sequence });
                span.end = span.end.max(samples.sequence + samples.rows.num_rows() as i64);
            }
            SourceMessage::Progress { .. } => {}
        }
    }
    Ok(counted)
}

/// Published = stored + late + rejected + lost, by sensor.
fn every_sample(outcome: &Outcome, rig: &Rig, counted: &[Counted]) -> anyhow::Result<()> {
    for (sensor, counted) in rig.sensors.iter().zip(counted) {
        let stream = sensor.stream();
        let published: i64 = counted.boots.values().map(|span| span.end - span.begin).sum();
        let own = outcome.tables.committed(sensor.kind.name());
        let own = own.iter().filter(|chunk| chunk.key.as_deref() == Some(sensor.name.as_str()));
        let stored: i64 = own.map(|chunk| chunk.rows.num_rows() as i64).sum();
        let late = side(outcome, system::LATE, &stream, |_, _| 1);
        let lost = side(outcome, system::LOSSES, &stream, |rows, row| integer(rows, "count", row).unwrap_or(0));
        let rejected = side(outcome, system::REJECTED, &stream, |rows, row| {
            let duplicate = rows::strings(rows, index(rows, "reason")).value(row) == "duplicate";
            i64::from(!duplicate && integer(rows, "sequence", row).is_some())
        });
        ensure!(
            published == stored + late + rejected + lost,
            "{stream}: {published} published, but {stored} stored + {late} late + {rejected} rejected + {lost} lost"
        );
    }
    Ok(())
}

/// Adds up `value` over the rows of a table that are about a stream.
fn side(outcome: &Outcome, table: &str, stream: &str, value: impl Fn(&RecordBatch, usize) -> i64) -> i64 {
    let mut sum = 0;
    for chunk in outcome.tables.committed(table) {
        let streams = rows::strings(&chunk.rows, index(&chunk.rows, "stream"));
        sum += (0..chunk.rows.num_rows()).filter(|row| streams.value(*row) == stream).map(|row| value(&chunk.rows, row)).sum::<i64>();
    }
    sum
}

fn integer(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    rows::integer_or_none(rows::integers(batch, index(batch, column)), row)
}

fn index(batch: &RecordBatch, column: &str) -> usize {
    batch.schema_ref().index_of(column).expect("system tables have their columns")
}

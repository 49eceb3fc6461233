//! How are tables kept in order: small files merged, old ones deleted, and what do they take up?

use std::sync::Arc;

use proprio_core::TimeNs;

use crate::catalog;
use crate::cold::Cold;
use crate::error::TablesError;
use crate::merge::{Merge, Merged};
use crate::place::Place;
use crate::rewrite::Pace;
use crate::round::Looked;
use crate::store::{Inner, Store, to_its_end};

/// What one table's committed rows take up, by its log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Table.
    pub table: String,
    /// Rows; those of files that say nothing count as none.
    pub rows: u64,
    /// Parquet files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Event time of the oldest row.
    pub oldest_ns: Option<TimeNs>,
    /// Event time of the newest row.
    pub newest_ns: Option<TimeNs>,
}

/// The tables of a place and what they take up.
///
/// # Errors
/// The first table's that can't be read.
pub async fn table_sizes(place: &Place) -> Result<Vec<TableSize>, TablesError> {
    let mut sizes = Vec::new();
    for (table, place) in place.tables(|_| false).await? {
        let cold = Cold::open(&place, &table).await?;
        let files = cold.scan.files()?;
        let places = 0..files.list.len();
        let times = || places.clone().filter_map(|file| files.times(file));
        sizes.push(TableSize {
            rows: places.clone().filter_map(|file| files.rows(file)).sum(),
            files: files.list.len(),
            bytes: files.list.iter().map(|file| file.meta.size).sum(),
            oldest_ns: times().map(|(oldest, _)| oldest).min(),
            newest_ns: times().map(|(_, newest)| newest).max(),
            table,
        });
    }
    Ok(sizes)
}

/// Merges small files of every table of a place that no engine has open, down to what a merge can do.
///
/// # Errors
/// The first table's that can't be changed.
pub async fn merge_tables(place: &Place) -> Result<Merged, TablesError> {
    let session = catalog::session()?;
    let mut merged = Merged::default();
    for (name, place) in place.tables(|_| false).await? {
        let mut cold = Cold::open(&place, &name).await?;
        let before = merged;
        while let Some(merge) = cold.merging(None, 2, Pace::Swift, &session).await? {
            // Another process changed the table: it is looked at anew the next time.
            let Some((newer, one)) = merge.commit().await? else { break };
            cold = newer;
            merged.add(one);
        }
        if merged != before {
            cold.checkpointed().await?;
        }
    }
    Ok(merged)
}

/// Deletes the files of a place's tables that no version has named for a week, at `now_ns`.
///
/// # Errors
/// The first table's that can't be changed.
pub async fn vacuum_tables(place: &Place, now_ns: TimeNs) -> Result<(), TablesError> {
    for (name, place) in place.tables(|_| false).await? {
        Cold::open(&place, &name).await?.vacuumed(now_ns).await?;
    }
    Ok(())
}

impl Store {
    /// Merges small files of this rig, table by table, where at least `at_least` of one month have come together, while rows
    /// come, commit rounds run and queries are asked: a round waits for the commit of a merge alone, a removal for the whole of
    /// one. Rests as long as it works, and ends soon after `go_on` says no.
    ///
    /// # Errors
    /// The first table's that can't be merged; the next call tries again.
    pub async fn merge(&self, at_least: usize, go_on: impl Fn() -> bool + Send + Sync + 'static) -> Result<Merged, TablesError> {
        let inner = self.inner.clone();
        to_its_end(async move { inner.merge(at_least, go_on).await }).await
    }

    /// Deletes the files that no version has named for a week, at `now_ns`, the rig's clock.
    ///
    /// # Errors
    /// The first table's that can't be changed.
    pub async fn vacuum(&self, now_ns: TimeNs) -> Result<(), TablesError> {
        let inner = self.inner.clone();
        to_its_end(async move {
            let _alone = inner.rewriting.lock().await;
            for cold in inner.versions() {
                // Its commits say nothing of rows: the next look takes them in.
                cold.newer().await?.unwrap_or(cold).vacuumed(now_ns).await?;
            }
            Ok(())
        })
        .await
    }
}

impl Inner {
    async fn merge(self: Arc<Self>, at_least: usize, go_on: impl Fn() -> bool + Send + Sync) -> Result<Merged, TablesError> {
        let mut merged = Merged::default();
        for cold in self.versions() {
            let name = cold.name.clone();
            let before = merged;
            while go_on() {
                let _alone = self.rewriting.lock().await;
                let cold = self.lock().by_name[&name].cold.clone();
                let merge = match cold.merging(Some(&self.rig), at_least, Pace::Gentle(&go_on), &self.session).await {
                    Err(TablesError::Stopped { .. }) if !go_on() => break,
                    merge => merge?,
                };
                let Some(merge) = merge else { break };
                let Some(one) = self.take_in(merge).await? else { break };
                merged.add(one);
            }
            if merged != before {
                let cold = self.lock().by_name[&name].cold.clone();
                cold.checkpointed().await?;
            }
        }
        Ok(merged)
    }

    /// Commits a merge between two rounds, and pins what comes of it from then on.
    async fn take_in(&self, merge: Merge) -> Result<Option<Merged>, TablesError> {
        let mut round = self.round.lock().await;
        let mut looked: Looked = self.look(&mut round).await?;
        let Some((cold, merged)) = merge.commit().await? else { return Ok(None) };
        looked.take(cold.name.clone(), cold);
        self.finish(&mut round, looked, std::collections::BTreeMap::new()).await?;
        Ok(Some(merged))
    }

    fn versions(&self) -> Vec<Cold> {
        self.lock().by_name.values().map(|table| table.cold.clone()).collect()
    }
}

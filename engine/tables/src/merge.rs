//! Which small files become one, and how, while rows come and queries run?
//!
//! Every commit round leaves a file per table. Rows of small files are streamed into new ones in the order that all files have;
//! then one commit swaps them, which changes no row. Queries that were pinned before go on reading the old files, which lie
//! there until they are vacuumed, a week later. Whatever stops a merge before its commit leaves a file that nothing names.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::execution::SessionState;
use datafusion::prelude::ident;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::Add;
use deltalake_core::protocol::DeltaOperation;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::append::{FILE_BYTES, log_files};
use crate::cold::{ATTEMPTS, Cold, is_race};
use crate::error::TablesError;
use crate::files::Files;
use crate::rewrite::Pace;
use crate::scan::order_columns;

/// Files that have grown to this stay as they are.
const GROWN_BYTES: u64 = FILE_BYTES.get() / 2;
/// So many bytes are merged at once, and so many files: whoever waits for a merge waits seconds.
const MERGE_BYTES: u64 = 4 * FILE_BYTES.get();
const MERGE_FILES: usize = 1024;

/// What was merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files that are no longer named.
    pub files: usize,
    /// Files that took their place.
    pub into: usize,
    /// Rows in them.
    pub rows: u64,
}

impl Merged {
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.into += other.into;
        self.rows += other.rows;
    }
}

/// New files on the disk, and those whose rows they hold.
pub(crate) struct Merge {
    cold: Cold,
    old: BTreeSet<String>,
    new: Vec<Add>,
    rows: u64,
}

impl Cold {
    /// Writes what the most worthwhile merge of this version gives; no commit names it yet. `None` when fewer than `at_least`
    /// files of one month and rig are small enough. Only files of `rig` are taken, when it is given.
    pub(crate) async fn merging(
        &self,
        rig: Option<&str>,
        at_least: usize,
        pace: Pace<'_>,
        session: &SessionState,
    ) -> Result<Option<Merge>, TablesError> {
        let files = self.scan.files()?;
        let Some(chosen) = worthwhile(files, rig, at_least) else { return Ok(None) };
        let old = chosen.iter().map(|file| files.list[*file].path.clone()).collect();
        let held: Option<u64> = chosen.iter().map(|file| files.rows(*file)).sum();
        let order: Vec<_> = order_columns(&self.schema).map(|column| ident(column).sort(true, false)).collect();
        let (mut new, rows) = self.rewritten(self.plan(chosen)?.sort(order)?, pace, session).await?;
        if held.is_some_and(|held| held != rows) {
            self.delete(&new).await;
            return Err(TablesError::Miscounted { table: self.name.clone(), held: held.unwrap_or_default(), written: rows });
        }
        for add in &mut new {
            add.data_change = false;
        }
        Ok(Some(Merge { cold: self.clone(), old, new, rows }))
    }

    /// A checkpoint of this version, so that whoever opens the table reads one file instead of an entry per commit.
    pub(crate) async fn checkpointed(&self) -> Result<(), TablesError> {
        create_checkpoint(&self.table, None).await.map_err(TablesError::delta(&self.name))?;
        self.sync(log_files(self.table.version().unwrap_or_default())).await
    }

    /// Deletes files that no commit names; what can't be deleted is vacuumed one day.
    async fn delete(&self, files: &[Add]) {
        for file in files {
            let _ = self.table.object_store().delete(&Path::from(file.path.as_str())).await;
        }
    }
}

impl Merge {
    /// Swaps the files. `None` when one of the old ones has left the table meanwhile: its rows may have been removed, so the new
    /// files are deleted.
    pub(crate) async fn commit(self) -> Result<Option<(Cold, Merged)>, TablesError> {
        let Self { mut cold, old, new, rows } = self;
        let merged = Merged { files: old.len(), into: new.len(), rows };
        for attempt in 1.. {
            cold = cold.newer().await?.unwrap_or(cold);
            let listed = cold.scan.files()?.list.iter().enumerate();
            let places: Vec<usize> = listed.filter(|(_, file)| old.contains(&file.path)).map(|(place, _)| place).collect();
            if places.len() != old.len() {
                // The answer to the attempt before may have been lost on its way from an object store.
                let is_done =
                    new.iter().any(|add| cold.scan.files().is_ok_and(|files| files.list.iter().any(|file| file.path == add.path)));
                if is_done {
                    return Ok(Some((cold, merged)));
                }
                break;
            }
            let operation = DeltaOperation::Optimize { predicate: None, target_size: FILE_BYTES.get().cast_signed() };
            match cold.clone().replaced(cold.removals(&places, false)?, new.clone(), operation).await {
                Ok(cold) => return Ok(Some((cold, merged))),
                Err(TablesError::Delta { source, .. }) if is_race(&source) && attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
        cold.delete(&new).await;
        Ok(None)
    }
}

/// Bytes of a file, and its place in the list.
type Small = (u64, usize);

/// The files of the first month and rig that has enough small ones. Files of one rig stay together, so that its sessions stand
/// in the order of time and its retention removes whole files.
fn worthwhile(files: &Files, rig: Option<&str>, at_least: usize) -> Option<Vec<usize>> {
    let mut groups: BTreeMap<(Option<&str>, &str), Vec<Small>> = BTreeMap::new();
    for (place, file) in files.list.iter().enumerate() {
        let Some(of) = files.rig(place) else { continue };
        if file.meta.size < GROWN_BYTES && rig.is_none_or(|rig| rig == of) {
            groups.entry((file.month.as_deref(), of)).or_default().push((file.meta.size, place));
        }
    }
    groups.into_values().find_map(|small| together(small, at_least))
}

/// From the smallest file on, each that is no larger than twice all before it together: so a row is written anew about as often
/// as its table doubles, not with every merge.
fn together(mut small: Vec<Small>, at_least: usize) -> Option<Vec<usize>> {
    small.sort_unstable();
    let (mut bytes, mut taken) = (0, 0);
    for (count, (size, _)) in small.iter().enumerate().take(MERGE_FILES) {
        bytes += size;
        if bytes > MERGE_BYTES {
            break;
        }
        if count == 0 || *size <= 2 * (bytes - size) {
            taken = count + 1;
        }
    }
    (taken >= at_least.max(2)).then(|| small[..taken].iter().map(|(_, place)| *place).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use proprio_core::TableChunk;
    use proprio_core::table::system;

    use super::*;
    use crate::store::Store;

    fn sizes(of: &[u64]) -> Vec<Small> {
        of.iter().enumerate().map(|(place, size)| (*size, place)).collect()
    }

    #[test]
    fn a_large_file_waits_until_the_small_ones_weigh_as_much() {
        assert_eq!(together(sizes(&[5, 5, 5, 5]), 4), Some(vec![0, 1, 2, 3]));
        assert_eq!(together(sizes(&[5, 5, 5]), 4), None);
        assert_eq!(together(sizes(&[100, 5, 5, 5, 5]), 4), Some(vec![1, 2, 3, 4]), "the large one is left alone");
        assert_eq!(together(sizes(&[20, 5, 5, 5, 5]), 4).map(|files| files.len()), Some(5));
        assert_eq!(together(sizes(&[7]), 0), None, "one file is merged already");
    }

    #[test]
    fn a_row_is_written_about_as_often_as_its_table_doubles() {
        let (mut files, mut written, mut rounds): (Vec<u64>, u64, u64) = (Vec::new(), 0, 0);
        for _ in 0..4096 {
            files.push(1);
            rounds += 1;
            while let Some(chosen) = together(sizes(&files), 8) {
                let bytes: u64 = chosen.iter().map(|place| files[*place]).sum();
                written += bytes;
                let mut place = 0;
                files.retain(|_| (!chosen.contains(&place), place += 1).0);
                files.push(bytes);
            }
            assert!(files.len() < 24, "{files:?}");
        }
        assert_eq!(files.iter().sum::<u64>(), rounds, "nothing is lost");
        assert!(written < 12 * rounds, "each row was written {} times", written as f64 / rounds as f64);
    }

    #[test]
    fn one_merge_is_bounded() {
        let many = vec![1; 3 * MERGE_FILES];
        assert_eq!(together(sizes(&many), 8).map(|files| files.len()), Some(MERGE_FILES));
        let heavy = vec![GROWN_BYTES - 1; 100];
        let chosen = together(sizes(&heavy), 2).expect("enough");
        assert!(chosen.len() as u64 * (GROWN_BYTES - 1) <= MERGE_BYTES, "{}", chosen.len());
    }

    fn note(session: &str, position: i64) -> TableChunk {
        let text = |of: &str| Arc::new(StringArray::from(vec![of])) as ArrayRef;
        let columns = vec![Arc::new(Int64Array::from(vec![position])) as ArrayRef, text("someone"), text("fine")];
        let (rows, session) = (proprio_core::rows::batch(&system::notes(), columns), session.to_owned());
        TableChunk { table: system::NOTES.to_owned(), key: None, session, run_id: "a".to_owned(), rows, position }
    }

    async fn notes(store: &Store) -> usize {
        let answer = store.query("SELECT * FROM notes_all").await.expect("an answer");
        answer.collect().await.expect("rows").iter().map(arrow_array::RecordBatch::num_rows).sum()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_merge_that_stops_before_its_commit_leaves_a_file_that_nothing_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&crate::Place::of_data(dir.path()).expect("a path"), "lab-1", &[]).await.expect("opens");
        for position in 0..4 {
            store.append(&[note(if position == 3 { "gone" } else { "kept" }, position)], position).expect("appended");
            store.commit(position).await.expect("committed");
        }
        let folder = dir.path().join("tables/notes");
        let files =
            || std::fs::read_dir(&folder).expect("a folder").filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file()));
        let cold = || store.inner.lock().by_name[system::NOTES].cold.clone();
        let merging = async || cold().merging(None, 2, Pace::Swift, &store.inner.session).await.expect("written").expect("worthwhile");
        drop(merging().await);
        assert_eq!((files().count(), notes(&store).await), (5, 4));
        // It goes like every file that nothing has named for a week.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
        for (days, left) in [(6, 5), (8, 4)] {
            store.vacuum(now + days * 86_400_000_000_000).await.expect("vacuumed");
            assert_eq!((files().count(), notes(&store).await), (left, 4), "after {days} days");
        }
        // Rows that are removed while they are being merged stay removed, in the table and on the disk.
        let merge = merging().await;
        store.forget(&["gone".to_owned()]).await.expect("forgotten");
        assert!(merge.commit().await.expect("looked").is_none());
        assert_eq!((files().count(), notes(&store).await), (3, 3));
        let merged = merging().await.commit().await.expect("committed").expect("swapped").1;
        assert_eq!((merged, notes(&store).await), (Merged { files: 3, into: 1, rows: 3 }, 3));
    }
}

//! Do rows leave for good, on request and when their time is over, and nothing else with them?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proprio_core::quantity::Duration;
use proprio_core::table::system;
use proprio_core::table::system::origin::LIVE;
use proprio_tables::{Store, forget_sessions};

use super::{START_NS, append, csv, imu, lineage, open, read_csv, row, samples_of};

/// Stands in the rows of the session that is forgotten, and nowhere else.
const MARK: &str = "Zx7forgetme";

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files in which the mark stands, as bytes or, in Parquet, as a value of any column.
fn marked(folder: &Path) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("a file");
        if bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()) {
            return true;
        }
        path.extension().is_some_and(|extension| extension == "parquet") && {
            let file = std::fs::File::open(path).expect("a file");
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("rows");
            reader.map(|batch| format!("{:?}", batch.expect("a batch"))).any(|rows| rows.contains(MARK))
        }
    };
    files(folder).into_iter().filter(holds).collect()
}

fn note(of: (&str, &str), words: &str, position: i64) -> proprio_core::TableChunk {
    row(system::NOTES, &system::notes(), START_NS, &[Some("someone"), Some(words)], of, position)
}

/// Four rounds in which two sessions share files, then more rows that may stay hot.
async fn fill(store: &Store, gone: &str) {
    append(store, &lineage((gone, "a"), LIVE, 0)).expect("appended");
    append(store, &lineage(("kept", "a"), LIVE, 0)).expect("appended");
    for position in 1..5 {
        for (session, sensor) in [("kept", "pelvis"), (gone, MARK)] {
            append(store, &samples_of((session, "a"), sensor, position * 10, 10, position)).expect("appended");
        }
        append(store, &note((gone, "a"), MARK, position)).expect("appended");
        append(store, &note(("kept", "a"), "fine", position)).expect("appended");
        if position < 4 {
            store.commit(position).await.expect("committed");
        }
    }
}

const LEFT: &str = "SELECT session, sensor, count(*) AS n, min(sequence) AS first, max(sequence) AS last FROM imu GROUP BY session, sensor";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_session_leaves_no_byte_under_the_tables() {
    for running in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let tables = dir.path().join("tables");
        let store = open(dir.path()).await;
        let gone = format!("session-{MARK}");
        fill(&store, &gone).await;
        // A write that was never committed, and one that was never finished.
        let parquet = marked(&tables.join("imu")).into_iter().find(|path| path.extension().is_some_and(|end| end == "parquet"));
        let parquet = parquet.expect("the mark is found where it is");
        std::fs::copy(&parquet, parquet.with_file_name("orphan.parquet")).expect("copied");
        std::fs::write(parquet.with_file_name("torn.parquet"), &std::fs::read(&parquet).expect("read")[..900]).expect("written");
        std::fs::write(parquet.with_file_name("part.parquet#1"), MARK).expect("written");
        assert!(marked(&tables.join("imu/_delta_log")).len() >= 3, "statistics hold it");

        let removed = if running {
            let removed = store.forget(std::slice::from_ref(&gone)).await.expect("forgotten");
            assert_eq!(csv(&store, LEFT).await, "session,sensor,n,first,last\nkept,pelvis,40,10,49\n");
            store.commit(4).await.expect("committed");
            assert_eq!(csv(&store, LEFT).await, "session,sensor,n,first,last\nkept,pelvis,40,10,49\n");
            append(&store, &samples_of(("kept", "a"), "pelvis", 50, 10, 5)).expect("the store goes on");
            store.commit(5).await.expect("committed");
            assert_eq!(store.transactions(), [1, 4, 5], "no transaction is lost");
            removed
        } else {
            store.commit(5).await.expect("committed");
            drop(store);
            forget_sessions(&crate::place(dir.path()), std::slice::from_ref(&gone)).await.expect("forgotten")
        };
        assert_eq!(marked(&tables), Vec::<PathBuf>::new(), "running {running}");
        let expected = [("imu", 40), ("lineage", 1), ("notes", 4)].map(|(table, rows)| (table.to_owned(), rows));
        assert_eq!(removed, BTreeMap::from(expected), "running {running}");
        let last = if running { "50,10,59" } else { "40,10,49" };
        assert_eq!(read_csv(dir.path(), LEFT).await, format!("session,sensor,n,first,last\nkept,pelvis,{last}\n"));
        assert_eq!(read_csv(dir.path(), "SELECT count(*) AS n, min(text) AS t FROM notes").await, "n,t\n4,fine\n");
        // Once more changes nothing, and the tables take rows again.
        assert_eq!(forget_sessions(&crate::place(dir.path()), &[gone]).await.expect("forgotten"), BTreeMap::new());
        let store = open(dir.path()).await;
        assert_eq!(store.committed_position("imu"), Some(5));
        append(&store, &samples_of(("kept", "a"), "pelvis", 90, 1, 9)).expect("appended");
        store.commit(9).await.expect("committed");
        assert_eq!(read_csv(dir.path(), "SELECT max(sequence) AS last FROM imu").await, "last\n90\n");
    }
}

/// A catalog that was pinned before still answers about what is kept, as far as its files are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_catalog_outlives_a_removal_of_other_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for (position, session) in [(0, "kept"), (1, "gone")] {
        append(&store, &samples_of((session, "a"), "pelvis", 0, 10, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    let pinned = store.catalog();
    store.forget(&["gone".to_owned()]).await.expect("forgotten");
    let answer = pinned.query("SELECT count(*) AS n FROM imu WHERE session = 'kept'").await.expect("an answer");
    assert_eq!(super::as_csv(&answer.collect().await.expect("rows")), "n\n10\n");
}

/// A store that runs goes on after another process has removed a session and cleaned the log beneath it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_store_survives_a_removal_by_another_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for (position, session) in [(0, "kept"), (1, "gone")] {
        append(&store, &samples_of((session, "a"), "pelvis", position * 10, 10, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    append(&store, &samples_of(("kept", "a"), "pelvis", 20, 10, 2)).expect("appended");
    forget_sessions(&crate::place(dir.path()), &["gone".to_owned()]).await.expect("forgotten");
    store.commit(2).await.expect("committed");
    let sql = "SELECT session, count(*) AS n, count(DISTINCT sequence) AS d FROM imu GROUP BY session";
    assert_eq!(csv(&store, sql).await, "session,n,d\nkept,20,20\n");
    assert_eq!(read_csv(dir.path(), sql).await, "session,n,d\nkept,20,20\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_when_their_time_is_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let other = Store::open(&crate::place(dir.path()), "lab-2", &[imu()]).await.expect("opens");
    for position in 0..5 {
        append(&store, &samples_of(("s1", "a"), "pelvis", position * 100, 100, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    append(&other, &samples_of(("s1", "a"), "pelvis", 0, 100, 0)).expect("appended");
    other.commit(0).await.expect("committed");
    let limits = BTreeMap::from(["imu", "nosuch"].map(|table| (table.to_owned(), Duration::new(2.0))));
    let row = |k: i64| START_NS + k * 10_000_007;
    let files_before = files(&dir.path().join("tables/imu")).len();
    let none = store.retain(&limits, row(0) + 2_000_000_000).await.expect("retained");
    assert_eq!((none, files(&dir.path().join("tables/imu")).len()), (BTreeMap::new(), files_before), "nothing is due: nothing is written");
    // Everything before row 250.
    let removed = store.retain(&limits, row(250) + 2_000_000_000).await.expect("retained");
    assert_eq!(removed, BTreeMap::from([("imu".to_owned(), 250)]));
    let sql = "SELECT rig, count(*) AS n, min(sequence) AS first, max(sequence) AS last FROM imu GROUP BY rig ORDER BY rig";
    let expected = "rig,n,first,last\nlab-1,250,250,499\nlab-2,100,0,99\n";
    assert_eq!(csv(&store, sql).await, expected, "another rig has its own limits");
    append(&store, &samples_of(("s1", "a"), "pelvis", 500, 1, 5)).expect("appended");
    store.commit(5).await.expect("committed");
    assert_eq!(read_csv(dir.path(), sql).await, expected.replace("250,250,499", "251,250,500"));

    // The old files go a week after they were last used, and no other.
    let parquet =
        || files(&dir.path().join("tables/imu")).iter().filter(|path| path.extension().is_some_and(|end| end == "parquet")).count();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
    let (before, day) = (parquet(), super::DAY_NS);
    // Round 0 lies in two months; of round 2, half is kept.
    for (days, gone) in [(6, 0), (8, 4), (8, 4)] {
        store.vacuum(now + days * day).await.expect("vacuumed");
        assert_eq!(parquet(), before - gone, "after {days} days");
    }
    assert_eq!(csv(&store, sql).await, expected.replace("250,250,499", "251,250,500"));
}

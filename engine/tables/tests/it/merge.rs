//! Are small files merged without a row doubled, lost or moved, whatever else goes on?

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt;
use proprio_core::table::system::origin::LIVE;
use proprio_tables::{Merged, Reader, Store, merge_tables, table_sizes};

use super::layout::opened;
use super::{append, csv, imu, lineage, open, read_csv, samples_of};

fn parquet(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_data = |path: &PathBuf| path.extension().is_some_and(|end| end == "parquet") && !path.to_string_lossy().contains("_delta_log");
    entries.flat_map(|path| if path.is_dir() { parquet(&path) } else { vec![path] }).filter(is_data).collect()
}

async fn files(dir: &Path, table: &str) -> usize {
    let sizes = table_sizes(&crate::place(dir)).await.expect("tables");
    sizes.into_iter().find(|size| size.table == table).expect("the table").files
}

const ROWS: &str = "SELECT session, sensor, sequence, time_ns, gyro_x_rad_per_s FROM imu ORDER BY session, time_ns, sensor";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_files_hold_the_same_rows_in_the_same_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let other = Store::open(&crate::place(dir.path()), "lab-2", &[imu()]).await.expect("opens");
    for position in 0..20 {
        let session = format!("s{}", position / 7);
        append(&store, &samples_of((&session, "a"), "trunk", position * 10, 10, position)).expect("appended");
        append(&store, &samples_of((&session, "a"), "pelvis", position * 10 + 3, 10, position)).expect("appended");
        store.commit(position).await.expect("committed");
        append(&other, &samples_of((&session, "b"), "pelvis", position * 10, 10, position)).expect("appended");
        other.commit(position).await.expect("committed");
    }
    store.commit(20).await.expect("committed");
    let (pinned, before) = (store.catalog(), csv(&store, ROWS).await);
    let old = parquet(&dir.path().join("tables/imu"));
    // One rig's rows of January and of February; the other rig's files stay.
    let merged = store.merge(2, || true).await.expect("merged");
    assert_eq!((merged.into, merged.rows >= 400), (2, true), "{merged:?}");
    assert_eq!(csv(&store, ROWS).await, before);
    assert_eq!(files(dir.path(), "imu").await, 2 + 20, "{merged:?}");
    assert_eq!(store.merge(2, || true).await.expect("merged"), Merged::default(), "there is nothing left to do");
    assert_eq!(store.committed_position("imu"), Some(19), "its transactions stay");

    // Whoever was pinned before still has the old files.
    let answer = pinned.query(ROWS).await.expect("an answer").collect().await.expect("rows");
    assert_eq!(super::as_csv(&answer), before);
    assert!(old.iter().all(|path| path.exists()));

    // A session in a merged file is still found in the order of time, and appends go on.
    append(&store, &samples_of(("s9", "a"), "trunk", 900, 10, 21)).expect("appended");
    store.commit(21).await.expect("committed");
    let sql = "SELECT time_ns FROM imu WHERE session = 's1' AND rig = 'lab-1' ORDER BY time_ns";
    let plan = csv(&store, &format!("EXPLAIN ANALYZE {sql}")).await;
    assert!(!plan.contains("SortExec") && opened(&plan) == 1, "{plan}");

    // Without any engine, every rig's files are merged.
    drop((store, other));
    let before = read_csv(dir.path(), ROWS).await;
    let merged = merge_tables(&crate::place(dir.path())).await.expect("merged");
    assert_eq!(read_csv(dir.path(), ROWS).await, before);
    assert_eq!(files(dir.path(), "imu").await, 5, "two rigs, two months, and one file that is small beside its month's: {merged:?}");
    let again = open(dir.path()).await;
    assert_eq!(csv(&again, ROWS).await, before);
    assert_eq!(again.committed_position("imu"), Some(21));
}

/// Rows, rounds, merges, another process's commits and retention at once; then what a session's forgetting leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn merges_run_beside_everything_and_what_is_forgotten_stays_forgotten() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(dir.path()).await);
    let rebuild = Store::open_as(&crate::place(dir.path()), "lab-1", "r/s0", &[imu()]).await.expect("opens");
    append(&store, &lineage(("s0", "a"), LIVE, 0)).expect("appended");
    let done = Arc::new(AtomicBool::new(false));
    let merger = {
        let (store, done) = (store.clone(), done.clone());
        tokio::spawn(async move {
            let mut merged = 0;
            while !done.load(Ordering::Acquire) {
                merged += store.merge(3, || true).await.expect("merged").files;
            }
            merged
        })
    };
    for position in 0..40 {
        let session = if position % 4 == 0 { "gone" } else { "s0" };
        append(&store, &samples_of((session, "a"), "pelvis", position * 10, 10, position)).expect("appended");
        store.commit(position).await.expect("committed");
        append(&rebuild, &samples_of(("s0", "r"), "pelvis", position * 10, 10, position)).expect("appended");
        rebuild.commit(position).await.expect("committed");
        let sql = "SELECT count(*) AS n, count(DISTINCT (run_id, sequence)) AS d, sum(sequence) AS total FROM imu_all WHERE run_id = 'a'";
        let rows = (position + 1) * 10;
        assert_eq!(csv(&store, sql).await, format!("n,d,total\n{rows},{rows},{}\n", rows * (rows - 1) / 2));
    }
    let removed = store.forget(&["gone".to_owned()]).await.expect("forgotten");
    assert_eq!(removed["imu"], 100);
    done.store(true, Ordering::Release);
    assert!(merger.await.expect("the merger ends") > 20, "merges ran meanwhile");
    let sql = "SELECT session, run_id, count(*) AS n, count(DISTINCT sequence) AS d FROM imu_all GROUP BY session, run_id ORDER BY run_id";
    assert_eq!(csv(&store, sql).await, "session,run_id,n,d\ns0,a,300,300\ns0,r,400,400\n");
    assert_eq!(read_csv(dir.path(), sql).await, "session,run_id,n,d\ns0,a,300,300\ns0,r,400,400\n");
    let holds = |path: &PathBuf| {
        let file = std::fs::File::open(path).expect("a file");
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("rows");
        reader.map(|batch| format!("{:?}", batch.expect("a batch"))).any(|rows| rows.contains("\"gone\""))
    };
    assert_eq!(parquet(&dir.path().join("tables/imu")).iter().find(|path| holds(path)), None, "no file holds it, named or not");
}

/// Milliseconds until a reader has opened the tables, and until it has the first row of a session.
async fn first_row(dir: &Path, session: usize) -> (u128, u128) {
    let begun = Instant::now();
    let reader = Reader::open(&crate::place(dir)).await.expect("tables");
    let open = begun.elapsed().as_millis();
    let sql = format!("SELECT * FROM imu WHERE session = 's{session:05}' ORDER BY time_ns");
    let mut answer = reader.query(&sql).await.expect("an answer");
    let batch = answer.batches.next().await.expect("a batch").expect("rows");
    assert!(batch.num_rows() > 0);
    (open, begun.elapsed().as_millis())
}

/// Three years of sessions, each a commit of its own, all of them:
/// `PROPRIO_SESSIONS=10000 cargo test -p proprio-tables --test it -- --nocapture small_commits`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_small_commits_stay_queryable() {
    let sessions: usize = std::env::var("PROPRIO_SESSIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let three_years_ms = 3 * 365 * 86_400_000_i64;
    for session in 0..sessions {
        // Samples are 10 ms apart.
        let (first, position) = (session as i64 * (three_years_ms / 10 / sessions as i64), session as i64);
        for sensor in ["pelvis", "trunk"] {
            let chunk = samples_of((&format!("s{session:05}"), "a"), sensor, first, 50, position);
            append(&store, &chunk).expect("appended");
        }
        store.commit(position).await.expect("committed");
    }
    let sql = "SELECT count(*) AS n, count(DISTINCT session) AS sessions, sum(sequence) AS total FROM imu";
    let (before, many) = (csv(&store, sql).await, files(dir.path(), "imu").await);
    let was = first_row(dir.path(), sessions / 2).await;
    let begun = Instant::now();
    let merged = store.merge(2, || true).await.expect("merged");
    let (took, few) = (begun.elapsed(), files(dir.path(), "imu").await);
    let is = first_row(dir.path(), sessions / 2).await;
    let figures = format!(
        "{sessions} sessions: {many} files, open {} ms, first row {} ms; merged in {took:?} to {few} files, open {} ms, first row {} ms; {merged:?}",
        was.0, was.1, is.0, is.1
    );
    writeln!(std::io::stderr(), "{figures}").expect("written");
    assert_eq!(csv(&store, sql).await, before);
    assert_eq!(read_csv(dir.path(), sql).await, before);
    assert!(many >= sessions && few <= 37, "at most one file a month is left: {figures}");
}

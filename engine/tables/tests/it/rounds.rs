//! Do commit rounds lose and double nothing when they fail, stop half-way or meet new tables, and what about rows without a
//! position?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proprio_core::table::system;
use proprio_core::table::system::origin::REBUILD;
use proprio_core::{TableChunk, TableSpec};
use proprio_tables::{Store, TablesError};

use super::{append, audit, csv, imu, lineage, open, read_csv, samples, samples_of};

fn other(name: &str, chunk: TableChunk) -> TableChunk {
    TableChunk { table: name.to_owned(), ..chunk }
}

fn spec(name: &str) -> TableSpec {
    TableSpec { name: name.to_owned(), ..imu() }
}

const COUNTS: &str = "SELECT (SELECT count(*) FROM imu) AS imu, (SELECT count(DISTINCT sequence) FROM imu) AS imu_distinct, \
    (SELECT count(*) FROM force) AS force, (SELECT count(DISTINCT sequence) FROM force) AS force_distinct";

/// One table fails: the others are committed, its rows stay hot and in the answers, and the next round brings them. Stopped in
/// that state, the store drops per table what that table holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_fails_in_one_table_is_repaired_by_the_next_and_by_recovery() {
    for restart in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let specs = [imu(), spec("force")];
        let mut store = Store::open(&crate::place(dir.path()), "lab-1", &specs).await.expect("opens");
        let both = |store: &Store, positions: std::ops::Range<i64>| {
            for position in positions {
                let chunk = samples("pelvis", position * 10, 10, position);
                store.append(&[chunk.clone(), other("force", chunk)], position).expect("appended");
            }
        };
        both(&store, 0..3);
        store.commit(1).await.expect("committed");
        let [log, aside] = ["_delta_log", "aside"].map(|name| dir.path().join("tables/force").join(name));
        std::fs::rename(&log, &aside).expect("moved");
        let error = store.commit(2).await.expect_err("force can't be written").to_string();
        assert!(error.contains("force"), "{error}");
        std::fs::rename(&aside, &log).expect("moved back");
        assert_eq!((store.committed_position("imu"), store.committed_position("force")), (Some(2), Some(1)));
        assert_eq!(csv(&store, COUNTS).await, "imu,imu_distinct,force,force_distinct\n30,30,30,30\n");
        if restart {
            drop(store);
            store = Store::open(&crate::place(dir.path()), "lab-1", &specs).await.expect("opens");
            assert_eq!(store.transactions(), [1, 2]);
            // Recovery replays from before both.
            both(&store, 0..3);
        }
        both(&store, 3..4);
        assert_eq!(csv(&store, COUNTS).await, "imu,imu_distinct,force,force_distinct\n40,40,40,40\n", "restart {restart}");
        store.commit(3).await.expect("committed");
        assert_eq!(store.transactions(), [3]);
        assert_eq!(csv(&store, COUNTS).await, "imu,imu_distinct,force,force_distinct\n40,40,40,40\n", "restart {restart}");
        drop(store);
        assert_eq!(read_csv(dir.path(), COUNTS).await, "imu,imu_distinct,force,force_distinct\n40,40,40,40\n", "restart {restart}");
    }
}

/// The commit came through, but its end wasn't seen: the next round finds the transaction, and doubles nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_end_was_not_seen_is_found_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    append(&store, &samples("pelvis", 0, 10, 0)).expect("appended");
    store.append_operational(&audit("request", 1)).expect("appended");
    // The round's last look at `lineage` fails after the other tables are committed.
    let broken = dir.path().join("tables/lineage/_delta_log/00000000000000000001.json");
    std::fs::write(&broken, "no log entry").expect("written");
    store.commit(0).await.expect_err("lineage can't be read");
    std::fs::remove_file(&broken).expect("removed");
    assert_eq!(read_csv(dir.path(), "SELECT count(*) AS n FROM imu").await, "n\n10\n", "it is committed");
    assert_eq!(store.committed_position("imu"), None, "which isn't known yet");
    assert_eq!(csv(&store, "SELECT count(*) AS n FROM imu").await, "n\n10\n");
    // After a second a query looks for what other processes have committed, and finds this.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(csv(&store, "SELECT count(*) AS n FROM imu").await, "n\n10\n");
    append(&store, &samples("pelvis", 10, 10, 1)).expect("appended");
    store.append_operational(&audit("request", 2)).expect("appended");
    store.commit(1).await.expect("committed");
    let sql = "SELECT count(*) AS n, count(DISTINCT sequence) AS d FROM imu";
    assert_eq!(csv(&store, sql).await, "n,d\n20,20\n");
    assert_eq!(read_csv(dir.path(), sql).await, "n,d\n20,20\n");
    let sql = "SELECT count(*) AS n, count(DISTINCT time_ns) AS d FROM audit";
    assert_eq!(csv(&store, sql).await, "n,d\n2,2\n");
    assert_eq!(read_csv(dir.path(), sql).await, "n,d\n2,2\n");
}

/// A run's rows are never on the disk before what hides them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_committed_before_its_lineage() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open_as(&crate::place(dir.path()), "lab-1", "b/s1", &[imu()]).await.expect("opens");
    append(&store, &lineage(("s1", "b"), REBUILD, 0)).expect("appended");
    append(&store, &samples_of(("s1", "b"), "pelvis", 0, 10, 1)).expect("appended");
    let broken = dir.path().join("tables/lineage/_delta_log/00000000000000000001.json");
    std::fs::write(&broken, "no log entry").expect("written");
    let error = store.commit(1).await.expect_err("lineage can't be written").to_string();
    assert!(error.contains("lineage"), "{error}");
    assert!(store.transactions().is_empty());
    std::fs::remove_file(&broken).expect("removed");
    let sql = "SELECT count(*) AS n FROM imu_all";
    assert_eq!(read_csv(dir.path(), sql).await, "n\n0\n");
    store.commit(1).await.expect("committed");
    assert_eq!(read_csv(dir.path(), sql).await, "n\n10\n");
    assert_eq!(read_csv(dir.path(), "SELECT count(*) AS n FROM imu").await, "n\n0\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operational_rows_are_outside_the_law_and_never_doubled() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for time_ns in 0..100 {
        store.append_operational(&audit("alert_sent", time_ns)).expect("appended");
        // Rounds at the same position, and before any.
        if time_ns % 30 == 0 {
            store.commit(-1).await.expect("committed");
        }
    }
    assert_eq!((store.transactions(), store.committed_position(system::AUDIT), store.tables_position()), (vec![], None, -1));
    let sql = "SELECT count(*) AS n, count(DISTINCT time_ns) AS d FROM audit";
    assert_eq!(csv(&store, sql).await, "n,d\n100,100\n");
    assert!(matches!(store.append(&[audit("request", 0)], 5), Err(TablesError::Misfit { .. })));
    assert!(matches!(store.append_operational(&samples("pelvis", 0, 1, 0)), Err(TablesError::Misfit { .. })));
    store.commit(-1).await.expect("committed");
    drop(store);
    // A restart knows no positions of them: what is told again is told again.
    let again = open(dir.path()).await;
    again.append_operational(&audit("engine_start", 0)).expect("appended");
    assert_eq!(csv(&again, sql).await, "n,d\n101,100\n");
    append(&again, &samples("pelvis", 0, 1, 7)).expect("appended");
    again.commit(7).await.expect("committed");
    assert_eq!(again.transactions(), [7]);
    assert_eq!(read_csv(dir.path(), sql).await, "n,d\n101,100\n");
}

/// Tables are opened and widened while rows come, rounds run and queries are asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn tables_are_declared_while_everything_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(dir.path()).await);
    let done = Arc::new(AtomicBool::new(false));
    // The rows of the newest declared table come in between, in the order of their positions.
    let declared = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (store, done, declared) = (store.clone(), done.clone(), declared.clone());
        std::thread::spawn(move || {
            let mut position = 0;
            while !done.load(Ordering::Acquire) {
                let chunk = samples("pelvis", position * 5, 5, position);
                let mut chunks = vec![chunk.clone()];
                let newest = declared.load(Ordering::Acquire);
                if newest > 0 {
                    chunks.push(other(&format!("new_{}", newest - 1), chunk));
                }
                store.append(&chunks, position).expect("appended");
                position += 1;
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            position * 5
        })
    };
    let committer = {
        let (store, done) = (store.clone(), done.clone());
        tokio::spawn(async move {
            while !done.load(Ordering::Acquire) {
                store.commit(store.tables_position()).await.expect("committed");
            }
        })
    };
    for round in 0..4 {
        let mut wider = imu();
        let extra = proprio_core::schema::float(format!("extra_{round}"), "1");
        wider.columns =
            Arc::new(arrow_schema::Schema::new(wider.columns.fields().iter().cloned().chain([Arc::new(extra)]).collect::<Vec<_>>()));
        store.declare(&[wider, spec(&format!("new_{round}"))]).await.expect("declared");
        declared.store(round + 1, Ordering::Release);
        let sql = format!("SELECT count(*) - count(DISTINCT sequence) AS twice, count(extra_{round}) AS extra FROM imu");
        assert_eq!(csv(&store, &sql).await, "twice,extra\n0,0\n");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let sql = format!("SELECT count(*) > 0 AS some, count(*) - count(DISTINCT sequence) AS twice FROM new_{round}");
        assert_eq!(csv(&store, &sql).await, "some,twice\ntrue,0\n");
    }
    done.store(true, Ordering::Release);
    let rows = writer.join().expect("the writer ends");
    committer.await.expect("the committer ends");
    store.commit(store.tables_position()).await.expect("committed");
    let sql = "SELECT count(*) AS n, count(DISTINCT sequence) AS d, count(extra_3) AS extra FROM imu";
    assert_eq!(csv(&store, sql).await, format!("n,d,extra\n{rows},{rows},0\n"));
    assert_eq!(read_csv(dir.path(), sql).await, format!("n,d,extra\n{rows},{rows},0\n"));
    let columns = Arc::new(arrow_schema::Schema::new(vec![proprio_core::schema::text("sequence")]));
    let conflict = TableSpec { columns, ..imu() };
    assert!(matches!(store.declare(&[conflict]).await, Err(TablesError::Conflict { .. })));
    assert_eq!(csv(&store, sql).await, format!("n,d,extra\n{rows},{rows},0\n"));
}

//! Does a session show the runs that were live, until others are adopted, wherever the rows lie and whoever commits them?

use proprio_core::table::system::origin::{LIVE, REBUILD};
use proprio_tables::{Reader, Store};

use super::{adoption, append, as_csv, csv, imu, lineage, open, read_csv, samples_of};

const RUNS: &str = "SELECT session, run_id, count(*) AS n FROM imu GROUP BY session, run_id ORDER BY session, run_id";
const ALL_RUNS: &str = "SELECT session, run_id, count(*) AS n FROM imu_all GROUP BY session, run_id ORDER BY session, run_id";
const LATEST: &str = "SELECT run_id, sequence FROM imu_latest";

/// Two sessions of run a, and a rebuild of the first as run b, with newer and more rows.
fn chunks() -> Vec<proprio_core::TableChunk> {
    vec![
        lineage(("s1", "a"), LIVE, 0),
        samples_of(("s1", "a"), "pelvis", 0, 10, 1),
        lineage(("s2", "a"), LIVE, 2),
        samples_of(("s2", "a"), "pelvis", 20, 5, 3),
        lineage(("s1", "b"), REBUILD, 4),
        samples_of(("s1", "b"), "pelvis", 30, 12, 5),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilt_run_is_hidden_until_it_is_adopted_hot_and_cold() {
    // Nothing committed; everything; and cuts within the rebuild's rows and before its adoption.
    for commits in [&[][..], &[9], &[4], &[5, 6], &[3, 7]] {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(dir.path()).await;
        let commit = async |position: i64| {
            if commits.contains(&position) {
                store.commit(position).await.expect("committed");
            }
        };
        for chunk in chunks() {
            append(&store, &chunk).expect("appended");
            commit(chunk.position).await;
        }
        assert_eq!(csv(&store, RUNS).await, "session,run_id,n\ns1,a,10\ns2,a,5\n", "{commits:?}");
        assert_eq!(csv(&store, ALL_RUNS).await, "session,run_id,n\ns1,a,10\ns1,b,12\ns2,a,5\n", "{commits:?}");
        assert_eq!(csv(&store, LATEST).await, "run_id,sequence\na,24\n", "{commits:?}");
        assert_eq!(csv(&store, "SELECT count(*) AS n FROM lineage").await, "n\n3\n", "what hides others is never hidden");
        assert_eq!(csv(&store, "SELECT sequence FROM imu WHERE sequence > 4 AND session = 's1' LIMIT 3").await.lines().count(), 4);

        append(&store, &adoption("s1", &["b"], 1_000, 6)).expect("appended");
        commit(6).await;
        assert_eq!(csv(&store, RUNS).await, "session,run_id,n\ns1,b,12\ns2,a,5\n", "{commits:?}");
        assert_eq!(csv(&store, LATEST).await, "run_id,sequence\nb,41\n", "{commits:?}");
        assert_eq!(csv(&store, ALL_RUNS).await, "session,run_id,n\ns1,a,10\ns1,b,12\ns2,a,5\n", "{commits:?}");
        // A second adoption replaces the first; an older one that comes later does not.
        append(&store, &adoption("s1", &["a", "b"], 2_000, 7)).expect("appended");
        append(&store, &adoption("s1", &["b"], 1_500, 8)).expect("appended");
        commit(7).await;
        assert_eq!(csv(&store, RUNS).await, "session,run_id,n\ns1,a,10\ns1,b,12\ns2,a,5\n", "{commits:?}");
        append(&store, &adoption("s1", &["a"], 3_000, 9)).expect("appended");
        store.commit(9).await.expect("committed");
        let shown = "session,run_id,n\ns1,a,10\ns2,a,5\n";
        assert_eq!(csv(&store, RUNS).await, shown, "{commits:?}");
        drop(store);
        assert_eq!(read_csv(dir.path(), RUNS).await, shown, "{commits:?}");
        assert_eq!(read_csv(dir.path(), LATEST).await, "run_id,sequence\na,24\n", "{commits:?}");
        assert_eq!(csv(&open(dir.path()).await, RUNS).await, shown, "{commits:?}");
    }
}

/// A run that is shown everywhere costs nothing: no filter stands in the plan until something is hidden.
#[tokio::test]
async fn without_hidden_runs_a_plan_has_no_filter() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for chunk in chunks().into_iter().take(4) {
        append(&store, &chunk).expect("appended");
    }
    store.commit(1).await.expect("committed");
    let plan = "EXPLAIN SELECT sequence FROM imu";
    assert!(!csv(&store, plan).await.contains("FilterExec"), "{}", csv(&store, plan).await);
    append(&store, &lineage(("s1", "b"), REBUILD, 4)).expect("appended");
    assert!(csv(&store, plan).await.contains("FilterExec"), "{}", csv(&store, plan).await);
    assert!(!csv(&store, "EXPLAIN SELECT sequence FROM imu_all").await.contains("FilterExec"));
}

/// A rebuild commits beside a live store that is asked all the while: its rows are never seen before they are adopted, the
/// live ones always, and adoption swaps them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_rebuild_beside_a_live_store_is_never_half_seen() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = std::sync::Arc::new(open(dir.path()).await);
    for chunk in chunks().into_iter().take(4) {
        append(&live, &chunk).expect("appended");
    }
    live.commit(2).await.expect("committed");

    let watcher = {
        let (live, path) = (live.clone(), dir.path().to_owned());
        tokio::spawn(async move {
            let mut seen = std::collections::BTreeSet::new();
            for round in 4.. {
                seen.insert(csv(&live, "SELECT run_id, count(*) AS n FROM imu WHERE session = 's1' GROUP BY run_id").await);
                let reader = Reader::open(&crate::place(&path)).await.expect("tables");
                let answer = reader.query("SELECT run_id, count(*) AS n FROM imu WHERE session = 's1' GROUP BY run_id").await;
                seen.insert(as_csv(&answer.expect("an answer").collect().await.expect("rows")));
                // The engine goes on committing, which draws in what the rebuild has committed.
                append(&live, &samples_of(("s2", "a"), "pelvis", 100 + round, 1, round)).expect("appended");
                live.commit(round).await.expect("committed");
                if seen.len() > 1 || round > 200 {
                    break;
                }
            }
            seen
        })
    };
    let rebuild = Store::open_as(&crate::place(dir.path()), "lab-1", "b/s1", &[imu()]).await.expect("opens");
    append(&rebuild, &lineage(("s1", "b"), REBUILD, 0)).expect("appended");
    for position in 1..5 {
        append(&rebuild, &samples_of(("s1", "b"), "pelvis", position * 10, 10, position)).expect("appended");
        rebuild.commit(position).await.expect("committed");
    }
    assert_eq!((rebuild.committed_position("imu"), live.committed_position("imu").is_some()), (Some(4), true));
    assert_eq!(csv(&rebuild, "SELECT count(*) AS n FROM imu WHERE session = 's1'").await, "n\n50\n", "a rebuild sees every run");
    assert_eq!(rebuild.transactions(), [1, 4], "lineage at 1, the samples at 4");
    // Stopped and begun anew, it drops what it holds.
    let again = Store::open_as(&crate::place(dir.path()), "lab-1", "b/s1", &[imu()]).await.expect("opens");
    append(&again, &samples_of(("s1", "b"), "pelvis", 40, 10, 4)).expect("appended");
    append(&again, &samples_of(("s1", "b"), "pelvis", 50, 10, 5)).expect("appended");
    append(&again, &adoption("s1", &["b"], 1_000, 6)).expect("appended");
    again.commit(6).await.expect("committed");

    let seen: Vec<String> = watcher.await.expect("the watcher ends").into_iter().collect();
    assert_eq!(seen, ["run_id,n\na,10\n", "run_id,n\nb,50\n"], "before the adoption and after it, and nothing between");
}

/// What a rebuild adds by another pipeline, tables and columns, is there in a store that runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_columns_of_a_rebuild_appear_in_a_running_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = open(dir.path()).await;
    append(&live, &samples_of(("s1", "a"), "pelvis", 0, 10, 0)).expect("appended");
    let mut wider = imu();
    let extra = proprio_core::schema::float("mag_x_ut", "uT");
    wider.columns = std::sync::Arc::new(arrow_schema::Schema::new(
        wider.columns.fields().iter().cloned().chain([std::sync::Arc::new(extra)]).collect::<Vec<_>>(),
    ));
    let mut further = imu();
    further.name = "further".to_owned();
    let rebuild = Store::open_as(&crate::place(dir.path()), "lab-1", "b/s1", &[wider, further]).await.expect("opens");
    append(&rebuild, &lineage(("s1", "b"), REBUILD, 0)).expect("appended");
    let mut chunk = samples_of(("s1", "b"), "pelvis", 0, 7, 1);
    append(&rebuild, &chunk).expect("appended");
    chunk.table = "further".to_owned();
    append(&rebuild, &chunk).expect("appended");
    rebuild.commit(1).await.expect("committed");
    // The live rows are hot through all of this, and gain the column.
    live.commit(-1).await.expect("a round that only looks");
    assert_eq!(csv(&live, "SELECT count(*) AS n, count(mag_x_ut) AS m FROM imu_all").await, "n,m\n17,0\n");
    assert_eq!(csv(&live, "SELECT count(*) AS n FROM imu").await, "n\n10\n");
    assert_eq!(csv(&live, "SELECT count(*) AS n FROM further").await, "n\n0\n");
    assert_eq!(csv(&live, "SELECT count(*) AS n FROM further_all").await, "n\n7\n");
    append(&live, &samples_of(("s1", "a"), "pelvis", 10, 10, 1)).expect("appended");
    live.commit(1).await.expect("committed");
    assert_eq!(read_csv(dir.path(), "SELECT count(*) AS n FROM imu_all").await, "n\n27\n");
}

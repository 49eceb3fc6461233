//! Are files that can't match never opened, and rows in the order of time never sorted?

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use proprio_tables::Store;
use proptest::prelude::*;

use super::{START_NS, append, csv, open, read_csv, samples_of};

/// Files that an `EXPLAIN ANALYZE` has seen opened.
pub(crate) fn opened(plan: &str) -> usize {
    let counts = plan.split("files_opened=").skip(1);
    counts.map(|rest| rest.split([',', ']']).next().expect("a number").trim().parse::<usize>().expect("a number")).sum()
}

/// Three sessions of two sensors, four commits each; a commit's newest rows of one sensor are newer than the other's of the next.
async fn fill(store: &Store) {
    let mut position = 0;
    for session in ["s0", "s1", "s2"] {
        for part in 0..4 {
            let from = i64::from(session.as_bytes()[1] - b'0') * 400 + part * 100;
            append(store, &samples_of((session, "a"), "trunk", from, 100, position)).expect("appended");
            append(store, &samples_of((session, "a"), "pelvis", from + 30, 100, position)).expect("appended");
            store.commit(position).await.expect("committed");
            position += 1;
        }
    }
}

async fn integers(store: &Store, sql: &str) -> Vec<i64> {
    let batches = store.query(sql).await.expect("an answer").collect().await.expect("rows");
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_in_the_order_of_time_is_merged_and_not_sorted() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    fill(&store).await;
    for sql in [
        "SELECT time_ns FROM imu WHERE session = 's1' ORDER BY time_ns",
        "SELECT time_ns, sensor, gyro_x_rad_per_s FROM imu WHERE session = 's1' AND gyro_x_rad_per_s >= 0 ORDER BY time_ns, sensor",
        // A limit does not undo the order (apache/datafusion#24272).
        "SELECT time_ns FROM imu_all WHERE session = 's1' ORDER BY time_ns LIMIT 1000",
        "SELECT time_ns, row_number() OVER (ORDER BY time_ns) FROM imu WHERE session = 's1' ORDER BY time_ns",
    ] {
        let plan = csv(&store, &format!("EXPLAIN {sql}")).await;
        assert!(!plan.contains("SortExec") && plan.contains("output_ordering"), "{sql}: {plan}");
        let times = integers(&store, sql).await;
        assert_eq!((times.len(), times.is_sorted()), (800, true), "{sql}: {plan}");
    }
    // The order of sessions is not that of time, and nobody says so.
    let across = csv(&store, "EXPLAIN SELECT time_ns FROM imu ORDER BY time_ns").await;
    assert!(across.contains("SortExec"), "{across}");
    assert!(integers(&store, "SELECT time_ns FROM imu ORDER BY time_ns").await.is_sorted());

    // Hot rows alone are sorted; the cold ones are merged with them.
    append(&store, &samples_of(("s1", "a"), "pelvis", 380, 100, 99)).expect("appended");
    let sql = "SELECT time_ns FROM imu WHERE session = 's1' ORDER BY time_ns";
    let plan = csv(&store, &format!("EXPLAIN {sql}")).await;
    let cold_is_sorted = plan.split("SortExec").skip(1).any(|below| below.contains("file_groups"));
    assert!(plan.contains("SortPreservingMergeExec") && !cold_is_sorted, "{plan}");
    let times = integers(&store, sql).await;
    assert_eq!((times.len(), times.is_sorted()), (900, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_can_not_match_are_not_opened() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    fill(&store).await;
    // Of 12 commits, the first lies in two months.
    let ns = |k: i64| START_NS + k * 10_000_007;
    for (condition, files, rows) in [
        ("true".to_owned(), 13, 2400),
        ("session = 's1'".to_owned(), 4, 800),
        ("session IN ('s1', 's2')".to_owned(), 8, 1600),
        (format!("time_ns >= {} AND time_ns < {}", ns(440), ns(450)), 1, 20),
        (format!("time_ns >= {} AND session = 's2'", ns(1130)), 1, 170),
        ("time >= '2026-02-01T00:00:11.4Z' AND session = 's2'".to_owned(), 1, 50),
        ("time < '2026-02-01T00:00:00Z'".to_owned(), 1, 70),
        ("sensor = 'nobody'".to_owned(), 0, 0),
        ("rig <> 'lab-1'".to_owned(), 0, 0),
        ("session = 's7'".to_owned(), 0, 0),
    ] {
        // A sum of what no statistics hold reads the rows.
        let sql = format!("SELECT count(gyro_x_rad_per_s * sequence) AS n FROM imu WHERE {condition}");
        let plan = csv(&store, &format!("EXPLAIN ANALYZE {sql}")).await;
        assert_eq!(opened(&plan), files, "{condition}: {plan}");
        assert_eq!(integers(&store, &sql).await, [rows], "{condition}");
    }
    drop(store);
    // What the log alone answers, opens nothing.
    let plan = read_csv(dir.path(), "EXPLAIN ANALYZE SELECT count(*), min(time_ns), max(time) FROM imu").await;
    assert_eq!(opened(&plan), 0, "{plan}");
    let expected = format!("n,first,last\n2400,{},{}\n", ns(0), ns(1229));
    assert_eq!(read_csv(dir.path(), "SELECT count(*) AS n, min(time_ns) AS first, max(time_ns) AS last FROM imu").await, expected);
    let utc =
        read_csv(dir.path(), "SELECT max(time) AS t, count(*) FILTER (WHERE time >= (SELECT max(time) FROM imu)) AS n FROM imu").await;
    assert_eq!(utc, "t,n\n2026-02-01T00:00:11.790008Z,1\n", "to the microsecond");
}

/// Whatever the shape of sessions, sensors and commits is: no row is lost by a bound, and every order that is promised holds.
#[test]
fn any_layout_answers_as_its_rows_say() {
    let chunk = (0..3usize, 0..3usize, 0..200i64, 1..40i64, any::<bool>());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut config = ProptestConfig::with_cases(12);
    config.failure_persistence = None;
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let law = |chunks: Vec<(usize, usize, i64, i64, bool)>, from: i64| {
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a folder");
            let store = open(dir.path()).await;
            let mut rows: Vec<(String, i64)> = Vec::new();
            for (position, (session, sensor, first, count, commit)) in chunks.into_iter().enumerate() {
                let (session, position) = (format!("s{session}"), position as i64);
                append(&store, &samples_of((&session, "a"), ["a", "b", "c"][sensor], first, count, position)).expect("appended");
                rows.extend((first..first + count).map(|k| (session.clone(), START_NS + k * 10_000_007)));
                if commit {
                    store.commit(position).await.expect("committed");
                }
            }
            rows.sort();
            let from_ns = START_NS + from * 10_000_007;
            let expected: Vec<i64> =
                rows.iter().filter(|(session, time)| session == "s1" && *time >= from_ns).map(|(_, time)| *time).collect();
            let sql = format!("SELECT time_ns FROM imu WHERE session = 's1' AND time_ns >= {from_ns} ORDER BY time_ns");
            prop_assert_eq!(integers(&store, &sql).await, expected);
            let all: Vec<i64> = rows.iter().map(|(_, time)| *time).collect();
            prop_assert_eq!(integers(&store, "SELECT time_ns FROM imu ORDER BY session, time_ns, sensor").await, all);
            Ok(())
        })
    };
    runner.run(&(proptest::collection::vec(chunk, 1..12), 0..240i64), |(chunks, from)| law(chunks, from)).expect("the law holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_more_files_overlap_than_may_be_open_rows_are_sorted_until_a_merge() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for position in 0..33 {
        append(&store, &samples_of(("s1", &format!("r{position}")), "pelvis", 60, 20, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    let sql = "SELECT time_ns FROM imu_all WHERE session = 's1' ORDER BY time_ns";
    for is_sorted in [true, false] {
        let plan = csv(&store, &format!("EXPLAIN {sql}")).await;
        assert_eq!(plan.contains("SortExec"), is_sorted, "{plan}");
        let times = integers(&store, sql).await;
        assert_eq!((times.len(), times.is_sorted()), (660, true));
        store.merge(2, || true).await.expect("merged");
    }
}

//! Do questions that go by session, which are answered as rows lie, give what they would give of rows in any order?

use proptest::prelude::*;

use super::{append, csv, open, samples_of};

/// What is asked, `{s}` being the session: its name alone, of which the engine knows how rows lie, or a text made of it.
const QUESTIONS: [&str; 6] = [
    "SELECT {s} AS s, count(*) AS n, sum(sequence) AS sum, avg(gyro_x_rad_per_s) AS mean FROM imu GROUP BY {s} ORDER BY s",
    "SELECT {s} AS s, count(DISTINCT sensor) AS sensors, min(time_ns) FILTER (WHERE sequence % 3 = 1) AS first FROM imu GROUP BY {s} ORDER BY s",
    "SELECT {s} AS s, sensor, count(*) AS n, max(sequence) FILTER (WHERE sequence < 100) AS most FROM imu GROUP BY {s}, sensor ORDER BY s, sensor",
    "SELECT sequence % 7 AS k, {s} AS s, count(*) AS n, rms(gyro_x_rad_per_s) AS rms FROM imu WHERE sequence > 20 GROUP BY k, {s} ORDER BY k, s",
    "SELECT {s} AS s, count(*) AS n FROM imu WHERE sensor = 'a' GROUP BY {s} HAVING count(*) > 20 ORDER BY s",
    "SELECT {s} AS s, sensor, time_ns, sequence - lag(sequence) OVER w AS step, lag(sequence, 2, -1) OVER w AS second, row_number() OVER w AS n,
       sum(sequence) OVER (PARTITION BY {s}, sensor ORDER BY time_ns ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS sum
     FROM imu WINDOW w AS (PARTITION BY {s}, sensor ORDER BY time_ns) ORDER BY s, sensor, time_ns, n",
];

/// Whatever the shape of sessions, sensors, commits and merges is.
#[test]
fn a_question_by_session_has_the_answer_that_rows_in_any_order_would_give() {
    let chunk = (0..5usize, 0..3usize, 0..200i64, 1..40i64, 0..4u8);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut config = ProptestConfig::with_cases(12);
    config.failure_persistence = None;
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let law = |chunks: Vec<(usize, usize, i64, i64, u8)>| {
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a folder");
            let store = open(dir.path()).await;
            for (position, (session, sensor, first, count, then)) in chunks.into_iter().enumerate() {
                let (session, position) = (format!("s{session}"), position as i64);
                append(&store, &samples_of((&session, "a"), ["a", "b", "c"][sensor], first, count, position)).expect("appended");
                if then > 0 {
                    store.commit(position).await.expect("committed");
                }
                if then == 3 {
                    store.merge(2, || true).await.expect("merged");
                }
            }
            for question in QUESTIONS {
                let asked = csv(&store, &question.replace("{s}", "session")).await;
                let expected = csv(&store, &question.replace("{s}", "concat(session, '')")).await;
                prop_assert_eq!(asked, expected, "{}", question);
            }
            Ok(())
        })
    };
    runner.run(&proptest::collection::vec(chunk, 1..24), law).expect("the law holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_lie_by_session_are_neither_exchanged_nor_sorted() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for position in 0..8 {
        for sensor in ["pelvis", "trunk"] {
            append(&store, &samples_of((&format!("s{position}"), "a"), sensor, 100 * position, 100, position)).expect("appended");
        }
        store.commit(position).await.expect("committed");
    }
    // Every run of each session: no row is hidden, so that scans are asked as they are.
    for (sql, expected) in [
        ("SELECT session, max(sequence) FROM imu_all GROUP BY session", "SessionAggregateExec"),
        ("SELECT sensor, session, max(sequence) FROM imu_all GROUP BY sensor, session", "SessionAggregateExec"),
        ("SELECT session, sequence - lag(sequence) OVER (PARTITION BY session, sensor ORDER BY time_ns) FROM imu_all", "SessionLag"),
    ] {
        let plan = csv(&store, &format!("EXPLAIN {sql}")).await;
        let is_in_place = plan.contains("Range(") && !plan.contains("Hash(") && !plan.contains("SortExec");
        assert!(plan.contains(expected) && is_in_place, "{sql}: {plan}");
    }
}

/// More groups than are held at once are given away early, and united.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_many_groups_is_grouped_in_parts() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    append(&store, &samples_of(("s1", "a"), "pelvis", 0, 20_000, 0)).expect("appended");
    append(&store, &samples_of(("s1", "a"), "trunk", 0, 20_000, 1)).expect("appended");
    store.commit(1).await.expect("committed");
    let sql = "SELECT count(*) AS groups, min(n) AS fewest, max(n) AS most
               FROM (SELECT session, sequence, count(*) AS n FROM imu GROUP BY session, sequence)";
    assert_eq!(csv(&store, sql).await, "groups,fewest,most\n20000,2,2\n");
}

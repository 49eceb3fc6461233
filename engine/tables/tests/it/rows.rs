//! Do hot and cold rows answer as one table, exactly once, through commits, restarts and new columns?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::table::system;
use proprio_core::{StreamSchema, TableChunk};
use proprio_tables::{Reader, Store, TablesError};

use super::{append, as_csv, csv, imu, open, read_csv, samples};

const QUERIES: [&str; 9] = [
    "SELECT * FROM imu ORDER BY sensor, time_ns",
    "SELECT count(*) AS n FROM imu",
    "SELECT sensor, count(*) AS n, min(time) AS first, max(time_ns) AS last, sum(sequence) AS total FROM imu GROUP BY sensor ORDER BY sensor",
    "SELECT sequence, time FROM imu WHERE sensor = 'trunk' AND time >= '2026-02-01T00:00:00Z' ORDER BY time DESC LIMIT 7",
    "SELECT gyro_x_rad_per_s * 2 AS twice FROM imu WHERE sequence BETWEEN 40 AND 60 AND rig = 'lab-1' ORDER BY 1, sensor",
    "SELECT * FROM imu_latest ORDER BY sensor",
    "SELECT count(*) AS n, max(gyro_x_rad_per_s) AS g FROM imu_latest WHERE sensor = 'pelvis' OR sequence < 5",
    "SELECT a.sequence FROM imu a JOIN imu b ON a.sequence = b.sequence AND a.sensor < b.sensor ORDER BY 1",
    "DESCRIBE imu",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_cold_and_both_answer_alike() {
    let chunks =
        |from: i64, to: i64| (from..to).flat_map(|k| [samples("pelvis", k * 10, 10, 2 * k), samples("trunk", k * 10, 10, 2 * k + 1)]);
    let mut answers: Vec<Vec<String>> = Vec::new();
    for commits in [&[][..], &[19], &[9], &[4, 12]] {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(dir.path()).await;
        for chunk in chunks(0, 10) {
            append(&store, &chunk).expect("appended");
        }
        for position in commits {
            store.commit(*position).await.expect("committed");
        }
        let mut given = Vec::new();
        for sql in QUERIES {
            given.push(csv(&store, sql).await);
        }
        answers.push(given);
        if commits == [19] {
            assert_eq!(store.hot_bytes(), 0, "all rows are cold");
            drop(store);
            for (sql, expected) in QUERIES.iter().zip(&answers[0]) {
                assert_eq!(&read_csv(dir.path(), sql).await, expected, "from Delta alone: {sql}");
            }
            let months = std::fs::read_dir(dir.path().join("tables/imu")).expect("a folder");
            let months = months.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("month=")));
            assert_eq!(months.count(), 2, "January and February");
        }
    }
    for (k, sql) in QUERIES.iter().enumerate() {
        for other in &answers[1..] {
            assert_eq!(answers[0][k], other[k], "{sql}");
        }
    }
    let first = answers[0][0].lines().take(2).collect::<Vec<_>>();
    assert_eq!(first[0], "time,time_ns,sensor,sequence,gyro_x_rad_per_s,rig,session,run_id");
    assert_eq!(first[1], "2026-01-31T23:59:59.500Z,1769903999500000000,pelvis,0,0.0,lab-1,s1,run-a");
    assert_eq!(answers[0][1], "n\n200\n");
    assert_eq!(answers[0][3].lines().nth(7), Some("93,2026-02-01T00:00:00.430Z"));
    assert_eq!(answers[0][5].lines().count(), 3, "one newest row a sensor: {}", answers[0][5]);
    assert!(answers[0][5].contains("trunk,99,"), "{}", answers[0][5]);
    assert_eq!(answers[0][6], "n,g\n1,24.75\n");
    assert!(answers[0][8].contains("gyro_x_rad_per_s,double,rad/s,sensor,pelvis,left,"), "{}", answers[0][8]);
    assert!(
        answers[0][8].starts_with("column,type,unit,frame,segment,side,sensor\ntime,timestamp,,,,,\ntime_ns,bigint,ns,"),
        "{}",
        answers[0][8]
    );
}

/// A query never misses a row that was appended before it, and never sees one twice, while appends and commits run.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn every_row_is_seen_exactly_once_through_commits() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(dir.path()).await);
    let (appended, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let worker = {
        let (store, appended, done) = (store.clone(), appended.clone(), done.clone());
        std::thread::spawn(move || {
            let mut k = 0;
            while !done.load(Ordering::Acquire) && k < 3000 {
                append(&store, &samples("pelvis", k * 5, 5, k)).expect("appended");
                k += 1;
                appended.store(k * 5, Ordering::Release);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        })
    };
    let committer = {
        let (store, done) = (store.clone(), done.clone());
        tokio::spawn(async move {
            let mut rounds = 0;
            while !done.load(Ordering::Acquire) {
                store.commit(store.tables_position()).await.expect("committed");
                rounds += 1;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            rounds
        })
    };
    let mut before = 0;
    for _ in 0..40 {
        let at_least = appended.load(Ordering::Acquire);
        let batches = store.query("SELECT count(*), count(DISTINCT sequence), coalesce(max(sequence), -1) FROM imu").await;
        let row = batches.expect("an answer").collect().await.expect("rows").remove(0);
        let [rows, distinct, newest] = [0, 1, 2].map(|k| row.column(k).as_primitive::<Int64Type>().value(0));
        assert_eq!((rows, rows - 1), (distinct, newest), "no row twice, none missing");
        assert!(rows >= at_least.max(before), "{rows} rows after {at_least} were appended and {before} seen");
        before = rows;
    }
    done.store(true, Ordering::Release);
    worker.join().expect("the worker ends");
    assert!(committer.await.expect("the committer ends") > 2, "several rounds ran meanwhile");
    store.commit(store.tables_position()).await.expect("committed");
    assert_eq!(read_csv(dir.path(), "SELECT count(*) AS n FROM imu").await, format!("n\n{}\n", appended.load(Ordering::Acquire)));
}

#[tokio::test]
async fn a_restart_drops_what_is_committed_and_refuses_a_stale_writer() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path()).await;
    let stale = open(dir.path()).await;
    assert_eq!(first.committed_position("imu"), None);
    for position in 0..4 {
        append(&first, &samples("pelvis", position * 10, 10, position)).expect("appended");
    }
    first.commit(2).await.expect("committed");
    assert_eq!((first.committed_position("imu"), first.hot_bytes() > 0), (Some(2), true));
    assert!(matches!(first.commit(1).await, Err(TablesError::StalePosition { position: 1, newest: 2 })));
    let backwards = append(&first, &samples("pelvis", 0, 1, 2));
    assert!(matches!(backwards, Err(TablesError::StalePosition { position: 2, newest: 3 })));

    // A second writer of the same rig that knows nothing of the first's transactions, behind it and ahead of it.
    append(&stale, &samples("pelvis", 0, 10, 0)).expect("appended");
    for position in [0, 5] {
        let refused = stale.commit(position).await.expect_err("refused").to_string();
        assert!(refused.contains("holds rig `lab-1` up to position 2 already"), "{refused}");
    }
    drop(stale);
    drop(first);

    let again = open(dir.path()).await;
    assert_eq!((again.committed_position("imu"), again.tables_position()), (Some(2), 2));
    for position in 0..4 {
        append(&again, &samples("pelvis", position * 10, 10, position)).expect("appended");
    }
    assert_eq!(csv(&again, "SELECT count(*) AS n, count(DISTINCT sequence) AS d FROM imu").await, "n,d\n40,40\n");
    again.commit(3).await.expect("committed");
    assert_eq!(csv(&again, "SELECT count(*) AS n FROM imu").await, "n\n40\n");
    // Another rig commits to the same tables under its own application id.
    let other = Store::open(&crate::place(dir.path()), "lab-2", &[imu()]).await.expect("opens");
    assert_eq!(other.committed_position("imu"), None);
    append(&other, &samples("pelvis", 0, 10, 0)).expect("appended");
    other.commit(0).await.expect("committed");
    // Two processes that commit at once both get through.
    for position in 4..8 {
        append(&again, &samples("pelvis", position * 10, 10, position)).expect("appended");
        append(&other, &samples("pelvis", position * 10, 10, position)).expect("appended");
        let (a, b) = tokio::join!(again.commit(position), other.commit(position));
        a.and(b).expect("both committed");
    }
    assert_eq!(read_csv(dir.path(), "SELECT rig, count(*) AS n FROM imu GROUP BY rig ORDER BY rig").await, "rig,n\nlab-1,80\nlab-2,50\n");
}

#[tokio::test]
async fn a_table_gains_columns_and_keeps_their_order_and_units() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path()).await;
    append(&first, &samples("pelvis", 0, 10, 0)).expect("appended");
    first.commit(0).await.expect("committed");
    drop(first);

    let mut wider = imu();
    let mut fields: Vec<Field> = wider.columns.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(float("mag_x_ut", "uT").frame("sensor"));
    wider.columns = Arc::new(arrow_schema::Schema::new(fields));
    let store = Store::open(&crate::place(dir.path()), "lab-1", &[wider.clone()]).await.expect("opens");
    let mut chunk = samples("pelvis", 10, 10, 1);
    let mut columns = chunk.rows.columns().to_vec();
    columns.push(Arc::new(Float64Array::from(vec![48.5; 10])));
    chunk.rows = RecordBatch::try_new(wider.columns, columns).expect("a batch");
    append(&store, &chunk).expect("appended");
    let sql = "SELECT count(mag_x_ut) AS with_mag, count(*) AS n, sum(mag_x_ut) AS total FROM imu";
    assert_eq!(csv(&store, sql).await, "with_mag,n,total\n10,20,485.0\n");
    store.commit(1).await.expect("committed");
    assert_eq!(csv(&store, sql).await, "with_mag,n,total\n10,20,485.0\n");
    drop(store);
    let header = read_csv(dir.path(), "SELECT * FROM imu WHERE false").await;
    assert_eq!(header, "time,time_ns,sensor,sequence,gyro_x_rad_per_s,mag_x_ut,rig,session,run_id\n");
    assert!(read_csv(dir.path(), "describe imu").await.contains("mag_x_ut,double,uT,sensor,,,"));

    let mut conflict = imu();
    conflict.columns = StreamSchema::new(vec![float("gyro_x_rad_per_s", "deg/s")], &[], None).columns;
    let error = Store::open(&crate::place(dir.path()), "lab-1", &[conflict]).await.expect_err("a conflict").to_string();
    assert!(error.contains("column `gyro_x_rad_per_s` holds double in rad/s already, and can't take double in deg/s"), "{error}");
    let mut unsigned = imu();
    unsigned.columns = StreamSchema::new(vec![column("counter", DataType::UInt64)], &[], None).columns;
    let error = Store::open(&crate::place(dir.path()), "lab-1", &[unsigned]).await.expect_err("refused").to_string();
    assert!(error.contains("column `counter`: type UInt64 can't be stored"), "{error}");
}

#[tokio::test]
async fn system_tables_are_there_and_sql_only_reads() {
    let dir = tempfile::tempdir().expect("a folder");
    let nothing = Reader::open(&crate::place(dir.path())).await.expect_err("no tables").to_string();
    assert!(nothing.contains("no tables under"), "{nothing}");
    let store = open(dir.path()).await;
    let listed = csv(&store, "SHOW TABLES").await;
    for table in system::tables() {
        let lines = format!("\n{0},base table\n{0}_all,view\n{0}_latest,view\n", table.name);
        assert!(listed.contains(&lines), "{}: {listed}", table.name);
        assert_eq!(csv(&store, &format!("SELECT count(*) AS n FROM {}", table.name)).await, "n\n0\n");
    }
    let session = |state: &str, end: Option<i64>, position: i64| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1000])),
            Arc::new(StringArray::from(vec![state])),
            Arc::new(StringArray::from(vec![Some("P01")])),
            Arc::new(StringArray::from(vec![None::<&str>])),
            Arc::new(Int64Array::from(vec![Some(1000)])),
            Arc::new(Int64Array::from(vec![end])),
        ];
        let rows = proprio_core::rows::batch(&system::sessions(), columns);
        TableChunk { table: "sessions".to_owned(), key: None, session: "s1".to_owned(), run_id: "run-a".to_owned(), rows, position }
    };
    append(&store, &session("started", None, 1)).expect("appended");
    store.commit(1).await.expect("committed");
    append(&store, &session("ended", Some(1000), 2)).expect("appended");
    assert_eq!(csv(&store, "SELECT state FROM sessions ORDER BY state").await, "state\nended\nstarted\n");
    assert_eq!(csv(&store, "SELECT session, state FROM sessions_latest").await, "session,state\ns1,ended\n");

    for (sql, says) in [
        ("DELETE FROM imu", "DELETE FROM is refused: tables are read-only in SQL"),
        ("INSERT INTO imu SELECT * FROM imu", "INSERT INTO is refused"),
        ("CREATE TABLE x AS SELECT 1", "CREATE TABLE is refused"),
        ("DROP TABLE imu", "DROP TABLE is refused"),
        ("COPY imu TO '/tmp/x.csv'", "COPY imu is refused"),
        ("SET datafusion.execution.batch_size = 1", "SET datafusion.execution.batch_size is refused"),
        ("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc/passwd'", "CREATE EXTERNAL is refused"),
        ("EXPLAIN ANALYZE DELETE FROM imu", "is refused"),
        ("SELECT 1; SELECT 2", "single SQL statement"),
        ("SELECT * FROM imus", "no table `imus`; did you mean `imu`?"),
        ("SELECT * FROM session_latest", "no table `session_latest`; did you mean `sessions_latest`?"),
        ("DESCRIBE evnts", "no table `evnts`; did you mean `events`?"),
        ("SELECT sequenc FROM imu", "no column `sequenc`; did you mean `sequence`?"),
        ("SELECT sequence FROM imu WHERE", "Expected: an expression, found: EOF"),
        ("", "nothing was asked"),
        ("SELECT nosuch(sequence) FROM imu", "Invalid function 'nosuch'"),
        ("SELECT sum(sensor) FROM imu", "Function 'sum' failed to match any signature"),
        ("SELECT * FROM imu WHERE time = 5", "Cannot infer common argument type for comparison operation Timestamp(µs, \"UTC\") = Int64"),
    ] {
        let Err(error) = store.query(sql).await.map(drop) else { panic!("{sql} was answered") };
        let error = error.to_string();
        assert!(error.contains(says) && !error.contains('\n') && !error.contains("Error") && error.chars().count() < 320, "{sql}: {error}");
    }
    for sql in ["EXPLAIN SELECT * FROM imu", "SHOW COLUMNS FROM imu", "WITH t AS (SELECT sequence FROM imu) SELECT max(sequence) FROM t;"] {
        store.query(sql).await.expect("answered").collect().await.expect("rows");
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_their_table_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let mut elsewhere = samples("pelvis", 0, 1, 0);
    elsewhere.table = "emg".to_owned();
    assert!(matches!(append(&store, &elsewhere), Err(TablesError::UndeclaredTable { .. })));
    let with = |field: Field, values: ArrayRef| {
        let schema = StreamSchema::new(vec![field], &[], None);
        let rows = proprio_core::rows::batch(&schema, vec![Arc::new(Int64Array::from(vec![5])), values]);
        TableChunk { table: "imu".to_owned(), key: None, session: "s1".to_owned(), run_id: "run-a".to_owned(), rows, position: 1 }
    };
    for (chunk, says) in [
        (with(text("sequence"), Arc::new(StringArray::from(vec!["a"]))), "column `sequence` is Utf8, not Int64"),
        (with(float("unheard_of", "1"), Arc::new(Float64Array::from(vec![1.0]))), "column `unheard_of` is not declared"),
    ] {
        let error = append(&store, &chunk).expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
    let sparse = with(column("sequence", DataType::Int64), Arc::new(Int64Array::from(vec![9])));
    append(&store, &sparse).expect("a column that is absent is null");
    let answer = store.query("SELECT sensor, gyro_x_rad_per_s, time_ns, time FROM imu").await.expect("an answer");
    let row = answer.collect().await.expect("rows").remove(0);
    assert!(row.column(0).is_null(0) && row.column(1).is_null(0));
    assert_eq!(as_csv(&[row]), "sensor,gyro_x_rad_per_s,time_ns,time\n,,5,1970-01-01T00:00:00Z\n");
}

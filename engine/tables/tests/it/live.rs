//! Does a live query give each row once, final, whatever is committed meanwhile and however its reader reads?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::StreamExt;
use proprio_core::table::system::origin::REBUILD;
use proprio_core::table::{Reached, system};
use proprio_core::{TableChunk, TableSpec};
use proprio_tables::{Event, Progress, Store, Subscription, TablesError};

use super::{START_NS, append, as_csv, csv, imu, lineage, open, row, samples, samples_of};

const STEP_NS: i64 = 10_000_007;
/// Time enough for what must come, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// What comes at once, if at all.
const MOMENT: Duration = Duration::from_millis(60);

fn force() -> TableSpec {
    TableSpec { name: "force".to_owned(), ..imu() }
}

fn reached(position: i64, session: &str, watermarks: &[(&str, i64)]) -> Reached {
    let watermarks = watermarks.iter().map(|(table, watermark)| ((*table).to_owned(), *watermark)).collect();
    Reached { position, session: session.to_owned(), watermarks }
}

/// What a subscription gives within a while; `None` when that is nothing, or its end.
async fn next(live: &mut Subscription, within: Duration) -> Option<Event> {
    tokio::time::timeout(within, live.events.next()).await.ok().flatten().map(|event| event.expect("no error"))
}

/// Rows until a number of them has come.
async fn rows(live: &mut Subscription, count: usize) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    while batches.iter().map(RecordBatch::num_rows).sum::<usize>() < count {
        match next(live, PATIENCE).await.expect("rows") {
            Event::Rows(batch) => batches.push(batch),
            Event::Progress(_) => {}
        }
    }
    batches
}

fn integers(batches: &[RecordBatch], column: &str) -> Vec<i64> {
    let of = |batch: &RecordBatch| batch.column_by_name(column).expect("a column").as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(of).collect()
}

/// The lines of an answer in an order of their own.
fn lines(csv: &str) -> Vec<String> {
    let mut lines: Vec<String> = csv.lines().skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

const QUERIES: [&str; 6] = [
    "SELECT sequence, gyro_x_rad_per_s * 2 AS twice, session FROM imu WHERE sequence % 3 <> 1",
    "SELECT sequence, 'imu' AS of, session FROM imu UNION ALL SELECT sequence, sensor, session FROM force WHERE sequence > 3",
    "SELECT session, date_bin(INTERVAL '100 milliseconds', time) AS bin, count(*) AS n, sum(sequence) AS total, min(time_ns) AS first \
     FROM imu WHERE sequence % 5 <> 2 GROUP BY session, bin HAVING count(*) > 2",
    "SELECT i.sequence, t.trial, i.session FROM imu i LEFT JOIN trials t ON t.session = i.session",
    "SELECT i.sequence, f.sequence AS matched, i.time_ns - f.time_ns AS age_ns, i.session \
     FROM imu i ASOF JOIN force f MATCH_CONDITION (i.time_ns >= f.time_ns) ON i.session = f.session",
    "SELECT i.session, i.time_ns / 70000000 AS bin, count(f.sequence) AS matched, max(f.sequence) AS newest \
     FROM imu i ASOF JOIN force f MATCH_CONDITION (i.time_ns >= f.time_ns) ON i.session = f.session GROUP BY 1, 2",
];

/// A rig at work: two streams of which one lags, sessions, commits in between.
struct Lab {
    store: Store,
    chance: Chance,
    position: i64,
    session: &'static str,
    /// Rows so far of `imu` and `force`.
    counts: [i64; 2],
}

impl Lab {
    async fn begin(dir: &std::path::Path, seed: u64) -> Self {
        let store = Store::open(&crate::place(dir), "lab-1", &[imu(), force()]).await.expect("opens");
        let mut lab = Self { store, chance: Chance(seed), position: 0, session: "s1", counts: [0, 0] };
        lab.trial();
        lab
    }

    fn trial(&mut self) {
        let of = (self.session, "run-a");
        let trial = row(system::TRIALS, &system::trials(), START_NS, &[Some("walking")], of, self.position);
        self.tell(&[trial]);
    }

    fn tell(&mut self, chunks: &[TableChunk]) {
        let [imu, force] = self.counts.map(|count| START_NS + (count - 1) * STEP_NS);
        self.store.reach(reached(self.position, self.session, &[("imu", imu), ("force", force)]));
        self.store.append(chunks, self.position).expect("appended");
        self.position += 1;
    }

    fn stream(&mut self, table: usize, count: i64) -> TableChunk {
        let first = self.counts[table];
        self.counts[table] += count;
        let chunk = samples_of((self.session, "run-a"), "pelvis", first, count, self.position);
        TableChunk { table: ["imu", "force"][table].to_owned(), ..chunk }
    }

    async fn happen(&mut self) {
        match self.chance.below(10) {
            0 => self.store.commit(self.store.tables_position()).await.expect("committed"),
            1 if self.session == "s1" && self.counts[0] > 60 => {
                // The last rows come with the barrier.
                let last = [self.stream(0, 3), self.stream(1, 2)];
                self.session = "s2";
                self.tell(&last);
                self.trial();
            }
            _ => {
                let (imu, force) = (self.chance.below(9) as i64, self.chance.below(8) as i64);
                let chunks = [self.stream(0, imu), self.stream(1, force)];
                self.tell(&chunks);
            }
        }
    }

    /// Ends the session and the store: what was followed comes to its end.
    fn end(mut self) {
        self.session = "";
        self.tell(&[]);
    }
}

struct Followed {
    query: &'static str,
    /// What of the one-shot answer is expected.
    expected: String,
    live: Subscription,
    batches: Vec<RecordBatch>,
}

/// The concatenation of what a live query gives is the answer to the question asked once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_rows_are_the_rows_of_the_answer() {
    let mut compared = [0; QUERIES.len()];
    for seed in 0..4 {
        let dir = tempfile::tempdir().expect("a folder");
        let mut lab = Lab::begin(dir.path(), seed).await;
        let mut followed: Vec<Followed> = Vec::new();
        for step in 0..40 {
            if step % 6 == 3 {
                for (index, query) in QUERIES.iter().enumerate() {
                    let start = (step / 6 + index) % 3;
                    let (options, expected) = match start {
                        0 => ("WITH SNAPSHOT".to_owned(), "true".to_owned()),
                        // A window before the one that the time is in, and rows before now, don't come. A window that was open comes whole.
                        1 if !query.contains("bin") => (String::new(), format!("sequence >= {}", lab.counts[0])),
                        _ => {
                            let time = START_NS + lab.counts[0] / 2 * STEP_NS + 1;
                            let text = format!("FROM '{}'", chrono(time));
                            let bound = match query {
                                query if query.contains("date_bin") => {
                                    format!("bin >= date_bin(INTERVAL '100 milliseconds', to_timestamp_nanos({time}))")
                                }
                                query if query.contains("bin") => format!("bin >= {time} / 70000000"),
                                _ => format!("sequence > {}", lab.counts[0] / 2),
                            };
                            (text, bound)
                        }
                    };
                    // Sequences of the two branches of a union differ.
                    if query.contains("UNION") && start != 0 {
                        continue;
                    }
                    let live = lab.store.subscribe(&format!("SUBSCRIBE {options} {query}")).await.expect(query);
                    followed.push(Followed { query, expected, live, batches: Vec::new() });
                }
            }
            lab.happen().await;
            for follower in &mut followed {
                if lab.chance.below(3) == 0
                    && let Some(Event::Rows(batch)) = next(&mut follower.live, Duration::from_millis(3)).await
                {
                    follower.batches.push(batch);
                }
            }
        }
        let mut answers = BTreeMap::new();
        for Followed { query, expected, .. } in &followed {
            let sql = format!("SELECT * FROM ({query}) WHERE {expected}");
            answers.insert((*query, expected.clone()), lines(&csv(&lab.store, &sql).await));
        }
        lab.end();
        for Followed { query, expected, mut live, mut batches } in followed {
            while let Some(event) = tokio::time::timeout(PATIENCE, live.events.next()).await.expect("an end") {
                let Event::Rows(batch) = event.expect("no error") else { panic!("progress that nobody asked for") };
                batches.push(batch);
            }
            batches.push(RecordBatch::new_empty(live.schema.clone()));
            let came = lines(&as_csv(&batches));
            assert_eq!(came, answers[&(query, expected.clone())], "seed {seed}, {expected}: {query}");
            compared[QUERIES.iter().position(|known| *known == query).expect("known")] += came.len();
        }
    }
    assert!(compared.iter().all(|rows| *rows > 50), "{compared:?}");
}

/// A time as SUBSCRIBE takes it.
fn chrono(time_ns: i64) -> String {
    let seconds = time_ns.div_euclid(1_000_000_000);
    // All of it is within one second before midnight and an hour after, of 31 January 2026.
    let midnight = (START_NS + 500_000_000) / 1_000_000_000;
    let (day, of_day) = if seconds < midnight { ("2026-01-31", seconds - midnight + 86_400) } else { ("2026-02-01", seconds - midnight) };
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}.{:09}Z", time_ns.rem_euclid(1_000_000_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_in_order_and_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    append(&store, &samples("pelvis", 0, 10, 0)).expect("appended");
    let mut live = store.subscribe("SUBSCRIBE SELECT sequence, sensor FROM imu WHERE sequence <> 12").await.expect("a subscription");
    assert_eq!(next(&mut live, MOMENT).await, None, "nothing has come since");
    for position in 1..40 {
        append(&store, &samples("pelvis", position * 10, 10, position)).expect("appended");
        if position % 13 == 0 {
            store.commit(position).await.expect("committed");
        }
    }
    let came = integers(&rows(&mut live, 389).await, "sequence");
    assert_eq!(came, (10..400).filter(|sequence| *sequence != 12).collect::<Vec<_>>());
    drop(store);
    assert!(live.events.next().await.is_none(), "it ends with its store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_comes_once_and_whole_when_the_watermark_has_passed_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let tell = |first: i64, count: i64, position: i64, session: &str, watermark: i64| {
        store.reach(reached(position, session, &[("imu", watermark)]));
        append(&store, &samples_of(("s1", "run-a"), "pelvis", first, count, position)).expect("appended");
    };
    // Windows of ten rows, by the number of the row.
    let window = |k: i64| START_NS + k * 100_000_070 - 1;
    tell(0, 15, 0, "s1", window(1));
    let bin = format!("(time_ns - {START_NS}) / 100000070");
    let query = format!("SELECT {bin} AS bin, count(*) AS n, min(sequence) AS first FROM imu GROUP BY bin");
    let mut live = store.subscribe(&format!("SUBSCRIBE WITH PROGRESS {query}")).await.expect("a subscription");
    let Some(Event::Progress(progress)) = next(&mut live, PATIENCE).await else { panic!("no progress") };
    assert_eq!(progress, Progress { position: 0, watermark_ns: Some(window(1)), dropped: 0 });
    tell(15, 10, 1, "s1", window(2) - 1);
    let Some(Event::Progress(progress)) = next(&mut live, PATIENCE).await else { panic!("a window before its end") };
    assert_eq!((progress.position, progress.watermark_ns), (1, Some(window(2) - 1)));
    tell(25, 1, 2, "s1", window(2));
    let batches = rows(&mut live, 1).await;
    assert_eq!((integers(&batches, "first"), integers(&batches, "n")), (vec![10], vec![10]), "with the rows from before it was asked");
    // A row of a window that was given is too late for it; the session's end gives what is open.
    tell(12, 1, 3, "s1", window(2));
    tell(26, 2, 4, "", i64::MAX);
    let batches = rows(&mut live, 1).await;
    assert_eq!((integers(&batches, "first"), integers(&batches, "n")), (vec![20], vec![8]));
    drop(store);
    let mut dropped = 0;
    while let Some(event) = live.events.next().await {
        let Event::Progress(progress) = event.expect("no error") else { panic!("a window twice") };
        dropped = progress.dropped;
    }
    assert_eq!(dropped, 1, "the late row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_final_is_refused_with_the_reason_and_a_rewrite() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for (query, says) in [
        ("SELECT * FROM imu ORDER BY time", "leave it out"),
        ("SELECT * FROM imu LIMIT 5", "stop reading"),
        ("SELECT DISTINCT sensor FROM imu", "group by the columns and a window"),
        ("SELECT sensor FROM imu UNION SELECT step FROM alerts", "UNION ALL"),
        ("SELECT count(*) FROM imu", "GROUP BY date_bin"),
        ("SELECT sensor, count(*) FROM imu GROUP BY sensor", "GROUP BY date_bin"),
        ("SELECT * FROM imu_latest", "follow `imu`"),
        ("SELECT row_number() OVER (ORDER BY time) FROM imu", "window of time"),
        ("SELECT * FROM trials t RIGHT JOIN imu i ON i.session = t.session", "write the table to follow first"),
        ("SELECT * FROM imu i FULL JOIN trials t ON i.session = t.session", "write the table to follow first"),
        ("SELECT * FROM imu WHERE time > now()", "`now()` is another at each moment"),
        ("SELECT 1", "reads no table"),
        ("SELECT * FROM information_schema.tables", "follow a table"),
        ("SELECT date_bin(INTERVAL '1 second', to_timestamp_nanos(sequence)) AS b, count(*) FROM imu GROUP BY b", "window"),
        (
            "SELECT max(n) FROM (SELECT date_trunc('second', time) AS b, count(*) AS n FROM imu GROUP BY b) GROUP BY date_trunc('minute', b)",
            "group once",
        ),
        ("SELECT i.sequence FROM imu i ASOF JOIN alerts a MATCH_CONDITION (i.time_ns <= a.time_ns)", "match with >="),
    ] {
        let error = store.subscribe(&format!("SUBSCRIBE {query}")).await.err().unwrap_or_else(|| panic!("{query} is followed"));
        assert!(matches!(error, TablesError::NotLive { .. }) && error.to_string().contains(says), "{query}: {error}");
    }
    for (sql, says) in [
        ("SUBSCRIBE SELECT * FROM imus", "did you mean `imu`?"),
        ("SUBSCRIBE DELETE FROM imu", "SELECT"),
        ("SUBSCRIBE SELECT nothing FROM imu", "no column `nothing`"),
    ] {
        let error = store.subscribe(sql).await.err().expect("refused").to_string();
        assert!(error.contains(says), "{sql}: {error}");
    }
    let error = store.query("SUBSCRIBE SELECT * FROM imu").await.err().expect("refused");
    assert!(matches!(error, TablesError::Endless), "{error}");
}

/// A run that tables don't show is not followed; `_all` has every run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_not_shown_do_not_come() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let mut shown = store.subscribe("SUBSCRIBE WITH SNAPSHOT SELECT sequence, run_id FROM imu").await.expect("a subscription");
    let mut all = store.subscribe("SUBSCRIBE SELECT sequence, run_id FROM imu_all").await.expect("a subscription");
    append(&store, &lineage(("s1", "b"), REBUILD, 0)).expect("appended");
    append(&store, &samples_of(("s1", "b"), "pelvis", 0, 5, 1)).expect("appended");
    append(&store, &samples_of(("s1", "a"), "pelvis", 5, 5, 2)).expect("appended");
    assert_eq!(integers(&rows(&mut shown, 5).await, "sequence"), (5..10).collect::<Vec<_>>());
    assert_eq!(integers(&rows(&mut all, 10).await, "sequence"), (0..10).collect::<Vec<_>>());
    drop(store);
    assert!(shown.events.next().await.is_none());
}

/// A table that gains columns is followed with those that it had; what is looked up stands as it is by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_may_gain_columns_and_rows_meanwhile() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let query = "SUBSCRIBE SELECT i.*, t.trial FROM imu i LEFT JOIN trials t ON t.session = i.session";
    let mut live = store.subscribe(query).await.expect("a subscription");
    append(&store, &samples("pelvis", 0, 2, 0)).expect("appended");
    let before = rows(&mut live, 2).await;
    let mut wider = imu();
    let extra = proprio_core::schema::float("extra", "1");
    wider.columns =
        Arc::new(arrow_schema::Schema::new(wider.columns.fields().iter().cloned().chain([Arc::new(extra)]).collect::<Vec<_>>()));
    store.declare(&[wider]).await.expect("declared");
    append(&store, &row(system::TRIALS, &system::trials(), START_NS, &[Some("walking")], ("s1", "run-a"), 1)).expect("appended");
    append(&store, &samples("pelvis", 2, 2, 2)).expect("appended");
    let after = rows(&mut live, 2).await;
    assert_eq!(before[0].schema(), after[0].schema());
    let trials = |batches: &[RecordBatch]| -> Vec<Option<String>> {
        let of = |batch: &RecordBatch| {
            batch
                .column_by_name("trial")
                .expect("a column")
                .as_string::<i32>()
                .iter()
                .map(|text| text.map(str::to_owned))
                .collect::<Vec<_>>()
        };
        batches.iter().flat_map(of).collect()
    };
    assert_eq!((trials(&before), trials(&after)), (vec![None; 2], vec![Some("walking".to_owned()); 2]));
}

/// Fifty follow, of whom ten never read: the writer is as fast, the forty miss nothing, and what the ten missed is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_costs_the_writer_nothing() {
    const POSITIONS: i64 = 1200;
    const ROWS: i64 = 50;
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(dir.path()).await);
    let mut sleepers = Vec::new();
    for _ in 0..10 {
        let sql = "SUBSCRIBE WITH PROGRESS TAIL 1 MB SELECT sequence FROM imu";
        sleepers.push(store.subscribe(sql).await.expect("a subscription"));
    }
    let mut readers = Vec::new();
    for k in 0..40 {
        let mut live =
            store.subscribe(&format!("SUBSCRIBE SELECT sequence FROM imu WHERE sequence % 40 = {k}")).await.expect("a subscription");
        readers.push(tokio::spawn(async move { integers(&rows(&mut live, (POSITIONS * ROWS / 40) as usize).await, "sequence") }));
    }
    let mut slowest = Duration::ZERO;
    for position in 0..POSITIONS {
        let chunk = samples("pelvis", position * ROWS, ROWS, position);
        let begun = Instant::now();
        append(&store, &chunk).expect("appended");
        slowest = slowest.max(begun.elapsed());
        if position % 400 == 399 {
            store.commit(position).await.expect("committed");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // A reader's evaluation alone takes longer than an append may on a machine with two busy cores.
    assert!(slowest < Duration::from_secs(1), "an append took {slowest:?}");
    for (k, reader) in readers.into_iter().enumerate() {
        let expected: Vec<i64> = (0..POSITIONS * ROWS).filter(|sequence| sequence % 40 == k as i64).collect();
        assert_eq!(reader.await.expect("a reader"), expected);
    }
    drop(store);
    for mut sleeper in sleepers {
        let (mut came, mut dropped) = (Vec::new(), 0);
        while let Some(event) = sleeper.events.next().await {
            match event.expect("no error") {
                Event::Rows(batch) => came.push(batch),
                Event::Progress(progress) => dropped = progress.dropped as i64,
            }
        }
        let came = integers(&came, "sequence");
        assert!(dropped > POSITIONS * ROWS / 2, "a megabyte is less than half of it");
        assert_eq!(came, (dropped..POSITIONS * ROWS).collect::<Vec<_>>(), "the newest came, and the others were counted");
    }
}

/// A recorder that doesn't read for a while misses nothing, though its rows were committed long ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_misses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let mut live = store.subscribe("SUBSCRIBE BLOCK SELECT sequence FROM imu").await.expect("a subscription");
    for position in 0..10 {
        append(&store, &samples("pelvis", position * 20_000, 20_000, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    assert_eq!(integers(&rows(&mut live, 200_000).await, "sequence"), (0..200_000).collect::<Vec<_>>());
}

/// Half a gigabyte, by hand: `cargo test -p proprio-tables --test it -- --ignored recorder_that_never_reads`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes eight million rows"]
async fn a_recorder_that_never_reads_is_told_so_and_holds_nobody_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    let mut live = store.subscribe("SUBSCRIBE BLOCK SELECT sequence FROM imu").await.expect("a subscription");
    for position in 0..80 {
        append(&store, &samples("pelvis", position * 100_000, 100_000, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    let error = live.events.next().await.expect("an event").expect_err("too far behind");
    assert!(matches!(error, TablesError::FellBehind { rows, .. } if rows > 0), "{error}");
    assert!(live.events.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_stands_in_columns_where_there_are_rows_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    store.reach(reached(0, "s1", &[("imu", START_NS)]));
    append(&store, &samples("pelvis", 0, 1, 0)).expect("appended");
    let live = store.subscribe("SUBSCRIBE WITH SNAPSHOT WITH PROGRESS SELECT sequence FROM imu").await.expect("a subscription");
    drop(store);
    let answer = live.into_answer();
    let batches = answer.collect().await.expect("an end");
    let expected = format!("sequence,progress_position,progress_watermark_ns,progress_dropped\n0,,,\n,0,{START_NS},0\n");
    assert_eq!(as_csv(&batches), expected);
}

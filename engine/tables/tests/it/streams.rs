//! Does a long session come as a stream, from the files that hold it alone, in memory that doesn't grow with it?

use std::io::Write;

use futures::StreamExt;
use proprio_tables::Reader;

use super::layout::opened;
use super::{append, csv, open, samples_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_read_from_its_own_files_and_unsorted() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for position in 0..6 {
        append(&store, &samples_of((&format!("s{}", position % 3), "a"), "pelvis", position * 50, 50, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    let sql = "SELECT * FROM \"imu_all\" WHERE session = 's1'";
    assert_eq!(csv(&store, sql).await.lines().count(), 101);
    let plan = csv(&store, &format!("EXPLAIN ANALYZE {sql}")).await;
    assert_eq!(opened(&plan), 2, "two of six: {plan}");
    assert!(!plan.contains("SortExec"), "{plan}");
}

/// A field of `/proc/self/status`, in MiB.
fn memory_mib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().expect("kB") / 1024
}

/// Ten million rows, by hand: `cargo test -p proprio-tables -p proprio --test it -- --ignored --nocapture flat_memory`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes ten million rows"]
async fn ten_million_rows_stream_in_flat_memory() {
    const ROWS: i64 = 500_000;
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).await;
    for position in 0..20 {
        append(&store, &samples_of(("s1", "a"), "pelvis", position * ROWS, ROWS, position)).expect("appended");
        store.commit(position).await.expect("committed");
    }
    drop(store);
    let reader = Reader::open(&crate::place(dir.path())).await.expect("tables");
    // The peak since now.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let before = memory_mib("VmRSS:");
    let begun = std::time::Instant::now();
    let mut answer = reader.query("SELECT * FROM \"imu_all\" WHERE session = 's1'").await.expect("an answer");
    let (mut rows, mut half) = (0, 0);
    while let Some(batch) = answer.batches.next().await {
        rows += batch.expect("rows").num_rows();
        if rows > 5_000_000 && half == 0 {
            half = memory_mib("VmHWM:");
        }
    }
    let (peak, took) = (memory_mib("VmHWM:"), begun.elapsed());
    let figures = format!("{before} MiB before, peak {half} MiB after half of the rows and {peak} MiB after all, in {took:?}");
    writeln!(std::io::stderr(), "{rows} rows: {figures}").expect("written");
    assert_eq!(rows, 10_000_000);
    assert!(peak < before + 256, "all rows at once are more than a gibibyte: {figures}");
}

//! Is every derived row's pipeline, calibration and session in reach of SQL, hot, cold and merged?

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use proprio_core::schema::{FieldExt, float, text};
use proprio_core::table::system::origin::{LIVE, REBUILD};
use proprio_core::{StreamSchema, TableChunk, TableSpec};
use proprio_tables::Store;

use super::{START_NS, adoption, append, csv, lineage, read_csv};

fn stream() -> StreamSchema {
    StreamSchema::new(vec![float("hip_flexion_deg", "deg"), text("calibration")], &[], None)
}

fn alignment() -> StreamSchema {
    StreamSchema::new(vec![text("calibration").required(), text("verdict").required()], &[], None)
}

fn spec(name: &str, stream: &StreamSchema) -> TableSpec {
    TableSpec { name: name.to_owned(), key: None, columns: stream.columns.clone(), high_rate: false, operational: false }
}

fn chunk(table: &str, stream: &StreamSchema, columns: Vec<ArrayRef>, run: &str, position: i64) -> TableChunk {
    let rows = proprio_core::rows::batch(stream, columns);
    TableChunk { table: table.to_owned(), key: None, session: "s1".to_owned(), run_id: run.to_owned(), rows, position }
}

/// The rows of one run: a calibration passes, and angles name it.
fn rows(run: &str, calibration: &str, position: i64) -> [TableChunk; 2] {
    let texts = |of: [Option<&str>; 2]| Arc::new(StringArray::from(of.to_vec())) as ArrayRef;
    let times = Arc::new(Int64Array::from(vec![START_NS, START_NS + 10_000_000]));
    let angles: Vec<ArrayRef> = vec![times, Arc::new(Float64Array::from(vec![None, Some(12.5)])), texts([None, Some(calibration)])];
    let one = |of: &str| Arc::new(StringArray::from(vec![of])) as ArrayRef;
    let passed: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![START_NS + 5_000_000])), one(calibration), one("pass")];
    [chunk("angles", &stream(), angles, run, position), chunk("alignment", &alignment(), passed, run, position)]
}

const ASKED: &str = "SELECT a.session, a.hip_flexion_deg AS angle, l.pipeline_hash, l.origin, c.calibration, c.verdict \
    FROM angles_all a JOIN lineage l ON a.session = l.session AND a.run_id = l.run_id \
    LEFT JOIN alignment_all c ON a.session = c.session AND a.run_id = c.run_id AND a.calibration = c.calibration \
    ORDER BY l.origin, a.time_ns";

const ANSWER: &str = "session,angle,pipeline_hash,origin,calibration,verdict\n\
    s1,,5d1c,live,,\ns1,12.5,5d1c,live,standing-1,pass\ns1,,5d1c,rebuild,,\ns1,12.5,5d1c,rebuild,standing-2,pass\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_derived_row_names_its_pipeline_calibration_and_session() {
    let dir = tempfile::tempdir().expect("a folder");
    let specs = [spec("angles", &stream()), spec("alignment", &alignment())];
    let store = Store::open(&crate::place(dir.path()), "lab-1", &specs).await.expect("opens");
    append(&store, &lineage(("s1", "run-a"), LIVE, 0)).expect("appended");
    store.append(&rows("run-a", "standing-1", 1), 1).expect("appended");
    store.commit(1).await.expect("committed");
    append(&store, &lineage(("s1", "run-b"), REBUILD, 2)).expect("appended");
    store.append(&rows("run-b", "standing-2", 3), 3).expect("appended");
    assert_eq!(csv(&store, ASKED).await, ANSWER, "half hot");
    store.commit(3).await.expect("committed");
    assert_eq!(csv(&store, ASKED).await, ANSWER, "cold");
    assert!(store.merge(2, || true).await.expect("merged").files >= 6);
    assert_eq!(csv(&store, ASKED).await, ANSWER, "merged");

    // What is adopted decides which of both the plain table shows, in merged files too.
    let shown = "SELECT a.hip_flexion_deg AS angle, a.calibration, l.origin FROM angles a JOIN lineage l USING (session, run_id) \
        WHERE a.calibration IS NOT NULL";
    assert_eq!(csv(&store, shown).await, "angle,calibration,origin\n12.5,standing-1,live\n");
    append(&store, &adoption("s1", &["run-b"], START_NS, 4)).expect("appended");
    store.commit(4).await.expect("committed");
    assert_eq!(csv(&store, shown).await, "angle,calibration,origin\n12.5,standing-2,rebuild\n");
    drop(store);
    assert_eq!(read_csv(dir.path(), shown).await, "angle,calibration,origin\n12.5,standing-2,rebuild\n");
}

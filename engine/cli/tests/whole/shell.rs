//! Is `proprio sql` a shell when no statement is given: statements and commands from a pipe, errors that end nothing?

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use proprio_core::schema::float;
use proprio_core::{StreamSchema, TableChunk, TableSpec};
use proprio_tables::{Place, Store};

use super::harness::{path, proprio};

/// Ten rows of a table `force`.
fn tables(data: &Path) {
    let stream = StreamSchema::new(vec![float("fz_n", "N")], &[], None);
    let spec = TableSpec {
        name: "force".to_owned(),
        key: Some("sensor".to_owned()),
        columns: stream.columns.clone(),
        high_rate: false,
        operational: false,
    };
    let columns: Vec<ArrayRef> =
        vec![Arc::new((0..10).collect::<Int64Array>()), Arc::new((0..10).map(|k| f64::from(k) * 0.5).collect::<Float64Array>())];
    let chunk = TableChunk {
        table: "force".to_owned(),
        key: Some("plate".to_owned()),
        session: "s1".to_owned(),
        run_id: "a".to_owned(),
        rows: proprio_core::rows::batch(&stream, columns),
        position: 0,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(&Place::of_data(data).expect("a path"), "lab-1", &[spec]).await.expect("the store opens");
        store.append(&[chunk], 0).expect("appended");
        store.commit(0).await.expect("committed");
    });
}

fn shell(data: &Path, script: &str) -> Output {
    let mut child = proprio()
        .args(["sql", "--data", path(data)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("written");
    child.wait_with_output().expect("it ends")
}

#[test]
fn statements_and_commands_come_from_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    tables(folder.path());
    let [answers, included] = ["answers.csv", "included.sql"].map(|name| folder.path().join(name));
    std::fs::write(&included, "SELECT count(*) AS included FROM force;\n\\q\n").expect("written");
    let script = format!(
        "SELECT count(*) AS \"n;\" -- a comment;\n FROM force;\n\\d force\n\\df date_bin\n\\x\nSELECT sensor, fz_n FROM force WHERE fz_n = 2;\n\
         SELEC;\n\\nope\n\\x\n\\timing\n\\format csv\n\\o {}\nSELECT max(fz_n) AS peak FROM force;\n\\o\n\\i {}\nSELECT 'never' AS never;\n",
        path(&answers),
        path(&included)
    );
    let output = shell(folder.path(), &script);
    let (out, err) = (String::from_utf8(output.stdout).expect("text"), String::from_utf8(output.stderr).expect("text"));
    for part in ["n;\n──\n10\n1 row\n", "fz_n", " N", "date_bin", "─ row 1", "fz_n    2.0\n", "Time: ", "included\n10\n"] {
        assert!(out.contains(part), "no {part:?} in\n{out}\n{err}");
    }
    assert!(!out.contains("never"), "an included file may leave: {out}");
    for part in ["SELEC", r"there is no `\nope`"] {
        assert!(err.contains(part), "no {part:?} in {err}");
    }
    assert_eq!(output.status.code(), Some(1), "something failed on the way");
    assert_eq!(std::fs::read_to_string(&answers).expect("written"), "peak\n4.5\n");
    // The last statement may lack its end.
    let output = shell(folder.path(), "SELECT 7 AS seven");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("seven\n─────\n    7\n"), "{output:?}");
}

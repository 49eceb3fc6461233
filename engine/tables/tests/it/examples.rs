//! Does each function's documentation hold an example that gives what stands there, and does the README's SQL run?

use std::path::Path;
use std::sync::Arc;

use proprio_tables::Store;

use super::{csv, lab};

/// Names of the functions that this crate adds.
const FUNCTIONS: [&str; 14] = [
    "gait_phase",
    "gait_profile_score",
    "gait_variable_score",
    "interpolate",
    "mean_curve",
    "mean_frequency",
    "median_frequency",
    "onset",
    "rms",
    "symmetry_angle",
    "symmetry_index",
    "time_bucket",
    "time_grid",
    "time_normalise",
];

async fn lab_store(dir: &Path) -> Arc<Store> {
    let store = Store::open(&crate::place(dir), "lab-1", &lab::specs()).await.expect("the store opens");
    let chunks = lab::chunks();
    store.append(&chunks, chunks.last().expect("chunks").position).expect("appended");
    Arc::new(store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_has_an_example_that_gives_its_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = lab_store(dir.path()).await;
    let documented = proprio_tables::functions();
    let names: Vec<&str> = documented.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, FUNCTIONS);
    for function in documented {
        let answer = csv(&store, &function.example).await;
        let answer = answer.lines().nth(1).unwrap_or_default().trim_matches('"');
        assert_eq!(answer, function.answer, "{}: {}", function.name, function.example);
        let sql = "SELECT DISTINCT syntax_example FROM information_schema.routines WHERE routine_name";
        let listed = csv(&store, &format!("{sql} = '{}'", function.name)).await;
        assert!(listed.contains(&function.syntax), "{}: {listed}", function.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statements_in_the_readme_run() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let section = readme.split("<!-- sql -->").nth(1).expect("a section with SQL");
    let block = section.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of SQL");
    let dir = tempfile::tempdir().expect("a folder");
    let store = lab_store(dir.path()).await;
    let statements: Vec<&str> = block.split(';').map(str::trim).filter(|sql| !sql.is_empty()).collect();
    assert!(statements.len() >= 3, "{block}");
    for sql in statements {
        let answer = csv(&store, sql).await;
        assert!(answer.lines().count() > 1, "no rows: {sql}");
    }
}

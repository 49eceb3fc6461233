//! What do a plan's steps find in an earlier session to bring into the next one (contract 6)?

use arrow_cast::display::array_value_to_string;
use arrow_select::concat::concat_batches;
use proprio_core::table::system::SESSIONS;
use proprio_core::{Carried, RecordBatch};
use proprio_runtime::{Plan, PlannedStep};
use proprio_tables::{Catalog, Store};

use crate::ask::{quoted, rows};

/// Word for the subject's newest sessions.
const LAST: &str = "last";

/// The newest rows that each step of the plan can carry over, one for each of its keys: of the session that is named, or, for [`LAST`],
/// of all that the subject has had.
///
/// # Errors
/// In words for people: no such session, or none that gave something to carry over.
pub async fn over(store: &Store, plan: &Plan, from: &str, subject: Option<&str>) -> Result<Vec<Carried>, String> {
    store.refresh().await;
    let catalog = store.catalog();
    let sessions = sessions(&catalog, from, subject).await?;
    let mut carried = Vec::new();
    for step in plan.steps.iter().filter(|step| step.table.is_some()) {
        let Some(sql) = newest(plan, step, &sessions) else { continue };
        let Some(found) = query(&catalog, &sql).await? else { continue };
        for (session, rows) in by_session(&found)? {
            carried.push(Carried::of(&step.stream, &session, &step.planned.output, &rows).map_err(|error| error.to_string())?);
        }
    }
    if carried.is_empty() {
        let of = if from == LAST { "the subject's sessions".to_owned() } else { format!("session {from}") };
        return Err(format!(
            "{of} gave nothing that a step of this pipeline can carry over: no calibration passed, nor was anything learned"
        ));
    }
    Ok(carried)
}

/// SQL for the newest row of each key of a step's output that meets its condition; none for a step that carries nothing over.
fn newest(plan: &Plan, step: &PlannedStep, sessions: &[String]) -> Option<String> {
    let (condition, table) = (step.planned.carries.as_ref()?, step.table.as_ref()?);
    let key = plan.tables.iter().find(|spec| spec.name == *table).and_then(|spec| spec.key.as_deref()).zip(step.key.as_deref());
    let key = key.map_or_else(String::new, |(column, key)| format!(" AND \"{column}\" = {}", quoted(key)));
    let sessions = sessions.iter().map(|session| quoted(session)).collect::<Vec<_>>().join(", ");
    let keys: Vec<String> = step.planned.output.keys.iter().map(|key| format!("\"{key}\"")).collect();
    let each = if keys.is_empty() { String::new() } else { format!("PARTITION BY {} ", keys.join(", ")) };
    Some(format!(
        "SELECT * FROM (SELECT *, row_number() OVER ({each}ORDER BY time_ns DESC) AS age FROM \"{table}\" \
         WHERE session IN ({sessions}){key} AND ({condition})) WHERE age = 1 ORDER BY session, time_ns"
    ))
}

/// The sessions to carry over from.
async fn sessions(catalog: &Catalog, from: &str, subject: Option<&str>) -> Result<Vec<String>, String> {
    let condition = match (from, subject) {
        (LAST, None) => return Err(format!("`{LAST}` is the subject's newest session: say whose with --subject, or name a session")),
        (LAST, Some(subject)) => format!("subject = {}", quoted(subject)),
        (id, _) => format!("session = {}", quoted(id)),
    };
    let sql = format!("SELECT session, subject FROM {SESSIONS}_latest WHERE {condition} ORDER BY session");
    let found = rows(catalog, &sql).await.map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Err(if from == LAST {
            format!("{} has no session yet", subject.unwrap_or_default())
        } else {
            format!("there is no session {from}")
        });
    }
    let one = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let (session, of) = (row.next().flatten().unwrap_or_default(), row.next().flatten());
        if of.as_deref() == subject {
            Ok(session)
        } else {
            Err(format!("session {session} is not this subject's: what is measured of a person is carried over to nobody else"))
        }
    };
    found.into_iter().map(one).collect()
}

/// The rows of each session, which stand together.
fn by_session(found: &RecordBatch) -> Result<Vec<(String, RecordBatch)>, String> {
    let column = found.column_by_name("session").expect("every table says the session");
    let sessions: Result<Vec<String>, _> = (0..found.num_rows()).map(|row| array_value_to_string(column, row)).collect();
    let mut first = 0;
    let mut slices = Vec::new();
    for of_one in sessions.map_err(|error| error.to_string())?.chunk_by(|a, b| a == b) {
        slices.push((of_one[0].clone(), found.slice(first, of_one.len())));
        first += of_one.len();
    }
    Ok(slices)
}

async fn query(catalog: &Catalog, sql: &str) -> Result<Option<RecordBatch>, String> {
    let answer = catalog.query(sql).await.map_err(|error| error.to_string())?;
    let batches = answer.collect().await.map_err(|error| error.to_string())?;
    let Some(first) = batches.first() else { return Ok(None) };
    concat_batches(&first.schema(), &batches).map(Some).map_err(|error| error.to_string())
}

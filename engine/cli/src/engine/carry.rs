//! What do a plan's steps find in an earlier session to bring into the next one (contract 6)?

use proprio_core::table::system::SESSIONS;
use proprio_core::{Carried, RecordBatch};
use proprio_runtime::Plan;
use proprio_tables::{Catalog, Store};

use crate::ask::{quoted, rows};

/// Word for the subject's newest session.
const LAST: &str = "last";

/// The newest row that each step of the plan can carry over from a session, which is named by its id or as [`LAST`].
///
/// # Errors
/// In words for people: no such session, or one that gave nothing to carry over.
pub async fn over(store: &Store, plan: &Plan, from: &str, subject: Option<&str>) -> Result<Vec<Carried>, String> {
    store.refresh().await;
    let catalog = store.catalog();
    let session = session(&catalog, from, subject).await?;
    let mut carried = Vec::new();
    for step in &plan.steps {
        let (Some(condition), Some(table)) = (&step.planned.carries, &step.table) else { continue };
        let key = plan.tables.iter().find(|spec| spec.name == *table).and_then(|spec| spec.key.as_deref()).zip(step.key.as_deref());
        let key = key.map_or_else(String::new, |(column, key)| format!(" AND \"{column}\" = {}", quoted(key)));
        let sql =
            format!("SELECT * FROM \"{table}\" WHERE session = {}{key} AND ({condition}) ORDER BY time_ns DESC LIMIT 1", quoted(&session));
        let found = query(&catalog, &sql).await?;
        for batch in found.iter().filter(|batch| batch.num_rows() > 0) {
            let rows = Carried::of(&step.stream, &session, &step.planned.output, batch).map_err(|error| error.to_string())?;
            carried.push(rows);
        }
    }
    if carried.is_empty() {
        return Err(format!(
            "session {session} gave nothing that a step of this pipeline can carry over: no calibration passed, nor was a reference learned"
        ));
    }
    Ok(carried)
}

async fn session(catalog: &Catalog, from: &str, subject: Option<&str>) -> Result<String, String> {
    let condition = match (from, subject) {
        (LAST, None) => return Err(format!("`{LAST}` is the subject's newest session: say whose with --subject, or name a session")),
        (LAST, Some(subject)) => format!("subject = {}", quoted(subject)),
        (id, _) => format!("session = {}", quoted(id)),
    };
    let sql = format!("SELECT session, subject FROM {SESSIONS} WHERE {condition} ORDER BY time_ns DESC LIMIT 1");
    let found = rows(catalog, &sql).await.map_err(|error| error.to_string())?;
    match found.into_iter().next().map(|row| (row.into_iter(), subject)) {
        None if from == LAST => Err(format!("{} has no session yet", subject.unwrap_or_default())),
        None => Err(format!("there is no session {from}")),
        Some((mut row, subject)) => {
            let (session, of) = (row.next().flatten().unwrap_or_default(), row.next().flatten());
            if of.as_deref() == subject {
                Ok(session)
            } else {
                Err(format!("session {session} is not this subject's: what is measured of a person is carried over to nobody else"))
            }
        }
    }
}

async fn query(catalog: &Catalog, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let answer = catalog.query(sql).await.map_err(|error| error.to_string())?;
    answer.collect().await.map_err(|error| error.to_string())
}

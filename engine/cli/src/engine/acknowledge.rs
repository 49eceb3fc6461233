//! Which alert does a person mean who has seen it?

use proprio_core::Acknowledged;
use proprio_core::table::system::{ALERTS, alert_state};
use proprio_tables::Store;

use crate::ask::{quoted, rows};

/// The newest alert of a session that fired under an id, or of a step.
///
/// # Errors
/// In words for people, when there is none.
pub async fn alert(store: &Store, session: &str, name: &str) -> Result<Acknowledged, String> {
    let (session, name) = (quoted(session), quoted(name));
    let sql = format!(
        "SELECT id, step, stream, \"key\", severity, message, since_ns FROM {ALERTS} WHERE session = {session} AND state = '{}' \
         AND (id = {name} OR step = {name}) ORDER BY time_ns DESC LIMIT 1",
        alert_state::FIRING
    );
    let found = rows(&store.catalog(), &sql).await.map_err(|error| error.to_string())?;
    let row = found.into_iter().next().ok_or_else(|| format!("no alert {name} has fired in the open session"))?;
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    let mut next = || cells.next().unwrap_or_default();
    let [id, step, stream, key, severity, message] = std::array::from_fn(|_| next());
    let since_ns = next().parse().map_err(|_| format!("the row of alert {name} can't be read"))?;
    Ok(Acknowledged { id, step, stream, key, severity, message, since_ns })
}

//! How does a person's data leave the tables, on request or when its time is over?

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::prelude::{ident, lit};
use proprio_core::TimeNs;
use proprio_core::quantity::Duration;
use proprio_core::schema::TIME;

use crate::catalog;
use crate::cold::Cold;
use crate::error::TablesError;
use crate::place::Place;
use crate::schema::{RIG, SESSION};
use crate::store::{Inner, Store, to_its_end};

/// Delta's file skipping walks a list by recursion.
const SESSIONS_AT_ONCE: usize = 64;

/// Rows that were removed, by table; a table that lost none is absent.
pub type Removed = BTreeMap<String, u64>;

/// Removes every row of some sessions from every table of a place that no engine has open, and what it holds
/// of them beside. May be called again, and goes on where a call before was stopped.
///
/// What stays of a session is its name in the application id of its rebuilds (`<run_id>/<session>`), and what rows of other
/// sessions say about it: a row of `audit` about this removal belongs to another session, or to none.
///
/// # Errors
/// The first table's that can't be changed.
pub async fn forget_sessions(place: &Place, sessions: &[String]) -> Result<Removed, TablesError> {
    let session = catalog::session()?;
    let mut removed = Removed::new();
    for (name, place) in place.tables(|_| false).await? {
        let cold = Cold::open(&place, &name).await?;
        let (cold, rows) = without_sessions(cold, sessions, &session).await?;
        cold.scrubbed(sessions).await?;
        count(&mut removed, &name, rows);
    }
    Ok(removed)
}

impl Store {
    /// As [`forget_sessions`], within the engine that has the tables open: hot rows go too. No catalog that is pinned
    /// afterwards shows any of it; a query that runs meanwhile over files that are deleted fails. The caller sees to it that no
    /// further rows of these sessions are appended.
    ///
    /// # Errors
    /// The first table's that can't be changed.
    pub async fn forget(&self, sessions: &[String]) -> Result<Removed, TablesError> {
        let (inner, sessions) = (self.inner.clone(), sessions.to_vec());
        to_its_end(async move { inner.forget(&sessions).await }).await
    }

    /// Removes this rig's committed rows that are older than a table's limit at `now_ns`, the rig's clock.
    /// Statistics alone are read when nothing is due. Limits of tables that aren't there are passed over.
    ///
    /// # Errors
    /// The first table's that can't be changed.
    pub async fn retain(&self, limits: &BTreeMap<String, Duration>, now_ns: TimeNs) -> Result<Removed, TablesError> {
        let (inner, limits) = (self.inner.clone(), limits.clone());
        to_its_end(async move { inner.retain(&limits, now_ns).await }).await
    }
}

impl Inner {
    async fn forget(self: Arc<Self>, sessions: &[String]) -> Result<Removed, TablesError> {
        let _alone = self.rewriting.lock().await;
        let mut round = self.round.lock().await;
        let mut removed = Removed::new();
        {
            let mut tables = self.lock();
            tables.shown.forget(sessions);
            for (name, table) in &mut tables.by_name {
                count(&mut removed, name, table.hot.forget(sessions) as u64);
            }
        }
        let mut looked = self.look(&mut round).await?;
        for (name, cold) in looked.versions(&self) {
            let (cold, rows) = without_sessions(cold, sessions, &self.session).await?;
            count(&mut removed, &name, rows);
            looked.take(name, cold);
        }
        self.finish(&mut round, looked, BTreeMap::new()).await?;
        let names: Vec<String> = self.lock().by_name.keys().cloned().collect();
        for name in names {
            let mut looked = self.look(&mut round).await?;
            let cold = self.lock().by_name[&name].cold.clone();
            looked.take(name, cold.scrubbed(sessions).await?);
            self.finish(&mut round, looked, BTreeMap::new()).await?;
        }
        Ok(removed)
    }

    async fn retain(self: Arc<Self>, limits: &BTreeMap<String, Duration>, now_ns: TimeNs) -> Result<Removed, TablesError> {
        let _alone = self.rewriting.lock().await;
        let mut round = self.round.lock().await;
        let mut removed = Removed::new();
        let mut looked = self.look(&mut round).await?;
        for (name, cold) in looked.versions(&self) {
            let Some(limit) = limits.get(&name) else { continue };
            let oldest_ns = now_ns.saturating_sub(limit.nanoseconds());
            let gone = ident(RIG).eq(lit(self.rig.as_str())).and(ident(TIME).lt(lit(oldest_ns)));
            let (cold, rows) = cold.without(&gone, &self.session).await?;
            count(&mut removed, &name, rows);
            looked.take(name, cold);
        }
        self.finish(&mut round, looked, BTreeMap::new()).await?;
        Ok(removed)
    }
}

async fn without_sessions(mut cold: Cold, sessions: &[String], session: &SessionState) -> Result<(Cold, u64), TablesError> {
    let mut removed = 0;
    for some in sessions.chunks(SESSIONS_AT_ONCE) {
        let gone = ident(SESSION).in_list(some.iter().map(|session| lit(session.as_str())).collect(), false);
        let rows;
        (cold, rows) = cold.without(&gone, session).await?;
        removed += rows;
    }
    Ok((cold, removed))
}

fn count(removed: &mut Removed, name: &str, rows: u64) {
    if rows > 0 {
        *removed.entry(name.to_owned()).or_default() += rows;
    }
}

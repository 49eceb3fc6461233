//! How are tables asked when no process writes them?

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use proprio_core::table::system;

use crate::catalog::{self, Answer, Catalog};
use crate::cold::Cold;
use crate::error::TablesError;
use crate::place::Place;
use crate::provider::PinnedTable;
use crate::schema;
use crate::visible::{self, ColdFacts};

/// The Delta tables of a place, at the versions they had when it was opened.
#[derive(Debug)]
pub struct Reader {
    catalog: Catalog,
}

impl Reader {
    /// Opens every table that lies there.
    ///
    /// # Errors
    /// When there is none, or one can't be read.
    pub async fn open(place: &Place) -> Result<Self, TablesError> {
        let session = catalog::session()?;
        let places = place.tables(|_| false).await?;
        if places.is_empty() {
            return Err(TablesError::NoTables { place: place.to_string() });
        }
        // The order that `round` says: what hides a run is never older than its rows, what shows it never newer.
        let turn = |name: &str| match name {
            system::ADOPTIONS => 0,
            system::LINEAGE => 2,
            _ => 1,
        };
        let mut tables = BTreeMap::new();
        let mut facts = Vec::new();
        let mut opened = Vec::with_capacity(places.len());
        for now in 0..3 {
            let due = places.iter().filter(|(name, _)| turn(name) == now);
            opened.extend(try_join_all(due.map(|(name, place)| Cold::open(place, name))).await?);
        }
        for cold in opened {
            let name = cold.name.clone();
            if turn(&name) != 1 {
                facts.extend(ColdFacts::default().at(&name, &cold, &session).await?.iter().cloned());
            }
            tables.insert(name, PinnedTable { schema: cold.schema, hot: Vec::new(), cold: Some(cold.scan), shown: None, seen: None });
        }
        let shown = visible::condition(facts.iter());
        for (_, table) in tables.iter_mut().filter(|(name, _)| !visible::is_whole(name)) {
            table.shown.clone_from(&shown);
        }
        for spec in system::tables() {
            let schema = schema::arranged(&schema::of_spec(&spec)?);
            tables.entry(spec.name).or_insert(PinnedTable { schema, hot: Vec::new(), cold: None, shown: None, seen: None });
        }
        let tables = tables.into_iter().map(|(name, table)| (name, Arc::new(table))).collect();
        Ok(Self { catalog: Catalog::new(tables, session, -1) })
    }

    /// The pinned tables.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Runs one read-only statement.
    ///
    /// # Errors
    /// As [`Catalog::query`].
    pub async fn query(&self, sql: &str) -> Result<Answer, TablesError> {
        self.catalog.query(sql).await
    }
}

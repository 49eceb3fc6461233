//! How are tables asked when no process writes them?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proprio_core::table::system;

use crate::catalog::{self, Answer, Catalog};
use crate::cold::Cold;
use crate::error::TablesError;
use crate::provider::PinnedTable;
use crate::schema;
use crate::visible::{self, ColdFacts};

/// The Delta tables of a data directory, at the versions they had when it was opened.
#[derive(Debug)]
pub struct Reader {
    catalog: Catalog,
}

impl Reader {
    /// Opens every table under `<data>/tables`.
    ///
    /// # Errors
    /// When there is none, or one can't be read.
    pub async fn open(data: &Path) -> Result<Self, TablesError> {
        let folder = data.join("tables");
        let session = catalog::session()?;
        let mut paths: Vec<(String, PathBuf)> = delta_tables(&folder)?.into_iter().collect();
        if paths.is_empty() {
            return Err(TablesError::NoTables { path: folder });
        }
        // The order that `round` says: what hides a run is never older than its rows, what shows it never newer.
        paths.sort_by_key(|(name, _)| match name.as_str() {
            system::ADOPTIONS => 0,
            system::LINEAGE => 2,
            _ => 1,
        });
        let mut tables = BTreeMap::new();
        let mut facts = Vec::new();
        for (name, path) in paths {
            let cold = Cold::open(&path, &name).await?;
            if [system::ADOPTIONS, system::LINEAGE].contains(&name.as_str()) {
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

pub(crate) fn delta_tables(folder: &Path) -> Result<BTreeMap<String, PathBuf>, TablesError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(TablesError::Io { path: folder.to_owned(), source }),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|source| TablesError::Io { path: folder.to_owned(), source })?;
        if entry.path().join("_delta_log").is_dir() {
            found.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
        }
    }
    Ok(found)
}

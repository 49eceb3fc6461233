//! What do clients of PostgreSQL take for granted? `pg_catalog` over the tables that the asker may see, for the statements that name it.

mod functions;
mod meant;

use std::sync::{Arc, OnceLock, RwLock};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::SchemaProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::TableType;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{PgCatalogSchemaProvider, PgCatalogStaticTables, setup_pg_catalog};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use proprio_tables::{Catalog, Prepared, TablesError};

pub use functions::Own;

const CATALOG: &str = "proprio";
const SCHEMA: &str = "public";
/// What a statement holds that is asked of PostgreSQL's own catalog.
const SIGNS: [&str; 10] =
    ["pg_", "information_schema", "current_", "session_user", "version(", "::reg", "quote_ident", "_description", "has_", "array_"];

/// PostgreSQL's catalog for one connection, in which a table keeps its number from statement to statement.
#[derive(Default)]
pub struct PgCatalog {
    tables: Numbered,
    provider: OnceLock<Arc<PgCatalogSchemaProvider<Numbered, EmptyContextProvider>>>,
}

impl PgCatalog {
    /// Prepares a statement: as it stands or, when that doesn't go and it may be meant for PostgreSQL's catalog, with that, for a
    /// connection of its own.
    ///
    /// # Errors
    /// What the statement meets as it stands.
    pub async fn prepare(&self, catalog: &Catalog, sql: &str, own: Own) -> Result<Prepared, TablesError> {
        let lower = sql.to_lowercase();
        // Both know the columns, and only one calls their types as PostgreSQL does.
        if lower.contains("information_schema.columns")
            && let Ok(prepared) = self.prepare_with(catalog, sql, own.clone()).await
        {
            return Ok(prepared);
        }
        let context = catalog.session();
        functions::register(&context, own.clone());
        let first = match catalog.prepare_in(context, sql).await {
            Ok(prepared) => return Ok(prepared),
            Err(error) => error,
        };
        if matches!(first, TablesError::ReadOnly { .. }) || !SIGNS.iter().any(|sign| lower.contains(sign)) {
            return Err(first);
        }
        match self.prepare_with(catalog, sql, own).await {
            Ok(prepared) => Ok(prepared),
            Err(error) => {
                tracing::debug!(%error, sql, "not answered with PostgreSQL's catalog either");
                Err(if lower.contains("pg_") { error } else { first })
            }
        }
    }

    async fn prepare_with(&self, catalog: &Catalog, sql: &str, own: Own) -> Result<Prepared, TablesError> {
        let context = catalog.session();
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| TablesError::from(*error))?;
        let here = context.catalog(CATALOG).and_then(|catalog| Some((catalog.schema(SCHEMA)?, catalog)));
        let (tables, here) = here.expect("a catalog has its schema");
        *self.tables.0.write().expect("nothing panics while it holds the tables") = Some(tables);
        let provider = match self.provider.get() {
            Some(provider) => provider.clone(),
            None => {
                let constant = Arc::new(PgCatalogStaticTables::try_new()?);
                let made = Arc::new(PgCatalogSchemaProvider::try_new(self.tables.clone(), constant, EmptyContextProvider)?);
                self.provider.get_or_init(|| made).clone()
            }
        };
        here.register_schema("pg_catalog", provider)?;
        functions::register(&context, own);
        // The programs that ask here write names in any case.
        context.state_ref().write().config_mut().options_mut().sql_parser.enable_ident_normalization = true;
        let statements = PostgresCompatibilityParser::new().parse(&meant::meant(sql));
        let statement = statements.map_err(|error| TablesError::Sql { message: error.to_string() })?.into_iter().next();
        catalog.prepare_in(context, &statement.map(|statement| statement.to_string()).unwrap_or_default()).await
    }
}

/// The tables of the newest statement, under the one provider that numbers them.
#[derive(Clone, Debug, Default)]
struct Numbered(Arc<RwLock<Option<Arc<dyn SchemaProvider>>>>);

impl Numbered {
    fn tables(&self, catalog: &str, schema: &str) -> Option<Arc<dyn SchemaProvider>> {
        let is_ours = catalog == CATALOG && schema == SCHEMA;
        self.0.read().expect("nothing panics while it holds the tables").clone().filter(|_| is_ours)
    }
}

#[async_trait]
impl CatalogInfo for Numbered {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        Ok(vec![CATALOG.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        // psql tells what is not PostgreSQL's own by the number of `pg_catalog`.
        Ok((catalog == CATALOG).then(|| [SCHEMA, "pg_catalog", "information_schema"].map(str::to_owned).into()))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        Ok(self.tables(catalog, schema).map(|tables| tables.table_names()))
    }

    async fn table_schema(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<SchemaRef>, DataFusionError> {
        let Some(tables) = self.tables(catalog, schema) else { return Ok(None) };
        Ok(tables.table(table).await?.map(|table| table.schema()))
    }

    async fn table_type(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableType>, DataFusionError> {
        let Some(tables) = self.tables(catalog, schema) else { return Ok(None) };
        tables.table_type(table).await
    }
}

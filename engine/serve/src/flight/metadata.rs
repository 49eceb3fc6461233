//! What can a client of Flight SQL find out: what we are, and which catalogs, schemas and tables there are?

use arrow_array::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{GetCatalogsBuilder, SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, SqlInfo};
use proprio_tables::Catalog;

const CATALOG: &str = "proprio";
const SCHEMA: &str = "public";

type Answer = Result<RecordBatch, FlightError>;

/// What we are.
pub fn about() -> Result<SqlInfoData, FlightError> {
    let mut about = SqlInfoDataBuilder::new();
    about.append(SqlInfo::FlightSqlServerName, "proprio");
    about.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    about.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    about.append(SqlInfo::FlightSqlServerReadOnly, true);
    about.append(SqlInfo::FlightSqlServerSql, true);
    about.append(SqlInfo::FlightSqlServerSubstrait, false);
    about.append(SqlInfo::FlightSqlServerTransaction, 0i32);
    about.append(SqlInfo::FlightSqlServerCancel, true);
    about.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    about.build()
}

/// The one catalog.
pub fn catalogs() -> Answer {
    let mut catalogs = GetCatalogsBuilder::new();
    catalogs.append(CATALOG);
    catalogs.build()
}

/// The one schema, if it is asked for.
pub fn schemas(query: CommandGetDbSchemas) -> Answer {
    let mut schemas = query.into_builder();
    schemas.append(CATALOG, SCHEMA);
    schemas.build()
}

/// The tables that are asked for, and their views.
pub fn tables(query: CommandGetTables, catalog: &Catalog) -> Answer {
    let mut tables = query.into_builder();
    for name in catalog.names() {
        for (view, kind) in [("", "TABLE"), ("_all", "VIEW"), ("_latest", "VIEW")] {
            let name = format!("{name}{view}");
            if let Some(columns) = catalog.columns(&name) {
                tables.append(CATALOG, SCHEMA, name, kind, &columns)?;
            }
        }
    }
    tables.build()
}

/// What a table may be.
pub fn table_types(query: CommandGetTableTypes) -> Answer {
    let mut types = query.into_builder();
    ["TABLE", "VIEW"].into_iter().for_each(|kind| types.append(kind));
    types.build()
}

//! How does a line of SQL become an answer, and what is refused?

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use datafusion::execution::context::SQLOptions;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::stream::{StreamExt, TryStreamExt};
use proprio_core::schema::{FieldExt, meta, text};

use crate::catalog::{self, Answer, Catalog};
use crate::error::{TablesError, nearest};
use crate::schema;

const SHOW_TABLES: &str =
    "SELECT table_name, lower(table_type) AS kind FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name";

/// Parses, checks, plans and starts one statement.
pub(crate) async fn run(catalog: &Catalog, sql: &str) -> Result<Answer, TablesError> {
    let context = catalog.session();
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    if sql.trim().is_empty() {
        return Err(TablesError::Sql { message: "nothing was asked: give a statement, such as SHOW TABLES".to_owned() });
    }
    let mut statement = state.sql_to_statement(sql, &dialect)?;
    match allowed(&statement)? {
        Allowed::Describe(table) => return describe(catalog, &table),
        Allowed::ShowTables => statement = state.sql_to_statement(SHOW_TABLES, &dialect)?,
        Allowed::Query => {}
    }
    for reference in state.resolve_table_references(&statement)? {
        if reference.schema().is_none_or(|schema| schema == "public") && catalog.columns(reference.table()).is_none() {
            return Err(no_table(catalog, reference.table()));
        }
    }
    let plan = state.statement_to_plan(statement).await?;
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|_| TablesError::ReadOnly { statement: first_words(sql) })?;
    let batches = context.execute_logical_plan(plan).await?.execute_stream().await?;
    Ok(Answer { schema: batches.schema(), batches: batches.map_err(TablesError::from).boxed() })
}

enum Allowed {
    Query,
    ShowTables,
    Describe(String),
}

fn allowed(statement: &Statement) -> Result<Allowed, TablesError> {
    let refused = || Err(TablesError::ReadOnly { statement: first_words(&statement.to_string()) });
    let Statement::Statement(inner) = statement else {
        return match statement {
            Statement::Explain(explain) => allowed(&explain.statement).map(|_| Allowed::Query),
            _ => refused(),
        };
    };
    match inner.as_ref() {
        ast::Statement::ExplainTable { table_name, .. } => {
            let last = table_name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone());
            last.map_or_else(refused, |table| Ok(Allowed::Describe(table)))
        }
        ast::Statement::ShowTables { .. } => Ok(Allowed::ShowTables),
        ast::Statement::Query(_) | ast::Statement::Explain { .. } | ast::Statement::ShowColumns { .. } => Ok(Allowed::Query),
        _ => refused(),
    }
}

/// The columns of a table as rows: what a person asks first.
fn describe(catalog: &Catalog, table: &str) -> Result<Answer, TablesError> {
    let columns = catalog.columns(table).ok_or_else(|| no_table(catalog, table))?;
    let of = |value: &dyn Fn(&Field) -> Option<String>| -> ArrayRef {
        Arc::new(columns.fields().iter().map(|field| value(field)).collect::<StringArray>())
    };
    let mut fields = vec![text("column").required(), text("type").required()];
    let mut values = vec![of(&|field| Some(field.name().clone())), of(&|field| Some(schema::type_name(field.data_type())))];
    for key in [meta::UNIT, meta::FRAME, meta::SEGMENT, meta::SIDE, meta::SENSOR] {
        fields.push(text(key));
        values.push(of(&|field| field.meta(key).map(str::to_owned)));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), values).expect("a text for each column");
    Ok(Answer::of(batch))
}

fn no_table(catalog: &Catalog, name: &str) -> TablesError {
    let (base, suffix) = catalog::base_name(name);
    let nearest = nearest(base, catalog.names()).map(|found| found + suffix);
    TablesError::NoTable { name: name.to_owned(), nearest }
}

fn first_words(sql: &str) -> String {
    sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

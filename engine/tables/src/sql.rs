//! How does a line of SQL become an answer, and what is refused?

mod as_of;
mod duration;
mod functions;
mod parse;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::stream::{StreamExt, TryStreamExt};
use proprio_core::schema::{FieldExt, meta, text};

use crate::catalog::{self, Answer, Catalog};
use crate::error::{TablesError, nearest};
use crate::{live, schema};
use as_of::{AsOfQueryPlanner, AsOfRelationPlanner, PushFilterBelowAsOf};

pub(crate) use as_of::AsOfJoin;
pub use functions::{Function, functions};
pub(crate) use parse::parse;

const SHOW_TABLES: &str =
    "SELECT table_name, lower(table_type) AS kind FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name";

/// One read-only statement, parsed, checked and planned over a pinned catalog. Whoever answers it again, with the rows of then,
/// prepares it again.
#[derive(Clone)]
pub struct Prepared {
    context: SessionContext,
    plan: Planned,
}

#[derive(Clone, Debug)]
enum Planned {
    /// Known without running anything.
    Answered(RecordBatch),
    Query(Box<LogicalPlan>),
}

impl Prepared {
    /// The columns of its answer.
    pub fn schema(&self) -> SchemaRef {
        match &self.plan {
            Planned::Answered(batch) => batch.schema(),
            Planned::Query(plan) => Arc::new(plan.schema().as_arrow().clone()),
        }
    }

    /// What stands for `$1`, `$2`, … by name, with its type where the plan tells it.
    ///
    /// # Errors
    /// One parameter that would need two types.
    pub fn parameters(&self) -> Result<BTreeMap<String, Option<DataType>>, TablesError> {
        match &self.plan {
            Planned::Answered(_) => Ok(BTreeMap::new()),
            Planned::Query(plan) => Ok(plan.get_parameter_types()?.into_iter().collect()),
        }
    }

    /// Its plan; `None` for a statement that is answered without one.
    pub(crate) fn into_plan(self) -> Option<LogicalPlan> {
        match self.plan {
            Planned::Answered(_) => None,
            Planned::Query(plan) => Some(*plan),
        }
    }

    /// The statement with the values of its parameters, which settle the columns of its answer.
    ///
    /// # Errors
    /// When one is missing, or of a type that doesn't fit.
    pub fn bound(self, parameters: impl Into<ParamValues>) -> Result<Self, TablesError> {
        let plan = match self.plan {
            Planned::Answered(batch) => Planned::Answered(batch),
            Planned::Query(plan) => Planned::Query(Box::new(plan.with_param_values(parameters)?)),
        };
        Ok(Self { plan, ..self })
    }

    /// Starts it, with the values of its parameters.
    ///
    /// # Errors
    /// [`TablesError`], one line.
    pub async fn start(self, parameters: impl Into<ParamValues>) -> Result<Answer, TablesError> {
        let plan = match self.plan {
            Planned::Answered(batch) => return Ok(Answer::of(batch)),
            Planned::Query(plan) => plan.with_param_values(parameters)?,
        };
        let planned = self.context.execute_logical_plan(plan).await?.create_physical_plan().await?;
        let batches = execute_stream(yielding(planned)?, self.context.task_ctx())?;
        Ok(Answer { schema: batches.schema(), batches: batches.map_err(TablesError::from).boxed() })
    }
}

/// What a session needs to answer the questions of this field.
pub(crate) fn extended(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.scalar_functions().get_or_insert_default().extend(functions::scalars());
    builder.aggregate_functions().get_or_insert_default().extend(functions::aggregates());
    builder
        .with_relation_planners(vec![Arc::new(AsOfRelationPlanner)])
        .with_optimizer_rules(optimizer_rules())
        .with_query_planner(Arc::new(AsOfQueryPlanner))
}

/// DataFusion's rules; after its own has brought filters down to an as-of join, ours brings them below it.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let at = rules.iter().position(|rule| rule.name() == "push_down_filter").map_or(rules.len(), |at| at + 1);
    rules.insert(at, Arc::new(PushFilterBelowAsOf));
    rules
}

/// The plan with a pause above each join: one that multiplies rows could otherwise not be stopped, since it may take hours until it
/// asks its inputs again.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, TablesError> {
    let paused = plan.transform_up(|node| {
        let joins = node.children().len() > 1 && node.name().ends_with("JoinExec");
        Ok(if joins { Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>) } else { Transformed::no(node) })
    });
    Ok(paused?.data)
}

/// Parses, checks and plans one statement.
pub(crate) async fn prepare(catalog: &Catalog, context: SessionContext, sql: &str) -> Result<Prepared, TablesError> {
    let state = context.state();
    if sql.trim().is_empty() {
        return Err(TablesError::Sql { message: "nothing was asked: give a statement, such as SHOW TABLES".to_owned() });
    }
    if live::is_subscription(sql) {
        return Err(TablesError::Endless);
    }
    let mut statement = parse(&state, sql)?;
    if catalog.hides && is_explain(&statement) {
        // A plan names files and counts rows of every session.
        return Err(TablesError::Sql { message: "EXPLAIN tells of all sessions, and you may see some alone; ask without it".to_owned() });
    }
    match allowed(&statement)? {
        Allowed::Describe(table) => return Ok(Prepared { context, plan: Planned::Answered(describe(catalog, &table)?) }),
        Allowed::ShowTables => statement = parse(&state, SHOW_TABLES)?,
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
    Ok(Prepared { context, plan: Planned::Query(Box::new(plan)) })
}

fn is_explain(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(_) => true,
        Statement::Statement(inner) => matches!(inner.as_ref(), ast::Statement::Explain { .. }),
        _ => false,
    }
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
        ast::Statement::Query(_)
        | ast::Statement::Explain { .. }
        | ast::Statement::ShowColumns { .. }
        | ast::Statement::ShowFunctions { .. } => Ok(Allowed::Query),
        _ => refused(),
    }
}

/// The columns of a table as rows: what a person asks first.
fn describe(catalog: &Catalog, table: &str) -> Result<RecordBatch, TablesError> {
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
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), values).expect("a text for each column"))
}

fn no_table(catalog: &Catalog, name: &str) -> TablesError {
    let (base, suffix) = catalog::base_name(name);
    let nearest = nearest(base, catalog.names()).map(|found| found + suffix);
    TablesError::NoTable { name: name.to_owned(), nearest }
}

fn first_words(sql: &str) -> String {
    sql.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

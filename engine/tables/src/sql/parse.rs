//! How is a line of SQL read, alike at every door?
//!
//! DataFusion's planner refuses `a ASOF JOIN b …` before a `RelationPlanner` sees it, but hands it a join in parentheses. So each
//! as-of join is put into parentheses of its own, with all that stands to the left of it.

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{JoinOperator, Select, TableFactor, TableWithJoins, VisitMut, VisitorMut};

use crate::error::TablesError;

/// One statement, as the planner takes it.
///
/// # Errors
/// A text that is no statement, or more than one.
pub(crate) fn parse(state: &SessionState, sql: &str) -> Result<Statement, TablesError> {
    let dialect = state.config().options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(sql, &dialect)?;
    wrap(&mut statement);
    Ok(statement)
}

fn wrap(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => {
            let ControlFlow::Continue(()) = statement.visit(&mut Wrap);
        }
        Statement::Explain(explain) => wrap(&mut explain.statement),
        _ => {}
    }
}

struct Wrap;

impl VisitorMut for Wrap {
    type Break = std::convert::Infallible;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        for table in std::mem::take(&mut select.from) {
            select.from.push(wrapped(table));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor
            && table_with_joins.joins.len() > 1
        {
            **table_with_joins = wrapped(table_with_joins.as_ref().clone());
        }
        ControlFlow::Continue(())
    }
}

/// `a JOIN b … ASOF JOIN c … JOIN d …` as `((a JOIN b …) ASOF JOIN c …) JOIN d …`.
fn wrapped(table: TableWithJoins) -> TableWithJoins {
    let mut wrapped = TableWithJoins { relation: table.relation, joins: Vec::new() };
    for join in table.joins {
        let is_as_of = matches!(join.join_operator, JoinOperator::AsOf { .. });
        if is_as_of && !wrapped.joins.is_empty() {
            wrapped = TableWithJoins { relation: in_parentheses(wrapped), joins: Vec::new() };
        }
        wrapped.joins.push(join);
        if is_as_of {
            wrapped = TableWithJoins { relation: in_parentheses(wrapped), joins: Vec::new() };
        }
    }
    wrapped
}

fn in_parentheses(table: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(table), alias: None }
}

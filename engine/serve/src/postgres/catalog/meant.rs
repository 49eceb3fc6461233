//! What is meant by statements that DataFusion would not plan as they stand, or would answer in Arrow's words?

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, Ident, ObjectName, Query, SetExpr, Statement, TableAlias, TableFactor, Value, VisitMut as _, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::functions::{TYPE_NAME, UDT_NAME, ours};

/// A statement of a client that looks around, as it can be planned; as it stands when nothing has to be changed.
pub fn meant(sql: &str) -> String {
    let lower = sql.to_lowercase();
    let mut change = Meant {
        // What the parser after this knows as a whole stays whole.
        arrays: lower.contains("array(") && !lower.contains("pg_policy"),
        functions: lower.contains("pg_get_function_result"),
    };
    let asks_who = lower.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).any(|word| word == "user");
    if !change.arrays && !change.functions && !asks_who && !lower.contains("information_schema.columns") && !lower.contains(SEARCH_PATH) {
        return sql.to_owned();
    }
    let Ok(mut statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else { return sql.to_owned() };
    for statement in &mut statements {
        let ControlFlow::Continue(()) = statement.visit(&mut change);
    }
    statements.iter().map(Statement::to_string).collect::<Vec<_>>().join("; ")
}

/// How a client asks which schemas are looked through: Grafana takes the answer apart with set-returning functions.
const SEARCH_PATH: &str = "current_setting('search_path')";

struct Meant {
    /// Whether arrays are made of queries: of roles within roles and options of tables, of which there are none.
    arrays: bool,
    /// Whether functions are listed.
    functions: bool,
}

impl VisitorMut for Meant {
    type Break = std::convert::Infallible;

    /// `x IN (SELECT … current_setting('search_path') …)` is `x IN ('public')`: no other schema is looked through here.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::InSubquery { expr: sought, subquery, negated } = expr
            && subquery.to_string().to_lowercase().contains(SEARCH_PATH)
        {
            let public = Expr::value(Value::SingleQuotedString("public".to_owned()));
            *expr = Expr::InList { expr: sought.clone(), list: vec![public], negated: *negated };
        }
        if let Expr::Function(function) = expr {
            match function.name.to_string().to_lowercase().as_str() {
                "user" if matches!(function.args, FunctionArguments::None) => {
                    function.name = ObjectName::from(vec![Ident::new("session_user")]);
                }
                _ if !self.arrays => {}
                "array" if matches!(function.args, FunctionArguments::Subquery(_)) => {
                    *expr = Expr::value(Value::SingleQuotedString("{}".to_owned()));
                }
                "array_to_string" | "pg_catalog.array_to_string" if function.to_string().to_lowercase().contains("array(select") => {
                    *expr = Expr::value(Value::Null);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    /// Tables that are not quite as PostgreSQL's.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, alias, .. } = factor {
            let other = match name.to_string().to_lowercase().as_str() {
                "information_schema.columns" => columns(),
                "pg_catalog.pg_proc" if self.functions => functions(),
                _ => return ControlFlow::Continue(()),
            };
            if let Some(other) = derived(&other, alias.clone()) {
                *factor = other;
            }
        }
        ControlFlow::Continue(())
    }
}

/// `information_schema.columns` with types in PostgreSQL's words.
fn columns() -> String {
    format!(
        "SELECT table_catalog, table_schema, table_name, column_name, ordinal_position, column_default, is_nullable, \
         {TYPE_NAME}(data_type) AS data_type, character_maximum_length, character_octet_length, numeric_precision, \
         numeric_precision_radix, numeric_scale, datetime_precision, interval_type, {UDT_NAME}(data_type) AS udt_name \
         FROM information_schema.columns"
    )
}

/// The functions of this field as `pg_proc`; PostgreSQL's own, which it lists beside them, are no news.
fn functions() -> String {
    let rows: Vec<String> = ours().map(|function| format!("({}, '{}', '{}')", function.number, function.name, function.kind)).collect();
    format!(
        "SELECT v.column1 AS oid, v.column2 AS proname, n.oid AS pronamespace, v.column3 AS prokind \
         FROM (VALUES {}) AS v CROSS JOIN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'public') AS n",
        rows.join(", ")
    )
}

/// A query in place of a table.
fn derived(sql: &str, alias: Option<TableAlias>) -> Option<TableFactor> {
    let statement = Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT * FROM ({sql}) AS columns")).ok()?.pop()?;
    let Statement::Query(query) = statement else { return None };
    let Query { body, .. } = *query;
    let SetExpr::Select(mut select) = *body else { return None };
    let mut derived = select.from.pop()?.relation;
    if let (TableFactor::Derived { alias: own, .. }, Some(given)) = (&mut derived, alias) {
        *own = Some(given);
    }
    Some(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_not_be_understood_is_changed() {
        assert_eq!(meant("SELECT  1 -- as it is"), "SELECT  1 -- as it is");
        let path = "SELECT 1 WHERE quote_ident(a) IN (SELECT trim(s[i]) FROM string_to_array(current_setting('search_path'),',') s)";
        assert_eq!(meant(path), "SELECT 1 WHERE quote_ident(a) IN ('public')");
        let named = meant("SELECT c.data_type FROM information_schema.columns c WHERE c.table_name = 'imu'");
        assert!(
            named.contains("pg_type_name(data_type) AS data_type") && named.contains(") AS c WHERE") || named.contains(") c WHERE"),
            "{named}"
        );
        assert!(meant("SELECT * FROM information_schema.columns").ends_with("AS columns"));
        assert_eq!(meant("SELECT FROM WHERE current_setting('search_path')("), "SELECT FROM WHERE current_setting('search_path')(");
    }
}

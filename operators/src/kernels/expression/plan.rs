//! From SQL text to a typed tree over column indices, with everything that is wrong with it.

use arrow_schema::{DataType, SchemaRef};
use sqlparser::ast::{
    BinaryOperator, Expr, Function as SqlFunction, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{Arithmetic, Comparison, Expression, ExpressionError, Function, MAX_LENGTH, Node, Type};
use crate::kernels::names::suggest;

const FUNCTIONS: [(&str, Function); 5] = [
    ("abs", Function::Abs),
    ("sqrt", Function::Sqrt),
    ("least", Function::Least),
    ("greatest", Function::Greatest),
    ("coalesce", Function::Coalesce),
];

impl Expression {
    /// Plans `text` over the columns of `schema`.
    ///
    /// # Errors
    /// Everything that is wrong: the syntax (then it is the only error), unknown columns and functions, types that don't fit.
    pub fn plan(text: &str, schema: &SchemaRef) -> Result<Self, Vec<ExpressionError>> {
        let parsed = parse(text).map_err(|error| vec![error])?;
        let mut planner = Planner { schema, errors: Vec::new() };
        match planner.node(&parsed) {
            Some((root, kind)) if planner.errors.is_empty() => Ok(Self { root, kind }),
            _ => Err(planner.errors),
        }
    }

    /// Plans `text` as a condition.
    ///
    /// # Errors
    /// As [`Expression::plan`], and when it gives something else than true or false.
    pub fn condition(text: &str, schema: &SchemaRef) -> Result<Self, Vec<ExpressionError>> {
        let planned = Self::plan(text, schema)?;
        if planned.kind == Type::Boolean {
            return Ok(planned);
        }
        let message = format!("`{text}` gives {}, not true or false", planned.kind.described());
        Err(vec![ExpressionError { message, help: Some("compare it with something, such as `… > 5`".into()) }])
    }
}

impl Expression {
    /// Plans `text` as a number.
    ///
    /// # Errors
    /// As [`Expression::plan`], and when it gives something else than a number.
    pub fn number(text: &str, schema: &SchemaRef) -> Result<Self, Vec<ExpressionError>> {
        let planned = Self::plan(text, schema)?;
        if planned.kind == Type::Number {
            return Ok(planned);
        }
        let message = format!("`{text}` gives {}, not a number", planned.kind.described());
        Err(vec![ExpressionError { message, help: Some("name a column of numbers, or compute with some".into()) }])
    }
}

fn parse(text: &str) -> Result<Expr, ExpressionError> {
    let refuse = |message: String, help: Option<&str>| ExpressionError { message, help: help.map(str::to_owned) };
    if text.len() > MAX_LENGTH {
        return Err(refuse(format!("the expression has {} bytes; at most {MAX_LENGTH} are read", text.len()), None));
    }
    let syntax = |error: sqlparser::parser::ParserError| {
        let message = error.to_string();
        let message = message.trim_start_matches("sql parser error: ").to_owned();
        refuse(format!("`{text}` is no SQL expression: {message}"), None)
    };
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(syntax)?;
    let parsed = parser.parse_expr().map_err(syntax)?;
    match parser.peek_token().token {
        Token::EOF => Ok(parsed),
        Token::Eq | Token::Assignment | Token::DoubleEq => {
            Err(refuse(format!("`{text}` is no SQL expression"), Some("SQL compares with a single `=`")))
        }
        rest => Err(refuse(format!("`{text}` is no SQL expression: nothing may stand at `{rest}`"), None)),
    }
}

struct Planner<'a> {
    schema: &'a SchemaRef,
    errors: Vec<ExpressionError>,
}

type Typed = Option<(Node, Type)>;

impl Planner<'_> {
    /// Plans one node; `None` once an error has been noted.
    fn node(&mut self, expression: &Expr) -> Typed {
        match expression {
            Expr::Nested(inner) => self.node(inner),
            Expr::Identifier(name) => self.column(&name.value),
            Expr::Value(value) => self.literal(&value.value),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Some((Node::Not(self.typed(expr, Type::Boolean)?), Type::Boolean)),
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => Some((*self.typed(expr, Type::Number)?, Type::Number)),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match *self.typed(expr, Type::Number)? {
                Node::Number(value) => Some((Node::Number(-value), Type::Number)),
                operand => Some((Node::Negate(Box::new(operand)), Type::Number)),
            },
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, expression),
            Expr::Between { expr, negated, low, high } => {
                let above = self.compare(expr, Comparison::GreaterOrEqual, low);
                let below = self.compare(expr, Comparison::LessOrEqual, high);
                Some((negate_if(*negated, Node::And(Box::new(above?), Box::new(below?))), Type::Boolean))
            }
            Expr::InList { expr, list, negated } => {
                let equal: Vec<Option<Node>> = list.iter().map(|value| self.compare(expr, Comparison::Equal, value)).collect();
                let any = equal.into_iter().collect::<Option<Vec<_>>>()?.into_iter().reduce(|a, b| Node::Or(Box::new(a), Box::new(b)))?;
                Some((negate_if(*negated, any), Type::Boolean))
            }
            Expr::IsNull(inner) => Some((Node::IsNull(Box::new(self.node(inner)?.0)), Type::Boolean)),
            Expr::IsNotNull(inner) => Some((negate_if(true, Node::IsNull(Box::new(self.node(inner)?.0))), Type::Boolean)),
            Expr::IsTrue(inner) => self.is(inner, true, false),
            Expr::IsNotTrue(inner) => self.is(inner, true, true),
            Expr::IsFalse(inner) => self.is(inner, false, false),
            Expr::IsNotFalse(inner) => self.is(inner, false, true),
            Expr::Function(function) => self.call(function),
            Expr::Case { operand: None, conditions, else_result, .. } => {
                let branches: Vec<_> =
                    conditions.iter().map(|when| (self.typed(&when.condition, Type::Boolean), self.node(&when.result))).collect();
                let otherwise = else_result.as_ref().map(|result| self.node(result));
                self.case(branches, otherwise, expression)
            }
            other => self.refuse(format!("`{other}` can't be used here"), Some(manual())),
        }
    }

    fn refuse<T>(&mut self, message: String, help: Option<String>) -> Option<T> {
        self.errors.push(ExpressionError { message, help });
        None
    }

    fn column(&mut self, name: &str) -> Typed {
        let Some((index, field)) = self.schema.column_with_name(name) else {
            let names = self.schema.fields().iter().map(|field| field.name().as_str());
            let help = suggest(name, names.collect::<Vec<_>>());
            return self.refuse(format!("there is no column `{name}`"), help);
        };
        let kind = match field.data_type() {
            DataType::Utf8 => Type::Text,
            DataType::Boolean => Type::Boolean,
            kind if kind.is_integer() || matches!(kind, DataType::Float32 | DataType::Float64) => Type::Number,
            other => return self.refuse(format!("column `{name}` is of type {other}, which expressions don't read"), None),
        };
        Some((Node::Column(index, kind), kind))
    }

    fn literal(&mut self, value: &Value) -> Typed {
        match value {
            Value::Number(number, _) => match number.to_string().parse::<f64>() {
                Ok(number) if number.is_finite() => Some((Node::Number(number), Type::Number)),
                _ => self.refuse(format!("`{number}` is no number"), None),
            },
            Value::SingleQuotedString(text) => Some((Node::Text(text.clone()), Type::Text)),
            Value::Boolean(value) => Some((Node::Boolean(*value), Type::Boolean)),
            // An untyped null: a comparison with it is null, whatever its type, so a number does.
            Value::Null => Some((Node::Null(Type::Number), Type::Number)),
            other => self.refuse(format!("`{other}` can't be used here"), Some("write numbers as `5`, texts as `'left'`".into())),
        }
    }

    fn binary(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr, whole: &Expr) -> Typed {
        let arithmetic = |operator| (operator, Type::Number);
        let (operator, kind) = match operator {
            BinaryOperator::And | BinaryOperator::Or => {
                let (a, b) = (self.typed(left, Type::Boolean), self.typed(right, Type::Boolean));
                let (a, b) = (a?, b?);
                let node = if matches!(operator, BinaryOperator::And) { Node::And(a, b) } else { Node::Or(a, b) };
                return Some((node, Type::Boolean));
            }
            BinaryOperator::Plus => arithmetic(Arithmetic::Add),
            BinaryOperator::Minus => arithmetic(Arithmetic::Subtract),
            BinaryOperator::Multiply => arithmetic(Arithmetic::Multiply),
            BinaryOperator::Divide => arithmetic(Arithmetic::Divide),
            BinaryOperator::Modulo => arithmetic(Arithmetic::Remainder),
            BinaryOperator::Eq => return Some((self.compare(left, Comparison::Equal, right)?, Type::Boolean)),
            BinaryOperator::NotEq => return Some((self.compare(left, Comparison::NotEqual, right)?, Type::Boolean)),
            BinaryOperator::Lt => return Some((self.compare(left, Comparison::Less, right)?, Type::Boolean)),
            BinaryOperator::LtEq => return Some((self.compare(left, Comparison::LessOrEqual, right)?, Type::Boolean)),
            BinaryOperator::Gt => return Some((self.compare(left, Comparison::Greater, right)?, Type::Boolean)),
            BinaryOperator::GtEq => return Some((self.compare(left, Comparison::GreaterOrEqual, right)?, Type::Boolean)),
            other => return self.refuse(format!("`{other}` in `{whole}` is no operator that is known here"), Some(manual())),
        };
        let (a, b) = (self.typed(left, kind), self.typed(right, kind));
        Some((Node::Arithmetic(operator, a?, b?), kind))
    }

    /// Both sides are planned, so that the mistakes of both are told.
    fn compare(&mut self, left: &Expr, comparison: Comparison, right: &Expr) -> Option<Node> {
        let (a, b) = (self.node(left), self.node(right));
        let ((mut a, mut a_kind), (mut b, mut b_kind)) = (a?, b?);
        retype_null(&mut a, &mut a_kind, b_kind);
        retype_null(&mut b, &mut b_kind, a_kind);
        if a_kind != b_kind {
            let message = format!("`{left}` is {} and `{right}` is {}: they can't be compared", a_kind.described(), b_kind.described());
            return self.refuse(message, None);
        }
        Some(Node::Compare(comparison, Box::new(a), Box::new(b)))
    }

    /// A node that must be of one type.
    fn typed(&mut self, expression: &Expr, kind: Type) -> Option<Box<Node>> {
        let (mut node, mut is) = self.node(expression)?;
        retype_null(&mut node, &mut is, kind);
        if is != kind {
            return self.refuse(format!("`{expression}` is {}, where {} is due", is.described(), kind.described()), None);
        }
        Some(Box::new(node))
    }

    /// `is [not] true|false`, which is never null.
    fn is(&mut self, inner: &Expr, wanted: bool, negated: bool) -> Typed {
        let operand = self.typed(inner, Type::Boolean)?;
        let wanted_value = negate_if(!wanted, *operand);
        let is = Node::Call(Function::Coalesce, vec![wanted_value, Node::Boolean(false)]);
        Some((negate_if(negated, is), Type::Boolean))
    }

    fn call(&mut self, call: &SqlFunction) -> Typed {
        let name = call.name.to_string().to_ascii_lowercase();
        let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let help = suggest(&name, FUNCTIONS.map(|(known, _)| known));
            return self.refuse(format!("there is no function `{name}`"), help);
        };
        let FunctionArguments::List(list) = &call.args else {
            return self.refuse(format!("`{call}` lacks its arguments"), None);
        };
        let plain = call.over.is_none() && call.filter.is_none() && list.duplicate_treatment.is_none() && list.clauses.is_empty();
        let arguments: Option<Vec<&Expr>> = list.args.iter().map(argument).collect();
        let Some(arguments) = arguments.filter(|_| plain) else {
            return self.refuse(format!("`{call}` can't be used here: `{name}` takes plain arguments"), None);
        };
        let takes_one = matches!(function, Function::Abs | Function::Sqrt);
        if arguments.is_empty() || takes_one && arguments.len() != 1 {
            let due = if takes_one { "one argument" } else { "one argument or more" };
            return self.refuse(format!("`{name}` takes {due}, not {}", arguments.len()), None);
        }
        if *function != Function::Coalesce {
            let planned: Vec<_> = arguments.into_iter().map(|argument| self.typed(argument, Type::Number).map(|node| *node)).collect();
            return Some((Node::Call(*function, planned.into_iter().collect::<Option<_>>()?), Type::Number));
        }
        let planned: Vec<Typed> = arguments.into_iter().map(|argument| self.node(argument)).collect();
        let (nodes, kind) = self.one_type(planned.into_iter().collect::<Option<_>>()?, &call.to_string())?;
        Some((Node::Call(Function::Coalesce, nodes), kind))
    }

    fn case(&mut self, branches: Vec<(Option<Box<Node>>, Typed)>, otherwise: Option<Typed>, whole: &Expr) -> Typed {
        let (conditions, results): (Vec<_>, Vec<_>) = branches.into_iter().unzip();
        let conditions = conditions.into_iter().collect::<Option<Vec<_>>>()?;
        let last = otherwise.unwrap_or(Some((Node::Null(Type::Number), Type::Number)));
        let results = results.into_iter().chain([last]).collect::<Option<Vec<_>>>()?;
        let (mut results, kind) = self.one_type(results, &whole.to_string())?;
        let otherwise = results.pop()?;
        let branches = conditions.into_iter().map(|condition| *condition).zip(results).collect();
        Some((Node::Case(branches, Box::new(otherwise)), kind))
    }

    /// Gives untyped nulls the type of the others, and refuses a mixture.
    fn one_type(&mut self, mut nodes: Vec<(Node, Type)>, whole: &str) -> Option<(Vec<Node>, Type)> {
        let known = nodes.iter().find(|(node, _)| !matches!(node, Node::Null(_)));
        let kind = known.map_or(Type::Number, |(_, kind)| *kind);
        for (node, is) in &mut nodes {
            retype_null(node, is, kind);
        }
        if nodes.iter().any(|(_, is)| *is != kind) {
            return self.refuse(format!("`{whole}` mixes numbers, texts and conditions"), None);
        }
        Some((nodes.into_iter().map(|(node, _)| node).collect(), kind))
    }
}

fn retype_null(node: &mut Node, is: &mut Type, due: Type) {
    if let Node::Null(kind) = node {
        *kind = due;
        *is = due;
    }
}

fn negate_if(negated: bool, node: Node) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    }
}

fn manual() -> String {
    "there are comparisons, + - * / %, and, or, not, between, in, is null, case and the functions abs, sqrt, least, greatest, coalesce"
        .to_owned()
}

impl Type {
    fn described(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Boolean => "a condition",
        }
    }
}

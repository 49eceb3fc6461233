//! Which functions of PostgreSQL do clients call when they look around, beside those that `datafusion-postgres` knows?

use std::collections::BTreeMap;

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use datafusion::common::{DataFusionError, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility};
use datafusion::prelude::SessionContext;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use pgwire::api::Type;

/// The function that gives the SQL name of a type, as `information_schema` has it.
pub const TYPE_NAME: &str = "pg_type_name";
/// The function that gives PostgreSQL's own name of a type.
pub const UDT_NAME: &str = "pg_udt_name";
/// The number of our first function; PostgreSQL's own have smaller ones.
const FIRST: i32 = 90_000;

/// What a connection knows of itself.
#[derive(Clone, Debug)]
pub struct Own {
    /// Who has logged in.
    pub user: String,
    /// What is set.
    pub settings: BTreeMap<String, String>,
}

/// Makes the functions known, of a connection.
pub fn register(context: &SessionContext, Own { user, settings }: Own) {
    let texts = vec![TypeSignature::Exact(vec![DataType::Utf8]), TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean])];
    let [nullary, one_text, one_number, two, any] = [
        TypeSignature::Nullary,
        TypeSignature::Exact(vec![DataType::Utf8]),
        TypeSignature::Exact(vec![DataType::Int64]),
        TypeSignature::Any(2),
        TypeSignature::Any(1),
    ]
    .map(|form| Signature::new(form, Volatility::Stable));
    let arguments = ours().map(|function| (function.number, function.arguments)).collect::<BTreeMap<_, _>>();
    let functions = [
        ("version", nullary.clone(), What::Text(version(&settings))),
        ("session_user", nullary.clone(), What::Text(user)),
        ("pg_is_in_recovery", nullary.clone(), What::Holds(false)),
        ("inet_server_addr", nullary, What::Nothing),
        ("to_regtype", one_text.clone(), What::TypeNumber),
        ("current_setting", Signature::one_of(texts, Volatility::Stable), What::Setting(settings)),
        (TYPE_NAME, one_text.clone(), What::TypeName),
        (UDT_NAME, one_text, What::UdtName),
        ("pg_function_is_visible", any.clone(), What::Holds(true)),
        ("pg_type_is_visible", any.clone(), What::Holds(true)),
        ("obj_description", two.clone(), What::Nothing),
        ("col_description", two.clone(), What::Nothing),
        ("shobj_description", two, What::Nothing),
        ("pg_table_size", any.clone(), What::NoNumber),
        ("pg_tablespace_location", any.clone(), What::Nothing),
        ("pg_get_function_result", any, What::Nothing),
        ("pg_get_function_arguments", one_number.clone(), What::Arguments(arguments)),
        ("pg_size_pretty", one_number, What::Size),
    ];
    functions.into_iter().for_each(|(name, signature, what)| context.register_udf(ScalarUDF::from(Function { name, signature, what })));
}

/// Clients read PostgreSQL's version out of it.
fn version(settings: &BTreeMap<String, String>) -> String {
    let postgres = settings.get("server_version").map_or("", String::as_str);
    format!("PostgreSQL {postgres} (proprio {})", env!("CARGO_PKG_VERSION"))
}

/// A function of this field's, as `pg_proc` has it.
pub struct Ours {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// `a` for one over groups, else `f`.
    pub kind: char,
    arguments: String,
}

/// The functions of this field.
pub fn ours() -> impl Iterator<Item = Ours> {
    let of = |(number, function): (i64, proprio_tables::Function)| {
        let arguments = function.syntax.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(within, _)| within);
        Ours { number, arguments: arguments.to_owned(), kind: if function.is_aggregate { 'a' } else { 'f' }, name: function.name }
    };
    (i64::from(FIRST)..).zip(proprio_tables::functions()).map(of)
}

/// A function of at most one value, and of one more that says how.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    signature: Signature,
    what: What,
}

/// What a function gives.
#[derive(Debug, PartialEq, Eq, Hash)]
enum What {
    /// A setting's value; an error where there is none, unless it may be missing.
    Setting(BTreeMap<String, String>),
    TypeName,
    UdtName,
    /// A type's number, by its name.
    TypeNumber,
    /// Always the same.
    Text(String),
    /// Whether something is so, which is always the same.
    Holds(bool),
    /// What a function takes, by its number.
    Arguments(BTreeMap<i64, String>),
    /// Bytes for people.
    Size,
    /// Null: there is no such thing here.
    Nothing,
    /// The same, of a number.
    NoNumber,
}

impl What {
    fn of(&self, value: &ScalarValue, may_miss: bool) -> Result<ScalarValue, DataFusionError> {
        let text = value.try_as_str().flatten();
        let number = if let ScalarValue::Int64(number) = value { *number } else { None };
        Ok(ScalarValue::Utf8(match self {
            Self::Holds(holds) => return Ok(ScalarValue::Boolean(Some(*holds))),
            Self::TypeNumber => return Ok(ScalarValue::Int32(text.and_then(type_number))),
            Self::NoNumber => return Ok(ScalarValue::Int64(None)),
            Self::Text(text) => Some(text.clone()),
            Self::Nothing => None,
            Self::TypeName => text.map(|text| type_names(text).0),
            Self::UdtName => text.map(|text| type_names(text).1),
            Self::Arguments(known) => number.and_then(|number| known.get(&number).cloned()),
            Self::Size => number.map(pretty),
            Self::Setting(settings) => match text.map(|name| (name, settings.get(&name.to_lowercase()))) {
                Some((name, None)) if !may_miss => return exec_err!("there is no setting \"{name}\" here"),
                found => found.and_then(|(_, value)| value.cloned()),
            },
        }))
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(match self.what {
            What::Holds(_) => DataType::Boolean,
            What::TypeNumber => DataType::Int32,
            What::NoNumber => DataType::Int64,
            _ => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let may_miss = matches!(args.args.get(1), Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))));
        match args.args.first().unwrap_or(&ColumnarValue::Scalar(ScalarValue::Null)) {
            ColumnarValue::Scalar(value) => Ok(ColumnarValue::Scalar(self.what.of(value, may_miss)?)),
            ColumnarValue::Array(values) if values.is_empty() => Ok(ColumnarValue::Array(arrow_array::new_empty_array(args.return_type()))),
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(self.of_each(values, may_miss)?)),
        }
    }
}

impl Function {
    fn of_each(&self, values: &ArrayRef, may_miss: bool) -> Result<ArrayRef, DataFusionError> {
        let given = (0..values.len()).map(|row| self.what.of(&ScalarValue::try_from_array(values, row)?, may_miss));
        ScalarValue::iter_to_array(given.collect::<Result<Vec<_>, _>>()?)
    }
}

/// Bytes as PostgreSQL writes them for people.
fn pretty(bytes: i64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut size, mut unit) = (bytes, 0);
    while size.abs() >= 10 * 1024 && unit + 1 < units.len() {
        (size, unit) = ((size + 512) / 1024, unit + 1);
    }
    format!("{size} {}", units[unit])
}

/// Of a type as Arrow writes it: its SQL name and PostgreSQL's own; as it stands when PostgreSQL has none.
fn type_names(arrow: &str) -> (String, String) {
    let known = arrow.parse::<DataType>().ok().and_then(|known| into_pg_type(&known).ok());
    let Some(known) = known else { return (arrow.to_owned(), arrow.to_owned()) };
    (sql_name(&known).to_owned(), known.name().to_owned())
}

/// PostgreSQL's number of a type.
fn type_number(name: &str) -> Option<i32> {
    let name = name.trim().to_lowercase();
    let is_meant = |known: &Type| known.name() == name || sql_name(known) == name;
    // Those that PostgreSQL comes with have smaller numbers than ten thousand.
    (1..10_000).filter_map(Type::from_oid).find(is_meant).and_then(|known| i32::try_from(known.oid()).ok())
}

/// The name of a type in standard SQL.
fn sql_name(known: &Type) -> &str {
    match known.name() {
        "bool" => "boolean",
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "varchar" => "character varying",
        "time" => "time without time zone",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        array if array.starts_with('_') => "ARRAY",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::TimeUnit;

    use super::*;

    #[test]
    fn the_types_of_our_columns_have_postgres_names() {
        for (arrow, sql, own) in [
            (DataType::Utf8, "text", "text"),
            (DataType::Int64, "bigint", "int8"),
            (DataType::Float64, "double precision", "float8"),
            (DataType::Boolean, "boolean", "bool"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp with time zone", "timestamptz"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "timestamp without time zone", "timestamp"),
            (DataType::new_list(DataType::Float64, true), "ARRAY", "_float8"),
        ] {
            assert_eq!(type_names(&arrow.to_string()), (sql.to_owned(), own.to_owned()), "{arrow}");
        }
    }

    #[test]
    fn types_are_found_by_either_name() {
        assert_eq!(["float8", "double precision", " Text ", "no_such_type"].map(type_number), [Some(701), Some(701), Some(25), None]);
        assert_eq!(version(&super::super::super::command::settings()), format!("PostgreSQL 16.6 (proprio {})", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn sizes_are_for_people_and_our_functions_say_what_they_take() {
        assert_eq!([0, 10_239, 10_240, 123_456_789].map(pretty), ["0 bytes", "10239 bytes", "10 kB", "118 MB"]);
        let rms = ours().find(|function| function.name == "rms").expect("it is one of ours");
        assert!(rms.kind == 'a' && !rms.arguments.is_empty() && rms.number >= FIRST.into(), "{}", rms.arguments);
    }
}

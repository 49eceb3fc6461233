//! Whether expressions mean what SQL says, and what a wrong one is told.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use proprio_core::rows;
use proprio_core::schema::{StreamSchema, column, float, text};

use super::*;

fn sample() -> RecordBatch {
    let fields = vec![float("x", "deg"), float("y", "deg"), text("side"), column("n", DataType::Int64), column("ok", DataType::Boolean)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![0, 1, 2, 3])),
        Arc::new(Float64Array::from(vec![Some(-6.0), Some(0.0), None, Some(4.0)])),
        Arc::new(Float64Array::from(vec![Some(2.0), Some(-0.0), Some(3.0), Some(f64::NAN)])),
        Arc::new(StringArray::from(vec![Some("left"), Some("right"), Some("left"), None])),
        Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)])),
    ];
    rows::batch(&StreamSchema::new(fields, &[], None), columns)
}

/// One letter a row: `t`, `f` or `-` for null.
fn holds(expression: &str) -> String {
    let batch = sample();
    let planned = Expression::condition(expression, &batch.schema()).unwrap_or_else(|errors| panic!("{expression}: {errors:?}"));
    let letter = |value: Option<bool>| value.map_or('-', |value| if value { 't' } else { 'f' });
    planned.holds(&batch).iter().map(letter).collect()
}

fn numbers(expression: &str) -> Vec<Option<f64>> {
    let batch = sample();
    let planned = Expression::plan(expression, &batch.schema()).unwrap_or_else(|errors| panic!("{expression}: {errors:?}"));
    assert_eq!(planned.kind(), Type::Number);
    planned.values(&batch).as_primitive::<Float64Type>().iter().collect()
}

fn wrong(expression: &str) -> Vec<String> {
    let said = |error: ExpressionError| format!("{}|{}", error.message, error.help.unwrap_or_default());
    Expression::condition(expression, &sample().schema()).expect_err(expression).into_iter().map(said).collect()
}

#[test]
fn conditions_follow_three_valued_logic() {
    for (expression, expected) in [
        ("abs(x) > 5", "tf-f"),
        ("x = 0", "ft-f"),
        ("y = 0", "ftf-"),
        ("y > 100", "fff-"),
        ("x > 0 or side = 'left'", "tftt"),
        ("x > 0 and side = 'left'", "ff--"),
        ("not x < 0", "ft-t"),
        ("x between -6 and 0", "tt-f"),
        ("x not between -6 and 0", "ff-t"),
        ("side in ('right', 'both')", "ftf-"),
        ("n in (1, 3)", "tft-"),
        ("n not in (1, 3)", "ftf-"),
        ("x is null", "fftf"),
        ("x is not null and ok", "tfft"),
        ("x = null", "----"),
        ("side <> null", "----"),
        ("ok is true", "tfft"),
        ("ok is not true", "fttf"),
        ("ok is false", "ftff"),
        ("case when side = 'left' then x < 0 else ok end", "tf-t"),
        ("case when x > 0 then true end", "---t"),
        ("1 < 2", "tttt"),
        ("n % 2 = 1", "tft-"),
        ("\"x\" >= 4.0e0", "ff-t"),
    ] {
        assert_eq!(holds(expression), expected, "{expression}");
    }
}

#[test]
fn arithmetic_gives_null_for_what_is_no_number() {
    assert_eq!(numbers("x + 2 * -y"), [Some(-10.0), Some(0.0), None, None]);
    assert_eq!(numbers("n / x"), [Some(1.0 / -6.0), None, None, None]);
    assert_eq!(numbers("sqrt(x)"), [None, Some(0.0), None, Some(2.0)]);
    assert_eq!(numbers("least(x, y, 1)"), [Some(-6.0), Some(0.0), Some(1.0), Some(1.0)]);
    assert_eq!(numbers("greatest(x, n)"), [Some(1.0), Some(2.0), Some(3.0), Some(4.0)]);
    assert_eq!(numbers("coalesce(x, null, n)"), [Some(-6.0), Some(0.0), Some(3.0), Some(4.0)]);
    assert_eq!(numbers("case when x is null then -1 else abs(x) end"), [Some(6.0), Some(0.0), Some(-1.0), Some(4.0)]);
}

#[test]
fn an_empty_batch_gives_an_empty_column() {
    let batch = sample().slice(0, 0);
    for expression in ["abs(x) > 5", "1 < 2", "x is null or side in ('left')", "coalesce(ok, false)"] {
        assert_eq!(Expression::condition(expression, &batch.schema()).expect("a condition").holds(&batch).len(), 0);
    }
}

#[test]
fn everything_wrong_is_told_at_once_with_the_way_out() {
    assert_eq!(wrong("abs(xx) > 5 and sidd = 'left'")[1], "there is no column `sidd`|write `side`");
    assert_eq!(wrong("abz(x) > 5"), ["there is no function `abz`|write `abs`"]);
    assert_eq!(wrong("x"), ["`x` gives a number, not true or false|compare it with something, such as `… > 5`"]);
    assert_eq!(wrong("x > 'left'"), ["`x` is a number and `'left'` is a text: they can't be compared|"]);
    assert_eq!(wrong("side + 1 > 0"), ["`side` is a text, where a number is due|"]);
    assert_eq!(wrong("x and ok"), ["`x` is a number, where a condition is due|"]);
    assert_eq!(wrong("abs(x, y) > 1"), ["`abs` takes one argument, not 2|"]);
    assert!(wrong("now() > 5")[0].starts_with("there is no function `now`"));
    assert!(wrong("random() > 0.5")[0].starts_with("there is no function `random`"));
    for broken in ["", "x >", "x > 5 y", "x == 5 5", "(x > 5", "x > 5;", "select 1", "x like 'a'", "x in (select 1)", "max(x) over () > 1"]
    {
        assert!(!wrong(broken).is_empty(), "{broken}");
    }
    assert_eq!(wrong(&format!("x > 0{}", " + 0".repeat(400))).len(), 1);
}

#[test]
fn the_longest_expression_does_not_overflow_the_stack() {
    let chain = format!("x > 0{}", "+0".repeat((MAX_LENGTH - 5) / 2));
    assert_eq!(chain.len(), MAX_LENGTH - 1);
    assert_eq!(holds(&chain), "ff-t");
    let nested = format!("{}x > 0{}", "(".repeat(400), ")".repeat(400));
    assert!(Expression::condition(&nested, &sample().schema()).is_err() || holds(&nested) == "ff-t");
}

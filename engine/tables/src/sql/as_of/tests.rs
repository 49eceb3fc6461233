//! Does the merge find the rows that a search through all pairs finds, however the rows lie and are cut into batches?

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext, col};

use crate::sql::{extended, parse};

/// A small generator, so that a failing case is found again by its number.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as i64).rem_euclid(limit)
    }

    fn maybe(&mut self, value: i64, nulls: bool) -> Option<i64> {
        (!nulls || self.below(8) > 0).then_some(value)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    time: Option<i64>,
    key: Option<String>,
    group: Option<i64>,
    value: i64,
}

fn rows(random: &mut Random, count: i64, nulls: bool) -> Vec<Row> {
    let row = |random: &mut Random| Row {
        time: {
            let time = random.below(60) - 10;
            random.maybe(time, nulls)
        },
        key: {
            let key = random.below(4);
            random.maybe(key, nulls).map(|key| format!("sensor {key}"))
        },
        group: {
            let group = random.below(3);
            random.maybe(group, nulls)
        },
        value: random.below(5),
    };
    (0..count).map(|_| row(random)).collect()
}

/// How the rows of a case lie.
#[derive(Clone, Copy, Debug)]
enum Order {
    None,
    Time,
    KeyTime,
}

fn schema(time: &DataType) -> SchemaRef {
    let fields = [("time", time), ("key", &DataType::Utf8), ("grp", &DataType::Int64), ("value", &DataType::Int64)];
    Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type.clone(), true)).to_vec()))
}

fn table(random: &mut Random, rows: &[Row], order: Order, is_forward: bool, time: &DataType) -> MemTable {
    let mut rows = rows.to_vec();
    let last = |time: Option<i64>| (time.is_none(), time.map(|time| if is_forward { -time } else { time }));
    match order {
        Order::None => {}
        Order::Time => rows.sort_by_key(|row| last(row.time)),
        Order::KeyTime => rows.sort_by_key(|row| (row.key.is_none(), row.key.clone(), last(row.time))),
    }
    let schema = schema(time);
    let batch = |rows: &[Row]| {
        let times: ArrayRef = Arc::new(rows.iter().map(|row| row.time).collect::<Int64Array>());
        let columns: Vec<ArrayRef> = vec![
            cast(&times, time).expect("a time"),
            Arc::new(rows.iter().map(|row| row.key.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.group).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.value)).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(schema.clone(), columns).expect("a batch")
    };
    let mut batches = Vec::new();
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let (cut, after) = rest.split_at((random.below(12) as usize).min(rest.len()));
        batches.push(batch(cut));
        rest = after;
    }
    let table = MemTable::try_new(schema.clone(), vec![batches]).expect("a table");
    let time = col("time").sort(!is_forward, false);
    match order {
        Order::None => table,
        Order::Time => table.with_sort_order(vec![vec![time]]),
        Order::KeyTime => table.with_sort_order(vec![vec![col("key").sort(true, false), time]]),
    }
}

#[derive(Debug)]
struct Case {
    comparison: &'static str,
    keys: usize,
    tolerance: Option<(&'static str, i64)>,
    order: Order,
    is_timestamp: bool,
    nulls: bool,
}

impl Case {
    fn of(random: &mut Random) -> Self {
        Self {
            comparison: [">=", ">", "<=", "<"][random.below(4) as usize],
            keys: random.below(3) as usize,
            tolerance: [None, Some(("<=", 3)), Some(("<", 3)), Some(("<=", 0))][random.below(4) as usize],
            order: [Order::None, Order::Time, Order::KeyTime][random.below(3) as usize],
            is_timestamp: random.below(2) == 0,
            nulls: random.below(2) == 0,
        }
    }

    fn is_forward(&self) -> bool {
        self.comparison.starts_with('<')
    }

    fn sql(&self) -> String {
        let ahead = if self.is_forward() { "b.time - a.time" } else { "a.time - b.time" };
        let tolerance = self.tolerance.map_or_else(String::new, |(operator, limit)| match self.is_timestamp {
            true => format!(" AND {ahead} {operator} INTERVAL '{limit} microseconds'"),
            false => format!(" AND {ahead} {operator} {limit}"),
        });
        let on = ["", " ON a.key = b.key", " ON b.grp = a.grp AND a.key = b.key"][self.keys];
        format!(
            "SELECT CAST(a.time AS BIGINT), a.key, a.grp, a.value, CAST(b.time AS BIGINT), b.key, b.grp, b.value \
             FROM a ASOF JOIN b MATCH_CONDITION (a.time {} b.time{tolerance}){on}",
            self.comparison
        )
    }

    fn matches(&self, left: &Row, right: &Row) -> bool {
        let (Some(a), Some(b)) = (left.time, right.time) else { return false };
        let is_before = match self.comparison {
            ">=" => a >= b,
            ">" => a > b,
            "<=" => a <= b,
            _ => a < b,
        };
        let is_near =
            self.tolerance.is_none_or(|(operator, limit)| if operator == "<" { (a - b).abs() < limit } else { (a - b).abs() <= limit });
        let is_of_key = self.keys == 0 || (left.key.is_some() && left.key == right.key);
        let is_of_group = self.keys < 2 || (left.group.is_some() && left.group == right.group);
        is_before && is_near && is_of_key && is_of_group
    }

    /// What a search through all pairs finds.
    fn expected(&self, left: &[Row], right: &[Row]) -> Vec<(Row, Option<Row>)> {
        let best = |left: &Row| {
            let found = right.iter().filter(|right| self.matches(left, right));
            let rank =
                |row: &Row| (row.time.map(|time| if self.is_forward() { -time } else { time }), row.key.clone(), row.group, row.value);
            found.max_by_key(|row| rank(row)).cloned()
        };
        let mut rows: Vec<_> = left.iter().map(|left| (left.clone(), best(left))).collect();
        rows.sort();
        rows
    }
}

fn read(batches: &[RecordBatch]) -> Vec<(Row, Option<Row>)> {
    let mut rows = Vec::new();
    for batch in batches {
        let integer = |column: usize, row: usize| {
            let column = batch.column(column).as_primitive::<Int64Type>();
            column.iter().nth(row).flatten()
        };
        let of = |first: usize, row: usize| {
            let key = batch.column(first + 1).as_string::<i32>().iter().nth(row).flatten().map(str::to_owned);
            let value = integer(first + 3, row)?;
            Some(Row { time: integer(first, row), key, group: integer(first + 2, row), value })
        };
        rows.extend((0..batch.num_rows()).map(|row| (of(0, row).expect("a left row has a value"), of(4, row))));
    }
    rows.sort();
    rows
}

fn context() -> SessionContext {
    let config = SessionConfig::new().with_batch_size(7).with_target_partitions(1);
    SessionContext::new_with_state(extended(SessionStateBuilder::new().with_default_features().with_config(config)).build())
}

async fn ask(context: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    let state = context.state();
    let statement = parse(&state, sql).expect("SQL");
    let plan = state.statement_to_plan(statement).await.expect("a plan");
    context.execute_logical_plan(plan).await.expect("runs").collect().await.expect("rows")
}

#[tokio::test]
async fn the_merge_finds_what_a_search_through_all_pairs_finds() {
    let mut matched = 0;
    for number in 0..300 {
        let mut random = Random(number);
        let case = Case::of(&mut random);
        let time = if case.is_timestamp { DataType::Timestamp(TimeUnit::Microsecond, None) } else { DataType::Int64 };
        let [left, right] = [60, 150].map(|most| {
            let count = random.below(most);
            rows(&mut random, count, case.nulls)
        });
        let context = context();
        for (name, rows) in [("a", &left), ("b", &right)] {
            let table = table(&mut random, rows, case.order, case.is_forward(), &time);
            context.register_table(name, Arc::new(table)).expect("registered");
        }
        let given = read(&ask(&context, &case.sql()).await);
        let expected = case.expected(&left, &right);
        matched += expected.iter().filter(|(_, right)| right.is_some()).count();
        assert_eq!(given, expected, "case {number}: {case:?}");
    }
    assert!(matched > 1000, "{matched} rows matched");
}

#[tokio::test]
async fn inputs_in_order_are_merged_without_a_sort() {
    let mut random = Random(1);
    let (left, right) = (rows(&mut random, 30, false), rows(&mut random, 90, false));
    for (order, on, says) in [
        (Order::Time, " ON a.key = b.key", "key@1 = key@1,"),
        (Order::KeyTime, " ON a.key = b.key", "key@1 = key@1 in order"),
        (Order::Time, "", "time@0 >= time@0"),
    ] {
        let context = context();
        for (name, rows) in [("a", &left), ("b", &right)] {
            let table = table(&mut random, rows, order, false, &DataType::Int64);
            context.register_table(name, Arc::new(table)).expect("registered");
        }
        let sql = format!("EXPLAIN SELECT * FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time){on}");
        let plan = ask(&context, &sql).await.iter().map(|batch| format!("{:?}", batch.column(1))).collect::<String>();
        assert!(plan.contains(says.trim_end_matches(',')) && !plan.contains("SortExec"), "{order:?}{on}: {plan}");
    }
}

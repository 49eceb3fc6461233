//! When does something need attention: has a condition held for long enough, and when is it over?
//!
//! `when` and `clear` are SQL expressions over the columns of the stream (`abs(x) > 5 and side = 'left'`; no functions of time or
//! chance). An alert **fires** at the first row at or after `since + for` at which `when` has been true on every row since `since`;
//! the row's `since_ns` says when that began. It never fires on absent data: a row on which `when` is false or null begins anew, and
//! so does a step in time beyond `gap`. It **clears** at the first row on which `clear` is true and `when` isn't (default: `when` is
//! false; a null clears nothing). The row that clears carries the `since_ns` of the one that fired.
//!
//! A stream with key columns (such as `muscle`) has one alert per key, told apart by the column `key`; at most 1024 keys are waiting
//! or firing at once, and further ones go unjudged until one of these is over. `message` may name columns in braces,
//! `pelvis dropped by {pelvis_obliquity_deg} deg`, filled from the row with four significant digits.
//!
//! **Withheld.** An alert that is due stays silent while a condition of `withhold` is true (a null withholds nothing), for `rearm` after
//! it cleared, and beyond `limit`, which counts the firings of all keys. It is then a row with state `withheld` and its `reason`, one
//! for each reason, that goes to the tables and to nobody else; it fires as soon as nothing withholds it, if its condition still holds.
//!
//! ```yaml
//! op: alert
//! from: angles
//! with:
//!   when: abs(pelvis_obliquity_deg) > 5
//!   for: 300 ms
//!   clear: abs(pelvis_obliquity_deg) < 3
//!   message: "pelvis at {pelvis_obliquity_deg} deg"
//!   withhold: { "the field is disturbed": mag_disturbed }
//!   limit: { most: 2, per: 5 s }
//! input:
//!   angles:
//!     schema:
//!       rate: 20 Hz
//!       columns:
//!         - { name: pelvis_obliquity_deg, unit: deg }
//!         - { name: mag_disturbed, type: boolean }
//!     generate:
//!       duration: 9 s
//!       gaps: [[4.5 s, 5.6 s]]
//!       columns:
//!         pelvis_obliquity_deg:
//!           - { sine: { amplitude: 8, frequency: 0.25 Hz } }
//!           - { missing: { from: 3.2 s, to: 3.4 s } }
//!         mag_disturbed: [{ steps: [[6 s, 1], [7 s, 0]] }]
//! ```
//! ```csv
//! time_ns,key,state,severity,message,reason,since_ns
//! 750000000,,firing,warning,pelvis at 7.391 deg,,450000000
//! 1800000000,,cleared,warning,pelvis at 2.472 deg,,450000000
//! 2750000000,,firing,warning,pelvis at -7.391 deg,,2450000000
//! 3800000000,,cleared,warning,pelvis at -2.472 deg,,2450000000
//! 6750000000,,withheld,warning,pelvis at -7.391 deg,the field is disturbed,6450000000
//! 7000000000,,firing,warning,pelvis at -8 deg,,6450000000
//! 7800000000,,cleared,warning,pelvis at -2.472 deg,,6450000000
//! 8750000000,,firing,warning,pelvis at 7.391 deg,,8450000000
//! # 8 rows, every bit hashed: b8c172670f4e8548
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use proprio_core::quantity::Duration;
use proprio_core::table::system::{
    self,
    alert_state::{CLEARED, FIRING, WITHHELD},
};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::alert_gate::{Change, Gate, Memory, Reason, Row};
use crate::kernels::emg::keep;
use crate::kernels::expression::{Expression, found_at};
use crate::kernels::message::Message;

/// Longest step between rows over which a condition counts as held, in periods, where `gap` is left out.
const GAP_PERIODS: i64 = 10;
/// Most firings that a limit may allow.
const MOST: usize = 1000;

/// A condition that has to hold, for how long, and what to say then.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Condition that fires the alert, such as `abs(pelvis_obliquity_deg) > 5`.
    when: String,
    /// How long `when` must hold before the alert fires. Left out: it fires at once.
    #[serde(default = "at_once", rename = "for")]
    hold: Duration,
    /// Condition that ends the alert, such as `abs(pelvis_obliquity_deg) < 3`. Left out: `when` is false.
    #[serde(default)]
    clear: Option<String>,
    /// How much it matters.
    #[serde(default)]
    severity: Severity,
    /// What to say; `{column}` is filled from the row. Left out: the condition.
    #[serde(default)]
    message: Option<String>,
    /// Longest step between two rows over which `when` counts as held. Left out: ten periods, or no limit for a stream without a rate.
    #[serde(default)]
    gap: Option<Duration>,
    /// Reasons for which a due alert stays silent, each with its condition, such as `{ "the field is disturbed": mag_disturbed }`.
    #[serde(default)]
    withhold: BTreeMap<String, String>,
    /// How long a key stays silent after it cleared. Left out: it may fire again at once.
    #[serde(default = "at_once")]
    rearm: Duration,
    /// How many may fire within a time, over all keys. Left out: any number.
    #[serde(default)]
    limit: Option<Limit>,
}

/// So many within a time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// How many, from 1 to 1000.
    most: usize,
    /// Within which time.
    per: Duration,
}

/// How much an alert matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// Worth knowing.
    Info,
    /// Needs a look.
    #[default]
    Warning,
    /// Needs a hand.
    Critical,
}

fn at_once() -> Duration {
    Duration::new(0.0)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let schema = &ports[0].schema;
        let mut findings = Findings::new();
        let when = keep(&mut findings, Expression::condition_at("/when", &self.when, &schema.columns));
        let clear = match &self.clear {
            Some(clear) => keep(&mut findings, Expression::condition_at("/clear", clear, &schema.columns)),
            None => when.clone().map(Expression::negated),
        };
        let text = self.message.as_deref();
        let message =
            keep(&mut findings, Message::plan(text.unwrap_or(""), &schema.columns).map_err(|errors| found_at("/message", errors)));
        if self.hold.seconds() < 0.0 {
            findings.push(PlanFinding::config("/for", format!("{} is negative", self.hold)));
        }
        if self.gap.is_some_and(|gap| gap.seconds() <= 0.0) {
            findings.push(PlanFinding::config("/gap", "a gap must be longer than nothing"));
        }
        if self.rearm.seconds() < 0.0 {
            findings.push(PlanFinding::config("/rearm", format!("{} is negative", self.rearm)));
        }
        if self.limit.is_some_and(|limit| !(1..=MOST).contains(&limit.most) || limit.per.seconds() <= 0.0) {
            findings.push(PlanFinding::config("/limit", format!("a limit is from 1 to {MOST} within a time longer than nothing")));
        }
        let withhold = keep(&mut findings, Expression::conditions_at("/withhold", &self.withhold, &schema.columns)).unwrap_or_default();
        let (Some(when), Some(clear), Some(message), true) = (when, clear, message, findings.is_empty()) else { return Err(findings) };
        let period_ns = schema.rate.map(|rate| rate.period_ns());
        let gap_ns = self.gap.map(Duration::nanoseconds).or(period_ns.map(|period| period.saturating_mul(GAP_PERIODS)));
        let keys = schema.keys.iter().filter_map(|key| schema.index(key)).collect();
        Ok(Planned::alert(Alert {
            when,
            clear,
            withhold,
            gate: Gate {
                hold_ns: self.hold.nanoseconds(),
                gap_ns: gap_ns.unwrap_or(i64::MAX),
                rearm_ns: self.rearm.nanoseconds(),
                most: self.limit.map_or(usize::MAX, |limit| limit.most),
                per_ns: self.limit.map_or(0, |limit| limit.per.nanoseconds()),
            },
            severity: self.severity.name(),
            message: if text.is_some() { message } else { Message::verbatim(self.when) },
            keys,
            output: system::alert(),
        }))
    }
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

struct Alert {
    when: Expression,
    clear: Expression,
    withhold: Vec<(String, Expression)>,
    gate: Gate,
    severity: &'static str,
    message: Message,
    keys: Vec<usize>,
    output: StreamSchema,
}

/// One row of the output, in the order of the stream: by time, key, state.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct AlertRow {
    time: TimeNs,
    key: String,
    state: &'static str,
    message: String,
    reason: Option<String>,
    since: TimeNs,
}

impl Operator for Alert {
    type State = Memory;

    fn start(&self) -> Memory {
        Memory::default()
    }

    fn process(&self, memory: &mut Memory, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        if input.num_rows() == 0 {
            return watermark;
        }
        let (when, clear) = (self.when.holds(input), self.clear.holds(input));
        let withheld = self.withheld(input);
        let mut keys = KeyNames::new(input, &self.keys);
        let mut found = Vec::new();
        for (row, time) in rows::times(input).iter().enumerate() {
            let key = keys.at(row);
            let said = Row { time: *time, when: is_true(&when, row), clear: is_true(&clear, row), withhold: withheld[row] };
            if let Some((change, since)) = self.gate.judge(memory, key, said) {
                let (state, reason) = match change {
                    Change::Firing => (FIRING, None),
                    Change::Cleared => (CLEARED, None),
                    Change::Withheld(reason) => (WITHHELD, Some(self.reason(reason))),
                };
                found.push(AlertRow { time: *time, key: key.to_owned(), state, message: self.message.fill(input, row), reason, since });
            }
        }
        found.sort();
        out.push(self.batch(&found));
        watermark
    }

    fn flush(&self, _: &mut Memory, _: &mut Output) {}
}

impl Alert {
    /// The first condition that withholds and is true, on each row.
    fn withheld(&self, input: &RecordBatch) -> Vec<Option<usize>> {
        let mut withheld = vec![None; input.num_rows()];
        for (number, (_, condition)) in self.withhold.iter().enumerate().rev() {
            let holds = condition.holds(input);
            (0..holds.len()).filter(|row| is_true(&holds, *row)).for_each(|row| withheld[row] = Some(number));
        }
        withheld
    }

    fn reason(&self, reason: Reason) -> String {
        match reason {
            Reason::Condition(number) => self.withhold[number].0.clone(),
            Reason::Rearming => "cleared a moment ago".to_owned(),
            Reason::TooMany => "too many a moment ago".to_owned(),
        }
    }

    fn batch(&self, found: &[AlertRow]) -> RecordBatch {
        let texts =
            |text: fn(&AlertRow) -> &str| -> ArrayRef { Arc::new(found.iter().map(|row| Some(text(row))).collect::<StringArray>()) };
        let times = |time: fn(&AlertRow) -> TimeNs| -> ArrayRef { Arc::new(found.iter().map(time).collect::<Int64Array>()) };
        let columns = vec![
            times(|row| row.time),
            texts(|row| &row.key),
            texts(|row| row.state),
            Arc::new(found.iter().map(|_| Some(self.severity)).collect::<StringArray>()),
            texts(|row| &row.message),
            Arc::new(found.iter().map(|row| row.reason.as_deref()).collect::<StringArray>()),
            times(|row| row.since),
        ];
        rows::batch(&self.output, columns)
    }
}

fn is_true(condition: &BooleanArray, row: usize) -> bool {
    condition.is_valid(row) && condition.value(row)
}

/// The key of each row as text: its key columns joined by `/`; empty for a stream without keys.
struct KeyNames<'a> {
    columns: Vec<ArrayFormatter<'a>>,
    name: String,
}

impl<'a> KeyNames<'a> {
    fn new(input: &'a RecordBatch, keys: &[usize]) -> Self {
        let formatter = |index: &usize| ArrayFormatter::try_new(input.column(*index), &FORMAT).expect("a key column is text or a number");
        Self { columns: keys.iter().map(formatter).collect(), name: String::new() }
    }

    fn at(&mut self, row: usize) -> &str {
        self.name.clear();
        for (n, column) in self.columns.iter().enumerate() {
            if n > 0 {
                self.name.push('/');
            }
            self.name.push_str(&column.value(row).to_string());
        }
        &self.name
    }
}

const FORMAT: FormatOptions<'static> = FormatOptions::new();

#[cfg(test)]
mod tests {
    use arrow_array::Float64Array;
    use proprio_core::schema::{float, text};
    use proprio_core::{Planned, Rate};
    use serde_json::{Value, json};

    use crate::kernels::testing::{assert_chunking_is_invisible, plan, run, texts};

    use super::*;

    const MS: i64 = 1_000_000;

    fn angles(rate: Option<Rate>) -> StreamSchema {
        StreamSchema::new(vec![float("drop_deg", "deg")], &[], rate)
    }

    /// Rows of a stream without keys: time in milliseconds, value.
    fn batch(schema: &StreamSchema, samples: &[(i64, f64)]) -> RecordBatch {
        let times: Int64Array = samples.iter().map(|(time, _)| time * MS).collect();
        rows::batch(schema, vec![Arc::new(times), rows::nan_as_null(samples.iter().map(|(_, value)| *value).collect())])
    }

    /// What an alert says: time, state, since, all times in milliseconds.
    fn said(planned: &Planned, batch: &RecordBatch) -> Vec<(i64, String, i64)> {
        let found = run(planned, batch);
        let since = rows::integers(&found, 6).values();
        let states = texts(&found, "state");
        rows::times(&found).iter().zip(states).zip(since).map(|((time, state), since)| (time / MS, state, since / MS)).collect()
    }

    fn firing(time: i64, since: i64) -> (i64, String, i64) {
        (time, "firing".to_owned(), since)
    }

    fn cleared(time: i64, since: i64) -> (i64, String, i64) {
        (time, "cleared".to_owned(), since)
    }

    fn pelvic_drop() -> Value {
        json!({ "when": "abs(drop_deg) > 5", "for": "300 ms", "clear": "abs(drop_deg) < 3", "message": "pelvis drops by {drop_deg} deg" })
    }

    #[test]
    fn fires_once_it_has_held_and_clears_by_its_own_condition() {
        let schema = angles(Some(Rate::hz(10)));
        let planned = plan("alert", pelvic_drop(), &schema).expect("a plan");
        assert!(planned.is_alert);
        let samples =
            [(0, 6.0), (100, 2.0), (200, -6.0), (300, 7.0), (400, 6.0), (500, 8.0), (600, 4.0), (700, 6.0), (800, 2.5), (900, 9.0)];
        assert_eq!(said(&planned, &batch(&schema, &samples)), [firing(500, 200), cleared(800, 200)]);
        let found = run(&planned, &batch(&schema, &samples));
        assert_eq!(texts(&found, "message"), ["pelvis drops by 8 deg", "pelvis drops by 2.5 deg"]);
        assert_eq!(texts(&found, "severity"), ["warning", "warning"]);
    }

    #[test]
    fn absent_data_neither_fires_nor_clears() {
        let schema = angles(Some(Rate::hz(10)));
        let planned = plan("alert", json!({ "when": "drop_deg > 5", "for": "300 ms" }), &schema).expect("a plan");
        assert_eq!(said(&planned, &batch(&schema, &[(0, 6.0), (200, 6.0)])), []);
        let null_begins_anew = [(0, 6.0), (200, f64::NAN), (300, 6.0), (599, 6.0), (600, 6.0), (700, f64::NAN), (800, 5.0)];
        assert_eq!(said(&planned, &batch(&schema, &null_begins_anew)), [firing(600, 300), cleared(800, 300)]);
        let silence_begins_anew = [(0, 6.0), (1001, 6.0), (1301, 6.0)];
        assert_eq!(said(&planned, &batch(&schema, &silence_begins_anew)), [firing(1301, 1001)]);
        let unbounded = plan("alert", json!({ "when": "drop_deg > 5", "for": "300 ms" }), &angles(None)).expect("a plan");
        assert_eq!(said(&unbounded, &batch(&schema, &silence_begins_anew)), [firing(1001, 0)]);
    }

    #[test]
    fn without_for_it_fires_at_once() {
        let schema = angles(None);
        let planned = plan("alert", json!({ "when": "drop_deg > 5", "severity": "critical" }), &schema).expect("a plan");
        let samples = batch(&schema, &[(0, 6.0), (1, 7.0), (2, 5.0), (3, 6.0)]);
        assert_eq!(said(&planned, &samples), [firing(0, 0), cleared(2, 0), firing(3, 3)]);
        assert_eq!(texts(&run(&planned, &samples), "message")[0], "drop_deg > 5");
    }

    #[test]
    fn each_key_has_its_own_alert() {
        let schema = StreamSchema::new(vec![text("muscle"), float("delay_ms", "ms")], &["muscle"], None);
        let times = Int64Array::from(vec![0, 0, MS, MS, 2 * MS]);
        let muscles = StringArray::from(vec!["a", "b", "a", "b", "b"]);
        let delays = Float64Array::from(vec![30.0, 30.0, 10.0, 40.0, 0.0]);
        let batch = rows::batch(&schema, vec![Arc::new(times), Arc::new(muscles), Arc::new(delays)]);
        let planned = plan("alert", json!({ "when": "delay_ms > 25" }), &schema).expect("a plan");
        let found = run(&planned, &batch);
        assert_eq!(texts(&found, "key"), ["a", "b", "a", "b"]);
        assert_eq!(texts(&found, "state"), ["firing", "firing", "cleared", "cleared"]);
    }

    #[test]
    fn chunking_is_invisible() {
        let schema = angles(Some(Rate::hz(1000)));
        let samples: Vec<(i64, f64)> = (0..3000).map(|k| (k, 8.0 * libm::sin(k as f64 / 90.0))).collect();
        let config = json!({ "when": "drop_deg > 5", "for": "50 ms", "clear": "drop_deg < 1" });
        assert_chunking_is_invisible(&plan("alert", config, &schema).expect("a plan"), &batch(&schema, &samples), 3);
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let config = json!({
            "when": "drop_dg > 5", "clear": "drop_deg", "message": "{drop}", "for": "-1 s", "gap": "0 s", "rearm": "-1 s",
            "limit": { "most": 0, "per": "1 s" }, "withhold": { "a/b": "drop" }
        });
        let findings = plan("alert", config, &angles(None)).expect_err("eight mistakes");
        let at: Vec<_> = findings.iter().map(|finding| format!("{:?}", finding.at)).collect();
        let expected = ["/when", "/clear", "/message", "/for", "/gap", "/rearm", "/limit", "/withhold/a~1b"];
        assert_eq!(at, expected.map(|pointer| format!("Config({pointer:?})")));
        assert_eq!(findings[0].help.as_deref(), Some("write `drop_deg`"));
        for wrong in [
            json!({}),
            json!({ "when": "true", "unknown": 1 }),
            json!({ "when": "true", "severity": "loud" }),
            json!({ "when": "true", "for": "20 Hz" }),
        ] {
            assert!(plan("alert", wrong.clone(), &angles(None)).is_err(), "{wrong}");
        }
    }
}

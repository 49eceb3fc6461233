//! Four small operators, so that files can be checked without the real ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use proprio_core::protocol::Protocol;
use proprio_core::quantity::{Duration, Frequency};
use proprio_core::schema::{FieldExt, float, meta};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, Rate, Registration, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::Deserialize;

/// All of them.
pub static REGISTRY: &[Registration] = &[
    Registration::of::<Scale>(
        "scale",
        "test",
        "//! Multiplies one column.\n//!\n//! Nulls stay null.\n//!\n//! ```yaml\n//! with: { column: x }\n//! ```\n",
    ),
    Registration::of::<Fuse>("fuse", "test", "//! Puts streams side by side.\n"),
    Registration::of::<Watch>("watch", "test", "//! Fires when a column is high.\n"),
    Registration::of::<Train>("train", "test", "//! Counts what a protocol prescribes.\n"),
];

/// Multiplies one column.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The column to multiply.
    column: String,
    /// The factor.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    factor: f64,
    /// How many samples are averaged.
    #[serde(default)]
    #[allow(dead_code)]
    samples: Option<u32>,
    /// How gaps are filled.
    #[serde(default)]
    #[allow(dead_code)]
    gaps: Gaps,
    /// Unit of the result, when it changes.
    #[serde(default)]
    unit: Option<String>,
}

/// How gaps are filled.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gaps {
    /// With nothing.
    #[default]
    Leave,
    /// With the last value.
    Hold,
    /// In a straight line.
    Linear,
}

fn one() -> f64 {
    1.0
}

impl Configure for Scale {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let port = &ports[0];
        let Some(index) = port.schema.index(&self.column) else {
            let names: Vec<&str> = port.schema.names().collect();
            let finding = PlanFinding::config("/column", format!("`{}` has no column `{}`", port.stream, self.column));
            return Err(vec![finding.help(format!("its columns: {}", names.join(", ")))]);
        };
        if port.schema.rate.is_none() {
            return Err(vec![PlanFinding::input(0, format!("`{}` has no rate", port.stream)).help("read a sampled stream")]);
        }
        let unit = self.unit.unwrap_or_else(|| port.schema.columns.field(index).meta(meta::UNIT).unwrap_or("1").to_owned());
        let output = StreamSchema::new(vec![float("value", &unit)], &[], port.schema.rate);
        Ok(Planned::new(Scaled { index, factor: self.factor, output: output.clone() }, output))
    }
}

struct Scaled {
    index: usize,
    factor: f64,
    output: StreamSchema,
}

impl Operator for Scaled {
    type State = ();

    fn start(&self) {}

    fn process(&self, (): &mut (), inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let values = inputs[0].column(self.index).as_primitive::<Float64Type>();
        let scaled: Float64Array = values.iter().map(|value| value.map(|value| value * self.factor)).collect();
        let columns: Vec<ArrayRef> = vec![inputs[0].column(0).clone(), Arc::new(scaled)];
        out.push(RecordBatch::try_new(self.output.columns.clone(), columns).expect("two columns fit the planned schema"));
        watermark
    }

    fn flush(&self, (): &mut (), _: &mut Output) {}
}

/// Puts streams side by side.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fuse {
    /// Rows a second.
    rate: Rate,
    /// How far a sample may be from the grid.
    #[serde(default)]
    #[allow(dead_code)]
    tolerance: Option<Duration>,
    /// Lower and upper edge.
    #[serde(default)]
    band: Option<[Frequency; 2]>,
    /// What is different for single inputs.
    #[serde(default)]
    #[allow(dead_code)]
    inputs: BTreeMap<String, FuseInput>,
}

/// What is different for one input.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FuseInput {
    /// How far a sample of this input may be from the grid.
    #[allow(dead_code)]
    tolerance: Duration,
}

impl Configure for Fuse {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let nyquist = self.rate.hertz() / 2.0;
        if let Some([_, upper]) = self.band.filter(|[_, upper]| upper.hertz() > nyquist) {
            let message = format!("{upper} is above half the rate, {nyquist} Hz");
            return Err(vec![PlanFinding::config("/band/1", message)]);
        }
        let columns = ports.iter().map(|port| float(format!("{}_value", port.prefix()), "1")).collect();
        let output = StreamSchema::new(columns, &[], Some(self.rate));
        Ok(Planned::new(Silent, output))
    }
}

/// Fires when a column is high.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The column to watch.
    when: String,
    /// How long it must be high.
    #[serde(rename = "for")]
    #[allow(dead_code)]
    hold: Duration,
}

impl Configure for Watch {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        match ports[0].schema.index(&self.when) {
            Some(_) => Ok(Planned::alert(Silent)),
            None => Err(vec![PlanFinding::step(format!("nothing to watch: no column `{}`", self.when))]),
        }
    }
}

/// Counts what a protocol prescribes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// What is prescribed.
    #[schemars(extend("x-file" = "protocol"))]
    protocol: Protocol,
}

impl Configure for Train {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let findings = self.protocol.findings();
        if findings.is_empty() { Ok(Planned::new(Silent, ports[0].schema.clone())) } else { Err(findings) }
    }
}

/// Emits nothing.
struct Silent;

impl Operator for Silent {
    type State = ();

    fn start(&self) {}

    fn process(&self, (): &mut (), _: &[RecordBatch], watermark: TimeNs, _: &mut Output) -> TimeNs {
        watermark
    }

    fn flush(&self, (): &mut (), _: &mut Output) {}
}

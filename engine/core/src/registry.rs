//! How an operator's file becomes an entry of the registry: its name, manual, JSON Schema and planner.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;

use crate::finding::{Findings, PlanFinding};
use crate::operator::{Planned, Port};

/// How many streams a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// One; a `from:` that matches several streams plans the step once for each.
    One,
    /// All that `from:` matches, together, in the order written (a pattern's matches by name).
    Many,
}

/// What an operator's `Config` does: the doc comments are the manual, `plan` is the whole check.
pub trait Configure: DeserializeOwned + JsonSchema {
    /// How many streams it reads.
    const INPUTS: Inputs;

    /// Checks every column, unit, frame and rate, and resolves them; pure.
    ///
    /// # Errors
    /// Everything that is wrong, in one go.
    fn plan(self, ports: &[Port]) -> Result<Planned, Findings>;
}

/// One operator: an entry of the list that `operators/build.rs` makes from the folder.
#[derive(Clone, Copy)]
pub struct Registration {
    /// The file's name, which is what pipelines write.
    pub name: &'static str,
    /// The folder's name, such as `gait`.
    pub family: &'static str,
    /// The file's text, whose header holds the manual and the example.
    pub source: &'static str,
    /// How many streams it reads.
    pub inputs: Inputs,
    /// JSON Schema of the `with:` block.
    pub schema: fn() -> Schema,
    /// Checks a configuration that fits the schema against its inputs.
    pub plan: fn(serde_json::Value, &[Port]) -> Result<Planned, Findings>,
}

impl Registration {
    /// The entry of the operator whose configuration is `C`.
    pub const fn of<C: Configure>(name: &'static str, family: &'static str, source: &'static str) -> Self {
        Self { name, family, source, inputs: C::INPUTS, schema: schema_of::<C>, plan: plan_of::<C> }
    }

    /// The header's prose: the file's `//!` lines up to the first fenced block.
    pub fn manual(&self) -> String {
        let header = self.source.lines().map_while(|line| line.strip_prefix("//!"));
        let lines = header.map(|line| line.strip_prefix(' ').unwrap_or(line)).take_while(|line| !line.starts_with("```"));
        lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// The first fenced block of the header in `language`, without its fences: `yaml` holds the example's step and input,
    /// `csv` what it must give.
    pub fn example(&self, language: &str) -> Option<String> {
        let header = self.source.lines().map_while(|line| line.strip_prefix("//!"));
        let mut lines =
            header.map(|line| line.strip_prefix(' ').unwrap_or(line)).skip_while(|line| line.strip_prefix("```") != Some(language));
        lines.next()?;
        Some(lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect())
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("name", &self.name).finish_non_exhaustive()
    }
}

fn schema_of<C: Configure>() -> Schema {
    SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<C>()
}

fn plan_of<C: Configure>(config: serde_json::Value, ports: &[Port]) -> Result<Planned, Findings> {
    let config = serde_json::from_value::<C>(config).map_err(|error| vec![PlanFinding::config("", error.to_string())])?;
    config.plan(ports)
}

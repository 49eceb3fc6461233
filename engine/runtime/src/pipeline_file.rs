//! What people write in a pipeline file; its doc comments are the manual and the JSON Schema.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proprio_core::quantity::{Angle, Duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A pipeline file: the steps that turn a rig's streams into tables and alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineFile {
    /// Name of the pipeline. Letters, digits, `-` and `_`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub pipeline: String,
    /// Path of the rig file, from this file's folder.
    pub rig: String,
    /// The steps, in any order.
    pub steps: Vec<StepFile>,
    /// What is kept of each table: a retention such as `90 d`, or `false` to leave the table out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Keep>,
    /// What is kept of the recording, all of it unless this says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingFile>,
    /// What the pipeline must give; `proprio test` runs these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestFile>,
}

/// One step of a pipeline: an operator, configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepFile {
    /// Name of the step, of its stream and of its table: lower-case letters, digits and `_`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]*$"))]
    pub id: String,
    /// The operator's name; `proprio operators` lists them.
    pub op: String,
    /// The streams it reads: `imu/pelvis`, a step's id, a pattern such as `imu/*`, or a list of these.
    pub from: From,
    /// The operator's configuration; `proprio operators NAME` explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The streams that a step reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum From {
    /// One name or pattern.
    One(String),
    /// Several; patterns among them are filled in by name.
    Many(#[schemars(length(min = 1))] Vec<String>),
}

/// What is kept of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// Nothing: the table is left out.
    Out,
    /// Rows younger than this.
    For(Duration),
}

/// What is kept of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingFile {
    /// For how long, such as `90 d`. Older sessions are still listed, but no longer replayed or rebuilt; their rows stay as
    /// `tables` says. The open session stays whole.
    pub keep: Duration,
}

/// One test of a pipeline: a recording or a simulation, and what it must give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The recording, from this file's folder; either this or `simulate` is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<String>,
    /// The virtual subject; its rig is the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<SimulateFile>,
    /// Earlier sessions of the same virtual subject, each a day before the next: the test's own carries over what they leave, as
    /// `session start --carry` does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<SimulateFile>,
    /// Files that hold what tables must hold, from this file's folder, by step or table.
    pub expect: BTreeMap<String, String>,
    /// How far a number may be from the expected one, by column; exactly equal where a column isn't named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tolerance: BTreeMap<String, f64>,
    /// Event time of the recording's first sample, in RFC 3339; by default `2000-01-01T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"))]
    pub start: Option<String>,
}

/// A virtual subject, as `proprio simulate` takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateFile {
    /// What the subject does and wears: `walking`, `standing`, `full-lab` or `hip-thrust`.
    pub layout: String,
    /// For how long.
    pub duration: Duration,
    /// Seed of everything that chance decides.
    #[serde(default)]
    pub seed: u64,
    /// Impairments, such as `pelvic-drop=8deg:left`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub impair: Vec<String>,
    /// How the calibration procedure goes that the session begins with: `good`, `few-repetitions`, `twisting`, `other-pose` or `swaying`; by
    /// default there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<String>,
    /// Standard deviation of the angles, about each axis, by which IMUs sit askew on their segments; by default their axes are their segments'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Angle>,
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Out => serializer.serialize_bool(false),
            Self::For(duration) => duration.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(false) => Ok(Self::Out),
            value => Duration::deserialize(value).map(Self::For).map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Keep {
    fn schema_name() -> Cow<'static, str> {
        "Keep".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let retention = generator.subschema_for::<Duration>();
        json_schema!({
            "description": "A retention such as `90 d`, or `false` to leave the table out.",
            "anyOf": [{ "type": "boolean", "const": false }, retention],
        })
    }
}

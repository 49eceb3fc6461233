//! What a checked rig and pipeline become: sources and steps in topological order, each with its schema and its table.

use std::collections::BTreeMap;

use proprio_core::table::system;
use proprio_core::{Planned, Rig, StreamSchema, TableSpec};

use crate::check::{ASSET_TEXT, PIPELINE_TEXT, RIG_TEXT};

/// A plan that the worker runs. Streams are numbered: first the rig's sensors by index, then what people say
/// ([`system::said`]), then the steps in order.
#[derive(Debug)]
pub struct Plan {
    /// The rig.
    pub rig: Rig,
    /// The pipeline's name.
    pub pipeline: String,
    /// Name of each stream before the steps'.
    pub source_names: Vec<String>,
    /// Schema of each stream before the steps'.
    pub sources: Vec<StreamSchema>,
    /// Steps in topological order: a step reads streams with lower numbers only.
    pub steps: Vec<PlannedStep>,
    /// Every table the plan writes to, system tables included.
    pub tables: Vec<TableSpec>,
    /// The text of the rig file.
    pub rig_text: String,
    /// The text of the pipeline file.
    pub pipeline_text: String,
    /// What the files hold that steps read, by the name that the pipeline gives them.
    pub assets: BTreeMap<String, Vec<u8>>,
}

/// One operator over one set of streams.
#[derive(Debug)]
pub struct PlannedStep {
    /// The step's id in the file.
    pub id: String,
    /// The operator's name.
    pub op: &'static str,
    /// `<id>`, or `<id>/<key>` where the step was planned once per matching stream.
    pub stream: String,
    /// The matched stream's part after the slash: value of the table's key column.
    pub key: Option<String>,
    /// Its `with:` block, in which files' names are replaced by what the files hold; `{}` where it has none.
    pub config: serde_json::Value,
    /// Numbers of the streams it reads, one per port.
    pub inputs: Vec<usize>,
    /// The operator and its output.
    pub planned: Planned,
    /// Table that its rows land in; none where the pipeline leaves it out.
    pub table: Option<String>,
}

impl Plan {
    /// The files as a recording holds them, by name: [`load_texts`](crate::load_texts) makes this plan of them again.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let assets =
            self.assets.iter().map(|(name, content)| (format!("{ASSET_TEXT}{name}"), String::from_utf8_lossy(content).into_owned()));
        let files = [(PIPELINE_TEXT, &self.pipeline_text), (RIG_TEXT, &self.rig_text)];
        files.map(|(name, text)| (name.to_owned(), text.clone())).into_iter().chain(assets).collect()
    }

    /// Schema of a stream by its number.
    pub fn schema(&self, stream: usize) -> &StreamSchema {
        let sources = self.sources.len();
        if stream < sources { &self.sources[stream] } else { &self.steps[stream - sources].planned.output }
    }

    /// Name of a stream by its number.
    pub fn stream_name(&self, stream: usize) -> &str {
        let sources = self.sources.len();
        if stream < sources { &self.source_names[stream] } else { &self.steps[stream - sources].stream }
    }
}

/// The streams before the steps': the sensors', and what people say.
pub(crate) fn sources(rig: &Rig) -> Vec<(String, StreamSchema)> {
    let said = system::said().map(|(name, schema)| (name.to_owned(), schema));
    rig.sensors.iter().map(|sensor| (sensor.stream(), sensor.stream_schema())).chain(said).collect()
}

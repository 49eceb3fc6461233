//! Which run this is: the plan's texts, the operators' version and this build, as a hash and as a row.

use std::cell::Cell;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use proprio_core::table::system;
use proprio_core::{TimeNs, rows};
use proprio_operators::REGISTRY;
use proprio_runtime::Plan;
use proprio_runtime::lineage::Lineage;

/// Version of this build: the crate's version and the commit it was built from.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("PROPRIO_COMMIT"));

thread_local! {
    static PLAYED: Cell<&'static str> = const { Cell::new(BUILD) };
}

/// From now on this thread is another build: the fault bench restarts engines as one.
pub fn play(build: &'static str) {
    PLAYED.set(build);
}

/// How a run's rows came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// While the session ran, or in its recovery.
    Live,
    /// From the recording, afterwards.
    Rebuild,
    /// From the recording and its amendments.
    Amendment,
}

impl Origin {
    const fn name(self) -> &'static str {
        match self {
            Self::Live => system::origin::LIVE,
            Self::Rebuild => system::origin::REBUILD,
            Self::Amendment => system::origin::AMENDMENT,
        }
    }
}

/// What decides this plan's rows beside the recording.
pub fn of(plan: &Plan) -> Lineage {
    Lineage::of(plan, REGISTRY, PLAYED.get(), env!("PROPRIO_TARGET"))
}

/// The name of the run that this plan makes in this build.
pub fn run_id(plan: &Plan) -> String {
    of(plan).run_id()
}

/// The row of table `lineage` for a run that begins at `time_ns`.
pub fn row(lineage: &Lineage, origin: Origin, time_ns: TimeNs) -> RecordBatch {
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let Lineage { pipeline, pipeline_text, rig_text, operators, build, target, .. } = lineage;
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![time_ns]))];
    columns.push(text(origin.name()));
    let assets = serde_json::to_string(&lineage.asset_hashes()).expect("texts are JSON");
    let pipeline_hash = &lineage.pipeline_hash();
    columns.extend([pipeline, pipeline_hash, pipeline_text, rig_text, operators, build, target, &assets].map(|value| text(value)));
    rows::batch(&system::lineage(), columns)
}

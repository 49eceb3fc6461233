//! Where a plan's rows go: which step reads which stream, and which table each stream's rows land in.

use std::collections::BTreeMap;

use proprio_core::table::system;

use crate::plan::Plan;

/// What the worker looks up per stream.
pub(super) struct Wiring {
    /// Per sensor: the table that its rows land in, unless the pipeline leaves it out.
    pub(super) source_tables: Vec<Option<String>>,
    /// Per stream: the (step, port) pairs that read it.
    pub(super) readers: Vec<Vec<(usize, usize)>>,
    /// Per table whose rows come from streams alone: those streams. Marks and notes are written at any time beside them.
    pub(super) streams: BTreeMap<String, Vec<usize>>,
}

impl Wiring {
    pub(super) fn of(plan: &Plan) -> Self {
        let kept = |kind: &str| plan.tables.iter().any(|table| table.name == kind).then(|| kind.to_owned());
        let mut readers = vec![Vec::new(); plan.sources.len() + plan.steps.len()];
        for (step, planned) in plan.steps.iter().enumerate() {
            for (port, input) in planned.inputs.iter().enumerate() {
                readers[*input].push((step, port));
            }
        }
        let source_tables: Vec<Option<String>> = plan.rig.sensors.iter().map(|sensor| kept(sensor.kind.name())).collect();
        let first_step = plan.sources.len();
        let of_steps = plan.steps.iter().enumerate().map(|(step, planned)| (first_step + step, &planned.table));
        let tables = source_tables.iter().enumerate().chain(of_steps);
        let mut streams: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (stream, table) in tables {
            table.iter().for_each(|table| streams.entry(table.clone()).or_default().push(stream));
        }
        let written_beside = system::tables().into_iter().map(|table| table.name).filter(|name| name != system::ALERTS);
        written_beside.for_each(|name| drop(streams.remove(&name)));
        Self { source_tables, readers, streams }
    }
}

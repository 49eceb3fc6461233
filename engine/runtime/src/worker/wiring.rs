//! Where a plan's rows go: which step reads which stream, and which table a sensor's rows land in.

use crate::plan::Plan;

/// What the worker looks up per stream.
pub(super) struct Wiring {
    /// Per sensor: the table that its rows land in, unless the pipeline leaves it out.
    pub(super) source_tables: Vec<Option<String>>,
    /// Per stream: the (step, port) pairs that read it.
    pub(super) readers: Vec<Vec<(usize, usize)>>,
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
        Self { source_tables: plan.rig.sensors.iter().map(|sensor| kept(sensor.kind.name())).collect(), readers }
    }
}

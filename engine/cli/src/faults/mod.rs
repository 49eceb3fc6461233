//! The fault bench: whatever the network, the devices, the disk and the power do, are live, replay and recovery the same, and
//! is every sample accounted for?

mod chance;
mod check;
mod disk;
pub mod real;
mod rig;
mod script;
mod tables;

use std::sync::Arc;

use anyhow::Context as _;
use proprio_runtime::Plan;

use crate::plans::plan_of;

/// What a seed went through.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Tally {
    /// Scripts run: three a seed.
    pub scripts: u64,
    /// How often the power went.
    pub power_cuts: u64,
    /// Recoveries that began from a snapshot.
    pub from_snapshot: u64,
    /// Messages run again in recoveries.
    pub recovered_messages: u64,
    /// Reloads, while running and at a restart under other files.
    pub reloads: u64,
    /// Restarts as another build, which took an open session over.
    pub takeovers: u64,
    /// Messages dropped because the engine stood still.
    pub overflowed: u64,
    /// How often the power went in a commit round while the rig came up.
    pub rounds_cut: u64,
    /// Sensors' starts whose acknowledgements were checked.
    pub acknowledged: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.scripts += other.scripts;
        self.power_cuts += other.power_cuts;
        self.from_snapshot += other.from_snapshot;
        self.recovered_messages += other.recovered_messages;
        self.reloads += other.reloads;
        self.takeovers += other.takeovers;
        self.overflowed += other.overflowed;
        self.rounds_cut += other.rounds_cut;
        self.acknowledged += other.acknowledged;
    }
}

/// The plans that scripts reload between.
///
/// # Errors
/// When a file of the bench is wrong.
pub fn plans() -> anyhow::Result<Vec<Arc<Plan>>> {
    script::FILES.iter().map(|(pipeline, rig)| plan_of(&rig::files(pipeline, rig))).collect()
}

/// Runs the scripts of a seed: with the power on, with power cuts, and with another build coming up after some of them.
///
/// # Errors
/// The first promise that was broken.
pub fn seed(seed: u64, plans: &[Arc<Plan>]) -> anyhow::Result<Tally> {
    let rig = &plans[0].rig;
    let mut tally = Tally::default();
    for hardship in script::Hardship::ALL {
        let script = script::Script::new(seed, rig, hardship);
        let told = || format!("seed {seed}, {hardship:?}");
        let outcome = rig::run(seed, &script, plans).with_context(told)?;
        check::check(&outcome, rig).with_context(told)?;
        tally += Tally {
            scripts: 1,
            power_cuts: outcome.power_cuts,
            from_snapshot: outcome.from_snapshot,
            recovered_messages: outcome.recovered,
            reloads: outcome.reloads,
            takeovers: outcome.takeovers,
            overflowed: outcome.overflowed,
            rounds_cut: outcome.rounds_cut,
            acknowledged: outcome.acked.len() as u64,
        };
    }
    Ok(tally)
}

//! What runs a session again? The files that it was recorded under, or others, with what was put right since.

use std::sync::Arc;

use anyhow::Context as _;
use proprio_core::Decision;
use proprio_recording::Disk;
use proprio_runtime::lineage::Lineage;
use proprio_runtime::{Plan, RIG_TEXT};

use crate::lineage::{self, Origin};
use crate::plans::plan_of;
use crate::recorded::Extent;

/// Which files sessions run under again.
#[derive(Clone, Debug)]
pub enum Files {
    /// These.
    Given(Arc<Plan>),
    /// Those that each session ended under.
    Recorded,
}

/// What a session's rows are a function of, when it runs again.
#[derive(Clone, Debug)]
pub struct Again {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What names the run.
    pub lineage: Lineage,
    /// How its rows come about.
    pub origin: Origin,
    /// What was missing, as its amendments have it; the worker sees it right before the session's stop.
    pub decisions: Vec<Decision>,
}

impl Again {
    /// What a recorded session runs under again. The newest amendment that holds a rig file says what the sensors were, whichever
    /// pipeline reads them.
    ///
    /// # Errors
    /// When an amendment can't be read, or the files make no plan in this build.
    pub fn of(disk: &dyn Disk, session: &Extent, files: &Files) -> anyhow::Result<Self> {
        let amendments = proprio_recording::amendments(disk, &session.rig, session.first_position)?;
        let amended_rig = amendments.iter().rev().find_map(|amendment| amendment.texts.get(RIG_TEXT));
        let plan = match (files, amended_rig) {
            (Files::Given(plan), None) => plan.clone(),
            (Files::Given(plan), Some(rig)) => {
                let mut texts = plan.texts();
                texts.insert(RIG_TEXT.to_owned(), rig.clone());
                plan_of(&texts).context("with the amended rig file")?
            }
            (Files::Recorded, _) => {
                let mut texts = session.texts.clone();
                texts.extend(amended_rig.map(|rig| (RIG_TEXT.to_owned(), rig.clone())));
                plan_of(&texts)?
            }
        };
        let mut lineage = lineage::of(&plan);
        for (amendment, number) in amendments.iter().zip(1..) {
            // Who entered it, when and why changes no row.
            let content = serde_json::to_vec(&(&amendment.texts, &amendment.decisions)).expect("texts and numbers are JSON");
            lineage.assets.push((format!("amendment.{number:04}"), content));
        }
        let origin = if amendments.is_empty() { Origin::Rebuild } else { Origin::Amendment };
        let decisions = amendments.into_iter().flat_map(|amendment| amendment.decisions).collect();
        Ok(Self { plan, lineage, origin, decisions })
    }

    /// The run's name.
    pub fn run_id(&self) -> String {
        self.lineage.run_id()
    }
}

//! From files and recorded texts to the plan that they make in this build.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use proprio_operators::REGISTRY;
use proprio_recording::Texts;
use proprio_runtime::{Diagnostic, Loaded, Plan};

/// Plans that are kept, since most sessions of a rig ran under the same files.
const KEPT: usize = 8;

/// The newest plans that were made, each by its texts alone.
static MADE: Mutex<VecDeque<(Texts, Arc<Plan>)>> = Mutex::new(VecDeque::new());

/// The plan that recorded texts make.
///
/// # Errors
/// When this build finds mistakes in them.
pub fn plan_of(texts: &Texts) -> anyhow::Result<Arc<Plan>> {
    let made = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, plan)) = made().iter().find(|(of, _)| of == texts) {
        return Ok(plan.clone());
    }
    let loaded = proprio_runtime::load_texts(texts, REGISTRY).map_err(|findings| anyhow::anyhow!("{}", rendered(&findings)));
    let plan = Arc::new(loaded.context("the recorded files make no plan in this build")?.plan);
    let mut made = made();
    made.truncate(KEPT - 1);
    made.push_front((texts.clone(), plan.clone()));
    Ok(plan)
}

/// A pipeline file and its plan.
///
/// # Errors
/// Its findings, when it makes none.
pub fn load(pipeline: &Path) -> anyhow::Result<Loaded> {
    proprio_runtime::load(pipeline, REGISTRY).map_err(|findings| anyhow::anyhow!("{}", rendered(&findings)))
}

/// Findings as one text.
pub fn rendered(findings: &[Diagnostic]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

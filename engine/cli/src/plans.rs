//! From files and recorded texts to the plan that they make in this build.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use proprio_operators::REGISTRY;
use proprio_recording::Texts;
use proprio_runtime::{Diagnostic, Loaded, Plan};

/// The plan that recorded texts make.
///
/// # Errors
/// When this build finds mistakes in them.
pub fn plan_of(texts: &Texts) -> anyhow::Result<Arc<Plan>> {
    let loaded = proprio_runtime::load_texts(texts, REGISTRY).map_err(|findings| anyhow::anyhow!("{}", rendered(&findings)));
    Ok(Arc::new(loaded.context("the recorded files make no plan in this build")?.plan))
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

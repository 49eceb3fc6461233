//! What made a run: the texts and versions behind its rows, and the one hash that stands for them (contract 10).

use std::collections::BTreeMap;

use proprio_core::Registration;
use twox_hash::XxHash3_128;

use crate::plan::Plan;

/// Everything that decides a run's rows beside the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The pipeline's name.
    pub pipeline: String,
    /// The text of the pipeline file.
    pub pipeline_text: String,
    /// The text of the rig file.
    pub rig_text: String,
    /// Files that steps read, such as norms and models: name and content, by name.
    pub assets: Vec<(String, Vec<u8>)>,
    /// Version of the operators: see [`operators_version`].
    pub operators: String,
    /// Version of the engine's build.
    pub build: String,
    /// Target triple that the engine was built for.
    pub target: String,
}

impl Lineage {
    /// The lineage of a plan, run by the operators of `registry` in the build `build` for `target`.
    pub fn of(plan: &Plan, registry: &[Registration], build: &str, target: &str) -> Self {
        Self {
            pipeline: plan.pipeline.clone(),
            pipeline_text: plan.pipeline_text.clone(),
            rig_text: plan.rig_text.clone(),
            assets: plan.assets.iter().map(|(name, content)| (name.clone(), content.clone())).collect(),
            operators: operators_version(registry),
            build: build.to_owned(),
            target: target.to_owned(),
        }
    }

    /// The run's identifier: 32 hexadecimal digits, the same for the same texts, versions and target.
    pub fn run_id(&self) -> String {
        let texts = [&self.pipeline, &self.pipeline_text, &self.rig_text, &self.operators, &self.build, &self.target];
        let mut hasher = Hasher::new();
        texts.into_iter().for_each(|text| hasher.part(text.as_bytes()));
        let mut assets: Vec<_> = self.assets.iter().collect();
        assets.sort();
        for (name, content) in assets {
            hasher.part(name.as_bytes());
            hasher.part(content);
        }
        hasher.hex()
    }

    /// The hash of the pipeline's text.
    pub fn pipeline_hash(&self) -> String {
        hash(self.pipeline_text.as_bytes())
    }

    /// The hash of each asset, by name.
    pub fn asset_hashes(&self) -> BTreeMap<&str, String> {
        self.assets.iter().map(|(name, content)| (name.as_str(), hash(content))).collect()
    }
}

fn hash(content: &[u8]) -> String {
    let mut hasher = Hasher::new();
    hasher.part(content);
    hasher.hex()
}

/// A hash of every operator's name and source: it changes when any of them is edited.
pub fn operators_version(registry: &[Registration]) -> String {
    let mut sources: Vec<_> = registry.iter().map(|registration| (registration.name, registration.source)).collect();
    sources.sort_unstable();
    let mut hasher = Hasher::new();
    for (name, source) in sources {
        hasher.part(name.as_bytes());
        hasher.part(source.as_bytes());
    }
    hasher.hex()
}

/// XXH3-128 over parts that each carry their length, so that no two lists of parts run together.
pub(crate) struct Hasher(Vec<u8>);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn finish(&self) -> u128 {
        XxHash3_128::oneshot(&self.0)
    }

    fn hex(&self) -> String {
        format!("{:032x}", self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage() -> Lineage {
        let text = |text: &str| text.to_owned();
        Lineage {
            pipeline: text("p"),
            pipeline_text: text("pipeline: p"),
            rig_text: text("rig: r"),
            assets: Vec::new(),
            operators: text("1"),
            build: text("0.1.0"),
            target: text("x86_64-unknown-linux-gnu"),
        }
    }

    #[test]
    fn a_run_id_changes_with_each_part_and_with_nothing_else() {
        let base = lineage();
        assert_eq!(base.run_id(), lineage().run_id());
        assert_eq!(base.run_id().len(), 32);
        let edits: [fn(&mut Lineage); 5] = [
            |lineage| lineage.pipeline_text.push(' '),
            |lineage| lineage.rig_text.push(' '),
            |lineage| lineage.assets.push(("norms.csv".to_owned(), vec![1])),
            |lineage| lineage.build.push('1'),
            // A character that moves from one part to the next is a change too.
            |lineage| lineage.operators = format!("{}0", lineage.operators),
        ];
        for edit in edits {
            let mut other = lineage();
            edit(&mut other);
            assert_ne!(base.run_id(), other.run_id());
        }
        let swapped = |assets: [&str; 2]| Lineage { assets: assets.map(|name| (name.to_owned(), Vec::new())).to_vec(), ..lineage() };
        assert_eq!(swapped(["a", "b"]).run_id(), swapped(["b", "a"]).run_id());
    }
}

//! When have the files changed that an engine was started with?

use std::path::{Path, PathBuf};
use std::time::Duration;

use proprio_operators::REGISTRY;
use proprio_runtime::named_files;
use proprio_runtime::tree::MAX_BYTES;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A pipeline file and the files that it names, as they were last taken up.
#[derive(Debug)]
pub struct Watch {
    pipeline: PathBuf,
    taken: Contents,
}

/// The bytes of each file; none of one that can't be read.
type Contents = Vec<(PathBuf, Option<Vec<u8>>)>;

impl Watch {
    /// Watches from here on. To be called before the files are loaded, so that no change is missed.
    pub fn new(pipeline: &Path) -> Self {
        Self { pipeline: pipeline.to_owned(), taken: contents(pipeline) }
    }

    /// Waits until the files differ from what was last taken up and have stopped changing: an editor may write one in steps, and
    /// a person may save two.
    pub async fn changed(&mut self) {
        let mut last = contents(&self.pipeline);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = contents(&self.pipeline);
            let is_settled = now == last;
            last = now;
            if is_settled && last != self.taken {
                self.taken = last;
                return;
            }
        }
    }
}

/// All files, as far as the first can be read.
fn contents(pipeline: &Path) -> Contents {
    let read = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.len() <= MAX_BYTES as u64).then(|| std::fs::read(path).ok());
    let text = read(pipeline).flatten();
    let named = text.as_deref().and_then(|text| std::str::from_utf8(text).ok()).map(|text| named_files(text, REGISTRY));
    let paths = named.into_iter().flatten().map(|file| pipeline.parent().unwrap_or(Path::new("")).join(file.name));
    let others: Contents = paths.map(|path| (path.clone(), read(&path).flatten())).collect();
    [(pipeline.to_owned(), text)].into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_watched_with_the_files_that_it_names() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipeline = folder.path().join("pipeline.yaml");
        std::fs::write(&pipeline, "pipeline: p\nrig: r.yaml\nsteps: []\n").expect("it is written");
        let before = contents(&pipeline);
        assert_eq!(before[1], (folder.path().join("r.yaml"), None), "a rig that isn't there yet is waited for");
        std::fs::write(folder.path().join("r.yaml"), "rig: r\n").expect("it is written");
        let after = contents(&pipeline);
        assert_ne!(before, after);
        let step = "{ id: s, op: exercise, from: angles, with: { protocol: thrust.yaml } }";
        std::fs::write(&pipeline, format!("pipeline: p\nrig: r.yaml\nsteps: [{step}]\n")).expect("it is written");
        assert_eq!(contents(&pipeline)[2].0, folder.path().join("thrust.yaml"));
        std::fs::write(&pipeline, "pipeline: [\n").expect("it is written");
        assert_eq!(contents(&pipeline).len(), 1, "a broken pipeline names no rig, and is a change all the same");
    }
}

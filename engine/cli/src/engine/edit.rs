//! Which files may be changed by a request, and is their new text right? The pipeline's own, and those that it names already.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use proprio_core::control::{FileText, Finding, Reply, Request};
use proprio_operators::REGISTRY;
use proprio_runtime::{Diagnostic, NamedFile, Severity, load_edited, named_files};

use super::turn::Turn;
use crate::plans::rendered;

/// Answers a question about the files.
pub fn look(pipeline: &Path, request: &Request) -> Reply {
    let answered = match request {
        Request::Check { file, text } => findings(pipeline, file, text).map(|findings| Reply::Checked { findings }),
        _ => texts(pipeline).map(Reply::Files),
    };
    answered.unwrap_or_else(|reason| Reply::Refused { reason })
}

impl Turn {
    /// Gives a file another text, and lets it take over.
    ///
    /// # Errors
    /// When rows don't fit their tables, or the network refuses the new keys.
    pub(super) fn edit(&mut self, file: &str, text: &str, was: &str, who: Option<&str>) -> anyhow::Result<(Option<i64>, Reply)> {
        let path = match replaceable(&self.pipeline, file, text, was) {
            Ok(path) => path,
            Err(reason) => return Ok((None, Reply::Refused { reason })),
        };
        if let Err(error) = replace(&path, text) {
            return Ok((None, Reply::Refused { reason: format!("`{file}` can't be written: {error}") }));
        }
        let answered = self.reload(who);
        if !matches!(answered, Ok((_, Reply::Reloaded { .. })))
            && let Err(error) = replace(&path, was)
        {
            tracing::error!(%error, "{} holds a text that the engine does not run by, and can't be put back", path.display());
        }
        answered
    }
}

/// Where a file lies whose text may be replaced by that one.
///
/// # Errors
/// Why it may not.
fn replaceable(pipeline: &Path, file: &str, text: &str, was: &str) -> Result<PathBuf, String> {
    let path = path_of(pipeline, file)?;
    if read(&path)? != was {
        return Err(format!("`{file}` has changed since it was read; read it again"));
    }
    match load(pipeline, &path, file, text)? {
        Ok(_) => Ok(path),
        Err(findings) => Err(rendered(&findings)),
    }
}

/// What is wrong with a text.
fn findings(pipeline: &Path, file: &str, text: &str) -> Result<Vec<Finding>, String> {
    let path = path_of(pipeline, file)?;
    let found = load(pipeline, &path, file, text)?.unwrap_or_else(|findings| findings);
    let named =
        |finding: &Diagnostic| names(pipeline).into_iter().find(|name| beside(pipeline, name).display().to_string() == finding.file);
    Ok(found
        .into_iter()
        .map(|finding| Finding {
            file: named(&finding).unwrap_or_else(|| finding.file.clone()),
            line: finding.line,
            column: finding.column,
            length: finding.length,
            is_error: finding.severity == Severity::Error,
            message: finding.message,
            help: finding.help,
        })
        .collect())
}

/// The warnings of a pipeline with an edited file, or everything that keeps it from running.
///
/// # Errors
/// When the text names a file that the pipeline did not name before: who asks from afar does not choose what is read here.
fn load(pipeline: &Path, path: &Path, file: &str, text: &str) -> Result<Result<Vec<Diagnostic>, Vec<Diagnostic>>, String> {
    let known = names(pipeline);
    if known.first().is_some_and(|own| own == file)
        && let Some(new) = named_files(text, REGISTRY).into_iter().map(|file| file.name).find(|name| !known.contains(name))
    {
        return Err(format!("`{new}` is no file of this pipeline; put it there on the engine's machine, then `proprio reload`"));
    }
    Ok(load_edited(pipeline, path, text, REGISTRY).map(|loaded| loaded.warnings))
}

/// Every file with its text, the pipeline's own first; a model has none.
fn texts(pipeline: &Path) -> Result<Vec<FileText>, String> {
    let read = |NamedFile { name, .. }| Ok(FileText { text: read(&beside(pipeline, &name))?, file: name });
    files(pipeline).into_iter().filter(|file| file.is_text).map(read).collect()
}

/// The names of the pipeline's files.
fn names(pipeline: &Path) -> Vec<String> {
    files(pipeline).into_iter().map(|file| file.name).collect()
}

/// The pipeline file itself, and the files that it names.
fn files(pipeline: &Path) -> Vec<NamedFile> {
    let own = pipeline.file_name().map(|name| NamedFile { name: name.to_string_lossy().into_owned(), is_text: true });
    let named = fs::read_to_string(pipeline).map(|text| named_files(&text, REGISTRY)).unwrap_or_default();
    own.into_iter().chain(named).collect()
}

fn path_of(pipeline: &Path, file: &str) -> Result<PathBuf, String> {
    let known = names(pipeline);
    if known.iter().any(|name| name == file) {
        return Ok(beside(pipeline, file));
    }
    Err(format!("`{file}` is no file of this pipeline, which has {}", known.join(", ")))
}

fn beside(pipeline: &Path, file: &str) -> PathBuf {
    pipeline.parent().unwrap_or(Path::new("")).join(file)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Replaces a file whole, or not at all; one behind a link stays behind it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, &path)).inspect_err(|_| {
        // What was begun is of no use; that it can't be removed either changes nothing.
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIG: &str = "rig: lab\nsensors:\n  a: { kind: imu, rate: 100 Hz }\n";
    const PIPELINE: &str = "pipeline: p\nrig: rig.yaml\nsteps:\n  - { id: orientation, op: orientation, from: imu/a }\n";

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let pipeline = folder.path().join("pipeline.yaml");
        fs::write(&pipeline, PIPELINE).expect("a file");
        fs::write(folder.path().join("rig.yaml"), RIG).expect("a file");
        (folder, pipeline)
    }

    #[test]
    fn a_mistake_is_found_where_it_stands_whichever_file_it_is_in() {
        let (_folder, pipeline) = folder();
        let files = texts(&pipeline).expect("texts");
        assert_eq!(files.iter().map(|file| file.file.as_str()).collect::<Vec<_>>(), ["pipeline.yaml", "rig.yaml"]);
        let found = findings(&pipeline, "rig.yaml", &RIG.replace("100 Hz", "100 Herz")).expect("findings");
        assert!(matches!(&found[..], [one] if one.line == 3 && one.file == "rig.yaml" && one.is_error), "{found:?}");
        let found = findings(&pipeline, "rig.yaml", &RIG.replace("  a:", "  b:")).expect("findings");
        assert!(found.iter().any(|one| one.file == "pipeline.yaml" && one.line == 4), "a step lost its sensor: {found:?}");
        assert_eq!(findings(&pipeline, "rig.yaml", &RIG.replace("100", "200")), Ok(Vec::new()));
    }

    #[test]
    fn a_model_has_no_text_and_is_one_of_the_pipelines_files() {
        let (folder, pipeline) = folder();
        let with = PIPELINE.to_owned()
            + "  - { id: resembles, op: model, from: orientation, with: { model: a.onnx, columns: [q_w], classes: [b, c] } }\n";
        fs::write(&pipeline, &with).expect("a file");
        fs::write(folder.path().join("a.onnx"), [0xff; 8]).expect("a file");
        let files = texts(&pipeline).expect("texts");
        assert_eq!(files.iter().map(|file| file.file.as_str()).collect::<Vec<_>>(), ["pipeline.yaml", "rig.yaml"]);
        let found = findings(&pipeline, "pipeline.yaml", &with).expect("findings");
        assert!(found.iter().any(|one| one.line == 5 && one.message.contains("no ONNX file")), "{found:?}");
        assert!(findings(&pipeline, "pipeline.yaml", &with.replace("a.onnx", "/etc/shadow")).is_err());
    }

    #[test]
    fn only_the_pipelines_files_are_read_and_replaced_and_only_as_they_were_seen() {
        let (folder, pipeline) = folder();
        assert!(findings(&pipeline, "../secret", "").is_err());
        let elsewhere = PIPELINE.replace("rig.yaml", "/etc/passwd");
        assert!(findings(&pipeline, "pipeline.yaml", &elsewhere).is_err_and(|reason| reason.contains("/etc/passwd")));
        let new = RIG.replace("100", "200");
        assert!(replaceable(&pipeline, "rig.yaml", &new, "another").is_err());
        assert!(replaceable(&pipeline, "rig.yaml", "rig: lab", RIG).is_err());
        let path = replaceable(&pipeline, "rig.yaml", &new, RIG).expect("it may");
        replace(&path, &new).expect("written");
        assert_eq!(fs::read_to_string(folder.path().join("rig.yaml")).expect("a file"), new);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is left beside");
    }
}

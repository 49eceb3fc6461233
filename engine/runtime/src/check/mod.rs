//! What is wrong with a rig, pipeline or protocol file, all of it, and what plan does it make when nothing is?

mod names;
mod pipeline;
mod planning;
mod protocol;
mod rig;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use proprio_core::quantity::Duration;
use proprio_core::{Registration, Rig};
use serde::Serialize;

use crate::diagnostic::{Diagnostic, Report, Severity, Source, Span, nearest};
use crate::pipeline_file::SimulateFile;
use crate::plan::Plan;
use crate::tree::{self, Node};

pub(crate) use protocol::FILE;

/// What a file is, told by its top keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// It declares sensors.
    Rig,
    /// It declares steps.
    Pipeline,
    /// It prescribes an exercise.
    Protocol,
}

impl FileKind {
    /// With its article.
    const fn described(self) -> &'static str {
        match self {
            Self::Rig => "a rig file",
            Self::Pipeline => "a pipeline file",
            Self::Protocol => "a protocol file",
        }
    }
}

/// What checking a file gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What the file is; none when it can't be told.
    pub kind: Option<FileKind>,
    /// Every finding, by file, line and column.
    pub diagnostics: Vec<Diagnostic>,
}

/// A pipeline that may run, with all that its file says.
#[derive(Debug)]
pub struct Loaded {
    /// What the worker runs.
    pub plan: Plan,
    /// The tests that the file holds.
    pub tests: Vec<Test>,
    /// How long rows of a table are kept, by table; for ever where a table isn't named.
    pub retention: BTreeMap<String, Duration>,
    /// How long the recording is kept; for ever when absent.
    pub recording_kept: Option<Duration>,
    /// The rig file.
    pub rig_path: PathBuf,
    /// Findings that don't keep the pipeline from running.
    pub warnings: Vec<Diagnostic>,
}

/// One test of a pipeline, with its paths resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Where its samples come from.
    pub input: TestInput,
    /// Earlier sessions of the subject, each a day before the next.
    pub after: Vec<SimulateFile>,
    /// Files that hold what tables must hold, by table.
    pub expect: BTreeMap<String, PathBuf>,
    /// How far a number may be from the expected one, by column.
    pub tolerance: BTreeMap<String, f64>,
}

/// Where a test's samples come from.
#[derive(Clone, Debug, PartialEq)]
pub enum TestInput {
    /// A recording.
    Play {
        /// Its file.
        file: PathBuf,
        /// Event time of the first sample, in RFC 3339.
        start: Option<String>,
    },
    /// The virtual subject.
    Simulate(SimulateFile),
}

/// Name of the pipeline's text in a recording.
pub const PIPELINE_TEXT: &str = "pipeline.yaml";
/// Name of the rig's text in a recording.
pub const RIG_TEXT: &str = "rig.yaml";
/// What the name of a file that a step reads begins with in a recording, so that it can't be one of the others'.
pub const ASSET_TEXT: &str = "asset/";

/// Where a pipeline's other files are.
enum Files<'f> {
    /// In the folder of this pipeline file.
    Beside(&'f Path),
    /// There too, but for one whose text is given.
    Edited(&'f Path, &'f Source),
    /// Among these texts, by name.
    Texts(&'f BTreeMap<String, String>),
}

impl Files<'_> {
    /// Where a name in the pipeline file leads.
    fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Beside(pipeline) | Self::Edited(pipeline, _) => pipeline.parent().unwrap_or(Path::new("")).join(name),
            Self::Texts(_) => name.into(),
        }
    }

    /// The file of that name in the pipeline file; a recording knows its rig under one name.
    fn read(&self, name: &str) -> Result<Source, Box<Diagnostic>> {
        match self {
            Self::Edited(_, edited) if self.path(name).display().to_string() == edited.name => Ok((*edited).clone()),
            Self::Beside(_) | Self::Edited(..) => read(&self.path(name)),
            Self::Texts(texts) => match texts.get(name) {
                Some(text) => Ok(Source { name: name.to_owned(), text: text.clone() }),
                None => Err(Box::new(Diagnostic::whole_file(name.to_owned(), "unreadable", "the recording holds no such text".to_owned()))),
            },
        }
    }

    /// The model's file that a step reads under that name, its bytes as base64: recordings hold texts.
    fn model(&self, name: &str) -> Result<Source, Box<Diagnostic>> {
        match self {
            Self::Beside(_) | Self::Edited(..) => {
                let path = self.path(name);
                let text = base64::engine::general_purpose::STANDARD.encode(read_bytes(&path)?);
                Ok(Source { name: path.display().to_string(), text })
            }
            Self::Texts(_) => self.asset(name),
        }
    }

    /// The file that a step reads under that name.
    fn asset(&self, name: &str) -> Result<Source, Box<Diagnostic>> {
        match self {
            Self::Beside(_) | Self::Edited(..) => self.read(name),
            Self::Texts(_) => self.read(&format!("{ASSET_TEXT}{name}")),
        }
    }
}

/// Checks a rig, pipeline or protocol file, whichever it is; a pipeline's rig and protocol files are checked with it.
pub fn check(path: &Path, registry: &'static [Registration]) -> Checked {
    match read(path) {
        Ok(source) => check_source(&source, path, registry),
        Err(finding) => Checked { kind: None, diagnostics: vec![*finding] },
    }
}

/// As [`check`], with the text given instead of read; `path` still says where other files are looked for.
pub fn check_text(text: &str, path: &Path, registry: &'static [Registration]) -> Checked {
    check_source(&Source { name: path.display().to_string(), text: text.to_owned() }, path, registry)
}

/// The checked plan of a pipeline file and all that stands beside it.
///
/// # Errors
/// Every mistake in the pipeline file and its rig file.
pub fn load(path: &Path, registry: &'static [Registration]) -> Result<Loaded, Vec<Diagnostic>> {
    load_source(&read(path).map_err(|finding| vec![*finding])?, &Files::Beside(path), registry)
}

/// As [`load`], with the text of one file given instead of read: the pipeline's own, or one that it names.
///
/// # Errors
/// Every mistake in the pipeline file and its rig file.
pub fn load_edited(path: &Path, edited: &Path, text: &str, registry: &'static [Registration]) -> Result<Loaded, Vec<Diagnostic>> {
    let edited = Source { name: edited.display().to_string(), text: text.to_owned() };
    let source = if path.display().to_string() == edited.name { Ok(edited.clone()) } else { read(path) };
    load_source(&source.map_err(|finding| vec![*finding])?, &Files::Edited(path, &edited), registry)
}

fn load_source(source: &Source, files: &Files<'_>, registry: &'static [Registration]) -> Result<Loaded, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let Some(tree) = tree::parse(&mut report) else { return Err(report.sorted()) };
    if let Some(kind @ (FileKind::Rig | FileKind::Protocol)) = kind_of(&tree) {
        report.error("wrong-file", tree.span, format!("this is {}; a pipeline file is due here", kind.described()));
        return Err(report.sorted());
    }
    let (diagnostics, loaded) = pipeline::check(&tree, report, files, registry);
    match loaded {
        Some(loaded) if !has_errors(&diagnostics) => Ok(Loaded { warnings: diagnostics, ..loaded }),
        _ => Err(diagnostics),
    }
}

/// The checked plan of the texts that a recording holds: `pipeline.yaml`, and `rig.yaml` whatever its `rig:` says. No file is
/// read.
///
/// # Errors
/// Every mistake in the two texts, or that one is not there.
pub fn load_texts(texts: &BTreeMap<String, String>, registry: &'static [Registration]) -> Result<Loaded, Vec<Diagnostic>> {
    load_source(&Files::Texts(texts).read(PIPELINE_TEXT).map_err(|finding| vec![*finding])?, &Files::Texts(texts), registry)
}

/// A rig file's rig.
///
/// # Errors
/// Every mistake in the file.
pub fn load_rig(path: &Path) -> Result<Rig, Vec<Diagnostic>> {
    let source = read(path).map_err(|finding| vec![*finding])?;
    load_rig_text(&source.text, &source.name)
}

/// The rig of a rig file's text; `name` is what findings call the file.
///
/// # Errors
/// Every mistake in the text.
pub fn load_rig_text(text: &str, name: &str) -> Result<Rig, Vec<Diagnostic>> {
    let (diagnostics, rig) = rig::check_source(&Source { name: name.to_owned(), text: text.to_owned() });
    match rig {
        Some(rig) if !has_errors(&diagnostics) => Ok(rig),
        _ => Err(diagnostics),
    }
}

/// A file that a pipeline's text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// As it is written.
    pub name: String,
    /// Whether it is a text that people write; a model is none.
    pub is_text: bool,
}

/// The other files that a pipeline's text names: its rig, and those that its steps read.
pub fn named_files(text: &str, registry: &'static [Registration]) -> Vec<NamedFile> {
    let source = Source { name: String::new(), text: text.to_owned() };
    let Some(tree) = tree::parse(&mut Report::new(&source)) else { return Vec::new() };
    let rig = tree.get("rig").and_then(Node::text).map(|name| (name, true));
    let steps = names::steps(&tree);
    let of_steps = steps.iter().filter_map(|step| {
        let operator = registry.iter().find(|operator| step.op.is_some_and(|(op, _)| op == operator.name))?;
        let with = step.with?;
        let keys = protocol::file_keys(operator).into_iter();
        Some(keys.filter_map(|(key, is_text)| Some((with.get(&key)?.text()?, is_text))))
    });
    let named = rig.into_iter().chain(of_steps.flatten());
    named.map(|(name, is_text)| NamedFile { name: name.to_owned(), is_text }).collect()
}

fn check_source(source: &Source, path: &Path, registry: &'static [Registration]) -> Checked {
    let mut report = Report::new(source);
    let Some(tree) = tree::parse(&mut report) else { return Checked { kind: None, diagnostics: report.sorted() } };
    let kind = kind_of(&tree);
    let diagnostics = match kind {
        Some(FileKind::Rig) => rig::check(&tree, report).0,
        Some(FileKind::Pipeline) => pipeline::check(&tree, report, &Files::Beside(path), registry).0,
        Some(FileKind::Protocol) => protocol::check(&tree, report),
        None => {
            say_unknown_kind(&tree, &mut report);
            report.sorted()
        }
    };
    Checked { kind, diagnostics }
}

/// Rig and pipeline files have the key `rig`, so what tells them apart is the rest.
fn kind_of(tree: &Node) -> Option<FileKind> {
    let has = |name: &str| tree.get(name).is_some();
    let is_like = |name: &str| tree.entries().iter().any(|(key, _)| nearest(&key.name, [name]).is_some());
    if has("pipeline") || has("steps") {
        Some(FileKind::Pipeline)
    } else if has("sensors") || (has("rig") && !is_like("pipeline") && !is_like("steps")) {
        Some(FileKind::Rig)
    } else if has("protocol") || has("phases") {
        Some(FileKind::Protocol)
    } else if is_like("pipeline") || is_like("steps") {
        Some(FileKind::Pipeline)
    } else {
        let kinds = [("sensors", FileKind::Rig), ("protocol", FileKind::Protocol), ("phases", FileKind::Protocol)];
        kinds.into_iter().find(|(name, _)| is_like(name)).map(|(_, kind)| kind)
    }
}

fn say_unknown_kind(tree: &Node, report: &mut Report<'_>) {
    let span = tree.entries().first().map_or(tree.span, |(key, _)| key.span);
    let finding = report.error("wrong-file", span, "this is neither a rig file nor a pipeline or protocol file");
    finding.help(
        "a rig file has the keys `rig` and `sensors`, a pipeline file `pipeline`, `rig` and `steps`, a protocol `protocol` and `phases`",
    );
}

/// Reads a file, in bounds and as UTF-8.
fn read(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let name = path.display().to_string();
    match String::from_utf8(read_bytes(path)?) {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => Err(Box::new(say_not_utf8(&name, error.as_bytes(), error.utf8_error().valid_up_to()))),
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Box<Diagnostic>> {
    let name = path.display().to_string();
    let refuse = |code, message: String| Box::new(Diagnostic::whole_file(name.clone(), code, message));
    let size = std::fs::metadata(path).map_err(|error| refuse("unreadable", say_io(&error)))?.len();
    if size > tree::MAX_BYTES as u64 {
        return Err(refuse("too-large", format!("the file is larger than {} MiB", tree::MAX_BYTES >> 20)));
    }
    std::fs::read(path).map_err(|error| refuse("unreadable", say_io(&error)))
}

fn say_not_utf8(name: &str, bytes: &[u8], valid: usize) -> Diagnostic {
    let before = String::from_utf8_lossy(&bytes[..valid]).into_owned();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    let source = Source { name: name.to_owned(), text: String::from_utf8_lossy(bytes).into_owned() };
    let mut report = Report::new(&source);
    let message = format!("the byte 0x{:02x} is not UTF-8", bytes.get(valid).copied().unwrap_or_default());
    report.error("encoding", Span { line, column, length: 1 }, message).help("save the file as UTF-8");
    report.sorted().remove(0)
}

fn say_io(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "the file may not be read".to_owned(),
        std::io::ErrorKind::IsADirectory => "this is a folder".to_owned(),
        _ => format!("the file can't be read: {error}"),
    }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|finding| finding.severity == Severity::Error)
}

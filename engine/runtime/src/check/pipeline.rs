//! What is wrong with a pipeline file, and which plan does it make with its rig?

use std::collections::BTreeMap;
use std::path::PathBuf;

use proprio_core::quantity::{Dimension, Duration};
use proprio_core::table::system;
use proprio_core::{Kind, Registration, Rig, TableSpec};

use super::names::{self, StepNode};
use super::planning::{self, Resolved};
use super::protocol;
use super::{FileKind, Files, Loaded, RIG_TEXT, Test, TestInput, has_errors, kind_of, rig, tables};
use crate::diagnostic::{Diagnostic, Report, Source, Span};
use crate::pipeline_file::{Keep, PipelineFile};
use crate::plan::{Plan, PlannedStep, sources};
use crate::tree::{self, Node, Value};
use crate::validate::validate;

/// The most steps that a pipeline may have.
const MAX_STEPS: usize = 1000;

/// Checks a pipeline's tree and its rig file; what may run, when there is no error.
pub(super) fn check(
    tree: &Node,
    mut report: Report<'_>,
    files: &Files<'_>,
    registry: &'static [Registration],
) -> (Vec<Diagnostic>, Option<Loaded>) {
    let schema = schemars::schema_for!(PipelineFile).to_value();
    validate(tree, &schema, None, tree.span, &mut report);
    let (rig_file, mut of_rig) = read_rig(tree, files, &mut report);
    let steps = names::steps(tree);
    if steps.len() > MAX_STEPS {
        let span = tree.get("steps").map_or(tree.span, |steps| steps.span);
        report.error("range", span, format!("a pipeline has at most {MAX_STEPS} steps; these are {}", steps.len()));
        return (report.sorted(), None);
    }
    let mut of_files = Vec::new();
    let resolved: Vec<_> = steps.iter().map(|step| resolve(step, registry, files, &mut report, &mut of_files)).collect();
    names::check_ids(&steps, &mut report);
    let order = names::order(&steps, &mut report);
    check_table_names(tree, &steps, &mut report);
    check_kept(tree, &mut report);
    check_test_files(tree, files, &mut report);
    let loaded = rig_file.and_then(|(rig_path, source, rig)| {
        let planned = planning::plan(&rig, &steps, &resolved, &order, &mut report);
        let tables = check_tables(&rig, &steps, &planned, &mut report);
        if !has_errors(&report.found) && !has_errors(&of_files) {
            let assets = resolved.iter().flatten().flat_map(|resolved| resolved.assets.clone()).collect();
            let found = finish(tree, &report, files, Rigged { rig, source, path: rig_path, assets }, planned, tables);
            found.map_err(|message| report.error("pipeline", tree.span, message).code).ok()
        } else {
            None
        }
    });
    let mut diagnostics = report.sorted();
    diagnostics.append(&mut of_rig);
    diagnostics.append(&mut of_files);
    (diagnostics, loaded)
}

/// A rig with the file that it comes from, and the files that steps read.
struct Rigged {
    rig: Rig,
    source: Source,
    path: PathBuf,
    assets: BTreeMap<String, Vec<u8>>,
}

/// The rig that `rig:` names; and the findings about its file.
fn read_rig(tree: &Node, files: &Files<'_>, report: &mut Report<'_>) -> (Option<(PathBuf, Source, Rig)>, Vec<Diagnostic>) {
    let Some((text, span)) = tree.get("rig").and_then(|node| Some((node.text()?, node.span))) else { return (None, Vec::new()) };
    let name = if matches!(files, Files::Texts(_)) { RIG_TEXT } else { text };
    let path = files.path(name);
    match files.read(name) {
        Ok(source) => {
            let mut of_rig = Report::new(&source);
            let Some(rig_tree) = tree::parse(&mut of_rig) else { return (None, of_rig.sorted()) };
            if let Some(kind @ (FileKind::Pipeline | FileKind::Protocol)) = kind_of(&rig_tree) {
                let message = format!("`{text}` is {}; a rig file is due here", kind.described());
                report.error("rig-file", span, message).help("a rig file has the keys `rig` and `sensors`");
                return (None, Vec::new());
            }
            let (findings, rig) = rig::check(&rig_tree, of_rig);
            (rig.map(|rig| (path, source, rig)), findings)
        }
        Err(finding) if finding.line == 0 => {
            let help = format!("looked for {}", path.display());
            report.error("rig-file", span, format!("the rig file `{text}` can't be used: {}", finding.message)).help(help);
            (None, Vec::new())
        }
        Err(finding) => (None, vec![*finding]),
    }
}

/// A step's operator, its configuration with the files that it names, and whether that fits the operator's schema.
fn resolve(
    step: &StepNode<'_>,
    registry: &'static [Registration],
    files: &Files<'_>,
    report: &mut Report<'_>,
    of_files: &mut Vec<Diagnostic>,
) -> Option<Resolved> {
    let (name, span) = step.op?;
    let Some(operator) = registry.iter().find(|registration| registration.name == name) else {
        let finding = report.error("unknown-operator", span, format!("there is no operator `{name}`"));
        finding.help_names(name, registry.iter().map(|registration| registration.name));
        return None;
    };
    let schema = (operator.schema)().to_value();
    let before = report.found.len();
    let absent = Node { span, value: Value::Map(Vec::new()) };
    let with = step.with.unwrap_or(&absent);
    if matches!(with.value, Value::Map(_)) {
        let key = step.node.entries().iter().find(|(key, _)| key.name == "with");
        validate(with, &schema, Some("with"), key.map_or(span, |(key, _)| key.span), report);
        let embedded = protocol::embed(with, operator, files, report);
        let is_clean = report.found.len() == before && embedded.diagnostics.is_empty();
        // Two steps may read one file; its findings are told once.
        let new: Vec<_> = embedded.diagnostics.into_iter().filter(|finding| !of_files.contains(finding)).collect();
        of_files.extend(new);
        Some(Resolved { operator, config: embedded.config, assets: embedded.assets, is_clean })
    } else {
        Some(Resolved { operator, config: serde_json::Value::Null, assets: Vec::new(), is_clean: false })
    }
}

/// Reports tables in `tables:` and `tests:` that no kind and no step has, and tests without one input.
fn check_table_names(tree: &Node, steps: &[StepNode<'_>], report: &mut Report<'_>) {
    let engine: Vec<String> = system::tables().into_iter().map(|table| table.name).collect();
    let ids = steps.iter().filter_map(|step| Some(step.id?.0));
    let valid: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).chain(ids).chain(engine.iter().map(String::as_str)).collect();
    let tests = tree.get("tests").into_iter().flat_map(Node::items).filter_map(|test| test.get("expect"));
    for (key, _) in tree.get("tables").into_iter().chain(tests).flat_map(Node::entries) {
        if !valid.contains(&key.name.as_str()) {
            report
                .error("unknown-table", key.span, format!("there is no table `{}`", key.name))
                .help_names(&key.name, valid.iter().copied());
        }
    }
    for test in tree.get("tests").into_iter().flat_map(Node::items) {
        if test.get("play").is_some() == test.get("simulate").is_some() {
            report.error("test-input", test.span, "a test has either `play` or `simulate`").help("give one of the two");
        }
        if let (Some(after), Some(_)) = (test.get("after"), test.get("play")) {
            report.error("test-input", after.span, "only a virtual subject has earlier sessions").help("leave it out, or `simulate`");
        }
    }
    for (key, keep) in tree.get("tables").into_iter().flat_map(Node::entries) {
        if keep.value == Value::Bool(false) && engine.contains(&key.name) {
            let message = format!("`{}` is a table of the engine, which is always there", key.name);
            report.error("reserved-name", key.span, message).help("give it a retention, or leave it alone");
        }
    }
}

/// Reports retentions that would keep nothing.
fn check_kept(tree: &Node, report: &mut Report<'_>) {
    let recording = tree.get("recording").and_then(|recording| recording.get("keep"));
    let tables = tree.get("tables").into_iter().flat_map(Node::entries).map(|(_, keep)| keep);
    for keep in tables.chain(recording) {
        let seconds = keep.text().and_then(|text| Dimension::DURATION.parse(text).ok());
        if seconds.is_some_and(|seconds| seconds <= 0.0) {
            report.error("range", keep.span, "nothing would be kept").help("give a length of time above 0, such as `90 d`");
        }
    }
}

/// Warns of a test's files that aren't there: its recording may live outside the repository.
fn check_test_files(tree: &Node, files: &Files<'_>, report: &mut Report<'_>) {
    if matches!(files, Files::Texts(_)) {
        return;
    }
    for test in tree.get("tests").into_iter().flat_map(Node::items) {
        let expected = test.get("expect").into_iter().flat_map(Node::entries).map(|(_, file)| file);
        for file in test.get("play").into_iter().chain(expected) {
            let Some(path) = file.text().map(|text| files.path(text)).filter(|path| !path.exists()) else { continue };
            let help = format!("looked for {}", path.display());
            report.warning("missing-file", file.span, "there is no such file").help(help);
        }
    }
}

/// The plan's tables; reports columns on which streams of one table disagree.
fn check_tables(rig: &Rig, steps: &[StepNode<'_>], planned: &[PlannedStep], report: &mut Report<'_>) -> Vec<TableSpec> {
    let (tables, conflicts) = tables::tables(rig, planned);
    for conflict in conflicts {
        let of_step = |step: &&StepNode<'_>| conflict.step.is_some() && step.id.map(|(id, _)| id) == conflict.step.as_deref();
        let span = steps.iter().find(of_step).map_or(Span { line: 1, column: 1, length: 1 }, StepNode::span);
        report.error("table", span, conflict.message).help("split the step, so that each table has one type and one unit a column");
    }
    tables
}

/// Puts the plan together from a clean file.
fn finish(
    tree: &Node,
    report: &Report<'_>,
    files: &Files<'_>,
    rigged: Rigged,
    mut steps: Vec<PlannedStep>,
    mut tables: Vec<TableSpec>,
) -> Result<Loaded, String> {
    let file: PipelineFile = serde_json::from_value(tree.to_json()).map_err(|error| error.to_string())?;
    let mut retention: BTreeMap<String, Duration> = BTreeMap::new();
    for (table, keep) in file.tables {
        match keep {
            Keep::Out => {
                tables.retain(|spec| spec.name != table);
                steps.iter_mut().filter(|step| step.id == table).for_each(|step| step.table = None);
            }
            Keep::For(duration) => {
                retention.insert(table, duration);
            }
        }
    }
    let tests = file.tests.into_iter().filter_map(|test| {
        let play = test.play.map(|file| TestInput::Play { file: files.path(&file), start: test.start });
        Some(Test {
            input: play.or(test.simulate.map(TestInput::Simulate))?,
            after: test.after,
            expect: test.expect.into_iter().map(|(table, path)| (table, files.path(&path))).collect(),
            tolerance: test.tolerance,
        })
    });
    let Rigged { rig, source, path: rig_path, assets } = rigged;
    let (source_names, sources) = sources(&rig).into_iter().unzip();
    let plan = Plan {
        pipeline: file.pipeline,
        source_names,
        sources,
        steps,
        tables,
        rig_text: source.text,
        pipeline_text: report.source.text.clone(),
        assets,
        rig,
    };
    let recording_kept = file.recording.map(|recording| recording.keep);
    Ok(Loaded { plan, tests: tests.collect(), retention, recording_kept, rig_path, warnings: Vec::new() })
}

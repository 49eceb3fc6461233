//! What is wrong with an exercise's protocol file, and with the files that steps name?

use proprio_core::protocol::Protocol;
use proprio_core::{At, Registration};
use serde_json::Value as Json;

use super::{FileKind, Files, has_errors, kind_of};
use crate::diagnostic::{Diagnostic, Report, Source};
use crate::tree::{self, Node};
use crate::validate::validate;

/// Key of a configuration's JSON Schema that lets a file's name stand in place of what the file holds.
pub(crate) const FILE: &str = "x-file";

/// The [`FILE`] of a model, whose bytes stand in texts as base64.
const MODEL: &str = "onnx";

/// A file that a step names, with its text: what enters the lineage.
pub(super) type Asset = (String, Vec<u8>);

/// The configuration of a step in which files' names are replaced by what the files hold.
#[derive(Default)]
pub(super) struct Embedded {
    pub config: Json,
    pub assets: Vec<Asset>,
    /// Findings in the files, or that one can't be read.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks a protocol file's tree.
pub(super) fn check(tree: &Node, mut report: Report<'_>) -> Vec<Diagnostic> {
    validate(tree, &schemars::schema_for!(Protocol).to_value(), None, tree.span, &mut report);
    if report.found.is_empty() {
        match serde_json::from_value::<Protocol>(tree.to_json()) {
            Ok(protocol) => {
                for finding in protocol.findings() {
                    let At::Config(pointer) = &finding.at else { continue };
                    report.error("protocol", tree.span_at(pointer), finding.message).help = finding.help;
                }
            }
            Err(error) => drop(report.error("protocol", tree.span, error.to_string())),
        }
    }
    report.sorted()
}

/// The keys of an operator's configuration under which a file's name may stand, each with whether the file is a text.
pub(super) fn file_keys(operator: &Registration) -> Vec<(String, bool)> {
    let schema = (operator.schema)().to_value();
    let properties = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
    properties.filter_map(|(name, property)| Some((name.clone(), property.get(FILE)? != MODEL))).collect()
}

/// Reads the files that a step's `with:` names; what is wrong with a name is reported in the pipeline file, what is wrong with a file in
/// that file.
pub(super) fn embed(with: &Node, operator: &Registration, files: &Files<'_>, report: &mut Report<'_>) -> Embedded {
    let mut embedded = Embedded { config: with.to_json(), ..Embedded::default() };
    for (key, is_text) in file_keys(operator) {
        let Some((name, span)) = with.get(&key).and_then(|node| Some((node.text()?, node.span))) else { continue };
        let source = match if is_text { files.asset(name) } else { files.model(name) } {
            Ok(source) => source,
            Err(finding) if finding.line == 0 => {
                let message = format!("the file `{name}` can't be used: {}", finding.message);
                report.error("file", span, message).help(format!("looked for {}", finding.file));
                continue;
            }
            Err(finding) => {
                embedded.diagnostics.push(*finding);
                continue;
            }
        };
        match if is_text { read(&source) } else { Ok(Json::String(source.text.clone())) } {
            Ok(held) => {
                embedded.config[key] = held;
                embedded.assets.push((name.to_owned(), source.text.into_bytes()));
            }
            Err(mut findings) => embedded.diagnostics.append(&mut findings),
        }
    }
    embedded
}

/// What a protocol file holds.
fn read(source: &Source) -> Result<Json, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let Some(tree) = tree::parse(&mut report) else { return Err(report.sorted()) };
    if let Some(kind @ (FileKind::Rig | FileKind::Pipeline)) = kind_of(&tree) {
        report.error("wrong-file", tree.span, format!("this is {}; a protocol file is due here", kind.described()));
        return Err(report.sorted());
    }
    let findings = check(&tree, report);
    if has_errors(&findings) { Err(findings) } else { Ok(tree.to_json()) }
}

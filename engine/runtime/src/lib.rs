//! Rig and pipeline files become a checked plan; the worker runs it over recorded messages.

pub mod check;
pub mod diagnostic;
pub mod editor;
pub mod graph;
pub mod lineage;
pub mod pipeline_file;
pub mod plan;
pub mod reference;
pub mod rig_yaml;
pub mod tree;
pub mod validate;
pub mod worker;

pub use check::{
    ASSET_TEXT, Checked, FileKind, Loaded, NamedFile, PIPELINE_TEXT, RIG_TEXT, Test, TestInput, check, check_text, load, load_edited,
    load_rig, load_rig_text, load_texts, named_files,
};
pub use diagnostic::{Diagnostic, Severity};
pub use editor::schema;
pub use graph::{graph, graph_json};
pub use lineage::Lineage;
pub use plan::{Plan, PlannedStep};
pub use reference::{reference, reference_json};
pub use rig_yaml::rig_yaml;
pub use worker::{Reloaded, SnapshotError, Worker};

//! Do the crates keep to ARCHITECTURE.md: the star, and the homes of heavy dependencies?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Crates of ours that a crate may link beside `proprio-core`; the binary may link all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("proprio-tables", &["proprio-operators"]),
    ("proprio-serve", &["proprio-tables"]),
    ("proprio-accuracy", &["proprio-operators", "proprio-files", "proprio-simulate"]),
    ("proprio-bench", &["proprio-accuracy", "proprio-operators", "proprio-runtime", "proprio-simulate"]),
];

/// Families of dependencies, and the crates that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("zenoh", &["proprio-zenoh"]),
    ("datafusion", &["proprio-tables", "proprio-serve"]),
    ("deltalake", &["proprio-tables"]),
    ("mcap", &["proprio-recording"]),
    ("tokio", &["proprio-zenoh", "proprio-tables", "proprio-serve", "proprio"]),
];

#[test]
fn crates_form_a_star() {
    for package in packages() {
        let allowed = ALLOWED.iter().find(|(name, _)| *name == package.name.as_str()).map_or(&[][..], |(_, allowed)| allowed);
        for dependency in linked(&package).filter(|name| name.starts_with("proprio")) {
            let is_fine = package.name.as_str() == "proprio" || dependency == "proprio-core" || allowed.contains(&dependency.as_str());
            assert!(is_fine, "{} links {dependency}, which ARCHITECTURE.md does not allow", package.name);
        }
    }
}

#[test]
fn heavy_dependencies_have_one_home() {
    for package in packages() {
        for dependency in linked(&package) {
            for (family, homes) in HOMES {
                let is_of_family = dependency == *family || dependency.starts_with(&format!("{family}-"));
                assert!(
                    !is_of_family || homes.contains(&package.name.as_str()),
                    "{} links {dependency}, whose home is {homes:?}",
                    package.name
                );
            }
        }
    }
}

#[test]
fn architecture_names_every_crate_and_no_other() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is at the root");
    let rows = text.lines().filter(|line| line.starts_with("| `proprio"));
    let named: BTreeMap<String, String> = rows
        .map(|row| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
            (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
        })
        .collect();
    let folder = |package: &Package| {
        let folder = package.manifest_path.parent().expect("a manifest stands in a folder");
        folder.strip_prefix(root()).expect("crates stand in the repository").display().to_string()
    };
    let real: BTreeMap<String, String> = packages().iter().map(|package| (package.name.clone(), folder(package))).collect();
    assert_eq!(named, real);
}

#[test]
fn only_the_agreed_entries_stand_at_the_top() {
    let agreed: BTreeSet<&str> =
        ["Cargo.toml", "Cargo.lock", "engine", "operators", "pipelines", "deploy", "README.md", "ARCHITECTURE.md", "LICENSE", "target"]
            .into();
    let entries = std::fs::read_dir(root()).expect("the root can be read");
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        assert!(name.starts_with('.') || agreed.contains(name.as_str()), "{name} stands at the top");
    }
}

/// Methods of floats that std takes from glibc, which picks its instructions at run time (ARCHITECTURE.md, "same bytes").
const TRANSCENDENTAL: [&str; 20] = [
    "sin", "cos", "tan", "sin_cos", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "exp", "exp2", "exp_m1", "ln", "ln_1p",
    "log10", "log2", "powf", "hypot",
];

#[test]
fn transcendentals_come_from_libm() {
    let mut folders = ["operators/src", "engine/core/src", "engine/runtime/src"].map(|folder| root().join(folder)).to_vec();
    let (mut files, mut found) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it can be listed").map(|entry| entry.expect("it can be listed").path()) {
            if entry.is_dir() {
                folders.extend((!entry.ends_with("tests")).then_some(entry));
                continue;
            }
            let text = std::fs::read_to_string(&entry).expect("a source is text");
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let is_called = |line: &str| TRANSCENDENTAL.iter().any(|method| line.contains(&format!(".{method}(")));
            let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//") && is_called(line));
            found.extend(lines.map(|(number, line)| format!("{}:{}: {}", entry.display(), number + 1, line.trim())));
            files += 1;
        }
    }
    assert!(files > 100, "{files} files were read");
    assert!(found.is_empty(), "{found:#?}");
}

/// What `cargo metadata` says of the workspace, as far as it is asked here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// None for what is linked outside tests and build scripts.
    kind: Option<String>,
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).expect("cargo describes the workspace").packages
}

/// What a package links outside its tests.
fn linked(package: &Package) -> impl Iterator<Item = String> {
    package.dependencies.iter().filter(|dependency| dependency.kind.is_none()).map(|dependency| dependency.name.clone())
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the crate stands in the repository")
}

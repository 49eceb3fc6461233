//! Lists the operator files and writes the registry: adding an operator is adding one file to a family's folder.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder");
    let source = Path::new(&root).join("src");
    println!("cargo::rerun-if-changed=src");
    // The registry holds absolute paths: see .cargo/config.toml.
    println!("cargo::rerun-if-env-changed=PROPRIO_ROOT");
    let (mut modules, mut entries) = (String::new(), String::new());
    for family in names(&source, "").into_iter().filter(|name| source.join(name).is_dir() && name != "kernels") {
        println!("cargo::rerun-if-changed=src/{family}");
        // A family may be named as its operator is.
        writeln!(modules, "#[allow(clippy::module_inception)] pub mod {family} {{ //! Operators of the family `{family}`.")
            .expect("a string takes text");
        for file in names(&source.join(&family), ".rs") {
            let path = source.join(&family).join(format!("{file}.rs"));
            let path = path.display().to_string();
            writeln!(modules, "#[path = {path:?}] pub mod {file};").expect("a string takes text");
            writeln!(entries, "Registration::of::<{family}::{file}::Config>({file:?}, {family:?}, include_str!({path:?})),")
                .expect("a string takes text");
        }
        modules.push_str("}\n");
    }
    let text = format!("{modules}/// Every operator, by family and name.\npub static REGISTRY: &[Registration] = &[\n{entries}];\n");
    let out = env::var("OUT_DIR").expect("cargo names the output folder");
    fs::write(Path::new(&out).join("registry.rs"), text).expect("the output folder can be written");
}

/// Names in a folder that end in `suffix`, without it, sorted.
fn names(folder: &Path, suffix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the source folder can be read");
    let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(suffix).map(str::to_owned)).collect();
    names.sort();
    names
}

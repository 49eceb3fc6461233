//! Builds the operator's page, `engine/console`, into `OUT_DIR/console`, whose files `src/http/page.rs` embeds.
//!
//! Everything happens in `OUT_DIR`, so that target directories can share a checkout and the sources stay clean. Packages are fetched again
//! only when `package-lock.json` has changed, and nothing runs while the page's sources stay as they are. Without Node or npm's registry
//! the engine builds all the same, and the page says what is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the page is made of. Its tests are no part of it.
const SOURCES: &[&str] = &["index.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts", "src"];

fn main() {
    let folder = |name: &str| PathBuf::from(std::env::var(name).expect("cargo sets it for build scripts"));
    let (console, out) = (folder("CARGO_MANIFEST_DIR").join("../console"), folder("OUT_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", console.join(source).display());
    }
    let (work, page) = (out.join("page"), out.join("console"));
    match packages(&console, &work) {
        Ok(()) => build(&work, &page),
        Err(missing) => {
            println!("cargo::warning=the engine is built without its page: {missing}");
            explain(&page, &missing);
        }
    }
}

/// Copies the sources, and fetches what the page is built with.
///
/// # Errors
/// What is missing, for people.
fn packages(console: &Path, work: &Path) -> Result<(), String> {
    run(Command::new("node").arg("--version")).map_err(|error| format!("Node 20 or newer is needed to build it ({error})"))?;
    let stamp = work.join("node_modules/.fetched");
    let lock = read(&console.join("package-lock.json"));
    let is_fetched = std::fs::read(&stamp).is_ok_and(|fetched| fetched == lock);
    for source in SOURCES {
        copy(&console.join(source), &work.join(source));
    }
    if !is_fetched {
        let mut npm = Command::new("npm");
        npm.current_dir(work).args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]);
        run(npm.args(["--fetch-retries=1", "--fetch-timeout=30000"])).map_err(|error| format!("`npm ci` failed ({error})"))?;
        std::fs::write(&stamp, lock).expect("OUT_DIR can be written");
    }
    Ok(())
}

/// Builds the page; a mistake in it fails the engine's build.
fn build(work: &Path, page: &Path) {
    let mut vite = Command::new("node");
    vite.current_dir(work).arg("node_modules/vite/bin/vite.js").args(["build", "--logLevel", "warn", "--emptyOutDir", "--outDir"]);
    if let Err(error) = run(vite.arg(page)) {
        panic!("the page can't be built: {error}");
    }
}

/// A page that says why there is no other.
fn explain(page: &Path, missing: &str) {
    let missing = missing.replace('&', "&amp;").replace('<', "&lt;");
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>proprio</title>\
         <h1>This engine was built without its page</h1><p>{missing}.</p>\
         <p>Then <code>cargo clean -p proprio-serve</code> and build again. SQL is asked at <code>/v1/sql</code> all the same, \
         and <code>/v1/openapi.json</code> describes the rest.</p></html>\n"
    );
    // One that was built before is of other sources.
    let _ = std::fs::remove_dir_all(page);
    std::fs::create_dir_all(page).expect("OUT_DIR can be written");
    std::fs::write(page.join("index.html"), text).expect("OUT_DIR can be written");
}

/// Runs a program; its words when it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let words: Vec<&str> = text.lines().filter(|line| !line.starts_with("npm warn")).take(20).collect();
    Err(words.join(" · "))
}

/// Copies a file or a folder over what was there.
fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        std::fs::create_dir_all(to.parent().expect("a file stands in a folder")).expect("OUT_DIR can be written");
        std::fs::write(to, read(from)).expect("OUT_DIR can be written");
        return;
    }
    // What is gone from the sources is to be gone here.
    let _ = std::fs::remove_dir_all(to);
    let entries = std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

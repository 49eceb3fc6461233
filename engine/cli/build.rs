//! Tells the build which commit and target it is of: both are part of a run's identity.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../.git/index");
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--exclude", "*"]).output();
    let commit = git.ok().filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo::rustc-env=PROPRIO_COMMIT={}", commit.as_deref().map_or("unknown", str::trim));
    println!("cargo::rustc-env=PROPRIO_TARGET={}", std::env::var("TARGET").expect("cargo names the target"));
}

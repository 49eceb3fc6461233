//! `proprio operators`: which operators are there, and how is each configured?

use std::io::Write as _;
use std::process::ExitCode;

use proprio_operators::REGISTRY;
use proprio_runtime::diagnostic::nearest;
use proprio_runtime::reference::headline;
use proprio_runtime::{reference, reference_json};

/// Lists the operators, or prints one's manual.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The operator to explain.
    name: Option<String>,
    /// Print JSON, with each configuration's JSON Schema.
    #[arg(long)]
    json: bool,
}

/// Prints the list or the manual.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &args.name {
        Some(name) => {
            let Some(operator) = REGISTRY.iter().find(|operator| operator.name == name.as_str()) else {
                let names = REGISTRY.iter().map(|operator| operator.name);
                let help = nearest(name, names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                anyhow::bail!("there is no operator `{name}`{help}");
            };
            if args.json {
                writeln!(out, "{}", serde_json::to_string_pretty(&reference_json(operator))?)?;
            } else {
                write!(out, "{}", reference(operator))?;
            }
        }
        None if args.json => {
            let all: Vec<_> = REGISTRY.iter().map(reference_json).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
        None => {
            let width = REGISTRY.iter().map(|operator| operator.name.len()).max().unwrap_or(0);
            let mut family = "";
            for operator in REGISTRY {
                if operator.family != family {
                    family = operator.family;
                    writeln!(out, "{family}")?;
                }
                writeln!(out, "  {:width$}  {}", operator.name, headline(operator))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

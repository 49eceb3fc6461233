//! `proprio schema`: the JSON Schema by which an editor completes and checks rig, pipeline and protocol files.

use std::io::Write as _;
use std::process::ExitCode;

use proprio_operators::REGISTRY;
use proprio_runtime::FileKind;

/// Prints the JSON Schema of rig, pipeline or protocol files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which file.
    #[arg(value_enum)]
    file: File,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum File {
    /// A rig file.
    Rig,
    /// A pipeline file, with every operator's configuration.
    Pipeline,
    /// An exercise's protocol file.
    Protocol,
}

/// Prints the schema.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let kind = match args.file {
        File::Rig => FileKind::Rig,
        File::Pipeline => FileKind::Pipeline,
        File::Protocol => FileKind::Protocol,
    };
    let schema = proprio_runtime::schema(kind, REGISTRY);
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}

//! `cargo run -p proprio-accuracy --example model -- FOLDER`: what step `model` makes of each `<name>.onnx` there for each line of `<name>.csv`, a
//! window's numbers row by row; for whoever compares it with another runtime (`.ci/oracles/onnx`).

#![allow(clippy::print_stdout, reason = "the probabilities are its output")]

use std::path::PathBuf;

use proprio_operators::kernels::onnx::Network;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("a folder is due")?);
    let mut models = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        models.push(entry?.path());
    }
    models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    models.sort();
    for model in models {
        let name = model.file_stem().ok_or("a file has a name")?.to_string_lossy().into_owned();
        let network = match Network::read(&std::fs::read(&model)?) {
            Ok(network) => network,
            Err(why) => {
                println!("{name};refused;{why}");
                continue;
            }
        };
        for line in std::fs::read_to_string(model.with_extension("csv"))?.lines() {
            let window = line.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
            let probabilities = network.probabilities(&window).ok_or("a window gives no probabilities")?;
            println!("{name};{}", probabilities.iter().map(f64::to_string).collect::<Vec<_>>().join(";"));
        }
    }
    Ok(())
}

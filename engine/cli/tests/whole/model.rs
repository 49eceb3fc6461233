//! Is a model part of what was recorded, so that a session replays without the file?

use crate::architecture::root;
use crate::harness::{Engine, finish, path, proprio};

#[test]
fn a_session_replays_by_the_model_that_it_was_recorded_with() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["pipeline.yaml", "rig.yaml", "impairment.onnx"] {
        std::fs::copy(root().join("pipelines/impairment").join(name), folder.path().join(name)).expect("it is there");
    }
    let (pipeline, model) = (folder.path().join("pipeline.yaml"), folder.path().join("impairment.onnx"));
    let mut engine = Engine::run(&pipeline);
    let args = ["simulate", "--layout", "walking", "--duration", "10 s", "--speed", "max", "--impair", "pelvic-drop=9deg:left"];
    engine.command(&args);
    let resembled = engine.sql("SELECT class, count(*) > 3, max(abs(p_pelvic_drop_left - probability)) FROM resembles GROUP BY class");
    assert_eq!(resembled, [["pelvic_drop_left", "true", "0.0"]]);
    engine.stop();
    let bytes = std::fs::read(&model).expect("it is there");
    std::fs::remove_file(&model).expect("it is ours");
    engine.done(&["replay", "all", "--verify"]);

    // A file that is no model, or one of another shape, is refused where the pipeline names it.
    let text = std::fs::read_to_string(&pipeline).expect("it is there");
    let line = |of: &str| 1 + text.lines().position(|line| line.trim_start().starts_with(of)).expect("a line of the step");
    let refused = |content: &[u8], edited: &str, at: usize, why: &str| {
        std::fs::write(&model, content).expect("it is written");
        std::fs::write(&pipeline, edited).expect("it is written");
        let output = finish(proprio().args(["check", path(&pipeline)]));
        let answer = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{answer}");
        assert!(answer.contains(&format!("pipeline.yaml:{at}:")) && answer.contains(why), "line {at}, {why}: {answer}");
    };
    refused(b"no model", &text, line("model:"), "no ONNX file");
    refused(&bytes, &text.replace("every: 5", "every: 5\n      sur: 1"), line("every:") + 1, "`sure`");
    refused(&bytes, &text.replace("classes: [none, ", "classes: ["), line("classes:"), "gives 5 numbers, and 4 classes are named");
}

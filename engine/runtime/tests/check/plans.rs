//! What a good file becomes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proprio_core::schema::{FieldExt, meta};
use proprio_runtime::{FileKind, Loaded, TestInput, load, load_texts};

use crate::fake::REGISTRY;
use crate::files::golden;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/good")
}

pub fn good() -> Loaded {
    load(&folder().join("pipeline.yaml"), REGISTRY).unwrap_or_else(|findings| {
        findings.iter().for_each(|finding| eprintln!("{finding}"));
        panic!("the good pipeline has {} findings", findings.len())
    })
}

#[test]
fn steps_come_after_what_they_read_and_a_pattern_is_planned_per_stream() {
    let plan = good().plan;
    let streams: Vec<_> = plan.steps.iter().map(|step| (step.stream.as_str(), step.op, step.key.as_deref(), &step.inputs[..])).collect();
    // Sensors by name: marks, muscles, pelvis, plate, trunk; then what people say.
    assert_eq!(
        streams,
        [
            ("turn/pelvis", "scale", Some("pelvis"), &[2][..]),
            ("turn/trunk", "scale", Some("trunk"), &[4]),
            ("envelope", "scale", None, &[1]),
            ("fused", "fuse", None, &[7, 8, 9]),
            ("high", "watch", None, &[10]),
            ("bridges", "train", None, &[7]),
        ]
    );
    let columns: Vec<_> = plan.schema(10).names().collect();
    assert_eq!(columns, ["pelvis_value", "trunk_value", "envelope_value"]);
    assert_eq!(plan.schema(7).rate, Some(proprio_core::Rate::hz(100)));
}

#[test]
fn tables_are_the_kinds_the_steps_and_the_engines_own() {
    let loaded = good();
    let plan = &loaded.plan;
    let table = |name: &str| plan.tables.iter().find(|table| table.name == name);
    let imu = table("imu").expect("the rig has imu sensors");
    assert_eq!((imu.key.as_deref(), imu.high_rate), (Some("sensor"), true));
    let nullable = |name: &str| imu.columns.field_with_name(name).expect("an imu column").is_nullable();
    assert!(nullable("mag_x_ut"), "the trunk has no magnetometer");
    assert!(!nullable("gyro_x_rad_per_s"));
    let gyro = imu.columns.field_with_name("gyro_x_rad_per_s").expect("an imu column");
    assert_eq!((gyro.meta(meta::UNIT), gyro.meta(meta::SEGMENT)), (Some("rad/s"), None), "the segments differ");
    let events = table("events").expect("a table of the engine");
    assert!(!events.high_rate && events.key.as_deref() == Some("sensor"));
    assert!(events.columns.field_with_name("sequence").expect("of the sensor").is_nullable(), "a mark has no sequence");
    let turn = table("turn").expect("a step's table");
    assert_eq!((turn.key.as_deref(), turn.high_rate), (Some("sensor"), true));
    assert_eq!(table("envelope").expect("a step's table").key, None);
    assert!(table("force").is_none(), "the pipeline leaves it out");
    assert!(table("high").is_none() && table("alerts").is_some(), "alerts land in one table");
    assert_eq!(plan.steps.iter().find(|step| step.id == "high").and_then(|step| step.table.as_deref()), Some("alerts"));
    assert_eq!(loaded.retention.get("turn").map(|kept| kept.seconds()), Some(90.0 * 86400.0));
    assert_eq!(loaded.recording_kept, None, "the recording is kept for ever unless the file says otherwise");
}

#[test]
fn tests_name_files_from_the_pipelines_folder() {
    let tests = good().tests;
    assert_eq!(tests[0].input, TestInput::Play { file: folder().join("walk.csv"), start: None });
    let TestInput::Simulate(subject) = &tests[1].input else { panic!("the second test simulates") };
    assert_eq!((subject.layout.as_str(), subject.duration.seconds(), subject.seed), ("walking", 20.0, 7));
    assert_eq!(tests[0].expect["high"], folder().join("walk.expected.csv"));
    assert_eq!(tests[0].tolerance["since_ns"], 5.0);
}

#[test]
fn a_plan_reads_as_a_tree() {
    let plan = good().plan;
    golden("graph.txt", &proprio_runtime::graph(&plan));
    let json = proprio_runtime::graph_json(&plan);
    assert_eq!(json["steps"][3]["inputs"], serde_json::json!(["turn/pelvis", "turn/trunk", "envelope"]));
}

#[test]
fn an_operators_manual_is_its_header_and_its_doc_comments() {
    let manuals: Vec<String> = REGISTRY.iter().map(proprio_runtime::reference).collect();
    golden("manual.md", &manuals.join("\n"));
}

#[test]
fn the_schema_for_editors_knows_each_operators_configuration() {
    let schema = proprio_runtime::schema(FileKind::Pipeline, REGISTRY);
    let cases = schema["$defs"]["StepFile"]["allOf"].as_array().expect("a case an operator");
    assert_eq!(cases.len(), REGISTRY.len());
    let then = &cases[0]["then"];
    assert_eq!(then["properties"]["with"]["$ref"], "#/$defs/scale");
    assert_eq!(then["required"], serde_json::json!(["with"]));
    let mut references = Vec::new();
    collect_references(&schema, &mut references);
    assert!(references.len() > 5);
    for reference in references {
        assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{reference} points nowhere");
    }
    let protocol = &schema["$defs"]["train"]["properties"]["protocol"]["anyOf"];
    assert_eq!((&protocol[0]["type"], &protocol[1]["$ref"]), (&"string".into(), &"#/$defs/train/$defs/Protocol".into()));
    assert!(proprio_runtime::schema(FileKind::Rig, REGISTRY)["properties"]["sensors"].is_object());
    assert!(proprio_runtime::schema(FileKind::Protocol, REGISTRY)["properties"]["phases"].is_object());
}

fn collect_references(schema: &serde_json::Value, into: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(entries) => {
            into.extend(entries.get("$ref").and_then(|path| path.as_str()).map(str::to_owned));
            entries.values().for_each(|value| collect_references(value, into));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_references(item, into)),
        _ => {}
    }
}

#[test]
fn a_plan_from_recorded_texts_is_the_files_plan() {
    let from_files = good().plan;
    let pipeline = from_files.pipeline_text.replace("rig: rig.yaml", "rig: ../elsewhere/lab.yaml");
    let mut texts = from_files.texts();
    let names: Vec<_> = texts.keys().map(String::as_str).collect();
    assert_eq!(names, ["asset/bridge.yaml", "pipeline.yaml", "rig.yaml"], "a recording holds every file that the plan was made of");
    texts.insert("pipeline.yaml".to_owned(), pipeline);
    let loaded = load_texts(&texts, REGISTRY).expect("the good texts");
    assert_eq!(loaded.plan.rig, from_files.rig);
    let steps = |plan: &proprio_runtime::Plan| plan.steps.iter().map(|step| (step.stream.clone(), step.config.clone())).collect::<Vec<_>>();
    assert_eq!(steps(&loaded.plan), steps(&from_files));
    assert!(loaded.warnings.is_empty(), "a recording has no test files to miss");
}

#[test]
fn a_run_is_named_after_the_files_that_its_steps_read() {
    let plan = good().plan;
    let run = |plan: &proprio_runtime::Plan| proprio_runtime::Lineage::of(plan, REGISTRY, "build", "target");
    let mut texts = plan.texts();
    let text = texts.get_mut("asset/bridge.yaml").expect("the protocol");
    *text = text.replace("repetitions: 10", "repetitions: 12");
    let edited = load_texts(&texts, REGISTRY).expect("the edited protocol").plan;
    assert_eq!(edited.steps.last().map(|step| step.config["protocol"]["repetitions"].clone()), Some(12.into()));
    assert_ne!(run(&plan).run_id(), run(&edited).run_id());
    assert_eq!(run(&plan).asset_hashes().into_keys().collect::<Vec<_>>(), ["bridge.yaml"]);
    let named = proprio_runtime::named_files(&plan.pipeline_text, REGISTRY);
    assert_eq!(
        named.iter().map(|file| (file.name.as_str(), file.is_text)).collect::<Vec<_>>(),
        [("rig.yaml", true), ("bridge.yaml", true)]
    );
}

#[test]
fn recorded_texts_that_do_not_check_say_why() {
    let plan = good().plan;
    let protocol = ("asset/bridge.yaml".to_owned(), plan.texts()["asset/bridge.yaml"].clone());
    let mut texts = BTreeMap::from([("pipeline.yaml".to_owned(), plan.pipeline_text.clone()), protocol]);
    let findings = load_texts(&texts, REGISTRY).expect_err("no rig");
    assert!(findings[0].to_string().contains("the recording holds no such text"), "{}", findings[0]);
    texts.insert("rig.yaml".to_owned(), plan.rig_text.replace("kind: events", "kind: event"));
    let findings = load_texts(&texts, REGISTRY).expect_err("a bad rig");
    assert_eq!((findings[0].file.as_str(), findings[0].code), ("rig.yaml", "unknown-value"), "{}", findings[0]);
    texts = plan.texts();
    texts.remove("asset/bridge.yaml");
    let findings = load_texts(&texts, REGISTRY).expect_err("no protocol");
    assert!(findings[0].message.contains("the recording holds no such text"), "{}", findings[0]);
}

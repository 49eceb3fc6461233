//! What bad files are told: each case's rendered findings equal the golden beside it, and no byte of nonsense panics.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proprio_runtime::{FileKind, check, check_text, load};

use crate::fake::REGISTRY;
use crate::plans::folder;

/// The good files with one replacement each, or a text of their own: name, which file, what it becomes.
fn cases() -> Vec<(&'static str, &'static str, String)> {
    let pipeline = std::fs::read_to_string(folder().join("pipeline.yaml")).expect("the good pipeline is there");
    let rig = std::fs::read_to_string(folder().join("rig.yaml")).expect("the good rig is there");
    let edit = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "nothing to replace: {from}");
        text.replacen(from, to, 1)
    };
    let p = |name, from: &str, to: &str| (name, "pipeline.yaml", edit(&pipeline, from, to));
    let r = |name, from: &str, to: &str| (name, "rig.yaml", edit(&rig, from, to));
    let protocol = std::fs::read_to_string(folder().join("bridge.yaml")).expect("the good protocol is there");
    let e = |name, from: &str, to: &str| (name, "bridge.yaml", edit(&protocol, from, to));
    let mut cases = vec![
        p("unknown key in a step", "op: scale\n    from", "opp: scale\n    from"),
        p("unknown key in with", "tolerance", "tolerence"),
        p("unknown key at the top", "tables:", "table:"),
        p("missing key in a step", ", from: fused", ""),
        p("missing with", ", with: { column: gluteus_medius_left_v } }", " }"),
        p("missing key in with", "column: gyro_x_rad_per_s, ", ""),
        p("wrong type", "[turn/*, envelope]", "{ a: turn/* }"),
        p("a number where text is due", "pipeline: lumbopelvic", "pipeline: 42"),
        p("a text where a number is due", "factor: 2", "factor: twice"),
        p("a unit where none is due", "factor: 2", "factor: 2 Hz"),
        p("a number out of range", "factor: 2", "factor: 5000, samples: 3"),
        p("a negative count", "factor: 2", "samples: -1"),
        p("an unknown value", "factor: 2", "gaps: linaer"),
        p("a frequency where a duration is due", "20 ms", "20 Hz"),
        p("a number without its unit", "20 ms", "20"),
        p("an unknown unit", "20 ms", "20 parsecs"),
        p("a mistake deep in with", "tolerance: 20 ms", "inputs: { envelope: { tolerance: 5 mm, hold: true } }"),
        p("one item too many", "tolerance: 20 ms", "band: [1 Hz, 2 Hz, 3 Hz]"),
        p("a mistake inside a list that the operator finds", "tolerance: 20 ms", "band: [1 Hz, 300 Hz]"),
        p("unknown operator", "op: fuse", "op: fuze"),
        p("unknown stream", "from: emg/muscles", "from: emg/muscle"),
        p("a kind without a sensor", "from: emg/muscles", "from: emg"),
        p("a kind that the rig lacks", "from: emg/muscles", "from: markers/body"),
        p("a stream of a step that has none of that key", "from: fused", "from: turn/plevis"),
        p("a pattern that matches nothing", "from: imu/*", "from: markers/*"),
        p("a pattern over one stream", "[turn/*, envelope]", "[turn/*, envelope/*]"),
        p("a pattern of everything", "from: imu/*", "from: '*'"),
        p("a stream read twice", "[turn/*, envelope]", "[turn/*, turn/trunk]"),
        p("a cycle of two", "from: emg/muscles", "from: high"),
        p("a step that reads itself", "from: emg/muscles", "from: envelope"),
        p(
            "a duplicate id",
            "tables:\n",
            "  - { id: turn, op: scale, from: emg/muscles, with: { column: gluteus_medius_left_v } }\ntables:\n",
        ),
        p(
            "an id that is a kind",
            "tables:\n",
            "  - { id: imu, op: scale, from: emg/muscles, with: { column: gluteus_medius_left_v } }\ntables:\n",
        ),
        p(
            "an id that is a table of the engine",
            "tables:\n",
            "  - { id: losses, op: scale, from: emg/muscles, with: { column: gluteus_medius_left_v } }\ntables:\n",
        ),
        p(
            "an id that is a view",
            "tables:\n",
            "  - { id: envelope_latest, op: scale, from: emg/muscles, with: { column: gluteus_medius_left_v } }\ntables:\n",
        ),
        p(
            "an id in capitals",
            "tables:\n",
            "  - { id: Envelope, op: scale, from: emg/muscles, with: { column: gluteus_medius_left_v } }\ntables:\n",
        ),
        p("a rig file that isn't there", "rig: rig.yaml", "rig: rigg.yaml"),
        p("a rig that is a pipeline", "rig: rig.yaml", "rig: pipeline.yaml"),
        p("a column that isn't there", "gyro_x_rad_per_s", "gyro_x"),
        p("a column that one stream lacks", "gyro_x_rad_per_s", "mag_x_ut"),
        p(
            "an input without a rate",
            "from: emg/muscles, with: { column: gluteus_medius_left_v }",
            "from: events/marks, with: { column: event }",
        ),
        p("a finding about the step", "envelope_value", "envelope"),
        p(
            "two keys that are one",
            "tables:\n",
            "  - { id: both, op: scale, from: [imu/pelvis, turn/pelvis], with: { column: value } }\ntables:\n",
        ),
        p(
            "one table in two units",
            "tables:\n",
            "  - { id: both, op: scale, from: [turn/*, envelope], with: { column: value } }\ntables:\n",
        ),
        p("an unknown table", "turn: 90 d", "turm: 90 d"),
        p("a table of the engine left out", "force: false", "alerts: false"),
        p("a retention that is none", "turn: 90 d", "turn: true"),
        p("retentions that keep nothing", "turn: 90 d", "turn: -1 d\nrecording: { keep: 0 s }"),
        p("an unknown table in a test", "expect: { high", "expect: { hihg"),
        p("a duplicate key", "rig: rig.yaml", "rig: rig.yaml\npipeline: again"),
        p("a bracket left open", "[turn/*, envelope]", "[turn/*, envelope"),
        p("a tab", "\n    op: scale", "\n\top: scale"),
        p("a second document", "tables:", "---\ntables:"),
        p("an unknown anchor", "from: imu/*", "from: *imu"),
        p("a test without its recording", "play: walk.csv", "play: run.csv"),
        p("a test with two inputs", "simulate: {", "play: walk.csv, simulate: {"),
        p("a start that is no instant", "play: walk.csv", "play: walk.csv, start: yesterday"),
        p("a test that plays a number", "play: walk.csv", "play: 7"),
        p(
            "many mistakes at once",
            "steps:\n",
            "steps:\n  - { id: a, op: nope, from: imu/nope }\n  - { id: b, op: scale, with: { colum: 3 } }\n  - 7\n",
        ),
        r("no rate", "rate: 1 kHz", "side: left"),
        r("a rate of no dimension", "rate: 1 kHz", "rate: 1 ms"),
        r("a rate where none is due", "kind: events", "kind: events, rate: 5 Hz"),
        r("an unknown kind", "kind: events", "kind: event"),
        r("no channels", "    channels: { 1: gluteus_medius_left, 2: gluteus_medius_right }\n", ""),
        r("a channel that is no number", "{ 1: gluteus", "{ one: gluteus"),
        r("a muscle that can't be a column", "gluteus_medius_right", "gluteus medius (right)"),
        r("a muscle twice", "gluteus_medius_right", "gluteus_medius_left"),
        r("markers without labels", "kind: force, rate: 1 kHz", "kind: markers, rate: 1 kHz"),
        r("channels on an imu", "segment: thorax", "channels: { 1: a }"),
        r("a key outside the rig", "key: lab-1/imu/pelvis", "key: lab-2/imu/pelvis"),
        r("a key with a wildcard", "key: lab-1/imu/pelvis", "key: lab-1/imu/*"),
        r("a key of the engine", "key: lab-1/imu/pelvis", "key: lab-1/@ack/pelvis"),
        r("a key twice", "key: lab-1/imu/pelvis", "key: lab-1/imu/trunk"),
        r("a sensor that can't be a column", "  trunk:", "  trunk-1:"),
        r("a strict boolean", "magnetometer: false", "magnetometer: no"),
        r("a rig name with a slash", "rig: lab-1", "rig: lab/1"),
        r("an endless lateness", "segment: thorax", "out_of_order: 2 h"),
        r("a clock of nobody", "segment: thorax", "clock: gps"),
        r("gaps filled to no end", "segment: thorax", "loss: fill"),
        r("gaps filled with nothing", "segment: thorax", "fill_up_to: 50 ms"),
        r("gaps left missing up to a length", "segment: thorax", "loss: missing, fill_up_to: 50 ms"),
        r("gaps shorter than a sample", "segment: thorax", "loss: hold, fill_up_to: 3 ms"),
        r("gaps of a minute", "segment: thorax", "loss: hold, fill_up_to: 1 min"),
        r("an unknown loss", "segment: thorax", "loss: hodl, fill_up_to: 50 ms"),
        r("losses where nothing is counted", "kind: events", "kind: events, loss: fill, fill_up_to: 50 ms, rate_tolerance: 1 %"),
        r("a tolerance without its unit", "segment: thorax", "rate_tolerance: 2"),
        r("a tolerance that is a rate", "segment: thorax", "rate_tolerance: 2 Hz"),
        r("a tolerance of everything", "segment: thorax", "rate_tolerance: 200 %"),
        r("a silence too short", "segment: thorax", "idle_after: 5 ms"),
        r("a sensor that is nothing", "{ kind: events }", ""),
        r("a merge key", "{ kind: events }", "{ <<: { kind: events } }"),
        p("a protocol that isn't there", "bridge.yaml", "brigde.yaml"),
        p("a protocol that is a rig", "bridge.yaml", "rig.yaml"),
        p("a protocol in place, with a mistake", "protocol: bridge.yaml", "protocol: { protocol: x, phases: { hold: 5 s } }"),
        e("a misspelt phase", "eccentric", "excentric"),
        e("a phase without its duration", "{ duration: 2 s, tolerance: 40 % }", "{ tolerance: 40 % }"),
        e("a target in another unit", "target: 5 deg", "target: 5 cm"),
        e("an angle without a number", "target: 5 deg", "target: straight"),
        e("a band that holds everything", "band: 5 deg", "band: 45 deg"),
        e("a phase of no length", "concentric: { duration: 2 s }", "concentric: { duration: 0 s }"),
        e("no repetitions", "repetitions: 10", "repetitions: 0"),
        e("sets without a rest between", "set_rest: 60 s\n", ""),
        e("a compensation that can't be a column", "pelvic_drop", "pelvic-drop"),
        e("a side of none", "protocol: bridge", "protocol: bridge\nside: middle"),
    ];
    let own = [
        ("an empty file", String::new()),
        ("a comment alone", "# nothing\n".to_owned()),
        ("a text", "hello".to_owned()),
        ("neither of both", "foo: 1\nbar: 2\n".to_owned()),
        ("a misspelt top key", "pipelin: a\nrig: rig.yaml\nstps: []\n".to_owned()),
        ("a deep nest", format!("rig: {}{}", "[".repeat(500), "]".repeat(500))),
        ("an alias bomb", alias_bomb()),
        ("a control character", "rig: \u{1b}[31mred\u{7}\n".to_owned()),
        ("steps that are no list", "pipeline: a\nrig: rig.yaml\nsteps: all\n".to_owned()),
    ];
    cases.extend(own.map(|(name, text)| (name, "own.yaml", text)));
    cases
}

/// Each alias holds ten of the one before it: a billion values in a few lines.
fn alias_bomb() -> String {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..10 {
        let _ = writeln!(text, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    text
}

#[test]
fn every_mistake_is_told_where_it_stands_and_how_to_mend_it() {
    let cases = cases();
    assert!(cases.len() > 70);
    let mut told = String::new();
    for (name, file, text) in &cases {
        let checked = check_text(text, &folder().join(file), REGISTRY);
        assert!(!checked.diagnostics.is_empty(), "{name}: nothing was found in\n{text}");
        let _ = writeln!(told, "## {name}\n");
        for finding in &checked.diagnostics {
            let shown = finding.to_string().replace(&format!("{}/", folder().display()), "");
            let _ = writeln!(told, "{shown}");
        }
    }
    golden("findings.txt", &told);
}

#[test]
fn good_files_have_no_findings() {
    for (file, kind) in [("pipeline.yaml", FileKind::Pipeline), ("rig.yaml", FileKind::Rig), ("bridge.yaml", FileKind::Protocol)] {
        let checked = check(&folder().join(file), REGISTRY);
        assert_eq!((checked.diagnostics, checked.kind), (Vec::new(), Some(kind)), "{file}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().expect("a folder for this test");
    let path = folder.path().join("bad.yaml");
    let told = |path: &Path| check(path, REGISTRY).diagnostics[0].to_string().replace(&folder.path().display().to_string(), "");
    assert_eq!(told(&path), "/bad.yaml: error[unreadable]: there is no such file\n");
    std::fs::write(&path, b"rig: lab\nsensors: \xff\n").expect("the folder can be written");
    assert!(told(&path).starts_with("/bad.yaml:2:10: error[encoding]: the byte 0xff is not UTF-8\n"), "{}", told(&path));
    assert!(load(&path, REGISTRY).is_err());
    std::fs::write(&path, vec![b'#'; 5 << 20]).expect("the folder can be written");
    assert_eq!(told(&path), "/bad.yaml: error[too-large]: the file is larger than 4 MiB\n");
    assert_eq!(told(folder.path()), ": error[unreadable]: this is a folder\n");
}

#[test]
fn no_truncation_and_no_flipped_byte_panics() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).expect("below a usize")
    };
    let mut found = 0;
    for file in ["pipeline.yaml", "rig.yaml", "bridge.yaml"] {
        let path = folder().join(file);
        let text = std::fs::read(&path).expect("the good file is there");
        for end in 0..text.len() {
            found += check_text(&String::from_utf8_lossy(&text[..end]), &path, REGISTRY).diagnostics.len();
        }
        for _ in 0..500 {
            let mut text = text.clone();
            for _ in 0..=next(3) {
                let at = next(text.len());
                text[at] = b"\x00\t\n :-[]{}#&*!|>'\"%@`,?~<9aZ\x7f\xc3\xff"[next(31)];
            }
            found += check_text(&String::from_utf8_lossy(&text), &path, REGISTRY).diagnostics.len();
        }
    }
    assert!(found > 1000, "most of these are mistakes, and {found} were found");
}

/// Compares with a file of this folder; `UPDATE_GOLDENS=1` writes it.
pub fn golden(name: &str, text: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/golden").join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, text).expect("the golden can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden != text {
        let differ = golden.lines().zip(text.lines()).position(|(a, b)| a != b).unwrap_or(golden.lines().count().min(text.lines().count()));
        let line = |text: &str| text.lines().skip(differ.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
        panic!(
            "{name} differs in line {}; UPDATE_GOLDENS=1 rewrites it\n--- golden\n{}\n--- now\n{}",
            differ + 1,
            line(&golden),
            line(text)
        );
    }
}

//! What the examples of the timing operators don't reach: findings at planning, other inputs, and the laws over them.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use proprio_core::rows::{nan_as_null, strings};
use proprio_core::schema::{FieldExt, float, text};
use proprio_core::{At, Findings, Planned, Port, Rate, StreamSchema};
use serde_json::{Value, json};

use crate::laws::check_chunkings;
use crate::run::Run;

const MS: i64 = 1_000_000;

fn plan(op: &str, config: Value, ports: &[Port]) -> Result<Planned, Findings> {
    (proprio_operators::operator(op).expect("the operator is registered").plan)(config, ports)
}

fn onsets() -> Port {
    let fields =
        vec![text("muscle").required(), text("event").required(), float("onset_sd_ms", "ms"), float("snr_db", "dB"), text("reason")];
    Port { stream: "onsets".to_owned(), schema: StreamSchema::new(fields, &["muscle", "event"], None) }
}

fn contacts() -> Port {
    let fields = vec![text("event").required(), text("side").required(), text("method")];
    Port { stream: "contacts".to_owned(), schema: StreamSchema::new(fields, &["event", "side"], None) }
}

fn angles(names: &[&str]) -> Port {
    let fields = names.iter().map(|name| float(*name, "deg")).collect();
    Port { stream: "angles".to_owned(), schema: StreamSchema::new(fields, &[], Some(Rate::hz(100))) }
}

/// Rows of texts and numbers at times in milliseconds.
fn rows(port: &Port, times: &[i64], columns: Vec<ArrayRef>) -> RecordBatch {
    let times: ArrayRef = Arc::new(times.iter().map(|time| time * MS).collect::<Int64Array>());
    RecordBatch::try_new(port.schema.columns.clone(), std::iter::once(times).chain(columns).collect()).expect("the columns fit")
}

fn words(words: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(words))
}

fn messages(found: Result<Planned, Findings>) -> String {
    found.expect_err("it is wrong").iter().map(|finding| format!("{:?} {}\n", finding.at, finding.message)).collect()
}

#[test]
fn firing_order_says_what_it_cannot_read() {
    let expect = "tra_io_contralateral before load within -100..50 ms";
    let config = json!({ "expect": expect, "crossings": { "load": { "signal": "lod", "above": 5 }, "x": { "signal": "load_n" } }, "baseline": 1, "bands": { "soleus": { "mean": "0 ms", "sd": "1 ms" } } });
    let force = Port { stream: "force".to_owned(), schema: StreamSchema::new(vec![float("load_n", "N")], &[], None) };
    let found = messages(plan("firing_order", config, &[onsets(), force]));
    for due in ["`lod`", "either `above` or `below`", "not the reference", "this one has none", "/baseline", "`soleus`", "nor a signal"] {
        assert!(found.contains(due), "{due} in\n{found}");
    }
    let found = messages(plan("firing_order", json!({ "expect": "a before initial_contact within -100..50 ms" }), &[onsets()]));
    assert!(found.contains("is a gait event"), "{found}");
    let findings = plan("firing_order", json!({ "expect": "a before b" }), &[onsets()]).expect_err("no window");
    assert_eq!(findings[0].at, At::Config("/expect".to_owned()));
}

#[test]
fn a_contact_is_judged_on_its_own_sides_and_by_its_method() {
    let config = json!({ "expect": "tra_io_ipsilateral before initial_contact within -100..50 ms", "model_sd": "0 ms",
        "bands": { "tra_io_left": { "mean": "-40 ms", "sd": "5 ms" }, "tra_io_right": { "mean": "-30 ms", "sd": "5 ms" } } });
    let planned = plan("firing_order", config, &[onsets(), contacts()]).expect("a plan");
    let sds = nan_as_null(vec![3.0, 3.0, f64::NAN]);
    let (no_numbers, no_words) = (nan_as_null(vec![f64::NAN; 3]), Arc::new(StringArray::new_null(3)));
    let muscles = words(&["tra_io_left", "tra_io_right", "tra_io_left"]);
    let muscles = rows(&onsets(), &[950, 1450, 2000], vec![muscles, words(&["onset"; 3]), sds, no_numbers, no_words]);
    let feet = vec![words(&["initial_contact"; 4]), words(&["left", "right", "left", "none"]), words(&["force", "zeni", "force", "force"])];
    let feet = rows(&contacts(), &[1000, 1500, 2010, 2600], feet);
    let inputs = [muscles, feet];
    check_chunkings(&planned, &inputs, 7);
    let found = Run::whole(&planned, &inputs);
    let column = |name: &str| found.column(planned.output.index(name).expect("a column")).clone();
    let texts = |name: &str| -> Vec<String> {
        strings(&found, planned.output.index(name).expect("a column")).iter().map(|text| text.unwrap_or("").to_owned()).collect()
    };
    assert_eq!(texts("side"), ["left", "right", "left", "none"]);
    assert_eq!(texts("verdict"), ["in_window", "in_window", "unknown", "unknown"]);
    assert_eq!(texts("tra_io_ipsilateral_reason")[2..], ["refused: no standard deviation", "the reference has no side"]);
    let sd = column("tra_io_ipsilateral_sd_ms");
    let sd = sd.as_any().downcast_ref::<arrow_array::Float64Array>().expect("floats");
    assert!((sd.value(0) - 13.0_f64.sqrt()).abs() < 1e-12 && (sd.value(1) - 109.0_f64.sqrt()).abs() < 1e-12 && sd.is_null(2));
    let after = column("tra_io_ipsilateral_after_other_side_ms");
    let after = after.as_any().downcast_ref::<arrow_array::Float64Array>().expect("floats");
    assert!((after.value(0) + 20.0).abs() < 1e-9 && (after.value(1) + 10.0).abs() < 1e-9 && after.is_null(2), "{after:?}");
}

/// Standing on alternate legs for 2 s each: the pelvis drops by 2° on either, and by `left_deg` on the left from the fifth time on.
fn standing(left_deg: f64) -> (Port, RecordBatch) {
    let port = angles(&["pelvis_obliquity_deg", "thorax_lean_deg", "knee_left_flexion_deg", "knee_right_flexion_deg"]);
    let times: Vec<i64> = (0..2800).map(|k| k * 10).collect();
    let of = |value: &dyn Fn(i64, bool) -> f64| nan_as_null(times.iter().map(|ms| value(ms / 4000, ms % 4000 < 2000)).collect());
    let columns = vec![
        of(&|round, on_left| if on_left { -if round < 4 { 2.0 } else { left_deg } } else { 2.0 }),
        of(&|_, on_left| if on_left { 0.0 } else { 6.0 }),
        of(&|_, on_left| if on_left { 5.0 } else { 60.0 }),
        of(&|_, on_left| if on_left { 60.0 } else { 5.0 }),
    ];
    let batch = rows(&port, &times, columns);
    (port, batch)
}

#[test]
fn without_contacts_a_bent_knee_tells_which_leg_carries() {
    let (port, batch) = standing(8.5);
    let planned = plan("pelvic_drop", json!({ "baseline_steps": 3 }), &[port]).expect("a plan");
    let inputs = [batch];
    check_chunkings(&planned, &inputs, 3);
    let found = Run::whole(&planned, &inputs);
    let index = |name: &str| planned.output.index(name).expect("a column");
    let (sides, verdicts) = (strings(&found, index("side")), strings(&found, index("verdict")));
    let of = |side: &str| -> Vec<&str> {
        (0..found.num_rows()).filter(|row| sides.value(*row) == side).map(|row| verdicts.value(row)).collect()
    };
    assert_eq!(of("left"), ["learning", "learning", "learning", "level", "drop", "drop", "drop"]);
    assert_eq!(of("right"), ["learning", "learning", "learning", "compensated", "compensated", "compensated"]);
    let flag = |name: &str| found.column(index(name)).as_any().downcast_ref::<BooleanArray>().expect("a flag").clone();
    let (flagged, cues) = (flag("is_flagged"), flag("is_cue"));
    let count = |flags: &BooleanArray| flags.iter().flatten().filter(|is_true| *is_true).count();
    assert_eq!((count(&flagged), count(&cues)), (1, 3));
}

#[test]
fn kinematic_operators_say_what_they_cannot_read() {
    let found = messages(plan(
        "pelvic_drop",
        json!({ "flag_steps": 6, "bands": { "up": { "mean": "1 deg", "sd": "1 deg" } } }),
        &[angles(&["pelvis_obliquity_deg"])],
    ));
    for due in ["which leg carries", "/flag_steps", "/bands/up"] {
        assert!(found.contains(due), "{due} in\n{found}");
    }
    let found = messages(plan("pelvic_drop", json!({}), &[onsets()]));
    assert!(found.contains("neither `pelvis_obliquity_deg` nor") && found.contains("and 0 do"), "{found}");
    let port = angles(&["hip_left_flexion_deg", "pelvis_rotation_deg"]);
    let found = messages(plan(
        "lumbar_rotation",
        json!({ "limb": "hip_lft_flexion_deg", "movement": "1 deg", "rest": "9 s" }),
        std::slice::from_ref(&port),
    ));
    for due in ["hip_lft_flexion_deg", "/movement", "/rest"] {
        assert!(found.contains(due), "{due} in\n{found}");
    }
    let found =
        messages(plan("phase_profile", json!({ "columns": ["x"], "side": "up", "max_stride": "0.2 s" }), &[port.clone(), contacts()]));
    for due in ["/columns/0", "/side", "/max_stride"] {
        assert!(found.contains(due), "{due} in\n{found}");
    }
    let found = messages(plan("activation", json!({ "channels": ["x"], "trend_strides": 0 }), &[port]));
    for due in ["has no strides", "/channels/0", "/trend_strides"] {
        assert!(found.contains(due), "{due} in\n{found}");
    }
    let port = angles(&["soleus_left_envelope_v", "tibialis_left_envelope_v", "tibialis_right_envelope_v"]);
    let config = json!({ "baseline": "contralateral", "channels": ["soleus_left_envelope_v", "tibialis_left_envelope_v"] });
    let found = messages(plan("activation", config, &[port]));
    assert!(found.contains("/channels/0") && found.contains("no counterpart of `soleus_left") && !found.contains("/channels/1"), "{found}");
    let found = messages(plan("activation", json!({ "baseline": "contralateral" }), &[angles(&["pelvis_tilt_deg"])]));
    assert!(found.contains("no muscle on both sides"), "{found}");
}

/// Repetitions of a hip that turns by 40° in 0.8 s, rests, and turns back; the pelvis follows by `pelvis_deg`, `lead_ms` ahead.
fn repetitions(pelvis: &[(f64, i64)]) -> (Port, RecordBatch) {
    let port = angles(&["hip_right_rotation_deg", "pelvis_rotation_deg"]);
    let times: Vec<i64> = (0..500 * pelvis.len() as i64).map(|k| k * 10).collect();
    let smooth = |ms: i64| {
        let s = (ms as f64 / 800.0).clamp(0.0, 1.0);
        s * s * s * (10.0 - 15.0 * s + 6.0 * s * s)
    };
    let turned = |ms: i64| smooth(ms - 1500) - smooth(ms - 3500);
    let hip = times.iter().map(|ms| 40.0 * turned(ms % 5000)).collect();
    let follow = |ms: &i64| {
        let (amplitude_deg, lead_ms) = pelvis[(ms / 5000) as usize];
        179.0 + amplitude_deg * turned(ms % 5000 + lead_ms)
    };
    let batch = rows(
        &port,
        &times,
        vec![nan_as_null(hip), nan_as_null(times.iter().map(follow).map(|deg| if deg > 180.0 { deg - 360.0 } else { deg }).collect())],
    );
    (port, batch)
}

#[test]
fn a_pelvis_that_turns_further_or_sooner_than_usual_is_told() {
    let (port, batch) = repetitions(&[(4.0, 0), (4.5, 0), (4.0, 0), (5.0, 0), (12.0, 0), (5.0, 150), (12.0, 250)]);
    let planned = plan("lumbar_rotation", json!({ "limb": "hip_right_rotation_deg", "baseline": 3 }), &[port]).expect("a plan");
    let inputs = [batch];
    check_chunkings(&planned, &inputs, 5);
    let found = Run::whole(&planned, &inputs);
    let verdicts = strings(&found, planned.output.index("verdict").expect("a column"));
    let verdicts: Vec<&str> = verdicts.iter().flatten().collect();
    assert_eq!(verdicts, ["learning", "learning", "learning", "usual", "large", "early", "large_and_early"]);
}

//! Are the channels that laboratories know to be dead told from the live ones, with one set of thresholds?

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::RecordBatch;
use proprio_core::rows::{floats, strings};
use proprio_core::{Kind, Port};
use proprio_files::OpenOptions;
use proprio_operators::operator;
use serde_json::json;

use crate::recordings::recording;
use crate::run::Run;

/// Every EMG stream of a file, and all its rows.
fn streams(path: &Path) -> Vec<(Port, RecordBatch)> {
    let file = proprio_files::open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rig = file.rig("lab").resolve();
    let emg = file.sensors.iter().filter(|sensor| sensor.file.kind == Kind::Emg);
    emg.map(|sensor| {
        let known = &rig.sensors[rig.sensor(&sensor.name).expect("a file's sensor is in its rig")];
        (Port { stream: known.stream(), schema: known.wire_schema() }, sensor.rows.clone())
    })
    .collect()
}

/// Per channel, in the file's order, the quality that most rows have once the channel has settled.
fn qualities(path: &Path) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for (port, rows) in streams(path) {
        let registration = operator("emg_envelope").expect("the operator is registered");
        let planned = (registration.plan)(json!({}), std::slice::from_ref(&port)).unwrap_or_else(|findings| panic!("{findings:#?}"));
        let emitted = Run::whole(&planned, &[rows]);
        assert!(emitted.num_rows() > 0);
        for (index, field) in planned.output.columns.fields().iter().enumerate() {
            let Some(channel) = field.name().strip_suffix("_quality") else { continue };
            let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
            for quality in strings(&emitted, index).iter().flatten() {
                let known = ["good", "flat", "clipped", "noise"].into_iter().find(|known| *known == quality);
                *counts.entry(known.unwrap_or("settling")).or_default() += usize::from(known.is_some());
            }
            let most = counts.into_iter().max_by_key(|(_, count)| *count).expect("there are rows").0;
            found.push((channel.to_owned(), most));
            let envelope = floats(&emitted, index - 1);
            assert!(envelope.iter().flatten().all(|value| value.is_finite() && value >= 0.0));
        }
    }
    found
}

#[test]
fn the_three_dead_channels_of_a_walk_are_told_from_the_thirteen_live_ones() {
    let Some(path) = recording("the_three_dead_channels", "lab/Vicon_analysis.c3d") else { return };
    let found = qualities(&path);
    println!("Vicon_analysis: {found:?}");
    assert_eq!(found.len(), 16);
    assert!(found[..13].iter().all(|(_, quality)| *quality == "good"));
    assert!(found[13..].iter().all(|(_, quality)| *quality == "noise"));
}

#[test]
fn one_legs_dead_channels_are_told_from_the_others() {
    for (file, live) in [("HC002D06.c3d", "r_"), ("HC036A10.c3d", "l_")] {
        let Some(path) = recording("one_legs_dead_channels", &format!("lab/biomechzoo/{file}")) else { return };
        let found = qualities(&path);
        println!("{file}: {found:?}");
        for (channel, quality) in &found {
            let on_live_leg = channel.starts_with(live) || channel.ends_with(if live == "r_" { "_right" } else { "_left" });
            let is_muscle = ["rect", "ham", "gast", "ant"].iter().any(|muscle| channel.contains(muscle));
            assert_eq!(*quality == "good", on_live_leg && is_muscle, "{file}: {channel} is {quality}");
        }
        assert_eq!(found.iter().filter(|(_, quality)| *quality == "good").count(), 4);
    }
}

#[test]
fn channels_that_are_all_live_are_all_good() {
    for (file, count) in [("lab/btk_Gait.c3d", 16), ("emg/cometa_emg_acc.c3d", 6)] {
        let Some(path) = recording("channels_that_are_all_live", file) else { return };
        let found = qualities(&path);
        println!("{file}: {found:?}");
        assert_eq!(found.len(), count);
        assert!(found.iter().all(|(_, quality)| *quality == "good"), "{file}: {found:?}");
    }
}

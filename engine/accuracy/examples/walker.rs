//! `cargo run -p proprio-accuracy --example walker -- FOLDER`: what the IMUs of a simulated walker with sensors askew give, calibrated by
//! the procedure that the session begins with: `orientations.csv`, `angles.csv` and the `truth.csv` beside them, for the oracles under
//! `.ci/oracles`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use proprio_accuracy::{Bench, Simulated};
use proprio_core::Kind;
use proprio_core::rig::Side;
use proprio_core::rows::times;
use proprio_operators::kernels::angles::cardan_zxy;
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, from_axes, multiply};
use proprio_operators::kernels::segment::JOINTS;
use proprio_simulate::{Calibration, Layout, Options, Placement, Segment};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("a folder is due")?;
    let (calibration, placement) = (Some(Calibration::default()), Placement::Error { sd_deg: 10.0 });
    let walker = Simulated::of_kinds(Options { calibration, placement, duration_s: 50.0, ..Options::of(Layout::Walking) }, &[Kind::Imu])?;
    let mut bench = Bench::of_environment();
    let (mut orientations, mut alignments) = (Vec::new(), Vec::new());
    for imu in walker.streams() {
        let name = imu.0.stream.replace("imu/", "");
        orientations.push(bench.step(&format!("orientation/{name}"), "orientation", json!({}), std::slice::from_ref(&imu))?);
        alignments.push(bench.step(&format!("alignment/{name}"), "segment_alignment", json!({}), &[imu])?);
    }
    let fused = bench.step("fused", "align", json!({ "rate": "100 Hz", "tolerance": "30 ms" }), &orientations)?;
    let mut inputs = vec![fused.clone()];
    inputs.append(&mut alignments);
    let (_, angles) = bench.step("angles", "joint_angles", json!({ "heading": "90 deg" }), &inputs)?;
    for (name, rows) in [("orientations.csv", &fused.1), ("angles.csv", &angles)] {
        proprio_accuracy::write_csv(rows, BufWriter::new(File::create(Path::new(&folder).join(name))?))?;
    }
    write_truth(&Path::new(&folder).join("truth.csv"), &walker, times(&angles))?;
    Ok(())
}

/// The true angles of hips, knees and ankles, under the names that `joint_angles` gives them.
fn write_truth(path: &Path, walker: &Simulated, times_ns: &[i64]) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = BufWriter::new(File::create(path)?);
    let joints = JOINTS.iter().filter(|joint| matches!(joint.name, "hip" | "knee" | "ankle"));
    let parts: Vec<_> = joints.flat_map(|joint| [Side::Left, Side::Right].map(|side| (joint, side))).collect();
    let names =
        parts.iter().flat_map(|(joint, side)| joint.angles.map(|angle| format!("{}_{}_{}_deg", joint.name, side.name(), angle.name)));
    writeln!(out, "time_ns,{}", names.collect::<Vec<_>>().join(","))?;
    for time_ns in times_ns {
        let of = |name: &str, side: Side| pose(walker, name, side, walker.seconds(*time_ns));
        let row = parts.iter().flat_map(|(joint, side)| {
            let proximal = of(joint.proximal.unwrap_or("pelvis"), *side);
            let angles = cardan_zxy(multiply(conjugate(proximal), of(joint.distal, *side)));
            joint.angles.map(|angle| (angle.factor(Some(side.name())) * angles.about(angle.axis)).to_string())
        });
        writeln!(out, "{time_ns},{}", row.collect::<Vec<_>>().join(","))?;
    }
    Ok(out.flush()?)
}

fn pose(walker: &Simulated, name: &str, side: Side, time_s: f64) -> Quaternion {
    let segment = match name {
        "pelvis" => Segment::Pelvis,
        "thigh" => Segment::Thigh(side),
        "shank" => Segment::Shank(side),
        _ => Segment::Foot(side),
    };
    let axes = walker.body.pose(segment, time_s).lab_from_segment;
    let [x, y, z] = [0, 1, 2].map(|column| [0, 1, 2].map(|row| axes[(row, column)]));
    from_axes(x, y, z)
}

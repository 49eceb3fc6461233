//! How are the body's segments turned, and where are its joints, by markers on the skin? The conventional gait model (Plug-in Gait).
//!
//! Reads one `markers/…` stream; `joint_angles` reads what comes out. Per segment a rotation to the lab (`<segment>_q_w` … `_q_z`, ISB
//! axes: X forward, Y up, Z right), `<segment>_residual_mm` and `<segment>_reason`; per joint its centre, such as `knee_left_x_m`.
//! Segments are `pelvis` (spines and sacrum), `thorax` (C7, T10, clavicle, sternum), and per side `thigh`, `shank` and `foot`, as far as
//! the stream has their markers: thigh and shank need a wand in the joint's frontal plane besides the joint's marker.
//!
//! **Hip centres** come from the leg's length where `leg_length` is given (Davis et al. 1991, as in Plug-in Gait), otherwise from the
//! pelvis' size (Harrington et al. 2007). Knee and ankle lie at half their width plus half a marker inward, in the plane of the wand
//! (Kadaba et al. 1990). **The foot** points from ankle to toe, corrected by the offsets of a static trial where these are given;
//! otherwise from heel to toe; without a heel marker from ankle to toe, so that the ankle's zero lies some 20° off. Its flexion axis is
//! the shank's, so that inversion hardly shows. All sizes have an adult's defaults; a wrong width or wand angle moves rotation and
//! adduction most, flexion by a degree or two. Skin moves over bone: several degrees of rotation, whatever the model.
//!
//! **Quality.** `residual_mm` is the root mean square change of the distances between the segment's points against their means so far
//! (the newest 1000 frames). Without a rotation, `reason` says why: `missing_marker`, `no_proximal` (the segment above has none),
//! `collinear` (points on one line, or a marker nearer to the joint above than half the joint's width), `not_rigid` (residual beyond
//! `max_residual`: a label on the wrong marker). Markers that were not seen are not filled in. **Delay** none: a row for every row.
//!
//! ```yaml
//! op: marker_segments
//! from: markers/subject
//! with: { leg_length: { left: 900 mm, right: 900 mm }, knee_width: { left: 98 mm, right: 98 mm } }
//! input:
//!   markers/subject:
//!     sensor: { kind: markers, rate: 10 Hz, labels: [LASI, RASI, SACR, LTHI, LKNE] }
//!     generate:
//!       duration: 600 ms
//!       columns:
//!         LASI_x_m: [{ constant: 0.1 }]
//!         LASI_y_m: [{ constant: 0.12 }]
//!         LASI_z_m: [{ constant: 1 }]
//!         RASI_x_m: [{ constant: 0.1 }]
//!         RASI_y_m: [{ constant: -0.12 }, { missing: { from: 150 ms, to: 250 ms } }]
//!         RASI_z_m: [{ constant: 1 }]
//!         SACR_x_m: [{ constant: -0.1 }]
//!         SACR_y_m: [{ constant: 0 }]
//!         SACR_z_m: [{ constant: 1 }]
//!         LTHI_x_m: [{ constant: 0.03 }]
//!         LTHI_y_m: [{ constant: 0.16 }, { missing: { from: 450 ms, to: 550 ms } }]
//!         LTHI_z_m: [{ constant: 0.7 }]
//!         LKNE_x_m: [{ constant: 0.03 }, { ramp: 0.2 }]
//!         LKNE_y_m: [{ constant: 0.14 }]
//!         LKNE_z_m: [{ constant: 0.5 }, { steps: [[300 ms, 0.2], [350 ms, 0]] }]
//! ```
//! ```csv
//! time_ns,pelvis_q_w,pelvis_q_x,pelvis_q_y,pelvis_q_z,pelvis_residual_mm,pelvis_reason,thigh_left_q_w,thigh_left_q_x,thigh_left_q_y,thigh_left_q_z,thigh_left_residual_mm,thigh_left_reason,hip_left_x_m,hip_left_y_m,hip_left_z_m,knee_left_x_m,knee_left_y_m,knee_left_z_m,hip_right_x_m,hip_right_y_m,hip_right_z_m
//! 0,0.707107,0.707107,0.0,0.0,0.0,,0.694956,0.710372,0.0869773,0.0695846,0.0,,0.0531828,0.0777147,0.903415,0.0423062,0.085386,0.498634,0.0531828,-0.0777147,0.903415
//! 100000000,0.707107,0.707107,0.0,0.0,0.0,,0.68673,0.69862,0.122974,0.158773,0.683555,,0.0531828,0.0777147,0.903415,0.0718817,0.0884533,0.499642,0.0531828,-0.0777147,0.903415
//! 200000000,,,,,,missing_marker,,,,,,no_proximal,,,,,,,,,
//! 300000000,0.707107,0.707107,0.0,0.0,0.0,,,,,,136.893,not_rigid,0.0531828,0.0777147,0.903415,,,,0.0531828,-0.0777147,0.903415
//! 400000000,0.707107,0.707107,0.0,0.0,0.0,,,,,,52.6299,not_rigid,0.0531828,0.0777147,0.903415,,,,0.0531828,-0.0777147,0.903415
//! 500000000,0.707107,0.707107,0.0,0.0,0.0,,,,,,,missing_marker,0.0531828,0.0777147,0.903415,,,,0.0531828,-0.0777147,0.903415
//! # 6 rows, every bit hashed: 90ef21131fc4c62f
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::Field;
use proprio_core::quantity::{Angle, Length};
use proprio_core::rig::Side;
use proprio_core::rows::{batch, nan_as_null};
use proprio_core::schema::{FieldExt, float, meta, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_markers;
use crate::kernels::gait_body::{Body, Foot, Measured, SEGMENTS, Sizes};
use crate::kernels::gait_model::HipSize;
use crate::kernels::marker_places::Places;
use crate::kernels::rigidity::Rigidity;

/// Segments and joint centres from markers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Labels of markers that are named otherwise, by place: `{ left_knee: LLFC }`. Places are `sacrum c7 t10 clavicle sternum`, and
    /// `asis psis thigh knee shank ankle heel toe` after `left_` or `right_`; thigh and shank are the wands.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// From the anterior superior iliac spine to the inner ankle. Without it, hip centres come from the pelvis' size.
    #[serde(default)]
    leg_length: Option<PerSide<Length>>,
    /// From the spine to the greater trochanter along the body; by default estimated from the leg's length.
    #[serde(default)]
    asis_trochanter: Option<PerSide<Length>>,
    /// Distance between the spines; by default that of their markers.
    #[serde(default)]
    inter_asis: Option<Length>,
    /// Width of the knee over the condyles.
    #[serde(default = "knee_width")]
    knee_width: PerSide<Length>,
    /// Width of the ankle over the malleoli.
    #[serde(default = "ankle_width")]
    ankle_width: PerSide<Length>,
    /// Diameter of a marker.
    #[serde(default = "marker_diameter")]
    marker_diameter: Length,
    /// How far the thigh's wand stands in front of the knee's flexion axis, about the line from the knee's marker to the hip.
    #[serde(default = "no_angle")]
    thigh_wand_offset: PerSide<Angle>,
    /// How far the shank's wand stands in front of the ankle's flexion axis, about the line from the ankle's marker to the knee.
    #[serde(default = "no_angle")]
    shank_wand_offset: PerSide<Angle>,
    /// How far the line from ankle to toe points below the foot, by a static trial. With it, the heel's marker is not used.
    #[serde(default)]
    plantar_flexion_offset: Option<PerSide<Angle>>,
    /// How far the line from ankle to toe points outward of the foot, by a static trial; with `plantar_flexion_offset`.
    #[serde(default)]
    foot_rotation_offset: Option<PerSide<Angle>>,
    /// Largest residual of a segment whose rotation is given.
    #[serde(default = "max_residual")]
    max_residual: Length,
}

/// A value for each side.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PerSide<T> {
    /// Of the left.
    left: T,
    /// Of the right.
    right: T,
}

impl<T: Copy> PerSide<T> {
    const fn both(value: T) -> Self {
        Self { left: value, right: value }
    }

    const fn of(&self, side: Side) -> T {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }
}

fn knee_width() -> PerSide<Length> {
    PerSide::both(Length::new(0.1))
}

fn ankle_width() -> PerSide<Length> {
    PerSide::both(Length::new(0.07))
}

fn marker_diameter() -> Length {
    Length::new(0.014)
}

fn no_angle() -> PerSide<Angle> {
    PerSide::both(Angle::new(0.0))
}

fn max_residual() -> Length {
    Length::new(0.04)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let [port] = ports else { return Err(vec![PlanFinding::step("reads one marker stream")]) };
        if !foot_markers::is_markers(&port.schema) || !port.schema.keys.is_empty() {
            let finding = PlanFinding::input(0, format!("`{}` has no markers", port.stream));
            return Err(vec![finding.help("it needs labels such as `LASI_x_m`, `LASI_y_m`, `LASI_z_m`")]);
        }
        let mut findings = Findings::new();
        self.check_ranges(&mut findings);
        let places = Places::of(&port.schema, &self.labels, &mut findings);
        let sides = [Side::Left, Side::Right];
        let feet = sides.map(|side| self.foot(side, &places));
        let body = Body::of(&places, sides.map(|side| self.sizes(side)), feet, self.max_residual.metres());
        let Some(body) = body.filter(|_| findings.is_empty()) else {
            if findings.is_empty() {
                let message =
                    format!("`{}` has no pelvis: a marker on each anterior spine and on the sacrum or both posterior spines", port.stream);
                findings.push(PlanFinding::input(0, message).help(foot_markers::known_labels(&port.schema)));
            }
            return Err(findings);
        };
        let output = StreamSchema::new(fields(&body), &[], port.schema.rate);
        Ok(Planned::new(MarkerSegments { body, output: output.clone() }, output))
    }
}

impl Config {
    fn sizes(&self, side: Side) -> Sizes {
        let marker_radius_m = self.marker_diameter.metres() / 2.0;
        let hip = self.leg_length.map(|leg| HipSize {
            leg_m: leg.of(side).metres(),
            mean_leg_m: (leg.left.metres() + leg.right.metres()) / 2.0,
            width_m: self.inter_asis.map(Length::metres),
            trochanter_m: self.asis_trochanter.map(|distance| distance.of(side).metres()),
            marker_radius_m,
        });
        Sizes {
            hip,
            marker_radius_m,
            knee_offset_m: self.knee_width.of(side).metres() / 2.0 + marker_radius_m,
            ankle_offset_m: self.ankle_width.of(side).metres() / 2.0 + marker_radius_m,
            thigh_wand_rad: self.thigh_wand_offset.of(side).degrees().to_radians(),
            shank_wand_rad: self.shank_wand_offset.of(side).degrees().to_radians(),
        }
    }

    fn foot(&self, side: Side, places: &Places) -> Foot {
        let angle = |angle: &Option<PerSide<Angle>>| angle.map(|angle| angle.of(side).degrees().to_radians());
        match (angle(&self.plantar_flexion_offset), places.get(&format!("{}_heel", side.name()))) {
            (Some(raised_rad), _) => Foot::Offsets { raised_rad, inward_rad: angle(&self.foot_rotation_offset).unwrap_or(0.0) },
            (None, Some(heel)) => Foot::Heel(heel),
            (None, None) => Foot::Offsets { raised_rad: 0.0, inward_rad: 0.0 },
        }
    }

    fn check_ranges(&self, findings: &mut Findings) {
        let mut check = |name: &str, values: &[f64], from: f64, to: f64, unit: &str| {
            if values.iter().any(|value| !(from..=to).contains(value)) {
                findings.push(PlanFinding::config(format!("/{name}"), format!("it must lie between {from} {unit} and {to} {unit}")));
            }
        };
        let lengths = |pair: PerSide<Length>| [pair.left.metres() * 1e3, pair.right.metres() * 1e3];
        let angles = |pair: PerSide<Angle>| [pair.left.degrees(), pair.right.degrees()];
        check("leg_length", self.leg_length.map(lengths).as_ref().map_or(&[], |pair| pair), 300.0, 1300.0, "mm");
        check("asis_trochanter", self.asis_trochanter.map(lengths).as_ref().map_or(&[], |pair| pair), 0.0, 200.0, "mm");
        check("inter_asis", self.inter_asis.map(|width| [width.metres() * 1e3]).as_ref().map_or(&[], |one| one), 80.0, 500.0, "mm");
        check("knee_width", &lengths(self.knee_width), 30.0, 250.0, "mm");
        check("ankle_width", &lengths(self.ankle_width), 20.0, 150.0, "mm");
        check("marker_diameter", &[self.marker_diameter.metres() * 1e3], 0.0, 50.0, "mm");
        check("thigh_wand_offset", &angles(self.thigh_wand_offset), -60.0, 60.0, "deg");
        check("shank_wand_offset", &angles(self.shank_wand_offset), -60.0, 60.0, "deg");
        check("plantar_flexion_offset", self.plantar_flexion_offset.map(angles).as_ref().map_or(&[], |pair| pair), -60.0, 90.0, "deg");
        check("foot_rotation_offset", self.foot_rotation_offset.map(angles).as_ref().map_or(&[], |pair| pair), -60.0, 60.0, "deg");
        check("max_residual", &[self.max_residual.metres() * 1e3], 1.0, 500.0, "mm");
        if self.foot_rotation_offset.is_some() && self.plantar_flexion_offset.is_none() {
            let finding = PlanFinding::config("/foot_rotation_offset", "it is measured together with the plantar flexion offset");
            findings.push(finding.help("give `plantar_flexion_offset` too"));
        }
    }
}

/// Per segment its rotation, residual and reason, then the joint centres.
fn fields(body: &Body) -> Vec<Field> {
    let mut fields = Vec::new();
    for index in body.segments() {
        let (name, side) = SEGMENTS[index];
        let key = side.map_or_else(|| name.to_owned(), |side| format!("{name}_{}", side.name()));
        let own = |field: Field| {
            let field = field.with(meta::SEGMENT, name);
            side.map_or(field.clone(), |side| field.with(meta::SIDE, side.name()))
        };
        fields.extend(["w", "x", "y", "z"].map(|part| own(float(format!("{key}_q_{part}"), "1").frame("lab"))));
        fields.push(own(float(format!("{key}_residual_mm"), "mm")));
        fields.push(own(text(format!("{key}_reason"))));
    }
    for (_, joint, side) in body.centres() {
        let axis = |axis| float(format!("{joint}_{}_{axis}_m", side.name()), "m").frame("lab").with(meta::SIDE, side.name());
        fields.extend(["x", "y", "z"].map(axis));
    }
    fields
}

#[derive(Debug)]
struct MarkerSegments {
    body: Body,
    output: StreamSchema,
}

/// What is remembered: each segment's mean distances.
#[derive(Debug, Serialize, Deserialize)]
struct State([Rigidity; SEGMENTS.len()]);

impl Operator for MarkerSegments {
    type State = State;

    fn start(&self) -> State {
        State([Rigidity::default(); SEGMENTS.len()])
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let rows = &inputs[0];
        if rows.num_rows() == 0 {
            return watermark;
        }
        let measured: Vec<Measured> = (0..rows.num_rows()).map(|row| self.body.measure(&mut state.0, rows, row)).collect();
        let mut columns: Vec<ArrayRef> = vec![rows.column(0).clone()];
        for index in self.body.segments() {
            let of = |value: &dyn Fn(&Measured) -> f64| nan_as_null(measured.iter().map(value).collect());
            columns.extend((0..4).map(|part| of(&|row| row.segments[index].rotation[part])));
            columns.push(of(&|row| row.segments[index].residual_m * 1e3));
            columns.push(Arc::new(measured.iter().map(|row| row.segments[index].reason).collect::<StringArray>()));
        }
        for (index, ..) in self.body.centres() {
            columns.extend((0..3).map(|axis| nan_as_null(measured.iter().map(|row| row.centres[index][axis]).collect())));
        }
        out.push(batch(&self.output, columns));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

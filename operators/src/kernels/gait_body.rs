//! Which markers make which segment, and what a frame of them measures: the conventional gait model, from pelvis to feet.

use proprio_core::RecordBatch;
use proprio_core::rig::Side;

use super::foot_markers::{Axes, position};
use super::gait_model::{HipSize, Pelvis, Point, Segment, foot, foot_by_offsets, joint_centre, limb, thorax};
use super::marker_places::Places;
use super::quaternion::Quaternion;
use super::rigidity::Rigidity;

/// All segments, in the order of their columns.
pub const SEGMENTS: [(&str, Option<Side>); 8] = [
    ("pelvis", None),
    ("thorax", None),
    ("thigh", Some(Side::Left)),
    ("shank", Some(Side::Left)),
    ("foot", Some(Side::Left)),
    ("thigh", Some(Side::Right)),
    ("shank", Some(Side::Right)),
    ("foot", Some(Side::Right)),
];

/// All joint centres, in the order of their columns.
const CENTRES: [(&str, Side); 6] =
    [("hip", Side::Left), ("knee", Side::Left), ("ankle", Side::Left), ("hip", Side::Right), ("knee", Side::Right), ("ankle", Side::Right)];

/// A marker further off than this is no measurement.
const FARTHEST_M: f64 = 1e4;

/// The sizes of one leg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Where the hip centre lies by leg length; by the pelvis' size without it.
    pub hip: Option<HipSize>,
    /// Half of a marker's diameter.
    pub marker_radius_m: f64,
    /// From the knee's marker to its centre.
    pub knee_offset_m: f64,
    /// From the ankle's marker to its centre.
    pub ankle_offset_m: f64,
    /// How far the wands stand in front of the joints' flexion axes.
    pub thigh_wand_rad: f64,
    /// The same of the shank.
    pub shank_wand_rad: f64,
}

/// Where a foot's long axis comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Foot {
    /// The line from heel to toe.
    Heel(Axes),
    /// The line from ankle to toe, corrected.
    Offsets {
        /// By how much it is raised.
        raised_rad: f64,
        /// By how much it is turned inward.
        inward_rad: f64,
    },
}

/// The markers of a body, and its sizes.
#[derive(Clone, Debug)]
pub struct Body {
    asis: [Axes; 2],
    /// One on the sacrum, or two whose middle stands for it.
    sacrum: Vec<Axes>,
    /// C7, T10, clavicle, sternum.
    thorax: Option<[Axes; 4]>,
    legs: [Leg; 2],
    max_residual_m: f64,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    side: Side,
    sizes: Sizes,
    /// Wand and knee.
    thigh: Option<[Axes; 2]>,
    /// Wand and ankle; only with a thigh.
    shank: Option<[Axes; 2]>,
    /// Toe, and the axis; only with a shank.
    foot: Option<(Axes, Foot)>,
}

/// What a frame says of one segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// To the lab from the segment's axes; NaN where `reason` says why not.
    pub rotation: Quaternion,
    /// Change of its distances; NaN where a point is missing.
    pub residual_m: f64,
    /// Why there is no rotation.
    pub reason: Option<&'static str>,
}

/// What a frame says of the body.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// By index of [`SEGMENTS`].
    pub segments: [Found; SEGMENTS.len()],
    /// Joint centres, by index of [`Body::centres`]; NaN where not known.
    pub centres: [[f64; 3]; CENTRES.len()],
}

impl Found {
    const fn without(reason: &'static str) -> Self {
        Self { rotation: [f64::NAN; 4], residual_m: f64::NAN, reason: Some(reason) }
    }
}

impl Body {
    /// The body that these markers allow; `None` without a pelvis.
    pub fn of(places: &Places, sizes: [Sizes; 2], feet: [Foot; 2], max_residual_m: f64) -> Option<Self> {
        let asis = places.all(["left_asis", "right_asis"])?;
        let sacrum = match (places.get("sacrum"), places.all(["left_psis", "right_psis"])) {
            (Some(sacrum), _) => vec![sacrum],
            (None, both) => both?.to_vec(),
        };
        let thorax = places.all(["c7", "t10", "clavicle", "sternum"]);
        let leg = |side: Side, sizes: Sizes, foot: Foot| {
            let of = |place: &str| places.get(&format!("{}_{place}", side.name()));
            let pair = |wand: &str, joint: &str| of(wand).zip(of(joint)).map(|(wand, joint)| [wand, joint]);
            let thigh = pair("thigh", "knee");
            let shank = thigh.and(pair("shank", "ankle"));
            Leg { side, sizes, thigh, shank, foot: shank.and(of("toe")).map(|toe| (toe, foot)) }
        };
        let legs = [leg(Side::Left, sizes[0], feet[0]), leg(Side::Right, sizes[1], feet[1])];
        Some(Self { asis, sacrum, thorax, legs, max_residual_m })
    }

    /// Indices of the segments that its markers allow.
    pub fn segments(&self) -> impl Iterator<Item = usize> {
        let of = |leg: &Leg| [leg.thigh.is_some(), leg.shank.is_some(), leg.foot.is_some()];
        let [left, right] = [of(&self.legs[0]), of(&self.legs[1])];
        let there = [&[true, self.thorax.is_some()], left.as_slice(), right.as_slice()].concat();
        (0..SEGMENTS.len()).filter(move |index| there[*index])
    }

    /// Index, joint and side of the centres that its markers allow.
    pub fn centres(&self) -> impl Iterator<Item = (usize, &'static str, Side)> {
        let of = |leg: &Leg| [true, leg.thigh.is_some(), leg.shank.is_some()];
        let there = [of(&self.legs[0]), of(&self.legs[1])].concat();
        CENTRES.into_iter().enumerate().filter(move |(index, _)| there[*index]).map(|(index, (joint, side))| (index, joint, side))
    }

    /// Measures a frame.
    pub fn measure(&self, rigidity: &mut [Rigidity; SEGMENTS.len()], batch: &RecordBatch, row: usize) -> Measured {
        let mut measured =
            Measured { segments: [Found::without("missing_marker"); SEGMENTS.len()], centres: [[f64::NAN; 3]; CENTRES.len()] };
        let see = |axes: Axes| position(batch, axes, row).map(Point::from).filter(|point| point.amax() < FARTHEST_M);
        let pelvis = see_all(self.asis, see).zip(self.see_sacrum(see)).and_then(|(asis, sacrum)| {
            let pelvis = Pelvis::new(asis, sacrum);
            measured.segments[0] = self.judge(&mut rigidity[0], &[asis[0], asis[1], sacrum], pelvis.map(|pelvis| pelvis.segment));
            pelvis.filter(|_| measured.segments[0].reason.is_none())
        });
        if let Some([c7, t10, clavicle, sternum]) = self.thorax.and_then(|thorax| see_all(thorax, see)) {
            measured.segments[1] = self.judge(&mut rigidity[1], &[c7, t10, clavicle, sternum], thorax(c7, t10, clavicle, sternum));
        }
        for (index, leg) in self.legs.iter().enumerate() {
            let at = 2 + 3 * index;
            let (mut found, mut centres) = ([Found::without("no_proximal"); 3], [None; 3]);
            centres[0] = pelvis.map(|pelvis| leg.hip(&pelvis));
            let rigidity = rigidity[at..].first_chunk_mut().expect("a leg has three segments");
            self.measure_leg(leg, rigidity, see, &mut found, &mut centres);
            measured.segments[at..at + 3].copy_from_slice(&found);
            for (place, centre) in measured.centres[3 * index..].iter_mut().zip(centres) {
                *place = centre.map_or([f64::NAN; 3], |centre: Point| [centre.x, centre.y, centre.z]);
            }
        }
        measured
    }

    /// Goes down a leg from its hip centre, as far as its markers were seen.
    fn measure_leg(
        &self,
        leg: &Leg,
        rigidity: &mut [Rigidity; 3],
        see: impl Fn(Axes) -> Option<Point>,
        found: &mut [Found; 3],
        centres: &mut [Option<Point>; 3],
    ) {
        let joints = [
            (leg.thigh, leg.sizes.knee_offset_m, leg.sizes.thigh_wand_rad),
            (leg.shank, leg.sizes.ankle_offset_m, leg.sizes.shank_wand_rad),
        ];
        let mut last = None;
        for (k, (markers, offset_m, wand_rad)) in joints.into_iter().enumerate() {
            let Some(proximal) = centres[k] else { return };
            let Some([wand, joint]) = markers.and_then(|markers| see_all(markers, &see)) else {
                found[k] = Found::without("missing_marker");
                return;
            };
            let centre = joint_centre(leg.side, proximal, joint, wand, offset_m, wand_rad);
            last = centre.and_then(|centre| limb(leg.side, proximal, centre, joint));
            found[k] = self.judge(&mut rigidity[k], &[proximal, joint, wand], last);
            centres[k + 1] = centre.filter(|_| found[k].reason.is_none());
        }
        let (Some(ankle), Some(shank), Some((toe, foot))) = (centres[2], last, leg.foot) else { return };
        found[2] = self.measure_foot(leg.side, &mut rigidity[2], (ankle, &shank), see(toe), foot, see);
    }

    fn measure_foot(
        &self,
        side: Side,
        rigidity: &mut Rigidity,
        (ankle, shank): (Point, &Segment),
        toe: Option<Point>,
        axis: Foot,
        see: impl Fn(Axes) -> Option<Point>,
    ) -> Found {
        match (toe, axis) {
            (Some(toe), Foot::Offsets { raised_rad, inward_rad }) => {
                self.judge(rigidity, &[ankle, toe], foot_by_offsets(side, shank, ankle, toe, raised_rad, inward_rad))
            }
            (Some(toe), Foot::Heel(heel)) => match see(heel) {
                Some(heel) => self.judge(rigidity, &[ankle, toe, heel], foot(shank, heel, toe)),
                None => Found::without("missing_marker"),
            },
            (None, _) => Found::without("missing_marker"),
        }
    }

    fn see_sacrum(&self, see: impl Fn(Axes) -> Option<Point>) -> Option<Point> {
        let sum = self.sacrum.iter().try_fold(Point::zeros(), |sum, axes| Some(sum + see(*axes)?))?;
        Some(sum / self.sacrum.len() as f64)
    }

    /// A segment whose points were all seen: with its rotation when they kept their distances.
    fn judge(&self, rigidity: &mut Rigidity, points: &[Point], segment: Option<Segment>) -> Found {
        let pairs = points.iter().enumerate().flat_map(|(k, a)| points[..k].iter().map(move |b| (a - b).norm()));
        let residual_m = rigidity.residual_m(&pairs.collect::<Vec<_>>());
        match segment {
            None => Found { residual_m, ..Found::without("collinear") },
            Some(_) if residual_m > self.max_residual_m => Found { residual_m, ..Found::without("not_rigid") },
            Some(segment) => Found { rotation: segment.rotation(), residual_m, reason: None },
        }
    }
}

impl Leg {
    fn hip(&self, pelvis: &Pelvis) -> Point {
        match &self.sizes.hip {
            Some(size) => pelvis.hip_by_leg(self.side, size),
            None => pelvis.hip_by_pelvis(self.side, self.sizes.marker_radius_m),
        }
    }
}

fn see_all<const N: usize>(axes: [Axes; N], see: impl Fn(Axes) -> Option<Point>) -> Option<[Point; N]> {
    let seen = axes.map(see);
    seen.iter().all(Option::is_some).then(|| seen.map(Option::unwrap_or_default))
}

//! Whose foot stands on a point of the floor: the foot whose markers are nearest, from a short history of the markers.

use std::collections::VecDeque;

use proprio_core::{RecordBatch, TimeNs, rows};
use serde::{Deserialize, Serialize};

use super::foot_markers::{Axes, position};
use super::gait_event::Foot;

/// How long a marker's last position stands for it.
const STALE_NS: i64 = 100_000_000;

/// The markers on both feet, each foot's from back to front.
#[derive(Clone, Debug, PartialEq)]
pub struct Feet {
    /// Columns of the left foot's markers.
    pub left: Vec<Axes>,
    /// Columns of the right foot's markers.
    pub right: Vec<Axes>,
}

/// The newest rows of both feet's markers: bounded by [`History::prune`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    rows: VecDeque<Row>,
}

/// Horizontal positions of the left foot's markers, then the right foot's; NaN where not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    time_ns: TimeNs,
    positions_m: Vec<[f64; 2]>,
}

/// A foot and how sure that it is the one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// The nearer foot, unknown when neither is within reach.
    pub foot: Foot,
    /// d₂ / (d₁ + d₂) of the two feet's distances: 1 for a foot on the point, 0.5 when both are equally far or none is known.
    pub confidence: f64,
}

impl Nearest {
    /// Neither foot can be told.
    pub const NONE: Self = Self { foot: Foot::Unknown, confidence: 0.5 };
}

impl History {
    /// Adds a batch of marker rows.
    pub fn extend(&mut self, feet: &Feet, batch: &RecordBatch) {
        for (row, time_ns) in rows::times(batch).iter().enumerate() {
            let place = |axes: &Axes| position(batch, *axes, row).map_or([f64::NAN; 2], |[x, y, _]| [x, y]);
            let positions_m = feet.left.iter().chain(&feet.right).map(place).collect();
            self.rows.push_back(Row { time_ns: *time_ns, positions_m });
        }
    }

    /// Forgets what no question about `from_ns` or later needs.
    pub fn prune(&mut self, from_ns: TimeNs) {
        let oldest = from_ns.saturating_sub(STALE_NS);
        while self.rows.front().is_some_and(|row| row.time_ns < oldest) {
            self.rows.pop_front();
        }
    }

    /// The foot nearest to a point of the floor, by the markers' newest positions at or before `time_ns`.
    pub fn nearest(&self, feet: &Feet, time_ns: TimeNs, point_m: [f64; 2], reach_m: f64) -> Nearest {
        if !(point_m[0].is_finite() && point_m[1].is_finite()) {
            return Nearest::NONE;
        }
        let place = |marker: usize| {
            let end = self.rows.partition_point(|row| row.time_ns <= time_ns);
            let recent = self.rows.range(..end).rev().take_while(|row| time_ns - row.time_ns <= STALE_NS);
            recent.map(|row| row.positions_m[marker]).find(|position| position[0].is_finite())
        };
        let split = feet.left.len();
        let left_m = distance_to_path((0..split).filter_map(place), point_m);
        let right_m = distance_to_path((split..split + feet.right.len()).filter_map(place), point_m);
        let (foot, near_m, far_m) = if left_m <= right_m { (Foot::Left, left_m, right_m) } else { (Foot::Right, right_m, left_m) };
        match (near_m <= reach_m, far_m.is_finite()) {
            (false, _) => Nearest::NONE,
            // With one foot out of sight, the other one within reach is a guess.
            (true, false) => Nearest { foot, confidence: 0.5 },
            (true, true) => Nearest { foot, confidence: if far_m > 0.0 { far_m / (near_m + far_m) } else { 0.5 } },
        }
    }
}

/// Distance from a point to the path through `corners`; infinite when there are none.
fn distance_to_path(corners: impl Iterator<Item = [f64; 2]>, point: [f64; 2]) -> f64 {
    let mut nearest = f64::INFINITY;
    let mut previous: Option<[f64; 2]> = None;
    for corner in corners {
        nearest = nearest.min(distance_to_segment(previous.unwrap_or(corner), corner, point));
        previous = Some(corner);
    }
    nearest
}

fn distance_to_segment(from: [f64; 2], to: [f64; 2], point: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let square = along[0] * along[0] + along[1] * along[1];
    let share = if square > 0.0 { ((offset[0] * along[0] + offset[1] * along[1]) / square).clamp(0.0, 1.0) } else { 0.0 };
    let rest = [offset[0] - share * along[0], offset[1] - share * along[1]];
    (rest[0] * rest[0] + rest[1] * rest[1]).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> (Feet, History) {
        let feet = Feet { left: vec![[0; 3], [0; 3]], right: vec![[0; 3], [0; 3]] };
        let row = |time_ns: i64, positions_m: [[f64; 2]; 4]| Row { time_ns, positions_m: positions_m.to_vec() };
        let nan = [f64::NAN; 2];
        let rows = VecDeque::from([
            row(0, [[0.0, 0.1], [0.2, 0.1], [0.5, -0.1], [0.7, -0.1]]),
            row(10_000_000, [nan, [0.2, 0.1], nan, nan]),
            row(20_000_000, [[9.0, 9.0]; 4]),
        ]);
        (feet, History { rows })
    }

    #[test]
    fn the_foot_between_whose_markers_the_point_lies_is_nearest() {
        let (feet, history) = history();
        let found = history.nearest(&feet, 15_000_000, [0.1, 0.1], 0.3);
        assert_eq!(found.foot, Foot::Left);
        assert!(found.confidence > 0.99, "{found:?}");
        assert_eq!(history.nearest(&feet, 15_000_000, [0.6, -0.05], 0.3).foot, Foot::Right);
        assert_eq!(history.nearest(&feet, 15_000_000, [3.0, 0.0], 0.3), Nearest::NONE);
        assert_eq!(history.nearest(&feet, 15_000_000, [f64::NAN, 0.0], 0.3), Nearest::NONE);
    }

    #[test]
    fn stale_markers_say_nothing() {
        let (feet, mut history) = history();
        history.rows.pop_back();
        assert_eq!(history.nearest(&feet, 109_000_000, [0.1, 0.1], 0.3), Nearest { foot: Foot::Left, confidence: 0.5 });
        assert_eq!(history.nearest(&feet, 120_000_000, [0.1, 0.1], 0.3), Nearest::NONE);
        history.prune(120_000_000);
        assert!(history.rows.is_empty());
    }
}

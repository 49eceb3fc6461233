//! Which readings of a clock are worth keeping? The best of each stretch of time, over a sliding window of five minutes.

use serde::{Deserialize, Serialize};

use super::line::Point;

/// Stretches begin this short, so that the first seconds have several, and double until they are the longest.
const SHORTEST_NS: i64 = 156_250_000;
/// Ten seconds: with [`STRETCHES`] of them a window of 320 s.
const LONGEST_NS: i64 = SHORTEST_NS << 6;
/// The most stretches that are kept.
const STRETCHES: i64 = 32;

/// After a gap as long as this nothing is left in the window.
pub(super) const WINDOW_NS: i64 = LONGEST_NS * STRETCHES;

/// The best reading of each stretch of device time, oldest first; never more than 32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    points: Vec<Point>,
    doublings: u32,
}

impl Window {
    /// The kept readings, in the order of their device times.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// Device time from the oldest to the newest kept reading.
    pub(super) fn span_ns(&self) -> i64 {
        match self.points[..] {
            [first, .., last] => last.device_ns.saturating_sub(first.device_ns),
            _ => 0,
        }
    }

    /// Takes a reading that is no older than any before; says whether it is kept. `better` is asked whether its first
    /// reading is to be kept rather than its second.
    pub(super) fn take(&mut self, point: Point, better: impl Fn(&Point, &Point) -> bool) -> bool {
        if let Some(last) = self.points.last().copied()
            && self.stretch(last.device_ns) == self.stretch(point.device_ns)
        {
            let kept = better(&point, &last);
            if kept {
                self.points.pop();
                self.points.push(point);
            }
            return kept;
        }
        self.points.push(point);
        while self.first_kept(point) > self.stretch(self.points[0].device_ns) && SHORTEST_NS << self.doublings < LONGEST_NS {
            self.double(&better);
        }
        let first = self.first_kept(point);
        let gone = self.points.partition_point(|old| self.stretch(old.device_ns) < first);
        self.points.drain(..gone);
        true
    }

    fn double(&mut self, better: &impl Fn(&Point, &Point) -> bool) {
        self.doublings += 1;
        let mut kept: Vec<Point> = Vec::with_capacity(self.points.len());
        for point in std::mem::take(&mut self.points) {
            match kept.last_mut() {
                Some(last) if self.stretch(last.device_ns) == self.stretch(point.device_ns) => {
                    if better(&point, last) {
                        *last = point;
                    }
                }
                _ => kept.push(point),
            }
        }
        self.points = kept;
    }

    fn first_kept(&self, newest: Point) -> i64 {
        self.stretch(newest.device_ns) - (STRETCHES - 1)
    }

    fn stretch(&self, device_ns: i64) -> i64 {
        device_ns.div_euclid(SHORTEST_NS << self.doublings)
    }
}

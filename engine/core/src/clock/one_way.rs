//! When did samples arrive that were not delayed? The lower convex hull of (device time, arrival), and its supporting line.
//!
//! No message arrives before it was sent, so the true relation of the clocks, plus the smallest delay, lies under all
//! readings and touches the quickest of them. The line is the one of all under the readings that has the least mean delay
//! (Zhang, Liu and Xia, "Clock synchronization algorithms for network measurements", INFOCOM 2002): the hull's edge over the
//! readings' mean time. The hull is that of the quickest reading of each stretch of a window (`window.rs`), which are its
//! vertices wherever the drift is known to better than delay/stretch; so memory is bounded and a reading costs one
//! comparison, a fit 32.

use serde::{Deserialize, Serialize};

use super::ClockEvent;
use super::line::{Line, Point, median, saturate, shrink, slope_ppb};
use super::window::{WINDOW_NS, Window};
use crate::time::{SECOND_NS, TimeNs};

/// A clock that jumps by more was set or restarted.
pub(super) const RESET_NS: i64 = SECOND_NS;
/// What a single first reading may be late.
const FIRST_ERROR_NS: i64 = 50_000_000;
/// A fit younger than this has no steps: its own error is as large.
const SETTLED_NS: i64 = 10 * SECOND_NS;
/// So many readings that came before they can have been sent are a step of the clock …
const EARLY_READINGS: u32 = 4;
/// … when no more than this many lie between them; otherwise they are strays, and left out.
const EARLY_WITHIN: u32 = 64;
/// Readings that all come later than before, for this long and this many, are a step back of the clock.
const LATE_FOR_NS: i64 = 10 * SECOND_NS;
const LATE_READINGS: u32 = 30;
/// A run of late readings ends in a gap as long as this. From when it has lasted as long it counts: before, it may have been
/// late for another reason, and then the fit is less sure.
const RUN_NS: i64 = 2 * SECOND_NS;

/// The fit of what comes unasked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OneWay {
    window: Window,
    line: Line,
    /// Median height of the window's points over the line.
    height_ns: i64,
    error_ns: i64,
    readings: u64,
    newest_ns: i64,
    newest_arrival_ns: TimeNs,
    before: Before,
    early: Early,
    late: Late,
    prior_ppb: i64,
}

/// Readings that came before they can have been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Early {
    readings: u32,
    lowest: Point,
}

/// The line as it was up to twice [`EARLY_WITHIN`] readings before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    line: Line,
    error_ns: i64,
    /// Readings since.
    readings: u32,
}

/// The latest run of readings that all came late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Late {
    readings: u32,
    first: Point,
    first_arrival_ns: TimeNs,
    /// The quickest but for the run's beginning, which may have been late for another reason.
    lowest: Option<Point>,
    /// By the clock that saw less of it.
    lasted_ns: i64,
}

impl OneWay {
    /// A fit of a crystal that ran at this rate before.
    pub(super) fn with_prior(prior_ppb: i64) -> Self {
        Self { prior_ppb, line: Line { slope_ppb: prior_ppb, ..Line::default() }, ..Self::default() }
    }

    /// The line under all readings; none before the first.
    pub(super) fn line(&self) -> Option<&Line> {
        (self.readings > 0).then_some(&self.line)
    }

    /// How far the line may lie from where it would with endless readings; more while readings come later than they should.
    pub(super) fn error_ns(&self) -> i64 {
        match self.late.lowest {
            Some(lowest) if self.late.readings >= LATE_READINGS => self.error_ns.max(lowest.above(&self.line)),
            _ => self.error_ns,
        }
    }

    /// The newest device time.
    pub(super) fn newest_ns(&self) -> Option<i64> {
        (self.readings > 0).then_some(self.newest_ns)
    }

    /// Takes a reading. After an event the fit has begun anew from it.
    pub(super) fn observe(&mut self, device_ns: i64, arrival_ns: TimeNs) -> Option<ClockEvent> {
        let point = Point::new(device_ns, arrival_ns);
        let pause_ns = arrival_ns.saturating_sub(std::mem::replace(&mut self.newest_arrival_ns, arrival_ns));
        if self.readings == 0 {
            self.accept(point);
            return None;
        }
        let above_ns = point.above(&self.line);
        let gap_ns = device_ns.saturating_sub(self.newest_ns);
        if gap_ns < 0 || above_ns < -RESET_NS - gap_ns / 2000 {
            let jump_ns = self.line.jump_ns(above_ns);
            self.begin_anew(&[point]);
            return Some(ClockEvent::Reset { jump_ns });
        }
        if gap_ns >= WINDOW_NS {
            self.begin_anew(&[point]);
            return None;
        }
        if self.window.span_ns() < SETTLED_NS {
            self.before = Before { line: self.line, error_ns: self.error_ns, readings: 0 };
        } else {
            let is_early = point.above(&self.before.line) < -allowed_ns(self.before.error_ns, gap_ns);
            if is_early {
                return self.early(point);
            }
            self.look_back();
            if gap_ns.max(pause_ns) >= RUN_NS {
                self.late = Late::default();
            }
            if let Some(event) = self.late(point, above_ns, arrival_ns) {
                return Some(event);
            }
        }
        self.accept(point);
        None
    }

    /// Every so often judges what is early by the line as it is now; by an older one while some were, since the first readings
    /// after a step draw the line along.
    fn look_back(&mut self) {
        self.before.readings += 1;
        if self.before.readings >= EARLY_WITHIN {
            if self.early.readings == 0 {
                self.before = Before { line: self.line, error_ns: self.error_ns, readings: 0 };
            }
            self.before.readings = 0;
            self.early = Early::default();
        }
    }

    /// A reading that came before it can have been sent.
    fn early(&mut self, point: Point) -> Option<ClockEvent> {
        let slope_ppb = self.before.line.slope_ppb;
        if self.early.readings == 0 || point.intercept(slope_ppb) < self.early.lowest.intercept(slope_ppb) {
            self.early.lowest = point;
        }
        self.early.readings += 1;
        self.newest_ns = point.device_ns;
        if self.early.readings < EARLY_READINGS {
            return None;
        }
        let lowest = self.early.lowest;
        let jump_ns = self.before.line.jump_ns(lowest.above(&self.before.line));
        self.begin_anew(&[lowest, point]);
        Some(ClockEvent::Step { jump_ns })
    }

    /// A reading that may belong to a run of late ones.
    fn late(&mut self, point: Point, above_ns: i64, arrival_ns: TimeNs) -> Option<ClockEvent> {
        let allowed_ns = allowed_ns(self.error_ns, 0).max(self.height_ns.saturating_mul(3));
        if above_ns <= allowed_ns {
            self.late = Late::default();
            return None;
        }
        // What is still catching up was held up on its way.
        if self.late.readings == 0 || self.late.first.above(&self.line).saturating_sub(above_ns) > allowed_ns {
            self.late = Late { first_arrival_ns: arrival_ns, first: point, ..Late::default() };
        }
        self.late.readings += 1;
        let Late { first, first_arrival_ns, .. } = self.late;
        self.late.lasted_ns = arrival_ns.saturating_sub(first_arrival_ns).min(point.device_ns.saturating_sub(first.device_ns));
        if self.late.lasted_ns >= RUN_NS && self.late.lowest.is_none_or(|lowest| above_ns < lowest.above(&self.line)) {
            self.late.lowest = Some(point);
        }
        let lowest = self.late.lowest?;
        if self.late.readings < LATE_READINGS || self.late.lasted_ns < LATE_FOR_NS {
            return None;
        }
        let jump_ns = self.line.jump_ns(lowest.above(&self.line));
        self.begin_anew(&[lowest, point]);
        Some(if jump_ns < -RESET_NS { ClockEvent::Reset { jump_ns } } else { ClockEvent::Step { jump_ns } })
    }

    fn begin_anew(&mut self, points: &[Point]) {
        *self = Self { newest_arrival_ns: self.newest_arrival_ns, ..Self::with_prior(self.line.slope_ppb) };
        for point in points {
            if self.readings == 0 || point.device_ns > self.newest_ns {
                self.accept(*point);
            }
        }
    }

    fn accept(&mut self, point: Point) {
        self.readings += 1;
        self.newest_ns = point.device_ns;
        let slope_ppb = self.line.slope_ppb;
        let is_kept = self.window.take(point, |a, b| a.intercept(slope_ppb) < b.intercept(slope_ppb));
        if is_kept || self.readings.is_power_of_two() {
            self.fit();
        }
    }

    fn fit(&mut self) {
        let points = self.window.points();
        let (first, last) = (points[0], points[points.len() - 1]);
        let edge_ppb = edge_over_mean(points);
        let span_ns = last.device_ns.saturating_sub(first.device_ns);
        self.height_ns = median_height(points, edge_ppb.unwrap_or(self.prior_ppb));
        let unsure_ns = FIRST_ERROR_NS / i64::try_from(self.readings).unwrap_or(i64::MAX).max(1);
        // 7 · height / √points.
        self.error_ns = self.height_ns.saturating_mul(700) / (10_000 * points.len()).isqrt() as i64 + unsure_ns;
        let slope_ppb = edge_ppb.map_or(self.prior_ppb, |edge| shrink(edge, self.prior_ppb, span_ns, self.error_ns));
        let lowest = points.iter().copied().min_by_key(|point| point.intercept(slope_ppb)).unwrap_or(first);
        self.line = Line::through(lowest, slope_ppb);
    }
}

/// How far from the line a reading may be without the clock having jumped. A crystal of 500 ppm may have warmed or cooled
/// during a gap.
fn allowed_ns(error_ns: i64, gap_ns: i64) -> i64 {
    error_ns.saturating_mul(4).max(1_000_000).saturating_add(gap_ns / 2000)
}

/// Slope of the lower hull's edge over the mean of the points' times; none when there is one point.
fn edge_over_mean(points: &[Point]) -> Option<i64> {
    let mut hull: Vec<Point> = Vec::with_capacity(points.len());
    for point in points {
        while let [.., a, b] = hull[..]
            && !turns_up(a, b, *point)
        {
            hull.pop();
        }
        hull.push(*point);
    }
    let first = points.first()?.device_ns;
    let sum: i128 = points.iter().map(|point| i128::from(point.device_ns) - i128::from(first)).sum();
    let mean_ns = saturate(i128::from(first) + sum / points.len() as i128);
    let after = hull.partition_point(|point| point.device_ns <= mean_ns).clamp(1, hull.len().max(2) - 1);
    (hull.len() > 1).then(|| slope_ppb(hull[after - 1], hull[after]))
}

/// Whether the way from `a` over `b` to `c` turns upwards at `b`.
fn turns_up(a: Point, b: Point, c: Point) -> bool {
    let run = |from: Point, to: Point| i128::from(to.device_ns) - i128::from(from.device_ns);
    let rise = |from: Point, to: Point| i128::from(to.offset_ns) - i128::from(from.offset_ns);
    rise(a, b).saturating_mul(run(b, c)) < rise(b, c).saturating_mul(run(a, b))
}

/// Median height of the points, the newest aside whose stretch is not over, above the line of a slope under them all. The
/// median, since a network that slows down for a while lifts some.
fn median_height(points: &[Point], slope_ppb: i64) -> i64 {
    let whole = &points[..(points.len() - 1).max(1)];
    let intercepts = || whole.iter().map(|point| point.intercept(slope_ppb));
    let lowest = intercepts().min().unwrap_or(0);
    median(intercepts().map(|intercept| (intercept - lowest) / 1_000_000_000).collect()).map_or(0, saturate)
}

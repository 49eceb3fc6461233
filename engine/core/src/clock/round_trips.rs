//! What time is it on a device that answers? Its clock read by questions and answers, as NTP and LSL do.
//!
//! A question's offset is right to half its round trip, so the quickest of each stretch of the window is kept, and of those
//! the ones near the quickest of all make the line: the median of the slopes between them and the median of their offsets
//! (Theil and Sen), which outliers do not move.

use serde::{Deserialize, Serialize};

use super::ClockEvent;
use super::line::{Line, Point, median, saturate, shrink, slope_ppb};
use super::one_way::RESET_NS;
use super::window::Window;
use crate::recorded::RoundTrip;

/// What is unknown about an answer beside its round trip, by the number of answers.
const FIRST_ERROR_NS: i64 = 1_000_000;
/// Answers in a row that contradict the line, on the same side, are a step of the clock.
const STEP_READINGS: u32 = 3;

/// The fit of what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RoundTrips {
    window: Window,
    line: Line,
    error_ns: i64,
    newest_ns: i64,
    /// Answers in a row that lie above the line (positive) or under it (negative), further than they can.
    astray: i32,
    prior_ppb: i64,
}

impl RoundTrips {
    /// A fit of a crystal that ran at this rate before.
    pub(super) fn with_prior(prior_ppb: i64) -> Self {
        Self { prior_ppb, ..Self::default() }
    }

    /// The line; none before the first answer.
    pub(super) fn line(&self) -> Option<&Line> {
        (!self.window.points().is_empty()).then_some(&self.line)
    }

    /// How far the line may be off: half the quickest round trip, the spread of the offsets, and what few answers leave open.
    pub(super) fn error_ns(&self) -> i64 {
        self.error_ns
    }

    /// Takes an answer. After an event the fit has begun anew from it. An answer out of order says nothing.
    pub(super) fn observe(&mut self, round_trip: RoundTrip) -> Option<ClockEvent> {
        let point = point(round_trip)?;
        if self.line().is_none() {
            self.accept(point);
            return None;
        }
        let above_ns = point.above(&self.line);
        let gap_ns = point.device_ns.saturating_sub(self.newest_ns);
        let went_back = gap_ns < 0;
        // A crystal of 500 ppm may have warmed or cooled during a gap.
        let allowed_ns = (point.width_ns / 2).saturating_add(4 * self.error_ns + gap_ns.max(0) / 2000);
        if above_ns.unsigned_abs() > allowed_ns.max(RESET_NS).unsigned_abs() {
            let jump_ns = self.line.jump_ns(above_ns);
            self.begin_anew(point);
            return Some(ClockEvent::Reset { jump_ns });
        }
        if went_back {
            return None;
        }
        self.newest_ns = point.device_ns;
        if above_ns.unsigned_abs() <= allowed_ns.unsigned_abs() {
            self.astray = 0;
            self.accept(point);
            return None;
        }
        let side = if above_ns > 0 { 1 } else { -1 };
        self.astray = if self.astray.signum() == side { self.astray + side } else { side };
        if self.astray.unsigned_abs() < STEP_READINGS {
            return None;
        }
        let jump_ns = self.line.jump_ns(above_ns);
        self.begin_anew(point);
        Some(ClockEvent::Step { jump_ns })
    }

    fn begin_anew(&mut self, point: Point) {
        *self = Self::with_prior(self.line.slope_ppb);
        self.accept(point);
    }

    fn accept(&mut self, point: Point) {
        self.newest_ns = point.device_ns;
        if self.window.take(point, |a, b| a.width_ns < b.width_ns) {
            self.fit();
        }
    }

    fn fit(&mut self) {
        let points = self.window.points();
        let least_ns = points.iter().map(|point| point.width_ns).min().unwrap_or(0);
        let near: Vec<Point> = points.iter().copied().filter(|point| point.width_ns <= least_ns.saturating_mul(2)).collect();
        let (first, last) = (near[0], near[near.len() - 1]);
        let pairs = near.iter().enumerate().flat_map(|(index, from)| near[index + 1..].iter().map(|to| slope_ppb(*from, *to)));
        let measured_ppb = median(pairs.map(i128::from).collect()).map_or(self.prior_ppb, saturate);
        let spread_ns = |line: &Line| median(near.iter().map(|point| i128::from(point.above(line)).abs()).collect()).map_or(0, saturate);
        let unsure_ns = FIRST_ERROR_NS / near.len() as i64;
        let straight = through_median(&near, measured_ppb, last.device_ns);
        let span_ns = last.device_ns.saturating_sub(first.device_ns);
        let slope = shrink(measured_ppb, self.prior_ppb, span_ns, 3 * spread_ns(&straight) + unsure_ns);
        self.line = through_median(&near, slope, last.device_ns);
        self.error_ns = (least_ns / 2).saturating_add(3 * spread_ns(&self.line) + unsure_ns);
    }
}

/// The answer as a reading of both clocks; none when its instants are out of order.
fn point(round_trip: RoundTrip) -> Option<Point> {
    let RoundTrip { sent_ns, device_received_ns, device_sent_ns, received_ns } = round_trip;
    let held_ns = device_sent_ns.checked_sub(device_received_ns).filter(|held| *held >= 0)?;
    let away_ns = received_ns.checked_sub(sent_ns).filter(|away| *away >= held_ns)?;
    let middle_ns = |from: i64, to: i64| from + (to - from) / 2;
    let point = Point::new(middle_ns(device_received_ns, device_sent_ns), middle_ns(sent_ns, received_ns));
    Some(Point { width_ns: away_ns - held_ns, ..point })
}

/// The line of a slope with as many points above it as under it.
fn through_median(points: &[Point], slope_ppb: i64, device_ns: i64) -> Line {
    let at = |point: &Point| i128::from(Line::through(*point, slope_ppb).at(device_ns));
    Line { device_ns, offset_ns: median(points.iter().map(at).collect()).map_or(0, saturate), slope_ppb }
}

//! Which rows of a stream give its value at a grid point, and when that is certain.

use arrow_array::StringArray;
use arrow_buffer::OffsetBuffer;
use proprio_core::TimeNs;

/// How an input's value came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A row has the very time.
    Exact,
    /// Made from rows beside or around it.
    Interpolated,
    /// Taken from one row at another time.
    Held,
    /// No row is near enough.
    Missing,
}

impl Reason {
    /// As it stands in a `reason` column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Interpolated => "interpolated",
            Self::Held => "held",
            Self::Missing => "missing",
        }
    }
}

/// The rows `from..=to` that make a value; interpolation lies `weight` of the way between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// Why these.
    pub reason: Reason,
    /// First row.
    pub from: usize,
    /// Last row.
    pub to: usize,
    /// 0 at `from`, 1 at `to`.
    pub weight: f64,
}

impl Pick {
    /// No row.
    pub const MISSING: Self = Self { reason: Reason::Missing, from: 0, to: 0, weight: 0.0 };

    /// The one row that is nearer.
    pub fn nearer(&self) -> usize {
        if self.weight > 0.5 { self.to } else { self.from }
    }

    const fn row(reason: Reason, row: usize) -> Self {
        Self { reason, from: row, to: row, weight: 0.0 }
    }
}

/// The names of the picks' reasons: one buffer, written in one go, and mostly one name again and again.
pub fn reasons(picks: &[Pick]) -> StringArray {
    let offset = |bytes: usize| i32::try_from(bytes).expect("an advance's reasons fit in 2 GiB");
    let same = picks.first().map(|first| first.reason).filter(|reason| picks.iter().all(|pick| pick.reason == *reason));
    let (names, offsets): (Vec<u8>, Vec<i32>) = match same.map(Reason::name) {
        Some(name) => (name.repeat(picks.len()).into(), (0..=picks.len()).map(|row| offset(row * name.len())).collect()),
        None => {
            let mut names = Vec::with_capacity(picks.len() * Reason::Interpolated.name().len());
            let ends = picks.iter().map(|pick| {
                names.extend_from_slice(pick.reason.name().as_bytes());
                offset(names.len())
            });
            let offsets = std::iter::once(0).chain(ends).collect();
            (names, offsets)
        }
    };
    StringArray::new(OffsetBuffer::new(offsets.into()), names.into(), None)
}

/// A grid point, the span of time that belongs to it, and how far rows are known.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Its time.
    pub time: TimeNs,
    /// Its cell begins after this: halfway to the point before.
    pub cell_after: TimeNs,
    /// Its cell ends at this: halfway to the next point.
    pub cell_to: TimeNs,
    /// No row at or before this is still to come.
    pub watermark: TimeNs,
    /// How far from the point a row may lie.
    pub tolerance_ns: i64,
}

/// The rows at or before `point.time` number `count` (of the sorted `times`). `None` while a row that matters may still come.
/// Between the row before and the row after, both within the tolerance.
pub fn linear(times: &[TimeNs], count: usize, point: &Point) -> Option<Pick> {
    let Some(before) = distance_before(times, count, point) else { return decided(point, 0, Pick::MISSING) };
    if before == 0 {
        return Some(Pick::row(Reason::Exact, count - 1));
    }
    match times.get(count) {
        None => decided(point, point.tolerance_ns, Pick::MISSING),
        Some(next) if next - point.time > point.tolerance_ns => Some(Pick::MISSING),
        Some(next) => {
            let weight = before as f64 / (next - times[count - 1]) as f64;
            Some(Pick { reason: Reason::Interpolated, from: count - 1, to: count, weight })
        }
    }
}

/// As [`linear`], but the nearest row within the tolerance, of two equally near the earlier.
pub fn nearest(times: &[TimeNs], count: usize, point: &Point) -> Option<Pick> {
    let before = distance_before(times, count, point);
    let after = times.get(count).map(|next| next.saturating_sub(point.time));
    match (before, after) {
        (Some(0), _) => Some(Pick::row(Reason::Exact, count - 1)),
        (Some(before), Some(after)) if before <= after => Some(Pick::row(Reason::Held, count - 1)),
        (_, Some(after)) if after <= point.tolerance_ns => Some(Pick::row(Reason::Held, count)),
        (_, Some(_)) => Some(Pick::MISSING),
        (Some(before), None) => decided(point, before - 1, Pick::row(Reason::Held, count - 1)),
        (None, None) => decided(point, point.tolerance_ns, Pick::MISSING),
    }
}

/// As [`linear`], but the last row at or before the point, within the tolerance.
pub fn last(times: &[TimeNs], count: usize, point: &Point) -> Option<Pick> {
    let pick = match distance_before(times, count, point) {
        None => Pick::MISSING,
        Some(0) => Pick::row(Reason::Exact, count - 1),
        Some(_) => Pick::row(Reason::Held, count - 1),
    };
    decided(point, 0, pick)
}

/// All rows of the point's cell, `from..to` of the sorted `times`.
pub fn cell(times: &[TimeNs], from: usize, to: usize, point: &Point) -> Option<Pick> {
    let pick = match to - from {
        0 => Pick::MISSING,
        1 if times[from] == point.time => Pick::row(Reason::Exact, from),
        _ => Pick { reason: Reason::Interpolated, from, to: to - 1, weight: 0.0 },
    };
    (point.watermark >= point.cell_to).then_some(pick)
}

/// How far before the point its last row lies, if within the tolerance.
fn distance_before(times: &[TimeNs], count: usize, point: &Point) -> Option<i64> {
    let before = point.time.saturating_sub(*times.get(count.checked_sub(1)?)?);
    (before <= point.tolerance_ns).then_some(before)
}

/// `pick`, once no row up to `reach_ns` after the point can come.
fn decided(point: &Point, reach_ns: i64, pick: Pick) -> Option<Pick> {
    (point.watermark >= point.time.saturating_add(reach_ns)).then_some(pick)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(time: TimeNs, watermark: TimeNs) -> Point {
        Point { time, cell_after: time - 5, cell_to: time + 5, watermark, tolerance_ns: 10 }
    }

    #[test]
    fn a_point_waits_for_the_next_row_and_no_longer() {
        let times = [0, 8];
        assert_eq!(linear(&times, 2, &point(10, 19)), None, "a row at 20 could still come");
        assert_eq!(linear(&times, 2, &point(10, 20)), Some(Pick::MISSING));
        assert_eq!(linear(&[0, 8, 12], 2, &point(10, 12)), Some(Pick { reason: Reason::Interpolated, from: 1, to: 2, weight: 0.5 }));
        assert_eq!(linear(&[0], 1, &point(11, 11)), Some(Pick::MISSING), "the row before is too old, whatever comes");
        assert_eq!(linear(&[0, 25], 1, &point(10, 25)), Some(Pick::MISSING), "the row after is too far");
    }

    #[test]
    fn nearest_is_certain_once_the_row_before_cannot_be_beaten() {
        assert_eq!(nearest(&[8], 1, &point(10, 10)), None);
        assert_eq!(nearest(&[8], 1, &point(10, 11)), Some(Pick::row(Reason::Held, 0)), "a row at 12 would only be as near");
        assert_eq!(nearest(&[8, 11], 1, &point(10, 11)), Some(Pick::row(Reason::Held, 1)));
        assert_eq!(nearest(&[], 0, &point(10, 19)), None);
        assert_eq!(nearest(&[], 0, &point(10, 20)), Some(Pick::MISSING));
    }

    #[test]
    fn a_cell_is_complete_at_its_end() {
        assert_eq!(cell(&[8, 9], 0, 2, &point(10, 14)), None);
        assert_eq!(cell(&[8, 9], 0, 2, &point(10, 15)), Some(Pick { reason: Reason::Interpolated, from: 0, to: 1, weight: 0.0 }));
        assert_eq!(cell(&[10], 0, 1, &point(10, 15)), Some(Pick::row(Reason::Exact, 0)));
        assert_eq!(last(&[10], 1, &point(12, 12)), Some(Pick::row(Reason::Held, 0)));
    }
}

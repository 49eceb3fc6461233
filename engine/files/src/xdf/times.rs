//! When were a stream's samples taken, on the recorder's clock? Its clock offsets, its resets, and its rate.

use proprio_core::recorded::RoundTrip;
use proprio_core::{ClockEvent, ClockFit};

use super::chunks::Stream;

/// Offsets are used so far ahead, so that a sample's time lies in the middle of what its fit rests on.
const LOOK_AHEAD_S: f64 = 160.0;
/// A gap as long as this, or as this many periods where they are longer, is a break: the sender's clock or the sender stood still.
const BREAK_S: f64 = 1.0;
const BREAK_PERIODS: f64 = 500.0;

/// A stream's samples on the recorder's clock.
#[derive(Debug, PartialEq)]
pub(super) struct Times {
    /// In the file's order, never going back.
    pub(super) times_ns: Vec<i64>,
    /// Where the sender's clock was set: the first sample after, and how far it jumped.
    pub(super) jumps: Vec<(usize, i64)>,
}

/// A stretch of the clock offsets without a jump.
struct Stretch {
    offsets: std::ops::Range<usize>,
    /// How far the clock jumped before it.
    jump_ns: i64,
}

/// Maps a stream's times. Where the file has no offsets they are the recorder's already.
///
/// Samples at a rate are then put on a straight line between breaks, as other readers of XDF do: their times are those at
/// which the sender handed them over, several at once.
pub(super) fn map(stream: &Stream) -> Times {
    let stretches = stretches(&stream.clock_offsets);
    let mut times = Times { times_ns: Vec::with_capacity(stream.times_s.len()), jumps: Vec::new() };
    let mut begin = 0;
    for (index, stretch) in stretches.iter().enumerate() {
        let end = match stretches.get(index + 1) {
            Some(next) => begin + samples_before(&stream.times_s[begin..], &stream.clock_offsets, stretch, next),
            None => stream.times_s.len(),
        };
        if index > 0 && begin < end {
            times.jumps.push((begin, stretch.jump_ns));
        }
        let offsets = &stream.clock_offsets[stretch.offsets.clone()];
        times.times_ns.extend(map_stretch(&stream.times_s[begin..end], offsets));
        begin = end;
    }
    if stretches.is_empty() {
        times.times_ns.extend(stream.times_s.iter().map(|time_s| nanoseconds(*time_s)));
    }
    if stream.nominal_hz > 0.0 {
        straighten(&mut times.times_ns, stream.nominal_hz);
    }
    for index in 1..times.times_ns.len() {
        times.times_ns[index] = times.times_ns[index].max(times.times_ns[index - 1]);
    }
    times
}

/// Where the offsets jump.
fn stretches(offsets: &[(f64, f64)]) -> Vec<Stretch> {
    let mut fit = ClockFit::default();
    let mut stretches: Vec<Stretch> = Vec::new();
    for (index, (time_s, offset_s)) in offsets.iter().enumerate() {
        let event = fit.observe_round_trip(reading(*time_s, *offset_s));
        let (from, jump_ns) = match event {
            None if index > 0 => (None, 0),
            None => (Some(0), 0),
            Some(ClockEvent::Reset { jump_ns }) => (Some(index), jump_ns),
            // A step is known from its third reading.
            Some(ClockEvent::Step { jump_ns }) => (Some(index.saturating_sub(2)), jump_ns),
        };
        if let Some(from) = from {
            if let Some(last) = stretches.last_mut() {
                last.offsets.end = from.max(last.offsets.start + 1);
            }
            stretches.push(Stretch { offsets: from..offsets.len(), jump_ns });
        }
    }
    stretches
}

/// How many samples come before the first one that lies nearer to the next stretch's beginning than to this one's end.
fn samples_before(times_s: &[f64], offsets: &[(f64, f64)], stretch: &Stretch, next: &Stretch) -> usize {
    let (end_s, next_s) = (offsets[stretch.offsets.end - 1].0, offsets[next.offsets.start].0);
    times_s.iter().position(|time_s| (time_s - end_s).abs() >= (time_s - next_s).abs()).unwrap_or(times_s.len())
}

fn map_stretch(times_s: &[f64], offsets: &[(f64, f64)]) -> Vec<i64> {
    let mut fit = ClockFit::default();
    let mut known = 0;
    let map = |time_s: &f64| {
        while offsets.get(known).is_some_and(|(at_s, _)| known == 0 || *at_s <= time_s + LOOK_AHEAD_S) {
            fit.observe_round_trip(reading(offsets[known].0, offsets[known].1));
            known += 1;
        }
        fit.map(nanoseconds(*time_s))
    };
    times_s.iter().map(map).collect()
}

/// A clock offset as a question and its answer. The file keeps what came of the quickest one, not how quick it was.
fn reading(time_s: f64, offset_s: f64) -> RoundTrip {
    let (device_ns, rig_ns) = (nanoseconds(time_s), nanoseconds(time_s).saturating_add(nanoseconds(offset_s)));
    RoundTrip { sent_ns: rig_ns, device_received_ns: device_ns, device_sent_ns: device_ns, received_ns: rig_ns }
}

/// The least-squares line through each run of times without a break.
fn straighten(times_ns: &mut [i64], nominal_hz: f64) {
    let break_ns = nanoseconds(BREAK_S.max(BREAK_PERIODS / nominal_hz));
    for run in times_ns.chunk_by_mut(|a, b| b.saturating_sub(*a).unsigned_abs() <= break_ns.unsigned_abs()) {
        let (count, first) = (run.len() as f64, run[0]);
        let middle = (count - 1.0) / 2.0;
        let mean = run.iter().map(|time| time.saturating_sub(first) as f64).sum::<f64>() / count;
        let product: f64 = run.iter().enumerate().map(|(k, time)| (k as f64 - middle) * (time.saturating_sub(first) as f64 - mean)).sum();
        // Sum of the squares of 0 … count−1 less their mean.
        let square = count * (count * count - 1.0) / 12.0;
        let step = if square > 0.0 { product / square } else { 0.0 };
        for (k, time) in run.iter_mut().enumerate() {
            *time = first.saturating_add((mean + step * (k as f64 - middle)).round() as i64);
        }
    }
}

fn nanoseconds(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

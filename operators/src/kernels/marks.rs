//! Named instants from streams of muscle onsets and of events, and which onset of a muscle belongs to a reference event.

use std::collections::VecDeque;

use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use proprio_core::{Port, TimeNs, rows};
use serde::{Deserialize, Serialize};

use super::gait_event::Foot;

/// Standard deviation of an event by the method that found it, in milliseconds: plates time a contact to two, others to ten.
const FORCE_SD_MS: f64 = 2.0;
const EVENT_SD_MS: f64 = 10.0;
/// An activity without an end is over by then.
const LONGEST_ACTIVITY_NS: i64 = 10_000_000_000;

/// Something that happened to a name at an instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub time: TimeNs,
    /// What.
    pub sign: Sign,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Sign {
    /// A muscle came on, or an event took place.
    Onset {
        /// How much earlier it lies in the mean over all that it may be.
        ahead_ms: f64,
        /// Standard deviation about that mean.
        sd_ms: f64,
    },
    /// A muscle went off.
    Offset,
    /// A muscle came on at a time that can't be told.
    Refused(String),
}

/// A stream that holds marks, and where its columns are.
#[derive(Clone, Debug)]
pub struct MarkStream {
    /// Its port.
    pub port: usize,
    /// Whether it holds muscles' onsets; events otherwise.
    pub is_onsets: bool,
    name: usize,
    event: usize,
    sd: Option<usize>,
    ahead: Option<usize>,
    reason: Option<usize>,
    method: Option<usize>,
    event_sd_ms: Option<f64>,
    model_sd_ms: f64,
}

/// The inputs that hold marks: onsets have the texts `muscle` and `event`, events have `event` and `side`. `event_sd_ms` replaces the
/// standard deviation of events; `model_sd_ms` is added to that of onsets, in squares.
pub fn mark_streams(ports: &[Port], event_sd_ms: Option<f64>, model_sd_ms: f64) -> Vec<MarkStream> {
    let of = |(port, input): (usize, &Port)| {
        let find = |name: &str, data_type: DataType| {
            input.schema.index(name).filter(|index| *input.schema.columns.field(*index).data_type() == data_type)
        };
        let (muscle, side) = (find("muscle", DataType::Utf8), find("side", DataType::Utf8));
        Some(MarkStream {
            port,
            is_onsets: muscle.is_some(),
            name: muscle.or(side)?,
            event: find("event", DataType::Utf8)?,
            sd: find("onset_sd_ms", DataType::Float64),
            ahead: find("onset_ahead_ms", DataType::Float64),
            reason: find("reason", DataType::Utf8),
            method: find("method", DataType::Utf8),
            event_sd_ms,
            model_sd_ms,
        })
    };
    ports.iter().enumerate().filter_map(of).collect()
}

impl MarkStream {
    /// Every mark of a batch with its name, in the rows' order. An onset without a standard deviation is no use, and counts as refused.
    pub fn read(&self, batch: &RecordBatch, add: &mut impl FnMut(&str, Mark)) {
        let (names, events) = (rows::strings(batch, self.name), rows::strings(batch, self.event));
        for (row, time) in rows::times(batch).iter().enumerate() {
            if names.is_null(row) || events.is_null(row) {
                continue;
            }
            let time = *time;
            if self.is_onsets {
                let sign = match events.value(row) {
                    "onset" => self.onset(batch, row),
                    "offset" => Sign::Offset,
                    "refused" => Sign::Refused(text(batch, self.reason, row).unwrap_or("refused").to_owned()),
                    _ => continue,
                };
                add(names.value(row), Mark { time, sign });
            } else {
                let sd_ms = self.event_sd_ms.unwrap_or(match text(batch, self.method, row) {
                    Some("force") => FORCE_SD_MS,
                    _ => EVENT_SD_MS,
                });
                let event = events.value(row);
                let name = match Foot::parse(names.value(row)) {
                    Foot::Unknown => event.to_owned(),
                    foot => format!("{event}_{}", foot.name()),
                };
                add(&name, Mark { time, sign: Sign::Onset { ahead_ms: 0.0, sd_ms } });
            }
        }
    }

    fn onset(&self, batch: &RecordBatch, row: usize) -> Sign {
        let [sd_ms, ahead_ms] = [self.sd, self.ahead].map(|column| column.map(|index| rows::float_or_nan(rows::floats(batch, index), row)));
        let (sd_ms, ahead_ms) = (sd_ms.unwrap_or(f64::NAN), ahead_ms.filter(|ahead| ahead.is_finite()).unwrap_or(0.0));
        if sd_ms.is_finite() {
            // The detector states it about the likeliest time.
            let about_mean = (sd_ms * sd_ms - ahead_ms * ahead_ms).max(0.0).sqrt();
            Sign::Onset { ahead_ms, sd_ms: libm::hypot(about_mean, self.model_sd_ms) }
        } else {
            Sign::Refused("no standard deviation".to_owned())
        }
    }
}

fn text(batch: &RecordBatch, column: Option<usize>, row: usize) -> Option<&str> {
    let column = rows::strings(batch, column?);
    (!column.is_null(row)).then(|| column.value(row))
}

/// What is known of one muscle around the reference events that wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    marks: VecDeque<Mark>,
    /// Since when the muscle was active before the marks.
    active_since: Option<TimeNs>,
    /// Rows in which its channel was bad, with the word for it.
    bad: VecDeque<(TimeNs, String)>,
}

impl Track {
    /// Adds a mark; rows come in order of time within a stream, and streams are merged.
    pub fn push(&mut self, mark: Mark) {
        let at = self.marks.partition_point(|other| other.time <= mark.time);
        self.marks.insert(at, mark);
    }

    /// Adds what a row says of the channel: none where it is fine.
    pub fn note_quality(&mut self, time: TimeNs, word: Option<&str>) {
        if let Some(word) = word {
            self.bad.push_back((time, word.to_owned()));
        }
    }

    /// The onset that belongs to a reference event: its latency and standard deviation in milliseconds. Of those within `range` the one
    /// nearest to the window, and of several within it the one nearest to the reference.
    ///
    /// # Errors
    /// Why there is none, or why it can't be believed. `is_cut`: the session ended before the range did.
    pub fn onset(&self, reference: TimeNs, range: [TimeNs; 2], window_ms: [f64; 2], is_cut: bool) -> Result<(f64, f64), String> {
        if let Some((_, word)) = self.bad.iter().find(|(time, _)| (range[0]..=range[1]).contains(time)) {
            return Err(if word == "gap" { "gap".to_owned() } else { format!("quality: {word}") });
        }
        let within = || self.marks.iter().filter(|mark| (range[0]..=range[1]).contains(&mark.time));
        let latency_ms = |mark: &Mark| mark.time.saturating_sub(reference) as f64 / 1e6;
        let outside = |latency: f64| (window_ms[0] - latency).max(latency - window_ms[1]).max(0.0);
        let distance = |latency: f64| (outside(latency), latency.abs());
        let onsets = within().filter_map(|mark| match mark.sign {
            Sign::Onset { ahead_ms, sd_ms } => Some((latency_ms(mark) - ahead_ms, sd_ms)),
            _ => None,
        });
        let nearest = onsets.fold(None, |best: Option<(f64, f64)>, next| match best {
            Some(best) if distance(best.0) <= distance(next.0) => Some(best),
            _ => Some(next),
        });
        if let Some(found) = nearest {
            return Ok(found);
        }
        let refused = within().find_map(|mark| match &mark.sign {
            Sign::Refused(reason) => Some(reason.clone()),
            _ => None,
        });
        Err(match refused {
            Some(reason) => format!("refused: {reason}"),
            None if is_cut => "the session ended".to_owned(),
            None if self.is_active_at(range[0]) => "active already".to_owned(),
            None => "no onset".to_owned(),
        })
    }

    fn is_active_at(&self, time: TimeNs) -> bool {
        let before = self.marks.iter().take_while(|mark| mark.time < time);
        let since = before.fold(self.active_since, active_since);
        since.is_some_and(|since| time.saturating_sub(since) < LONGEST_ACTIVITY_NS)
    }

    /// Forgets what lies before `oldest`, but for whether the muscle was active then.
    pub fn forget_before(&mut self, oldest: TimeNs) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.time < oldest) {
            self.active_since = active_since(self.active_since, mark);
            self.marks.pop_front();
        }
        let stale = self.bad.partition_point(|(time, _)| *time < oldest);
        self.bad.drain(..stale);
    }
}

fn active_since(since: Option<TimeNs>, mark: &Mark) -> Option<TimeNs> {
    match mark.sign {
        Sign::Onset { .. } => Some(mark.time),
        Sign::Offset => None,
        Sign::Refused(_) => since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn track(marks: &[(i64, Sign)]) -> Track {
        let mut track = Track::default();
        marks.iter().for_each(|(ms, sign)| track.push(Mark { time: ms * MS, sign: sign.clone() }));
        track
    }

    fn around(track: &Track, ms: i64) -> Result<(f64, f64), String> {
        track.onset(ms * MS, [(ms - 300) * MS, (ms + 250) * MS], [-100.0, 50.0], false)
    }

    #[test]
    fn the_onset_nearest_to_the_window_counts() {
        let onset = Sign::Onset { ahead_ms: 0.0, sd_ms: 3.0 };
        let two = track(&[(780, onset.clone()), (920, onset.clone()), (1200, onset.clone())]);
        assert_eq!(around(&two, 1000), Ok((-80.0, 3.0)));
        assert_eq!(around(&track(&[(1230, onset.clone())]), 1000), Ok((230.0, 3.0)));
        assert_eq!(around(&track(&[(1251, onset)]), 1000), Err("no onset".to_owned()));
    }

    #[test]
    fn without_an_onset_there_is_a_reason() {
        let onset = Sign::Onset { ahead_ms: 0.0, sd_ms: 3.0 };
        let mut active = track(&[(600, onset.clone())]);
        assert_eq!(around(&active, 1000), Err("active already".to_owned()));
        active.forget_before(700 * MS);
        assert_eq!(around(&active, 1000), Err("active already".to_owned()));
        active.push(Mark { time: 690 * MS, sign: Sign::Offset });
        assert_eq!(around(&active, 1000), Err("no onset".to_owned()));
        assert_eq!(around(&track(&[(990, Sign::Refused("weak".into()))]), 1000), Err("refused: weak".to_owned()));
        let mut bad = track(&[(990, onset)]);
        bad.note_quality(980 * MS, Some("clipped"));
        assert_eq!(around(&bad, 1000), Err("quality: clipped".to_owned()));
        assert!(around(&bad, 1300).is_err_and(|reason| reason == "active already"));
    }
}

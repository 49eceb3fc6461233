//! How the worker's sources and steps are, for people and metrics.

use proprio_core::TimeNs;
use proprio_core::control::ClockStatus;
use proprio_core::table::Reached;
use serde::{Deserialize, Serialize};

use super::Worker;
use super::device_clock::DeviceClock;
use super::source::{Activity, Source};

/// Counts of one sensor since the worker began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCounts {
    /// Samples that reached the stream.
    pub rows: u64,
    /// Samples lost, net of those that came after all.
    pub lost: i64,
    /// Samples behind the watermark.
    pub late: u64,
    /// Samples and payloads that can't be used, duplicates left out.
    pub rejected: u64,
    /// Samples that came twice.
    pub duplicates: u64,
    /// Messages that the ingress had to drop.
    pub overflowed: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// How a sensor is.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatus {
    /// Its counts.
    pub counts: SourceCounts,
    /// Its watermark.
    pub watermark_ns: TimeNs,
    /// Whether nothing waits for it, since it has gone quiet.
    pub idle: bool,
    /// Fit of its own clock, where it has one.
    pub clock: Option<ClockStatus>,
    /// Samples a second as last measured over 10 s of event time.
    pub rate_hz: Option<f64>,
}

/// How a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepStatus {
    /// The step's id.
    pub id: String,
    /// Stream that it emits.
    pub stream: String,
    /// Rows that wait at its ports.
    pub waiting_rows: usize,
    /// Watermark of its inputs.
    pub watermark_ns: TimeNs,
    /// Streams of the sensors whose watermark holds it back; none once every input has ended.
    pub waits_for: Vec<String>,
    /// Log time of the message that last moved its watermark; none before the first.
    pub since_ns: Option<TimeNs>,
}

impl Worker {
    /// Per sensor: its counts and its watermark.
    pub fn sources(&self) -> impl Iterator<Item = (SourceCounts, TimeNs)> {
        self.sources.iter().map(|source| (source.state.counts, source.state.watermark))
    }

    /// Per sensor: how it is.
    pub fn source_statuses(&self) -> impl Iterator<Item = SourceStatus> {
        self.sources.iter().map(|source| SourceStatus {
            counts: source.state.counts,
            watermark_ns: source.state.watermark,
            idle: source.state.activity == Activity::Idle,
            clock: source.state.clock.as_ref().map(DeviceClock::status),
            rate_hz: source.state.rate.measured_hz(),
        })
    }

    /// How far its tables have come: a table is as far as the slowest of its streams.
    pub fn reached(&self) -> Reached {
        let table = |(name, streams): (&String, &Vec<usize>)| {
            (name.clone(), streams.iter().map(|stream| self.watermarks[*stream]).min().unwrap_or(i64::MAX))
        };
        Reached {
            position: self.position,
            session: self.session.as_ref().map_or_else(String::new, |session| session.id.clone()),
            watermarks: self.wiring.streams.iter().map(table).collect(),
        }
    }

    /// Per step: what waits, up to where it has come, and for which sensors it waits.
    pub fn steps(&self) -> impl Iterator<Item = StepStatus> {
        self.plan.steps.iter().zip(&self.steps).enumerate().map(|(index, (planned, step))| {
            let mut holders = vec![false; self.sources.len()];
            self.mark_holders(self.plan.sources.len() + index, &mut holders);
            let holds = holders.iter().zip(&self.sources).filter(|(holds, _)| **holds);
            StepStatus {
                id: planned.id.clone(),
                stream: planned.stream.clone(),
                waiting_rows: step.waiting_rows(),
                watermark_ns: step.watermark,
                waits_for: holds.map(|(_, source)| source.stream.clone()).collect(),
                since_ns: step.since_ns,
            }
        })
    }

    /// Marks the sensors that a stream's watermark hangs on: of a step, those of its lowest inputs.
    fn mark_holders(&self, stream: usize, holders: &mut [bool]) {
        let Some(step) = stream.checked_sub(self.plan.sources.len()) else {
            // A step that reads nothing but what people say goes with the slowest sensor.
            let lowest = self.lowest_active();
            let is_held =
                |(sensor, source): (usize, &Source)| sensor == stream || self.is_said(stream) && Some(source.state.watermark) == lowest;
            holders.iter_mut().zip(self.sources.iter().enumerate().map(is_held)).for_each(|(holds, held)| *holds |= held);
            return;
        };
        let inputs = &self.plan.steps[step].inputs;
        let lowest = self.awaited(inputs).map(|input| self.watermarks[input]).min().unwrap_or(i64::MAX);
        if lowest == i64::MAX {
            return;
        }
        self.awaited(inputs).filter(|input| self.watermarks[*input] == lowest).for_each(|input| self.mark_holders(input, holders));
    }
}

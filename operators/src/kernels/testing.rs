//! What the unit tests of operators share: plan from JSON, run over batches, and a seeded source of noise.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use proprio_core::schema::{StreamSchema, float};
use proprio_core::{Findings, Output, Planned, Port, Rate, TimeNs, rows};
use serde_json::Value;

use crate::kernels::filter::Filter;

/// An EMG stream with these muscles.
pub fn emg_schema(muscles: &[&str], rate: Rate) -> StreamSchema {
    StreamSchema::new(muscles.iter().map(|muscle| float(format!("{muscle}_v"), "V")).collect(), &[], Some(rate))
}

/// Plans the registered operator `name` over one stream.
pub fn plan(name: &str, config: Value, schema: &StreamSchema) -> Result<Planned, Findings> {
    let port = Port { stream: "emg/muscles".into(), schema: schema.clone() };
    (crate::operator(name).expect("the operator is registered").plan)(config, &[port])
}

/// Samples on the rate's grid from zero on; NaN is null.
pub fn emg_batch(schema: &StreamSchema, channels: &[Vec<f64>]) -> RecordBatch {
    let rate = schema.rate.expect("EMG has a rate");
    let times: Int64Array = (0..channels[0].len() as i64).map(|k| rate.grid_time(k)).collect();
    let values = channels.iter().map(|channel| rows::nan_as_null(channel.clone()));
    rows::batch(schema, std::iter::once(Arc::new(times) as ArrayRef).chain(values).collect())
}

/// Everything that a step emits for one batch and the session's end, in one batch.
pub fn run(planned: &Planned, batch: &RecordBatch) -> RecordBatch {
    let watermark = rows::times(batch).last().copied().unwrap_or(0);
    run_in_chunks(planned, batch, &[watermark]).0
}

/// Runs a batch cut at these watermarks, each time through a snapshot; also gives what was promised after the last one.
pub fn run_in_chunks(planned: &Planned, batch: &RecordBatch, watermarks: &[TimeNs]) -> (RecordBatch, TimeNs) {
    let mut state = planned.step.start();
    let (mut rest, mut emitted, mut promised) = (batch.clone(), Vec::new(), TimeNs::MIN);
    let mut take = |out: &mut Output, promised: TimeNs| {
        for batch in out.take() {
            assert!(rows::times(&batch).iter().all(|time| *time > promised), "a row behind the promised watermark");
            assert!(rows::times(&batch).is_sorted(), "rows are sorted by time");
            emitted.push(batch);
        }
    };
    for watermark in watermarks {
        let (due, later) = rows::split_at_watermark(&rest, *watermark);
        rest = later;
        let mut out = Output::default();
        let now = planned.step.process(&mut state, &[due], *watermark, &mut out);
        take(&mut out, promised);
        assert!(now >= promised && now <= *watermark, "a promise never shrinks");
        promised = now;
        state = planned.step.restore(&planned.step.snapshot(&state)).expect("a snapshot of this step");
    }
    let mut out = Output::default();
    planned.step.flush(&mut state, &mut out);
    take(&mut out, promised);
    let all = arrow_select::concat::concat_batches(&planned.output.columns, &emitted).expect("one schema");
    (all, promised)
}

/// Asserts that however a batch is cut, a step gives the same rows.
pub fn assert_chunking_is_invisible(planned: &Planned, batch: &RecordBatch, seed: u64) {
    let whole = run(planned, batch);
    assert!(whole.num_rows() > 0, "a law needs a sample that gives rows");
    let times = rows::times(batch);
    let mut noise = Noise::new(seed);
    for longest in [1.5, 20.0, 700.0] {
        let (mut row, mut watermarks) = (0, Vec::new());
        while row < times.len() {
            row += (noise.uniform() * longest) as usize + 1;
            let at = times[row.min(times.len()) - 1];
            watermarks.push(at + (noise.uniform() * 500_000.0) as i64 - 250_000);
        }
        watermarks.sort_unstable();
        watermarks.push(TimeNs::MAX);
        assert_eq!(run_in_chunks(planned, batch, &watermarks).0, whole, "chunks of up to {longest} rows");
    }
}

/// A seeded generator (SplitMix64) of uniform and Gaussian numbers.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// Gaussian noise between 20 and 450 Hz with RMS one.
    pub fn band_limited(&mut self, length: usize, rate_hz: f64) -> Vec<f64> {
        let filter = Filter::band_pass(4, 20.0, 450.0, rate_hz);
        let gain: f64 = filter.impulse_response(rate_hz as usize).iter().map(|h| h * h).sum::<f64>().sqrt();
        let mut state = filter.start();
        let mut next = || filter.step(&mut state, self.gaussian()) / gain;
        for _ in 0..(0.5 * rate_hz) as usize {
            next();
        }
        (0..length).map(|_| next()).collect()
    }
}

/// A column of numbers.
pub fn numbers(batch: &RecordBatch, name: &str) -> Float64Array {
    rows::floats(batch, batch.schema().index_of(name).expect("a column")).clone()
}

/// A column of texts; null is empty.
pub fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = rows::strings(batch, batch.schema().index_of(name).expect("a column"));
    column.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
}

//! The engine's figures as Prometheus text.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use proprio_core::TimeNs;
use proprio_runtime::worker::{SourceCounts, StepStatus};

/// Longest time from sample to alert that the histogram takes for a live one; replays and fast playing are beyond it.
const LIVE_ALERT_MAX_NS: i64 = 60_000_000_000;

/// Every metric of one engine.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    rows: IntCounterVec,
    bytes: IntCounterVec,
    losses: IntCounterVec,
    table_rows: IntCounterVec,
    watermark_lag: GaugeVec,
    waiting_rows: IntGaugeVec,
    /// Bytes in the ingress queue.
    pub queue_bytes: IntGauge,
    /// Bytes of rows that are not in Delta yet.
    pub hot_bytes: IntGauge,
    /// Commit rounds.
    pub commits: IntCounter,
    /// Whether the recording takes what comes: 1, or 0 while it fails.
    pub recording_ok: IntGauge,
    sensor_to_alert: Histogram,
}

impl Metrics {
    /// Metrics of `rig`, all at zero.
    ///
    /// # Errors
    /// When two metrics share a name.
    pub fn new(rig: &str) -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("proprio".to_owned()), Some([("rig".to_owned(), rig.to_owned())].into()))?;
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let buckets = vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
        let metrics = Self {
            rows: counters("rows_total", "Samples that reached their stream.", &["sensor"])?,
            bytes: counters("payload_bytes_total", "Bytes of payload received.", &["sensor"])?,
            losses: counters("losses_total", "Samples that did not reach their stream, by reason.", &["sensor", "reason"])?,
            table_rows: counters("table_rows_total", "Rows handed to tables.", &["table"])?,
            watermark_lag: GaugeVec::new(Opts::new("watermark_lag_seconds", "Arrival clock less watermark."), &["stream"])?,
            waiting_rows: IntGaugeVec::new(Opts::new("step_waiting_rows", "Rows that wait at a step's ports."), &["stream"])?,
            queue_bytes: gauge("ingress_queue_bytes", "Bytes in the ingress queue.")?,
            hot_bytes: gauge("hot_bytes", "Bytes of rows that are not committed to Delta.")?,
            commits: IntCounter::new("commit_rounds_total", "Commit rounds.")?,
            recording_ok: gauge("recording_ok", "1 while the recording takes what comes, else 0.")?,
            sensor_to_alert: Histogram::with_opts(
                HistogramOpts::new("sensor_to_alert_seconds", "From an alert's row time to its publication.").buckets(buckets),
            )?,
            registry: registry.clone(),
        };
        registry.register(Box::new(metrics.watermark_lag.clone()))?;
        registry.register(Box::new(metrics.waiting_rows.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        registry.register(Box::new(metrics.sensor_to_alert.clone()))?;
        Ok(metrics)
    }

    /// Takes a sensor's counts.
    pub fn source(&self, sensor: &str, stream: &str, counts: &SourceCounts, watermark_ns: TimeNs, now_ns: TimeNs) {
        let to = |counter: IntCounter, value: u64| counter.inc_by(value.saturating_sub(counter.get()));
        to(self.rows.with_label_values(&[sensor]), counts.rows);
        to(self.bytes.with_label_values(&[sensor]), counts.bytes);
        let lost = u64::try_from(counts.lost).unwrap_or(0);
        let reasons = [
            ("lost", lost),
            ("late", counts.late),
            ("rejected", counts.rejected),
            ("duplicate", counts.duplicates),
            ("overflow", counts.overflowed),
        ];
        for (reason, count) in reasons {
            to(self.losses.with_label_values(&[sensor, reason]), count);
        }
        self.lag(stream, watermark_ns, now_ns);
    }

    /// Takes a step's status.
    pub fn step(&self, status: &StepStatus, now_ns: TimeNs) {
        self.waiting_rows.with_label_values(&[&status.stream]).set(status.waiting_rows as i64);
        self.lag(&status.stream, status.watermark_ns, now_ns);
    }

    /// Takes how many rows a table was given since the start.
    pub fn table(&self, table: &str, rows: u64) {
        let counter = self.table_rows.with_label_values(&[table]);
        counter.inc_by(rows.saturating_sub(counter.get()));
    }

    /// An alert of a live session went out.
    pub fn alert(&self, time_ns: TimeNs, now_ns: TimeNs) {
        let latency_ns = now_ns - time_ns;
        if (0..LIVE_ALERT_MAX_NS).contains(&latency_ns) {
            self.sensor_to_alert.observe(latency_ns as f64 / 1e9);
        }
    }

    /// All metrics in Prometheus's text format.
    ///
    /// # Errors
    /// When a metric can't be written as text.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Serves `/metrics` and `/healthz` until the process ends.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn serve(self, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind(address).await.with_context(|| format!("metrics can't listen on {address}"))?;
        let bound = listener.local_addr()?;
        let answer = move || {
            let text = self.text().unwrap_or_else(|error| format!("# {error}\n"));
            async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
        };
        let router = Router::new().route("/metrics", get(answer)).route("/healthz", get(|| async { "ok\n" }));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "metrics are no longer served");
            }
        });
        Ok(bound)
    }

    /// A stream that has ended or not begun has no lag.
    fn lag(&self, stream: &str, watermark_ns: TimeNs, now_ns: TimeNs) {
        let is_live = watermark_ns != i64::MAX && watermark_ns > 0;
        let lag_s = if is_live { (now_ns - watermark_ns) as f64 / 1e9 } else { 0.0 };
        self.watermark_lag.with_label_values(&[stream]).set(lag_s);
    }
}

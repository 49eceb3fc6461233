//! How a rig's samples are published: announced, encoded, and never further ahead of the acknowledgements than a window.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::Field;
use proprio_core::recorded::Packet;
use proprio_core::time::TimeNs;
use proprio_core::{Rig, Sensor};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zenoh::Session;
use zenoh::pubsub::Subscriber;

use crate::clock::utc_now_ns;
use crate::clock_probe::{Answers, DeviceClock};
use crate::outlet::Outlet;
use crate::window::{Message, Window, subscribe_acks};
use crate::{WireError, wire};

/// How samples are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// The packed layout; sensors with text columns fall back to Arrow.
    #[default]
    Packed,
    /// Arrow IPC streams.
    Arrow,
    /// JSON.
    Json,
}

/// How a [`Publisher`] behaves.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// Whether samples come at their own rate; `play` and fast simulations are not paced.
    pub paced: bool,
    /// Which sensors it publishes, by index; all when absent.
    pub sensors: Option<Vec<usize>>,
    /// How samples are encoded.
    pub encoding: Encoding,
    /// Payload bytes that may be unacknowledged at a time.
    pub window_bytes: usize,
    /// How long to wait for a subscriber, and then for each next acknowledgement: an engine's restart must fit in.
    pub patience: Duration,
    /// How many of each sensor's messages a cache keeps (zenoh-ext), from which an engine fetches those it missed. Without
    /// one, what is unacknowledged goes out again by itself, up to `window_bytes`; a cache also serves other subscribers.
    pub cache: Option<usize>,
    /// The clock that the samples are stamped by, where it is not the rig's: whoever asks is told what it shows.
    pub clock: Option<DeviceClock>,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        let patience = Duration::from_secs(60);
        Self { paced: true, sensors: None, encoding: Encoding::Packed, window_bytes: 4 << 20, patience, cache: None, clock: None }
    }
}

/// What a [`Publisher`] has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Messages with samples.
    pub messages: u64,
    /// Samples in them.
    pub samples: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

/// One start of the sensors of a rig. Dropping it without [`end`](Self::end) is a publisher that died.
///
/// It outlives the engine: while nobody listens, what it is given waits up to its window; an engine that comes back gets
/// all that was not acknowledged, in order.
///
/// It keeps its session open. Whoever opened the session closes it with `close().await` afterwards: zenoh closes a session
/// whose last handle is dropped too, but blocks the thread for it, and may swallow a wake-up of the future that runs there.
pub struct Publisher {
    rig: Rig,
    boot: i64,
    options: PublisherOptions,
    ways: Arc<Ways>,
    sent: [AtomicU64; 3],
    relinking: JoinHandle<()>,
    _answers: Option<Answers>,
    _acks: Subscriber<()>,
    /// Publishers of a session don't keep it open.
    _session: Session,
}

/// The ways out and what is on them.
struct Ways {
    /// By sensor; none for those that it doesn't publish.
    outlets: Vec<Option<Outlet>>,
    window: Arc<Window>,
}

/// How often `end` is repeated while its acknowledgement is due.
const END_AGAIN: Duration = Duration::from_secs(1);

impl Publisher {
    /// Waits until someone subscribes to every sensor, then declares the sensors present and sends `open`.
    ///
    /// # Errors
    /// When zenoh refuses, or no subscriber comes.
    pub async fn open(session: &Session, rig: &Rig, options: PublisherOptions) -> Result<Self, WireError> {
        let window = Arc::new(Window::new(rig.sensors.len()));
        let boot = utc_now_ns();
        let acks = subscribe_acks(session, rig, boot, window.clone()).await?;
        let relinked = Arc::new(Notify::new());
        let wanted = |index: usize| options.sensors.as_ref().is_none_or(|sensors| sensors.contains(&index));
        let mut outlets = Vec::with_capacity(rig.sensors.len());
        for (index, sensor) in rig.sensors.iter().enumerate() {
            let open = || Outlet::open(session, sensor, index, boot, &options, relinked.clone());
            outlets.push(if wanted(index) { Some(open().await?) } else { None });
        }
        for outlet in outlets.iter().flatten() {
            outlet.announce().await?;
        }
        let answers = match &options.clock {
            Some(clock) => {
                let mine = rig.sensors.iter().zip(&outlets).filter(|(_, outlet)| outlet.is_some());
                Some(Answers::open(session, &rig.name, mine.map(|(sensor, _)| sensor.name.as_str()), clock.clone()).await?)
            }
            None => None,
        };
        let ways = Arc::new(Ways { outlets, window });
        let relinking = tokio::spawn(relink(Arc::downgrade(&ways), relinked));
        let (rig, sent, session) = (rig.clone(), Default::default(), session.clone());
        Ok(Self { rig, boot, options, ways, sent, relinking, _answers: answers, _acks: acks, _session: session })
    }

    /// Identifies this start in every message.
    pub fn boot(&self) -> i64 {
        self.boot
    }

    /// What was sent so far.
    pub fn published(&self) -> Published {
        let [messages, samples, bytes] = [0, 1, 2].map(|index: usize| self.sent[index].load(Ordering::Relaxed));
        Published { messages, samples, bytes }
    }

    /// Payload bytes that are sent and not acknowledged.
    pub fn unacknowledged_bytes(&self) -> usize {
        self.ways.window.bytes()
    }

    /// Sends samples, in messages of at most [`wire::MESSAGE_BYTES`] (a single longer sample goes alone). Waits while the
    /// window is full.
    ///
    /// # Errors
    /// When the rows are not in the sensor's wire schema, zenoh refuses, or no acknowledgement comes within the patience.
    pub async fn publish(&self, packet: Packet) -> Result<(), WireError> {
        let (sensor, outlet) = self.outlet(packet.sensor)?;
        let mut parts = VecDeque::from(split(&packet.rows));
        let mut sequence = packet.sequence;
        while let Some(part) = parts.pop_front() {
            let rows = part.num_rows();
            let (encoding, payload) = encode(sensor, self.options.encoding, self.boot, sequence, &part)?;
            if payload.len() > wire::MESSAGE_BYTES && rows > 1 {
                parts.push_front(part.slice(rows / 2, rows - rows / 2));
                parts.push_front(part.slice(0, rows / 2));
                continue;
            }
            let bytes = payload.len();
            let last = sequence + rows as i64 - 1;
            self.wait_for_room(bytes).await?;
            outlet.send(Message { last_sequence: last, encoding, payload: payload.into() }, &self.ways.window).await?;
            for (counter, more) in self.sent.iter().zip([1, rows as u64, bytes as u64]) {
                counter.fetch_add(more, Ordering::Relaxed);
            }
            sequence = last + 1;
        }
        Ok(())
    }

    /// Tells that a source without a rate will send nothing at or before `time_ns` any more.
    ///
    /// # Errors
    /// When zenoh refuses.
    pub async fn progress(&self, sensor: usize, time_ns: TimeNs) -> Result<(), WireError> {
        let (_, outlet) = self.outlet(sensor)?;
        outlet.tell(wire::source::progress(time_ns)).await.map(drop)
    }

    /// Sends `end` and waits until every sample is acknowledged.
    ///
    /// # Errors
    /// When zenoh refuses, or no acknowledgement comes within the patience.
    pub async fn end(self) -> Result<Published, WireError> {
        let mut progress = Progress::new(self.ways.window.acknowledged());
        let mut told = vec![false; self.ways.outlets.len()];
        loop {
            for (index, outlet) in self.outlets() {
                let last = outlet.last_sequence();
                // Repeated, since an overflowing ingress may have dropped it, and an engine may have died with it.
                if !told[index] || self.ways.window.acked(index) < last {
                    told[index] = outlet.tell(wire::source::end(self.boot, last)).await?;
                }
            }
            let again = Instant::now() + END_AGAIN;
            while Instant::now() < again {
                let waiting = self.unacknowledged();
                let all_told = self.outlets().all(|(index, _)| told[index]);
                if waiting.is_empty() && all_told {
                    return Ok(self.published());
                }
                self.ways.window.wait().await;
                self.check_patience(&mut progress, || format!("the acknowledgement of the last samples of {}", waiting.join(", ")))?;
            }
        }
    }

    async fn wait_for_room(&self, bytes: usize) -> Result<(), WireError> {
        let mut progress = Progress::new(self.ways.window.acknowledged());
        while !self.ways.window.has_room(bytes, self.options.window_bytes) {
            self.ways.window.wait().await;
            self.check_patience(&mut progress, || {
                let unacknowledged = self.unacknowledged_bytes();
                format!("an acknowledgement: {unacknowledged} bytes are sent and not yet durable ({})", self.unacknowledged().join(", "))
            })?;
        }
        Ok(())
    }

    /// Gives up when nothing more was acknowledged for as long as the patience lasts.
    fn check_patience(&self, progress: &mut Progress, awaited: impl Fn() -> String) -> Result<(), WireError> {
        let acknowledged = self.ways.window.acknowledged();
        if acknowledged != progress.acknowledged {
            progress.acknowledged = acknowledged;
            progress.since = Instant::now();
        }
        if progress.since.elapsed() < self.options.patience {
            return Ok(());
        }
        Err(WireError::Timeout { awaited: format!("{} on {}/@ack", awaited(), self.rig.name), after: self.options.patience })
    }

    /// Names of the sensors with samples on their way.
    fn unacknowledged(&self) -> Vec<&str> {
        let is_waiting = |(index, outlet): &(usize, &Outlet)| self.ways.window.acked(*index) < outlet.last_sequence();
        self.outlets().filter(is_waiting).map(|(index, _)| self.rig.sensors[index].name.as_str()).collect()
    }

    fn outlets(&self) -> impl Iterator<Item = (usize, &Outlet)> {
        self.ways.outlets.iter().enumerate().filter_map(|(index, outlet)| Some((index, outlet.as_ref()?)))
    }

    fn outlet(&self, index: usize) -> Result<(&Sensor, &Outlet), WireError> {
        match self.ways.outlets.get(index) {
            Some(Some(outlet)) => Ok((&self.rig.sensors[index], outlet)),
            _ => {
                let sensor = self.rig.sensors.get(index).map_or_else(|| index.to_string(), |sensor| sensor.name.clone());
                Err(WireError::Packet { sensor, detail: "this publisher doesn't publish it".to_owned() })
            }
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.relinking.abort();
    }
}

/// Sends again what has to be, whenever an engine comes back.
async fn relink(ways: Weak<Ways>, relinked: Arc<Notify>) {
    loop {
        relinked.notified().await;
        let Some(ways) = ways.upgrade() else { return };
        for outlet in ways.outlets.iter().flatten() {
            if let Err(error) = outlet.relink(&ways.window).await {
                tracing::error!(%error, "what was not acknowledged could not be sent again");
            }
        }
    }
}

/// How far the acknowledgements had come, and when.
struct Progress {
    acknowledged: i64,
    since: Instant,
}

impl Progress {
    fn new(acknowledged: i64) -> Self {
        Self { acknowledged, since: Instant::now() }
    }
}

/// Parts of about one message each, so that a long packet is not encoded whole and then again in halves.
fn split(rows: &RecordBatch) -> Vec<RecordBatch> {
    let row_bytes = 8 * rows.num_columns().max(1);
    let step = (wire::MESSAGE_BYTES.saturating_sub(1024) / row_bytes).max(1);
    (0..rows.num_rows()).step_by(step).map(|start| rows.slice(start, step.min(rows.num_rows() - start))).collect()
}

fn encode(sensor: &Sensor, encoding: Encoding, boot: i64, sequence: i64, rows: &RecordBatch) -> Result<(&'static str, Vec<u8>), WireError> {
    let wrong = |detail: String| WireError::Packet { sensor: sensor.name.clone(), detail };
    let layout = wire::Layout::of(sensor);
    let (due, found) = (layout.fields(), rows.schema_ref().fields());
    let matches = |(due, found): (&Arc<Field>, &Arc<Field>)| due.name() == found.name() && due.data_type() == found.data_type();
    if found.len() != due.len() || !due.iter().zip(found).all(matches) {
        return Err(wrong(format!("the rows are not in its wire schema: {}", layout.names())));
    }
    if encoding == Encoding::Packed
        && let Some(payload) = wire::packed::encode(sensor, boot, sequence, rows)
    {
        return Ok((wire::PACKED, payload));
    }
    if encoding == Encoding::Json {
        return Ok((wire::JSON, wire::json::encode(boot, sequence, rows)));
    }
    let payload = wire::arrow::encode(boot, sequence, rows).map_err(|error| wrong(error.to_string()))?;
    Ok((wire::ARROW, payload))
}

//! How a rig's samples are published: announced, encoded, and never further ahead of the acknowledgements than a window.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::Field;
use proprio_core::control::Ack;
use proprio_core::recorded::Packet;
use proprio_core::time::TimeNs;
use proprio_core::{Rig, Sensor};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use zenoh::Session;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Subscriber;
use zenoh::qos::CongestionControl;
use zenoh::sample::Sample;

use crate::clock::utc_now_ns;
use crate::ingress::declare_presence;
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
    /// How long to wait for a subscriber, and then for each next acknowledgement.
    pub patience: Duration,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self { paced: true, sensors: None, encoding: Encoding::Packed, window_bytes: 4 << 20, patience: Duration::from_secs(60) }
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
/// It keeps its session open. Whoever opened the session closes it with `close().await` afterwards: zenoh closes a session
/// whose last handle is dropped too, but blocks the thread for it, and may swallow a wake-up of the future that runs there.
pub struct Publisher {
    rig: Rig,
    boot: i64,
    options: PublisherOptions,
    /// By sensor; none for those that it doesn't publish.
    outlets: Vec<Option<Outlet>>,
    window: Arc<Window>,
    sent: [AtomicU64; 3],
    _acks: Subscriber<()>,
    /// Publishers of a session don't keep it open.
    _session: Session,
}

struct Outlet {
    publisher: zenoh::pubsub::Publisher<'static>,
    last_sequence: AtomicI64,
    _token: LivelinessToken,
}

/// How often a subscriber is looked for, and how often `end` is repeated while its acknowledgement is due.
const LOOK: Duration = Duration::from_millis(20);
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
        let wanted = |index: usize| options.sensors.as_ref().is_none_or(|sensors| sensors.contains(&index));
        let mut outlets = Vec::with_capacity(rig.sensors.len());
        for (index, sensor) in rig.sensors.iter().enumerate() {
            outlets.push(if wanted(index) { Some(Outlet::open(session, sensor, &options).await?) } else { None });
        }
        let publisher =
            Self { rig: rig.clone(), boot, options, outlets, window, sent: Default::default(), _acks: acks, _session: session.clone() };
        for (sensor, outlet) in publisher.outlets() {
            outlet.put(&publisher.rig.sensors[sensor], wire::SOURCE, wire::source::open(boot, publisher.options.paced, None)).await?;
        }
        Ok(publisher)
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
        self.window.lock().bytes
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
            self.window.sent(packet.sensor, last, bytes);
            outlet.last_sequence.fetch_max(last, Ordering::Relaxed);
            outlet.put(sensor, encoding, payload).await?;
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
        let (sensor, outlet) = self.outlet(sensor)?;
        outlet.put(sensor, wire::SOURCE, wire::source::progress(time_ns)).await
    }

    /// Sends `end` and waits until every sample is acknowledged.
    ///
    /// # Errors
    /// When zenoh refuses, or no acknowledgement comes within the patience.
    pub async fn end(self) -> Result<Published, WireError> {
        let mut progress = Progress::new(self.window.acknowledged());
        loop {
            for (index, outlet) in self.outlets() {
                let last = outlet.last_sequence.load(Ordering::Relaxed);
                // Repeated, since an overflowing ingress may have dropped it.
                if progress.is_first || self.window.acked(index) < last {
                    outlet.put(&self.rig.sensors[index], wire::SOURCE, wire::source::end(self.boot, last)).await?;
                }
            }
            progress.is_first = false;
            let again = Instant::now() + END_AGAIN;
            while Instant::now() < again {
                let waiting = self.unacknowledged();
                if waiting.is_empty() {
                    return Ok(self.published());
                }
                self.window.wait(END_AGAIN).await;
                self.check_patience(&mut progress, || format!("the acknowledgement of the last samples of {}", waiting.join(", ")))?;
            }
        }
    }

    async fn wait_for_room(&self, bytes: usize) -> Result<(), WireError> {
        let mut progress = Progress::new(self.window.acknowledged());
        while !self.window.has_room(bytes, self.options.window_bytes) {
            self.window.wait(Duration::from_millis(500)).await;
            self.check_patience(&mut progress, || {
                let unacknowledged = self.unacknowledged_bytes();
                format!("an acknowledgement: {unacknowledged} bytes are sent and not yet durable ({})", self.unacknowledged().join(", "))
            })?;
        }
        Ok(())
    }

    /// Gives up when nothing more was acknowledged for as long as the patience lasts.
    fn check_patience(&self, progress: &mut Progress, awaited: impl Fn() -> String) -> Result<(), WireError> {
        let acknowledged = self.window.acknowledged();
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
        let is_waiting = |(index, outlet): &(usize, &Outlet)| self.window.acked(*index) < outlet.last_sequence.load(Ordering::Relaxed);
        self.outlets().filter(is_waiting).map(|(index, _)| self.rig.sensors[index].name.as_str()).collect()
    }

    fn outlets(&self) -> impl Iterator<Item = (usize, &Outlet)> {
        self.outlets.iter().enumerate().filter_map(|(index, outlet)| Some((index, outlet.as_ref()?)))
    }

    fn outlet(&self, index: usize) -> Result<(&Sensor, &Outlet), WireError> {
        match self.outlets.get(index) {
            Some(Some(outlet)) => Ok((&self.rig.sensors[index], outlet)),
            _ => {
                let sensor = self.rig.sensors.get(index).map_or_else(|| index.to_string(), |sensor| sensor.name.clone());
                Err(WireError::Packet { sensor, detail: "this publisher doesn't publish it".to_owned() })
            }
        }
    }
}

impl Outlet {
    async fn open(session: &Session, sensor: &Sensor, options: &PublisherOptions) -> Result<Self, WireError> {
        let doing = || WireError::zenoh(format!("declaring {}", sensor.key));
        // Block, or a burst would be dropped without a word; express where latency matters more than throughput.
        let builder = session.declare_publisher(sensor.key.clone()).congestion_control(CongestionControl::Block).express(options.paced);
        let publisher = builder.await.map_err(doing())?;
        let give_up = Instant::now() + options.patience;
        while !publisher.matching_status().await.map_err(doing())?.matching() {
            if Instant::now() >= give_up {
                let awaited = format!("a subscriber to {}: is `proprio run` up, with this rig?", sensor.key);
                return Err(WireError::Timeout { awaited, after: options.patience });
            }
            sleep(LOOK).await;
        }
        let token = declare_presence(session, &sensor.key).await?;
        Ok(Self { publisher, last_sequence: AtomicI64::new(-1), _token: token })
    }

    async fn put(&self, sensor: &Sensor, encoding: &'static str, payload: Vec<u8>) -> Result<(), WireError> {
        self.publisher.put(payload).encoding(encoding).await.map_err(WireError::zenoh(format!("publishing on {}", sensor.key)))
    }
}

/// What is on its way, by sensor.
struct Window {
    state: Mutex<InFlight>,
    moved: Notify,
}

struct InFlight {
    /// Last sequence and bytes of each message.
    messages: Vec<VecDeque<(i64, usize)>>,
    acked: Vec<i64>,
    bytes: usize,
}

/// How far the acknowledgements had come, and when.
struct Progress {
    acknowledged: i64,
    since: Instant,
    is_first: bool,
}

impl Progress {
    fn new(acknowledged: i64) -> Self {
        Self { acknowledged, since: Instant::now(), is_first: true }
    }
}

impl Window {
    fn new(sensors: usize) -> Self {
        let state = InFlight { messages: vec![VecDeque::new(); sensors], acked: vec![-1; sensors], bytes: 0 };
        Self { state: Mutex::new(state), moved: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, sensor: usize, last_sequence: i64, bytes: usize) {
        let mut state = self.lock();
        state.messages[sensor].push_back((last_sequence, bytes));
        state.bytes += bytes;
    }

    fn acknowledge(&self, sensor: usize, sequence: i64) {
        let mut state = self.lock();
        if sequence <= state.acked[sensor] {
            return;
        }
        state.acked[sensor] = sequence;
        while let Some((_, bytes)) = state.messages[sensor].pop_front_if(|(last, _)| *last <= sequence) {
            state.bytes -= bytes;
        }
        drop(state);
        self.moved.notify_waiters();
    }

    fn acked(&self, sensor: usize) -> i64 {
        self.lock().acked[sensor]
    }

    /// Grows with every acknowledgement of any sensor.
    fn acknowledged(&self) -> i64 {
        self.lock().acked.iter().fold(0, |sum: i64, acked| sum.wrapping_add(*acked))
    }

    /// A message longer than the window goes when nothing else is on its way.
    fn has_room(&self, bytes: usize, window_bytes: usize) -> bool {
        let in_flight = self.lock().bytes;
        in_flight == 0 || in_flight + bytes <= window_bytes
    }

    /// Until the next acknowledgement, or a while: a missed wake-up costs that while, and nothing more.
    async fn wait(&self, at_most: Duration) {
        let _ = timeout(at_most.min(LOOK), self.moved.notified()).await;
    }
}

async fn subscribe_acks(session: &Session, rig: &Rig, boot: i64, window: Arc<Window>) -> Result<Subscriber<()>, WireError> {
    let prefix = proprio_core::control::key::ack(&rig.name, "");
    let names: Vec<_> = rig.sensors.iter().map(|sensor| sensor.name.clone()).collect();
    let all = format!("{prefix}*");
    let take = move |sample: Sample| {
        let name = sample.key_expr().as_str().strip_prefix(&prefix);
        let sensor = name.and_then(|name| names.iter().position(|known| known == name));
        let ack = serde_json::from_slice::<Ack>(&sample.payload().to_bytes()).ok().filter(|ack| ack.boot == boot);
        if let (Some(sensor), Some(ack)) = (sensor, ack) {
            window.acknowledge(sensor, ack.sequence);
        }
    };
    session.declare_subscriber(&all).callback(take).await.map_err(WireError::zenoh(format!("subscribing to {all}")))
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

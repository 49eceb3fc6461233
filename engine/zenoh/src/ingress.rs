//! How what sensors send comes in: copied, stamped with its arrival and queued, from zenoh's callbacks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use proprio_core::recorded::{RoundTrip, Sequence};
use proprio_core::rig::Clock;
use proprio_core::time::TimeNs;
use proprio_core::{Decision, Event, Rig, Sensor, SourceMessage};
use tokio::task::JoinHandle;
use zenoh::Session;
use zenoh::key_expr::KeyExpr;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Subscriber;
use zenoh::sample::{Sample, SampleKind};

use crate::caches::{self, Caches, Sized64};
use crate::clock_probe;
use crate::queue::Queue;
use crate::{ArrivalClock, WireError, wire};

/// The default bound of what may wait for the worker, in allocated bytes.
pub const DEFAULT_QUEUE_BYTES: usize = 64 << 20;
/// Longer encodings are cut: no known one is, and each costs a channel in the recording.
const ENCODING_BYTES: usize = 128;
/// How many undeclared keys are named in the log.
const STRANGERS: usize = 256;

/// What came in, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// On the rig's clock.
    pub arrival_ns: TimeNs,
    /// What came.
    pub incoming: Incoming,
}

/// What came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// To be recorded: a sensor's payload, or an overflow.
    Event(Event),
    /// A sensor's liveliness token came or went.
    Presence {
        /// Index of the sensor.
        sensor: usize,
        /// Whether it is there.
        present: bool,
    },
}

/// What passed through an ingress since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngressCounts {
    /// Messages on declared keys.
    pub received: u64,
    /// Of those, dropped because the queue was full.
    pub overflowed: u64,
    /// Messages on keys that the rig doesn't declare.
    pub undeclared: u64,
    /// Messages that wait.
    pub waiting_messages: usize,
    /// Allocated bytes that wait.
    pub waiting_bytes: usize,
}

/// The way in for a rig's sensors.
pub struct Ingress {
    shared: Arc<Shared>,
    /// By key expression.
    data: BTreeMap<String, Subscriber<()>>,
    _presence: Vec<Subscriber<()>>,
    fetching: JoinHandle<()>,
    /// Asks the clocks of the sensors that have one.
    asking: Option<JoinHandle<()>>,
}

impl Drop for Ingress {
    fn drop(&mut self) {
        self.fetching.abort();
        self.asking.iter().for_each(JoinHandle::abort);
    }
}

struct Shared {
    queue: Queue,
    clock: ArrivalClock,
    /// Sensors by key; held for reading while a message is queued, so that a change of the rig falls between two messages.
    sensors: RwLock<HashMap<String, Known>>,
    caches: Arc<Caches<Message>>,
    strangers: Mutex<Strangers>,
}

/// A sensor that the rig declares.
struct Known {
    index: usize,
    sensor: Sensor,
    /// How far it had counted when the ingress was opened; what a cache keeps from before is recorded.
    recorded: Option<Sequence>,
}

/// A payload on its way to the queue.
struct Message {
    key: String,
    encoding: String,
    payload: Vec<u8>,
    arrival_ns: TimeNs,
}

impl Sized64 for Message {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.capacity() + self.encoding.capacity() + self.payload.capacity()
    }
}

#[derive(Default)]
struct Strangers {
    keys: HashSet<String>,
    messages: u64,
}

impl Ingress {
    /// Subscribes to every sensor's key and to its liveliness. At most `queue_bytes` wait; what comes beyond is dropped,
    /// counted, and told as [`Decision::Overflow`].
    ///
    /// `recorded` says by sensor how far it has been recorded: what was sent since then and is kept in its publisher's cache
    /// is fetched and comes first. Without it, whole caches come.
    ///
    /// Sensors with a clock of their own are asked what it shows; the answers come as
    /// [`Decision::RoundTrip`].
    ///
    /// To be called within a tokio runtime.
    ///
    /// # Errors
    /// When a sensor's key has wildcards or is no key expression, two sensors share one, or zenoh refuses.
    pub async fn open(
        session: &Session,
        rig: &Rig,
        clock: ArrivalClock,
        queue_bytes: usize,
        recorded: &[Option<Sequence>],
    ) -> Result<Self, WireError> {
        let queue = Queue::new(rig.sensors.len(), queue_bytes);
        let (caches, questions) = Caches::new();
        let sensors = RwLock::new(known(rig, recorded)?);
        let shared = Arc::new(Shared { queue, clock, sensors, caches: Arc::new(caches), strangers: Mutex::default() });
        let (taking, passing) = (shared.clone(), shared.clone());
        let fetching = caches::fetch(
            session.clone(),
            shared.caches.clone(),
            questions,
            move |sample| taking.take_fetched(sample),
            move |message| passing.pass(message),
        );
        let mut ingress = Self { shared, data: BTreeMap::new(), _presence: Vec::new(), fetching: tokio::spawn(fetching), asking: None };
        ingress.subscribe(session, rig).await?;
        Ok(ingress)
    }

    /// Hears another rig's sensors from now on, without missing a message of those that stay. Returns what had come for the
    /// rig before.
    ///
    /// # Errors
    /// As [`open`](Self::open); then the new sensors are not all heard, and the caller ends.
    pub async fn switch(&mut self, session: &Session, rig: &Rig) -> Result<Vec<Arrival>, WireError> {
        let mut known = known(rig, &[])?;
        let waiting = {
            let mut sensors = self.shared.sensors.write().unwrap_or_else(PoisonError::into_inner);
            for (key, was) in sensors.iter() {
                if let Some(stays) = known.get_mut(key) {
                    stays.recorded = was.recorded;
                }
            }
            let waiting = self.drain(usize::MAX);
            self.shared.queue.resize(rig.sensors.len());
            *sensors = known;
            waiting
        };
        self.subscribe(session, rig).await?;
        Ok(waiting)
    }

    async fn subscribe(&mut self, session: &Session, rig: &Rig) -> Result<(), WireError> {
        // One subscription for all keys below the rig's name: it also sees the undeclared ones.
        let under_rig = format!("{}/", rig.name);
        let elsewhere = rig.sensors.iter().map(|sensor| &sensor.key).filter(|key| !key.starts_with(&under_rig));
        let wanted: Vec<String> = elsewhere.cloned().chain([format!("{}/**", rig.name)]).collect();
        let mut presence = Vec::new();
        for key in &wanted {
            let doing = || WireError::zenoh(format!("subscribing to {key}"));
            if !self.data.contains_key(key) {
                let shared = self.shared.clone();
                let subscriber = session.declare_subscriber(key).callback(move |sample| shared.take_in(&sample)).await.map_err(doing())?;
                self.data.insert(key.clone(), subscriber);
            }
            let shared = self.shared.clone();
            let tokens = session.liveliness().declare_subscriber(key).history(true);
            presence.push(tokens.callback(move |sample| shared.see(&sample)).await.map_err(doing())?);
            let shared = self.shared.clone();
            let tokens = session.liveliness().declare_subscriber(format!("{key}/@adv/pub/**")).history(true);
            let see = move |sample: Sample| shared.caches.see(sample.key_expr().as_str(), sample.kind() == SampleKind::Put);
            presence.push(tokens.callback(see).await.map_err(doing())?);
        }
        self.data.retain(|key, _| wanted.contains(key));
        self._presence = presence;
        self.ask_clocks(session, rig);
        Ok(())
    }

    fn ask_clocks(&mut self, session: &Session, rig: &Rig) {
        self.asking.take().iter().for_each(JoinHandle::abort);
        let with_clock: Vec<usize> = (0..rig.sensors.len()).filter(|index| rig.sensors[*index].clock == Clock::Device).collect();
        if !with_clock.is_empty() {
            let shared = self.shared.clone();
            let take = move |key: &str, round_trip: RoundTrip| shared.take_answer(key, round_trip);
            self.asking = Some(tokio::spawn(clock_probe::ask(session.clone(), rig.clone(), with_clock, self.shared.clock, take)));
        }
    }

    /// What has come, in order: waits up to `timeout` for the first, and takes up to about `max_bytes` (at least one).
    /// Empty after the timeout. Blocks its thread: for the worker's own, not for an async task.
    pub fn recv(&self, timeout: Duration, max_bytes: usize) -> Vec<Arrival> {
        self.shared.queue.take(timeout, max_bytes, || self.shared.clock.now_ns())
    }

    /// As [`recv`](Self::recv), without waiting.
    pub fn drain(&self, max_bytes: usize) -> Vec<Arrival> {
        self.recv(Duration::ZERO, max_bytes)
    }

    /// What passed through so far.
    pub fn counts(&self) -> IngressCounts {
        let queue = self.shared.queue.counts();
        IngressCounts {
            received: queue.received,
            overflowed: queue.overflowed,
            undeclared: self.shared.strangers.lock().unwrap_or_else(PoisonError::into_inner).messages,
            waiting_messages: queue.waiting_messages,
            waiting_bytes: queue.waiting_bytes,
        }
    }
}

impl Shared {
    /// In zenoh's callback: copies, because the payload's slices share large receive buffers.
    fn take_in(&self, sample: &Sample) {
        let arrival_ns = self.clock.now_ns();
        let key = sample.key_expr().as_str();
        let sensors = self.sensors.read().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = sensors.get(key) else { return self.meet_stranger(key) };
        if sample.kind() == SampleKind::Delete {
            return;
        }
        let (encoding, payload) = copy(sample);
        let Some(info) = sample.source_info() else {
            return self.queue.push_payload(known.index, encoding, payload, arrival_ns);
        };
        drop(sensors);
        let message = Message { key: key.to_owned(), encoding, payload, arrival_ns };
        self.caches.arrive(key, *info.source_id(), info.source_sn(), message, |message| self.pass(message));
    }

    /// In zenoh's callback: what a cache gives, unless it is recorded already.
    fn take_fetched(&self, sample: &Sample) -> Option<Message> {
        let sensors = self.sensors.read().unwrap_or_else(PoisonError::into_inner);
        let known = sensors.get(sample.key_expr().as_str())?;
        let (encoding, payload) = copy(sample);
        let is_recorded = known.recorded.is_some_and(|Sequence { boot, last }| match wire::decode(&known.sensor, &encoding, &payload) {
            Ok(SourceMessage::Samples(samples)) => samples.boot == boot && samples.sequence + samples.rows.num_rows() as i64 - 1 <= last,
            Ok(SourceMessage::Open { boot: opened, .. }) => opened == boot,
            _ => false,
        });
        let key = sample.key_expr().to_string();
        (!is_recorded).then(|| Message { key, encoding, payload, arrival_ns: self.clock.now_ns() })
    }

    fn pass(&self, message: Message) {
        let sensors = self.sensors.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sensors.get(&message.key) {
            self.queue.push_payload(known.index, message.encoding, message.payload, message.arrival_ns);
        }
    }

    /// In zenoh's callback.
    fn take_answer(&self, key: &str, round_trip: RoundTrip) {
        let sensors = self.sensors.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sensors.get(key) {
            self.queue.push_decision(Decision::RoundTrip { sensor: known.index, round_trip }, round_trip.received_ns);
        }
    }

    fn see(&self, sample: &Sample) {
        let sensors = self.sensors.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sensors.get(sample.key_expr().as_str()) {
            self.queue.push_presence(known.index, sample.kind() == SampleKind::Put, self.clock.now_ns());
        }
    }

    fn meet_stranger(&self, key: &str) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.messages += 1;
        if strangers.keys.len() < STRANGERS && strangers.keys.insert(key.to_owned()) {
            tracing::warn!(key, "someone publishes on a key that the rig doesn't declare; it is not recorded");
        }
    }
}

/// Declares on a publisher's side that a sensor is there, until the token is dropped.
///
/// # Errors
/// When zenoh refuses.
pub async fn declare_presence(session: &Session, key: &str) -> Result<LivelinessToken, WireError> {
    session.liveliness().declare_token(key).await.map_err(WireError::zenoh(format!("declaring presence of {key}")))
}

fn copy(sample: &Sample) -> (String, Vec<u8>) {
    let mut encoding = sample.encoding().to_string();
    if encoding.len() > ENCODING_BYTES {
        encoding = "too long".to_owned();
    }
    let mut payload = Vec::with_capacity(sample.payload().len());
    sample.payload().slices().for_each(|slice| payload.extend_from_slice(slice));
    (encoding, payload)
}

fn known(rig: &Rig, recorded: &[Option<Sequence>]) -> Result<HashMap<String, Known>, WireError> {
    let mut sensors = HashMap::new();
    for (index, sensor) in rig.sensors.iter().enumerate() {
        let wrong = |detail: String| WireError::Key { sensor: sensor.name.clone(), key: sensor.key.clone(), detail };
        let key = KeyExpr::try_from(sensor.key.as_str()).map_err(|error| wrong(error.to_string()))?;
        if key.is_wild() {
            return Err(wrong("it has wildcards".to_owned()));
        }
        let known = Known { index, sensor: sensor.clone(), recorded: recorded.get(index).copied().flatten() };
        if let Some(other) = sensors.insert(sensor.key.clone(), known) {
            return Err(wrong(format!("sensor `{}` has it too", other.sensor.name)));
        }
    }
    Ok(sensors)
}

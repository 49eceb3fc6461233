//! How what sensors send comes in: copied, stamped with its arrival and queued, from zenoh's callbacks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use proprio_core::time::TimeNs;
use proprio_core::{Event, Rig};
use zenoh::Session;
use zenoh::key_expr::KeyExpr;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Subscriber;
use zenoh::sample::{Sample, SampleKind};

use crate::queue::Queue;
use crate::{ArrivalClock, WireError};

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
}

struct Shared {
    queue: Queue,
    clock: ArrivalClock,
    /// Sensors by key; held for reading while a message is queued, so that a change of the rig falls between two messages.
    sensors: RwLock<HashMap<String, usize>>,
    strangers: Mutex<Strangers>,
}

#[derive(Default)]
struct Strangers {
    keys: HashSet<String>,
    messages: u64,
}

impl Ingress {
    /// Subscribes to every sensor's key and to its liveliness. At most `queue_bytes` wait; what comes beyond is dropped,
    /// counted, and told as [`Decision::Overflow`](proprio_core::Decision::Overflow).
    ///
    /// # Errors
    /// When a sensor's key has wildcards or is no key expression, two sensors share one, or zenoh refuses.
    pub async fn open(session: &Session, rig: &Rig, clock: ArrivalClock, queue_bytes: usize) -> Result<Self, WireError> {
        let queue = Queue::new(rig.sensors.len(), queue_bytes);
        let shared = Arc::new(Shared { queue, clock, sensors: RwLock::new(keys(rig)?), strangers: Mutex::default() });
        let mut ingress = Self { shared, data: BTreeMap::new(), _presence: Vec::new() };
        ingress.subscribe(session, rig).await?;
        Ok(ingress)
    }

    /// Hears another rig's sensors from now on, without missing a message of those that stay. Returns what had come for the
    /// rig before.
    ///
    /// # Errors
    /// As [`open`](Self::open); then nothing has changed.
    pub async fn switch(&mut self, session: &Session, rig: &Rig) -> Result<Vec<Arrival>, WireError> {
        let keys = keys(rig)?;
        let waiting = {
            let mut sensors = self.shared.sensors.write().unwrap_or_else(PoisonError::into_inner);
            let waiting = self.drain(usize::MAX);
            self.shared.queue.resize(rig.sensors.len());
            *sensors = keys;
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
        }
        self.data.retain(|key, _| wanted.contains(key));
        self._presence = presence;
        Ok(())
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
        let sensors = self.sensors.read().unwrap_or_else(PoisonError::into_inner);
        let Some(&sensor) = sensors.get(sample.key_expr().as_str()) else { return self.meet_stranger(sample.key_expr().as_str()) };
        if sample.kind() == SampleKind::Delete {
            return;
        }
        let mut encoding = sample.encoding().to_string();
        if encoding.len() > ENCODING_BYTES {
            encoding = "too long".to_owned();
        }
        let mut payload = Vec::with_capacity(sample.payload().len());
        sample.payload().slices().for_each(|slice| payload.extend_from_slice(slice));
        self.queue.push_payload(sensor, encoding, payload, arrival_ns);
    }

    fn see(&self, sample: &Sample) {
        let sensors = self.sensors.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(&sensor) = sensors.get(sample.key_expr().as_str()) {
            self.queue.push_presence(sensor, sample.kind() == SampleKind::Put, self.clock.now_ns());
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

fn keys(rig: &Rig) -> Result<HashMap<String, usize>, WireError> {
    let mut keys = HashMap::new();
    for (index, sensor) in rig.sensors.iter().enumerate() {
        let wrong = |detail: String| WireError::Key { sensor: sensor.name.clone(), key: sensor.key.clone(), detail };
        let key = KeyExpr::try_from(sensor.key.as_str()).map_err(|error| wrong(error.to_string()))?;
        if key.is_wild() {
            return Err(wrong("it has wildcards".to_owned()));
        }
        if let Some(other) = keys.insert(sensor.key.clone(), index) {
            return Err(wrong(format!("sensor `{}` has it too", rig.sensors[other].name)));
        }
    }
    Ok(keys)
}

//! What has been sent and is not durable yet? Kept until it is acknowledged, so that a restarted engine can have it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proprio_core::Rig;
use proprio_core::control::{Ack, key};
use tokio::sync::Notify;
use tokio::time::timeout;
use zenoh::Session;
use zenoh::bytes::ZBytes;
use zenoh::pubsub::Subscriber;
use zenoh::sample::Sample;

use crate::WireError;

/// The longest wait for an acknowledgement before a look at the window.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A message with samples.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub last_sequence: i64,
    pub encoding: &'static str,
    /// Shared with whatever zenoh still sends: copies cost nothing.
    pub payload: ZBytes,
}

/// What is on its way, by sensor.
pub(crate) struct Window {
    state: Mutex<InFlight>,
    moved: Notify,
}

struct InFlight {
    messages: Vec<VecDeque<Message>>,
    acked: Vec<i64>,
    bytes: usize,
}

impl Window {
    pub fn new(sensors: usize) -> Self {
        let state = InFlight { messages: vec![VecDeque::new(); sensors], acked: vec![-1; sensors], bytes: 0 };
        Self { state: Mutex::new(state), moved: Notify::new() }
    }

    pub fn add(&self, sensor: usize, message: Message) {
        let mut state = self.lock();
        state.bytes += message.payload.len();
        state.messages[sensor].push_back(message);
    }

    /// A sensor's messages that are not acknowledged, in the order in which they were sent.
    pub fn unacknowledged(&self, sensor: usize) -> Vec<Message> {
        self.lock().messages[sensor].iter().cloned().collect()
    }

    pub fn acknowledge(&self, sensor: usize, sequence: i64) {
        let mut state = self.lock();
        if sequence <= state.acked[sensor] {
            return;
        }
        state.acked[sensor] = sequence;
        while let Some(message) = state.messages[sensor].pop_front_if(|message| message.last_sequence <= sequence) {
            state.bytes -= message.payload.len();
        }
        drop(state);
        self.moved.notify_waiters();
    }

    pub fn acked(&self, sensor: usize) -> i64 {
        self.lock().acked[sensor]
    }

    /// Grows with every acknowledgement of any sensor.
    pub fn acknowledged(&self) -> i64 {
        self.lock().acked.iter().fold(0, |sum: i64, acked| sum.wrapping_add(*acked))
    }

    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// A message longer than the window goes when nothing else is on its way.
    pub fn has_room(&self, bytes: usize, window_bytes: usize) -> bool {
        let in_flight = self.bytes();
        in_flight == 0 || in_flight + bytes <= window_bytes
    }

    /// Until the next acknowledgement, or a while: a missed wake-up costs that while, and nothing more.
    pub async fn wait(&self) {
        let _ = timeout(LOOK, self.moved.notified()).await;
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what is durable of one start of a rig's sensors, until the subscriber is dropped.
///
/// # Errors
/// When zenoh refuses.
pub(crate) async fn subscribe_acks(session: &Session, rig: &Rig, boot: i64, window: Arc<Window>) -> Result<Subscriber<()>, WireError> {
    let prefix = key::ack(&rig.name, "");
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

//! How publishers learn what is durable: `<rig>/@ack/<sensor>`, on change and every 100 ms (contract 7).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proprio_core::Rig;
use proprio_core::control::{Ack, key};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use zenoh::Session;
use zenoh::bytes::Encoding;
use zenoh::pubsub::Publisher;

use crate::WireError;

/// How often an acknowledgement is repeated.
pub const REPEAT: Duration = Duration::from_millis(100);
/// Changes within this time go out as one.
const PAUSE: Duration = Duration::from_millis(2);

/// Publishes the acknowledgements of a rig until it is dropped; what was set before that still goes out.
pub struct AckPublisher {
    board: Arc<Board>,
}

struct Board {
    acks: Mutex<Vec<Slot>>,
    changed: Notify,
    closed: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    ack: Option<Ack>,
    fresh: bool,
}

impl AckPublisher {
    /// Declares the rig's acknowledgement keys. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When zenoh refuses.
    pub async fn open(session: &Session, rig: &Rig) -> Result<Self, WireError> {
        let mut publishers = Vec::with_capacity(rig.sensors.len());
        for sensor in &rig.sensors {
            let key = key::ack(&rig.name, &sensor.name);
            let publisher = session.declare_publisher(key.clone()).encoding(Encoding::APPLICATION_JSON).express(true);
            publishers.push(publisher.await.map_err(WireError::zenoh(format!("declaring {key}")))?);
        }
        let board = Arc::new(Board {
            acks: Mutex::new(vec![Slot::default(); publishers.len()]),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
        });
        tokio::spawn(repeat(board.clone(), publishers));
        Ok(Self { board })
    }

    /// States that everything of a sensor up to `ack.sequence` is durable, or durably known as rejected, late or lost.
    /// Never blocks.
    pub fn set(&self, sensor: usize, ack: Ack) {
        let mut acks = self.board.lock();
        if acks[sensor].ack != Some(ack) {
            acks[sensor] = Slot { ack: Some(ack), fresh: true };
            drop(acks);
            self.board.changed.notify_one();
        }
    }
}

impl Drop for AckPublisher {
    fn drop(&mut self) {
        self.board.closed.store(true, Ordering::Release);
        self.board.changed.notify_one();
    }
}

impl Board {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn repeat(board: Arc<Board>, publishers: Vec<Publisher<'static>>) {
    let mut last_repeat = Instant::now();
    loop {
        // Timing out is as good as a change: both lead to a look at the board.
        let _ = timeout(REPEAT, board.changed.notified()).await;
        let closed = board.closed.load(Ordering::Acquire);
        let all = last_repeat.elapsed() >= REPEAT;
        if all {
            last_repeat = Instant::now();
        }
        let mut due = Vec::new();
        for (sensor, slot) in board.lock().iter_mut().enumerate() {
            due.extend(slot.ack.filter(|_| all || slot.fresh).map(|ack| (sensor, ack)));
            slot.fresh = false;
        }
        for (sensor, ack) in due {
            let json = serde_json::to_vec(&ack).expect("two integers are always JSON");
            // A lost acknowledgement is repeated, so a failure here needs no more than a word.
            if let Err(error) = publishers[sensor].put(json).await {
                tracing::debug!(%error, "an acknowledgement was not sent");
            }
        }
        if closed {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

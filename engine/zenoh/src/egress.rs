//! How alerts and cues leave, and how they are heard: JSON at `<rig>/@alert/<step>` and `<rig>/@cue/<step>`, without ever holding up the
//! worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proprio_core::control::key;
use serde::Serialize;
use tokio::sync::mpsc;
use zenoh::Session;
use zenoh::bytes::Encoding;
use zenoh::pubsub::{Publisher, Subscriber};
use zenoh::qos::{CongestionControl, Priority};

use crate::WireError;

/// Alerts and cues that may wait for a slow network.
const WAITING: usize = 4096;

/// Publishes the alerts and cues of a rig. What waits when it is dropped still goes out.
#[derive(Clone)]
pub struct Egress {
    queue: mpsc::Sender<(String, Vec<u8>)>,
    dropped: Arc<AtomicU64>,
}

impl Egress {
    /// Declares the key of each step that speaks: [`key::alert`] or [`key::cue`]. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When zenoh refuses.
    pub async fn open(session: &Session, keys: impl IntoIterator<Item = (String, String)>) -> Result<Self, WireError> {
        let mut publishers = BTreeMap::new();
        for (step, key) in keys {
            let publisher = session.declare_publisher(key.clone()).encoding(Encoding::APPLICATION_JSON).express(true);
            let publisher = publisher.congestion_control(CongestionControl::Block).priority(Priority::RealTime);
            let publisher = publisher.await.map_err(WireError::zenoh(format!("declaring {key}")))?;
            publishers.insert(step, publisher);
        }
        let (queue, alerts) = mpsc::channel(WAITING);
        tokio::spawn(send(alerts, publishers));
        Ok(Self { queue, dropped: Arc::default() })
    }

    /// Sends an alert or a cue of a step. Never blocks; one for which there is no room is counted, and stays in the tables.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn tell(&self, step: &str, told: &impl Serialize) -> Result<(), serde_json::Error> {
        let json = serde_json::to_vec(told)?;
        if self.queue.try_send((step.to_owned(), json)).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(step, dropped, "an alert or cue could not be sent: too many wait");
        }
        Ok(())
    }

    /// Alerts and cues that could not be sent.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Hears the alerts of one step of a rig, until it is dropped.
pub struct AlertSubscriber {
    _subscriber: Subscriber<()>,
}

impl AlertSubscriber {
    /// Calls `hear` with the JSON of each alert, on zenoh's thread: it must not block.
    ///
    /// # Errors
    /// When zenoh refuses.
    pub async fn open(session: &Session, rig: &str, step: &str, hear: impl Fn(&[u8]) + Send + Sync + 'static) -> Result<Self, WireError> {
        let key = key::alert(rig, step);
        let subscriber = session.declare_subscriber(key.clone()).callback(move |sample| hear(&sample.payload().to_bytes()));
        Ok(Self { _subscriber: subscriber.await.map_err(WireError::zenoh(format!("subscribing to {key}")))? })
    }
}

async fn send(mut alerts: mpsc::Receiver<(String, Vec<u8>)>, publishers: BTreeMap<String, Publisher<'static>>) {
    while let Some((step, json)) = alerts.recv().await {
        let Some(publisher) = publishers.get(&step) else {
            tracing::error!(step, "no such step was declared");
            continue;
        };
        if let Err(error) = publisher.put(json).await {
            tracing::error!(step, %error, "an alert or cue was not sent");
        }
    }
}

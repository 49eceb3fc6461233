//! How does one sensor's data leave, and how does it go on when the engine was away?
//!
//! While nobody listens, samples wait in the window. Once an engine listens again, what was not acknowledged goes out again,
//! in its order and before what is new; the worker drops what it had recorded already by its sequence. With a cache, samples
//! go out at all times, into the cache too, and the engine fetches what it lacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use proprio_core::Sensor;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep};
use zenoh::Session;
use zenoh::bytes::ZBytes;
use zenoh::liveliness::LivelinessToken;
use zenoh::matching::{MatchingListener, MatchingStatus};
use zenoh::qos::CongestionControl;
use zenoh_ext::{AdvancedPublisher, AdvancedPublisherBuilderExt as _, CacheConfig, MissDetectionConfig};

use crate::ingress::declare_presence;
use crate::publisher::PublisherOptions;
use crate::window::{LOOK, Message, Window};
use crate::{WireError, wire};

/// One sensor's way out.
pub(crate) struct Outlet {
    /// Before its publisher, which takes it along when it is dropped.
    _matching: MatchingListener<()>,
    key: String,
    index: usize,
    publisher: AdvancedPublisher<'static>,
    has_cache: bool,
    last_sequence: AtomicI64,
    /// What announces this start.
    open: ZBytes,
    link: Arc<Link>,
    /// Whether `open` goes out after the next samples. Held while anything is put, so that nothing comes between what is
    /// sent again.
    announces: Mutex<bool>,
    _token: LivelinessToken,
}

/// Whether an engine listens, as zenoh tells.
#[derive(Default)]
struct Link {
    listens: AtomicBool,
    /// Nobody listened since what was unacknowledged last went out.
    broken: AtomicBool,
}

impl Outlet {
    /// Waits until someone subscribes to the sensor, and declares it present. `relinked` is told when an engine is back.
    pub async fn open(
        session: &Session,
        sensor: &Sensor,
        index: usize,
        boot: i64,
        options: &PublisherOptions,
        relinked: Arc<Notify>,
    ) -> Result<Self, WireError> {
        let doing = || WireError::zenoh(format!("declaring {}", sensor.key));
        // Block, or a burst would be dropped without a word; express where latency matters more than throughput.
        let builder = session.declare_publisher(sensor.key.clone()).congestion_control(CongestionControl::Block).express(options.paced);
        let publisher = match options.cache {
            // The numbers are what the engine finds gaps by.
            Some(messages) => builder
                .cache(CacheConfig::default().max_samples(messages.max(1)))
                .sample_miss_detection(MissDetectionConfig::default())
                .publisher_detection(),
            None => builder.advanced(),
        };
        let publisher = publisher.await.map_err(doing())?;
        let give_up = Instant::now() + options.patience;
        while !publisher.matching_status().await.map_err(doing())?.matching() {
            if Instant::now() >= give_up {
                let awaited = format!("a subscriber to {}: is `proprio run` up, with this rig?", sensor.key);
                return Err(WireError::Timeout { awaited, after: options.patience });
            }
            sleep(LOOK).await;
        }
        let link = Arc::new(Link::default());
        let heard = link.clone();
        let listener = publisher.matching_listener().callback(move |status: MatchingStatus| heard.hear(status.matching(), &relinked));
        Ok(Self {
            key: sensor.key.clone(),
            index,
            _matching: listener.await.map_err(doing())?,
            publisher,
            has_cache: options.cache.is_some(),
            last_sequence: AtomicI64::new(-1),
            open: wire::source::open(boot, options.paced, None).into(),
            link,
            announces: Mutex::new(false),
            _token: declare_presence(session, &sensor.key).await?,
        })
    }

    /// Sequence of the newest sample; −1 before the first.
    pub fn last_sequence(&self) -> i64 {
        self.last_sequence.load(Ordering::Relaxed)
    }

    /// Announces this start of the sensor.
    pub async fn announce(&self) -> Result<(), WireError> {
        let _in_turn = self.announces.lock().await;
        self.put(wire::SOURCE, self.open.clone()).await
    }

    /// Sends samples; without an engine and without a cache they wait in the window.
    pub async fn send(&self, message: Message, window: &Window) -> Result<(), WireError> {
        let mut announces = self.announces.lock().await;
        self.last_sequence.fetch_max(message.last_sequence, Ordering::Relaxed);
        window.add(self.index, message.clone());
        if self.is_linked() || self.has_cache {
            self.put(message.encoding, message.payload).await?;
        }
        if self.is_linked() && std::mem::take(&mut *announces) {
            self.put(wire::SOURCE, self.open.clone()).await?;
        }
        Ok(())
    }

    /// Says something about the source; returns whether an engine was there to hear it.
    pub async fn tell(&self, payload: Vec<u8>) -> Result<bool, WireError> {
        let mut announces = self.announces.lock().await;
        if !self.is_linked() {
            return Ok(false);
        }
        if std::mem::take(&mut *announces) {
            self.put(wire::SOURCE, self.open.clone()).await?;
        }
        self.put(wire::SOURCE, payload).await?;
        Ok(self.is_linked())
    }

    /// An engine may be back: what was not acknowledged goes out again, and this start is announced again.
    ///
    /// The announcement follows samples, since an engine over another recording takes the first sequence it sees as the
    /// first that it is owed.
    pub async fn relink(&self, window: &Window) -> Result<(), WireError> {
        let mut announces = self.announces.lock().await;
        if !self.link.mend() {
            return Ok(());
        }
        let waiting = if self.has_cache { Vec::new() } else { window.unacknowledged(self.index) };
        *announces = waiting.is_empty() && self.last_sequence() >= 0;
        tracing::info!(key = self.key, messages = waiting.len(), "an engine listens again: sending what it has not acknowledged");
        for message in waiting {
            self.put(message.encoding, message.payload).await?;
        }
        if *announces { Ok(()) } else { self.put(wire::SOURCE, self.open.clone()).await }
    }

    fn is_linked(&self) -> bool {
        !self.link.broken.load(Ordering::Acquire)
    }

    async fn put(&self, encoding: &'static str, payload: impl Into<ZBytes>) -> Result<(), WireError> {
        self.publisher.put(payload).encoding(encoding).await.map_err(WireError::zenoh(format!("publishing on {}", self.key)))
    }
}

impl Link {
    /// In zenoh's callback.
    fn hear(&self, listens: bool, relinked: &Notify) {
        if !listens {
            self.broken.store(true, Ordering::Release);
        }
        self.listens.store(listens, Ordering::Release);
        relinked.notify_one();
    }

    /// Whether what waits has to go out: someone listens, after nobody did.
    fn mend(&self) -> bool {
        self.listens.load(Ordering::Acquire) && self.broken.swap(false, Ordering::AcqRel)
    }
}

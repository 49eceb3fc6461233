//! A running engine: a rig's sensors over zenoh, its recording, its worker and its tables. `run` and `demo` share it.

mod acknowledge;
mod acks;
mod alerts;
pub mod audit;
mod bursts;
mod calls;
mod carry;
mod edit;
pub mod fold;
pub mod live;
mod liveness;
mod metrics;
pub mod recovery;
pub mod reigns;
pub mod replay;
mod requests;
mod room;
pub mod sink;
mod turn;
mod upkeep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use futures::{FutureExt as _, StreamExt as _};
use proprio_recording::{Disk, Folder, Lane, Recorder, Snapshots};
use proprio_runtime::Loaded;
use proprio_serve::{Addresses, Control, Doors, Tables};
use proprio_tables::Store;
use proprio_zenoh::{
    AckPublisher, ArrivalClock, ControlServer, Egress, Ingress, Session, SessionOptions, SqlAnswer, SqlHandler, SqlServer,
};

use crate::place;
use crate::running::Running;
use calls::Calls;
use live::{Live, Parts, texts};
use metrics::Metrics;
use turn::Turn;
use upkeep::{Kept, Upkeep};

/// What a running engine is started with.
pub struct Options {
    /// The pipeline file, to be read again on a reload.
    pub pipeline: PathBuf,
    /// Data directory.
    pub data: PathBuf,
    /// Where the tables are to lie, when not where the data directory says.
    pub tables: Option<String>,
    /// Where the recording and the snapshots lie; in the data directory when absent.
    pub disk: Option<Arc<dyn Disk>>,
    /// Network.
    pub zenoh: SessionOptions,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Bound of the ingress queue, in bytes.
    pub queue_bytes: usize,
    /// How long rows wait for a commit round.
    pub commit_every: Duration,
    /// Where other people's programs ask the tables; nowhere when absent.
    pub doors: Option<proprio_serve::Options>,
}

/// A running engine; dropping it without [`stop`](Self::stop) leaves rows to recovery.
pub struct Engine {
    stopping: Arc<AtomicBool>,
    reloading: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<anyhow::Result<()>>>,
    store: Arc<Store>,
    session: Session,
    doors: Option<Doors>,
    _servers: (ControlServer, SqlServer),
    _running: Running,
}

impl Engine {
    /// Opens recording, tables and network, and begins.
    ///
    /// # Errors
    /// When the data directory is in use or can't be written, or an endpoint is taken.
    pub async fn start(loaded: Loaded, options: Options) -> anyhow::Result<Self> {
        let kept = Kept { tables: loaded.retention, recording: loaded.recording_kept };
        let plan = Arc::new(loaded.plan);
        let rig = plan.rig.clone();
        let clock = ArrivalClock::start();
        Running::check_format(&options.data)?;
        let disk = options.disk.unwrap_or_else(|| Arc::new(Folder::new(&options.data)));
        let place = place::wanted(&options.data, options.tables.as_deref())?;
        let recorder = Recorder::open(disk.clone(), &rig, &texts(&plan), Lane::Thread).context("the recording can't be opened")?;
        let store = Store::open(&place, &rig.name, &plan.tables).await.context("the tables can't be opened")?;
        place::keep(&options.data, options.tables.as_deref())?;
        store.commit_every(options.commit_every);
        let store = Arc::new(store);
        // Positions that begin anew would stand behind the tables' last transactions, and their rows would be dropped as known.
        let (held, next) = (store.tables_position(), recorder.next_position());
        anyhow::ensure!(
            held < next,
            "the tables in {} hold rows up to position {held}, but the recording goes on at {next}: is its folder gone?",
            options.data.display()
        );
        let snapshots = Arc::new(Mutex::new(Snapshots::new(disk.clone(), &rig.name)));
        room::report(&*disk, &rig);

        let session = proprio_zenoh::open_router(&options.zenoh).await?;
        let metrics = Metrics::new(&rig.name)?;
        if let Some(address) = options.metrics {
            let bound = metrics.clone().serve(address).await?;
            tracing::info!("metrics on http://{bound}/metrics");
        }
        let egress = Egress::open(&session, alerts::keys(&plan)).await?;
        let upkeep = Upkeep::new(kept, disk.clone(), store.clone());
        let parts = Parts { recorder, sink: store.clone(), snapshots: snapshots.clone(), disk };
        let now_ns = clock.now_ns();
        let opened = tokio::task::spawn_blocking(move || Live::open(plan, parts, now_ns)).await?;
        let (mut live, recovered) = opened.context("the rig can't be brought up")?;
        if recovered.session.is_some() || recovered.ended > 0 {
            tracing::info!("recovered: {recovered}");
        }
        let acks = AckPublisher::open(&session, &rig).await?;
        let (control, calls) = ControlServer::open(&session, &rig.name).await?;
        let sql = SqlServer::open(&session, &rig.name, sql_handler(store.clone())).await?;
        let ingress = Ingress::open(&session, &rig, clock, options.queue_bytes, &live.fold().worker().sequences()).await?;
        live.listen_from(clock.now_ns());
        let endpoint = options.zenoh.endpoint();
        let (asking, asked) = Control::new();
        let doors = options.doors.map(|doors| Doors::open(&doors, Tables::Running(store.clone()), Some(asking))).transpose()?;
        let running = Running::announce(&options.data, &rig.name, &endpoint, doors.as_ref().map(|doors| doors.addresses().clone()))?;

        let (stopping, reloading) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let turn = Turn {
            live,
            clock,
            ingress,
            store: store.clone(),
            snapshots,
            acks,
            egress,
            session: session.clone(),
            calls: Calls { wire: calls, doors: asked },
            metrics,
            upkeep,
            pipeline: options.pipeline,
            stopping: stopping.clone(),
            reloading: reloading.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || turn.run()).context("no thread for the engine")?;
        Ok(Self { stopping, reloading, thread: Some(thread), store, session, doors, _servers: (control, sql), _running: running })
    }

    /// Asks the engine to read its pipeline's files again; what came of it is logged.
    pub fn reload(&self) {
        self.reloading.store(true, Ordering::Relaxed);
    }

    /// The tables.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Where other people's programs ask the tables.
    pub fn doors(&self) -> Option<&Addresses> {
        self.doors.as_ref().map(Doors::addresses)
    }

    /// Whether the engine has stopped by itself.
    pub fn has_stopped(&self) -> bool {
        self.thread.as_ref().is_none_or(std::thread::JoinHandle::is_finished)
    }

    /// Ends the session, commits every row, and closes.
    ///
    /// # Errors
    /// What made the engine stop before, or kept it from committing.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // Whoever asks now would be cut off by the end.
        drop(self.doors.take());
        self.stopping.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("an engine is stopped once");
        let outcome = tokio::task::spawn_blocking(move || thread.join()).await?;
        let closed = self.session.close().await;
        outcome.map_err(|_| anyhow::anyhow!("the engine's thread panicked"))??;
        closed.map_err(|error| anyhow::anyhow!("zenoh did not close: {error}"))
    }
}

fn sql_handler(store: Arc<Store>) -> SqlHandler {
    Arc::new(move |sql| {
        let store = store.clone();
        async move {
            let answer = store.query(&sql).await.map_err(|error| error.to_string())?;
            let batches = answer.batches.map(|batch| batch.map_err(|error| error.to_string())).boxed();
            Ok(SqlAnswer { schema: answer.schema, batches })
        }
        .boxed()
    })
}

//! What `play`, `simulate` and `demo` share: finding the rig that runs, and sending samples at a speed.

use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use proprio_core::control::{Reply, Request};
use proprio_core::{Packet, Rig, TimeNs, rows};
use proprio_zenoh::{Pacer, Publisher, Session, Speed, control};

/// How long an engine may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Event time after which sources without a rate say how far they are.
const PROGRESS_EVERY_NS: i64 = 50_000_000;

/// The rig that the engine at the other end runs.
///
/// # Errors
/// When none answers, or another rig does.
pub async fn running_rig(session: &Session, name: Option<&str>) -> anyhow::Result<Rig> {
    match control::request(session, name.unwrap_or("*"), &Request::Rig {}, PATIENCE).await.context("no running rig was found")? {
        Reply::Rig(file) => Ok(file.resolve()),
        other => bail!("the engine answered {other:?} to a request for its rig"),
    }
}

/// Asks for a change of the session, and gives the session that it belongs to.
///
/// # Errors
/// When it is refused or not answered.
pub async fn change(session: &Session, rig: &str, request: Request) -> anyhow::Result<String> {
    match control::request(session, rig, &request, PATIENCE).await? {
        Reply::Done { session, .. } => Ok(session),
        Reply::Refused { reason } => bail!("the rig refuses: {reason}"),
        other => bail!("the engine answered {other:?}"),
    }
}

/// Sends samples in time order, each when it is due.
pub struct Sender<'a> {
    publisher: &'a Publisher,
    /// Sensors without a rate, which say how far they are instead; only when unpaced.
    unrated: Vec<usize>,
    pacer: Pacer,
    /// How far behind the newest packet's end an older sample may still follow.
    spread_ns: i64,
    told_ns: TimeNs,
}

impl<'a> Sender<'a> {
    /// A sender of `sensors` of the rig. A later packet may hold samples up to `spread_ns` older than an earlier one's end.
    pub fn new(publisher: &'a Publisher, rig: &Rig, sensors: &[usize], speed: Speed, paced: bool, spread_ns: i64) -> Self {
        let unrated = sensors.iter().copied().filter(|sensor| rig.sensors[*sensor].rate.is_none() && !paced).collect();
        Self { publisher, unrated, pacer: Pacer::new(speed), spread_ns, told_ns: i64::MIN }
    }

    /// Waits until the packet's last sample is due, and sends it.
    ///
    /// # Errors
    /// When zenoh refuses, or no acknowledgement comes.
    pub async fn send(&mut self, packet: Packet) -> anyhow::Result<()> {
        let Some(&end_ns) = rows::times(&packet.rows).last() else { return Ok(()) };
        self.pacer.wait_until(end_ns).await;
        self.publisher.publish(packet).await?;
        if end_ns.saturating_sub(self.told_ns) >= PROGRESS_EVERY_NS {
            self.told_ns = end_ns;
            for sensor in &self.unrated {
                self.publisher.progress(*sensor, end_ns - self.spread_ns).await?;
            }
        }
        Ok(())
    }
}

/// A bar over seconds of event time; hidden where nobody watches.
pub fn bar(duration_ns: i64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new((duration_ns / 1_000_000).max(1) as u64);
    let style = ProgressStyle::with_template("{msg} [{bar:32}] {percent:>3} %  {elapsed_precise}  {prefix}");
    bar.set_style(style.expect("the template is well-formed").progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar
}

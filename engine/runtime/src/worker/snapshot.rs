//! What is a worker at a position? All that it remembers as bytes, and a worker from them that goes on to the same rows.
//!
//! Layout: eight bytes of magic whose last one is the version, XXH3-128 of the rest, then postcard; rows are Arrow IPC.

use std::sync::Arc;

use proprio_core::TimeNs;
use proprio_core::operator::RestoreError;
use proprio_core::recorded::Decode;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::fingerprint::fingerprints;
use super::source::SourceState;
use super::steps::StepImage;
use super::{Session, Worker};
use crate::plan::Plan;

const MAGIC: [u8; 8] = *b"proprio\x01";
const HASH_BYTES: usize = 16;

/// Why a snapshot can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is no snapshot, or one of another version.
    #[error("this is no snapshot of this version")]
    Foreign,
    /// It is cut short, or its bytes have changed.
    #[error("the snapshot is damaged: its hash differs")]
    Damaged,
    /// The hash is right and the content can't be read: another build wrote it.
    #[error("the snapshot can't be read: {0}")]
    Unreadable(#[from] postcard::Error),
    /// Its sensors and steps are not those of the plan.
    #[error("the snapshot is of another plan")]
    OtherPlan,
    /// A step's state is not of its operator.
    #[error(transparent)]
    State(#[from] RestoreError),
}

/// All that a worker remembers. `S` is owned when read and borrowed when written.
#[derive(Serialize, Deserialize)]
struct Image<S> {
    /// Per stream of the plan: what decides its rows.
    fingerprints: Vec<u128>,
    position: i64,
    log_time_ns: TimeNs,
    session: Option<Session>,
    sources: Vec<S>,
    steps: Vec<StepImage>,
    watermarks: Vec<TimeNs>,
}

impl Worker {
    /// Everything at [`position`](Self::position): the session, sources, steps and watermarks, to the bit.
    pub fn snapshot(&self) -> Vec<u8> {
        let image = Image {
            fingerprints: fingerprints(&self.plan),
            position: self.position,
            log_time_ns: self.log_time_ns,
            session: self.session.clone(),
            sources: self.sources.iter().map(|source| &source.state).collect(),
            steps: self.plan.steps.iter().zip(&self.steps).map(|(planned, step)| step.image(&*planned.planned.step)).collect(),
            watermarks: self.watermarks.clone(),
        };
        let body = postcard::to_stdvec(&image).expect("a worker's memory is plain data and rows of its schemas");
        let mut bytes = MAGIC.to_vec();
        bytes.extend(XxHash3_128::oneshot(&body).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    /// A worker as it was when the snapshot was taken: what is advanced from here on gives the rows that the other one gave.
    ///
    /// # Errors
    /// When the bytes are damaged, or were taken under a plan with other sensors or steps.
    pub fn restore(plan: Arc<Plan>, decode: Decode, run_id: String, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(SnapshotError::Foreign)?;
        let (hash, body) = rest.split_first_chunk::<HASH_BYTES>().ok_or(SnapshotError::Damaged)?;
        if XxHash3_128::oneshot(body) != u128::from_le_bytes(*hash) {
            return Err(SnapshotError::Damaged);
        }
        let (image, rest): (Image<SourceState>, _) = postcard::take_from_bytes(body)?;
        if !rest.is_empty() {
            return Err(postcard::Error::DeserializeBadEncoding.into());
        }
        let mut worker = Self::new(plan, decode, run_id);
        let counts = (image.sources.len(), image.steps.len(), image.watermarks.len());
        if image.fingerprints != fingerprints(&worker.plan) || counts != (worker.sources.len(), worker.steps.len(), worker.watermarks.len())
        {
            return Err(SnapshotError::OtherPlan);
        }
        for (source, state) in worker.sources.iter_mut().zip(image.sources) {
            source.restore(state)?;
        }
        for ((planned, step), image) in worker.plan.steps.iter().zip(&mut worker.steps).zip(image.steps) {
            step.restore(&*planned.planned.step, image)?;
        }
        worker.unpassed_bytes = worker.sources.iter().map(|source| source.state.unpassed_bytes()).sum();
        (worker.position, worker.log_time_ns) = (image.position, image.log_time_ns);
        (worker.session, worker.watermarks) = (image.session, image.watermarks);
        Ok(worker)
    }
}

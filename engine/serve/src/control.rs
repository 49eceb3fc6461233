//! How does a typed request come from a door to the rig that runs, and its answer back?

use std::time::Duration;

use proprio_core::control::{Reply, Request};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the rig.
const WAITING: usize = 64;
/// How long the rig may take: what it answers waits until it is durable.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request, and the way to answer it. One that is dropped unanswered tells the asker that the rig stops.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Who asks; none where nobody is known.
    pub who: Option<String>,
    reply: oneshot::Sender<Reply>,
}

impl Call {
    /// Answers. Who has gone needs no answer.
    pub fn reply(self, reply: Reply) {
        let _ = self.reply.send(reply);
    }
}

/// The doors' way to the rig.
#[derive(Clone, Debug)]
pub struct Control(mpsc::Sender<Call>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// More requests than may wait.
    #[error("the rig has {WAITING} requests waiting; try again")]
    Full,
    /// The engine ends.
    #[error("the rig is stopping")]
    Stopping,
    /// The engine is busy, or its disk takes nothing.
    #[error("the rig has not answered within {} s; the request may be done yet", PATIENCE.as_secs())]
    Silent,
}

impl Control {
    /// The doors' end, and the rig's.
    pub fn new() -> (Self, mpsc::Receiver<Call>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Asks the rig.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub async fn ask(&self, request: Request, who: Option<String>) -> Result<Reply, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Call { request, who, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Full,
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })?;
        let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| ControlError::Silent)?;
        answer.map_err(|_| ControlError::Stopping)
    }
}

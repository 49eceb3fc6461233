//! Which ways do requests come to the engine's thread, and do their answers go back? Over zenoh's `@control`, and from the doors.

use proprio_core::control::{Reply, Request};
use tokio::sync::mpsc;

/// A request that waits for its answer.
pub enum Call {
    /// Over zenoh.
    Wire(proprio_zenoh::control::Call),
    /// From a door.
    Door(proprio_serve::Call),
}

/// Every way.
pub struct Calls {
    pub wire: crossbeam_channel::Receiver<proprio_zenoh::control::Call>,
    pub doors: mpsc::Receiver<proprio_serve::Call>,
}

impl Calls {
    /// The next one, if any waits.
    pub fn next(&mut self) -> Option<Call> {
        self.wire.try_recv().map(Call::Wire).or_else(|_| self.doors.try_recv().map(Call::Door)).ok()
    }
}

impl Call {
    /// What is asked.
    pub fn request(&self) -> &Request {
        match self {
            Self::Wire(call) => &call.request,
            Self::Door(call) => &call.request,
        }
    }

    /// Who asks, where that is known.
    pub fn who(&self) -> Option<&str> {
        match self {
            Self::Wire(_) => None,
            Self::Door(call) => call.who.as_deref(),
        }
    }

    /// Answers. An asker that is gone needs no answer.
    pub fn reply(self, reply: &Reply) {
        match self {
            Self::Wire(call) => {
                if let Err(error) = call.reply(reply) {
                    tracing::debug!(%error, "an answer was not sent");
                }
            }
            Self::Door(call) => call.reply(reply.clone()),
        }
    }
}

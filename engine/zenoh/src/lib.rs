//! How sensors reach the engine and its answers leave it: zenoh, embedded.
//!
//! * In: [`Ingress`] queues what sensors send, with its arrival, after what their caches kept; [`wire::decode`] says what it
//!   means.
//! * Out: [`AckPublisher`] tells publishers what is durable, [`Egress`] sends alerts,
//!   [`AlertSubscriber`] hears them.
//! * Asked: [`ControlServer`] takes requests, [`SqlServer`] queries; [`control::request`] and [`sql::query`] are their clients.
//! * The other end: [`Publisher`] sends a rig's samples, never more than its window ahead of the acknowledgements, and again
//!   what an engine that restarted has not acknowledged. [`clock_probe`] is how a device's own clock is asked.
//!
//! **Invariant**: a zenoh callback copies and queues; it never blocks and never calls zenoh.

pub mod ack;
mod caches;
pub mod clock;
pub mod clock_probe;
pub mod control;
pub mod egress;
mod error;
pub mod ingress;
mod outlet;
pub mod pacer;
mod presence;
pub mod publisher;
mod queue;
pub mod session;
pub mod sql;
mod window;
pub mod wire;

pub use ack::AckPublisher;
pub use clock::ArrivalClock;
pub use clock_probe::DeviceClock;
pub use control::{Call, ControlServer};
pub use egress::{AlertSubscriber, Egress};
pub use error::WireError;
pub use ingress::{Arrival, Incoming, Ingress, IngressCounts};
pub use pacer::{Pacer, Speed};
pub use presence::present;
pub use publisher::{Publisher, PublisherOptions};
pub use session::{SessionOptions, open_client, open_router};
pub use sql::{SqlAnswer, SqlHandler, SqlServer};
/// A zenoh session; the one type of zenoh's that others hold.
pub use zenoh::Session;

//! Through which doors are the tables asked? HTTP and Arrow Flight SQL on one port, the PostgreSQL wire on another, over one [`desk`]
//! that knows users, limits and what is written down.
//!
//! **Invariants.** Nothing is changed through a door. Beyond this machine there are no doors without TLS and users. What a user may not
//! see is in no catalog that their questions are planned over. The doors have threads of their own, so that no question runs on the
//! engine's, and each answer is asked for batch by batch: a slow reader holds its own query up and nothing else.

mod client;
pub mod desk;
mod doors;
mod error;
mod flight;
mod http;
mod postgres;
mod question;
mod scram;
mod source;
mod tls;
pub mod users;

pub use client::{Address, Login, Remote, RemoteAnswer, RemoteError};
pub use doors::{Addresses, Doors, HTTP_PORT, Options, POSTGRES_PORT};
pub use error::{AskError, Kind, ServeError};
pub use scram::Verifier;
pub use source::Tables;

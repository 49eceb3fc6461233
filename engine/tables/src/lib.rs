//! Where do the rows of a rig lie, and how are they asked? Hot Arrow batches and cold Delta Lake tables beneath one
//! pinned catalog, and SQL over it.
//!
//! **Invariants.** A row is in a pinned catalog exactly once, whatever commits meanwhile: hot rows leave in the same
//! lock that takes in the Delta version that holds them. A run that was neither live nor adopted is in `<table>_all` alone,
//! from its first commit on, whichever process made it. A cold file's rows stand by session, time and key, and scans say so.
//! Nothing here writes through SQL. A table's columns in SQL
//! stand in one order, `time`, `time_ns`, key, measured, `rig`, `session`, `run_id`, hot and cold alike.
//! A live query gives each row once, when it is final; whoever follows the tables costs their writer nothing.

mod access;
mod append;
mod by_session;
mod catalog;
mod cold;
mod curtain;
mod error;
mod files;
mod fit;
mod forget;
mod hot;
mod keep_order;
mod latest;
mod live;
mod merge;
pub mod output;
mod place;
mod provider;
mod reader;
mod remove;
mod rewrite;
mod round;
mod scan;
mod schema;
mod scrub;
mod sql;
mod state;
mod store;
mod tend;
mod visible;

pub use access::Access;
pub use catalog::{Answer, Catalog};
pub use error::TablesError;
pub use forget::{Removed, forget_sessions};
pub use live::{Event, Narrow, Progress, Subscription, is_subscription};
pub use merge::Merged;
pub use output::Format;
pub use place::Place;
pub use reader::Reader;
pub use sql::{Function, Prepared, functions};
pub use store::{COMMIT_BYTES, COMMIT_INTERVAL, Store};
pub use tend::{TableSize, merge_tables, table_sizes, vacuum_tables};

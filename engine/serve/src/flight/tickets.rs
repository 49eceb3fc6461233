//! What was promised to a client that has not fetched it yet? Statements, each with the tables it was planned over, bounded in number
//! and time, since they hold rows in memory.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngCore as _;

use crate::error::AskError;
use crate::question::Question;

/// What is kept at a time, of everybody.
const KEPT: usize = 256;

/// A statement, of somebody.
#[derive(Clone)]
pub struct Statement {
    /// Whose.
    pub of: Option<String>,
    /// What.
    pub sql: String,
    /// Planned, with its parameters once they are bound.
    pub prepared: Question,
}

/// Statements by handle.
pub struct Tickets {
    kept: Mutex<HashMap<Bytes, (Statement, Instant)>>,
    holds: Duration,
}

impl Tickets {
    /// Tickets that hold for a while.
    pub fn holding(holds: Duration) -> Self {
        Self { kept: Mutex::default(), holds }
    }

    /// Keeps a statement under a new handle.
    ///
    /// # Errors
    /// When too much is kept.
    pub fn keep(&self, statement: Statement) -> Result<Bytes, AskError> {
        let mut handle = vec![0; 16];
        rand::rng().fill_bytes(&mut handle);
        let handle = Bytes::from(handle);
        let mut kept = self.lock();
        kept.retain(|_, (_, since)| since.elapsed() < self.holds);
        if kept.len() >= KEPT {
            return Err(AskError::Busy { whose: "everybody's tickets, not yet fetched:", limit: KEPT });
        }
        kept.insert(handle.clone(), (statement, Instant::now()));
        Ok(handle)
    }

    /// Takes a statement out.
    ///
    /// # Errors
    /// When there is none of that handle, of that person, any more.
    pub fn take(&self, handle: &[u8], of: Option<&str>) -> Result<Statement, AskError> {
        self.get(handle, of)?;
        let statement = self.lock().remove(handle).map(|(statement, _)| statement);
        statement.ok_or_else(gone)
    }

    /// A statement, which stays.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn get(&self, handle: &[u8], of: Option<&str>) -> Result<Statement, AskError> {
        let mut kept = self.lock();
        let (statement, since) = kept.get_mut(handle).ok_or_else(gone)?;
        if since.elapsed() >= self.holds || statement.of.as_deref() != of {
            return Err(gone());
        }
        *since = Instant::now();
        Ok(statement.clone())
    }

    /// Puts another statement under a handle that is there.
    pub fn put(&self, handle: &[u8], statement: Statement) {
        if let Some(kept) = self.lock().get_mut(handle) {
            *kept = (statement, Instant::now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Bytes, (Statement, Instant)>> {
        self.kept.lock().expect("nothing panics while it holds the tickets")
    }
}

fn gone() -> AskError {
    AskError::Request("there is no such ticket or prepared statement any more; ask again".to_owned())
}

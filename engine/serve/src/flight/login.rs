//! Who calls over Flight? A handshake takes a name and a password and gives a token of this run, which the calls after it bring.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::RngCore as _;
use tonic::metadata::MetadataMap;

use crate::desk::{Caller, Desk};
use crate::error::AskError;
use crate::http::login::with_header;
use crate::users::User;

/// Handshakes whose tokens hold at a time, and how long one holds.
const TOKENS: usize = 4096;
const HOLDS: Duration = Duration::from_secs(8 * 3600);

/// The tokens that were given.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<String, (Arc<User>, Instant)>>);

impl Tokens {
    /// A token for somebody.
    pub fn give(&self, user: Arc<User>) -> String {
        let mut bytes = [0; 24];
        rand::rng().fill_bytes(&mut bytes);
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut tokens = self.0.lock().expect("nothing panics while it holds the tokens");
        tokens.retain(|_, (_, given)| given.elapsed() < HOLDS);
        if tokens.len() >= TOKENS
            && let Some(oldest) = tokens.iter().min_by_key(|(_, (_, given))| *given).map(|(token, _)| token.clone())
        {
            tokens.remove(&oldest);
        }
        tokens.insert(token.clone(), (user, Instant::now()));
        token
    }

    /// Who calls.
    ///
    /// # Errors
    /// [`AskError::Unknown`].
    pub async fn user(&self, desk: &Arc<Desk>, caller: Caller, metadata: &MetadataMap) -> Result<Arc<User>, AskError> {
        if let Some(nobody) = desk.users().nobody() {
            return Ok(nobody);
        }
        let given = metadata.get("authorization").and_then(|value| value.to_str().ok());
        if let Some(token) = given.and_then(|given| given.strip_prefix("Bearer "))
            && let Some((user, at)) = self.0.lock().expect("nothing panics while it holds the tokens").get(token)
            && at.elapsed() < HOLDS
        {
            return Ok(user.clone());
        }
        with_header(desk, caller, given).await
    }
}

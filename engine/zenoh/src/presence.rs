//! Which publishers say that they are there?

use std::time::Duration;

use zenoh::Session;

use crate::WireError;

/// Data keys under `<rig>/` with a liveliness token, declared in the rig or not; no more than `patience` is waited.
///
/// # Errors
/// When zenoh refuses.
pub async fn present(session: &Session, rig: &str, patience: Duration) -> Result<Vec<String>, WireError> {
    let asked = session.liveliness().get(format!("{rig}/*/*")).timeout(patience).await;
    let replies = asked.map_err(WireError::zenoh("asking who is there"))?;
    let mut keys = Vec::new();
    while let Ok(reply) = replies.recv_async().await {
        if let Ok(sample) = reply.result() {
            keys.push(sample.key_expr().as_str().to_owned());
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

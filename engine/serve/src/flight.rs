//! x
use crate::desk::Desk;
use std::sync::Arc;
pub fn router(_desk: Arc<Desk>) -> axum::Router {
    axum::Router::new()
}

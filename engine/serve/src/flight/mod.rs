//! How are the tables asked over Arrow Flight SQL? Statements become tickets that hold what they were planned over, for a while.

mod login;
mod metadata;
mod service;
mod tickets;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_flight::flight_service_server::FlightServiceServer;
use arrow_schema::SchemaRef;
use tonic::Status;

use crate::desk::Desk;
use crate::error::{AskError, Kind};

/// The door, as a route of HTTP/2.
pub fn router(desk: Arc<Desk>) -> axum::Router {
    let service = FlightServiceServer::new(service::Flight::new(desk));
    axum::Router::new().route_service("/arrow.flight.protocol.FlightService/{*method}", service)
}

/// A refusal in gRPC's words.
fn refusal(error: &AskError) -> Status {
    let message = error.to_string();
    match error.kind() {
        Kind::Unknown => Status::unauthenticated(message),
        Kind::ReadOnly => Status::permission_denied(message),
        Kind::NoTable => Status::not_found(message),
        Kind::NoColumn | Kind::Statement | Kind::Request => Status::invalid_argument(message),
        Kind::Memory | Kind::Rows | Kind::Busy => Status::resource_exhausted(message),
        Kind::Time => Status::deadline_exceeded(message),
        Kind::Cancelled => Status::cancelled(message),
        Kind::Closing => Status::unavailable(message),
        Kind::Internal => Status::internal(message),
    }
}

/// A batch under the very schema that was promised for it, nullability and metadata included.
fn promised(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, AskError> {
    let rows = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &rows);
    Ok(batch.map_err(proprio_tables::TablesError::from)?)
}

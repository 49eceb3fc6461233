//! How do rows go out? As they come: what is written is sent on whenever the next row isn't there yet.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{Stream, StreamExt as _};
use futures::{FutureExt as _, Sink, SinkExt as _};
use pgwire::api::ClientInfo;
use pgwire::api::query::send_execution_response;
use pgwire::api::results::{CopyResponse, QueryResponse, Response, Tag};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use pgwire::messages::data::RowDescription;
use pgwire::messages::extendedquery::PortalSuspended;
use pgwire::messages::startup::ParameterStatus;

/// A client that has gone is noticed when something is written to it: so often something is, while no row comes.
const QUIET: Duration = Duration::from_secs(10);

/// Sends the answer to one statement of a text, its columns first.
pub async fn response<C>(client: &mut C, response: Response) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin,
    C::Error: Debug,
    PgWireError: From<C::Error>,
{
    let status = client.transaction_status();
    match response {
        Response::Query(mut answer) => {
            let columns = answer.row_schema().iter().map(Into::into).collect();
            client.feed(PgWireBackendMessage::RowDescription(RowDescription::new(columns))).await?;
            rows(client, &mut answer, 0).await?;
        }
        Response::CopyOut(answer) => copy(client, answer).await?,
        Response::Execution(tag) => send_execution_response(client, tag).await?,
        Response::TransactionStart(tag) => {
            client.set_transaction_status(status.to_in_transaction_state());
            send_execution_response(client, tag).await?;
        }
        Response::TransactionEnd(tag) => {
            client.set_transaction_status(status.to_idle_state());
            send_execution_response(client, tag).await?;
        }
        other => return Err(PgWireError::ApiError(format!("{other:?} is no answer of ours").into())),
    }
    Ok(())
}

/// Sends rows, at most as many as are said; 0 is all. Gives whether there may be more.
pub async fn rows<C>(client: &mut C, response: &mut QueryResponse, most: usize) -> PgWireResult<bool>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    C::Error: Debug,
    PgWireError: From<C::Error>,
{
    let tag = Tag::new(response.command_tag());
    let mut sent = 0;
    while most == 0 || sent < most {
        let Some(row) = next(client, response.data_rows()).await? else {
            send_execution_response(client, tag.with_rows(sent)).await?;
            return Ok(false);
        };
        client.feed(PgWireBackendMessage::DataRow(row?)).await?;
        sent += 1;
    }
    client.feed(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await?;
    Ok(true)
}

/// Sends what `COPY … TO STDOUT` gives.
async fn copy<C>(client: &mut C, mut response: CopyResponse) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    C::Error: Debug,
    PgWireError: From<C::Error>,
{
    let columns = i16::try_from(response.columns).map_err(|error| PgWireError::ApiError(Box::new(error)))?;
    let begin = CopyOutResponse::new(response.format, columns, vec![i16::from(response.format); response.columns]);
    client.feed(PgWireBackendMessage::CopyOutResponse(begin)).await?;
    let mut sent = 0;
    while let Some(row) = next(client, response.data_stream()).await? {
        client.feed(PgWireBackendMessage::CopyData(row?)).await?;
        sent += 1;
    }
    client.feed(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
    send_execution_response(client, Tag::new("COPY").with_rows(sent)).await
}

async fn next<C, T>(client: &mut C, rows: &mut (impl Stream<Item = T> + Unpin)) -> PgWireResult<Option<T>>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    PgWireError: From<C::Error>,
{
    if let Some(next) = rows.next().now_or_never() {
        return Ok(next);
    }
    client.flush().await?;
    loop {
        if let Ok(next) = tokio::time::timeout(QUIET, rows.next()).await {
            return Ok(next);
        }
        // Clients take a setting's value at any time, and this one never changes.
        let unchanged = ParameterStatus::new("default_transaction_read_only".to_owned(), "on".to_owned());
        client.send(PgWireBackendMessage::ParameterStatus(unchanged)).await?;
    }
}

//! The calls of Flight SQL.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes,
    CommandGetTables, CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc, Ticket,
    decode::FlightRecordBatchStream,
};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;
use datafusion::common::{ParamValues, ScalarValue};
use futures::stream::{BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use proprio_tables::TablesError;
use prost::Message as _;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::login::Tokens;
use super::tickets::{Statement, Tickets};
use super::{metadata, promised, refusal};
use crate::desk::{Asker, Caller, Desk};
use crate::error::AskError;
use crate::http;
use crate::http::login::with_header;
use crate::question::Question;

/// `CANCEL_RESULT_CANCELLED` of Flight SQL, which the crate does not give a name to.
const CANCELLED: i32 = 1;
/// How long a ticket waits to be fetched, and a prepared statement to be used again.
const TICKET: Duration = Duration::from_secs(120);
const PREPARED: Duration = Duration::from_secs(3600);

type Batches = BoxStream<'static, Result<RecordBatch, FlightError>>;
type Flights<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type DoGet = Response<<Flight as FlightService>::DoGetStream>;

/// The service.
pub struct Flight {
    desk: Arc<Desk>,
    tokens: Tokens,
    tickets: Tickets,
    prepared: Tickets,
    /// What runs, by ticket.
    running: Arc<Mutex<HashMap<Bytes, watch::Sender<bool>>>>,
}

impl Flight {
    /// In front of a desk.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            tokens: Tokens::default(),
            tickets: Tickets::holding(TICKET),
            prepared: Tickets::holding(PREPARED),
            running: Arc::default(),
        }
    }

    async fn asker<T>(&self, request: &Request<T>) -> Result<Asker, Status> {
        let caller = caller(request);
        let user = self.tokens.user(&self.desk, caller, request.metadata()).await.map_err(|error| refusal(&error))?;
        Ok(Asker { user, caller })
    }

    async fn prepare(&self, asker: &Asker, sql: &str) -> Result<Question, Status> {
        self.desk.plan(asker, sql).await.map_err(|error| refusal(&error))
    }

    /// The rows of a statement whose parameters are bound, under the schema that was promised.
    async fn fetch(&self, asker: &Asker, ticket: Bytes, statement: Statement) -> Result<DoGet, Status> {
        let schema = statement.prepared.schema();
        let nothing = ParamValues::List(Vec::new());
        let started = self.desk.start(asker, &statement.sql, statement.prepared, nothing, None).await;
        let asked = started.map_err(|error| refusal(&error))?;
        let (cancel, mut cancelled) = watch::channel(false);
        self.running.lock().expect("nothing panics while it holds what runs").insert(ticket.clone(), cancel);
        let ended = Ended { running: self.running.clone(), ticket };
        let (promise, failed) = (schema.clone(), |error: AskError| FlightError::Tonic(Box::new(refusal(&error))));
        let rows = asked.batches.map(move |batch| {
            let _until_the_end = &ended;
            promised(&batch.map_err(failed)?, &promise).map_err(failed)
        });
        let stop = async move {
            // The sender goes with the query; then nobody cancels it any more.
            if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let stopped = futures::stream::once(stop).map(move |()| Err(failed(AskError::Cancelled)));
        let rows = Either { rows: rows.boxed(), stopped: stopped.boxed() }.into_stream();
        Ok(encoded(schema, rows))
    }
}

fn caller<T>(request: &Request<T>) -> Caller {
    let nowhere = http::From(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let http::From(from) = request.extensions().get::<http::From>().copied().unwrap_or(nowhere);
    Caller { door: "flight", from }
}

/// Rows, until they are stopped.
struct Either {
    rows: Batches,
    stopped: Batches,
}

impl Either {
    fn into_stream(self) -> Batches {
        let next = |state: Option<Self>| async move {
            let mut state = state?;
            tokio::select! {
                row = state.rows.next() => row.map(|row| (row, Some(state))),
                Some(stop) = state.stopped.next() => Some((stop, None)),
            }
        };
        futures::stream::unfold(Some(self), next).fuse().boxed()
    }
}

/// Takes a query off the list of those that run, when it is dropped.
struct Ended {
    running: Arc<Mutex<HashMap<Bytes, watch::Sender<bool>>>>,
    ticket: Bytes,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.running.lock().expect("nothing panics while it holds what runs").remove(&self.ticket);
    }
}

fn encoded(schema: arrow_schema::SchemaRef, rows: Batches) -> DoGet {
    let data = FlightDataEncoderBuilder::new().with_schema(schema).build(rows);
    Response::new(Box::pin(data.map_err(|error| match error {
        FlightError::Tonic(status) => *status,
        other => Status::internal(other.to_string()),
    })))
}

fn there(batch: Result<RecordBatch, FlightError>) -> Result<DoGet, Status> {
    let batch = batch.map_err(Status::from)?;
    Ok(encoded(batch.schema(), futures::stream::iter([Ok(batch)]).boxed()))
}

fn info(schema: &Schema, ticket: impl ProstMessageExt, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec()));
    let info = FlightInfo::new().try_with_schema(schema).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(request.into_inner())))
}

fn ipc(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    Ok(message.map_err(|error| Status::internal(error.to_string()))?.0)
}

fn read_only<T>(what: &str) -> Result<T, Status> {
    Err(refusal(&AskError::Tables(TablesError::ReadOnly { statement: what.to_owned() })))
}

#[tonic::async_trait]
impl FlightSqlService for Flight {
    type FlightService = Self;

    async fn do_handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Result<Response<Flights<HandshakeResponse>>, Status> {
        let user = match self.desk.users().nobody() {
            Some(nobody) => nobody,
            None => {
                let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
                with_header(&self.desk, caller(&request), given).await.map_err(|error| refusal(&error))?
            }
        };
        let token = self.tokens.give(user);
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let mut response: Response<Flights<HandshakeResponse>> = Response::new(Box::pin(futures::stream::iter([Ok(answer)])));
        let bearer = format!("Bearer {token}").parse().map_err(|_| Status::internal("a token is plain text"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let asker = self.asker(&request).await?;
        let prepared = self.prepare(&asker, &query.query).await?;
        let schema = prepared.schema();
        let statement = Statement { of: asker.user.name.clone(), sql: query.query, prepared };
        let statement_handle = self.tickets.keep(statement).map_err(|error| refusal(&error))?;
        info(&schema, TicketStatementQuery { statement_handle }, request)
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Result<DoGet, Status> {
        let asker = self.asker(&request).await?;
        let taken = self.tickets.take(&ticket.statement_handle, asker.user.name.as_deref());
        self.fetch(&asker, ticket.statement_handle, taken.map_err(|error| refusal(&error))?).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let asker = self.asker(&request).await?;
        let prepared = self.prepare(&asker, &query.query).await?;
        let parameters = prepared.parameters().map_err(|error| refusal(&error.into()))?;
        let mut parameters: Vec<_> = parameters.into_iter().collect();
        parameters.sort_by_key(|(name, _)| name.trim_start_matches('$').parse::<usize>().unwrap_or_default());
        let fields = parameters.into_iter().map(|(name, known)| Field::new(name, known.unwrap_or(DataType::Null), true));
        let (dataset_schema, parameter_schema) = (ipc(&prepared.schema())?, ipc(&Schema::new(fields.collect::<Vec<_>>()))?);
        let statement = Statement { of: asker.user.name.clone(), sql: query.query, prepared };
        let prepared_statement_handle = self.prepared.keep(statement).map_err(|error| refusal(&error))?;
        Ok(ActionCreatePreparedStatementResult { prepared_statement_handle, dataset_schema, parameter_schema })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let asker = self.asker(&request).await?;
        // One that has expired is closed.
        let _ = self.prepared.take(&query.prepared_statement_handle, asker.user.name.as_deref());
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let asker = self.asker(&request).await?;
        let handle = &query.prepared_statement_handle;
        let statement = self.prepared.get(handle, asker.user.name.as_deref()).map_err(|error| refusal(&error))?;
        let data = request.into_inner().map_err(|status| FlightError::Tonic(Box::new(status)));
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(data).try_collect().await.map_err(Status::from)?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let [batch] = batches.as_slice() else { return Err(Status::invalid_argument("one batch of parameters is taken")) };
        if rows != 1 {
            return Err(Status::invalid_argument(format!("{rows} rows of parameters are given; one is taken at a time")));
        }
        let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, 0)).collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Over the tables as they stand now, not as they stood when it was prepared.
        let fresh = self.prepare(&asker, &statement.sql).await?;
        let prepared = fresh.bound(ParamValues::from(values)).map_err(|error| refusal(&error))?;
        self.prepared.put(handle, Statement { prepared, ..statement });
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle.clone()) })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let asker = self.asker(&request).await?;
        let of = asker.user.name.as_deref();
        let mut statement = self.prepared.get(&query.prepared_statement_handle, of).map_err(|error| refusal(&error))?;
        let unbound = statement.prepared.parameters().map_err(|error| refusal(&error.into()))?;
        if unbound.is_empty() && !statement.sql.contains('$') {
            statement.prepared = self.prepare(&asker, &statement.sql).await?;
        }
        let schema = statement.prepared.schema();
        let statement_handle = self.tickets.keep(statement).map_err(|error| refusal(&error))?;
        info(&schema, TicketStatementQuery { statement_handle }, request)
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let asker = self.asker(&request).await?;
        let info = FlightInfo::decode(query.info).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let ticket = info.endpoint.into_iter().find_map(|endpoint| endpoint.ticket);
        let any = ticket.and_then(|ticket| arrow_flight::sql::Any::decode(ticket.ticket).ok());
        let ticket = any.and_then(|any| any.unpack::<TicketStatementQuery>().ok().flatten());
        let handle = ticket.ok_or_else(|| Status::invalid_argument("the query to cancel is named by its ticket"))?.statement_handle;
        // Who knows a ticket's 16 random bytes is who was given it.
        let waits = self.tickets.take(&handle, asker.user.name.as_deref()).is_ok();
        let runs =
            self.running.lock().expect("nothing panics while it holds what runs").get(&handle).is_some_and(|stop| stop.send(true).is_ok());
        if !waits && !runs {
            return Err(Status::not_found("no such query waits or runs"));
        }
        Ok(ActionCancelQueryResult { result: CANCELLED })
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.asker(&request).await?;
        info(&query.into_builder().schema(), query, request)
    }

    async fn do_get_catalogs(&self, _: CommandGetCatalogs, request: Request<Ticket>) -> Result<DoGet, Status> {
        self.asker(&request).await?;
        there(metadata::catalogs())
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.asker(&request).await?;
        info(&query.clone().into_builder().schema(), query, request)
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Result<DoGet, Status> {
        self.asker(&request).await?;
        there(metadata::schemas(query))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.asker(&request).await?;
        info(&query.clone().into_builder().schema(), query, request)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Result<DoGet, Status> {
        let asker = self.asker(&request).await?;
        let catalog = self.desk.catalog(&asker).await.map_err(|error| refusal(&error))?;
        there(metadata::tables(query, &catalog))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.asker(&request).await?;
        info(&query.into_builder().schema(), query, request)
    }

    async fn do_get_table_types(&self, query: CommandGetTableTypes, request: Request<Ticket>) -> Result<DoGet, Status> {
        self.asker(&request).await?;
        there(metadata::table_types(query))
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.asker(&request).await?;
        let about = metadata::about().map_err(Status::from)?;
        info(&query.clone().into_builder(&about).schema(), query, request)
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, request: Request<Ticket>) -> Result<DoGet, Status> {
        self.asker(&request).await?;
        let about = metadata::about().map_err(Status::from)?;
        there(query.into_builder(&about).build())
    }

    async fn do_put_statement_update(&self, update: CommandStatementUpdate, _: Request<PeekableFlightDataStream>) -> Result<i64, Status> {
        read_only(&update.query.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    async fn do_put_prepared_statement_update(
        &self,
        _: CommandPreparedStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        read_only("an update")
    }

    async fn do_put_statement_ingest(&self, _: CommandStatementIngest, _: Request<PeekableFlightDataStream>) -> Result<i64, Status> {
        read_only("an ingest")
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}

//! How are PostgreSQL's two ways of asking answered: a text of statements, and a statement that is parsed, bound and executed?

use std::fmt::Debug;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion_postgres::arrow_pg::datatypes::{df, into_pg_type};
use futures::{Sink, SinkExt as _};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler, send_describe_response, send_ready_for_query};
use pgwire::api::results::{DataRowEncoder, DescribePortalResponse, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{Describe, Execute, TARGET_TYPE_BYTE_PORTAL};
use pgwire::messages::response::EmptyQueryResponse;
use pgwire::messages::simplequery::Query;

use super::command::{self, Command};
use super::connection::Connection;
use super::cursor::{self, Cursor};
use super::{error_of, refusal, send};

/// Cursors that a connection has open at a time; each is a query that runs.
const CURSORS: usize = 8;

/// A statement that is parsed.
#[derive(Clone, Debug)]
pub struct Statement {
    command: Command,
    /// Columns of the answer, when there are any.
    schema: Option<SchemaRef>,
    /// Types of `$1`, `$2`, …, as far as they are known.
    parameters: Vec<Option<DataType>>,
}

impl Connection {
    async fn parse(&self, command: Command) -> PgWireResult<Statement> {
        let mut statement = Statement { command, schema: None, parameters: Vec::new() };
        match &statement.command {
            Command::Query(sql) | Command::Declare { sql, .. } | Command::Copy { sql, .. } => {
                let prepared = self.prepare(sql).await?;
                let types = prepared.parameters().map_err(|error| refusal(&error.into()))?;
                let number = |name: &String| name.trim_start_matches('$').parse::<usize>().unwrap_or_default();
                let mut types: Vec<_> = types.into_iter().map(|(name, data_type)| (number(&name), data_type)).collect();
                types.sort_by_key(|(number, _)| *number);
                statement.parameters = types.into_iter().map(|(_, data_type)| data_type).collect();
                statement.schema = matches!(statement.command, Command::Query(_)).then(|| prepared.schema());
            }
            Command::Fetch { cursor, .. } => {
                let cursors = self.cursors.lock().await;
                statement.schema = Some(cursors.get(cursor).ok_or_else(|| no_cursor(cursor))?.schema().clone());
            }
            Command::Show(name) => statement.schema = Some(Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]))),
            _ => {}
        }
        Ok(statement)
    }

    async fn answer(&self, command: &Command, parameters: ParamValues, format: &Format) -> PgWireResult<Response> {
        Ok(match command {
            Command::Query(sql) => {
                let prepared = self.prepare(sql).await?;
                Response::Query(self.run(sql, prepared, parameters).await?.respond(format)?)
            }
            Command::Copy { sql, form } => {
                let prepared = self.prepare(sql).await?;
                Response::CopyOut(form.respond(self.run(sql, prepared, parameters).await?)?)
            }
            Command::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Command::End(tag) => {
                self.cursors.lock().await.clear();
                Response::TransactionEnd(Tag::new(tag))
            }
            Command::Nothing(tag) => Response::Execution(Tag::new(tag)),
            Command::Set { name, value } => self.set(name, value.as_deref())?,
            Command::Show(name) => Response::Query(self.show(name, format)?),
            Command::Declare { cursor, sql } => {
                let prepared = self.prepare(sql).await?;
                let mut cursors = self.cursors.lock().await;
                if cursors.contains_key(cursor) {
                    return Err(error_of("ERROR", "42P03", format!("cursor \"{cursor}\" already exists")));
                }
                if cursors.len() >= CURSORS {
                    return Err(error_of("ERROR", "53400", format!("{CURSORS} cursors are open already; close one")));
                }
                cursors.insert(cursor.clone(), Cursor::before(self.run(sql, prepared, parameters).await?));
                Response::Execution(Tag::new("DECLARE CURSOR"))
            }
            Command::Fetch { cursor, rows } => {
                let mut cursors = self.cursors.lock().await;
                let open = cursors.get_mut(cursor).ok_or_else(|| no_cursor(cursor))?;
                let (schema, batches) = (open.schema().clone(), open.take(*rows).await?);
                let mut response = cursor::respond(&schema, batches, format)?;
                response.set_command_tag("FETCH");
                Response::Query(response)
            }
            Command::Close(None) => {
                self.cursors.lock().await.clear();
                Response::Execution(Tag::new("CLOSE CURSOR ALL"))
            }
            Command::Close(Some(cursor)) => {
                self.cursors.lock().await.remove(cursor).ok_or_else(|| no_cursor(cursor))?;
                Response::Execution(Tag::new("CLOSE CURSOR"))
            }
        })
    }

    fn set(&self, name: &str, value: Option<&str>) -> PgWireResult<Response> {
        let usual = command::settings();
        let Some(usual) = usual.get(name) else {
            return Err(error_of("ERROR", "42704", format!("there is no setting \"{name}\" here")));
        };
        let value = value.unwrap_or(usual);
        if name.ends_with("read_only") && !matches!(value, "on" | "true" | "1") {
            return Err(error_of("ERROR", "25006", "tables are read-only in SQL".to_owned()));
        }
        if name == "statement_timeout" && command::milliseconds(value).is_none() {
            return Err(error_of("ERROR", "22023", format!("`{value}` is no time; write milliseconds, or a number with ms, s, min or h")));
        }
        self.settings.lock().expect("nothing panics while it holds the settings").insert(name.to_owned(), value.to_owned());
        Ok(Response::Execution(Tag::new("SET")))
    }

    fn show(&self, name: &str, format: &Format) -> PgWireResult<QueryResponse> {
        let value = self.setting(name).ok_or_else(|| error_of("ERROR", "42704", format!("there is no setting \"{name}\" here")))?;
        let format = if format.is_binary(0) { FieldFormat::Binary } else { FieldFormat::Text };
        let fields = Arc::new(vec![FieldInfo::new(name.to_owned(), None, None, Type::TEXT, format)]);
        let mut row = DataRowEncoder::new(fields.clone());
        row.encode_field(&Some(value))?;
        let mut response = QueryResponse::new(fields, futures::stream::iter([Ok(row.take_row())]));
        response.set_command_tag("SHOW");
        Ok(response)
    }

    fn bound(portal: &Portal<Statement>) -> PgWireResult<ParamValues> {
        let text = DataType::Utf8;
        let known = &portal.statement.statement.parameters;
        let types: Vec<Option<&DataType>> = known.iter().map(|known| known.as_ref().or(Some(&text))).collect();
        if portal.parameter_len() != types.len() {
            let detail = format!("{} parameters are given, and the statement has {}", portal.parameter_len(), types.len());
            return Err(error_of("ERROR", "08P01", detail));
        }
        df::deserialize_parameters(portal, &types)
    }
}

fn no_cursor(name: &str) -> PgWireError {
    error_of("ERROR", "34000", format!("cursor \"{name}\" does not exist"))
}

#[async_trait]
impl SimpleQueryHandler for Connection {
    /// One statement after another, each answered when its turn comes; the default starts all of them first, and holds rows back.
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        crate::desk::check_length(&query.query).map_err(|error| refusal(&error))?;
        let statements = command::statements(&query.query).map_err(|error| refusal(&error))?;
        if statements.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for statement in statements {
            for response in SimpleQueryHandler::do_query(self, client, &statement).await? {
                send::response(client, response).await?;
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let command = self.read(query)?;
        Ok(vec![self.answer(&command, ParamValues::List(Vec::new()), &Format::UnifiedText).await?])
    }
}

#[async_trait]
impl QueryParser for Connection {
    type Statement = Statement;

    async fn parse_sql<C>(&self, _: &C, sql: &str, _: &[Option<Type>]) -> PgWireResult<Option<Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        crate::desk::check_length(sql).map_err(|error| refusal(&error))?;
        let statements = command::statements(sql).map_err(|error| refusal(&error))?;
        match statements.as_slice() {
            [] => Ok(None),
            [statement] => self.parse(self.read(statement)?).await.map(Some),
            _ => Err(error_of("ERROR", "42601", "a statement that is prepared is one alone".to_owned())),
        }
    }

    fn get_parameter_types(&self, statement: &Statement) -> PgWireResult<Vec<Type>> {
        statement.parameters.iter().map(|known| known.as_ref().map_or(Ok(Type::TEXT), into_pg_type)).collect()
    }

    fn get_result_schema(&self, statement: &Statement, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let Some(schema) = &statement.schema else { return Ok(Vec::new()) };
        Ok(cursor::fields(schema, format.unwrap_or(&Format::UnifiedText))?.as_ref().clone())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Statement;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self> {
        self.shared()
    }

    /// Rows go out as they come, and a portal keeps what was not asked for; the default gathers all of them first.
    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) if portal.statement.statement.command.is_streamed() => portal,
            _ => return self._on_execute(client, message).await,
        };
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            let answer = self.answer(&portal.statement.statement.command, Self::bound(&portal)?, &portal.result_column_format).await?;
            let Response::Query(response) = answer else {
                *state = PortalExecutionState::Finished;
                return send::response(client, answer).await;
            };
            *state = PortalExecutionState::Suspended(response);
        }
        let mut nothing = QueryResponse::new(Arc::default(), futures::stream::empty());
        let rows = match &mut *state {
            PortalExecutionState::Suspended(response) => response,
            _ => &mut nothing,
        };
        let sent = send::rows(client, rows, usize::try_from(message.max_rows).unwrap_or_default()).await;
        if !matches!(sent, Ok(true)) {
            *state = PortalExecutionState::Finished;
        }
        sent.map(|_| ())
    }

    /// A declared cursor is a portal, too, which clients have described to them.
    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if message.target_type == TARGET_TYPE_BYTE_PORTAL {
            let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
            let schema = self.cursors.lock().await.get(name).map(|cursor| cursor.schema().clone());
            if let Some(schema) = schema {
                let fields = cursor::fields(&schema, &Format::UnifiedText)?.as_ref().clone();
                return send_describe_response(client, &DescribePortalResponse::new(fields)).await;
            }
        }
        self._on_describe(client, message).await
    }

    async fn do_query<C>(&self, _: &mut C, portal: &Portal<Statement>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.answer(&portal.statement.statement.command, Self::bound(portal)?, &portal.result_column_format).await
    }
}

//! What can be asked? A statement whose answer has an end, or one that follows the tables of a running engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use proprio_tables::{Answer, Narrow, Prepared, Store, TablesError};

use crate::error::AskError;

/// A statement that is checked and planned.
#[derive(Clone)]
pub enum Question {
    /// Over the tables as they stood when it was planned.
    Once(Prepared),
    /// `SUBSCRIBE`: what comes from when it is started.
    Live(Live),
}

/// A live query that can be started.
#[derive(Clone)]
pub struct Live {
    store: Arc<Store>,
    sql: Arc<str>,
    narrow: Narrow,
    schema: SchemaRef,
}

impl Live {
    /// Checks a live query over what `narrow` leaves of the tables.
    ///
    /// # Errors
    /// As [`Store::subscribe`].
    pub async fn plan(store: Arc<Store>, sql: &str, narrow: Narrow) -> Result<Self, TablesError> {
        let schema = store.subscribable(sql, &narrow).await?;
        Ok(Self { store, sql: sql.into(), narrow, schema })
    }
}

impl Question {
    /// Whether its answer has no end.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// The columns of its answer.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Self::Once(prepared) => prepared.schema(),
            Self::Live(live) => live.schema.clone(),
        }
    }

    /// See [`Prepared::parameters`].
    ///
    /// # Errors
    /// One parameter that would need two types.
    pub fn parameters(&self) -> Result<BTreeMap<String, Option<DataType>>, TablesError> {
        match self {
            Self::Once(prepared) => prepared.parameters(),
            Self::Live(_) => Ok(BTreeMap::new()),
        }
    }

    /// See [`Prepared::bound`].
    ///
    /// # Errors
    /// When one is missing or doesn't fit, and when a live query is given any.
    pub fn bound(self, parameters: ParamValues) -> Result<Self, AskError> {
        match self {
            Self::Once(prepared) => Ok(Self::Once(prepared.bound(parameters)?)),
            Self::Live(_) if is_some(&parameters) => Err(no_parameters()),
            live @ Self::Live(_) => Ok(live),
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Prepared::start`] and [`Store::subscribe`].
    pub async fn start(self, parameters: ParamValues) -> Result<Answer, AskError> {
        match self {
            Self::Once(prepared) => Ok(prepared.start(parameters).await?),
            Self::Live(_) if is_some(&parameters) => Err(no_parameters()),
            Self::Live(Live { store, sql, narrow, .. }) => Ok(store.subscribe_within(&sql, narrow).await?.into_answer()),
        }
    }
}

fn no_parameters() -> AskError {
    AskError::Request("SUBSCRIBE takes no parameters".to_owned())
}

fn is_some(parameters: &ParamValues) -> bool {
    match parameters {
        ParamValues::List(values) => !values.is_empty(),
        ParamValues::Map(values) => !values.is_empty(),
    }
}

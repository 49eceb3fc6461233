//! Which tables are there, and what do their columns hold?

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use proprio_core::schema::{FieldExt as _, meta};
use serde::Serialize;

use super::problem::Problem;
use crate::desk::{Asker, Desk};

/// A table.
#[derive(Debug, Serialize)]
pub struct Table {
    name: String,
    columns: Vec<Column>,
}

/// A column, with what is known of its values.
#[derive(Debug, Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    nullable: bool,
    unit: Option<String>,
    frame: Option<String>,
    segment: Option<String>,
    side: Option<String>,
    sensor: Option<String>,
}

/// The tables that somebody may see.
#[derive(Debug, Serialize)]
pub struct Listing {
    tables: Vec<Table>,
}

/// `GET /v1/tables`.
pub async fn all(State(desk): State<Arc<Desk>>, Extension(asker): Extension<Asker>) -> Result<Json<Listing>, Problem> {
    let catalog = desk.catalog(&asker).await?;
    let tables = catalog.names().filter_map(|name| table(&catalog, name)).collect();
    Ok(Json(Listing { tables }))
}

/// `GET /v1/tables/{table}`, of a view too.
pub async fn one(
    State(desk): State<Arc<Desk>>,
    Extension(asker): Extension<Asker>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Table>, Problem> {
    let Path(name) = name.map_err(|rejection| Problem::new(StatusCode::NOT_FOUND, &rejection.body_text()))?;
    let catalog = desk.catalog(&asker).await?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, "there is no such table; /v1/tables lists them");
    table(&catalog, &name).map(Json).ok_or_else(missing)
}

fn table(catalog: &proprio_tables::Catalog, name: &str) -> Option<Table> {
    let columns = catalog.columns(name)?;
    let column = |field: &Arc<arrow_schema::Field>| {
        let told = |key: &str| field.meta(key).map(str::to_owned);
        Column {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
            unit: told(meta::UNIT),
            frame: told(meta::FRAME),
            segment: told(meta::SEGMENT),
            side: told(meta::SIDE),
            sensor: told(meta::SENSOR),
        }
    };
    Some(Table { name: name.to_owned(), columns: columns.fields().iter().map(column).collect() })
}

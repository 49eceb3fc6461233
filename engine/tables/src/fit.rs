//! How does a chunk of rows come to have every column of its table?
//!
//! A rig at work appends thousands of small chunks a second, all of the same few schemas: where each column comes from is looked up once
//! per schema, and what is the same in every row is a slice of an array that is kept.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use proprio_core::TableChunk;
use proprio_core::schema::TIME;

use crate::error::TablesError;
use crate::schema::{RIG, RUN, SESSION, TIME_UTC, key, utc_times};

/// Pairs of schemas that are remembered, and texts; beyond it all are looked up anew.
const REMEMBERED: usize = 256;
/// Rows of a text that are kept; longer chunks get an array of their own.
const KEPT_ROWS: usize = 1024;

/// What was looked up so far.
#[derive(Debug, Default)]
pub(crate) struct Fits {
    fits: Vec<Fit>,
    texts: Texts,
}

/// Where each column of a table comes from, for chunks of one schema.
#[derive(Debug)]
struct Fit {
    chunk: SchemaRef,
    table: SchemaRef,
    columns: Vec<Origin>,
}

#[derive(Debug)]
enum Origin {
    Utc,
    Rig,
    Session,
    Run,
    /// The chunk's key; where it has none, its column of this place or nothing.
    Key(Option<usize>, DataType),
    Column(usize),
    Nothing(DataType),
}

/// Arrays of one text each.
#[derive(Debug, Default)]
struct Texts(HashMap<String, StringArray>);

impl Fits {
    /// A chunk's rows with every column of its table.
    pub(crate) fn fitted(&mut self, table: &SchemaRef, chunk: &TableChunk, rig: &str) -> Result<RecordBatch, TablesError> {
        let misfit = |detail: String| TablesError::Misfit { table: chunk.table.clone(), detail };
        let rows = chunk.rows.num_rows();
        let times = chunk.rows.column_by_name(TIME).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let times = times.ok_or_else(|| misfit("no Int64 column `time_ns`".to_owned()))?;
        if times.null_count() > 0 {
            return Err(misfit("a null in `time_ns`".to_owned()));
        }
        let fit = self.find(table, chunk.rows.schema_ref()).map_err(misfit)?;
        let (columns, texts) = (&self.fits[fit].columns, &mut self.texts);
        let column = |origin: &Origin| match (origin, &chunk.key) {
            (Origin::Utc, _) => Arc::new(utc_times(times)),
            (Origin::Rig, _) => texts.of(rig, rows),
            (Origin::Session, _) => texts.of(&chunk.session, rows),
            (Origin::Run, _) => texts.of(&chunk.run_id, rows),
            (Origin::Key(..), Some(key)) => texts.of(key, rows),
            (Origin::Column(place) | Origin::Key(Some(place), _), _) => chunk.rows.column(*place).clone(),
            (Origin::Nothing(of) | Origin::Key(None, of), _) => new_null_array(of, rows),
        };
        let columns = columns.iter().map(column).collect();
        RecordBatch::try_new(table.clone(), columns).map_err(|error| misfit(error.to_string()))
    }

    /// The place of the fit for these schemas, or why there is none.
    fn find(&mut self, table: &SchemaRef, chunk: &SchemaRef) -> Result<usize, String> {
        let is_this = |fit: &Fit| Arc::ptr_eq(&fit.chunk, chunk) && Arc::ptr_eq(&fit.table, table);
        if let Some(place) = self.fits.iter().position(is_this) {
            return Ok(place);
        }
        if self.fits.len() >= REMEMBERED {
            self.fits.clear();
        }
        self.fits.push(Fit { columns: origins(table, chunk)?, chunk: chunk.clone(), table: table.clone() });
        Ok(self.fits.len() - 1)
    }
}

impl Texts {
    /// So many rows of a text.
    fn of(&mut self, text: &str, rows: usize) -> ArrayRef {
        let array = |rows| StringArray::from_iter_values(std::iter::repeat_n(text, rows));
        if rows > KEPT_ROWS {
            return Arc::new(array(rows));
        }
        if let Some(kept) = self.0.get(text).filter(|kept| kept.len() >= rows) {
            return Arc::new(kept.slice(0, rows));
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let longer = array(rows.next_power_of_two());
        let taken = longer.slice(0, rows);
        self.0.insert(text.to_owned(), longer);
        Arc::new(taken)
    }
}

fn origins(table: &Schema, chunk: &Schema) -> Result<Vec<Origin>, String> {
    if let Some(unknown) = chunk.fields().iter().find(|field| table.index_of(field.name()).is_err()) {
        return Err(format!("column `{}` is not declared", unknown.name()));
    }
    let key = key(table);
    let origin = |field: &Arc<Field>| {
        let name = field.name().as_str();
        let place = chunk.index_of(name).ok();
        if let Some(other) = place.map(|place| chunk.field(place).data_type()).filter(|other| *other != field.data_type()) {
            return Err(format!("column `{name}` is {other}, not {}", field.data_type()));
        }
        Ok(match name {
            TIME_UTC => Origin::Utc,
            RIG => Origin::Rig,
            SESSION => Origin::Session,
            RUN => Origin::Run,
            _ if Some(name) == key => Origin::Key(place, field.data_type().clone()),
            _ => place.map_or_else(|| Origin::Nothing(field.data_type().clone()), Origin::Column),
        })
    };
    table.fields().iter().map(origin).collect()
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int64Array};
    use proprio_core::schema::float;
    use proprio_core::{StreamSchema, TableSpec};

    use super::*;
    use crate::schema::of_spec;

    fn chunk(schema: &StreamSchema, session: &str, key: &str, rows: i64) -> TableChunk {
        let values = Float64Array::from_iter_values((0..rows).map(|row| row as f64));
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(0..rows)), Arc::new(values)];
        TableChunk {
            table: "angles".to_owned(),
            key: Some(key.to_owned()),
            session: session.to_owned(),
            run_id: "r".to_owned(),
            rows: proprio_core::rows::batch(schema, columns),
            position: 0,
        }
    }

    #[test]
    fn a_chunk_gets_the_same_columns_whatever_came_before() {
        let stream = StreamSchema::new(vec![float("angle_deg", "deg")], &[], None);
        let other = StreamSchema::new(vec![float("flexion_deg", "deg")], &[], None);
        let columns = [float("angle_deg", "deg"), float("flexion_deg", "deg")].map(Arc::new);
        let spec = TableSpec {
            name: "angles".to_owned(),
            key: Some("joint".to_owned()),
            columns: Arc::new(Schema::new(columns.to_vec())),
            high_rate: true,
            operational: false,
        };
        let table = Arc::new(of_spec(&spec).expect("storable"));
        let mut fits = Fits::default();
        let chunks = [
            chunk(&stream, "one", "hip", 3),
            chunk(&other, "one", "knee", 7),
            chunk(&stream, "two", "hip", 2 * KEPT_ROWS as i64),
            chunk(&stream, "two", "knee", 0),
            chunk(&other, "one", "hip", 5),
        ];
        for chunk in &chunks {
            let anew = Fits::default().fitted(&table, chunk, "lab-1").expect("it fits");
            let fitted = fits.fitted(&table, chunk, "lab-1").expect("it fits");
            assert_eq!(fitted, anew);
            let texts = |name: &str| fitted.column_by_name(name).expect("a column").as_string::<i32>().clone();
            for (name, text) in [("joint", chunk.key.as_deref()), (SESSION, Some(&chunk.session)), (RIG, Some("lab-1")), (RUN, Some("r"))] {
                let texts = texts(name);
                assert_eq!(texts.len(), chunk.rows.num_rows());
                assert!(texts.iter().all(|held| held == text), "{name}");
            }
        }
        assert_eq!(fits.fits.len(), 2, "each pair of schemas is looked up once");
        let stranger = StreamSchema::new(vec![float("speed", "m/s")], &[], None);
        let refused = fits.fitted(&table, &chunk(&stranger, "one", "hip", 1), "lab-1").expect_err("a column too many").to_string();
        assert!(refused.contains("column `speed` is not declared"), "{refused}");
    }
}

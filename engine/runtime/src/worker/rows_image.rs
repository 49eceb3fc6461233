//! How waiting rows stand in a snapshot: as one Arrow IPC stream, so that every bit comes back.

use std::fmt;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::SchemaRef;
use proprio_core::rows;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

/// Batches of one stream, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(pub(super) Vec<RecordBatch>);

impl Rows {
    /// Adds rows; an empty batch is dropped.
    pub(super) fn push(&mut self, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.0.push(rows);
        }
    }

    /// All rows as one batch, when there are any.
    pub(super) fn take(&mut self, schema: &SchemaRef) -> Option<RecordBatch> {
        let batches = std::mem::take(&mut self.0);
        match batches.len() {
            0 => None,
            1 => batches.into_iter().next(),
            _ => Some(rows::concat(schema, &batches)),
        }
    }

    /// Whether all rows have the columns of `schema`; afterwards they share it.
    pub(super) fn fits(&mut self, schema: &SchemaRef) -> bool {
        self.0.iter_mut().all(|batch| {
            let fits = batch.schema_ref() == schema;
            if let Ok(own) = RecordBatch::try_new(schema.clone(), batch.columns().to_vec()) {
                *batch = own;
            }
            fits
        })
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(first) = self.0.first() else { return serializer.serialize_bytes(&[]) };
        let ipc = || {
            let schema = first.schema();
            let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
            writer.write(&rows::concat(&schema, &self.0))?;
            writer.into_inner()
        };
        serializer.serialize_bytes(&ipc().map_err(ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ipc;

        impl Visitor<'_> for Ipc {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an Arrow IPC stream")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Rows, E> {
                if bytes.is_empty() {
                    return Ok(Rows::default());
                }
                let batches = StreamReader::try_new(bytes, None).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                batches.map(Rows).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_bytes(Ipc)
    }
}

//! An Arrow IPC stream: a schema, then record batches. From Python:
//!
//! ```python
//! schema = pa.schema(fields, metadata={"boot": str(boot), "sequence": str(sequence)})
//! sink = pa.BufferOutputStream()
//! with pa.ipc.new_stream(sink, schema) as writer:
//!     writer.write_batch(batch)
//! publisher.put(sink.getvalue().to_pybytes(), encoding="application/vnd.apache.arrow.stream")
//! ```
//!
//! * `boot` and `sequence` are decimal numbers in the schema's metadata, or in the first batch's, which wins.
//! * The columns are those of the sensor's kind, by name, in any order: `time_ns` as `int64`, values as `float64` or
//!   `float32`, texts as `string` or `large_string`. A column that may miss values may be left out.
//! * A field's metadata may say its `unit`, which must then be the sensor's.
//! * No compression and no dictionaries: plain columns.
//!
//! The IPC reader of the `arrow-ipc` crate trusts lengths and types that a message claims: it allocates what `bodyLength`
//! says and panics on a buffer beyond the body. So the messages are walked and checked here, and only a record batch
//! that is known to be sound is handed to it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamWriter;
use arrow_ipc::{Endianness, Message, MessageHeader, Precision, Type};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use proprio_core::schema::{FieldExt, TIME, meta};
use proprio_core::{Rejection, Samples, Sensor, rows};

use super::{Layout, float_column, is_text, reject, samples};

const BOOT: &str = "boot";
const SEQUENCE: &str = "sequence";
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// Samples as an Arrow IPC stream with one batch; every column carries its unit.
///
/// # Errors
/// When `rows` hold a type that IPC doesn't take, which no wire schema does.
pub fn encode(boot: i64, sequence: i64, rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let slim = |field: &Arc<Field>| {
        let bare = Field::new(field.name(), field.data_type().clone(), true);
        field.meta(meta::UNIT).map_or(bare.clone(), |unit| bare.unit(unit))
    };
    let fields: Vec<_> = rows.schema().fields().iter().map(slim).collect();
    let metadata = [(BOOT, boot), (SEQUENCE, sequence)].map(|(key, value)| (key.to_owned(), value.to_string()));
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata.into()));
    let batch = RecordBatch::try_new(schema.clone(), rows.columns().to_vec())?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    writer.into_inner()
}

pub(super) fn decode(sensor: &Sensor, payload: &[u8]) -> Result<Samples, Rejection> {
    // Everything known to panic is checked before; should the crate know another way, it costs one message and no more.
    catch_unwind(AssertUnwindSafe(|| decode_checked(sensor, payload)))
        .unwrap_or_else(|_| Err(reject("garbage", "the Arrow reader gave up on it")))
}

pub(super) fn decode_checked(sensor: &Sensor, payload: &[u8]) -> Result<Samples, Rejection> {
    let stream = Stream::read(payload)?;
    let integer = |name: &str| {
        let text = stream.metadata.get(name).ok_or_else(|| reject("schema", format!("the stream's metadata has no `{name}`")))?;
        text.parse::<i64>().map_err(|_| reject("schema", format!("`{name}` is `{text}`, but must be a whole number")))
    };
    let (boot, sequence) = (integer(BOOT)?, integer(SEQUENCE)?);
    let batch = concat_batches(&stream.schema, &stream.batches).map_err(|error| garbage(&error))?;

    let layout = Layout::of(sensor);
    for name in stream.schema.fields().iter().map(|field| field.name()) {
        if layout.wire.index(name).is_none() {
            return Err(reject("schema", format!("`{name}` is no column of the sensor; they are {}", layout.names())));
        }
    }
    let columns = layout.fields().iter().map(|field| column(&batch, field)).collect::<Result<_, _>>()?;
    samples(boot, sequence, &layout, columns)
}

/// The column for `due`, in its type.
fn column(batch: &RecordBatch, due: &Field) -> Result<ArrayRef, Rejection> {
    let name = due.name();
    let Ok(index) = batch.schema_ref().index_of(name) else {
        return if due.is_nullable() {
            Ok(arrow_array::new_null_array(due.data_type(), batch.num_rows()))
        } else {
            Err(reject("schema", format!("column `{name}` is missing")))
        };
    };
    let (found, values) = (batch.schema_ref().field(index), batch.column(index));
    if let (Some(unit), Some(must)) = (found.meta(meta::UNIT), due.meta(meta::UNIT))
        && unit != must
    {
        return Err(reject("unit", format!("column `{name}` is in `{unit}`, but must be in `{must}`")));
    }
    match (due.data_type(), found.data_type()) {
        (DataType::Int64, DataType::Int64) | (DataType::Utf8, DataType::Utf8) => Ok(values.clone()),
        (DataType::Utf8, DataType::LargeUtf8) => Ok(Arc::new(values.as_string::<i64>().iter().collect::<StringArray>())),
        (DataType::Float64, DataType::Float64) => {
            let floats = values.as_primitive::<Float64Type>();
            Ok(float_column((0..floats.len()).map(|row| rows::float_or_nan(floats, row)).collect(), due))
        }
        (DataType::Float64, DataType::Float32) => {
            let floats = values.as_primitive::<Float32Type>();
            let value = |row: usize| if floats.is_null(row) { f64::NAN } else { f64::from(floats.value(row)) };
            Ok(float_column((0..floats.len()).map(value).collect(), due))
        }
        (_, other) => {
            let must = if name == TIME {
                "int64"
            } else if is_text(due) {
                "string"
            } else {
                "float64 or float32"
            };
            Err(reject("schema", format!("column `{name}` is {other}, but must be {must}")))
        }
    }
}

/// A whole stream, checked.
struct Stream {
    schema: SchemaRef,
    metadata: HashMap<String, String>,
    batches: Vec<RecordBatch>,
}

impl Stream {
    fn read(payload: &[u8]) -> Result<Self, Rejection> {
        let mut rest = payload;
        let first = next_message(&mut rest)?.ok_or_else(|| reject("garbage", "the stream is empty"))?;
        let mut stream = Self::begin(&first.message()?)?;
        while let Some(frame) = next_message(&mut rest)? {
            let message = frame.message()?;
            if message.header_type() != MessageHeader::RecordBatch {
                return Err(reject("schema", format!("a message of type {:?}; only record batches are taken", message.header_type())));
            }
            if stream.batches.is_empty() {
                stream.metadata.extend(key_values(message.custom_metadata()));
            }
            let batch = stream.batch(&message, frame.body)?;
            stream.batches.push(batch);
        }
        Ok(stream)
    }

    fn begin(message: &Message<'_>) -> Result<Self, Rejection> {
        let Some(schema) = message.header_as_schema() else { return Err(reject("garbage", "the stream doesn't begin with a schema")) };
        if schema.endianness() == Endianness::Big {
            return Err(reject("schema", "the stream is big-endian"));
        }
        let fields = schema.fields().into_iter().flatten().map(field).collect::<Result<Vec<_>, _>>()?;
        let metadata = key_values(schema.custom_metadata()).collect();
        Ok(Self { schema: Arc::new(Schema::new(fields)), metadata, batches: Vec::new() })
    }

    fn batch(&self, message: &Message<'_>, body: &[u8]) -> Result<RecordBatch, Rejection> {
        let Some(batch) = message.header_as_record_batch() else { return Err(reject("garbage", "a record batch without its header")) };
        if batch.compression().is_some() {
            return Err(reject("schema", "the stream is compressed; send it plain"));
        }
        if !self.lengths_are_sound(&batch, body.len()) {
            return Err(reject("garbage", "a record batch whose lengths don't fit its body"));
        }
        let body = Buffer::from(body);
        arrow_ipc::reader::read_record_batch(&body, batch, self.schema.clone(), &HashMap::new(), None, &message.version())
            .map_err(|error| garbage(&error))
    }

    /// Whether every column has a node of the batch's length, and all buffers of its type, long enough and inside the body.
    fn lengths_are_sound(&self, batch: &arrow_ipc::RecordBatch<'_>, body: usize) -> bool {
        // Every column takes bytes for each row, so more rows than bytes cannot be.
        let Some(rows) = usize::try_from(batch.length()).ok().filter(|rows| *rows <= body) else { return false };
        let mut buffers = batch.buffers().into_iter().flatten().map(|buffer| {
            let (start, length) = (usize::try_from(buffer.offset()).ok()?, usize::try_from(buffer.length()).ok()?);
            start.checked_add(length).is_some_and(|end| end <= body).then_some(length)
        });
        let mut has = |bytes: usize| buffers.next().flatten().is_some_and(|length| length >= bytes);
        let nodes: Vec<_> = batch.nodes().into_iter().flatten().collect();
        let nodes_fit = nodes.len() == self.schema.fields().len()
            && nodes.iter().all(|node| node.length() == batch.length() && (0..=node.length()).contains(&node.null_count()));
        nodes_fit
            && self.schema.fields().iter().zip(nodes).all(|(field, node)| {
                let validity = if node.null_count() > 0 { rows.div_ceil(8) } else { 0 };
                let offsets = if rows > 0 { rows + 1 } else { 0 };
                has(validity)
                    && match field.data_type() {
                        DataType::Utf8 => has(4 * offsets) && has(0),
                        DataType::LargeUtf8 => has(8 * offsets) && has(0),
                        DataType::Float32 => has(4 * rows),
                        _ => has(8 * rows),
                    }
            })
    }
}

/// One encapsulated message: its metadata in memory of its own, since flatbuffers wants it aligned, and its body.
struct Frame<'a> {
    metadata: Vec<u8>,
    body: &'a [u8],
}

impl Frame<'_> {
    fn message(&self) -> Result<Message<'_>, Rejection> {
        arrow_ipc::root_as_message(&self.metadata).map_err(|error| reject("garbage", error.to_string()))
    }
}

/// Takes the next message off the front; none at the end of the stream.
fn next_message<'a>(rest: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Rejection> {
    if rest.is_empty() {
        return Ok(None);
    }
    let cut = || reject("garbage", "the stream ends in the middle of a message");
    let mut word = take(rest, 4).ok_or_else(cut)?;
    if word == CONTINUATION {
        word = take(rest, 4).ok_or_else(cut)?;
    }
    let length = u32::from_le_bytes(word.try_into().map_err(|_| cut())?) as usize;
    if length == 0 {
        return Ok(None);
    }
    let mut frame = Frame { metadata: take(rest, length).ok_or_else(cut)?.to_vec(), body: &[] };
    let body = usize::try_from(frame.message()?.bodyLength()).map_err(|_| cut())?;
    frame.body = take(rest, body).ok_or_else(cut)?;
    Ok(Some(frame))
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (front, back) = rest.split_at_checked(bytes)?;
    *rest = back;
    Some(front)
}

/// A field of one of the types that sensors send; others are refused before anything of theirs is read.
fn field(found: arrow_ipc::Field<'_>) -> Result<Field, Rejection> {
    let name = found.name().unwrap_or_default();
    let precision = found.type_as_floating_point().map(|float| float.precision());
    let is_int64 = found.type_as_int().is_some_and(|integer| integer.bitWidth() == 64 && integer.is_signed());
    let data_type = match (found.type_type(), precision) {
        (Type::Int, _) if is_int64 => DataType::Int64,
        (Type::FloatingPoint, Some(Precision::DOUBLE)) => DataType::Float64,
        (Type::FloatingPoint, Some(Precision::SINGLE)) => DataType::Float32,
        (Type::Utf8, _) => DataType::Utf8,
        (Type::LargeUtf8, _) => DataType::LargeUtf8,
        (other, _) => {
            return Err(reject("schema", format!("column `{name}` has type {other:?}; taken are int64, float64, float32 and string")));
        }
    };
    if found.dictionary().is_some() {
        return Err(reject("schema", format!("column `{name}` is dictionary-encoded; send it plain")));
    }
    let unit = key_values(found.custom_metadata()).find_map(|(key, value)| (key == meta::UNIT).then_some(value));
    let field = Field::new(name, data_type, true);
    Ok(unit.map_or(field.clone(), |unit| field.unit(&unit)))
}

fn key_values<'a, I>(metadata: Option<I>) -> impl Iterator<Item = (String, String)>
where
    I: IntoIterator<Item = arrow_ipc::KeyValue<'a>>,
{
    metadata.into_iter().flatten().filter_map(|pair| Some((pair.key()?.to_owned(), pair.value()?.to_owned())))
}

fn garbage(error: &ArrowError) -> Rejection {
    reject("garbage", error.to_string())
}

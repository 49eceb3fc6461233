//! What does an ONNX file hold? The part of its protocol buffers (onnx.proto, IR version 3 to 10) that a network of dense layers needs.

use prost::Message;

/// 32-bit floats, among a tensor's types.
pub const FLOAT: i32 = 1;
/// 64-bit integers.
pub const INT64: i32 = 7;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// What is computed.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Which operations it is written in.
    #[prost(message, repeated, tag = "8")]
    pub operations: Vec<OperationSet>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub struct OperationSet {
    /// Whose they are; empty for ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Their version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// Operations, each after those whose outputs it reads.
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<Node>,
    /// Constants.
    #[prost(message, repeated, tag = "5")]
    pub constants: Vec<Tensor>,
    /// What goes in; older files name constants here, too.
    #[prost(message, repeated, tag = "11")]
    pub inputs: Vec<ValueInfo>,
    /// What comes out.
    #[prost(message, repeated, tag = "12")]
    pub outputs: Vec<ValueInfo>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Names of what it reads.
    #[prost(string, repeated, tag = "1")]
    pub inputs: Vec<String>,
    /// Names of what it gives.
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    /// The operation.
    #[prost(string, tag = "4")]
    pub operation: String,
    /// How it is done.
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<Attribute>,
    /// Whose operation it is; empty for ONNX's own.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, tag = "2")]
    pub float: f32,
    /// An integer.
    #[prost(int64, tag = "3")]
    pub integer: i64,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Its shape.
    #[prost(int64, repeated, tag = "1")]
    pub shape: Vec<i64>,
    /// [`FLOAT`], [`INT64`] or another type.
    #[prost(int32, tag = "2")]
    pub kind: i32,
    /// Floats, where `raw` is empty.
    #[prost(float, repeated, tag = "4")]
    pub floats: Vec<f32>,
    /// Integers, where `raw` is empty.
    #[prost(int64, repeated, tag = "7")]
    pub integers: Vec<i64>,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Numbers in little-endian order.
    #[prost(bytes = "vec", tag = "9")]
    pub raw: Vec<u8>,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it is.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Type>,
}

/// `TypeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// A tensor's type.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// [`FLOAT`] or another type.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Its shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Its dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dimensions: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// How many; 0 where it is open.
    #[prost(int64, tag = "1")]
    pub count: i64,
}

impl Tensor {
    /// Its numbers as 64-bit floats.
    ///
    /// # Errors
    /// In words for people: another type, or fewer numbers than its shape needs.
    pub fn values(&self) -> Result<Vec<f64>, String> {
        let values: Vec<f64> = match (self.kind, self.raw.is_empty()) {
            (FLOAT, true) => self.floats.iter().map(|value| f64::from(*value)).collect(),
            (FLOAT, false) => self.raw.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
            (INT64, true) => self.integers.iter().map(|value| *value as f64).collect(),
            (INT64, false) => self.raw.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
            (kind, _) => {
                return Err(format!("constant `{}` is of type {kind}; 32-bit floats (1) and 64-bit integers (7) are read", self.name));
            }
        };
        let due = self.shape.iter().try_fold(1_i64, |all, count| all.checked_mul(*count));
        if due != i64::try_from(values.len()).ok() {
            return Err(format!("constant `{}` has {} numbers, which its shape {:?} doesn't fit", self.name, values.len(), self.shape));
        }
        Ok(values)
    }
}

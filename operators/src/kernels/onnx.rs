//! What does an ONNX model make of a window of numbers? Its operations, one after the other, as plain loops over 64-bit floats.
//!
//! A general runtime picks its kernels when it runs, so that the last bits of a sum of products differ from one processor to another; a step must
//! give the same bytes everywhere. The operations of a network of dense layers are few, so they stand here, and a model with any other is refused
//! by name. Weights are read as they are; sums of 64-bit floats are nearer to the exact answer than those of 32 bits.

use std::collections::BTreeMap;

use prost::Message as _;

use super::onnx_file::{FLOAT, Graph, Model, Node, ValueInfo};

/// The oldest version of ONNX's own operations that is read: before it, shapes were fitted to each other by other rules.
const OLDEST_VERSION: i64 = 7;
/// Most numbers of a window.
const MOST_INPUTS: usize = 1 << 16;
/// Most numbers of anything in between, and most products of one operation.
const MOST_NUMBERS: usize = 1 << 22;
/// Most operations.
const MOST_NODES: usize = 256;
/// Most classes of an answer.
pub const MOST_CLASSES: usize = 64;
/// What may be computed.
const OPERATIONS: &str = "Add, Div, Flatten, Gemm, Identity, MatMul, Mul, Relu, Reshape, Sigmoid, Sub and Tanh";

/// A model that is ready to run.
#[derive(Clone, Debug)]
pub struct Network {
    graph: Graph,
    constants: BTreeMap<String, Array>,
    /// Rows of the window.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// Numbers of the answer.
    pub classes: usize,
}

/// Numbers in a shape, the last dimension the fastest.
#[derive(Clone, Debug, PartialEq)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Network {
    /// Reads a model of one input `[1, rows, columns]` and one output `[1, classes]` of 32-bit floats; the first dimension may be open.
    ///
    /// # Errors
    /// In words for people: what the model is instead.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let model = Model::decode(bytes).map_err(|_| "this is no ONNX file".to_owned())?;
        let mut graph = model.graph.filter(|graph| !graph.nodes.is_empty()).ok_or("this is no ONNX file, or it computes nothing")?;
        let version = model.operations.iter().find(|set| is_own(&set.domain)).map_or(0, |set| set.version);
        if version < OLDEST_VERSION {
            return Err(format!("the model is by version {version} of ONNX's operations; {OLDEST_VERSION} is the oldest that is read"));
        }
        if graph.nodes.len() > MOST_NODES {
            return Err(format!("the model has {} operations; {MOST_NODES} are the most", graph.nodes.len()));
        }
        let mut constants = BTreeMap::new();
        for tensor in std::mem::take(&mut graph.constants) {
            let shape = tensor.shape.iter().map(|count| usize::try_from(*count).unwrap_or(0)).collect();
            constants.insert(tensor.name.clone(), Array { shape, values: tensor.values()? });
        }
        graph.inputs.retain(|input| !constants.contains_key(&input.name));
        if (graph.inputs.len(), graph.outputs.len()) != (1, 1) {
            return Err(format!("the model has {} inputs and {} outputs; one of each is due", graph.inputs.len(), graph.outputs.len()));
        }
        let [rows, columns] = window(&graph.inputs[0])?;
        let network = Self { graph, constants, rows, columns, classes: 0 };
        let answer = network.run(&vec![0.0; rows * columns])?;
        match answer.shape[..] {
            [1, classes] if (2..=MOST_CLASSES).contains(&classes) => Ok(Self { classes, ..network }),
            _ => Err(format!("the model's output has the shape {:?}; [1, classes] is due, of 2 to {MOST_CLASSES} classes", answer.shape)),
        }
    }

    /// Probabilities of the classes: the model's output through the softmax. `window` is row by row; nothing where it or the answer isn't finite.
    pub fn probabilities(&self, window: &[f64]) -> Option<Vec<f64>> {
        if !window.iter().all(|value| value.is_finite()) {
            return None;
        }
        let scores = self.run(window).ok()?.values;
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let parts: Vec<f64> = scores.iter().map(|score| libm::exp(score - most)).collect();
        let sum: f64 = parts.iter().sum();
        (sum.is_finite() && sum > 0.0).then(|| parts.iter().map(|part| part / sum).collect())
    }

    fn run(&self, window: &[f64]) -> Result<Array, String> {
        let input = Array { shape: vec![1, self.rows, self.columns], values: window.to_vec() };
        let mut known: BTreeMap<&str, Array> = BTreeMap::from([(self.graph.inputs[0].name.as_str(), input)]);
        for node in &self.graph.nodes {
            let inputs: Result<Vec<&Array>, String> = node.inputs.iter().map(|name| self.value(&known, name)).collect();
            if node.operation == "Reshape" && !node.inputs.get(1).is_some_and(|shape| self.constants.contains_key(shape)) {
                return Err("operation Reshape: its shape is no constant".to_owned());
            }
            let answer = compute(node, &inputs?).map_err(|why| format!("operation {}: {why}", node.operation))?;
            if answer.values.len() > MOST_NUMBERS {
                return Err(format!("operation {} gives {} numbers; {MOST_NUMBERS} are the most", node.operation, answer.values.len()));
            }
            let name = node.outputs.first().ok_or_else(|| format!("operation {} gives nothing", node.operation))?;
            known.insert(name, answer);
        }
        self.value(&known, &self.graph.outputs[0].name).cloned()
    }

    fn value<'a>(&'a self, known: &'a BTreeMap<&str, Array>, name: &str) -> Result<&'a Array, String> {
        known.get(name).or_else(|| self.constants.get(name)).ok_or_else(|| format!("nothing gives `{name}`"))
    }
}

/// Whether operations of a domain are ONNX's own.
fn is_own(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// Rows and columns of the input.
fn window(input: &ValueInfo) -> Result<[usize; 2], String> {
    let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    let shape: Vec<i64> = tensor
        .and_then(|tensor| tensor.shape.as_ref())
        .map_or_else(Vec::new, |shape| shape.dimensions.iter().map(|dimension| dimension.count).collect());
    if tensor.is_none_or(|tensor| tensor.kind != FLOAT) {
        return Err(format!("the input `{}` is not of 32-bit floats", input.name));
    }
    let refuse = || format!("the input `{}` has the shape {shape:?}; [1, rows, columns] is due", input.name);
    let [0 | 1, rows, columns] = shape[..] else { return Err(refuse()) };
    let [rows, columns] = [rows, columns].map(|count| usize::try_from(count).unwrap_or(0));
    if (1..=MOST_INPUTS).contains(&rows.saturating_mul(columns)) { Ok([rows, columns]) } else { Err(refuse()) }
}

fn compute(node: &Node, inputs: &[&Array]) -> Result<Array, String> {
    let attribute = |name: &str| node.attributes.iter().find(|attribute| attribute.name == name);
    let integer = |name: &str, default: i64| attribute(name).map_or(default, |attribute| attribute.integer);
    let input = |n: usize| inputs.get(n).copied().ok_or_else(|| format!("it lacks input {n}"));
    let each = |of: fn(f64) -> f64| -> Result<Array, String> {
        let array = input(0)?;
        Ok(Array { shape: array.shape.clone(), values: array.values.iter().map(|value| of(*value)).collect() })
    };
    if !is_own(&node.domain) {
        return Err(format!("this one is of `{}`, and there are {OPERATIONS} of ONNX's own", node.domain));
    }
    match node.operation.as_str() {
        "Identity" => Ok(input(0)?.clone()),
        // What is no number stays none.
        "Relu" => each(|x| if x < 0.0 { 0.0 } else { x }),
        "Tanh" => each(libm::tanh),
        "Sigmoid" => each(|x| 1.0 / (1.0 + libm::exp(-x))),
        "Add" => pairwise(input(0)?, input(1)?, |a, b| a + b),
        "Sub" => pairwise(input(0)?, input(1)?, |a, b| a - b),
        "Mul" => pairwise(input(0)?, input(1)?, |a, b| a * b),
        "Div" => pairwise(input(0)?, input(1)?, |a, b| a / b),
        "Flatten" => {
            let array = input(0)?;
            let axis = usize::try_from(integer("axis", 1))
                .ok()
                .filter(|axis| *axis <= array.shape.len())
                .ok_or("its axis is none of the input's")?;
            let [before, after] = [&array.shape[..axis], &array.shape[axis..]].map(|part| part.iter().product());
            Ok(Array { shape: vec![before, after], values: array.values.clone() })
        }
        "Reshape" => reshape(input(0)?, &input(1)?.values, integer("allowzero", 0) != 0),
        "MatMul" => product(input(0)?, input(1)?, false, false),
        "Gemm" => {
            let scale = |name: &str| attribute(name).map_or(1.0, |attribute| f64::from(attribute.float));
            let mut found = product(input(0)?, input(1)?, integer("transA", 0) != 0, integer("transB", 0) != 0)?;
            found.values.iter_mut().for_each(|value| *value *= scale("alpha"));
            let Some(bias) = inputs.get(2) else { return Ok(found) };
            let bias = Array { shape: bias.shape.clone(), values: bias.values.iter().map(|value| value * scale("beta")).collect() };
            pairwise(&found, &bias, |a, b| a + b)
        }
        _ => Err(format!("this model needs it, and there are {OPERATIONS}")),
    }
}

/// Number by number; a dimension of one, or one that is missing in front, stands for all of the other's.
fn pairwise(a: &Array, b: &Array, of: impl Fn(f64, f64) -> f64) -> Result<Array, String> {
    let rank = a.shape.len().max(b.shape.len());
    let dimension = |array: &Array, at: usize| (at + array.shape.len()).checked_sub(rank).map_or(1, |own| array.shape[own]);
    let mut shape = Vec::with_capacity(rank);
    for at in 0..rank {
        shape.push(match (dimension(a, at), dimension(b, at)) {
            (own, other) if own == other || other == 1 => own,
            (1, other) => other,
            _ => return Err(format!("the shapes {:?} and {:?} don't fit", a.shape, b.shape)),
        });
    }
    let count: usize = shape.iter().product();
    if count > MOST_NUMBERS {
        return Err(format!("it gives {count} numbers"));
    }
    // The place in an array of the number at a place in the result.
    let place = |array: &Array, mut index: usize| {
        let (mut at, mut stride) = (0, 1);
        for dimension_at in (0..rank).rev() {
            let here = index % shape[dimension_at];
            index /= shape[dimension_at];
            let own = dimension(array, dimension_at);
            at += if own == 1 { 0 } else { here * stride };
            stride *= own;
        }
        at
    };
    let values = (0..count).map(|index| of(a.values[place(a, index)], b.values[place(b, index)])).collect();
    Ok(Array { shape, values })
}

/// A product of two matrices, either transposed or not.
fn product(a: &Array, b: &Array, turns_a: bool, turns_b: bool) -> Result<Array, String> {
    let (&[a_rows, a_columns], &[b_rows, b_columns]) = (&a.shape[..], &b.shape[..]) else {
        return Err(format!("the shapes {:?} and {:?} are no matrices", a.shape, b.shape));
    };
    let (rows, inner) = if turns_a { (a_columns, a_rows) } else { (a_rows, a_columns) };
    let (other, columns) = if turns_b { (b_columns, b_rows) } else { (b_rows, b_columns) };
    if inner != other || rows.saturating_mul(inner).saturating_mul(columns) > MOST_NUMBERS {
        return Err(format!("the shapes {:?} and {:?} don't fit, or are too large", a.shape, b.shape));
    }
    let at_a = |row: usize, k: usize| a.values[if turns_a { k * a_columns + row } else { row * a_columns + k }];
    let at_b = |k: usize, column: usize| b.values[if turns_b { column * b_columns + k } else { k * b_columns + column }];
    let sum = |place: usize| (0..inner).fold(0.0, |sum, k| sum + at_a(place / columns, k) * at_b(k, place % columns));
    Ok(Array { shape: vec![rows, columns], values: (0..rows * columns).map(sum).collect() })
}

/// The same numbers in another shape: 0 keeps a dimension, unless it stands for itself, and −1 takes what is left.
fn reshape(array: &Array, wanted: &[f64], is_zero_zero: bool) -> Result<Array, String> {
    let refuse = || format!("the shape {:?} can't become {wanted:?}", array.shape);
    let mut shape: Vec<usize> = Vec::new();
    let mut open = None;
    for (at, count) in wanted.iter().enumerate() {
        shape.push(match *count {
            0.0 if !is_zero_zero => *array.shape.get(at).ok_or_else(refuse)?,
            -1.0 if open.is_none() => {
                open = Some(at);
                1
            }
            count if count > 0.0 => count as usize,
            _ => return Err(refuse()),
        });
    }
    let count = |shape: &[usize]| shape.iter().try_fold(1_usize, |all, count| all.checked_mul(*count));
    if let (Some(at), Some(others)) = (open, count(&shape).filter(|others| *others > 0)) {
        shape[at] = array.values.len() / others;
    }
    if count(&shape) == Some(array.values.len()) { Ok(Array { shape, values: array.values.clone() }) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], values: &[f64]) -> Array {
        Array { shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn operations_do_what_the_standard_says() {
        let (a, b) = (array(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), array(&[2, 3], &[1.0, 0.0, 2.0, 0.0, 1.0, 1.0]));
        assert_eq!(product(&a, &b, false, false), Ok(array(&[2, 3], &[1.0, 2.0, 4.0, 3.0, 4.0, 10.0])));
        assert_eq!(product(&b, &a, true, true), Ok(array(&[3, 2], &[1.0, 3.0, 2.0, 4.0, 4.0, 10.0])));
        assert!(product(&b, &a, false, false).is_err());
        let row = array(&[2], &[10.0, 20.0]);
        assert_eq!(pairwise(&a, &row, |a, b| a + b), Ok(array(&[2, 2], &[11.0, 22.0, 13.0, 24.0])));
        assert_eq!(pairwise(&array(&[2, 1], &[1.0, 2.0]), &row, |a, b| a * b), Ok(array(&[2, 2], &[10.0, 20.0, 20.0, 40.0])));
        assert!(pairwise(&a, &array(&[3], &[0.0; 3]), |a, _| a).is_err());
        assert_eq!(reshape(&b, &[-1.0, 2.0], false).map(|found| found.shape), Ok(vec![3, 2]));
        assert_eq!(reshape(&b, &[0.0, -1.0], false).map(|found| found.shape), Ok(vec![2, 3]));
        for (wanted, is_zero_zero) in
            [(&[4.0][..], false), (&[-1.0, -1.0], false), (&[0.0, -1.0], true), (&[-1.0, 4.0], false), (&[1.0, 1.0, 0.0], false)]
        {
            assert!(reshape(&b, wanted, is_zero_zero).is_err(), "{wanted:?}");
        }
    }

    #[test]
    fn what_is_no_such_model_is_refused_in_words() {
        assert!(Network::read(b"").is_err_and(|why| why.contains("computes nothing")));
        assert!(Network::read(&[0xff; 40]).is_err_and(|why| why.contains("no ONNX file")));
        let node = Node { operation: "Conv".to_owned(), ..Node::default() };
        assert!(compute(&node, &[]).is_err_and(|why| why.contains("Gemm")));
    }
}

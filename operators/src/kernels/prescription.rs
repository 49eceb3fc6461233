//! What does a `progression` step have in force? Its rows, told from other streams by their columns.

use arrow_array::{Array, RecordBatch};
use proprio_core::{Port, TimeNs, rows};

/// Scope of the rows that tell what holds from their time on.
pub const IN_FORCE: &str = "in force";

/// Where a step's prescription stands among the inputs of another one.
#[derive(Clone, Debug)]
pub struct Prescription {
    /// Which input.
    pub port: usize,
    scope: usize,
    parameter: usize,
    value: usize,
    /// Which of the parameters are followed.
    names: Vec<String>,
}

impl Prescription {
    /// The input that has the columns of a `progression` step, if there is one.
    pub fn among(ports: &[Port], names: &[String]) -> Option<Self> {
        ports.iter().enumerate().find_map(|(port, input)| {
            let index = |name: &str| input.schema.index(name);
            index("proposed")?;
            Some(Self { port, scope: index("scope")?, parameter: index("parameter")?, value: index("value")?, names: names.to_vec() })
        })
    }

    /// The values that the parameters take, each from its time on.
    pub fn of(&self, batch: &RecordBatch) -> Vec<(TimeNs, String, f64)> {
        let (scopes, parameters) = (rows::strings(batch, self.scope), rows::strings(batch, self.parameter));
        let values = rows::floats(batch, self.value);
        let is_own = |row: &usize| scopes.value(*row) == IN_FORCE && self.names.iter().any(|name| name == parameters.value(*row));
        let own = (0..batch.num_rows()).filter(is_own).filter(|row| values.is_valid(*row));
        own.map(|row| (rows::times(batch)[row], parameters.value(row).to_owned(), values.value(row))).collect()
    }
}

//! What do a test's earlier sessions leave to the next one? What `session start --carry` would find in the tables.

use std::collections::BTreeMap;

use anyhow::Context as _;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use proprio_core::{Carried, TableChunk};
use proprio_operators::kernels::expression::Expression;
use proprio_runtime::{Plan, PlannedStep};

/// By step's stream and by the texts of its keys: the newest row that can be carried over, and the session that gave it.
#[derive(Debug, Default)]
pub struct Earlier(BTreeMap<(String, Vec<String>), Carried>);

impl Earlier {
    /// Takes what a session gave.
    ///
    /// # Errors
    /// When a step's condition is beyond expressions of a pipeline, or a value has no text.
    pub fn add(&mut self, plan: &Plan, session: &str, chunks: &[TableChunk]) -> anyhow::Result<()> {
        for step in &plan.steps {
            let (Some(condition), Some(table)) = (&step.planned.carries, &step.table) else { continue };
            for chunk in chunks.iter().filter(|chunk| chunk.table == *table && chunk.key == step.key) {
                self.add_rows(step, condition, session, &chunk.rows)?;
            }
        }
        Ok(())
    }

    fn add_rows(&mut self, step: &PlannedStep, condition: &str, session: &str, rows: &RecordBatch) -> anyhow::Result<()> {
        let schema = &step.planned.output;
        let condition = Expression::condition(condition, rows.schema_ref())
            .map_err(|errors| anyhow::anyhow!("{}: {}", step.stream, errors[0].message))?
            .holds(rows);
        for row in (0..rows.num_rows()).filter(|row| condition.is_valid(*row) && condition.value(*row)) {
            let text = |key: &String| {
                let column = rows.column_by_name(key).with_context(|| format!("{} has no {key}", step.stream))?;
                Ok(array_value_to_string(column, row)?)
            };
            let keys = schema.keys.iter().map(text).collect::<anyhow::Result<_>>()?;
            self.0.insert((step.stream.clone(), keys), Carried::of(&step.stream, session, schema, &rows.slice(row, 1))?);
        }
        Ok(())
    }

    /// What the next session's start holds.
    pub fn carried(&self) -> Vec<Carried> {
        self.0.values().cloned().collect()
    }
}

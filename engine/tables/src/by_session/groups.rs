//! What is known of the session whose rows come? Its groups, until the next session's first row.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::filter::filter;
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::runs;

/// A session's groups are given away when they are so many: the second step unites them.
const MOST_GROUPS: usize = 16 << 10;

/// The groups of one session, by what else they go by.
pub(super) struct Grouping {
    pub(super) schema: SchemaRef,
    functions: Vec<Arc<AggregateFunctionExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    group: Vec<Arc<dyn PhysicalExpr>>,
    session: usize,
    current: Option<Option<String>>,
    states: States,
    memory: MemoryReservation,
}

/// What the functions have gathered of one session.
enum States {
    /// It is one group.
    One(Vec<Box<dyn Accumulator>>),
    /// Its groups by the other columns.
    Many { values: Box<dyn GroupValues>, functions: Vec<Box<dyn GroupsAccumulator>>, places: Vec<usize> },
}

impl Grouping {
    pub(super) fn new(step: &AggregateExec, session: usize, memory: MemoryReservation) -> Result<Self> {
        let functions = step.aggr_expr().to_vec();
        let group: Vec<_> = step.group_expr().expr().iter().map(|(expr, _)| expr.clone()).collect();
        let mut grouping = Self {
            schema: step.schema(),
            arguments: functions.iter().map(|function| function.expressions()).collect(),
            filters: step.filter_expr().to_vec(),
            functions,
            group,
            session,
            current: None,
            states: States::One(Vec::new()),
            memory,
        };
        grouping.states = grouping.nothing()?;
        Ok(grouping)
    }

    fn nothing(&self) -> Result<States> {
        if self.group.len() == 1 {
            return Ok(States::One(self.functions.iter().map(|function| function.create_accumulator()).collect::<Result<_>>()?));
        }
        let others = (0..self.group.len()).filter(|column| *column != self.session);
        let others = Arc::new(Schema::new(others.map(|column| self.schema.field(column).clone()).collect::<Vec<_>>()));
        let functions = self.functions.iter().map(|function| function.create_groups_accumulator()).collect::<Result<_>>()?;
        Ok(States::Many { values: new_group_values(others, &GroupOrdering::None)?, functions, places: Vec::new() })
    }

    /// Takes in rows; what they end is given.
    pub(super) fn take(&mut self, batch: &RecordBatch, given: &mut VecDeque<RecordBatch>) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let array = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let group = self.group.iter().map(array).collect::<Result<Vec<_>>>()?;
        let arguments = self.arguments.iter().map(|of| of.iter().map(array).collect()).collect::<Result<Vec<Vec<_>>>>()?;
        let filters = self.filters.iter().map(|filter| filter.as_ref().map(array).transpose()).collect::<Result<Vec<_>>>()?;
        let sessions = group[self.session].clone();
        for (run, name) in runs(&sessions)? {
            if self.current.as_ref().is_none_or(|current| current.as_deref() != name) {
                self.give(given)?;
                self.current = Some(name.map(str::to_owned));
            }
            self.add(&run, &group, &arguments, &filters)?;
            if matches!(&self.states, States::Many { values, .. } if values.len() > MOST_GROUPS) {
                let current = self.current.clone();
                self.give(given)?;
                self.current = current;
            }
        }
        self.memory.try_resize(self.states.size() + given.iter().map(RecordBatch::get_array_memory_size).sum::<usize>())
    }

    fn add(&mut self, run: &Range<usize>, group: &[ArrayRef], arguments: &[Vec<ArrayRef>], filters: &[Option<ArrayRef>]) -> Result<()> {
        let of_run = |array: &ArrayRef| array.slice(run.start, run.len());
        let chosen = |filter: &Option<ArrayRef>| filter.as_ref().map(|filter| of_run(filter).as_boolean().clone());
        match &mut self.states {
            States::One(functions) => {
                for ((function, arguments), condition) in functions.iter_mut().zip(arguments).zip(filters) {
                    let mut arguments: Vec<ArrayRef> = arguments.iter().map(of_run).collect();
                    if let Some(chosen) = chosen(condition) {
                        arguments = arguments.iter().map(|values| filter(values, &chosen)).collect::<Result<_, _>>()?;
                    }
                    function.update_batch(&arguments)?;
                }
            }
            States::Many { values, functions, places } => {
                let others = group.iter().enumerate().filter(|(column, _)| *column != self.session);
                let others: Vec<ArrayRef> = others.map(|(_, array)| of_run(array)).collect();
                values.intern(&others, places)?;
                for ((function, arguments), condition) in functions.iter_mut().zip(arguments).zip(filters) {
                    let arguments: Vec<ArrayRef> = arguments.iter().map(of_run).collect();
                    let chosen: Option<BooleanArray> = chosen(condition);
                    function.update_batch(&arguments, places, chosen.as_ref(), values.len())?;
                }
            }
        }
        Ok(())
    }

    /// Gives the groups of the session that has come, and forgets them.
    pub(super) fn give(&mut self, given: &mut VecDeque<RecordBatch>) -> Result<()> {
        let Some(session) = self.current.take() else { return Ok(()) };
        let nothing = self.nothing()?;
        let (mut columns, states, rows) = match std::mem::replace(&mut self.states, nothing) {
            States::One(functions) => {
                let mut states = Vec::new();
                for mut function in functions {
                    states.extend(function.state()?.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>>>()?);
                }
                (Vec::new(), states, 1)
            }
            States::Many { mut values, functions, .. } => {
                let rows = values.len();
                let mut states = Vec::new();
                for mut function in functions {
                    states.extend(function.state(EmitTo::All)?);
                }
                (values.emit(EmitTo::All)?, states, rows)
            }
        };
        columns.insert(self.session, ScalarValue::Utf8(session).to_array_of_size(rows)?);
        columns.extend(states);
        given.push_back(RecordBatch::try_new(self.schema.clone(), columns)?);
        Ok(())
    }
}

impl States {
    fn size(&self) -> usize {
        match self {
            Self::One(functions) => functions.iter().map(|function| function.size()).sum(),
            Self::Many { values, functions, places } => {
                values.size() + functions.iter().map(|function| function.size()).sum::<usize>() + size_of_val(places.as_slice())
            }
        }
    }
}

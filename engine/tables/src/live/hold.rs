//! Which rows of a followed table wait, since their window is open still?

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use proprio_core::TimeNs;
use proprio_core::schema::TIME;
use proprio_core::table::Reached;

use super::plan::HoldKey;
use crate::error::TablesError;
use crate::schema::{SESSION, TIME_UTC};

/// What open windows may hold.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// The rows of one table that wait.
#[derive(Debug)]
pub(crate) struct Hold {
    table: String,
    key: HoldKey,
    /// `time`, `time_ns` and `session`.
    columns: SchemaRef,
    waiting: Vec<RecordBatch>,
    bytes: usize,
    /// The session that was open, and the first window of it that was not complete.
    passed: Option<(String, Option<ScalarValue>)>,
}

impl Hold {
    /// Nothing waits in a table with these columns.
    pub(crate) fn new(table: &str, key: HoldKey, columns: &Schema) -> Self {
        let fields = [TIME_UTC, TIME, SESSION].map(|name| columns.field_with_name(name).expect("every table has it").clone());
        let columns = Arc::new(Schema::new(fields.to_vec()));
        Self { table: table.to_owned(), key, columns, waiting: Vec::new(), bytes: 0, passed: None }
    }

    /// The window of an instant.
    pub(crate) fn window_at(&self, time_ns: TimeNs, session: &SessionState) -> Result<ScalarValue, TablesError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from(vec![time_ns.div_euclid(1000)]).with_timezone("UTC")),
            Arc::new(Int64Array::from(vec![time_ns])),
            Arc::new(StringArray::from(vec![""])),
        ];
        let row = RecordBatch::try_new(self.columns.clone(), columns)?;
        let value = self.evaluate(self.key.key.clone(), &row, session)?;
        Ok(ScalarValue::try_from_array(&value, 0)?)
    }

    /// Rows of this window or a later one.
    pub(crate) fn beginning_at(&self, window: ScalarValue) -> Expr {
        self.key.key.clone().gt_eq(lit(window))
    }

    /// Rows of which no window is open; `None` when that is every row.
    pub(crate) fn complete(&self, reached: Option<&Reached>, session: &SessionState) -> Result<Option<Expr>, TablesError> {
        let Some(reached) = reached else { return Ok(None) };
        Ok(self.open_window(reached, session)?.map(|window| self.is_complete(&reached.session, window)))
    }

    /// Whether rows wait for the others of their window, and not each for itself.
    pub(crate) fn is_window(&self) -> bool {
        self.key.is_window
    }

    /// Up to which time every row has come that these wait for, in the open session; `None` when that isn't known before its end. A
    /// table without a watermark is looked up as it stands.
    pub(crate) fn watermark(&self, reached: &Reached) -> Option<TimeNs> {
        let of = |table: &String| reached.watermarks.get(table).copied();
        let own = if self.key.is_window { of(&self.table)? } else { i64::MAX };
        Some(self.key.as_of.iter().filter_map(of).fold(own, i64::min))
    }

    /// Rows that were there before wait too.
    pub(crate) fn seed(&mut self, rows: Vec<RecordBatch>, reached: Option<&Reached>, session: &SessionState) -> Result<(), TablesError> {
        for rows in rows {
            self.wait(rows)?;
        }
        if let Some(reached) = reached {
            self.passed = Some((reached.session.clone(), self.open_window(reached, session)?.flatten()));
        }
        Ok(())
    }

    /// Takes in rows that have come; gives those of windows that are complete by now, and how many came after theirs was.
    pub(crate) fn pass(
        &mut self,
        rows: Vec<RecordBatch>,
        reached: Option<&Reached>,
        session: &SessionState,
    ) -> Result<(Vec<RecordBatch>, u64), TablesError> {
        let (mut passed, mut late) = (Vec::new(), 0);
        for rows in rows {
            let rows = match self.passed.clone() {
                Some((open, Some(window))) if self.key.is_window => {
                    let is_late = ident(SESSION).eq(lit(open.as_str())).and(self.key.key.clone().lt(lit(window)));
                    let (gone, rows) = self.split(&rows, is_late, session)?;
                    late += gone.num_rows() as u64;
                    rows
                }
                _ => rows,
            };
            self.wait(rows)?;
        }
        let Some(reached) = reached else { return Ok((passed, late)) };
        let window = self.open_window(reached, session)?;
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        for rows in waiting {
            let (now, later) = match &window {
                None => (rows, None),
                Some(window) => {
                    let (now, later) = self.split(&rows, self.is_complete(&reached.session, window.clone()), session)?;
                    (now, Some(later))
                }
            };
            if now.num_rows() > 0 {
                passed.push(now);
            }
            later.map_or(Ok(()), |later| self.wait(later))?;
        }
        self.passed = Some((reached.session.clone(), window.flatten()));
        Ok((passed, late))
    }

    fn wait(&mut self, rows: RecordBatch) -> Result<(), TablesError> {
        if rows.num_rows() > 0 {
            self.bytes += crate::hot::rows_bytes(&rows);
            self.waiting.push(rows);
        }
        if self.bytes > WAITING_BYTES_MAX {
            return Err(TablesError::WideWindow { table: self.table.clone(), bytes: WAITING_BYTES_MAX });
        }
        Ok(())
    }

    /// The first window of the open session that is not complete: `Some(None)` when nothing is known of it, `None` when all are.
    fn open_window(&self, reached: &Reached, session: &SessionState) -> Result<Option<Option<ScalarValue>>, TablesError> {
        match self.watermark(reached) {
            Some(i64::MAX) => Ok(None),
            Some(watermark) if watermark > i64::MIN => Ok(Some(Some(self.window_at(watermark + 1, session)?))),
            _ => Ok(Some(None)),
        }
    }

    /// Rows of other sessions are complete: theirs have ended.
    fn is_complete(&self, open: &str, window: Option<ScalarValue>) -> Expr {
        let ended = ident(SESSION).not_eq(lit(open));
        match window {
            None => ended,
            Some(window) => ended.or(self.key.key.clone().lt(lit(window))),
        }
    }

    /// The rows that meet a condition, and the others.
    fn split(&self, rows: &RecordBatch, condition: Expr, session: &SessionState) -> Result<(RecordBatch, RecordBatch), TablesError> {
        let met = self.evaluate(condition, rows, session)?;
        let met = met.as_boolean();
        let others = BooleanArray::from_iter(met.iter().map(|met| Some(met != Some(true))));
        Ok((filter_record_batch(rows, met)?, filter_record_batch(rows, &others)?))
    }

    fn evaluate(&self, expr: Expr, rows: &RecordBatch, session: &SessionState) -> Result<ArrayRef, TablesError> {
        let columns = self.columns.fields().iter().map(|field| rows.column_by_name(field.name()).expect("every table has it").clone());
        let narrow = RecordBatch::try_new(self.columns.clone(), columns.collect())?;
        let expr = session.create_physical_expr(expr, &DFSchema::try_from(self.columns.clone())?)?;
        Ok(expr.evaluate(&narrow)?.into_array(narrow.num_rows())?)
    }
}

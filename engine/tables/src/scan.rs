//! How are the Parquet files of one version read: which of them, side by side or one after the other, and in which order?
//!
//! A file's rows stand by session, time and key (`append`). Files that don't overlap in that order are read one after the
//! other, so that what is asked in the order of time is merged and never sorted.

use std::cmp::Reverse;
use std::sync::{Arc, OnceLock};

use arrow_array::BooleanArray;
use arrow_schema::{Schema, SchemaRef, SortOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, SplitPoint, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, RangePartitioning};
use deltalake_core::DeltaTable;
use proprio_core::schema::TIME;

use crate::files::{Files, Place};
use crate::schema::{self, SESSION};

/// How rows stand in a file.
pub(crate) const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };
/// So many files are open at once for the sake of order; where more overlap, rows come unordered.
const WIDEST_MERGE: usize = 32;
/// Lists of `IN` up to here pass over files.
const LONGEST_LIST: usize = 64;

/// Files of one version of a Delta table, as a query reads them.
#[derive(Clone, Debug)]
pub(crate) struct ColdScan {
    version: Arc<Version>,
    /// Only these; all when absent.
    only: Option<Arc<[usize]>>,
}

#[derive(Debug)]
struct Version {
    table: DeltaTable,
    /// Columns in SQL.
    schema: SchemaRef,
    /// Read when the first query comes: commit rounds make many versions that nobody asks.
    files: OnceLock<Result<Files, Arc<DataFusionError>>>,
}

impl ColdScan {
    pub(crate) fn of(table: DeltaTable, schema: SchemaRef) -> Self {
        Self { version: Arc::new(Version { table, schema, files: OnceLock::new() }), only: None }
    }

    /// The same version's files at some places of its list.
    pub(crate) fn only(&self, files: Vec<usize>) -> Self {
        Self { version: self.version.clone(), only: Some(files.into()) }
    }

    /// Every file of the version.
    pub(crate) fn files(&self) -> Result<&Files> {
        let Version { table, schema, files } = self.version.as_ref();
        let files = files.get_or_init(|| Files::of(table, schema).map_err(Arc::new));
        files.as_ref().map_err(|error| DataFusionError::Shared(error.clone()))
    }

    /// The files that may hold rows of which every filter is true.
    pub(crate) fn matching(&self, session: &dyn Session, filters: &[Expr]) -> Result<Vec<usize>> {
        let files = self.files()?;
        let all: Vec<usize> = self.only.as_ref().map_or_else(|| (0..files.list.len()).collect(), |only| only.to_vec());
        let Some(condition) = conjunction(filters.iter().cloned()) else { return Ok(all) };
        let schema = DFSchema::try_from(self.version.schema.clone())?;
        let condition = session.create_physical_expr(condition, &schema)?;
        // What statistics can't answer passes over no file.
        let pruning = PruningPredicateBuilder::new().with_file_schema(self.version.schema.clone()).with_max_in_list_size(LONGEST_LIST);
        let Some(condition) = pruning.build(condition) else { return Ok(all) };
        let may_hold = BooleanArray::from(condition.prune(files)?);
        Ok(all.into_iter().filter(|file| may_hold.value(*file)).collect())
    }

    fn read(&self, session: &dyn Session, chosen: &[usize], wanted: &SchemaRef, limit: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files()?;
        let read = with_order_columns(wanted, &self.version.schema);
        let target = session.config().target_partitions();
        let (chains, splits) = match by_session(files, chosen, target) {
            Some((parts, splits)) => (Some(parts), Some(splits)),
            None => (chains(files, chosen, target), None),
        };
        let is_ordered = chains.is_some();
        let chains = chains.unwrap_or_else(|| shares(files, chosen, target));
        let file = |file: &usize| -> Result<PartitionedFile> {
            let statistics = Arc::new(files.statistics(*file, &read)?);
            Ok(PartitionedFile::new_from_meta(files.list[*file].meta.clone()).with_statistics(statistics))
        };
        let group = |chain: Vec<usize>| -> Result<FileGroup> {
            let group = chain.iter().map(file).collect::<Result<Vec<_>>>()?;
            let statistics = Statistics::try_merge_iter(group.iter().filter_map(|file| file.statistics.as_deref()), &read)?;
            Ok(FileGroup::new(group).with_statistics(Arc::new(statistics)))
        };
        let groups = chains.into_iter().map(group).collect::<Result<Vec<_>>>()?;
        let statistics = Statistics::try_merge_iter(groups.iter().filter_map(|group| group.file_statistics(None)), &read)?;

        let runtime = session.runtime_env();
        let store_url = store_url(&self.version.table)?;
        runtime.register_object_store(store_url.as_ref(), self.version.table.log_store().root_object_store(None));
        // Footers are kept from query to query.
        let readers =
            CachedParquetFileReaderFactory::new(runtime.object_store(&store_url)?, runtime.cache_manager.get_file_metadata_cache());
        let options = TableParquetOptions { global: session.config_options().execution.parquet.clone(), ..TableParquetOptions::default() };
        let source = ParquetSource::new(read.clone())
            .with_table_parquet_options(options)
            .with_bloom_filter_on_read(false)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let config = FileScanConfigBuilder::new(store_url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_limit(limit)
            .with_output_ordering(if is_ordered { orderings(&read) } else { Vec::new() })
            .with_output_partitioning(splits.map(|splits| ranges(&read, &splits)).transpose()?)
            .with_projection_indices(Some((0..wanted.fields().len()).collect()))?;
        Ok(DataSourceExec::from_data_source(config.build()))
    }
}

#[async_trait]
impl TableProvider for ColdScan {
    fn schema(&self) -> SchemaRef {
        self.version.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters pass over files, row groups and pages; the rows that remain are filtered once more.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(columns) => Arc::new(self.version.schema.project(columns)?),
            None => self.version.schema.clone(),
        };
        let chosen = self.matching(session, filters)?;
        if chosen.is_empty() {
            return Ok(Arc::new(EmptyExec::new(wanted)));
        }
        self.read(session, &chosen, &wanted, limit)
    }
}

/// The columns that rows stand in order by, as they are in every file.
pub(crate) fn order_columns(schema: &Schema) -> impl Iterator<Item = &str> {
    [Some(SESSION), Some(TIME), schema::key(schema)].into_iter().flatten()
}

/// The wanted columns, and behind them those of the order that are lacking, which alone say that it holds.
fn with_order_columns(wanted: &SchemaRef, schema: &Schema) -> SchemaRef {
    let lacking = order_columns(schema).filter(|name| wanted.index_of(name).is_err());
    let lacking = lacking.filter_map(|name| schema.field_with_name(name).ok().cloned().map(Arc::new));
    Arc::new(Schema::new(wanted.fields().iter().cloned().chain(lacking).collect::<Vec<_>>()))
}

/// The order by all of its columns, and without the key: where a file's keys are all null, the log gives no bounds of them.
fn orderings(columns: &Schema) -> Vec<LexOrdering> {
    let sorted = |name: &str| {
        let index = columns.index_of(name).ok()?;
        Some(PhysicalSortExpr::new(Arc::new(Column::new(name, index)), ASCENDING))
    };
    let order: Vec<PhysicalSortExpr> = order_columns(columns).filter_map(sorted).collect();
    [order.len(), 2].into_iter().filter_map(|columns| LexOrdering::new(order.iter().take(columns).cloned())).collect()
}

/// `target` parts of about the same size, each in the order of rows and each with sessions of its own, and the first session of
/// each part but the first. `None` where files overlap or a few sessions have most of the rows.
fn by_session<'a>(files: &'a Files, chosen: &[usize], target: usize) -> Option<(Vec<Vec<usize>>, Vec<&'a str>)> {
    let mut spans = chosen.iter().map(|file| Some((files.span(*file)?, *file))).collect::<Option<Vec<_>>>()?;
    spans.sort_unstable();
    let bytes = |file: usize| files.list[file].meta.size;
    let all: u64 = spans.iter().map(|(_, file)| bytes(*file)).sum();
    let (mut parts, mut splits, mut done, mut last) = (vec![Vec::new()], Vec::new(), 0, None::<Place<'_>>);
    for (span, file) in &spans {
        if let Some(last) = last {
            if last >= span.first {
                return None;
            }
            let is_full = done * target as u64 >= all * parts.len() as u64;
            if is_full && last.0 < span.first.0 {
                parts.push(Vec::new());
                splits.push(span.first.0);
            }
        }
        last = Some(span.last);
        parts.last_mut()?.push(*file);
        done += bytes(*file);
    }
    let largest = parts.iter().map(|part| part.iter().map(|file| bytes(*file)).sum::<u64>()).max()?;
    (parts.len() == target && largest * target as u64 <= all * 3 / 2).then_some((parts, splits))
}

/// What tells the optimizer that no session is in two parts.
fn ranges(columns: &Schema, splits: &[&str]) -> Result<Partitioning> {
    let session = PhysicalSortExpr::new(Arc::new(Column::new(SESSION, columns.index_of(SESSION)?)), ASCENDING);
    let splits = splits.iter().map(|session| SplitPoint::new(vec![ScalarValue::from(*session)])).collect();
    Ok(Partitioning::Range(RangePartitioning::try_new([session].into(), splits)?))
}

/// Files in chains, each in the order of rows and without overlap, over at least `target` of them where there are as many files.
/// `None` when more files overlap than may be open at once.
fn chains(files: &Files, chosen: &[usize], target: usize) -> Option<Vec<Vec<usize>>> {
    let mut spans = Vec::with_capacity(chosen.len());
    let mut chains: Vec<(Option<Place<'_>>, Vec<usize>)> = Vec::new();
    for file in chosen {
        match files.span(*file) {
            Some(span) => spans.push((span, *file)),
            // It is in order, but nobody knows between which others.
            None => chains.push((None, vec![*file])),
        }
    }
    spans.sort_unstable();
    for (span, file) in spans {
        if chains.len() > WIDEST_MERGE.max(target) {
            return None;
        }
        let is_wide = chains.len() >= target;
        let fitting = chains.iter_mut().filter(|(last, _)| is_wide && last.is_some_and(|last| last < span.first));
        match fitting.min_by_key(|(_, chain)| chain.len()) {
            Some((last, chain)) => {
                *last = Some(span.last);
                chain.push(file);
            }
            None => chains.push((Some(span.last), vec![file])),
        }
    }
    (chains.len() <= WIDEST_MERGE.max(target)).then(|| chains.into_iter().map(|(_, chain)| chain).collect())
}

/// The files in `target` shares of about the same size.
fn shares(files: &Files, chosen: &[usize], target: usize) -> Vec<Vec<usize>> {
    let mut by_size = chosen.to_vec();
    by_size.sort_by_key(|file| Reverse(files.list[*file].meta.size));
    let mut shares = vec![(0, Vec::new()); target.clamp(1, chosen.len().max(1))];
    for file in by_size {
        let (bytes, share) = shares.iter_mut().min_by_key(|(bytes, _)| *bytes).expect("there is at least one share");
        *bytes += files.list[file].meta.size;
        share.push(file);
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

/// Where the store of a table's files is registered.
fn store_url(table: &DeltaTable) -> Result<ObjectStoreUrl> {
    let url = table.table_url();
    ObjectStoreUrl::parse(format!("{}://{}", url.scheme(), url.authority()))
}

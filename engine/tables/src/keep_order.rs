//! Does a scan keep the order that it has promised, whatever the optimizer does to it?
//!
//! DataFusion 55 pushes the limit of `ORDER BY … LIMIT` into scans as one without an order (apache/datafusion#24272): partitions
//! then take each other's files, and row groups are passed over for later ones. This rule, the last, takes that back.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// Scans with a declared order read their files in it.
#[derive(Debug)]
pub(crate) struct KeepOrder;

impl PhysicalOptimizerRule for KeepOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let kept = plan.transform_up(|plan| {
            let Some(source) = plan.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(plan)) };
            let scan = source.data_source().downcast_ref::<FileScanConfig>();
            let Some(scan) = scan.filter(|scan| !scan.preserve_order && !scan.output_ordering.is_empty()) else {
                return Ok(Transformed::no(plan));
            };
            let mut kept = scan.clone();
            kept.preserve_order = true;
            Ok(Transformed::yes(DataSourceExec::from_data_source(kept) as Arc<dyn ExecutionPlan>))
        });
        Ok(kept?.data)
    }

    fn name(&self) -> &str {
        "KeepOrder"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
